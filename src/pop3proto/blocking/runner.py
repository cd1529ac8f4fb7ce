"""One client session over a socket: runs its procedures, one at a time, and ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

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

    from .stream import SocketStream

__all__ = ["SessionRunner"]

T = TypeVar("T")


class SessionRunner(SessionView):
    """Runs the procedures of a client's session, one at a time; as a context manager it ends the session with QUIT.

    Args:
        session: greeted.
        stream: its connection.
    """

    def __init__(self, session: Session, stream: SocketStream) -> None:
        super().__init__(session)
        self._stream = stream
        # Who uses it, under one key. An exception of a signal handler can come between taking a lock and noting that,
        # so that it would be held for good; this is given back by whose it is, whenever that comes. `setdefault` and
        # `del` are atomic.
        self._users: Final[dict[None, object]] = {}
        self._closing = False

    @property
    @override
    def peer(self) -> Peer:
        return self._stream.peer

    def _end(self, procedure: Procedure[None]) -> None:
        try:
            self.perform(procedure)
        finally:
            if self.state is State.CLOSED or self.session.broken is not None:  # else nothing was sent
                self._finish("it is over")

    def close(self) -> None:
        """Hang up without QUIT: nothing is removed. It is right at any time, and may be called again.

        A call that is under way in another thread ends with `ConnectionLost`; a login that was refused before, with
        `LoginFailed`. It does not connect again.
        """
        self._closing = True
        user = object()
        try:
            try:
                taken = self._users.setdefault(None, user) is user
                if taken:
                    self._finish("it was closed")
            finally:
                self._give_back(user)
        finally:
            self._give_back(user)  # if an interrupt has kept it from that
        if taken:
            return
        try:
            self.session.end("it was closed")
        finally:
            self._stream.interrupt()  # the thread that uses it will close it

    def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure of this session. After a failure that leaves it out of step, hang up.

        Raises:
            Busy: one is under way: in another thread, or in the one whose iterable of commands is asking.
        """
        user = object()
        try:
            try:
                self._take(user)
                return self._perform(procedure)
            finally:
                self._release(user)
        finally:
            if self._users:  # another thread has it, or an interrupt has kept this one from giving it back
                self._release(user)

    def _perform_with(self, procedure: Procedure[T], context: ssl.SSLContext | None) -> T:
        """As `perform`; a TLS handshake in it uses this context, unless it is None."""
        channel = None if context is None else client_channel(context, self.session.host, self.session.port)
        user = object()
        try:
            try:
                self._take(user)
                with self._stream.using_channel(channel):
                    return self._perform(procedure)
            finally:
                self._release(user)
        finally:
            self._release(user)

    def _take(self, user: object) -> None:
        if self._users.setdefault(None, user) is not user:
            raise Busy("this client is being used: one call at a time")

    def _give_back(self, user: object) -> None:
        if self._users.get(None) is user:
            del self._users[None]

    def _release(self, user: object) -> None:
        if self._users.get(None) is user:
            del self._users[None]
            if self._closing:  # meanwhile, from another thread
                self.close()

    def _perform(self, procedure: Procedure[T]) -> T:
        try:
            try:
                first = next(procedure)
            except StopIteration as end:  # it waits for nothing, because its answer has come: no driver is needed
                return cast("T", end.value)
            return self._stream.perform(procedure, first)
        except BaseException as error:
            if not self.session.survives(error):
                try:
                    self.session.fail(error)
                finally:
                    self._stream.abort()
            raise

    def _finish(self, why: str) -> None:
        try:
            self.session.end(why)
        finally:
            self._stream.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Say QUIT, unless the session is over or the block failed."""
        try:
            if error is not None:
                self.session.end("its block was left by an exception", error)
            elif self.session.broken is None and self.state is not State.CLOSED:
                self._end(leave(self.session))
        finally:
            self.close()
