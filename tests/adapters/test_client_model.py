"""The client against a server that cheats, stalls and hangs up at every octet, and a reader who knows only the RFC.

Hypothesis lets a client do anything with its session: call, pipeline, stream, leave bodies early, log in, start TLS, be
cancelled at any operation. The server, which follows the rules where it does not cheat, names in each answer the
command that it is for. The reader has all octets that the client was given and all lines that it sent, and takes the
one apart for the other, naively, anew each time. What the client says an answer was, must be what the reader finds.
"""

import base64
import contextlib
import itertools
import re

import attrs
from hypothesis import event, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pop3proto._io.peers import UNKNOWN_PEER
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking.client import Client
from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import (
    Auth,
    Capa,
    Dele,
    Lang,
    List,
    ListOne,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    UidlOne,
    User,
    Utf8,
)
from pop3proto.core.errors import (
    Broken,
    Busy,
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
    UncertainUpdate,
)
from pop3proto.core.events import AuthCancel, AuthResponse, BadCommand, BodyChunk, BodyEnd, ConnectionClosed, Signal
from pop3proto.core.limits import Limits
from pop3proto.core.refusals import CommandFailed, LoginFailed, SessionRefused
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.core.server import ServerConnection
from pop3proto.core.states import State
from pop3proto.procedures.client import pipeline as pipeline_module
from pop3proto.procedures.client.commands import establish, keep_alive
from pop3proto.procedures.client.pipeline import WINDOW
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.operations import Now, Random, Read, Run, ShuttingDown, Sleep, StartTls, Write
from pop3proto.sasl.channel import SessionInfo, TlsInfo
from pop3proto.sasl.mechanism import CredentialsRejected, MechanismError
from pop3proto.sasl.registry import SERVER_MECHANISMS, ServerContext
from tests.helpers.depth import deep
from tests.helpers.drivers import Cancelled

CRLF = b"\r\n"
PASSWORD = "tan-staa-Fl"
BODY_LIMIT = 2_000  # octets that the client assembles
DISCARD_LIMIT = 5_000  # octets that it throws away
PATIENCE = 60
USERS = MemoryAuthenticator({"ann": PASSWORD}, scram_algorithms=("SHA-256",))
SECRETS = [PASSWORD.encode(), base64.b64encode(PASSWORD.encode()), base64.b64encode(f"\0ann\0{PASSWORD}".encode())]
MULTI_LINE = re.compile(rb"CAPA|LIST|UIDL|AUTH|LANG|RETR .*|TOP .*", re.IGNORECASE)
BARRIER = re.compile(rb"(PASS|APOP|AUTH|STLS|UTF8|LANG|QUIT)\b", re.IGNORECASE)
OVER = (RemoteProtocolError, ConnectionLost, TimedOut, Cancelled)  # what ends a session
DOCUMENTED = (*OVER, CommandFailed, MalformedReply, LocalProtocolError, Broken, Busy)
# Where each is legal, by the RFCs; what is not here is legal before login and after.
BEFORE_LOGIN, AFTER_LOGIN = (User, Pass, Auth, Stls, Utf8), (Stat, List, ListOne, Uidl, UidlOne, Retr, Top)
AFTER_LOGIN += (Dele, Noop, Rset)


# ----------------------------------------------------------------------------------------------- the reader


@attrs.define
class Heard:
    """What a command was answered, as far as it has been read."""

    line: bytes
    positive: bool | None = None  # None: there is no answer that could be one
    text: bytes = b""
    body: bytes = b""
    whole: bool = False
    early: bool = False  # its octets were there before the command was sent


def unstuffed(octets):
    return CRLF.join(line[1:] if line.startswith(b".") else line for line in octets.split(CRLF))


def take_apart(stream, sent):
    """Return what each command was answered: one line; behind a positive one, perhaps, a body; in order.

    Args:
        stream: the octets behind the greeting.
        sent: lines; how many octets of the stream had been read before each; and whether it answers a challenge.
    """
    commands = [(line, at) for line, at, response in sent if not response]
    responses = iter([at for _, at, response in sent if response])
    heard = [Heard(line) for line, _ in commands]
    position = 0
    for answer, (line, at) in zip(heard, commands, strict=True):
        status = b"+"
        while status == b"+":
            if position < at:
                answer.early = True
                return heard
            status, text, position = next_line(stream, position)
            if status == b"+" and line[:4] == b"AUTH":
                at = next(responses, len(stream) + 1)  # noqa: PLW2901 - it is what was sent last
            elif status == b"+":
                return heard
        if status not in (b"+OK", b"-ERR"):
            return heard
        answer.positive, answer.text = status == b"+OK", text
        if answer.positive and MULTI_LINE.fullmatch(line):
            # The end of the line before may be that of the reply.
            end = stream.find(b"\r\n.\r\n", position - 2)
            if end < 0:
                answer.body = unstuffed(stream[position:])
                return heard
            answer.body, position = unstuffed(stream[position : end + 2]), end + 5
        answer.whole = True
    return heard


