"""What a server does in one session: greet, read commands, let the handlers answer, keep the deadlines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import attrs

from pop3proto.core.commands import Quit
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.events import AuthCancel, AuthResponse, BadCommand, BodyChunk, BodyEnd, ConnectionClosed, Signal
from pop3proto.core.replies import Err, Greeting, Ok, ResponseCode
from pop3proto.sasl.channel import SessionInfo

from .maildrop import Maildrop, Message, Refused
from .observer import masked
from .operations import GoingDown, Now, Procedure, Random, Read, Run, Sleep, StartTls, Write
from .policy import TlsMode, may_show_password
from .reader import MessageReader

if TYPE_CHECKING:
    from pop3proto.core.commands import Command
    from pop3proto.core.server import Response, ServerConnection
    from pop3proto.sasl.mechanism import ServerMechanism
    from pop3proto.sasl.server_registry import ServerEntry

    from .service import Service

__all__ = ["Handler", "Handlers", "ServerSession", "refuse", "serve"]

T = TypeVar("T")

FLUSH_AT: Final = 65_536
"""Octets of answers that are collected before they are written, while commands wait."""

_TURN: Final = 50  # commands that one session may have before the others
_MEGABYTE: Final = 1_048_576
_NONCE: Final = 16  # octets of chance in a timestamp or a challenge


class ServerSession:
    """One session of a server, as its handlers see it.

    Attributes:
        service: what it shares with the others.
        connection: the protocol.
        info: the client.
        timestamp: of the greeting, for APOP; None: there is none.
        exchange: the SASL mechanism that is under way.
        user: the name that USER gave, or that has logged in.
        maildrop: locked, after login.
        reader: of its messages.
        deleted: numbers of the messages that DELE has marked.
        retrieved: numbers of the messages that RETR has sent.
        failed_logins: how many passwords were wrong.
    """

    def __init__(
        self,
        service: Service,
        connection: ServerConnection,
        info: SessionInfo,
        *,
        loopback: bool = False,
        starttls: bool = False,
    ) -> None:
        self.service: Final = service
        self.connection: Final = connection
        self.info = info
        self.timestamp: str | None = None
        self.exchange: ServerMechanism | None = None
        self.user: str | None = None
        self.maildrop: Maildrop | None = None
        self.reader: MessageReader | None = None
        self.deleted: Final[set[int]] = set()
        self.retrieved: Final[set[int]] = set()
        self.failed_logins = 0
        self._loopback: Final = loopback
        self._starttls: Final = starttls
        self._output: list[bytes] = []
        self._collected = 0  # octets of these
        self._login_until = 0.0
        self._grace_until = math.inf  # or the server is to end
        self._idle_until: float | None = None  # None: a command has come since the last time that we waited for one

    @property
    def may_show_password(self) -> bool:
        """Whether passwords may cross the wire as they are."""
        return may_show_password(
            tls=self.connection.tls, loopback=self._loopback, allow_cleartext=self.service.allow_cleartext
        )

    @property
    def offers(self) -> dict[str, ServerEntry]:
        """The mechanisms that this client can use."""
        return self.service.offers(self.info, may_show_password=self.may_show_password)

    @property
    def may_start_tls(self) -> bool:
        """Whether STLS works: before login, and once (RFC 2595 section 4)."""
        return self._starttls and not self.connection.tls and self.maildrop is None

    def messages(self) -> dict[int, Message]:
        """Return the messages that are not deleted, by number."""
        messages = self.maildrop.messages if self.maildrop is not None else ()
        return {number: message for number, message in enumerate(messages, 1) if number not in self.deleted}

    def summary(self) -> str:
        """Return what there is, for people."""
        messages = self.messages().values()
        return f"{len(messages)} messages ({sum(message.octets for message in messages)} octets)"

    def message(self, number: int) -> Message:
        """Return a message that is not deleted.

        Raises:
            Refused: there is none.
        """
        messages = self.maildrop.messages if self.maildrop is not None else ()
        if number > len(messages):
            raise Refused(f"no such message, only {len(messages)} messages in maildrop")
        if number in self.deleted:
            raise Refused(f"message {number} is deleted")
        return messages[number - 1]

    def say(self, item: Response) -> None:
        """Answer, or go on answering; it is written when there is enough, or nothing else to do."""
        octets = self.connection.send(item)
        if (observer := self.service.observer) is not None:
            observer.said(self.info, masked(item))
        self._output.append(octets)
        self._collected += len(octets)

    def start_tls(self) -> Procedure[None]:
        """Shake hands; what was said goes out before. A name that the client gave in clear is forgotten.

        Raises:
            ConnectionLost, TimedOut: the handshake failed. The session is over.
        """
        yield from self._shake_hands()
        self.connection.tls_established()
        self.user = None

    def _shake_hands(self) -> Procedure[None]:
        try:
            tls = yield from StartTls(self._take_output(), self._login_until)
        except BaseException:
            self.connection.fail("the TLS handshake failed")  # there is no way back to clear text
            raise
        self.info = attrs.evolve(self.info, tls=tls)

    def _take_output(self) -> bytes:
        octets = b"".join(self._output)
        self._output.clear()
        self._collected = 0
        return octets

    def say_body(self, reply: Ok, body: bytes) -> None:
        """Answer with a body that is at hand."""
        self.say(reply)
        self.say(BodyChunk(body))
        self.say(BodyEnd())

    def nonce(self) -> Procedure[str]:
        """Return letters and digits that were never used before, and that nobody can guess."""
        return (yield from Random(_NONCE)).hex()

    def flush(self) -> Procedure[None]:
        """Write what was said."""
        if octets := self._take_output():
            patience = self.service.deadlines.write * (1 + len(octets) // _MEGABYTE)
            try:
                yield from Write(octets, (yield from Now()) + patience)
            except BaseException:
                self.connection.fail("an answer was cut off")  # so that nothing is said behind it
                raise

    def delay(self, seconds: float) -> Procedure[None]:
        """Let time pass."""
        try:
            yield from Sleep(seconds)
        except BaseException:
            self.connection.fail("the connection was given up")
            raise

    def run(self, blocks: bool, function: Callable[[], T]) -> Procedure[T]:  # noqa: FBT001 - it is the question
        """Call a function of the store or the authenticator: in the world's hands if it may block."""
        return (yield from Run(function)) if blocks else function()

    def open_maildrop(self, user: str) -> Procedure[None]:
        """Lock a user's maildrop.

        Raises:
            Refused: it cannot be opened.
        """
        store = self.service.store
        self.maildrop = yield from self.run(store.blocks, partial(store.open, user, self.info))
        self.reader = MessageReader(self.maildrop, self.deleted, blocks=store.blocks)
        self.user = user

    def close_maildrop(self) -> Procedure[None]:
        """Release the lock, if it is held."""
        if (maildrop := self.maildrop) is not None:
            self.maildrop = self.reader = None
            yield from self.run(self.service.store.blocks, maildrop.close)

    def begin(self, tls: TlsMode) -> Procedure[None]:
        """Serve the session from its first octet to its end; release the lock, however it ends."""
        self._login_until = (yield from Now()) + self.service.deadlines.login
        try:
            if tls == "implicit":
                yield from self._shake_hands()
            yield from self.converse()
        finally:
            yield from self.close_maildrop()

    def end(self, error: BaseException | None) -> None:
        """Tell the observer that it is over, and why."""
        if (observer := self.service.observer) is not None:
            observer.ended(self.info, error)

    def converse(self) -> Procedure[None]:
        """Greet, and answer until the session is over."""
        greeting = self.service.greet((yield from self.nonce()))
        self.timestamp = greeting.timestamp
        self.say(greeting)
        turn = 0  # commands since other sessions had theirs
        while not isinstance(event := self.connection.next_event(), ConnectionClosed):
            if event is Signal.NEED_DATA:
                yield from self.flush()
                yield from self._read()
                turn = 0
            elif event is Signal.PAUSED:  # nothing is due: the session is over
                break
            else:
                self._idle_until = None
                yield from self._answer(event)
                turn += 1
                if self._collected >= FLUSH_AT:
                    yield from self.flush()
                if turn >= _TURN:
                    turn = 0
                    yield from self.delay(0)
        yield from self.flush()

    def _read(self) -> Procedure[None]:
        try:
            self.connection.receive_data((yield from Read((yield from self._patience()))))
        except GoingDown:
            self._grace_until = (yield from Now()) + self.service.deadlines.grace

    def _patience(self) -> Procedure[float]:
        """Return the moment until which to wait for the next command. Half a command does not prolong it."""
        if self._idle_until is None:
            self._idle_until = (yield from Now()) + self.service.deadlines.idle
        login_until = math.inf if self.maildrop is not None else self._login_until
        return min(self._idle_until, login_until, self._grace_until)

    def _answer(self, event: Asked) -> Procedure[None]:
        try:
            if (observer := self.service.observer) is not None:
                observer.heard(self.info, masked(event))
            try:
                if self._grace_until < math.inf and not isinstance(event, Quit):
                    self._dismiss()
                elif (steps := self._handle(event)) is not None:
                    yield from steps
            except Refused as refusal:
                self.say(refusal.reply)
                if self.failed_logins >= self.service.login_attempts:
                    self.connection.fail("too many logins have failed")
        except Exception:
            yield from self._apologise()
            raise

    def _handle(self, event: Asked) -> Procedure[None] | None:
        match event:
            case BadCommand():
                self.exchange = None
                self.say(event.reply)
            case AuthCancel():
                self.exchange = None
                self.say(Err("the exchange is cancelled"))
            case AuthResponse():
                return self.service.handlers[AuthResponse](self, event)
            case command:
                if (handler := self.service.handlers.get(type(command))) is None:
                    raise Refused(f"{command.verb} is not supported here")
                return handler(self, command)
        return None

    def _dismiss(self) -> None:
        """Answer whatever it is, as the server is to end."""
        self.say(Err.coded(ResponseCode.SYS_TEMP, "the server is going down"))
        self.connection.fail("the server is going down")

    def _apologise(self) -> Procedure[None]:
        """Say that something failed that is not the client's business. The failure counts, not whether that arrives."""
        with suppress(LocalProtocolError):  # in the middle of a body, say, or because nobody listens any more
            self.say(Err.coded(ResponseCode.SYS_TEMP, "the server has a fault, and ends the session"))
        with suppress(ConnectionLost, TimedOut):
            yield from self.flush()


