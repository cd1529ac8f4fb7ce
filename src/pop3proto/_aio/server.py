"""What the servers of asyncio and trio share: how one begins, how it ends, and where it listens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType

    from pop3proto._io.listening import Listeners
    from pop3proto._io.sessions import Sessions
    from pop3proto.procedures.server.service import Service

__all__ = ["AsyncServer"]


class AsyncServer(ABC):
    """A server. It serves from the moment that it is entered (`async with`) or awaited, until `close` or `abort`.

    The end of an `async with` block closes it; an exception that leaves the block aborts it.

    Args:
        sessions: serves each connection.
        listeners: where to listen.
    """

    def __init__(self, sessions: Sessions, listeners: Listeners) -> None:
        self._sessions: Final = sessions
        self._listeners: Final = listeners
        self._serving = False
        self._closed = False

    @property
    def address(self) -> tuple[str, int]:
        """Address and port where it listens, or the first of several."""
        return self.addresses[0]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """All addresses and ports where it listens, from the moment that it does (`RuntimeError` before)."""
        if not self._listeners.addresses:
            raise RuntimeError("the server does not listen yet: enter it with `async with`, or await it")
        return self._listeners.addresses

    def use(self, service: Service) -> None:
        """Serve the sessions that begin from now on by another service: its users, store, policy and limits.

        Sessions under way go on with theirs. Sessions and failed logins that were counted still count.

        Raises:
            TypeError: it is not a `Service`; nothing has changed.
        """
        self._sessions.use(service)

    @abstractmethod
    async def wait(self) -> None:
        """Wait until the server has ended."""

    async def close(self) -> None:
        """End gracefully.

        Stop listening. Each session finishes the command in hand, and answers the next that arrives within the grace
        time with [SYS/TEMP], except QUIT, which works as ever. After that time sessions are cut off, and none of their
        deletions happen. Returns when all maildrops are closed. It may be called in any state, and more than once.

        A session of this server, an authenticator's for example, cannot wait for its own end: called there, this
        begins the end and returns at once, and `wait` waits for it.
        """
        self._stop_listening()
        if self._in_session():
            self._do_later(self.close)
            return
        try:
            await self._wait_for_sessions(self._sessions.grace)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """End at once: stop listening, cut off all sessions, and wait until all maildrops are closed.

        Called by a session of this server, it begins that and returns at once, as `close` does.
        """
        self._stop_listening()
        if self._in_session():
            self._do_later(self.abort)
        else:
            await self._cancel_sessions()

    async def __aenter__(self) -> Self:
        """Begin to serve.

        Raises:
            OSError: it cannot listen there. Nothing is left open.
            RuntimeError: it was closed.
        """
        if self._closed:
            raise RuntimeError("the server was closed; call serve() again")
        if not self._serving:
            listening = self._listeners.open()
            try:
                self._begin(listening)
            except BaseException:
                self._listeners.close()
                raise
            self._serving = True
        return self

    def __await__(self) -> Generator[object, None, Self]:
        """Begin to serve, as `async with` does."""
        return self.__aenter__().__await__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        await (self.close() if error is None else self.abort())

    def _stop_listening(self) -> None:
        self._closed = True
        self._sessions.begin_shutdown()
        if self._serving:
            self._stop_accepting()
        else:
            self._listeners.close()

    @abstractmethod
    def _begin(self, listening: list[socket.socket]) -> None:
        """Begin to accept connections; the sockets are closed when that ends."""

    @abstractmethod
    def _stop_accepting(self) -> None:
        """Make accepting end; it may have ended already."""

    @abstractmethod
    def _in_session(self) -> bool:
        """Whether the caller is a session of this server."""

    @abstractmethod
    def _do_later(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Do some work outside of all sessions."""

    @abstractmethod
    async def _wait_for_sessions(self, seconds: float) -> None:
        """Wait until no connection is accepted and all sessions are over, or for some time."""

    @abstractmethod
    async def _cancel_sessions(self) -> None:
        """Cancel all sessions, wait for their ends in any case, and let `wait` return."""
