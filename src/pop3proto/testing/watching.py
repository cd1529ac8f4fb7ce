"""Watch the clients of a test server, and note what they do that they must not. No I/O."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, cast

import attrs

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.command import Command
from pop3proto.core.commands import STANDARD, Dele, Quit, Rset, Vocabulary
from pop3proto.core.errors import ConnectionLost, LocalProtocolError
from pop3proto.core.replies import Err, Ok
from pop3proto.core.session_state import SessionState
from pop3proto.core.states import Fact, State
from pop3proto.core.text import ascii_upper, counted, read_number
from pop3proto.procedures.operations import Look, Operation, Procedure, Read, Sleep, StartTls, Write
from pop3proto.sasl.registry import SERVER_MECHANISMS

from .faults.dialogue import GREETING, Asked, Body, ChallengeLine, Dialogue, End, Part, StatusLine
from .offences import ClientRule, Offence

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pop3proto.procedures.server.session import Handlers

__all__ = ["Watch", "Watchers"]

_LONGEST: Final = 255  # octets of a command line with its CRLF
_HASTE: Final = 0.02  # seconds before the greeting, in which a hasty client shows itself
_LOGINS: Final = {"PASS", "APOP", "AUTH"}
_CLEAR_MECHANISMS: Final = {"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"}
_NUMBERED: Final = {"DELE", "LIST", "RETR", "TOP", "UIDL"}
_BEHIND_USER: Final = {"PASS", "QUIT"}


class Watch:
    """Watches one session.

    Args:
        watchers: those of the server.

    Attributes:
        offences: what the client has done.
        challenges: how many challenges the server has said since the last AUTH; whoever hears the server counts them.
    """

    def __init__(self, watchers: Watchers) -> None:
        self.offences: Final[list[Offence]] = []
        self.challenges: int = 0
        self._watchers: Final = watchers
        self._dialogue: Final = Dialogue()
        self._session = SessionState(State.AUTHORIZATION)
        self._challenges = 0  # of these, as many have come to the client
        self._challenged = False  # by `+OK`, in which nobody else sees a challenge
        self._early = 0  # responses that did not wait for their challenge
        self._body: Final[list[bytes]] = []  # of an answer to CAPA or TOP
        self._announced: Capabilities | None = None
        self._whole: Final[set[int]] = set()  # messages that were sent to the client
        self._deleted: Final[dict[int, Asked]] = {}
        self._quit = False

    def client(self, octets: bytes) -> None:
        """Take what the client sends; empty: it has hung up."""
        if not octets:
            if self._session.state is State.TRANSACTION and not self._quit:
                self._note(ClientRule.NO_QUIT)
                self._quit = True  # it is told once
            return
        for line in self._dialogue.client(octets):
            asked = self._told_apart(line)
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
            self.offences.append(Offence(rule, "" if asked is None else self._shown(asked)))

    def _shown(self, asked: Asked) -> str:
        """Return of a line what cannot be a secret: clients that are out of step send passwords anywhere."""
        line = asked.octets.rstrip(b"\r\n")
        verb, *arguments = line.decode("latin-1").split(" ")
        name = ascii_upper(verb)
        if asked.response or self._in_exchange or name not in self._watchers.verbs:
            return f"a line of {counted(len(line), 'octet')}"
        if name == "AUTH":
            known = [word for word in arguments[:1] if ascii_upper(word) in SERVER_MECHANISMS]
        else:
            numbers = [read_number(word.encode("latin-1")) for word in arguments]
            known = arguments if name in _NUMBERED and None not in numbers else []
        return repr(" ".join([verb, *known, *(["***"] if len(known) < len(arguments) else [])]))

    @property
    def _in_exchange(self) -> bool:
        """Whether the client has said AUTH, and has not got the final answer."""
        return any(asked.verb == "AUTH" and len(asked.words) > 1 for asked in self._dialogue.due if asked.octets)

    def _verb_due(self, *verbs: str) -> bool:
        return any(asked.verb in verbs for asked in self._dialogue.due if asked.octets)

    def _told_apart(self, asked: Asked) -> Asked:
        """Return a line of the client; it knows whether it is a response."""
        if asked.response:
            return asked
        if self._challenged:
            self._challenged = False
            return attrs.evolve(asked, response=True)
        if not self._in_exchange:
            self.challenges = 0
            self._challenges = self._early = 0
        elif self._command(asked) is None:
            self._early += 1
            self._note(ClientRule.BEHIND_LOGIN, asked)
            return attrs.evolve(asked, response=True)
        return asked

    def _judge(self, asked: Asked) -> None:
        if not asked.octets.endswith(b"\r\n"):
            self._note(ClientRule.BARE_LF, asked)
        if asked.response:
            return
        self._judge_time(asked)
        line = asked.octets.removesuffix(b"\n").removesuffix(b"\r")
        if len(asked.octets) > _LONGEST:
            self._note(ClientRule.TOO_LONG, asked)
        verb = line.partition(b" ")[0].decode("latin-1")
        if verb != ascii_upper(verb) and ascii_upper(verb) in self._watchers.verbs:
            self._note(ClientRule.LOWER_CASE, asked)
        try:
            command = self._watchers.vocabulary.parse(line)
        except LocalProtocolError:
            self._note(ClientRule.MALFORMED, asked)
            return
        expected = self._expected()
        if expected.state is State.USER_GIVEN and command.verb not in _BEHIND_USER:
            self._note(ClientRule.BEHIND_USER, asked)
        elif not self._verb_due("STLS", "QUIT") and expected.objection(command) is not None:
            self._note(ClientRule.ILLEGAL, asked)
        self._judge_command(asked)
        self._judge_deletions(command, asked)

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

    def _judge_deletions(self, command: Command[object], asked: Asked) -> None:
        if isinstance(command, Dele):
            self._deleted.setdefault(command.number, asked)
        elif isinstance(command, Rset):
            self._deleted.clear()
        elif isinstance(command, Quit) and not self._quit:
            self._quit = True
            if self._watchers.retrieved:
                return  # an earlier session may have got them
            for number, dele in self._deleted.items():
                if number not in self._whole:
                    self._note(ClientRule.DELETED_UNREAD, dele)

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
            case ChallengeLine():
                self._challenges += 1
                self._take_early_response()
            case StatusLine(asked) if asked.octets:
                self._follow_status(part, asked)
            case Body(asked, octets) if asked.verb in {"CAPA", "TOP"}:
                self._body.append(octets)
            case End(asked) if asked.verb == "CAPA":
                self._announced = Capabilities.parse(b"".join(self._body))
            case End(asked) if asked.number is not None and (asked.verb == "RETR" or self._top_was_whole(asked)):
                self._whole.add(asked.number)
            case StatusLine() | Body() | End():
                pass

    def _follow_status(self, part: StatusLine, asked: Asked) -> None:
        if part.positive and asked.verb == "AUTH" and self._challenges < self.challenges:
            self._challenges += 1
            self._dialogue.ask(asked)  # its final answer is still to come
            self._challenged = not self._take_early_response()
            return
        self._body.clear()
        command = self._command(asked)
        if isinstance(command, Dele) and not part.positive and self._deleted.get(command.number) is asked:
            del self._deleted[command.number]
        if command is not None:
            self._session = self._session.after(command, Ok if part.positive else Err)

    def _take_early_response(self) -> bool:
        """Return whether the response to a challenge that has come now was sent before."""
        if not self._early:
            return False
        self._early -= 1
        self._dialogue.ask(Asked(b"\r\n", response=True))
        return True

    def _top_was_whole(self, asked: Asked) -> bool:
        """Return whether TOP has got all lines of the body: fewer than it asked for."""
        lines = read_number("".join(asked.words[2:3]).encode("latin-1"))
        body = (b"\r\n" + b"".join(self._body)).partition(b"\r\n\r\n")[2]
        return asked.verb == "TOP" and lines is not None and body.count(b"\n") < lines


class Watchers:
    """Watches all sessions of one server.

    Args:
        rules: what is looked at.
        handlers: of the server: its commands are known.
        offers_tls: the server has TLS.

    Attributes:
        vocabulary: the commands that are known.
        verbs: their verbs.
        retrieved: some session has retrieved a message.
    """

    def __init__(self, rules: AbstractSet[ClientRule], handlers: Handlers, *, offers_tls: bool) -> None:
        commands = {cast("type[Command[object]]", kind) for kind in handlers if issubclass(kind, Command)}
        self.rules: Final = rules
        self.vocabulary: Final = Vocabulary(STANDARD | commands)
        self.verbs: Final = frozenset(command.verb for command in STANDARD | commands)
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
