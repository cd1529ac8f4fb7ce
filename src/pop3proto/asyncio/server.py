"""A server over asyncio: `serve`."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto._aio.server import AsyncServer
from pop3proto._io.listening import accepted, keep_alive
from pop3proto._io.sessions import ACCEPT_PAUSE, log
from pop3proto._io.setting_up import set_up
from pop3proto.asyncio.futures import all_done
from pop3proto.asyncio.stream import AsyncioStream

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine, Sequence
    from os import PathLike

    from pop3proto._io.certificates import Certificates
    from pop3proto._io.listener import Listener
    from pop3proto._io.listening import Listeners
    from pop3proto._io.sessions import Entrance, Sessions
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.server.service import Service

__all__ = ["Server", "serve"]

_own_session: Final[contextvars.ContextVar[asyncio.Task[None] | None]] = contextvars.ContextVar(
    "pop3proto_session", default=None
)


def serve(  # noqa: PLR0913 - each has its default, and a name
    service: Service,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = 0,
    *,
    sockets: Sequence[socket.socket] | None = None,
    listeners: Sequence[Listener] | None = None,
    tls: TlsMode = "none",
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    client_ca: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
    certificates: Certificates | None = None,
) -> Server:
    """Serve maildrops, in an `async with` block; or await this, and close the server later.

    Args:
        service: what to serve, and to whom.
        host: the address to listen on, or several.
        port: the port of each address; 0 is any free one (see `Server.address`).
        sockets: bound stream sockets to listen on in place of host and port, from systemd for example. The server
            closes them when it ends. To stop accepting on one of several before, close it.
        listeners: several of them in place of host, port, sockets and tls, each with its own (`pop3proto.serving`).
        tls: where TLS comes in: "implicit", "starttls" or "none".
        certificate: a file with the server's certificate and those between it and its authority, PEM.
        key: a file with its private key; None: it is in the same file.
        client_ca: a file with the authorities whose certificates clients may show (EXTERNAL), PEM.
        context: for TLS in place of these files; SCRAM cannot bind to the server's certificate then.
        certificates: in place of all these: one for each host name, and read again while the server runs.

    Returns:
        The server. It listens from the moment that it is entered or awaited, which raises `OSError` if that is not
        possible.

    Raises:
        OSError: a file cannot be used.
        ValueError: TLS is wanted and there is no certificate or context, or the other way round; the context is for a
            client; there is no such port; or there is nothing to listen on, or a socket on which nothing can listen.
        TypeError: it is not a `Service`.
    """
    return Server(
        *set_up(
            service,
            host,
            port,
            sockets=sockets,
            listeners=listeners,
            tls=tls,
            certificate=certificate,
            key=key,
            client_ca=client_ca,
            context=context,
            certificates=certificates,
        )
    )


class Server(AsyncServer):
    """A server over asyncio. It serves from the moment that it is entered (`async with`) or awaited, until `close`.

    The end of an `async with` block closes it; an exception that leaves the block aborts it. One that is awaited and
    never closed is cancelled at the end of `asyncio.run`, with the coroutine methods of stores that are under way:
    close it.
    """

    def __init__(self, sessions: Sessions, listeners: Listeners) -> None:
        super().__init__(sessions, listeners)
        self._acceptors: Final[dict[asyncio.Task[None], socket.socket]] = {}
        self._tasks: Final[set[asyncio.Task[None]]] = set()  # of the sessions
        self._ends: Final[set[asyncio.Task[None]]] = set()  # of what a session began
        self._ended: Final = asyncio.Event()

    @override
    async def wait(self) -> None:
        """Wait until the server has ended."""
        await self._ended.wait()

    @override
    def _begin(self, listening: list[socket.socket]) -> None:
        for listener in listening:
            self._accept_from(listener)

    def _accept_from(self, listener: socket.socket) -> None:
        acceptor = asyncio.create_task(self._accept(listener), name="pop3proto-accept")
        acceptor.add_done_callback(lambda _: self._listeners.release(listener))
        self._acceptors[acceptor] = listener

    # Not loop.create_server: it loses, unclosed, the connection that it accepts while it is being closed.

    async def _accept(self, listener: socket.socket) -> None:
        while not self._closed:
            try:
                first, _ = await asyncio.get_running_loop().sock_accept(listener)
                keep_alive(first)
                for sock in itertools.chain([first], accepted(listener)):
                    if self._listeners.is_withdrawn(listener):
                        sock.close()
                        return
                    self._begin_session(sock, self._listeners.of(listener))
            except OSError as error:
                log.warning("accepting a connection failed: %s", error)
                await asyncio.sleep(ACCEPT_PAUSE)
            else:
                await asyncio.sleep(0)  # let sessions begin

    def _begin_session(self, sock: socket.socket, entrance: Entrance) -> None:
        task = asyncio.create_task(self._serve(sock, entrance), name="pop3proto-session")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: sock.close())  # if it was cancelled before it began

    async def _serve(self, sock: socket.socket, entrance: Entrance) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the type checkers cannot know
        _own_session.set(task)
        stream = AsyncioStream(self._sessions.channel)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, sock)
        except OSError as error:
            log.info("a connection was gone before its session began: %s", error)
        else:
            await self._sessions.handle(stream, task.cancel, entrance)

    @override
    def _stop_accepting(self) -> None:
        loop = asyncio.get_running_loop()
        for acceptor, listener in self._acceptors.items():
            with contextlib.suppress(NotImplementedError):  # a proactor has no readers, and loses nothing either
                if listener.fileno() >= 0:
                    loop.remove_reader(listener)
            loop.call_soon(acceptor.cancel)  # after its wakeup, if it has accepted a connection just now

    @override
    def _in_session(self) -> bool:
        return _own_session.get() in self._tasks

    @override
    def _do_later(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        task = asyncio.create_task(work(), name="pop3proto-end", context=contextvars.Context())
        self._ends.add(task)  # the loop alone would not keep it
        task.add_done_callback(self._ends.discard)

    @override
    async def _wait_for_sessions(self, seconds: float) -> None:
        if self._acceptors:
            await asyncio.wait(self._acceptors)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    @override
    async def _cancel_sessions(self) -> None:
        cancellation = await all_done(self._acceptors)
        tasks = self._tasks.copy()
        for task in tasks:
            task.cancel()
        cancellation = await all_done(tasks) or cancellation
        self._ended.set()
        if cancellation is not None:
            raise cancellation
