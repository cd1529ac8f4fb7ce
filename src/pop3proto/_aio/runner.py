"""One client session over a stream of asyncio or trio: runs its procedures, one at a time, and ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar, cast

from typing_extensions import override

from pop3proto._io.session_view import SessionView
from pop3proto._io.tls_channel import client_channel
from pop3proto.core.errors import Busy
from pop3proto.core.states import State
from pop3proto.procedures.client.commands import leave

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from pop3proto._io.peers import Peer
    from pop3proto.procedures.client.session import Session
    from pop3proto.procedures.operations import Procedure

    from .driver import AsyncStream

__all__ = ["AsyncSessionRunner"]

T = TypeVar("T")


class AsyncSessionRunner(SessionView):
    """Runs the procedures of a client's session, one at a time; as a context manager it ends the session with QUIT.

    Args:
        session: greeted.
        stream: its connection.
    """

    def __init__(self, session: Session, stream: AsyncStream) -> None:
        super().__init__(session)
        self._stream = stream
        self._busy = False

    @property
    @override
    def peer(self) -> Peer:
        return self._stream.peer

    async def _end(self, procedure: Procedure[None]) -> None:
        try:
            await self.perform(procedure)
        finally:
            if self.state is State.CLOSED or self.session.broken is not None:  # else nothing was sent
                self.session.end("it is over")
                await self._stream.close()

    async def aclose(self) -> None:
        """Hang up without QUIT: nothing is removed. It is right at any time, and may be called again.

        A call that is under way in another task ends with `ConnectionLost`; a login that was refused before, with
        `LoginFailed`. It does not connect again.
        """
        try:
            self.session.end("it was closed")
        finally:
            await (self._stream.abort() if self._busy else self._stream.close())

    async def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure of this session. After a failure that leaves it out of step, hang up.

        Raises:
            Busy: one is under way: in another task, or in the one whose iterable of commands is asking.
        """
        self._acquire()
        try:
            return await self._perform(procedure)
        finally:
            self._busy = False

    async def _perform_with(self, procedure: Procedure[T], context: ssl.SSLContext | None) -> T:
        """As `perform`; a TLS handshake in it uses this context, unless it is None."""
        channel = None if context is None else client_channel(context, self.session.host, self.session.port)
        self._acquire()
        try:
            with self._stream.using_channel(channel):
                return await self._perform(procedure)
        finally:
            self._busy = False

    def _acquire(self) -> None:
        if self._busy:
            raise Busy("this client is being used: one call at a time")
        self._busy = True

    async def _perform(self, procedure: Procedure[T]) -> T:
        try:
            try:
                first = next(procedure)
            except StopIteration as end:  # it waits for nothing, because its answer has come: no driver is needed
                return cast("T", end.value)
            return await self._stream.perform(procedure, first)
        except BaseException as error:
            if not self.session.survives(error):
                try:
                    self.session.fail(error)
                finally:
                    await self._stream.abort()
            raise

    async def aside(self, procedure: Procedure[T]) -> T:
        """Run a procedure that has nothing to do with the session, and whose failure leaves it as it is."""
        return await self._stream.perform(procedure)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say QUIT, unless the session is over or the block failed."""
        try:
            if error is not None:
                self.session.end("its block was left by an exception", error)
            elif self.session.broken is None and self.state is not State.CLOSED:
                await self._end(leave(self.session))
        finally:
            await (self.aclose() if error is None else self._stream.abort())