def state_after(heard):
    """Where the session stands after these answers."""
    state = "AUTHORIZATION"
    for answer in heard:
        verb = answer.line.split(b" ")[0].upper()
        if not answer.whole:
            return None
        if verb == b"USER":
            state = "USER_GIVEN" if answer.positive else "AUTHORIZATION"
        elif verb in (b"PASS", b"APOP", b"AUTH") and answer.line != b"AUTH":
            state = "TRANSACTION" if answer.positive else "AUTHORIZATION"
    return state


def next_line(stream, position):
    end = stream.find(CRLF, position)
    if end < 0 or re.search(rb"[\r\n\0]", stream[position:end]):
        return None, b"", position
    status, _, text = stream[position:end].partition(b" ")
    return status.upper(), text, end + 2


def meaning(command, answer):
    """What a positive answer says; None if it makes no sense, and () if it says nothing."""
    words = answer.text.split(b" ")
    match command:
        case Retr() | Top():
            return answer.body if len(answer.body) <= BODY_LIMIT else None
        case Stat():
            numeric = len(words) >= 2 and all(re.fullmatch(rb"[0-9]{1,20}", word) for word in words[:2])
            return tuple(map(int, words[:2])) if numeric else None
        case ListOne(number) | UidlOne(number):
            if len(words) < 2 or words[0] != b"%d" % number:
                return None
            if isinstance(command, UidlOne):
                return words[1].decode() if re.fullmatch(rb"[!-~]{1,70}", words[1]) else None
            return int(words[1]) if re.fullmatch(rb"[0-9]{1,20}", words[1]) else None
    return ()


# ------------------------------------------------------------------------------------------------ the server


@attrs.frozen
class Manner:
    """How the world treats the client during one call.

    Args:
        piece: octets that are given at once.
        hang_up: octets until the server is gone.
        stall: octets until it says nothing any more.
        strike: operations until the client is cancelled.
        part: octets of what is being written that arrive all the same.
        slow: seconds for each piece.
        tls: how the handshake ends.
    """

    piece: int = 100_000
    hang_up: int | None = None
    stall: int | None = None
    strike: int | None = None
    part: int = 0
    slow: int = 0
    tls: str = "verified"


SMOOTH = Manner()
DRAGGING = Manner(slow=7)
few = st.integers(0, 40) | st.integers(0, 400)
pieces = st.sampled_from([1, 2, 7, 100_000])
manners = st.one_of(
    st.builds(Manner, piece=pieces),
    st.builds(Manner, piece=pieces, slow=st.sampled_from([0, 1, 25])),
    st.builds(Manner, piece=pieces, hang_up=few),
    st.builds(Manner, piece=pieces, stall=few),
    st.builds(Manner, piece=pieces, strike=st.integers(0, 12), part=few),
    st.builds(Manner, piece=pieces, tls=st.sampled_from(["verified", "unverified", "fails"])),
)
ANSWERS = ["right"] * 6 + ["refused", "nonsense"]
CHEATS = [
    *("extra before", "extra after", "refusal after", "half a line after", "garbage", "silence", "challenge"),
    *("no", "yes", "body ends early", "LF", "cut", "farewell", "long line"),
]


