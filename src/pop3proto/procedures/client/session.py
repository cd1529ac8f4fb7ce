"""The state of a client session: connection, what the server announced, which commands are under way, observers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeVar, cast

import attrs

from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Dele, Rset
from pop3proto.core.errors import (
    Broken,
    Busy,
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
)
from pop3proto.core.events import NEED_DATA, PAUSED, Answer, Farewell, Signal, Tolerated
from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import parse_tolerantly
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import Greeting
from pop3proto.procedures.cleartext import Cleartext, TlsMode, check_cleartext
from pop3proto.procedures.observer import ClientObserver, Observers
from pop3proto.procedures.operations import NOW, Look, Read
from pop3proto.sasl.channel import SessionInfo

from .login_plan import LoginContext
from .secrets import HARMLESS, SPOKEN, Secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.client import Request
    from pop3proto.core.command import Command
    from pop3proto.core.events import ClientEvent
    from pop3proto.core.refusals import RefusedLogin
    from pop3proto.core.replies import Err, Ok
    from pop3proto.procedures.operations import NewConnection, Procedure
    from pop3proto.sasl.channel import TlsInfo
    from pop3proto.sasl.credentials import Credentials

__all__ = ["PAUSE", "Session"]

T = TypeVar("T")

PAUSE: Final = 1.0
"""Seconds without a command after which a client looks before it sends: servers hang up on clients that are silent."""


class Session:
    """One client session: the connection, and what the server announced.

    Args:
        connection: the connection, before its greeting.
        host: the server's name; None: it is unknown.
        port: its port; 0: it is unknown.
        loopback: the server is on this machine.
        cleartext: when passwords and tokens may be sent without verified TLS.
        timeout: seconds for the greeting, for a whole login, for QUIT and for each answer; inside a body, each read
            begins them again. None: no limit.
        observers: receive each event, request and the end.
        info: what they are told of the session.
        reconnects: the driver performs `Reconnect`, so that a login may go on over a new connection.

    Attributes:
        last_reply: the latest reply; None before the greeting. That to a CAPA within `login` or STLS does not count.
        connections: how many connections there have been; the present one has this number.
        attempts: what the latest login has tried in vain, in order.
        asks: CAPA may be sent. False once the server has hung up on it.
        tls_mode: where TLS begins on every connection. It becomes "starttls" by STLS, and never weaker.
        tolerated: the deviations of the server that were met and tolerated so far.
        marked: messages may be marked as deleted, which is lost without QUIT.
    """

    def __init__(  # noqa: PLR0913 - each has its default, and a name
        self,
        connection: ClientConnection,
        *,
        host: str | None = None,
        port: int = 0,
        loopback: bool = False,
        cleartext: Cleartext = "loopback",
        timeout: float | None = None,
        observers: tuple[ClientObserver, ...] = (),
        info: SessionInfo | None = None,
        reconnects: bool = False,
    ) -> None:
        self.connection: ClientConnection = connection
        self.connections: int = 1
        self.reconnects: Final = reconnects
        self.tls_mode: TlsMode = "implicit" if connection.tls else "none"
        self.asks: bool = True
        self.attempts: tuple[RefusedLogin, ...] = ()
        self.host: Final = host
        self.port: Final = port
        self.timeout: Final = timeout
        self.info: SessionInfo = info or SessionInfo()
        self.greeting: Greeting | None = None
        self.last_reply: Ok | Err | None = None
        self.tolerated: Final[set[Quirk]] = set()
        self.marked: bool = False
        self._may_pipeline: Final = Quirk.NO_PIPELINING not in connection.quirks
        self._observers: Final = Observers(observers)
        self.context: LoginContext = LoginContext(loopback=loopback, cleartext=check_cleartext(cleartext))
        self.broken: str | None = None  # why it cannot be used any more
        self._finish: Callable[[bool], Procedure[None]] | None = None  # reads the answers that are still due
        self._active = math.inf  # when the last commands were sent
        self._secrets: Final = Secrets()
        self.overall_deadline: float | None = None  # of the greeting, the login or QUIT that is under way

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
        self.context = attrs.evolve(self.context, timestamp=self.context.timestamp or greeting.timestamp)

    def learn(self, capabilities: Capabilities | None) -> None:
        """Note the answer to CAPA; None: the server has no CAPA."""
        if capabilities is not None:
            capabilities = self._secrets.hide_in_capabilities(capabilities)
        self.context = attrs.evolve(self.context, capabilities=capabilities, asked=True)
        if capabilities is not None and capabilities.pipelining and not self._may_pipeline:
            self._tolerate(Tolerated(Quirk.NO_PIPELINING))

    def secured(self, tls: TlsInfo) -> None:
        """Note that TLS is up, and forget what the server said before: nothing protected it (RFC 2595 section 4)."""
        self.context = attrs.evolve(self.context, tls=tls, capabilities=None, timestamp=None, asked=False)
        self.info = attrs.evolve(self.info, tls=tls)
        if self.tls_mode == "none":
            self.tls_mode = "starttls"

    def renew(self, new: NewConnection) -> None:
        """Begin again over a new connection: nothing that the server has said before counts, and its TLS is gone."""
        old = self.connection
        self.connection = ClientConnection(limits=old.limits, quirks=old.quirks, tls=self.tls_mode == "implicit")
        self.connections += 1
        self.context = LoginContext(loopback=new.loopback, cleartext=self.context.cleartext)
        self.info = new.info
        self.greeting = self.broken = self._finish = None
        self._active = math.inf

    def logged_in(self, user: str | None) -> None:
        """Note that the server has accepted a user; None: it has none, or it is unknown."""
        self.info = attrs.evolve(self.info, user=user)

    @property
    def pipelining(self) -> bool:
        """Whether several commands may be sent at once: it is announced, and it works (RFC 2449 section 6.6)."""
        return self._may_pipeline and self.capabilities is not None and self.capabilities.pipelining

    def deadline(self) -> Procedure[float | None]:
        """Return the moment until which to wait for what is asked now."""
        if self.overall_deadline is not None or self.timeout is None:
            return self.overall_deadline
        return cast("float", (yield NOW)) + self.timeout

    def in_time(self, procedure: Procedure[T]) -> Procedure[T]:
        """Run a procedure that must end within `timeout`, however often octets arrive meanwhile.

        Inside another call of `in_time`, the deadline of the outer one holds.
        """
        before = self.overall_deadline
        self.overall_deadline = yield from self.deadline()
        try:
            return (yield from procedure)
        finally:
            self.overall_deadline = before

    def send(self, item: Request) -> bytes:
        """Return the octets of a request; raises as `ClientConnection.send`."""
        octets = self.connection.send(item)
        if type(item) not in HARMLESS or self._secrets.fresh:
            self.marked = (self.marked or isinstance(item, Dele)) and not isinstance(item, Rset)
            self._secrets.follow(item)
        if self._observers.present:
            self._observers.said(self.info, item)
        return octets

    def keep_secret(self, credentials: Credentials) -> None:
        """Note the secret of a login that begins, to be hidden in what the server says."""
        self._secrets.keep(credentials)

    def without_secrets(self, text: str) -> str:
        """Return a text of the server without the secrets of the session's logins."""
        return self._secrets.hide(text)

    def poll(self) -> ClientEvent | Signal:
        """Return the next event without any I/O, its text without secrets; raises as `ClientConnection.next_event`."""
        secrets = self._secrets
        try:
            event = self.connection.next_event()
            while isinstance(event, Tolerated):
                self._tolerate(event)
                event = self.connection.next_event()
        except RemoteProtocolError as error:
            secrets.hide_in_raised(error)
            raise
        if event is NEED_DATA or event is PAUSED:
            return event
        if secrets.known and isinstance(event, SPOKEN):
            if isinstance(event, Greeting):  # the timestamp as it came: a digest is made from it
                self.context = attrs.evolve(self.context, timestamp=event.timestamp)
            event = secrets.hide_in(event)
        if self._observers.present:
            for told in secrets.told(event) if secrets.fresh else (event,):
                self._observers.heard(self.info, told)
        return event

    def whole_answers(self) -> list[tuple[Ok | Err, bytes]]:
        """Take answers as `ClientConnection.whole_answers`; none if there are observers, or within a login."""
        commands = self.connection.outstanding if self._secrets.known else ()
        answers = [] if self._observers.present or self._secrets.fresh else self.connection.whole_answers()
        return self._secrets.hide_in_answers(commands, answers) if commands and answers else answers

    def _tolerate(self, event: Tolerated) -> None:
        self.tolerated.add(event.quirk)
        self._observers.heard(self.info, event)

    def parse(self, command: Command[T], reply: Ok, body: bytes) -> T:
        """Return what a positive answer means; raises as `Command.parse`."""
        connection = self.connection
        try:
            if not connection.quirks:
                return command.parse(reply, body, limits=connection.limits)
            result, used = parse_tolerantly(command, reply, body, limits=connection.limits, quirks=connection.quirks)
        except MalformedReply as error:
            self._secrets.hide_in_raised(error)
            raise
        for quirk in used:
            self._tolerate(Tolerated(quirk))
        return result

    def next_event(self) -> Procedure[ClientEvent]:
        """Read until there is an event, and return it."""
        deadline = yield from self.deadline()
        while isinstance(event := self.poll(), Signal):
            yield from self.receive(deadline)
        if isinstance(event, Answer | Greeting):
            self.last_reply = event.reply
        return event

    def receive(self, until: float | None) -> Procedure[int]:
        """Read once, and return how many octets came.

        Raises:
            TimedOut: nothing came; the message tells what was awaited.
        """
        try:
            octets = cast("bytes", (yield Read(until)))
        except TimedOut as error:
            raise TimedOut(f"{error}: waited for {self._secrets.hide_in_error(self.connection.awaited)}") from None
        self.connection.receive_data(octets)
        return len(octets)

    def acquire(
        self, finish: Callable[[bool], Procedure[None]] | None = None, *, discard_all: bool = False
    ) -> Procedure[float | None]:
        """Discard answers that were left unread, so that commands can be sent; return until when to wait for the first.

        Args:
            finish: discards the answers of the new commands, once others want the session; None if they cannot be left
                unread. It is called with `discard_all`, and raises `Busy` if the answers are being read now, and
                `Broken` if there is too much to discard.
            discard_all: discard any number of octets, until the deadline.

        Raises:
            Busy: an earlier answer is being read. Nothing was sent.
            Broken: there was too much to discard, or an earlier failure has ended the session.
            ConnectionLost, RemoteProtocolError: the server has ended the session meanwhile, or has said something else.
            TimedOut: it has begun to say something, and does not go on.
        """
        if self.broken is not None:
            raise Broken(f"this client cannot be used any more: {self.broken}")
        if self._finish is not None:
            yield from self._finish(discard_all)
        now = cast("float", (yield NOW))
        # The server may have hung up or said farewell, which is no answer to what comes next.
        if now - self._active >= PAUSE and (octets := (yield from Look())) is not None:
            self.connection.receive_data(octets)
        self._active = now
        yield from self.await_idle()
        self._finish = finish
        overall = self.overall_deadline
        return overall if overall is not None or self.timeout is None else now + self.timeout

    def survives(self, error: BaseException) -> bool:
        """Return whether the session is in step after an error: nothing was sent, or all that was due was read.

        If it is not, call `fail`, and close the connection without waiting. Secrets are hidden in the error.
        """
        self._secrets.hide_in_raised(error)
        if isinstance(error, LoginFailed):  # also if the connection is lost before all methods are tried
            return self.broken is None
        return isinstance(error, CommandFailed | MalformedReply | LocalProtocolError | Busy | Broken)

    def fail(self, error: BaseException) -> None:
        """Note that an error has ended the session, and hide secrets in it."""
        self._secrets.hide_in_raised(error)
        self.end(f"{type(error).__name__}: {error}", error)

    def end(self, reason: str, error: BaseException | None = None) -> None:
        """Note that the session cannot be used any more, and why; only the first call counts.

        Args:
            reason: for the message of `Broken`.
            error: what ended it; None: QUIT, or the caller.
        """
        if self.broken is None:
            self.broken = reason
            self._observers.ended(self.info, error)

    def release(self, finish: object, successor: Callable[[bool], Procedure[None]] | None = None) -> None:
        """Note that the answers are read; or let `successor` discard the rest, in place of what `acquire` was given."""
        if self._finish == finish:
            self._finish = successor

    def await_idle(self) -> Procedure[None]:
        """As `check_idle`, but if the server has begun to send a line, wait for the rest of it first."""
        self.check_idle()
        if self.connection.unasked:
            deadline = yield from self.deadline()
            while self.connection.unasked:  # the line ends, or the stream, or time: each raises, unless it is tolerated
                yield from self.receive(deadline)
                self.check_idle()

    def check_idle(self) -> None:
        """Raise if the server has said something unasked: it cannot be the answer to a command that is sent later."""
        if (event := self.poll()) is NEED_DATA:
            return
        if isinstance(event, Farewell):
            self.last_reply = event.reply
            raise ConnectionLost(f"the server has ended the session: {event.reply.text}")
        if not isinstance(event, Signal):
            raise ConnectionLost("the server has closed the connection")
        raise Broken("the connection waits for something that no procedure gives it")
