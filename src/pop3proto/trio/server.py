"""A server over trio: `serve`."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Final

import trio
from typing_extensions import override

from pop3proto._aio.server import AsyncServer
from pop3proto._io.listening import accepted
from pop3proto._io.sessions import ACCEPT_PAUSE, log
from pop3proto._io.setting_up import set_up
from pop3proto.trio.stream import TrioStream

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

_own_session: Final[contextvars.ContextVar[trio.CancelScope | None]] = contextvars.ContextVar(
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
    """A server over trio. It serves from the moment that it is entered (`async with`) or awaited, until `close`.

    The end of an `async with` block closes it; an exception that leaves the block aborts it. One that is awaited and
    never closed is aborted at the end of `trio.run`.
    """

    # It runs in a system task, entered or awaited. A server that is awaited has no nursery to run in, and needs none:
    # the failure of a session is logged and never reaches another task, `close` cancels and waits, and trio cancels
    # system tasks when the main task ends.

    def __init__(self, sessions: Sessions, listeners: Listeners) -> None:
        super().__init__(sessions, listeners)
        self._accepting: Final = trio.CancelScope()
        self._stopped: Final = trio.Event()  # no connection is accepted any more
        self._running: Final[dict[trio.CancelScope, trio.Event]] = {}  # sessions, and whether each has ended
        self._ended: Final = trio.Event()

    @override
    async def wait(self) -> None:
        """Wait until the server has ended."""
        await self._ended.wait()

    @override
    def _begin(self, listening: list[socket.socket]) -> None:
        context = contextvars.copy_context()
        trio.lowlevel.spawn_system_task(self._run, listening, name="pop3proto-server", context=context)

    async def _run(self, listeners: list[socket.socket]) -> None:
        async with trio.open_nursery() as sessions:
            try:
                with self._accepting:
                    async with trio.open_nursery() as acceptors:
                        for listener in listeners:
                            acceptors.start_soon(self._accept, listener, sessions)
            finally:
                self._listeners.close()
                self._stopped.set()

    async def _accept(self, listener: socket.socket, sessions: trio.Nursery) -> None:
        while True:
            try:
                await trio.lowlevel.wait_readable(listener)
                for sock in accepted(listener):
                    if self._listeners.is_withdrawn(listener):
                        sock.close()
                        listener.close()
                        return
                    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
                    scope = trio.CancelScope()
                    self._running[scope] = trio.Event()
                    sessions.start_soon(self._serve, stream, scope, self._listeners.of(listener))
            except OSError as error:
                log.warning("accepting a connection failed: %s", error)
                await trio.sleep(ACCEPT_PAUSE)

    async def _serve(self, stream: trio.SocketStream, scope: trio.CancelScope, entrance: Entrance) -> None:
        _own_session.set(scope)
        try:
            with scope:
                driver = TrioStream(stream, self._sessions.channel)
                await self._sessions.handle(driver, scope.cancel, entrance)
        finally:
            self._running.pop(scope).set()

    @override
    def _stop_accepting(self) -> None:
        self._accepting.cancel()

    @override
    def _in_session(self) -> bool:
        return _own_session.get() in self._running

    @override
    def _do_later(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        trio.lowlevel.spawn_system_task(work, name="pop3proto-end")

    @override
    async def _wait_for_sessions(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._wait_for_all()

    @override
    async def _cancel_sessions(self) -> None:
        with trio.CancelScope(shield=True):
            if self._serving:
                await self._stopped.wait()
            for scope in self._running:
                scope.cancel()
            await self._wait_for_all()
        self._ended.set()

    async def _wait_for_all(self) -> None:
        if self._serving:
            await self._stopped.wait()
        for ended in list(self._running.values()):
            await ended.wait()
