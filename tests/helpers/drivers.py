"""What runs procedures without sockets, threads or time: the test is their world."""

import datetime as dt
import io
from collections import deque
from collections.abc import Awaitable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import attrs
import pytest

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Pass, User
from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.results import UniqueId
from pop3proto.core.server import ServerConnection
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.client.calls import call
from pop3proto.procedures.client.commands import greet
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.maildrop import InUse, Maildrop, MaildropStore, Message, MessageStream
from pop3proto.procedures.operations import (
    Await,
    AwaitLogin,
    EndTurn,
    Look,
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Run,
    Sleep,
    StartTls,
    Turn,
    UtcNow,
    Write,
)
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.loop import serve_session
from pop3proto.procedures.server.service import Service
from pop3proto.procedures.server.session_record import SessionRecord
from pop3proto.sasl.authenticator import Authenticator
from pop3proto.sasl.channel import SessionInfo, TlsInfo

TLS = TlsInfo("TLSv1.3", verified=True)


class Cancelled(BaseException):
    """What a framework throws into a task that it ends: no `Exception`, so nobody catches it by accident."""


_under_way: "list[Actor]" = []


@pytest.fixture(autouse=True)
def sessions_come_to_their_end() -> Iterator[None]:
    """A test may leave sessions open: import this. No driver closes a procedure, it throws an error in."""
    yield
    while _under_way:
        if (actor := _under_way.pop()).waits is not None:
            actor.throw(Cancelled())


