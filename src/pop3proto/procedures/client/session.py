"""What a client knows beside its connection, and which exchange is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from pop3proto.core.errors import Broken, Busy, ConnectionLost, LocalProtocolError, MalformedReply
from pop3proto.core.events import NEED_DATA, Farewell, Signal
from pop3proto.core.refusals import CommandFailed
from pop3proto.procedures.cleartext import check_cleartext
from pop3proto.procedures.operations import Now, Read

from .login_plan import LoginContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.client import ClientConnection
    from pop3proto.core.events import ClientEvent
    from pop3proto.core.replies import Greeting
    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.procedures.operations import Procedure
    from pop3proto.sasl.channel import ChannelBinding, TlsInfo


__all__ = ["Session"]

T = TypeVar("T")


class Session:
    """One client session: the connection, and what the server has said of itself.

    Args:
        connection: the connection, before its greeting.
        loopback: the server is on this machine.
        cleartext: when passwords and tokens may be sent without verified TLS.
        timeout: seconds for the greeting, for a whole login, and for each answer; inside a body, whatever comes
            begins them again. None is for ever.
    """

    def __init__(
        self,
        connection: ClientConnection,
        *,
        loopback: bool = False,
        cleartext: Cleartext = "loopback",
        timeout: float | None = None,
    ) -> None:
        self.connection: Final = connection
        self.timeout: Final = timeout
        self.greeting: Greeting | None = None
        self.context = LoginContext(loopback=loopback, cleartext=check_cleartext(cleartext))
        self.broken: str | None = None  # why it cannot be used any more
        self._finish: Callable[[], Procedure[None]] | None = None  # reads the answers that are still due
        self._deadline: float | None = None  # of the greeting or the login that is under way

    @property
    def capabilities(self) -> Capabilities | None:
        """What the server announced last; None: unknown, or the server has no CAPA."""
        return self.context.capabilities

    @property
    def tls(self) -> TlsInfo | None:
        """The result of the TLS handshake; None without TLS."""
        return self.context.tls

    def greeted(self, greeting: Greeting) -> None:
        """Note the server's greeting."""
        self.greeting = greeting
        self.context = attrs.evolve(self.context, timestamp=greeting.timestamp)

    def learn(self, capabilities: Capabilities | None) -> None:
        """Note the answer to CAPA; None: the server has no CAPA."""
        self.context = attrs.evolve(self.context, capabilities=capabilities, asked=True)

    def secured(self, tls: TlsInfo) -> None:
        """Note that TLS is up, and forget what the server said before: nothing protected it (RFC 2595 section 4)."""
        self.context = attrs.evolve(self.context, tls=tls, capabilities=None, timestamp=None, asked=False)

    def bind(self, binding: ChannelBinding) -> None:
        """Put a channel binding before those that the stream has found.

        Raises:
            LocalProtocolError: there is no TLS.
        """
        if self.tls is None:
            raise LocalProtocolError("there is no TLS channel to bind to")
        tls = attrs.evolve(self.tls, bindings=(binding, *self.tls.bindings))
        self.context = attrs.evolve(self.context, tls=tls)

    @property
    def pipelining(self) -> bool:
        """Whether the server has said that it takes several commands at once (RFC 2449 section 6.6)."""
        return self.capabilities is not None and self.capabilities.pipelining

    def deadline(self) -> Procedure[float | None]:
        """Return the moment until which to wait for what is asked now."""
        if self._deadline is not None or self.timeout is None:
            return self._deadline
        return (yield from Now()) + self.timeout

    def in_time(self, procedure: Procedure[T]) -> Procedure[T]:
        """Run a procedure that must be done with within `timeout`, however often something comes meanwhile."""
        self._deadline = yield from self.deadline()
        try:
            return (yield from procedure)
        finally:
            self._deadline = None

    def next_event(self) -> Procedure[ClientEvent]:
        """Read until there is an event, and return it."""
        deadline = yield from self.deadline()
        while isinstance(event := self.connection.next_event(), Signal):
            self.connection.receive_data((yield from Read(deadline)))
        return event

    def acquire(self, finish: Callable[[], Procedure[None]] | None = None) -> Procedure[None]:
        """Make the session ready for new commands; answers that earlier ones have left unread are discarded.

        Args:
            finish: discards the answers of the new commands, once others want the session; None if they cannot be left
                unread. It raises `Busy` if they are being read now, and `Broken` if there is too much to discard.

        Raises:
            Busy: an earlier answer is being read. Nothing was sent.
            Broken: there was too much to discard, or an earlier failure has ended the session.
            ConnectionLost, RemoteProtocolError: the server has ended the session meanwhile, or has said something else.
            TimedOut: it has begun to, and does not go on.
        """
        if self.broken is not None:
            raise Broken(f"this client cannot be used any more: {self.broken}")
        if self._finish is not None:
            yield from self._finish()
        yield from self.await_idle()
        self._finish = finish

    def survives(self, error: BaseException) -> bool:
        """Return whether the session is in step after an error: nothing was sent, or all that was due was read.

        If it is not, it is over, and the connection is to be closed without waiting for anything.
        """
        if isinstance(error, CommandFailed | MalformedReply | LocalProtocolError | Busy | Broken):
            return True
        self.end(f"{type(error).__name__}: {error}")
        return False

    def end(self, reason: str) -> None:
        """Note that the session cannot be used any more, and why; the first reason counts."""
        self.broken = self.broken or reason

    def release(self, finish: Callable[[], Procedure[None]]) -> None:
        """Note that all answers are read; `finish` is what `acquire` was given."""
        if self._finish == finish:
            self._finish = None

    def await_idle(self) -> Procedure[None]:
        """As `check_idle`; and if the server has begun to say something, wait for the rest of the line."""
        self.check_idle()
        if self.connection.unasked:
            deadline = yield from self.deadline()
            while True:  # the line ends, or the stream, or time; each raises
                self.connection.receive_data((yield from Read(deadline)))
                self.check_idle()

    def check_idle(self) -> None:
        """What came before a command was sent cannot be its answer."""
        event = self.connection.next_event()
        if isinstance(event, Farewell):
            raise ConnectionLost(f"the server has ended the session: {event.reply.text}")
        if not isinstance(event, Signal):
            raise ConnectionLost("the server has closed the connection")
        if event is not NEED_DATA:
            raise Broken("the connection waits for something that no procedure gives it")
