"""A server that is to end, and sessions that must share it: what is finished, what is refused, whose turn it is."""

from base64 import b64encode

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import TimedOut
from pop3proto.core.limits import Limits
from pop3proto.core.server import ServerConnection
from pop3proto.core.states import State
from pop3proto.procedures.operations import Read, Run, ShuttingDown, Sleep, StartTls, Write
from pop3proto.procedures.server.deadlines import Deadlines
from tests.helpers.drivers import Clock, FakeStore, OneUser, Serving, codes
from tests.helpers.strategies import chunkings

MAIL = b"A: b\n\nbody\n"
LOGIN = b"USER ann\r\nPASS tanstaaf\r\n"
PLAIN = b64encode(b"\0ann\0tanstaaf")
DOWN = b"-ERR [SYS/TEMP] the server is going down\r\n"
GRACE = 10
DEADLINES = Deadlines(login=60, idle=600, grace=GRACE)


def serving(*mail: bytes, **arguments) -> Serving:
    arguments.setdefault("deadlines", DEADLINES)
    users = arguments.pop("authenticator", None)
    return Serving(FakeStore(*mail), users, **arguments)


def told(session: Serving) -> Serving:
    """The driver tells a session that waits for a command."""
    assert isinstance(session.actor.waits, Read)
    session.actor.throw(ShuttingDown())
    assert session.actor.take() == b"", "nothing is said of it unasked"
    assert isinstance(session.actor.waits, Read)
    return session


# ------------------------------------------------------------------------------------------- the next command


@pytest.mark.parametrize(
    "command",
    [b"NOOP", b"STAT", b"RETR 1", b"DELE 1", b"RSET", b"CAPA", b"UIDL", b"rubbish", b"PASS x", b"QUIT 1", b""],
)
def test_the_next_command_is_refused_and_ends_the_session(command):
    session = serving(MAIL).logged_in()
    session.ask(b"DELE 1\r\n")
    assert told(session).ask(command + b"\r\n") == DOWN
    assert session.actor.outcome() is None
    assert session.connection.state is State.CLOSED
    session.store.check_all_is_closed()
    assert session.store.commits == []
    assert list(session.store.contents) == [1], "nothing is removed"


def test_quit_is_answered_as_ever():
    session = serving(MAIL).logged_in()
    session.ask(b"RETR 1\r\nDELE 1\r\n")
    assert told(session).ask(b"QUIT\r\n") == b"+OK bye\r\n"
    assert session.actor.outcome() is None
    assert session.store.commits == [(frozenset({1}), frozenset({1}))]
    session.store.check_all_is_closed()


def test_one_command_is_all_that_is_answered():
    session = serving(MAIL).logged_in()
    session.ask(b"DELE 1\r\n")
    assert told(session).ask(b"NOOP\r\nQUIT\r\n") == DOWN
    assert session.actor.finished
    assert session.store.commits == []


def test_half_a_command_that_came_before():
    session = serving(MAIL).logged_in()
    session.ask(b"DELE")
    assert told(session).ask(b" 1\r\n") == DOWN
    assert session.actor.finished


def test_half_a_quit_that_came_before():
    session = serving(MAIL).logged_in()
    session.ask(b"DELE 1\r\nQU")
    assert codes([told(session).ask(b"IT\r\n")]) == [b"+OK"]
    assert session.store.commits == [(frozenset({1}), frozenset())]


def test_a_client_that_hangs_up():
    session = told(serving(MAIL).logged_in())
    assert session.hang_up().outcome() is None
    assert session.actor.take() == b""
    session.store.check_all_is_closed()
    assert session.store.commits == []


# ------------------------------------------------------------------------------------------------ the time


def test_nothing_within_the_grace_is_the_end_in_silence():
    session = serving(MAIL).logged_in()
    session.ask(b"DELE 1\r\n")
    assert told(session).actor.waits == Read(session.actor.clock.now + GRACE)
    session.actor.sleep(GRACE)
    assert session.actor.take() == b""
    with pytest.raises(TimedOut):
        session.actor.outcome()
    session.store.check_all_is_closed()
    assert session.store.commits == []


