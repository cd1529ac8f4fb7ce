"""What a server does in one session: greet, read commands, let the handlers answer, keep the deadlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.events import AuthCancel, AuthResponse, BadCommand, ConnectionClosed, Signal
from pop3proto.core.replies import Err, Greeting, Ok, ResponseCode

from .maildrop import Maildrop, Message, Refused, SessionInfo
from .operations import Now, Procedure, Read, Run, StartTls, Write
from .policy import may_show_password

if TYPE_CHECKING:
    from pop3proto.core.commands import Command
    from pop3proto.core.server import Response, ServerConnection

    from .service import Service

__all__ = ["Handler", "Handlers", "ServerSession", "refuse", "serve"]

T = TypeVar("T")

FLUSH_AT: Final = 65_536
"""Octets of answers that are collected before they are written, while commands wait."""

_MEGABYTE: Final = 1_048_576


class ServerSession:
    """One session of a server, as its handlers see it.

    Attributes:
        service: what it shares with the others.
        connection: the protocol.
        info: the client.
        user: the name that USER gave, or that has logged in.
        maildrop: locked, after login.
        deleted: numbers of the messages that DELE has marked.
        retrieved: numbers of the messages that RETR has sent.
        failed_logins: how many passwords were wrong.
    """

    def __init__(self, service: Service, connection: ServerConnection, info: SessionInfo, *, loopback: bool) -> None:
        self.service: Final = service
        self.connection: Final = connection
        self.info: Final = info
        self.user: str | None = None
        self.maildrop: Maildrop | None = None
        self.deleted: Final[set[int]] = set()
        self.retrieved: Final[set[int]] = set()
        self.failed_logins = 0
        self._loopback: Final = loopback
        self._output: list[bytes] = []
        self._collected = 0  # octets of these
        self._login_until = 0.0
        self._idle_until: float | None = None  # None: a command has come since the last time that we waited for one

    @property
    def may_show_password(self) -> bool:
        """Whether passwords may cross the wire as they are."""
        return may_show_password(
            tls=self.connection.tls, loopback=self._loopback, allow_cleartext=self.service.allow_cleartext
        )

    def messages(self) -> dict[int, Message]:
        """Return the messages that are not deleted, by number."""
        messages = self.maildrop.messages if self.maildrop is not None else ()
        return {number: message for number, message in enumerate(messages, 1) if number not in self.deleted}

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
        self._output.append(octets)
        self._collected += len(octets)

    def flush(self) -> Procedure[None]:
        """Write what was said."""
        if octets := b"".join(self._output):
            self._output.clear()
            self._collected = 0
            patience = self.service.deadlines.write * (1 + len(octets) // _MEGABYTE)
            try:
                yield from Write(octets, (yield from Now()) + patience)
            except BaseException:
                self.connection.fail("an answer was cut off")  # so that nothing is said behind it
                raise

    def run(self, blocks: bool, function: Callable[[], T]) -> Procedure[T]:  # noqa: FBT001 - it is the question
        """Call a function of the store or the authenticator: in the world's hands if it may block."""
        return (yield from Run(function)) if blocks else function()

    def close_maildrop(self) -> Procedure[None]:
        """Release the lock, if it is held."""
        if (maildrop := self.maildrop) is not None:
            self.maildrop = None
            yield from self.run(self.service.store.blocks, maildrop.close)

    def converse(self) -> Procedure[None]:
        """Greet, and answer until the session is over."""
        self._login_until = (yield from Now()) + self.service.deadlines.login
        self.say(Greeting(Ok(self.service.greeting)))
        while not isinstance(event := self.connection.next_event(), ConnectionClosed):
            if event is Signal.NEED_DATA:
                yield from self.flush()
                self.connection.receive_data((yield from Read((yield from self._patience()))))
            elif event is Signal.PAUSED:  # nothing is due: the session is over
                break
            else:
                self._idle_until = None
                yield from self._answer(event)
                if self._collected >= FLUSH_AT:
                    yield from self.flush()
        yield from self.flush()

    def _patience(self) -> Procedure[float]:
        """Return the moment until which to wait for the next command. Half a command does not prolong it."""
        if self._idle_until is None:
            self._idle_until = (yield from Now()) + self.service.deadlines.idle
        return self._idle_until if self.maildrop is not None else min(self._idle_until, self._login_until)

    def _answer(self, event: Asked) -> Procedure[None]:
        try:
            try:
                if (steps := self._handle(event)) is not None:
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
                self.say(event.reply)
            case AuthCancel():
                self.say(Err("the exchange is cancelled"))
            case AuthResponse():
                return self.service.handlers[AuthResponse](self, event)
            case command:
                if (handler := self.service.handlers.get(type(command))) is None:
                    raise Refused(f"{command.verb} is not supported here")
                return handler(self, command)
        return None

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
    handshake: bool = False,
) -> Procedure[None]:
    """Serve one session, from its greeting to its end. However it ends, the maildrop is closed.

    Args:
        service: what it shares with the others.
        connection: the protocol, before the greeting.
        info: what the store may know of the client.
        loopback: the client is on this machine.
        handshake: begin with the handshake of implicit TLS.

    Raises:
        RemoteProtocolError: the client broke the protocol.
        ConnectionLost: it was gone before it had all answers.
        TimedOut: a deadline passed. RFC 1939 section 3 wants silence then.
        Exception: what the store or the authenticator raised; the client was told [SYS/TEMP] if that was possible.
    """
    session = ServerSession(service, connection, info or SessionInfo(), loopback=loopback)
    try:
        if handshake:
            yield from StartTls(until=(yield from Now()) + service.deadlines.login)
        yield from session.converse()
    finally:
        yield from session.close_maildrop()


def refuse(connection: ServerConnection, service: Service, text: str) -> Procedure[None]:
    """Greet with `-ERR [SYS/TEMP]`, which ends the session."""
    octets = connection.send(Greeting(Err.coded(ResponseCode.SYS_TEMP, text)))
    yield from Write(octets, (yield from Now()) + service.deadlines.write)
