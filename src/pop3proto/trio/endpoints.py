"""Clients and servers over trio: `connect`, `connect_over`, `serve`."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from pop3proto._aio.driver import LOGIN_THREADS
from pop3proto._aio.session import session_over
from pop3proto._aio.sessions import Sessions
from pop3proto._io.peers import listener_name, unreachable
from pop3proto._io.tls import ServerTls
from pop3proto._io.tls_channel import client_channel
from pop3proto.core.errors import ConnectionLost
from pop3proto.procedures.cleartext import Cleartext, TlsMode, default_port
from pop3proto.trio.stream import TrioStream

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
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """Connect to a server and wait for its greeting; at the end of the block say QUIT.

    Left by an exception it only hangs up, and nothing is deleted. It waits for ever: how long to wait is what
    `trio.fail_after` and its like are for.

    Args:
        host: its name or address.
        port: 995 with TLS and 110 without if None. TLS is never inferred from the port.
        tls: "implicit" is TLS from the first octet (RFC 8314 section 3); "starttls" is TLS by STLS, before anything
            else (RFC 2595), and nothing more is sent to a server that refuses; "none" is no TLS.
        context: for TLS, that of `start_tls` too; certificate and name are verified if None.
        cleartext: when passwords and tokens may be sent without verified TLS: "never"; "loopback": to this machine;
            "always": to any.
        connection: the protocol, if it is not to be as it comes.

    Yields:
        The client.

    Raises:
        ConnectionLost: there is no connection, the handshake failed, or the server hung up.
        CommandFailed: it refused STLS.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
        ValueError: there is no such `tls` or `cleartext`.
    """
    registered = default_port(tls)  # in any case: `tls=True` must not come out as no TLS
    port = registered if port is None else port
    try:
        stream = await trio.open_tcp_stream(host, port)
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        raise ConnectionLost(unreachable(host, port, error)) from error
    ours = TrioStream(stream, client_channel(context, host))
    async with session_over(
        ours,
        tls=tls,
        loopback=ours.peer.loopback,
        cleartext=cleartext,
        timeout=None,
        connection=connection,
    ) as client:
        yield client


@asynccontextmanager
async def connect_over(  # noqa: PLR0913 - each has its default, and a name
    stream: trio.abc.Stream,
    *,
    host: str | None = None,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """As `connect`, over a stream that is connected already: through a proxy, say.

    Nobody knows where it leads: passwords are sent in clear only if the caller allows that, on loopback too.

    Args:
        stream: any of trio's. It is closed at the end.
        host: the server's name, for TLS.
        tls: as `connect`: what is done over the stream.
        context: as `connect`.
        cleartext: as `connect`.
        connection: as `connect`.

    Yields:
        The client.

    Raises:
        Pop3Error: as `connect`.
        ValueError: there is no such `tls` or `cleartext`.
    """
    default_port(tls)
    ours = TrioStream(stream, client_channel(context, host))
    async with session_over(
        ours, tls=tls, loopback=False, cleartext=cleartext, timeout=None, connection=connection
    ) as client:
        yield client


_BACKLOG: Final = 128


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
        self._listener: Final = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        self._address: Final = listener.getsockname()
        self._nursery: Final = trio.open_nursery()
        self._listening: Final = trio.CancelScope()
        self._serving: Final = trio.CancelScope()
        self._ended: Final = trio.Event()
        self._logins: Final = trio.CapacityLimiter(LOGIN_THREADS)

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
        self._listening.cancel()
        self._sessions.begin_shutdown()
        try:
            with trio.move_on_after(self._sessions.grace):
                await self._ended.wait()
        finally:
            await self.abort()

    async def abort(self) -> None:
        """End at once: stop listening, hang up on everybody, and wait until all maildrops are closed."""
        self._serving.cancel()
        with trio.CancelScope(shield=True):
            await self._ended.wait()

    async def __aenter__(self) -> Self:
        """Begin to take connections."""
        nursery = await self._nursery.__aenter__()
        nursery.start_soon(self._run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        try:
            await (self.close() if error is None else self.abort())
        finally:
            # It is not told of the error: it would make a group of it.
            await self._nursery.__aexit__(None, None, None)

    async def _run(self) -> None:
        try:
            with self._serving:
                async with self._listener, trio.open_nursery() as nursery:
                    with self._listening:
                        await trio.serve_listeners(self._take, [self._listener], handler_nursery=nursery)
                    await self._listener.aclose()
        finally:
            self._ended.set()

    async def _take(self, stream: trio.SocketStream) -> None:
        await self._sessions.handle(
            TrioStream(stream, self._sessions.channel, self._logins), listener_name(self._address)
        )
