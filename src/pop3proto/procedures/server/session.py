"""The server's session, as handlers of commands use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.events import BodyChunk, BodyEnd
from pop3proto.procedures.cleartext import may_show_password
from pop3proto.procedures.maildrop import Maildrop, Message, Refused
from pop3proto.procedures.observer import Observers
from pop3proto.procedures.operations import Now, Procedure, Random, Run, RunLogin, Sleep, StartTls, Write

from .calls import awaited
from .messages import MessageReader

if TYPE_CHECKING:
    from pop3proto.core.commands import Command
    from pop3proto.core.events import AuthResponse
    from pop3proto.core.replies import Ok
    from pop3proto.core.server import Response, ServerConnection
    from pop3proto.sasl.channel import SessionInfo
    from pop3proto.sasl.mechanism import ServerMechanism
    from pop3proto.sasl.registry import ServerEntry

    from .settings import ServiceSettings

__all__ = ["NONCE", "Handler", "HandlerTable", "Handlers", "ServerSession"]

T = TypeVar("T")
C = TypeVar("C", bound="Command[object] | AuthResponse")

_MEGABYTE: Final = 1_048_576
NONCE: Final = 16
"""Random octets in a timestamp or a challenge."""


class ServerSession:
    """A server's session: its state and the ways to answer, for handlers of commands.

    Attributes:
        settings: settings that all sessions of the server share.
        connection: the protocol.
        info: the client, as stores and authenticators see it.
        timestamp: the timestamp of the greeting, for APOP; None: the greeting has none.
        exchange: the SASL exchange in progress.
        user: the name from USER, or the user that is logged in.
        maildrop: the locked maildrop; None before login.
        reader: reads its messages.
        deleted: numbers of the messages marked by DELE.
        retrieved: numbers of the messages sent by RETR.
        failed_logins: number of refused logins.
        observers: the observers of this session.
        collected: number of octets that wait to be written.
        login_until: deadline of the login.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        connection: ServerConnection,
        info: SessionInfo,
        *,
        loopback: bool = False,
        starttls: bool = False,
    ) -> None:
        self.settings: Final = settings
        self.connection: Final = connection
        self.info: SessionInfo = info
        self.timestamp: str | None = None
        self.exchange: ServerMechanism | None = None
        self.user: str | None = None
        self.maildrop: Maildrop | None = None
        self.reader: MessageReader | None = None
        self.deleted: Final[set[int]] = set()
        self.retrieved: Final[set[int]] = set()
        self.failed_logins = 0
        self.login_until: float = 0.0
        self.observers: Final = Observers(settings.observer)
        self._loopback: Final = loopback
        self._starttls: Final = starttls
        self._output: list[bytes] = []
        self.collected: int = 0  # octets of these

    @property
    def may_show_password(self) -> bool:
        """Whether passwords may cross the wire as they are."""
        return may_show_password(self.settings.cleartext, tls=self.connection.tls, loopback=self._loopback)

    @property
    def offers(self) -> dict[str, ServerEntry]:
        """The mechanisms that this client can use."""
        return self.settings.offers(self.info, may_show_password=self.may_show_password)

    @property
    def may_start_tls(self) -> bool:
        """Whether STLS works: before login, and once (RFC 2595 section 4)."""
        return self._starttls and not self.connection.tls and self.maildrop is None

    def messages(self) -> dict[int, Message]:
        """Return the messages that are not deleted, by number."""
        messages = self.maildrop.messages if self.maildrop is not None else ()
        return {number: message for number, message in enumerate(messages, 1) if number not in self.deleted}

    def summary(self) -> str:
        """Return how many messages there are, and their octets, as text."""
        messages = self.messages().values()
        return f"{len(messages)} messages ({sum(message.octets for message in messages)} octets)"

    def message(self, number: int) -> Message:
        """Return a message that is not deleted.

        Raises:
            Refused: there is no such message, or it is deleted.
        """
        messages = self.maildrop.messages if self.maildrop is not None else ()
        if number > len(messages):
            raise Refused(f"no such message, only {len(messages)} messages in maildrop")
        if number in self.deleted:
            raise Refused(f"message {number} is deleted")
        return messages[number - 1]

    def say(self, item: Response) -> None:
        """Add to the answer. It is written when 64 KiB are collected or no complete command waits."""
        octets = self.connection.send(item)
        self.observers.said(self.info, item)
        self._output.append(octets)
        self.collected += len(octets)

    def start_tls(self) -> Procedure[None]:
        """Write what was said so far, and do the TLS handshake. A name from USER, sent in clear, is forgotten.

        Raises:
            ConnectionLost, TimedOut: the handshake failed. The session is over.
        """
        yield from self.shake_hands()
        self.connection.tls_established()
        self.user = None

    def shake_hands(self) -> Procedure[None]:
        """Do the TLS handshake, without telling the connection.

        Raises:
            ConnectionLost, TimedOut: as `start_tls`.
        """
        try:
            tls = yield from StartTls(self._take_output(), self.login_until)
        except BaseException:
            self.connection.fail("the TLS handshake failed")  # the session cannot go on in clear
            raise
        self.info = attrs.evolve(self.info, tls=tls)

    def _take_output(self) -> bytes:
        octets = b"".join(self._output)
        self._output.clear()
        self.collected = 0
        return octets

    def say_body(self, reply: Ok, body: bytes) -> None:
        """Answer with a whole body."""
        self.say(reply)
        self.say(BodyChunk(body))
        self.say(BodyEnd())

    def nonce(self) -> Procedure[str]:
        """Return random hexadecimal digits for a challenge."""
        return (yield from Random(NONCE)).hex()

    def flush(self) -> Procedure[None]:
        """Write what was said."""
        if octets := self._take_output():
            timeout = self.settings.deadlines.write * (1 + len(octets) // _MEGABYTE)
            try:
                yield from Write(octets, (yield from Now()) + timeout)
            except BaseException:
                self.connection.fail("an answer was cut off")  # nothing may follow half an answer
                raise

    def delay(self, seconds: float) -> Procedure[None]:
        """Wait for some seconds; 0 lets other sessions run."""
        try:
            yield from Sleep(seconds)
        except BaseException:
            self.connection.fail("the connection was given up")
            raise

    def call_store(self, function: Callable[[], T | Awaitable[T]]) -> Procedure[T]:
        """Call a function of the store, in a worker thread if the store blocks, and await what it returns if it can be.

        Args:
            function: plain, or a coroutine function; it takes no arguments.
        """
        answer = (yield from Run(function)) if self.settings.store.blocks else function()
        return (yield from awaited(answer))

    def call_authenticator(self, function: Callable[[], T | Awaitable[T]]) -> Procedure[T]:
        """Call a function of the authenticator, as `call_store`, in a worker thread for logins if it blocks."""
        answer = (yield from RunLogin(function)) if self.settings.authenticator.blocks else function()
        return (yield from awaited(answer))

    def open_maildrop(self, user: str) -> Procedure[None]:
        """Lock a user's maildrop.

        Raises:
            Refused: it cannot be opened.
        """
        store, before = self.settings.store, self.info
        self.info = attrs.evolve(before, user=user)
        try:
            self.maildrop = yield from self.call_store(partial(store.open, user, self.info))
        except BaseException:
            self.info = before
            raise
        self.reader = MessageReader(self.maildrop, self.deleted, blocks=store.blocks)
        self.user = user

    def close_maildrop(self) -> Procedure[None]:
        """Release the lock, if it is held."""
        if (maildrop := self.maildrop) is not None:
            self.maildrop = self.reader = None
            yield from self.call_store(maildrop.close)


Handler: TypeAlias = Callable[[ServerSession, "Command[object] | AuthResponse"], "Procedure[None] | None"]
Handlers: TypeAlias = Mapping[type[object], Handler]


class HandlerTable(dict[type[object], Handler]):
    """Handlers by the class of what they answer."""

    def answers(
        self, kind: type[C]
    ) -> Callable[[Callable[[ServerSession, C], Procedure[None] | None]], Callable[[ServerSession, C], object]]:
        """Return a decorator that enters a handler."""

        def enter(
            handler: Callable[[ServerSession, C], Procedure[None] | None],
        ) -> Callable[[ServerSession, C], object]:
            self[kind] = cast("Handler", handler)
            return handler

        return enter
