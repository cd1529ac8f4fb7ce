"""Watch the clients of a test server, and note what they do that they must not. No I/O."""

from __future__ import annotations

import threading
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

import attrs
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.command import Command
from pop3proto.core.commands import STANDARD, Vocabulary
from pop3proto.core.errors import ConnectionLost, LocalProtocolError
from pop3proto.core.replies import Err, Ok
from pop3proto.core.session_state import SessionState
from pop3proto.core.states import Fact, State
from pop3proto.core.text import excerpt
from pop3proto.procedures.operations import Look, Operation, Procedure, Read, Sleep, StartTls, Write

from .faults.dialogue import GREETING, Asked, Body, ChallengeLine, Dialogue, End, Part, StatusLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Set as AbstractSet

    from pop3proto.procedures.server.session import Handlers

__all__ = ["ClientRule", "Offence", "OffencesFound", "Watch", "Watchers"]

_LONGEST: Final = 255  # octets of a command line with its CRLF
_HASTE: Final = 0.02  # seconds before the greeting, in which a hasty client shows itself
_LOGINS: Final = {"PASS", "APOP", "AUTH"}
_CLEAR_MECHANISMS: Final = {"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"}


class ClientRule(Enum):
    """What a client must not do. The value says it, and which RFC does."""

    BEFORE_GREETING = "a command before the greeting (RFC 1939 section 4)"
    PIPELINED = (
        "a command before the answer to the last one, though PIPELINING was not announced (RFC 2449 section 6.6)"
    )
    BEHIND_STLS = "octets behind STLS before it was answered (RFC 2595 section 4)"
    BEHIND_LOGIN = "a command behind PASS, APOP or AUTH before it was answered"
    BEHIND_QUIT = "a command behind QUIT"
    NO_QUIT = "a hang-up after login without QUIT: no message is removed (RFC 1939 section 6)"
    CLEAR_PASSWORD = "a password or token without TLS, which the server has (RFC 8314 section 5.2)"  # noqa: S105
    TOO_LONG = "a command line of more than 255 octets (RFC 2449 section 4)"
    BARE_LF = "a line that ends with LF alone (RFC 1939 section 3)"
    MALFORMED = "no command, or not with these arguments (RFC 1939 section 3)"
    ILLEGAL = "a command in a state in which it is not legal (RFC 1939 section 3)"
    UNANNOUNCED_RESPONSE = "AUTH with an initial response, though SASL was not announced (RFC 5034 section 3)"
    LOWER_CASE = "a verb that is not in capitals, as all clients write it"
    DELETED_UNREAD = "DELE of a message that was not retrieved whole"


@attrs.frozen
class Offence:
    """What a client has done.

    Args:
        rule: what it must not do.
        what: the line, without a secret; "" if there is none.
    """

    rule: ClientRule
    what: str = ""

    @override
    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.what}: {self.rule.value}" if self.what else self.rule.value


class OffencesFound(AssertionError):
    """Clients have done what they must not.

    Attributes:
        offences: all of them.
    """

    def __init__(self, offences: Iterable[Offence], text: str) -> None:
        super().__init__(text)
        self.offences: Final = tuple(offences)


