"""What a client knows beside its connection, and which exchange is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from pop3proto.core.errors import Broken, Busy, CommandFailed, ConnectionLost, LocalProtocolError, MalformedReply
from pop3proto.core.events import NEED_DATA, Farewell, Signal

from .login_plan import Situation
from .operations import Now, Read

if TYPE_CHECKING:
    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.client import ClientConnection
    from pop3proto.core.events import ClientEvent
    from pop3proto.core.replies import Greeting
    from pop3proto.sasl.channel import ChannelBinding, TlsInfo

    from .exchange import Exchange
    from .operations import Procedure

__all__ = ["DRAIN_LIMIT", "Session"]

T = TypeVar("T")

DRAIN_LIMIT: Final = 1_048_576
"""Octets of answers that nobody wants any more which are read and thrown away before a connection is given up."""


class Session:
    """One client session: the connection, and what the server has said of itself.

    Args:
        connection: the connection, before its greeting.
        loopback: the server is on this machine.
        allow_cleartext: passwords and tokens may be sent without verified TLS to other machines, too.
        patience: seconds for the greeting, for a whole login, and for each answer; inside a body, whatever comes
            begins them again. None is for ever.
    """

    def __init__(
        self,
        connection: ClientConnection,
        *,
        loopback: bool = False,
        allow_cleartext: bool = False,
        patience: float | None = None,
    ) -> None:
        self.connection: Final = connection
        self.loopback: Final = loopback
        self.allow_cleartext: Final = allow_cleartext
        self.patience: Final = patience
        self.greeting: Greeting | None = None
        self.timestamp: str | None = None  # for APOP; None: there is none, or it came before TLS
        self.capabilities: Capabilities | None = None  # None: unknown, or the server has no CAPA
        self.tls: TlsInfo | None = None
        self.asked = False  # for its capabilities
        self.broken: str | None = None  # why it cannot be used any more
        self._open: Exchange[object] | None = None
        self._deadline: float | None = None  # of the greeting or the login that is under way

    @property
    def situation(self) -> Situation:
        """All that decides how to log in."""
        return Situation(
            capabilities=self.capabilities,
            timestamp=self.timestamp,
            tls=self.tls,
            loopback=self.loopback,
            allow_cleartext=self.allow_cleartext,
        )

    @property
    def may_show_password(self) -> bool:
        """Whether passwords and tokens may cross the wire as they are (see `policy`)."""
        return self.situation.may_show_password

    def secured(self, tls: TlsInfo) -> None:
        """Note that TLS is up, and forget what the server said before: nothing protected it (RFC 2595 section 4)."""
        self.tls = tls
        self.capabilities = self.timestamp = None
        self.asked = False

    def bind(self, binding: ChannelBinding) -> None:
        """Put what the TLS channel can be bound to before all that the stream could tell of itself.

        Raises:
            LocalProtocolError: there is no TLS.
        """
        if self.tls is None:
            raise LocalProtocolError("there is no TLS channel to bind to")
        self.tls = attrs.evolve(self.tls, bindings=(binding, *self.tls.bindings))

    @property
    def pipelining(self) -> bool:
        """Whether the server has said that it takes several commands at once (RFC 2449 section 6.6)."""
        return self.capabilities is not None and self.capabilities.pipelining

    def deadline(self) -> Procedure[float | None]:
        """Return the moment until which to wait for what is asked now."""
        if self._deadline is not None or self.patience is None:
            return self._deadline
        return (yield from Now()) + self.patience

    def in_time(self, procedure: Procedure[T]) -> Procedure[T]:
        """Run a procedure that must be done with within `patience`, however often something comes meanwhile."""
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

    def claim(self, exchange: Exchange[object] | None) -> Procedure[None]:
        """Make an exchange the open one; what an earlier one has left unread is read and thrown away.

        Args:
            exchange: the new one; None is one that cannot be left unread.

        Raises:
            Busy: the earlier one is in use: a body is being read. Nothing was sent.
            Broken: there was too much to throw away, or an earlier failure has ended the session.
            ConnectionLost, RemoteProtocolError: the server has ended the session meanwhile, or has said something else.
            TimedOut: it has begun to, and does not go on.
        """
        if self.broken is not None:
            raise Broken(f"this client cannot be used any more: {self.broken}")
        if (earlier := self._open) is not None:
            if earlier.held:
                raise Busy(f"the answer to {earlier.command} is being read")
            if not (yield from earlier.displace(DRAIN_LIMIT)):
                self.broken = f"the answer to {earlier.command} was left unread, and is too long to be thrown away"
                raise Broken(self.broken)
        yield from self.silence()
        self._open = exchange

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

    def release(self, exchange: Exchange[object]) -> None:
        """Note that all answers of an exchange are read."""
        if self._open is exchange:
            self._open = None

    def silence(self) -> Procedure[None]:
        """As `check_silence`; and if the server has begun to say something, wait for the rest of the line."""
        self.check_silence()
        if self.connection.unasked:
            deadline = yield from self.deadline()
            while True:  # the line ends, or the stream, or time; each raises
                self.connection.receive_data((yield from Read(deadline)))
                self.check_silence()

    def check_silence(self) -> None:
        """What came before a command was sent cannot be its answer."""
        event = self.connection.next_event()
        if isinstance(event, Farewell):
            raise ConnectionLost(f"the server has ended the session: {event.reply.text}")
        if not isinstance(event, Signal):
            raise ConnectionLost("the server has closed the connection")
        if event is not NEED_DATA:
            raise Broken("the connection waits for something that no procedure gives it")
