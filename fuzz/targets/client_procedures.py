"""A client's procedures: the server says anything, in flights; each request lets the next one come.

Flights are separated by the octet 0x1E.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from fuzz.corpus import FLIGHT, dialogues
from fuzz.target import Choices, Target, check, patched, seed
from pop3proto import (
    Broken,
    Busy,
    Capa,
    ClientConnection,
    Command,
    CommandFailed,
    ConnectionLost,
    Dele,
    LangList,
    Limits,
    List,
    ListOne,
    LocalProtocolError,
    LoginFailed,
    MalformedReply,
    Noop,
    RemoteProtocolError,
    Retr,
    SessionRefused,
    Stat,
    State,
    TimedOut,
    Top,
    Uidl,
    UidlOne,
)
from pop3proto.procedures import (
    LoginContext,
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Run,
    Session,
    StartTls,
    Write,
    call,
    call_all,
    establish,
    login,
    quit_session,
    start_tls,
)
from pop3proto.procedures.client.retrieval import Retrieval
from pop3proto.sasl import (
    CLIENT_MECHANISMS,
    ChannelBinding,
    ClientContext,
    ClientEntry,
    ClientMechanisms,
    Password,
    Strength,
    TlsInfo,
    Token,
)
from pop3proto.sasl.scram.mechanisms import ScramClient

from .cutting import cuttings
from .performing import perform

_SECRETS: Final = (b"pencil", b"tokentoken")
_CREDENTIALS: Final = (Password("user", "pencil"), Token("user", "tokentoken"), Password("user", "pencil", "admin"))
_OVER: Final = (RemoteProtocolError, ConnectionLost, TimedOut)
_NOT_NOW: Final = (LocalProtocolError, Busy, Broken)
# What each procedure may raise, by the name of its function.
_DOCUMENTED: Final[Mapping[str, tuple[type[Exception], ...]]] = {
    "establish": (CommandFailed, SessionRefused, *_OVER),
    "login": (LoginFailed, *_NOT_NOW, *_OVER),
    "start_tls": (CommandFailed, *_NOT_NOW, *_OVER),
    "_call": (CommandFailed, MalformedReply, *_NOT_NOW, *_OVER),
    "_call_all": (CommandFailed, MalformedReply, *_NOT_NOW, *_OVER),
    "_retrieved": (CommandFailed, MalformedReply, *_NOT_NOW, *_OVER),
    "quit_session": (CommandFailed, *_NOT_NOW, *_OVER),
}
_COMMANDS: Final[tuple[Command[object], ...]] = (
    *(Stat(), List(), Uidl(), ListOne(1), UidlOne(1), Retr(1), Top(1, 0), Dele(1), Noop(), Capa(), LangList()),
)
_LIMITS: Final = (
    Limits(),
    Limits(reply_line=100, sasl_line=120, command_line=100, body=50, listing_entries=3, text_lines=4, buffered=120),
)


def _scram(context: ClientContext) -> ScramClient:
    credentials = context.credentials
    if not isinstance(credentials, Password):
        raise TypeError("it takes a password")
    return ScramClient("SHA-256", credentials.user, credentials.password, nonce=context.nonce, most_iterations=5_000)


# A million iterations take long.
_MECHANISMS: Final[ClientMechanisms] = {
    **{name: entry for name, entry in CLIENT_MECHANISMS.items() if not name.startswith("SCRAM-")},
    "SCRAM-SHA-256": ClientEntry(Password, Strength.MUTUAL, _scram),
}


class _World:
    """A server that says what the input says, and performs the operations of procedures."""

    def __init__(self, octets: bytes, cutting: int) -> None:
        flights = octets.split(FLIGHT)
        self._flights = deque((each, cuttings(each)) for each in flights)
        self._cutting = cutting
        self._pieces = deque[bytes]()
        self._clock = 0.0
        self._operations = 200 + 20 * len(octets)
        self.written: list[bytes] = []
        self.secured = False
        self._next_flight()

    def _next_flight(self) -> None:
        if self._flights:
            _, ways = self._flights.popleft()
            self._pieces.extend(ways[self._cutting % len(ways)])

    def perform(self, procedure: Procedure[Any]) -> object:
        return perform(procedure, self._result)

    def _result(self, operation: Operation[object]) -> object:
        self._operations -= 1
        check(self._operations > 0, "a procedure does not end")
        match operation:
            case Write(octets):
                self.written.append(octets)
                if not self.secured:
                    check(not any(secret in _plain(octets) for secret in _SECRETS), "a secret was sent in clear")
                self._next_flight()
                return None
            case Read(until):
                if self._pieces:
                    return self._pieces.popleft()
                if until is not None and self._cutting == 1:
                    self._clock = until
                    raise TimedOut("nothing came")
                return b""
            case StartTls():
                self.secured = True
                self._next_flight()
                return TlsInfo("TLSv1.3", verified=True, bindings=(ChannelBinding("tls-exporter", bytes(32)),))
            case Run():
                return operation.call()
            case Random(count):
                return bytes(count)
            case Now():
                return self._clock
            case _:
                raise TypeError(f"no client performs {operation!r}")


def _plain(octets: bytes) -> bytes:
    """Return octets, and what they say if they are base64."""
    found = [octets]
    for word in octets.split():
        try:
            found.append(base64.b64decode(word, validate=True))
        except binascii.Error:
            continue
    return b" ".join(found)


def _retrieved(session: Session, numbers: list[int]) -> Procedure[int]:
    retrieval = Retrieval(session, [number + 1 for number in numbers], return_exceptions=bool(numbers[0]))
    count = 0
    while (yield from retrieval.next()) is not None:
        count += 1
    return count


def _steps(session: Session, choices: Choices) -> Iterator[Procedure[Any]]:
    """Yield what a client does."""
    credentials = _CREDENTIALS[choices.number(3)]
    for kind in choices.numbers(5, 7):
        match kind:
            case 0:
                yield login(session, credentials, mechanisms=_MECHANISMS, initial_response=bool(choices.number(2)))
            case 1:
                yield call(session, _COMMANDS[choices.number(len(_COMMANDS))])
            case 2:
                several = [_COMMANDS[number] for number in choices.numbers(4, len(_COMMANDS))]
                yield call_all(session, several, return_exceptions=bool(choices.number(2)))
            case 3:
                yield _retrieved(session, choices.numbers(3, 4))
            case 4:
                yield start_tls(session)
            case 5:
                yield quit_session(session)
            case _:
                yield login(session, credentials, only={"USER/PASS", "APOP", "PLAIN"}, mechanisms=_MECHANISMS)


def _play(octets: bytes, cutting: int) -> list[str]:
    choices = Choices(octets)
    connection = ClientConnection(limits=_LIMITS[choices.number(2)])
    starttls = choices.number(2)
    timeout = 60.0 if choices.number(2) else None
    session = Session(connection, host="pop.example.org", timeout=timeout)
    steps = _steps(session, choices)
    first = establish(session, "starttls" if starttls else "none")
    procedures: list[Procedure[Any]] = [first, *steps]
    world = _World(choices.rest(), cutting)
    seen: list[str] = []
    for procedure in procedures:
        try:
            result = world.perform(procedure)
        except _DOCUMENTED[getattr(procedure, "__name__", "")] as error:
            seen.append(f"{type(error).__name__}: {error}"[:60])
            if isinstance(error, LoginFailed):
                check(connection.state in {State.AUTHORIZATION, State.CLOSED}, "a failed login leaves an odd state")
            if not session.survives(error):
                session.fail(error)
        else:
            seen.append(type(result).__name__)
    return seen


def _run(octets: bytes) -> Hashable:
    ways = [tuple(_play(octets, cutting)) for cutting in range(3)]
    return ways[0]


def _seeds() -> Iterator[bytes]:
    logged_in = [b"+OK ready <1.2@x>\r\n", b"+OK\r\nSASL PLAIN SCRAM-SHA-256\r\nUSER\r\nPIPELINING\r\nSTLS\r\n.\r\n"]
    tls = [b"+OK ready\r\n", b"+OK\r\n", *logged_in[1:]]
    kinds = (1, 2, 3, 0, 5, 6)
    for index, dialogue in enumerate(dialogues()):
        said = dialogue.said_by("S")
        for number in range(3):
            kind = kinds[(index + number) % len(kinds)]
            start = (logged_in, tls)[number % 2]
            choices = (index % 2, int(start is tls), number % 2, index % 3, 0, kind, kind, 1, 2, 5, index, 3)
            yield seed(FLIGHT.join([*start, b"+OK\r\n", start[1], *said]), *choices)
        yield seed(FLIGHT.join(said), 0, 0, 0, 0, kinds[index % len(kinds)])


def _plant() -> AbstractContextManager[None]:
    """A client that shows a password wherever it is asked for one."""
    return patched(LoginContext, "may_show_password", property(lambda _context: True))


TARGET: Final = Target(
    "client-procedures",
    "what a client does: logins, calls, pipelines; any flights from the server",
    _run,
    _seeds,
    _plant,
    b"+OK\r\n+OK\r\nSASL P\r\n.\r\n+OK\r\n\x1e+OK\r\nSASL P",
)
