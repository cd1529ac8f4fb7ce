"""A client's procedures and a server's session that talk through a pipe: each result is that of its own command.

The input is the messages of the maildrop, separated by the octet 0x1E; the choices are what the client does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from itertools import chain
from typing import Final, TypeVar

from fuzz.corpus import FLIGHT, dialogues
from fuzz.target import Choices, Target, Violation, check, patched, seed
from pop3proto import (
    Capa,
    ClientConnection,
    Command,
    CommandFailed,
    Dele,
    Limits,
    List,
    ListOne,
    MaildropStatus,
    MalformedReply,
    Noop,
    Retr,
    Rset,
    ScanListing,
    Stat,
    TimedOut,
    Top,
    Uidl,
    UidlOne,
    UncertainUpdate,
    UniqueIdListing,
)
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import (
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Run,
    Service,
    Session,
    SessionInfo,
    Sleep,
    StartTls,
    Write,
    call,
    call_all,
    establish,
    login,
    quit_session,
    serve_session,
)
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.procedures.client.retrieval import Retrieval
from pop3proto.sasl import Password, TlsInfo

from .codec import naive_lines
from .performing import perform

T = TypeVar("T")

_SIZES: Final = (10_000, 1, 2, 7, 100, 1_000)
_LIMITS: Final = (Limits(), Limits(body=300))
_WAYS: Final = (None, {"USER/PASS"}, {"PLAIN"}, {"SCRAM-SHA-256"}, {"CRAM-MD5"}, {"APOP"})
_TLS: Final = TlsInfo("TLSv1.3", verified=True)
_LAST: Final = 5  # operations of the client, at most
_MESSAGES: Final = 6
_REST: Final = "_rest"  # of a chunk, in a body


@cache
def _users() -> MemoryAuthenticator:
    return MemoryAuthenticator({"ann": "tanstaaf"}, scram_algorithms=["SHA-256"])


class _Wire:
    """Both ends of a connection: the server goes on whenever the client waits for octets."""

    def __init__(self, service: Service, size: int, lost_at: int, *, starttls: bool) -> None:
        tls: TlsMode = "starttls" if starttls else "none"
        connection = service.connection(tls=False)
        self._server = serve_session(service, connection, SessionInfo("127.0.0.1"), loopback=True, tls=tls)
        self._size = size
        self._lost_at = lost_at  # the read of the client that times out; 0: none
        self._reads = 0
        self._up = bytearray()
        self._down = bytearray()
        self._ended = False  # the client has hung up
        self._over = False  # the server has
        self._waits = False
        self._run_server()

    def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure of the client."""
        return perform(procedure, self._client_result)

    def hang_up(self) -> None:
        self._ended = True
        self._run_server()
        check(self._over, "the server does not end")

    def _client_result(self, operation: Operation[object]) -> object:
        match operation:
            case Write(octets):
                self._up += octets
                return None
            case Read():
                self._reads += 1
                if self._reads == self._lost_at:
                    raise TimedOut("nothing came")
                self._run_server()
                piece = bytes(self._down[: self._size])
                del self._down[: self._size]
                check(piece or self._over, "both wait for each other")
                return piece
            case _:
                return _asked(operation)

    def _run_server(self) -> None:
        result: object = None
        while not self._over:
            if self._waits:
                if not self._up and not self._ended:
                    return
                result = bytes(self._up[: self._size])
                del self._up[: self._size]
                self._waits = False
            try:
                operation = self._server.send(result)
            except StopIteration:
                self._over = True
                return
            result = None
            match operation:
                case Read():
                    self._waits = True
                case Write(octets) | StartTls(octets):
                    self._down += octets
                    result = _TLS if isinstance(operation, StartTls) else None
                case _:
                    result = _asked(operation)


def _asked(operation: Operation[object]) -> object:
    match operation:
        case Run():
            return operation.call()
        case Random(count):
            return bytes(count)
        case Now():
            return 0.0
        case StartTls():
            return _TLS
        case Sleep():
            return None
        case _:
            raise TypeError(f"nobody performs {operation!r} here")