class Clock:
    """Time moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._midnight = dt.datetime(2026, 3, 2, tzinfo=dt.UTC) - dt.timedelta(seconds=self.now)

    @property
    def date(self) -> dt.datetime:
        """Date and time: midnight of a Monday, when the clock begins."""
        return self._midnight + dt.timedelta(seconds=self.now)

    @date.setter
    def date(self, date: dt.datetime) -> None:
        self._midnight = date - dt.timedelta(seconds=self.now)


class Actor:
    """One procedure under way.

    `go` performs its operations until it waits for octets, or for a peer that does not take any (`deaf`), or has
    come to its end. `Run` and `Await` are performed in place.

    Args:
        procedure: not yet begun.
        clock: the time; shared by those who talk to each other.
        strikes: what goes wrong at the n-th operation (from 0). It is thrown in at its place; but a `Run` goes on to
            its end, its result comes first, and the error at the next operation that is none. So does an `Await`.

    Attributes:
        written: octets, for each `Write`.
        performed: the operations, in order.
        after_strike: those of them that came after the error.
        deaf: the peer takes nothing.
        gone: the peer cannot be written to any more.
    """

    def __init__(
        self,
        procedure: Procedure[Any],
        clock: Clock | None = None,
        *,
        strikes: Mapping[int, BaseException] | None = None,
        tls: TlsInfo | BaseException = TLS,
    ) -> None:
        self.clock = clock or Clock()
        self.written: list[bytes] = []
        self.performed: list[Operation[object]] = []
        self.after_strike: list[Operation[object]] = []
        self.inbox: deque[bytes] = deque()
        self.waits: Read | Write | Turn | None = None
        self.finished = False
        self.deaf = False
        self.gone = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._procedure = procedure
        self._strikes = dict(strikes or {})
        self._tls = tls
        self._due: BaseException | None = None
        self._struck = False
        self._taken = 0
        _under_way.append(self)

    def go(self) -> Self:
        """Perform what can be performed now."""
        if self.waits is not None:
            operation, self.waits = self.waits, None
            if (outcome := self._perform(operation)) is not None:
                self._on(*outcome)
        elif not self.finished and not self.performed:
            self._on(None)
        return self

    def throw(self, error: BaseException) -> Self:
        """End the waiting by an error."""
        assert self.waits is not None
        self.waits, self._struck = None, True
        self._on(error)
        return self

    def receive(self, *chunks: bytes) -> Self:
        """Hand octets over, chunk by chunk; b"" is end of stream. What nobody waits for is kept."""
        self.go()
        for chunk in chunks:
            self.inbox.append(chunk)
            self.go()
        return self

    def sleep(self, seconds: float) -> Self:
        """Let time pass; the operation that waits may time out."""
        self.clock.now += seconds
        if self.waits is not None and self.waits.until is not None and self.clock.now >= self.waits.until:
            self.throw(TimedOut("the deadline has passed"))
        return self

    def take(self) -> bytes:
        """The octets that were written since the last time."""
        octets = b"".join(self.written[self._taken :])
        self._taken = len(self.written)
        return octets

    def outcome(self) -> Any:
        """What the procedure has returned; or raise what it has raised."""
        assert self.finished, f"it waits for {self.waits}"
        if self.error is not None:
            raise self.error
        return self.result

    def _on(self, error: BaseException | None, result: object = None) -> None:
        while True:
            try:
                operation = self._procedure.send(result) if error is None else self._procedure.throw(error)
            except StopIteration as end:
                self.finished, self.result, self.error = True, end.value, self._due
                return
            except BaseException as raised:  # noqa: BLE001 - the test looks at it
                self.finished, self.error = True, raised
                return
            self.performed.append(operation)
            if self._struck:
                self.after_strike.append(operation)
            if (strike := self._strikes.pop(len(self.performed) - 1, None)) is not None:
                self._due, self._struck = strike, True
            if self._due is not None and not isinstance(operation, Run | Await | AwaitLogin | EndTurn):
                error, result, self._due = self._due, None, None
            elif (outcome := self._perform(operation)) is None:
                return
            else:
                error, result = outcome

    def _perform(self, operation: Operation[object]) -> tuple[BaseException | None, object] | None:
        """Return the error or the result; None if it has to wait."""
        match operation:
            case Run():
                try:
                    return None, operation.call()
                except BaseException as error:  # noqa: BLE001 - it belongs to the procedure
                    return error, None
            case Await() | AwaitLogin():
                try:
                    return None, awaited_now(operation.awaitable)
                except BaseException as error:  # noqa: BLE001 - it belongs to the procedure
                    return error, None
            case Write() | Read():
                return self._move(operation)
            case Turn():
                self.waits = None if operation.has_come else operation
                return (None, None) if operation.has_come else None
            case StartTls():
                self.written += [operation.last_words] if operation.last_words else []
                return (self._tls, None) if isinstance(self._tls, BaseException) else (None, self._tls)
            case _:
                return None, self._ask_the_world(operation)

    def _move(self, operation: Read | Write) -> tuple[BaseException | None, object] | None:
        if operation.until is not None and operation.until <= self.clock.now:
            return TimedOut("the deadline has passed"), None
        if isinstance(operation, Read) and self.inbox:
            return None, self.inbox.popleft()
        if isinstance(operation, Write) and self.gone:
            return ConnectionLost("the peer is gone"), None
        if isinstance(operation, Write) and not self.deaf:
            self.written.append(operation.octets)
            return None, None
        self.waits = operation
        return None

    def _ask_the_world(self, operation: Operation[object]) -> object:
        match operation:
            case Now():
                return self.clock.now
            case UtcNow():
                return self.clock.date
            case Look():
                return self.inbox.popleft() if self.inbox else None
            case Sleep(seconds):
                self.clock.now += seconds
                return None
            case Random(count):
                return bytes(count)
            case _:
                raise AssertionError(operation)


def awaited_now(awaitable: Awaitable[object]) -> object:
    """The result of something awaitable that waits for nothing, or for `pause` only."""
    steps = awaitable.__await__()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class Pause:
    """Something to await: a coroutine that comes to it lets go of the thread once."""

    def __await__(self) -> Generator[None]:
        yield


def perform(procedure: Procedure[Any], *chunks: bytes) -> Any:
    """Run a procedure that reads these chunks and then end of stream; return or raise what it does."""
    return Actor(procedure).receive(*chunks, b"").outcome()


def talk(client: Actor, server: Actor, *, piece: int = 1_000_000) -> None:
    """Let two talk until both wait for each other, or have ended; their octets are cut into pieces.

    Who has ended hangs up.
    """
    on_line = [(client.go(), server.go()), (server, client)]
    moved = True
    while moved:
        moved = False
        for sender, receiver in tuple(on_line):
            octets = sender.take()
            chunks = [octets[start : start + piece] for start in range(0, len(octets), piece)]
            if sender.finished:
                on_line.remove((sender, receiver))
                chunks.append(b"")
            moved |= bool(chunks)
            receiver.receive(*chunks)


# --------------------------------------------------------------------------------------- a client's peer


class Script:
    """A server that says what the test says, and remembers what it was told.

    Args:
        greeting: its greeting, and what it has said besides; the session is greeted.
        capabilities: what the client knows of it; None: nothing.
    """

    def __init__(
        self,
        greeting: bytes = b"+OK ready\r\n",
        *,
        capabilities: Capabilities | None = None,
        may_show_password: bool = True,
        connection: ClientConnection | None = None,
        timeout: float | None = None,
    ) -> None:
        self.connection = connection or ClientConnection()
        self.session = Session(self.connection, loopback=may_show_password, timeout=timeout)
        self.session.context = attrs.evolve(self.session.context, capabilities=capabilities)
        self.heard: list[bytes] = []
        Actor(greet(self.session)).receive(greeting).outcome()

    def begin(self, procedure: Procedure[Any], **arguments: Any) -> Actor:
        """Run a procedure up to its first wait."""
        actor = Actor(procedure, **arguments).go()
        self._listen(actor)
        return actor

    def tell(self, actor: Actor, *chunks: bytes) -> Actor:
        """Say something to a procedure that is under way."""
        actor.receive(*chunks)
        self._listen(actor)
        return actor

    def run(self, procedure: Procedure[Any], *answers: bytes) -> Any:
        """Run a procedure; each time that it waits it gets one more answer. All must be used."""
        actor = self.begin(procedure)
        for number, answer in enumerate(answers):
            assert not actor.finished, f"answers from {number} on are not used"
            self.tell(actor, answer)
        return actor.outcome()

    def log_in(self) -> Self:
        """Bring the session to the TRANSACTION state."""
        self.run(call(self.session, User("ann")), b"+OK\r\n")
        self.run(call(self.session, Pass("tanstaaf")), b"+OK\r\n")
        self.heard.clear()
        return self

    def _listen(self, actor: Actor) -> None:
        if octets := actor.take():
            self.heard.append(octets)


# --------------------------------------------------------------------------------------- a server's world


def as_sent(message: bytes) -> bytes:
    """A message as RETR sends it, dots not stuffed: CRLF line ends, written down naively."""
    lines = message.replace(b"\r\n", b"\n").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


class Source(io.BytesIO):
    """A message that can fail when it has been read up to some octet."""

    def __init__(self, octets: bytes, breaks_at: int | None, failure: BaseException) -> None:
        super().__init__(octets)
        self._breaks_at = breaks_at
        self._failure = failure
        self.closings = 0
        self.was_read = 0  # octets

    def read(self, size: int | None = -1, /) -> bytes:
        if self._breaks_at is not None and self.tell() >= self._breaks_at:
            raise self._failure
        assert size is not None
        assert size > 0, "never all at once"
        octets = super().read(size)
        self.was_read += len(octets)
        return octets

    def close(self) -> None:
        self.closings += 1
        super().close()


class FakeStore(MaildropStore):
    """One maildrop, for whoever asks; it writes down what is done to it, and fails as told.

    Attributes:
        contents: the messages, by serial number.
        log: calls, in order.
        openers: for whom it was opened, and in which session.
        failures: by the name of a method ("open", "commit", "capabilities", "read", ...), what it raises.
        breaks_at: a message number, and the octet behind which it cannot be read.
        announced: by message number, a size that is not the real one.
        listed: what a maildrop shows in place of its messages.
    """

    def __init__(self, *messages: bytes, blocks: bool = True, capabilities: Capabilities | None = None) -> None:
        self.contents = dict(enumerate(messages, 1))
        self.log: list[str] = []
        self.openers: list[tuple[str, SessionInfo]] = []
        self.failures: dict[str, BaseException] = {}
        self.breaks_at: dict[int, int] = {}
        self.announced: dict[int, int] = {}
        self.listed: Sequence[Message] | None = None
        self.locked = False
        self.opened: list[FakeMaildrop] = []
        self.commits: list[tuple[frozenset[int], frozenset[int]]] = []
        self._blocks = blocks
        self._capabilities = capabilities or Capabilities()

    @property
    def blocks(self) -> bool:
        return self._blocks

    def note(self, call: str) -> None:
        self.log.append(call)
        if (failure := self.failures.get(call)) is not None:
            raise failure

    def open(self, user: str, session: SessionInfo) -> Maildrop:
        self.openers.append((user, session))
        self.note("open")
        if self.locked:
            raise InUse
        self.locked = True
        self.opened.append(FakeMaildrop(self))
        return self.opened[-1]

    def capabilities(self, user: str | None) -> Capabilities:
        self.log.append(f"capabilities {user}")
        return self._capabilities

    @property
    def closings(self) -> list[int]:
        """How often each maildrop was closed."""
        return [maildrop.closings for maildrop in self.opened]

    @property
    def sources(self) -> list[Source]:
        """All messages that were opened."""
        return [source for maildrop in self.opened for source in maildrop.sources]

    def check_all_is_closed(self) -> None:
        """Nothing is locked, every maildrop was closed once, no message was left open."""
        assert not self.locked
        assert self.closings == [1] * len(self.opened)
        assert all(source.closings for source in self.sources)


class FakeMaildrop(Maildrop):
    """What was in the store when it was opened."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self._serials = list(store.contents)
        self._messages = [
            Message(store.announced.get(number, len(as_sent(octets))), UniqueId(f"id.{serial}"))
            for number, (serial, octets) in enumerate(store.contents.items(), 1)
        ]
        self._octets = list(store.contents.values())
        self.closings = 0
        self.sources: list[Source] = []

    @property
    def messages(self) -> Sequence[Message]:
        return self._messages if self._store.listed is None else self._store.listed

    def open(self, number: int) -> MessageStream:
        self._store.note(f"open {number}")
        failure = self._store.failures.get("read", OSError("the disk is gone"))
        self.sources.append(Source(self._octets[number - 1], self._store.breaks_at.get(number), failure))
        return self.sources[-1]

    def correct(self, number: int, octets: int) -> None:
        self._store.note(f"correct {number} {octets}")
        self._messages[number - 1] = Message(octets, self._messages[number - 1].unique_id)

    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        assert not self.closings
        self._store.commits.append((deleted, retrieved))
        self._store.note("commit")
        for number in deleted:
            del self._store.contents[self._serials[number - 1]]

    def close(self) -> None:
        assert self._store.locked
        self.closings += 1
        self._store.locked = False
        self._store.note("close")