class Watch:
    """Watches one session.

    Args:
        watchers: those of the server.

    Attributes:
        offences: what the client has done.
    """

    def __init__(self, watchers: Watchers) -> None:
        self.offences: Final[list[Offence]] = []
        self._watchers: Final = watchers
        self._dialogue: Final = Dialogue()
        self._session = SessionState(State.AUTHORIZATION)
        self._body: Final[list[bytes]] = []  # of an answer to CAPA
        self._announced: Capabilities | None = None
        self._whole: Final[set[int]] = set()  # messages that were sent to the client
        self._quit = False

    def client(self, octets: bytes) -> None:
        """Take what the client sends; empty: it has hung up."""
        if not octets:
            if self._session.state is State.TRANSACTION and not self._quit:
                self._note(ClientRule.NO_QUIT)
                self._quit = True  # it is told once
            return
        for asked in self._dialogue.client(octets):
            self._judge(asked)
            self._dialogue.ask(asked)
        if self._dialogue.unfinished and self._verb_due("STLS"):
            self._note(ClientRule.BEHIND_STLS)

    def server(self, octets: bytes) -> None:
        """Take what the client gets."""
        for part in self._dialogue.server(octets):
            self._follow(part)

    def ended(self) -> None:
        """Take note that the session is over."""
        self._watchers.retrieved |= bool(self._whole)

    def tls_begun(self) -> None:
        """Take note that TLS has begun: what was announced before counts no more."""
        self._announced = None
        self._session = self._session.at(State.AUTHORIZATION).with_fact(Fact.TLS)

    def _note(self, rule: ClientRule, asked: Asked | None = None) -> None:
        if rule in self._watchers.rules:
            self.offences.append(Offence(rule, "" if asked is None else _shown(asked)))

    def _verb_due(self, *verbs: str) -> bool:
        return any(asked.verb in verbs for asked in self._dialogue.due if asked.octets)

    def _judge(self, asked: Asked) -> None:
        if not asked.octets.endswith(b"\r\n"):
            self._note(ClientRule.BARE_LF, asked)
        if asked.response:
            return
        self._judge_time(asked)
        line = asked.octets.removesuffix(b"\n").removesuffix(b"\r")
        if len(asked.octets) > _LONGEST:
            self._note(ClientRule.TOO_LONG, asked)
        if (verb := line.partition(b" ")[0]) != verb.upper():
            self._note(ClientRule.LOWER_CASE, asked)
        try:
            command = self._watchers.vocabulary.parse(line)
        except LocalProtocolError:
            self._note(ClientRule.MALFORMED, asked)
            return
        if not self._verb_due("STLS", "QUIT") and self._expected().objection(command) is not None:
            self._note(ClientRule.ILLEGAL, asked)
        self._judge_command(asked)
        self._quit |= asked.verb == "QUIT"

    def _judge_time(self, asked: Asked) -> None:
        due = self._dialogue.due
        if not due:
            return
        if due[-1] is GREETING:
            self._note(ClientRule.BEFORE_GREETING, asked)
        elif self._verb_due("STLS"):
            self._note(ClientRule.BEHIND_STLS, asked)
        elif self._verb_due(*_LOGINS):
            self._note(ClientRule.BEHIND_LOGIN, asked)
        elif self._verb_due("QUIT"):
            self._note(ClientRule.BEHIND_QUIT, asked)
        elif self._announced is None or not self._announced.pipelining:
            self._note(ClientRule.PIPELINED, asked)

    def _judge_command(self, asked: Asked) -> None:
        words = asked.words
        clear = words[0] == "PASS" or (words[0] == "AUTH" and words[1:2] and words[1].upper() in _CLEAR_MECHANISMS)
        if clear and self._watchers.offers_tls and Fact.TLS not in self._session.facts:
            self._note(ClientRule.CLEAR_PASSWORD, asked)
        if words[0] == "AUTH" and len(words) > 2 and not (self._announced and self._announced.sasl):  # noqa: PLR2004
            self._note(ClientRule.UNANNOUNCED_RESPONSE, asked)
        unread = words[0] == "DELE" and asked.number not in self._whole
        if unread and not self._watchers.retrieved:  # else it may have done so in an earlier session
            self._note(ClientRule.DELETED_UNREAD, asked)

    def _command(self, asked: Asked) -> Command[object] | None:
        try:
            return self._watchers.vocabulary.parse(asked.octets.rstrip(b"\r\n"))
        except LocalProtocolError:
            return None

    def _expected(self) -> SessionState:
        """Return the state if all that is due is accepted."""
        session = self._session
        for asked in self._dialogue.due:
            if (command := self._command(asked)) is not None:
                session = session.after(command, Ok)
        return session

    def _follow(self, part: Part) -> None:
        match part:
            case StatusLine(asked) if asked.octets:
                self._body.clear()
                command = self._command(asked)
                if command is not None:
                    self._session = self._session.after(command, Ok if part.positive else Err)
            case Body(asked, octets) if asked.verb == "CAPA":
                self._body.append(octets)
            case End(asked) if asked.verb == "CAPA":
                self._announced = Capabilities.parse(b"".join(self._body))
            case End(asked) if asked.verb == "RETR" and asked.number is not None:
                self._whole.add(asked.number)
            case StatusLine() | ChallengeLine() | Body() | End():
                pass


def _shown(asked: Asked) -> str:
    """Return a line without its secret."""
    words = asked.octets.split()
    if words and words[0].upper() in {b"PASS", b"APOP", b"AUTH"}:
        words = [*words[:1], *(words[1:2] if words[0].upper() != b"PASS" else []), b"***"]
        return excerpt(b" ".join(words[:3]))
    return excerpt(asked.octets.rstrip(b"\r\n"))


class Watchers:
    """Watches all sessions of one server.

    Args:
        rules: what is looked at.
        handlers: of the server: its commands are known.
        offers_tls: the server has TLS.

    Attributes:
        vocabulary: the commands that are known.
        retrieved: some session has retrieved a message.
    """

    def __init__(self, rules: AbstractSet[ClientRule], handlers: Handlers, *, offers_tls: bool) -> None:
        commands = {cast("type[Command[object]]", kind) for kind in handlers if issubclass(kind, Command)}
        self.rules: Final = rules
        self.vocabulary: Final = Vocabulary(STANDARD | commands)
        self.offers_tls: Final = offers_tls
        self.retrieved: bool = False
        self._present: Final = threading.local()

    @property
    def present(self) -> Watch | None:
        """Who watches the session that runs in this thread now."""
        return getattr(self._present, "watch", None)

    def around(self, session: Procedure[None]) -> Procedure[None]:
        """Return a procedure that performs a session, and watches its client."""
        watch = Watch(self)
        early: list[bytes] = []
        greeted = False
        result: object = None
        error: BaseException | None = None
        while True:
            self._present.watch = watch  # for the observer that records the session
            try:
                operation = session.send(result) if error is None else session.throw(error)
            except StopIteration:
                watch.ended()
                return
            finally:
                self._present.watch = None
            result = error = None
            if isinstance(operation, Write) and not greeted:
                greeted = True
                early += yield from _hasty(watch)
            try:
                if isinstance(operation, Read) and early:
                    result = early.pop(0)
                    continue
                result = yield from self._perform(operation, watch)
            except BaseException as raised:  # noqa: BLE001 - it belongs to the session
                error = raised

    def _perform(self, operation: Operation[object], watch: Watch) -> Procedure[object]:
        if isinstance(operation, Write):
            watch.server(operation.octets)
        elif isinstance(operation, StartTls):
            watch.server(operation.last_words)
        try:
            result = yield operation
        except ConnectionLost:
            watch.client(b"")
            raise
        if isinstance(operation, Read) and isinstance(result, bytes):
            watch.client(result)
        elif isinstance(operation, StartTls):
            watch.tls_begun()
        return result


def _hasty(watch: Watch) -> Procedure[list[bytes]]:
    """Return what a client has sent that did not wait for the greeting."""
    yield from Sleep(_HASTE)
    try:
        octets = yield from Look()
    except LocalProtocolError:
        return []  # in memory a client cannot say anything before
    if octets is None:
        return []
    watch.client(octets)
    return [octets]