class _Model:
    """What a maildrop must answer."""

    def __init__(self, messages: list[bytes], limits: Limits) -> None:
        self.sent = dict(enumerate((naive_lines(message, "keep") for message in messages), 1))
        self.deleted: set[int] = set()
        self._limits = limits

    @property
    def left(self) -> dict[int, bytes]:
        return {number: message for number, message in self.sent.items() if number not in self.deleted}

    def answer(self, command: Command[object]) -> object:
        """Return what a command results in, or the class of what it raises; and take note of what it does."""
        left = self.left
        match command:
            case Stat():
                return MaildropStatus(len(left), sum(map(len, left.values())))
            case List():
                return {number: len(message) for number, message in left.items()}
            case Uidl():
                return set(left)
            case Rset():
                self.deleted.clear()
                return None
            case ListOne(number) | UidlOne(number) | Retr(number) | Dele(number) | Top(number):
                return self._about_one(command, left[number]) if number in left else CommandFailed
            case _:
                return None

    def _about_one(self, command: Command[object], message: bytes) -> object:
        match command:
            case ListOne():
                return len(message)
            case Retr():
                return self._body(message)
            case Top(_, lines):
                return self._body(_top(message, lines))
            case Dele(number):
                self.deleted.add(number)
                return None
            case _:
                return None

    def _body(self, octets: bytes) -> object:
        return octets if len(octets) <= self._limits.body else MalformedReply


def _top(message: bytes, lines: int) -> bytes:
    rows = message.split(b"\r\n")[:-1]
    header = rows.index(b"") + 1 if b"" in rows else len(rows)
    return b"".join(row + b"\r\n" for row in rows[: header + lines])


def _simplified(command: Command[object], result: object) -> object:
    match command, result:
        case _, CommandFailed() | MalformedReply():
            return type(result)
        case Uidl(), UniqueIdListing():
            return set(result)
        case List(), ScanListing():
            return dict(result)
        case UidlOne() | Capa(), _:
            return None
        case _:
            return result


def _compare(command: Command[object], result: object, model: _Model) -> str:
    expected, got = model.answer(command), _simplified(command, result)
    check(got == expected, f"{command} is {got!r:.200} for {expected!r:.200}")
    return f"{command.verb}{isinstance(expected, type)}"


def _command(choices: Choices) -> Command[object]:
    number = 1 + choices.number(_MESSAGES)
    makers: tuple[Callable[[], Command[object]], ...] = (
        *(lambda: Retr(number), lambda: Dele(number), lambda: Top(number, choices.number(4)), lambda: ListOne(number)),
        *(lambda: UidlOne(number), Stat, List, Uidl, Rset, Noop, Capa),
    )
    return makers[choices.number(len(makers))]()


def _one(session: Session, choices: Choices, model: _Model, wire: _Wire) -> str:
    command = _command(choices)
    try:
        result = wire.perform(call(session, command))
    except (CommandFailed, MalformedReply) as failure:
        result = failure
    return _compare(command, result, model)


def _several(session: Session, choices: Choices, model: _Model, wire: _Wire) -> str:
    commands = [_command(choices) for _ in range(1 + choices.number(8))]
    results = wire.perform(call_all(session, commands, return_exceptions=True))
    check(len(results) == len(commands), "there are other results than commands")
    return "".join(_compare(command, result, model) for command, result in zip(commands, results, strict=True))


def _retrieved(session: Session, choices: Choices, model: _Model, wire: _Wire) -> str:
    numbers = [1 + number for number in choices.numbers(1 + choices.number(6), _MESSAGES)]
    retrieval = Retrieval(session, numbers, return_exceptions=bool(choices.number(2)))
    seen = ""
    for number in numbers[: choices.number(len(numbers) + 1)]:
        try:
            found = wire.perform(retrieval.next())
        except (CommandFailed, MalformedReply) as failure:
            seen += _compare(Retr(number), failure, model)
            break
        if found is None or found[0] != number:
            raise Violation(f"message {number} did not come in its turn")
        seen += _compare(Retr(number), found[1], model)
    return seen