class OneUser:
    """Ann, whose password is tanstaaf."""

    def __init__(self, *, blocks: bool = True, failure: BaseException | None = None) -> None:
        self.blocks = blocks
        self.failure = failure
        self.asked: list[tuple[str, str]] = []

    def check_password(self, user: str, password: str, _session: SessionInfo) -> bool:
        self.asked.append((user, password))
        if self.failure is not None:
            raise self.failure
        return (user, password) == ("ann", "tanstaaf")


class FailedLogins(SessionRecord):
    """Keeps what is said of failed logins, and of those that were not checked."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: list[tuple[str, str]] = []
        self.not_checked: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str, str]] = []

    def login_failed(self, method: str, user: str) -> None:
        self.failed.append((method, user))

    def login_not_checked(self, method: str, user: str) -> None:
        self.not_checked.append((method, user))

    def login_refused(self, method: str, user: str, reason: str) -> None:
        self.refused.append((method, user, reason))


class Serving:
    """A session of a server, from the client's end of the wire.

    Args:
        store: its store.
        authenticator: its users.
        connection: its protocol.
        loopback: where the client is.
        mode: where TLS comes in.
        strikes: as `Actor`.
        address: the client's.
        domain: of users who log in without one.
        limiter: shared with other sessions of the same server, whose service it has.
        awaits: as `serve`.
        service: other arguments of `Service`.
    """

    def __init__(
        self,
        store: FakeStore,
        authenticator: Authenticator | None = None,
        *,
        connection: ServerConnection | None = None,
        clock: Clock | None = None,
        loopback: bool = True,
        mode: TlsMode = "none",
        strikes: Mapping[int, BaseException] | None = None,
        tls: TlsInfo | BaseException = TLS,
        address: str = "",
        domain: str = "",
        limiter: SessionLimiter | None = None,
        awaits: bool = True,
        **service: Any,
    ) -> None:
        self.store = store
        self.connection = connection or ServerConnection(tls=mode == "implicit")
        self.service = Service(store=store, authenticator=authenticator or OneUser(), **service)
        self.record = FailedLogins()
        place = None if limiter is None else limiter.enter(address)
        assert not isinstance(place, str), place
        self.place = place
        procedure = serve_session(
            *(self.service, self.connection, SessionInfo(address, domain=domain)),
            loopback=loopback,
            tls=mode,
            awaits=awaits,
            place=place,
            record=self.record,
        )
        self.actor = Actor(procedure, clock, strikes=strikes, tls=tls)

    def greeted(self) -> Self:
        """Take the greeting."""
        assert self.actor.go().take().startswith(b"+OK")
        return self

    def logged_in(self) -> Self:
        """Take the greeting, and log in."""
        answers = self.greeted().ask(b"USER ann\r\nPASS tanstaaf\r\n")
        assert answers.count(b"+OK") == 2, answers
        return self

    def ask(self, *chunks: bytes) -> bytes:
        """Send octets, and return what comes."""
        return self.actor.receive(*chunks).take()

    def lines(self, *chunks: bytes) -> list[bytes]:
        """Send octets, and return the lines that come."""
        return self.ask(*chunks).split(b"\r\n")[:-1]

    def hang_up(self) -> Actor:
        """Close the connection; the session is over."""
        self.actor.receive(b"")
        assert self.actor.finished
        return self.actor


def codes(lines: Iterable[bytes]) -> list[bytes]:
    """The first words of status lines, and their response codes."""
    return [b" ".join(line.split(b" ")[:2]) if b" [" in line[:6] else line.split(b" ")[0] for line in lines]