@given(chunkings(b"USER ann"))
def test_half_a_command_does_not_prolong_the_grace(chunks):
    session = told(serving().logged_in())
    until = session.actor.clock.now + GRACE
    for chunk in chunks:
        assert session.ask(chunk) == b""
        assert session.actor.waits == Read(until)


@pytest.mark.parametrize("login", [True, False])
def test_the_grace_is_no_longer_than_the_patience(login):
    clock, deadlines = Clock(), Deadlines(login=60, idle=600, grace=10_000)
    session = serving(clock=clock, deadlines=deadlines).greeted()
    begun = clock.now
    if login:
        session.ask(LOGIN)
    assert told(session).actor.waits == Read(begun + (600 if login else 60))


# --------------------------------------------------------------------------------------------- before login


@pytest.mark.parametrize("before", [b"", b"USER ann\r\n", b"CAPA\r\n"])
@pytest.mark.parametrize(
    "command", [b"PASS tanstaaf\r\n", LOGIN, b"AUTH PLAIN " + PLAIN + b"\r\n", b"CAPA\r\n", b"AUTH\r\n"]
)
def test_before_login(before, command):
    users = OneUser()
    session = serving(authenticator=users).greeted()
    session.ask(*filter(None, [before]))
    assert told(session).ask(command) == DOWN
    assert session.actor.outcome() is None
    assert not users.asked
    assert "open" not in session.store.log


def test_quit_before_login():
    session = told(serving().greeted())
    assert codes([session.ask(b"QUIT\r\n")]) == [b"+OK"]
    assert session.actor.outcome() is None
    assert session.store.log == []


@pytest.mark.parametrize("response", [PLAIN, b"*", b"", b"QUIT", b"rubbish!"])
def test_in_the_middle_of_an_exchange(response):
    users = OneUser()
    session = serving(authenticator=users).greeted()
    assert session.ask(b"AUTH PLAIN\r\n") == b"+ \r\n"
    assert told(session).ask(response + b"\r\n") == DOWN
    assert session.actor.outcome() is None
    assert not users.asked
    assert session.store.log == []


def test_stls_is_refused_too():
    session = told(serving(mode="starttls").greeted())
    assert session.ask(b"STLS\r\n") == DOWN
    assert not any(isinstance(operation, StartTls) for operation in session.actor.performed)


# ------------------------------------------------------------------------------------------ whatever is in hand

SCRIPT = [
    b"USER ann\r\nPASS guess\r\n",
    b"CAPA\r\nAUTH PLAIN\r\n",
    PLAIN + b"\r\n",
    b"RETR 1\r\nDE",
    b"LE 1\r\nUIDL\r\nNOOP\r\n",
    b"TOP 2 1\r\n",
    b"QUIT\r\n",
]


@pytest.mark.parametrize("blocks", [True, False])
def test_what_is_in_hand_is_finished_whenever_it_comes(blocks):
    """Told at any of its reads, a session says what it would have said, and one line more."""

    def session(strikes=None) -> Serving:
        store = FakeStore(MAIL, MAIL, blocks=blocks)
        session = Serving(store, OneUser(blocks=blocks), strikes=strikes, deadlines=DEADLINES)
        session.actor.receive(*SCRIPT)
        return session

    clean = session()
    answers = clean.actor.take()
    reads = [number for number, each in enumerate(clean.actor.performed) if isinstance(each, Read)]
    assert len(reads) == len(SCRIPT)
    for number in reads:
        so_far = b"".join(each.octets for each in clean.actor.performed[:number] if isinstance(each, Write))
        struck = session({number: ShuttingDown()})
        assert struck.actor.outcome() is None
        last = number == reads[-1]
        assert struck.actor.take() == (answers if last else so_far + DOWN)
        assert struck.store.locked is False
        assert bool(struck.store.commits) == last
        if struck.store.opened:
            struck.store.check_all_is_closed()


def test_a_large_message_is_sent_to_its_end():
    session = serving(b"A: b\n\n" + b"x" * 3_000_000).logged_in()
    session.actor.deaf = True
    session.ask(b"RETR 1\r\n")
    assert isinstance(session.actor.waits, Write)
    session.actor.deaf = False
    answer = session.actor.go().take()
    assert answer.endswith(b"x\r\n.\r\n")
    assert told(session).ask(b"RETR 1\r\n") == DOWN