def _left_early(session: Session, choices: Choices, model: _Model, wire: _Wire) -> str:
    """Open a message and read a part of it; what is left is discarded before the next command."""
    number = 1 + choices.number(_MESSAGES)
    command = Retr(number)
    pipeline: Pipeline[bytes] = Pipeline(session, [command])
    wire.perform(pipeline.begin())
    body = Body(pipeline, command)
    try:
        wire.perform(body.open())
    except CommandFailed as failure:
        return _compare(command, failure, model)
    message = model.sent[number]
    check(number not in model.deleted, "a deleted message was opened")
    read = b""
    for size in choices.numbers(choices.number(5), 100):
        piece = wire.perform(body.read(10_000, size))
        check(len(piece) == min(size, len(message) - len(read)), "a read returned less, or more, than it was asked for")
        read += piece
    check(message.startswith(read), f"read {read!r:.100} of {message!r:.100}")
    return "part"


_KINDS: Final = (_one, _several, _retrieved, _left_early)


def _run(octets: bytes) -> Hashable:
    choices = Choices(octets)
    limits = _LIMITS[choices.number(2)]
    starttls = bool(choices.number(2))
    way = _WAYS[choices.number(len(_WAYS) - starttls)]  # TLS has no timestamp for APOP
    size = _SIZES[choices.number(len(_SIZES))]
    lost_at = choices.number(64) if choices.number(4) == 3 else 0
    quits = choices.number(4) < 3
    times = choices.number(_LAST + 1)
    planned = Choices(seed(b"", *choices.numbers(60, 256)))
    messages = choices.rest().split(FLIGHT)[:_MESSAGES]
    store = MemoryStore({"ann": messages})
    wire = _Wire(Service(store=store, authenticator=_users()), size, lost_at, starttls=starttls)
    session = Session(ClientConnection(limits=limits), loopback=True)
    model = _Model(messages, limits)
    seen: list[str] = []
    removed = False
    try:
        wire.perform(establish(session, "starttls" if starttls else "none"))
        wire.perform(login(session, Password("ann", "tanstaaf"), only=way))
        for _ in range(times):
            kind = _KINDS[planned.number(len(_KINDS))]
            seen += [kind(session, planned, model, wire)]
        if quits:
            wire.perform(quit_session(session))
            removed = True
    except (TimedOut, UncertainUpdate):
        check(lost_at, "it has timed out for no reason")
    wire.hang_up()
    before = list(messages)
    after = [message for number, message in enumerate(messages, 1) if number not in model.deleted]
    kept = store.messages("ann")
    if removed:
        check(kept == after, f"{len(kept)} messages are left for {len(after)}")
    else:  # it was cut off: before QUIT nothing may be removed, and behind it all or nothing
        check(kept == before or (lost_at and quits and kept == after), "messages were removed without QUIT")
    store.open("ann", SessionInfo()).close()
    return tuple(chain(seen[:4], [removed]))


def _seeds() -> Iterator[bytes]:
    mail = (
        b"Subject: one\n\n.one\n..\n.\n",
        b"A: b\r\n\r\ntwo\r\nthree\r\nfour",
        b"",
        b"\n.\n",
        b".",
        b"X" * 700 + b"\n.",
    )
    for number in range(60):
        plan = [number * step % 251 for step in (1, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43)] * 5
        start = (
            number % 2,
            number // 2 % 2,
            number % 6,
            number % 6,
            number % 4,
            *([number] if number % 4 == 3 else []),
        )
        yield seed(FLIGHT.join(mail[number % 6 :] + mail), *start, number % 4, 1 + number % 5, *plan)
    for dialogue in dialogues():
        said = FLIGHT.join(octets for _, octets in dialogue.steps)
        yield seed(said, 0, 0, 1, len(said) % 6, 0, 0, 4, *range(60))


def _plant() -> AbstractContextManager[None]:
    """A body of which one reads a part, and loses what else was in the chunk."""
    read = Body.read

    def hasty(body: Body, limit: int, size: int | None = -1) -> Procedure[bytes]:
        octets = yield from read(body, limit, size)
        setattr(body, _REST, memoryview(b""))
        return octets

    return patched(Body, "read", hasty)


TARGET: Final = Target(
    "paired",
    "a client's procedures and a server's session that talk: each result is that of its command",
    _run,
    _seeds,
    _plant,
    seed(b"Subject: one\n\n", 0, 0, 0, 0, 0, 0, 1, 3, 0, 2, 2, 2, *[0] * 55),
)