class World:
    """The server and the wire: what a `Client` takes for its stream, and performs the operations of its procedures.

    Attributes:
        honest: the server has followed the rules until now. It may refuse, stall and hang up all the same.
        disturbed: something has happened in the call under way that no client can get over.
        read: octets that the client was given.
        sent: lines that it has sent, and the length of `read` at that time.
    """

    peer = UNKNOWN_PEER

    def __init__(self, draw, session, *, honest, capabilities, verified):
        self.draw = draw
        self.session = session
        self.honest = honest
        self.cheats = not honest
        self.capabilities = capabilities
        self.verified = verified
        self.clock = 1_000.0
        self.server = ServerConnection(limits=Limits(bad_commands=1_000))
        self.pending = bytearray()
        self.read = bytearray()
        self.sent = []
        self.eof = self.closed = self.secure = self.plain = False
        self.mechanism = None
        self.serial = 0
        self.begin(SMOOTH)

    @property
    def greeted(self):
        """Octets of the greeting."""
        return self.read.find(CRLF) + 2

    def begin(self, manner):
        """What is done from now on, is one call."""
        self.manner = manner
        self.given = self.performed = 0
        self.struck = self.disturbed = self.idle = False
        self.farewell = None
        self.untils = set()
        self.first = len(self.sent)

    # A stream, as the client sees it.

    def close(self):
        self.closed = True

    abort = interrupt = close

    def using_channel(self, channel):
        return contextlib.nullcontext()

    def perform(self, procedure, first=None):
        result = error = None
        while True:
            try:
                operation = first or (procedure.send(result) if error is None else procedure.throw(error))
            except StopIteration as end:
                return end.value
            result = error = first = None
            try:
                result = self.do(operation)
            except BaseException as raised:  # noqa: BLE001 - it belongs to the procedure
                error = raised

    def do(self, operation):  # noqa: C901 - a case for each operation
        assert not self.struck or isinstance(operation, Run), "something is done after the cancellation"
        if self.closed and isinstance(operation, Read | Write | StartTls):
            raise ConnectionLost("the connection was given up")
        self.performed += 1
        if not isinstance(operation, Run) and self.performed - 1 == self.manner.strike:
            if isinstance(operation, Write):
                self.hear(operation.octets[: self.manner.part])
            self.struck = self.disturbed = True
            raise Cancelled
        match operation:
            case Read(until):
                return self.give(until)
            case Write(octets, until):
                self.in_time(until)
                self.hear(octets)
            case StartTls(b"", until):
                return self.shake_hands(until)
            case Run():
                return operation.call()
            case Now():
                return self.clock
            case Random(count):
                return bytes(count)
            case Sleep(seconds):
                self.clock += seconds
        return None

    def in_time(self, until):
        self.untils.add(until)
        if until is not None and until <= self.clock:
            self.disturbed = True
            raise TimedOut("the deadline has passed")

    def give(self, until):
        self.in_time(until)
        if self.farewell is not None:
            self.farewell -= 1
            if self.farewell < 0:
                self.farewell = None
                raise ShuttingDown
        left = min(stop - self.given for stop in (self.manner.hang_up, self.manner.stall, 1 << 40) if stop is not None)
        octets = bytes(self.pending[: min(self.manner.piece, max(left, 0))])
        if octets:
            self.clock += self.manner.slow
            if until is not None and until <= self.clock:
                self.disturbed = True
                raise TimedOut("the peer was too slow")
            del self.pending[: len(octets)]
            self.given += len(octets)
            self.read += octets
            return octets
        if self.idle and not self.eof and self.manner.hang_up is None and all(heard.whole for heard in self.heard()):
            return self.wait_idly(until)
        if not (self.eof or self.manner.stall is not None or self.manner.hang_up is not None):
            assert not self.honest, "the client waits for something that nobody owes it"
        self.disturbed = True
        if self.eof or self.manner.hang_up is not None or until is None:
            self.eof = True
            self.pending.clear()
            return b""
        self.clock = until
        raise TimedOut("the peer was too slow")

    def wait_idly(self, until):
        """Somebody keeps the session alive, and has all the time in the world."""
        if until is None:
            self.disturbed = True
            raise TimedOut("nobody waits for ever")
        self.clock = until
        raise TimedOut("nothing came")

    def shake_hands(self, until):
        self.in_time(until)
        if self.manner.tls == "fails" or self.pending or self.eof or not self.honest:
            self.disturbed = True  # octets in clear are no handshake
            raise ConnectionLost("the TLS handshake failed")
        self.server.tls_established()
        self.verified = self.manner.tls == "verified"
        self.secure = self.verified
        return TlsInfo("TLSv1.3", verified=self.verified)

    # What the client says.

    def hear(self, octets):
        waiting = [heard.line for heard in self.heard() if not heard.whole]
        lines = octets.split(CRLF)[:-1]
        response = bool(waiting) and waiting[0][:4] == b"AUTH"
        if not response:
            self.check_window(waiting + lines)
        self.check_secrets(octets)
        self.sent += [(line, len(self.read) - self.greeted, response) for line in lines]
        if self.eof:
            return
        self.server.receive_data(octets)
        while not isinstance(said := self.server.next_event(), Signal | ConnectionClosed):
            if isinstance(said, BadCommand):
                # Behind a USER that is refused, a PASS may be on its way.
                excused = said.octets.startswith(b"PASS") and any(line[:4] == b"USER" for line, *_ in self.sent[-2:])
                assert not self.honest or excused, f"the protocol forbids {said.octets!r}: {said.reason}"
                self.mechanism = None
                self.pending += self.server.send(said.reply)
            else:
                self.answer(said)

    def check_window(self, together):
        """Several commands at once only if that was announced; few octets; and nothing behind a barrier."""
        if len(together) > 1:
            assert self.session.pipelining, together
            assert sum(len(line) + 2 for line in together) <= WINDOW
            assert not any(BARRIER.match(line) for line in together[:-1]), together

    def check_secrets(self, octets):
        if any(line == b"STLS" for line, *_ in self.sent):
            assert not octets.startswith(b"APOP"), "its timestamp came in clear"
        if self.secure or self.session.context.loopback or self.session.context.cleartext == "always":
            return
        assert not any(secret in octets for secret in SECRETS)
        assert not re.match(rb"PASS|APOP|AUTH (PLAIN|LOGIN|CRAM)", octets, re.IGNORECASE)

    # What the server says.

    def answer(self, said):
        kind = "right" if self.plain else self.draw(st.sampled_from(ANSWERS + CHEATS * self.cheats))
        items = self.right(said) if kind != "refused" else [Err(self.mark(said))]
        if kind == "nonsense" and isinstance(said, Stat | ListOne | UidlOne):
            items = [Ok(f"nonsense {self.mark(said)}")]
        octets = b"".join(map(self.server.send, items))
        if isinstance(items[0], Ok | Err):
            self.mechanism = None
        if kind in CHEATS:
            self.honest = False
            octets = self.cheat(kind, octets)
        if not self.eof:
            self.pending += octets

    def mark(self, said):
        self.serial += 1
        return f"for {getattr(said, 'number', self.serial)}"

    def right(self, said):  # noqa: C901 - a case for each command
        """The answer that says for which command it is."""
        match said:
            case Auth(name, initial):
                return self.start(name, initial)
            case AuthResponse(data):
                return self.go_on(data)
            case AuthCancel():
                return [Err("cancelled")]
            case Pass():
                return [Ok("welcome") if said.password == PASSWORD else Err("[AUTH] wrong")]
            case Capa():
                return self.multi(*said.answer(self.capabilities))
            case Stat():
                self.serial += 1
                return [Ok(f"{self.serial} {self.serial * 7}")]
            case ListOne(number):
                return [Ok(f"{number} {number * 7}")]
            case UidlOne(number):
                return [Ok(f"{number} uid.{number}")]
            case List():
                return self.multi(Ok(), b"1 7\r\n2 14\r\n")
            case Uidl():
                return self.multi(Ok(), b"1 uid.1\r\n2 uid.2\r\n")
            case Retr(number) | Top(number):
                size = 0 if self.plain else self.draw(st.sampled_from([0, 0, 3, 40, 700, 2_500, 9_000]))
                return self.multi(
                    Ok(self.mark(said)), b"message %d\n.\n..\n" % number + (b"." * 60 + b"\n") * (size // 61)
                )
            case Lang():
                return [Ok("en hello")]
        return [Ok(self.mark(said))]

    def multi(self, reply, body):
        return [reply, BodyChunk(body), BodyEnd()]

    def start(self, name, initial):
        self.mechanism = SERVER_MECHANISMS[name].make(
            ServerContext(
                authenticator=USERS,
                session=SessionInfo(),
                nonce="0123456789abcdef",
                hostname="localhost",
                announced=frozenset(self.capabilities.sasl),
            )
        )
        return self.go_on(initial)

    def go_on(self, response):
        if self.mechanism is None:
            return [Err("no exchange")]
        try:
            outcome = self.mechanism.respond(response)
        except (MechanismError, CredentialsRejected):
            return [Err("[AUTH] wrong")]
        return [Challenge(outcome) if isinstance(outcome, bytes) else Ok("welcome")]

    def cheat(self, kind, right):  # noqa: C901, PLR0912 - a case for each way
        self.serial += 1
        match kind:
            case "extra before":
                return b"+OK extra %d\r\n" % self.serial + right
            case "extra after":
                return right + b"+OK extra %d\r\n" % self.serial
            case "refusal after":
                return right + b"-ERR idle\r\n"
            case "half a line after":
                return right + self.draw(st.sampled_from([b"+", b"-ER", b"+OK", b"-ERR idle\r", b"\0"]))
            case "garbage":
                return self.draw(
                    st.binary(max_size=40) | st.sampled_from([b"+OKAY\r\n", b"\r\n", b".\r\n", b"+OK \0\r\n"])
                )
            case "silence":
                return b""
            case "challenge":
                return self.draw(st.sampled_from([b"+ \r\n", b"+ YQ==\r\n", b"+\r\n", b"+ no base64\r\n"]))
            case "no":
                return b"-ERR %d\r\n" % self.serial
            case "yes":
                return b"+OK %d\r\n" % self.serial
            case "body ends early":
                return right[: len(right) // 2] + b"\r\n.\r\n" + right[len(right) // 2 :]
            case "LF":
                return right.replace(CRLF, b"\n")
            case "long line":
                return b"+OK " + b"x" * 9_000 + CRLF
            case "cut":
                right = right[: self.draw(st.integers(0, len(right)))]
            case "farewell":
                right = b"-ERR farewell\r\n"
        self.pending += right
        self.eof = True
        return b""

    # What the reader finds.

    def heard(self):
        return take_apart(bytes(self.read[self.greeted :]), self.sent)

    def heard_now(self):
        """What the commands of this call were answered."""
        return self.heard()[sum(not response for _, _, response in self.sent[: self.first]) :]

    def heard_for(self, command):
        """What the command with a number that no other has was answered."""
        line = command.encode().removesuffix(CRLF)
        return next((heard for heard in self.heard() if heard.line == line), Heard(line))


# ----------------------------------------------------------------------------------------------- the machine

numbers = st.integers(1, 3)  # of commands
kinds = st.sampled_from([Retr, Top, ListOne, UidlOne, Dele])
plain = st.sampled_from([Stat(), List(), Uidl(), Noop(), Rset(), Capa(), Lang("en"), User("ann")])


class TheClient(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.limit, pipeline_module.DISCARD_LIMIT = pipeline_module.DISCARD_LIMIT, DISCARD_LIMIT
        self.numbers = itertools.count(1)
        self.world = self.client = self.session = None

    def teardown(self):
        pipeline_module.DISCARD_LIMIT = self.limit

    @property
    def over(self):
        return self.client is None or self.session.broken is not None

    def command(self, kind):
        """One that is like no other."""
        number = next(self.numbers)
        return Top(number, 2) if kind is Top else kind(number)

    # One call, and what is true of each.

    def act(self, function, manner, *, documented=DOCUMENTED, legal=True, stale=False):
        """Return the result; or None and the error."""
        world, session = self.world, self.session
        world.begin(manner)
        was_over = session.broken is not None
        held = getattr(getattr(session._finish, "__self__", None), "locked", False)
        try:
            result = function()
        except documented as error:
            event(type(error).__name__)
            self.judge(error, was_over=was_over, legal=legal, held=held, stale=stale)
            return None, error
        assert not world.struck, "a cancellation was lost"
        return result, None

    def judge(self, error, *, was_over, legal, held, stale):
        world, session = self.world, self.session
        assert str(error) or world.struck
        if was_over:
            assert isinstance(error, (Broken, *OVER) if stale or world.struck else Broken | ConnectionLost), repr(error)
            assert len(world.sent) == world.first
            return
        assert isinstance(error, Cancelled) == world.struck
        if isinstance(error, OVER):
            assert session.broken is not None
            assert world.closed
            assert not world.honest or world.disturbed, repr(error)
        elif isinstance(error, Busy):
            assert held
            assert len(world.sent) == world.first
        elif isinstance(error, LocalProtocolError):
            assert not legal, repr(error)
        elif isinstance(error, Broken):
            assert stale or session.broken is not None

    def are_legal(self, *commands):
        state = state_after(self.world.heard())
        return all(self.is_legal(command, state) for command in commands)

    def is_legal(self, command, state):
        match command:
            case User():
                return state in ("AUTHORIZATION", "USER_GIVEN") and self.session.context.may_show_password
            case Pass():
                return state == "USER_GIVEN" and self.session.context.may_show_password
            case Stls() | Auth():
                return False
            case Capa() | Lang():
                return state in ("AUTHORIZATION", "TRANSACTION")
        return state == "TRANSACTION"

    def check(self, command, outcome, heard):
        """What came of a command is what the reader says; and an honest server meant it for this one."""
        assert not heard.early, "the answer was there before the command"
        assert heard.positive is not None
        if isinstance(outcome, MalformedReply):
            assert heard.positive
            assert not self.world.honest or meaning(command, heard) is None
            return
        assert heard.whole
        if isinstance(outcome, CommandFailed):
            assert not heard.positive
            assert outcome.command == command.redacted()
            assert outcome.reply.text.encode("utf-8", "surrogateescape") == heard.text
            meant = f"for {command.number}" if hasattr(command, "number") else outcome.reply.text
            assert outcome.reply.text == meant or not self.world.honest
            return
        assert heard.positive
        said = meaning(command, heard)
        outcome = (outcome.count, outcome.octets) if isinstance(command, Stat) else outcome
        assert said == (() if said == () else outcome)
        if self.world.honest:
            self.check_meant(command, outcome)

    def check_meant(self, command, outcome):
        match command:
            case Retr(number) | Top(number):
                assert outcome.startswith(b"message %d\r\n" % number)
            case ListOne(number):
                assert outcome == number * 7
            case UidlOne(number):
                assert outcome == f"uid.{number}"

    # The rules.

    @initialize(data=st.data())
    def first(self, data):
        self.connect(data)

    @rule(data=st.data())
    @precondition(lambda self: self.over)
    def again(self, data):
        self.connect(data)

    def connect(self, data):
        draw = data.draw
        loopback, allowed = draw(st.sampled_from([(True, False), (True, False), (False, False), (False, True)]))
        self.session = Session(
            ClientConnection(limits=Limits(body=BODY_LIMIT)),
            loopback=loopback,
            cleartext="always" if allowed else "loopback",
            timeout=draw(st.sampled_from([None, PATIENCE, PATIENCE])),
        )
        sasl = draw(st.sampled_from([(), ("PLAIN",), ("LOGIN", "CRAM-MD5"), ("SCRAM-SHA-256", "PLAIN")]))
        capabilities = Capabilities(pipelining=draw(st.booleans()), user=True, stls=True, sasl=sasl)
        self.world = World(draw, self.session, honest=draw(st.booleans()), capabilities=capabilities, verified=False)
        self.message = self.left = self.retrieval = self.stream = self.client = None
        self.streamed = None
        self.greet(draw)
        if self.client is not None and draw(st.integers(0, 2)):
            self.log_in_quickly(draw(st.booleans()))

    def greet(self, draw):
        greeting = self.world.server.send(Greeting(Ok("ready <1@localhost>")))
        if self.world.cheats and not draw(st.integers(0, 3)):
            self.world.honest = False
            greeting = draw(
                st.sampled_from([greeting + b"+OK 1 1\r\n", b"-ERR no\r\n", b"HTTP/1.0 400\r\n", greeting[:-1]])
            )
        self.world.pending += greeting
        client = Client(self.session, self.world)
        mode = draw(st.sampled_from(["none", "none", "starttls"]))
        _, error = self.act(
            lambda: client.perform(establish(self.session, mode)),
            draw(manners),
            documented=(SessionRefused, *DOCUMENTED),
        )
        if error is None:
            self.client = client
            assert self.session.connection.tls == (mode == "starttls")

    def log_in_quickly(self, capabilities):
        """So that there are many sessions with something to do."""
        context = self.session.context
        self.session.context = attrs.evolve(context, loopback=True)
        self.world.plain = True
        client = self.client
        for call in (client.capa, lambda: client.call(User("ann")), lambda: client.call(Pass(PASSWORD))):
            if capabilities or call != client.capa:
                self.act(call, SMOOTH)
        self.session.context = attrs.evolve(self.session.context, loopback=context.loopback)
        self.world.plain = False

    @rule(
        data=st.data(),
        kind=kinds | plain | st.just(Pass(PASSWORD)) | st.just(Stls()) | st.just(Auth("PLAIN")),
        manner=manners,
    )
    @precondition(lambda self: self.client is not None)
    def call(self, data, kind, manner):
        self.world.draw = data.draw
        command = self.command(kind) if isinstance(kind, type) else kind
        legal = self.are_legal(command)
        value, error = self.act(lambda: self.client.call(command), manner, legal=legal)
        if error is None or isinstance(error, CommandFailed | MalformedReply):
            self.check(command, value if error is None else error, self.world.heard_now()[0])

    @rule(data=st.data(), chosen=st.lists(kinds | plain, max_size=5), manner=manners)
    @precondition(lambda self: self.client is not None)
    def call_all(self, data, chosen, manner):
        self.world.draw = data.draw
        self.call_these([self.command(kind) if isinstance(kind, type) else kind for kind in chosen], manner)

    @rule(count=st.sampled_from([500, 600]), piece=st.sampled_from([100, 100_000]))
    @precondition(lambda self: not self.over and self.session.pipelining)
    def fill_the_window(self, count, piece):
        self.world.plain = True
        self.call_these([self.command(Dele) for _ in range(count)], Manner(piece=piece))
        self.world.plain = False

    @rule(data=st.data(), manner=manners, password=st.sampled_from([PASSWORD, "wrong"]))
    @precondition(lambda self: self.client is not None)
    def log_in_by_hand(self, data, manner, password):
        self.world.draw = data.draw
        self.call_these([User("ann"), Pass(password)], manner)

    def call_these(self, made, manner):
        # A User changes what is legal behind it.
        legal = User("ann") not in made and self.are_legal(*made)
        values, error = self.act(lambda: self.client.call_all(made, return_exceptions=True), manner, legal=legal)
        heard = self.world.heard_now()
        if error is None:
            for command, value, answer in zip(made, values, heard, strict=True):
                self.check(command, value, answer)
        else:
            assert not isinstance(error, CommandFailed | MalformedReply)

    @rule(data=st.data(), kind=st.sampled_from([Retr, Top]), manner=manners)
    @precondition(lambda self: self.client is not None and self.message is None)
    def open(self, data, kind, manner):
        self.world.draw = data.draw
        command = self.command(kind)
        message = self.client.retr(command.number) if kind is Retr else self.client.top(command.number, 2)
        _, error = self.act(message.__enter__, manner, legal=self.are_legal(command))
        if error is None:
            self.message = (command, message, bytearray())
            heard = self.world.heard_for(command)
            assert heard.positive
            assert not heard.early
        elif isinstance(error, CommandFailed):
            self.check(command, error, self.world.heard_for(command))

    @rule(data=st.data(), manner=manners, whole=st.booleans())
    @precondition(lambda self: self.message is not None)
    def read(self, data, manner, whole):
        self.world.draw = data.draw
        self.read_some(self.message, manner, whole=whole)

    @rule(data=st.data(), manner=manners, whole=st.booleans())
    @precondition(lambda self: self.left is not None)
    def read_what_was_left(self, data, manner, whole):
        self.world.draw = data.draw
        self.read_some(self.left, manner, whole=whole)

    def read_some(self, incoming, manner, *, whole):
        """It is part of that message, or there is an error; it never ends short."""
        command, message, got = incoming
        read = message.read if whole else lambda: next(iter(message), None)
        octets, error = self.act(read, manner, stale=True)
        heard = self.world.heard_for(command)
        if isinstance(error, MalformedReply):
            assert len(heard.body) > BODY_LIMIT
        if error is not None:
            return
        got += octets or b""
        assert heard.body.startswith(got)
        assert not heard.early
        if whole or octets is None:
            assert heard.whole
            assert got == heard.body
        if self.world.honest:
            mark = b"message %d\r\n" % command.number
            assert mark.startswith(got[: len(mark)])

    @rule()
    @precondition(lambda self: self.message is not None)
    def leave(self):
        self.message[1].__exit__(None, None, None)
        self.message, self.left = None, self.message

    @rule(data=st.data(), count=st.sampled_from([0, 1, 3, 5]))
    @precondition(lambda self: self.client is not None)
    def begin_to_retrieve(self, data, count):
        wanted = [next(self.numbers) for _ in range(count)]
        self.retrieval = (self.client.retrieve(list(wanted), return_exceptions=True), wanted)

    @rule(data=st.data(), manner=manners)
    @precondition(lambda self: self.retrieval is not None)
    def retrieve(self, data, manner):
        self.world.draw = data.draw
        iterator, wanted = self.retrieval
        legal = state_after(self.world.heard()) == "TRANSACTION" or not wanted
        pair, error = self.act(lambda: next(iterator, None), manner, legal=legal, stale=True)
        if error is not None:
            self.retrieval = None
        elif pair is None:
            self.retrieval = None
            assert wanted == []
        else:
            number, outcome = pair
            assert number == wanted.pop(0)
            self.check(Retr(number), outcome, self.world.heard_for(Retr(number)))

    @rule(chosen=st.lists(st.sampled_from([Retr, Retr, Top, Dele]), max_size=4))
    @precondition(lambda self: self.client is not None)
    def begin_to_stream(self, chosen):
        made = [self.command(kind) for kind in chosen]
        self.stream = (self.client.stream(list(made)), made)

    @rule(data=st.data(), manner=manners, then=st.sampled_from(["skip", "open", "read"]))
    @precondition(lambda self: self.stream is not None and self.message is None)
    def stream_on(self, data, manner, then):
        self.world.draw = data.draw
        iterator, wanted = self.stream
        legal = state_after(self.world.heard()) == "TRANSACTION" or not wanted or self.over
        message, error = self.act(lambda: next(iterator, None), manner, legal=legal or len(wanted) == 0, stale=True)
        if error is not None:
            self.stream = None
        elif message is None:
            self.stream = None
            assert wanted == []
        else:
            command = wanted.pop(0)
            assert message.command == command
            if then != "skip":
                self.enter(command, message, manner, then)

    def enter(self, command, message, manner, then):
        _, error = self.act(message.__enter__, manner, stale=True)
        heard = self.world.heard_for(command)
        if isinstance(error, CommandFailed):
            self.check(command, error, heard)
        elif error is None:
            assert heard.positive
            assert not heard.early
            assert message.reply.text.encode("utf-8", "surrogateescape") == heard.text
            if isinstance(command, Dele):
                assert next(iter(message), None) is None
            elif then == "read":
                self.read_some((command, message, bytearray()), manner, whole=True)
            else:
                self.left = (command, message, bytearray())  # it is past once the next is asked for
            message.__exit__(None, None, None)

    @rule(data=st.data(), manner=manners | st.just(DRAGGING), password=st.sampled_from([PASSWORD, PASSWORD, "wrong"]))
    @precondition(lambda self: self.client is not None)
    def login(self, data, manner, password):
        self.world.draw = data.draw
        state = state_after(self.world.heard())
        _, error = self.act(
            lambda: self.client.login("ann", password), manner, legal=False, documented=(*DOCUMENTED, LoginFailed)
        )
        assert len(self.world.untils) <= 1, "a deadline moves"
        if error is None:
            assert state in ("AUTHORIZATION", "USER_GIVEN")
            assert state_after(self.world.heard()) == "TRANSACTION"
            assert password == PASSWORD or not self.world.honest
        else:
            assert not isinstance(error, CommandFailed) or isinstance(error, LoginFailed)

    @rule(data=st.data(), manner=manners | st.just(DRAGGING))
    @precondition(lambda self: self.client is not None)
    def start_tls(self, data, manner):
        self.world.draw = data.draw
        legal = state_after(self.world.heard()) == "AUTHORIZATION" and not self.session.connection.tls
        info, error = self.act(self.client.start_tls, manner, legal=legal)
        assert len(self.world.untils) <= 1, "a deadline moves"
        if error is None:
            assert info.verified == self.world.secure
            stls, *_ = self.world.heard_now()
            assert stls.line == b"STLS"
            assert stls.positive

    @rule(data=st.data(), manner=manners, reads=st.integers(0, 20))
    @precondition(lambda self: self.client is not None)
    def keep_alive(self, data, manner, reads):
        """Until there is something else to do, which may be at once."""
        self.world.draw = data.draw

        def keep():
            self.world.idle, self.world.farewell = True, reads
            self.client.perform(keep_alive(self.session, 30))

        self.act(keep, manner, legal=state_after(self.world.heard()) == "TRANSACTION")

    @rule(data=st.data(), manner=manners)
    @precondition(lambda self: self.client is not None)
    def quit(self, data, manner):
        self.world.draw = data.draw
        state = state_after(self.world.heard())
        was_over = self.over
        _, error = self.act(self.client.quit, manner)
        asked = len(self.world.sent) > self.world.first
        if isinstance(error, UncertainUpdate):
            assert not self.world.heard_now()[0].whole
        elif isinstance(error, ConnectionLost | TimedOut) and not was_over:
            assert not (asked and state == "TRANSACTION"), "nobody knows what was deleted"
        elif error is None or isinstance(error, CommandFailed):
            assert self.over
            self.check(Quit(), error, self.world.heard_now()[0])

    @rule(octets=st.sampled_from([b"+OK 1 1\r\n", b"-ERR idle\r\n", b"-ER", b"\0"]))
    @precondition(lambda self: not self.over and self.world.cheats)
    def the_server_speaks_unasked(self, octets):
        """It lies in the socket until somebody reads it, as the answer to what is asked then."""
        self.world.honest = False
        self.world.pending += octets

    @rule()
    @precondition(lambda self: not self.over)
    def the_server_hangs_up(self):
        self.world.eof = True

    @invariant()
    def the_state_is_what_the_answers_say(self):
        if self.over:
            return
        assert self.session.connection.state is not State.CLOSED
        state = state_after(self.world.heard())
        assert state in (None, self.session.connection.state.name)


TestTheClient = TheClient.TestCase
TestTheClient.settings = settings(max_examples=deep(250, 25), stateful_step_count=25)
