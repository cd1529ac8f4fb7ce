"""Clients and servers over asyncio: `connect`, `connect_over`, `serve`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from pop3proto._aio.driver import LOGIN_THREADS
from pop3proto._aio.session import session_over
from pop3proto._aio.sessions import Sessions
from pop3proto._io.peers import listener_name, unreachable
from pop3proto._io.tls import ServerTls
from pop3proto._io.tls_channel import client_channel
from pop3proto.asyncio.stream import AsyncioStream, all_done
from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.procedures.cleartext import Cleartext, TlsMode, default_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from pop3proto._aio.client import AsyncClient
    from pop3proto.core.client import ClientConnection
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.server.service import Service

__all__ = ["Server", "connect", "connect_over", "serve"]


@asynccontextmanager
async def connect(  # noqa: PLR0913 - each has its default, and a name
    host: str,
    port: int | None = None,
    *,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    connect_timeout: float | None = 30,
    timeout: float | None = 60,  # noqa: ASYNC109 - a stall ends a wait, progress begins it again
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """Connect to a server and wait for its greeting; at the end of the block say QUIT.

    Left by an exception it only hangs up, and nothing is deleted.

    Args:
        host: its name or address.
        port: 995 with TLS and 110 without if None. TLS is never inferred from the port.
        tls: "implicit" is TLS from the first octet (RFC 8314 section 3); "starttls" is TLS by STLS, before anything
            else (RFC 2595), and nothing more is sent to a server that refuses; "none" is no TLS.
        context: for TLS, that of `start_tls` too; certificate and name are verified if None.
        cleartext: when passwords and tokens may be sent without verified TLS: "never"; "loopback": to this machine;
            "always": to any.
        connect_timeout: seconds in which the connection must be made.
        timeout: seconds for the greeting, for a whole login, and for each answer; inside a body, whatever comes begins
            them again.
        connection: the protocol, if it is not to be as it comes.

    Yields:
        The client.

    Raises:
        ConnectionLost: there is no connection, the handshake failed, or the server hung up.
        TimedOut: it did not answer in time.
        CommandFailed: it refused STLS.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
        ValueError: there is no such `tls` or `cleartext`.
    """
    registered = default_port(tls)  # in any case: `tls=True` must not come out as no TLS
    port = registered if port is None else port
    stream = AsyncioStream(client_channel(context, host))
    try:
        async with asyncio.timeout(connect_timeout):
            await asyncio.get_running_loop().create_connection(lambda: stream, host, port)
    except TimeoutError:
        raise TimedOut(f"no connection to {host}, port {port}, in time") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        raise ConnectionLost(unreachable(host, port, error)) from error
    async with session_over(
        stream,
        tls=tls,
        loopback=stream.peer.loopback,
        cleartext=cleartext,
        timeout=timeout,
        connection=connection,
    ) as client:
        yield client


@asynccontextmanager
async def connect_over(  # noqa: PLR0913 - each has its default, and a name
    stream: asyncio.Transport | socket.socket,
    *,
    host: str | None = None,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    timeout: float | None = 60,  # noqa: ASYNC109 - as above
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """As `connect`, over a stream that is connected already: through a proxy, say.

    Nobody knows where it leads: passwords are sent in clear only if the caller allows that, on loopback too.

    Args:
        stream: a transport that has given nothing to its protocol yet, which is replaced; or a connected socket. It
            is closed at the end.
        host: the server's name, for TLS.
        tls: as `connect`: what is done over the stream.
        context: as `connect`.
        cleartext: as `connect`.
        timeout: as `connect`.
        connection: as `connect`.

    Yields:
        The client.

    Raises:
        Pop3Error: as `connect`.
        ValueError: there is no such `tls` or `cleartext`.
    """
    default_port(tls)
    ours = AsyncioStream(client_channel(context, host))
    if isinstance(stream, socket.socket):
        try:
            await asyncio.get_running_loop().create_connection(lambda: ours, sock=stream)
        except OSError as error:
            raise ConnectionLost(f"the socket cannot be used: {error}") from error
    elif stream.is_closing():
        raise ConnectionLost("the transport is closed")
    else:
        stream.set_protocol(ours)
        ours.connection_made(stream)
    async with session_over(
        ours, tls=tls, loopback=False, cleartext=cleartext, timeout=timeout, connection=connection
    ) as client:
        yield client


_log: Final = logging.getLogger("pop3proto")
_BACKLOG: Final = 128
_BREATH: Final = 0.1  # seconds


def serve(  # noqa: PLR0913 - each has its default, and a name
    service: Service,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tls: TlsMode = "none",
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    client_ca: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Server:
    """Serve maildrops, in an `async with` block.

    Args:
        service: what to serve, and to whom.
        host: the address to listen on.
        port: the port; 0 is any free one (see `Server.address`).
        tls: where TLS comes in: "implicit", "starttls" or "none".
        certificate: a file with the server's certificate and those between it and its authority, PEM.
        key: a file with its private key; None: it is in the same file.
        client_ca: a file with the authorities whose certificates clients may show (EXTERNAL), PEM.
        context: for TLS in place of these, if it is to be another; SCRAM cannot bind to the server's certificate then.

    Returns:
        The server; the block that it is given to runs it.

    Raises:
        OSError: it cannot listen there, or a file cannot be used.
        ValueError: TLS is wanted and there is nothing to do it with, or the other way round.
    """
    server_tls = ServerTls.choose(tls, certificate=certificate, key=key, client_ca=client_ca, context=context)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    return Server(Sessions(service, tls, server_tls), listener)


class Server:
    """A server. It runs in an `async with` block, which ends with `close`, or by an exception with `abort`."""

    def __init__(self, sessions: Sessions, listener: socket.socket) -> None:
        """Take a listening socket; it belongs to the server from now on."""
        self._sessions: Final = sessions
        self._listener: Final = listener
        self._address: Final = listener.getsockname()
        self._closing = False
        self._acceptor: asyncio.Task[None]
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._ended: Final = asyncio.Event()
        self._logins: Final = ThreadPoolExecutor(LOGIN_THREADS, "pop3proto-login")  # it has no thread until one is used

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: address and port."""
        host, port, *_ = self._address
        return str(host), int(port)

    async def wait(self) -> None:
        """Wait until the server has ended."""
        await self._ended.wait()

    async def close(self) -> None:
        """End gracefully.

        Stop listening. Each session finishes the command in hand, and answers the next that arrives within the grace
        time with [SYS/TEMP], but QUIT as ever. What goes on after that time is cut off, and nothing of theirs is
        removed. Returns when all maildrops are closed.
        """
        self._stop_listening()
        self._sessions.begin_shutdown()
        try:
            await asyncio.wait([self._acceptor])
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._sessions.grace)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """End at once: stop listening, hang up on everybody, and wait until all maildrops are closed."""
        self._stop_listening()
        cancellation = await all_done([self._acceptor])
        for task in self._tasks:
            task.cancel()
        cancellation = await all_done(self._tasks) or cancellation
        self._logins.shutdown(wait=False)  # they are idle
        self._ended.set()
        if cancellation is not None:
            raise cancellation

    async def __aenter__(self) -> Self:
        """Begin to take connections."""
        self._listener.setblocking(False)  # noqa: FBT003 - its own way
        self._acceptor = asyncio.create_task(self._accept(), name="pop3proto-accept")
        self._acceptor.add_done_callback(lambda _: self._listener.close())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        await (self.close() if error is None else self.abort())

    # Not loop.create_server: it loses, unclosed, the connection that it accepts while it is being closed.

    async def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            except OSError as error:
                _log.warning("accepting a connection failed: %s", error)
                await asyncio.sleep(_BREATH)  # out of descriptors, most likely: wait for a session to end
            else:
                self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        task = asyncio.create_task(self._serve(sock), name="pop3proto-session")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: sock.close())  # if it was cancelled before it began

    async def _serve(self, sock: socket.socket) -> None:
        stream = AsyncioStream(self._sessions.channel, self._logins)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, sock)
        except OSError as error:
            _log.info("a connection was gone before its session began: %s", error)
        else:
            await self._sessions.handle(stream, listener_name(self._address))

    def _stop_listening(self) -> None:
        self._closing = True
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # a proactor has no readers, and loses nothing either
            if self._listener.fileno() >= 0:
                loop.remove_reader(self._listener)
        loop.call_soon(self._acceptor.cancel)  # behind its waking, if it has accepted somebody just now