def test_a_greeting_that_nobody_has_answered():
    session = Serving(FakeStore(), strikes={}, deadlines=DEADLINES).greeted()
    assert told(session).ask(b"USER ann\r\n") == DOWN


# ---------------------------------------------------------------------------------------------- whose turn it is

TURN = 50


class Turns:
    """An observer that counts commands between the operations at which others have their turn."""

    def __init__(self) -> None:
        self.session: Serving | None = None
        self.marks: list[int] = []

    def heard(self, _info, _event, /) -> None:
        self.marks.append(len(self.session.actor.performed))

    def said(self, _info, _response, /) -> None:
        pass

    def ended(self, _info, _error, /) -> None:
        pass

    @property
    def longest(self) -> int:
        """The most commands that were heard between two rests."""
        performed = self.session.actor.performed
        rests = [number for number, each in enumerate(performed) if isinstance(each, Sleep | Read)]
        bounds = [*rests, len(performed)]
        return max(
            (sum(start < mark <= end for mark in self.marks) for start, end in zip([-1, *rests], bounds, strict=True)),
            default=0,
        )


def crowded(*mail: bytes, blocks: bool = False, logged_in: bool = True) -> tuple[Serving, Turns]:
    turns = Turns()
    limits = Limits(bad_commands=1_000_000, buffered=10_000_000)
    session = Serving(
        FakeStore(*mail, blocks=blocks),
        OneUser(blocks=blocks),
        connection=ServerConnection(limits=limits),
        observer=turns,
        login_attempts=1_000_000,
    )
    turns.session = session
    if logged_in:
        session.logged_in()
    else:
        session.greeted()
    return session, turns


IN_SESSION = [b"NOOP", b"STAT", b"LIST", b"UIDL 1", b"CAPA", b"RETR 1", b"TOP 1 0", b"rubbish", b"PASS", b"RETR 9", b""]


@pytest.mark.parametrize("blocks", [True, False])
@given(st.lists(st.sampled_from(IN_SESSION), min_size=60, max_size=160), st.integers(1, 5))
def test_others_have_their_turn_after_fifty_commands(blocks, commands, chunks):
    session, turns = crowded(MAIL, blocks=blocks)
    turns.marks.clear()
    heard = len(commands) * chunks
    octets = b"".join(command + b"\r\n" for command in commands)
    for _ in range(chunks):
        session.ask(octets)
    assert len(turns.marks) == heard
    assert turns.longest <= TURN


@pytest.mark.parametrize(
    "line", [b"CAPA", b"USER ann", b"AUTH", b"rubbish", b"AUTH FOO", b"AUTH PLAIN\r\n*", LOGIN[:9] + b"\r\nPASS x"]
)
def test_before_login_too(line):
    session, turns = crowded(logged_in=False)
    session.ask((line + b"\r\n") * 200)
    assert len(turns.marks) >= 200
    assert 1 <= turns.longest <= TURN


def test_a_rest_takes_no_time_and_comes_no_more_often_than_it_must():
    session, turns = crowded()
    before, performed = session.actor.clock.now, len(session.actor.performed)
    session.ask(b"NOOP\r\n" * 1_000)
    rests = [each for each in session.actor.performed[performed:] if isinstance(each, Sleep)]
    assert rests == [Sleep(0)] * 20
    assert session.actor.clock.now == before
    assert turns.longest == TURN


def test_who_goes_one_by_one_needs_no_rest():
    session, _ = crowded()
    for _ in range(3 * TURN):
        session.ask(b"NOOP\r\n")
    assert not any(isinstance(each, Sleep) for each in session.actor.performed)


def test_the_counting_counts():
    session, turns = crowded()
    turns.marks.clear()
    session.ask(b"NOOP\r\n" * 3, b"NOOP\r\n" * 7, b"NOOP\r\n" * 5)
    assert turns.longest == 7
    assert {type(each) for each in session.actor.performed} >= {Read, Write}
    assert Run not in {type(each) for each in session.actor.performed}