Asked: TypeAlias = "Command[object] | AuthResponse | AuthCancel | BadCommand"
Handler: TypeAlias = Callable[[ServerSession, "Command[object] | AuthResponse"], "Procedure[None] | None"]
Handlers: TypeAlias = Mapping[type[object], Handler]


def serve(
    service: Service,
    connection: ServerConnection,
    info: SessionInfo | None = None,
    *,
    loopback: bool = False,
    tls: TlsMode = "none",
) -> Procedure[None]:
    """Serve one session, from its greeting to its end. However it ends, the maildrop is closed.

    Args:
        service: what it shares with the others.
        connection: the protocol, before the greeting; it knows whether TLS is implicit.
        info: what the store and the authenticator may know of the client.
        loopback: the client is on this machine.
        tls: where TLS comes in.

    Raises:
        RemoteProtocolError: the client broke the protocol.
        ConnectionLost: it was gone before it had all answers.
        TimedOut: a deadline passed. RFC 1939 section 3 wants silence then.
        Exception: what the store or the authenticator raised; the client was told [SYS/TEMP] if that was possible.
    """
    session = ServerSession(service, connection, info or SessionInfo(), loopback=loopback, starttls=tls == "starttls")
    try:
        yield from session.begin(tls)
    except BaseException as error:
        session.end(error)
        raise
    else:
        session.end(None)


def refuse(connection: ServerConnection, service: Service, text: str) -> Procedure[None]:
    """Greet with `-ERR [SYS/TEMP]`, which ends the session."""
    octets = connection.send(Greeting(Err.coded(ResponseCode.SYS_TEMP, text)))
    yield from Write(octets, (yield from Now()) + service.deadlines.write)
