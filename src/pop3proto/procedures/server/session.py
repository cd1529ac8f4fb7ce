"""The server's session, as handlers of commands use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.events import BodyChunk, BodyEnd
from pop3proto.core.results import MaildropStatus
from pop3proto.procedures.cleartext import may_show_password
from pop3proto.procedures.maildrop import Maildrop, Message, Refused
from pop3proto.procedures.operations import Procedure, StartTls
from pop3proto.sasl.answers import answered, settled
from pop3proto.sasl.authenticator import SupportsSessionEnded, implements
from pop3proto.sasl.mechanism import DialogueServer

from .calls import CLIENT_ERRORS, awaited, call, close_without_waiting, fault
from .checks import check_maildrop
from .limits import SessionLimiter
from .messages import MessageReader
from .output import SessionOutput
from .session_logins import SessionLogins
from .session_policy import SessionPolicy
from .session_record import SessionRecord

if TYPE_CHECKING:
    from pop3proto.core.commands import Command
    from pop3proto.core.events import AuthResponse
    from pop3proto.core.replies import Ok
    from pop3proto.core.server import ServerConnection
    from pop3proto.sasl.answers import Steps
    from pop3proto.sasl.channel import SessionInfo
    from pop3proto.sasl.mechanism import ServerMechanism
    from pop3proto.sasl.registry import ServerEntry

    from .limits import Place
    from .settings import ServiceSettings

__all__ = ["Handler", "HandlerTable", "Handlers", "ServerSession"]

T = TypeVar("T")
C = TypeVar("C", bound="Command[object] | AuthResponse")

_TAIL: Final = 2  # octets of a message that wait for its end, or for more


class ServerSession(SessionOutput):
    """A server's session: its state and the ways to answer, for handlers of commands.

    Attributes:
        settings: settings that all sessions of the server share.
        connection: the protocol.
        info: the client, as stores and authenticators see it.
        timestamp: the timestamp of the greeting, for APOP; None: the greeting has none.
        exchange: the SASL exchange in progress.
        user: the name from USER, or the user that is logged in.
        maildrop: the locked maildrop; None before login.
        deleted: numbers of the messages marked by DELE; `delete` adds to them.
        retrieved: numbers of the messages sent by RETR.
        record: what it has done.
        logins: its logins.
        policy: what the policy says of it.
        collected: number of octets that wait to be written.
        worked: work that was done since other sessions could run: 1 is a command.
    """

    def __init__(  # noqa: PLR0913 - each has its default, and a name
        self,
        settings: ServiceSettings,
        connection: ServerConnection,
        info: SessionInfo,
        *,
        loopback: bool = False,
        starttls: bool = False,
        awaits: bool = True,
        place: Place | None = None,
        record: SessionRecord | None = None,
    ) -> None:
        super().__init__(settings, connection, info, record or SessionRecord())
        self.timestamp: str | None = None
        self.exchange: ServerMechanism | None = None
        self.user: str | None = None
        self.maildrop: Maildrop | None = None
        self.deleted: Final[set[int]] = set()
        self.retrieved: Final[set[int]] = set()
        self._place: Final = place or SessionLimiter(settings).place(info.address)
        self.logins: Final = SessionLogins(self._break_off, self._place, self.record, self.tell_login_failed)
        self.policy: Final = SessionPolicy(self._break_off, settings.policy, self._place)
        self._reader: MessageReader | None = None
        self._loopback: Final = loopback
        self._starttls: Final = starttls
        self._awaits: Final = awaits
        # Counted once: a listing of 100,000 messages takes longer than other sessions can wait.
        self._octets = 0
        self._deleted_octets = 0

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

    @property
    def status(self) -> MaildropStatus:
        """Number and octets of the messages that are not deleted."""
        count = len(self.maildrop.messages) if self.maildrop is not None else 0
        return MaildropStatus(count - len(self.deleted), self._octets - self._deleted_octets)

    def summary(self) -> str:
        """Return how many messages there are, and their octets, as text."""
        status = self.status
        return f"{status.count} {'message' if status.count == 1 else 'messages'} ({status.octets} octets)"

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

    def delete(self, number: int) -> None:
        """Mark a message as deleted.

        Raises:
            Refused: as `message`.
        """
        self._deleted_octets += self.message(number).octets
        self.deleted.add(number)

    def reset(self) -> None:
        """Take back what `delete` has marked, and forget what was retrieved."""
        self.deleted.clear()
        self.retrieved.clear()
        self._deleted_octets = 0

    def correct(self, number: int, octets: int) -> Procedure[None]:
        """Tell the maildrop that RETR has sent another number of octets than it announced."""
        if (maildrop := self.maildrop) is not None:
            before = self.message(number).octets
            yield from self.call_store(partial(maildrop.correct, number, octets))
            self._octets += self.message(number).octets - before

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
            tls = yield from StartTls(self._take_output(), self.logins.until)
        except BaseException:
            self.connection.fail("the TLS handshake failed")  # the session cannot go on in clear
            raise
        self.info: SessionInfo = attrs.evolve(self.info, tls=tls)
        self.record.tls = tls.version

    def say_message(self, number: int, reply: Ok, lines: int | None = None) -> bool:
        """Answer with a message, or its top, if it was read ahead; return whether it was.

        Args:
            number: as in `send_message`.
            reply: as in `send_message`.
            lines: as in `send_message`.
        """
        assert self._reader is not None  # noqa: S101 - there are messages after login only
        if (octets := self._reader.take(number, lines)) is None:
            return False
        self.say_body(reply, octets)
        return True

    def send_message(self, number: int, reply: Ok, lines: int | None = None) -> Procedure[None]:
        """Answer with a message, or its top, in constant memory.

        Args:
            number: the message's, which is not deleted.
            reply: goes before it.
            lines: how many lines of the body to send behind the header; None: the whole message.

        Raises:
            Refused: it cannot be read; nothing was said.
            Broken: it could not be read to its end. The client must not take what it has for the whole: hang up.
        """
        reader = self._reader
        assert reader is not None  # noqa: S101 - there are messages after login only
        piece, message = yield from reader.begin(number, lines)
        if message is None:
            self.say_body(reply, piece)
            return
        self.say(reply)
        try:
            while True:
                self.say(BodyChunk(piece))
                del piece  # it is held as it will be sent
                if message is None:
                    break
                # The end goes out with the last octets: some clients choke on a dot in a packet of its own.
                yield from self._flush(keep=_TAIL)
                piece, message = yield from reader.go_on(message)
        except BaseException:
            self._break_off()
            raise
        finally:
            if message is not None:
                yield from reader.give_up(message)
        self.say(BodyEnd())

    def call_store(self, function: Callable[[], T | Awaitable[T]]) -> Procedure[T]:
        """Call a function of the store, in a worker thread if the store blocks, and await what it returns if it can be.

        Args:
            function: plain, or a coroutine function; it takes no arguments.

        Raises:
            RuntimeError: it raised `ConnectionLost`, `TimedOut` or `RemoteProtocolError`: not about the client.
            Exception: whatever else it raised.
        """
        return call("the store", function, blocks=self.settings.store.blocks)

    @property
    def exchange_rejected(self) -> bool:
        """Whether the last challenge of the exchange in progress says that the credentials are wrong."""
        exchange: object = self.exchange
        return isinstance(exchange, DialogueServer) and exchange.rejected

    def call_authenticator(
        self,
        function: Callable[[], T | Awaitable[T]],
        claimed_user: Callable[[], str] = str,
        rejected: Callable[[], bool] = bool,
    ) -> Procedure[T]:
        """Call a function of the authenticator, as `call_store`, but in a worker thread for logins if it blocks.

        Before that it waits as long as the failures from this address demand, and for its turn.

        Args:
            function: as in `call_store`.
            claimed_user: returns whom the client says that it is, for the log; "" if it has not said it.
            rejected: returns whether the credentials turned out to be wrong, though the function returned.

        Raises:
            CredentialsRejected: the function raised it; the failure was noted.
            RuntimeError: as `call_store`.
            Refused: its turn, or what it returned, was awaited until the deadline of the login; the session ends.
        """
        attempt = self.logins.attempt or self.logins.begin("-", (yield from self.now()))
        return (
            yield from self.logins.call(
                attempt,
                function,
                blocks=self.settings.authenticator.blocks,
                claimed_user=claimed_user,
                rejected=rejected,
            )
        )

    def open_maildrop(self, user: str) -> Procedure[None]:
        """Lock a user's maildrop.

        Raises:
            Refused: it cannot be opened.
            TypeError: what the store has opened cannot serve; `close_maildrop` closes it.
        """
        before = self.info
        self.info = attrs.evolve(before, user=user)
        try:
            steps = self._open(user)
            yield from self.call_store(lambda: settled(steps))
        except BaseException:
            if self.maildrop is None:
                self.info = before
            raise
        self.user = self.record.user = user
        self.record.method = self.logins.method

    def _open(self, user: str) -> Steps[None]:
        store = self.settings.store
        maildrop = yield from answered(store.open(user, self.info))
        self.maildrop = maildrop if hasattr(maildrop, "close") else None
        check_maildrop(maildrop, awaits=self._awaits)
        self._octets = sum(message.octets for message in maildrop.messages)
        self._reader = MessageReader(maildrop, self.deleted, blocks=store.blocks)

    def close_maildrop(self) -> Procedure[None]:
        """Release the lock, if it is held."""
        if (maildrop := self.maildrop) is not None:
            self.maildrop = self._reader = None
            # Even one that was refused for its coroutine methods is closed, as far as that is possible.
            yield from self.call_store(
                maildrop.close if self._awaits else partial(close_without_waiting, maildrop.close)
            )

    def tell_authenticator(self) -> Procedure[None]:
        """Tell an authenticator that wants to know it that the session has ended."""
        authenticator = self.settings.authenticator
        if implements(authenticator, SupportsSessionEnded):
            ended = partial(authenticator.session_ended, self.info)
            try:
                yield from awaited((yield from self._place.run_end(ended)) if authenticator.blocks else ended())
            except CLIENT_ERRORS as error:
                raise fault("the authenticator", error) from error


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
