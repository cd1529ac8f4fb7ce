"""What logins wait for: the failures from their address, and their turn. No clock runs here."""

import heapq
import itertools
from base64 import b64encode

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import LocalProtocolError, TimedOut
from pop3proto.procedures.operations import Now, RunLogin, Sleep, Turn
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.logins import LOGINS_IN_THREADS, LoginLimiter, Turns
from pop3proto.procedures.server.penalties import LoginAttempt, LoginPenalties, LoginPenalty
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.md5 import CramMd5Client
from pop3proto.sasl.plain import LoginClient, PlainClient
from pop3proto.sasl.scram.mechanisms import ScramClient
from tests.helpers.drivers import (
    Cancelled,
    FakeStore,
    OneUser,
    Serving,
    sessions_come_to_their_end,  # noqa: F401 - it is a fixture
)
from tests.procedures.server.test_login_handlers import Everyone, log_in

KEY = b"a key of this process"


def attempt(password: str = "", *, key: bytes = KEY, method: str = "USER/PASS") -> LoginAttempt:
    made = LoginAttempt(method, 0, key)
    made.add(b"ann", password.encode())
    return made


def service(*, blocks: bool = False, **bounds) -> Service:
    return Service(store=FakeStore(), authenticator=OneUser(blocks=blocks), **bounds)


def turns_of(limiter: SessionLimiter) -> Turns:
    return vars(vars(limiter)["_logins"])["_turns"]


# ------------------------------------------------------------------------------------------------ penalties


def test_each_failure_doubles_the_delay_up_to_a_bound():
    penalties = LoginPenalties(LoginPenalty())
    assert penalties.delay("a", 0) == 0
    delays = []
    for number in range(6):
        penalties.failed("a", attempt(str(number)), now=number)
        delays.append(penalties.delay("a", number))
    assert delays == [2, 4, 8, 15, 15, 15]
    assert penalties.delay("b", 6) == 0, "of other addresses nothing is known"


def test_failures_are_forgotten_after_some_minutes_without_a_new_one():
    penalties = LoginPenalties(LoginPenalty(first=1, most=8, forget_after=100))
    penalties.failed("a", attempt("1"), now=0)
    penalties.failed("a", attempt("2"), now=90)
    assert penalties.delay("a", 189.9) == 2
    assert penalties.delay("a", 190) == 0
    penalties.failed("a", attempt("2"), now=200)
    assert penalties.delay("a", 200) == 1, "it begins again"


def test_the_same_wrong_credentials_count_once():
    penalties = LoginPenalties(LoginPenalty())
    for now in range(5):
        penalties.failed("a", attempt("old password"), now=now)
    assert penalties.delay("a", 5) == 2
    assert penalties.delay("a", 300) == 0, "and do not keep it alive"
    penalties.failed("a", attempt("old password"), now=10)
    penalties.failed("a", attempt("another"), now=11)
    penalties.failed("a", attempt("old password"), now=12)
    assert penalties.delay("a", 12) == 4


@given(st.lists(st.sampled_from("abcdefgh"), max_size=50), st.integers(1, 5))
def test_memory_is_bounded_and_the_quietest_address_goes_first(addresses, room):
    penalties = LoginPenalties(LoginPenalty(addresses=room, forget_after=1_000))
    for now, address in enumerate(addresses):
        penalties.failed(address, attempt(str(now)), now=now)
    latest = list(dict.fromkeys(reversed(addresses)))
    now = len(addresses)
    assert {each for each in "abcdefgh" if penalties.delay(each, now)} == set(latest[:room])
    for failures in vars(penalties)["_failures"].values():
        assert len(failures.digests) <= 8


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_a_digest_stands_for_what_was_shown_under_a_key(shown, other):
    def digest(parts, key=KEY, method="PLAIN"):
        made = LoginAttempt(method, 0, key)
        made.add(*parts)
        return made.digest

    assert (digest(shown) == digest(other)) == (shown == other)
    assert digest(shown) != digest(shown, key=b"another")
    assert digest(shown) != digest(shown, method="LOGIN")
    assert len(digest(shown)) == 16


@pytest.mark.parametrize(
    "values",
    [{"first": 0}, {"first": 16}, {"most": 1}, {"most": 1e9}, {"forget_after": 0}, {"addresses": 0}, {"first": -1}],
)
def test_a_penalty_that_makes_no_sense_is_refused(values):
    with pytest.raises(LocalProtocolError, match="login penalty"):
        LoginPenalty(**values)


# ------------------------------------------------------------------------------------------------ turns


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=80), st.integers(1, 3))
def test_turns_come_first_come_first_served_and_none_is_lost(moves, most):
    turns = Turns(most)
    out: list[Turn] = []  # under way or waiting, in order
    for takes, which in moves:
        if takes:
            out.append(turns.take("a", 0))
        elif out:
            turns.give_back("a", out.pop(which % len(out)))  # at its end, or because it is not waited for any more
        assert [turn.has_come for turn in out] == [True] * min(most, len(out)) + [False] * max(0, len(out) - most)
    for turn in out:
        turns.give_back("a", turn)
    assert is_idle(turns)


ADDRESSES = ["", "a", "b", "c"]


@given(
    st.lists(st.tuples(st.sampled_from(["take", "alone", "leave", "end"]), st.integers(0, 20)), max_size=80),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_the_bounds_hold_no_thread_is_idle_and_each_address_has_its_turn(moves, most, threads):
    turns = Turns(most, threads)
    out: list[tuple[str, Turn]] = []  # under way or waiting, in order
    in_threads: list[Turn] = []
    rooms: dict[Turn, int] = {}
    for move, which in moves:
        before = [turn for _, turn in out if turn.has_come]
        if move in ("take", "alone"):
            address = ADDRESSES[which % len(ADDRESSES)]
            out.append((address, turns.take(address, 0, alone=move == "alone")))
            rooms[out[-1][1]] = 1 if move == "alone" else most
        elif move == "leave" and before:
            turns.leave_thread(turn := before[which % len(before)])
            in_threads = [each for each in in_threads if each is not turn]
        elif out:
            address, turn = out.pop(which % len(out))
            in_threads = [each for each in in_threads if each is not turn]
            turns.give_back(address, turn)
        in_threads += [turn for _, turn in out if turn.has_come and turn not in before]
        assert len(in_threads) <= threads
        for address in ADDRESSES[1:]:
            of_address = [turn for each, turn in out if each == address]
            come = [turn for turn in of_address if turn.has_come]
            waiting = [turn for turn in of_address if not turn.has_come]
            assert len(come) <= most
            assert not (waiting and len(in_threads) < threads and len(come) < rooms[waiting[0]]), "it has room"
        assert all(turn.has_come for address, turn in out if not address) or len(in_threads) == threads
    for address, turn in out:
        turns.give_back(address, turn)
    assert is_idle(turns)


def test_addresses_have_their_turns_in_rotation():
    turns = Turns(9, 2)
    under_way = [("a", turns.take("a", 0)), ("a", turns.take("a", 0))]
    waiting = [(address, turns.take(address, 0)) for address in ("a", "a", "a", "b", "b", "", "", "c")]
    order = []
    while under_way:
        turns.give_back(*under_way.pop(0))
        for each in waiting:
            if each[1].has_come and each not in order:
                order.append(each)
                under_way.append(each)
    assert [address for address, _ in order] == ["a", "b", "", "", "c", "a", "b", "a"]


def test_a_turn_wakes_its_driver_whichever_comes_first():
    woken: list[int] = []
    early, late = Turn(), Turn()
    early.come()
    early.wake_by(lambda: woken.append(1))
    late.wake_by(lambda: woken.append(2))
    late.come()
    assert woken == [1, 2]


# ------------------------------------------------------------------------------------------------ many at once


@attrs.define
class Login:
    """One login: when it came, when the authenticator was asked, and when that answered."""

    address: str
    password: str
    came: float
    asked: float = -1
    answered: float = -1


class Hours:
    """Lets logins happen at once, in time that is a number.

    Args:
        limiter: what they share.
        work: seconds that the authenticator takes.
    """

    def __init__(self, limiter: SessionLimiter, work: float) -> None:
        self.limiter, self.work, self.now = limiter, work, 0.0
        self.order = itertools.count()
        self.due: list = []
        self.most_at_once: dict[str, int] = {}
        self.at_once: dict[str, int] = {}

    def login(self, login: Login):
        place = self.limiter.place(login.address)
        origin, made = place.origin, place.begin_login("USER/PASS", login.came)
        made.add(login.password.encode())
        turn = yield from place.wait_to_log_in(made, 1e9)
        login.asked = self.now
        self.at_once[origin] = self.at_once.get(origin, 0) + 1
        self.most_at_once[origin] = max(self.most_at_once.get(origin, 0), self.at_once[origin])
        yield Sleep(self.work)
        self.at_once[origin] -= 1
        login.answered = self.now
        if login.password != "right":
            place.login_failed(made, self.now)
        place.end_turn(turn)

    def guess(self, address: str, until: float, verified: list[float]):
        """One session that guesses as often as it is let; when, is added to `verified`."""
        while self.now < until:
            login = Login(address, str(next(self.order)), self.now)
            yield from self.login(login)
            verified.append(login.asked)

    def run(self, logins: list[Login]) -> None:
        for login in logins:
            self.wake_at(login.came, self.login(login))
        while self.due:
            self.now, _, procedure = heapq.heappop(self.due)
            self.step(procedure)

    def wake_at(self, when: float, procedure) -> None:
        heapq.heappush(self.due, (when, next(self.order), procedure))

    def step(self, procedure) -> None:
        answer = None
        while True:
            try:
                operation = procedure.send(answer)
            except StopIteration:
                return
            match operation:
                case Now():
                    answer = self.now
                case Sleep(seconds):
                    self.wake_at(self.now + seconds, procedure)
                    return
                case Turn():
                    operation.wake_by(lambda: self.wake_at(self.now, procedure))
                    return


def test_guesses_of_one_address_are_few_and_delay_no_other():
    limiter = SessionLimiter(service(), KEY)
    hours = Hours(limiter, work=0.1)
    guesses = [Login("192.0.2.1", str(number), 0) for number in range(98)]
    same, other = Login("192.0.2.1", "right", 1), Login("198.51.100.1", "right", 1)
    hours.run([*guesses, same, other])
    assert hours.most_at_once == {"192.0.2.1": 2, "198.51.100.1": 1}
    assert other.asked == 1
    asked = sorted(each.asked for each in [*guesses, same])
    assert asked[:4] == pytest.approx([0, 0, 4.1, 12.2]), "two, whose failures delay the rest"
    assert all(late - early > 14.99 for early, late in itertools.pairwise(asked[4:]) if early != same.asked)
    assert all(each.answered > 0 for each in [*guesses, same])


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("most", [1, 2, 50])
@pytest.mark.parametrize("work", [0, 0.1, 1])
def test_many_sessions_guess_no_faster_than_one(work, most):
    verified: dict[int, list[float]] = {1: [], 50: []}
    for sessions, times in verified.items():
        hours = Hours(SessionLimiter(service(logins_per_address=most), KEY), work)
        for _ in range(sessions):
            hours.wake_at(0, hours.guess("192.0.2.1", 600, times))
        hours.run([])
    # Those that were under way together before the first failure; then one after another.
    one, many = (sorted(each for each in times if 60 <= each < 600) for times in verified.values())
    assert abs(len(one) - len(many)) <= 1
    for minute in range(1, 10):
        assert sum(60 * minute <= each < 60 * (minute + 1) for each in many) <= 4
    assert sum(each < 60 for each in verified[50]) <= most + 6


def test_logins_that_do_not_fail_wait_for_the_delay_together():
    hours = Hours(SessionLimiter(service(logins_per_address=5), KEY), 0.1)
    right = [Login("192.0.2.1", "right", 1) for _ in range(10)]
    hours.run([Login("192.0.2.1", "wrong", 0), *right])
    assert [each.asked for each in right] == pytest.approx([3 + 0.1 * number for number in range(10)])
    assert hours.most_at_once == {"192.0.2.1": 1}


def test_logins_that_block_are_few_at_once_and_those_of_many_guesses_starve_no_other():
    hours = Hours(SessionLimiter(service(blocks=True, logins_per_address=50, login_penalty=None), KEY), 1)
    many = [Login("192.0.2.1", str(number), 0) for number in range(40)]
    other = Login("198.51.100.1", "right", 0.5)
    hours.run([*many, other])
    assert hours.most_at_once == {"192.0.2.1": LOGINS_IN_THREADS, "198.51.100.1": 1}
    assert other.asked == 1, "the first that can have a thread"
    assert max(each.asked for each in many) == 10


@pytest.mark.parametrize("exempt", ["", "192.0.2.0/24"])
def test_a_penalty_that_arises_while_a_login_waits_for_a_thread_holds(exempt):
    hours = Hours(SessionLimiter(service(blocks=True, exempt=exempt or ()), KEY), 1)
    held = [Login(f"198.51.100.{number}", "right", 0) for number in range(3)]
    first, second = (Login("192.0.2.1", str(number), 0) for number in range(2))
    hours.run([*held, first, second])
    assert first.asked == 0
    assert second.asked == pytest.approx(1 if exempt else 3), "two seconds after the failure of the first"


def test_logins_that_queued_before_the_first_failure_come_one_at_a_time_after_the_delay():
    penalty = LoginPenalty(first=1, most=1)
    hours = Hours(SessionLimiter(service(blocks=True, login_penalty=penalty), KEY), 5)
    others = [Login(f"198.51.100.{number}", "right", 0) for number in range(7)]
    queued = [Login("192.0.2.1", "right", 0) for _ in range(2)]
    hours.run([*others[:3], Login("192.0.2.1", "wrong", 0), *others[3:], *queued])
    assert hours.most_at_once["192.0.2.1"] == 1
    assert [each.asked for each in queued] == [10, 15]


def test_when_the_failures_are_forgotten_several_are_verified_at_once_again():
    hours = Hours(SessionLimiter(service(logins_per_address=5), KEY), 0.1)
    hours.run([Login("192.0.2.1", "wrong", 0), *(Login("192.0.2.1", "right", 301) for _ in range(10))])
    assert hours.most_at_once == {"192.0.2.1": 5}


def test_proxies_are_exempt_and_the_penalty_can_be_turned_off():
    for limiter, most in (
        (SessionLimiter(service(exempt="192.0.2.0/24")), 50),
        (SessionLimiter(service(login_penalty=None)), 2),
    ):
        hours = Hours(limiter, work=0.1)
        guesses = [Login("192.0.2.1", str(number), 0) for number in range(50)]
        hours.run(guesses)
        assert max(hours.most_at_once.values()) == most
        assert max(each.asked for each in guesses) == pytest.approx(0 if most == 50 else 2.4)


@given(
    st.lists(
        st.builds(
            Login,
            st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]),
            st.sampled_from(["right", "1", "2", "3"]),
            st.floats(0, 100),
        ),
        max_size=30,
    ),
    st.integers(1, 3),
    st.sampled_from([0.01, 1, 20]),
)
def test_every_login_comes_to_its_end_and_the_bound_holds(logins, most, work):
    hours = Hours(SessionLimiter(service(logins_per_address=most), KEY), work)
    hours.run(logins)
    assert all(login.answered >= login.asked >= login.came for login in logins)
    assert all(number <= most for number in hours.most_at_once.values())
    assert is_idle(turns_of(hours.limiter))


# ------------------------------------------------------------------------------------------------ sessions


class Shared:
    """Sessions of one server, one after another, from one address."""

    def __init__(self, authenticator=None, **bounds) -> None:
        self.authenticator = authenticator or OneUser()
        self.bounds = {"failure_delay": 0} | bounds
        made = Service(store=FakeStore(), authenticator=self.authenticator, **self.bounds)
        self.limiter = SessionLimiter(made, KEY)
        self.clock = None

    def session(self, address: str = "192.0.2.1") -> Serving:
        session = Serving(
            *(FakeStore(), self.authenticator),
            clock=self.clock,
            address=address,
            limiter=self.limiter,
            **self.bounds,
        )
        self.clock = session.actor.clock
        return session.greeted()


def slept(session: Serving) -> list[float]:
    """How long it slept before each work of a login, or after the last."""
    return [
        operation.seconds if isinstance(operation, Sleep) else -1
        for operation in session.actor.performed
        if isinstance(operation, Sleep | RunLogin) and operation != Sleep(0)
    ]


def test_a_session_sleeps_before_the_authenticator_is_asked():
    shared = Shared()
    for number, expected in enumerate([[], [2], [4], [8], [15], [15]]):
        session = shared.session()
        [_, answer] = session.lines(b"USER ann\r\nPASS wrong%d\r\n" % number)
        assert answer == b"-ERR [AUTH] wrong name or password"
        assert slept(session) == [*expected, -1]
        session.hang_up()
    right = shared.session()
    assert right.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1].startswith(b"+OK")
    assert slept(right) == [15, -1], "the right one waits as well: else the wait would tell which it is"
    other = shared.session("192.0.2.2")
    assert other.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1].startswith(b"+OK")
    assert slept(other) == [-1]


CLIENTS = {
    "PLAIN": lambda password: PlainClient("ann", password),
    "LOGIN": lambda password: LoginClient("ann", password),
    "CRAM-MD5": lambda password: CramMd5Client("ann", password),
    "SCRAM-SHA-256": lambda password: ScramClient("SHA-256", "ann", password, nonce="rOprNGfwEbeRWgbNEkqO"),
}


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("method", CLIENTS)
@pytest.mark.parametrize("initial", [True, False])
def test_each_mechanism_waits_once_for_each_exchange(method, initial, repeats):
    shared = Shared(Everyone(blocks=True))
    delays = []
    for password in ("wrong", "wrong" if repeats else "another", "a third", "tanstaaf"):
        session = shared.session()
        answer = log_in(session, CLIENTS[method](password), initial=initial)
        assert answer.startswith(b"+OK" if password == "tanstaaf" else b"-ERR [AUTH]")
        delays.append([each for each in slept(session) if each > 0])
        session.hang_up()
    assert delays == ([[], [2], [2], [4]] if repeats else [[], [2], [4], [8]])


@pytest.mark.parametrize("method", ["PLAIN", "XOAUTH2"])
def test_the_same_credentials_count_once_with_an_initial_response_and_without(method):
    shared = Shared(Everyone(blocks=True))
    session = shared.session()
    wrong = b64encode(b"\0ann\0wrong" if method == "PLAIN" else b"user=ann\1auth=Bearer nope\1\1")
    for _ in range(2):
        session.ask(f"AUTH {method} ".encode() + wrong + b"\r\n", *([b"\r\n"] if method == "XOAUTH2" else []))
        session.ask(f"AUTH {method}\r\n".encode(), wrong + b"\r\n", *([b"\r\n"] if method == "XOAUTH2" else []))
    assert [each for each in slept(session) if each > 0] == [2, 2, 2]


def test_apop_and_what_each_failure_says_for_the_log():
    shared = Shared(Everyone(blocks=True))
    session = shared.session()
    session.ask(b"APOP ann 00000000000000000000000000000000\r\n")
    session.ask(b"USER b b\r\nPASS wrong\r\n")
    session.ask(b"AUTH PLAIN %b\r\n" % b64encode(b"bob\0ann\0wrong"))
    session.ask(b"AUTH XOAUTH2 %b\r\n" % b64encode(b"user=ann\1auth=Bearer nope\1\1"), b"\r\n")
    assert session.record.failed == [("APOP", "ann"), ("USER/PASS", "b b"), ("PLAIN", "ann"), ("XOAUTH2", "ann")]
    assert [each for each in slept(session) if each > 0] == [2, 4, 8]


def test_a_failure_counts_before_the_next_login_has_its_turn(monkeypatch):
    """Else the next one, in another thread, would find the delay as it was."""
    calls: list[str] = []
    for name in ("failed", "done"):
        method = getattr(LoginLimiter, name)

        def noting(*arguments, name=name, method=method):
            calls.append(name)
            return method(*arguments)

        monkeypatch.setattr(LoginLimiter, name, noting)
    session = Shared(Everyone()).session()
    wrong = b64encode(b"ann\0bob\0other")  # bob may not act as ann
    for line in (b"USER ann\r\nPASS wrong\r\n", TOKEN + b"*\r\n"):
        session.ask(line)
        assert calls == ["failed", "done"]
        calls.clear()
    session.ask(b"AUTH PLAIN %b\r\n" % wrong)
    assert calls == ["done", "failed", "done"]


def test_the_deadline_of_the_login_bounds_the_delay():
    shared = Shared(login_penalty=LoginPenalty(first=15), deadlines=Deadlines(login=10))
    shared.session().ask(b"USER ann\r\nPASS wrong\r\n")
    session = shared.session()
    answer = session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1]
    assert answer == b"-ERR [SYS/TEMP] the login cannot be checked in time"
    assert slept(session) == [10]


TOKEN = b"AUTH XOAUTH2 %b\r\n" % b64encode(b"user=ann\1auth=Bearer nope\1\1")


@pytest.mark.parametrize("method", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("end", [b"\r\n", b"AQ==\r\n", b"*\r\n", b"=A=\r\n"])
def test_a_wrong_token_counts_when_the_client_is_told_however_the_exchange_ends(method, end):
    """Who has read the error challenge has guessed, and need not go on."""
    shared = Shared(Everyone(blocks=True), failure_delay=1, login_attempts=3)
    session = shared.session()
    for number in range(1, 4):
        guess = b"user=ann\1auth=Bearer nope%d\1\1" if method == "XOAUTH2" else b"n,a=ann,\1auth=Bearer nope%d\1\1"
        [challenge] = session.lines(b"AUTH %b %b\r\n" % (method.encode(), b64encode(guess % number)))
        assert challenge.startswith(b"+ ")
        assert session.record.failed == [(method, "ann")] * number
        [answer] = session.lines(end)
        assert answer.startswith(b"-ERR")
        assert session.record.failed == [(method, "ann")] * number, "once"
    assert session.actor.finished
    assert session.record.end == "failed logins"
    assert slept(session) == [-1, 1, 2, -1, 1, 4, -1, 1]


def test_who_hangs_up_after_a_wrong_token_has_failed_as_well():
    shared = Shared(Everyone(blocks=True))
    session = shared.session()
    session.ask(TOKEN)
    session.hang_up()
    assert session.record.failed == [("XOAUTH2", "ann")]
    session = shared.session()
    session.ask(b"USER ann\r\nPASS tanstaaf\r\n")
    assert slept(session) == [2, -1]


def test_a_session_that_is_cut_off_while_it_waits_gives_its_turn_back():
    shared = Shared(logins_per_address=1)
    held = turns_of(shared.limiter).take("192.0.2.1", 0)
    session = shared.session()
    session.actor.receive(b"USER ann\r\nPASS tanstaaf\r\n")
    assert isinstance(session.actor.waits, Turn)
    waiting = shared.session()
    waiting.actor.receive(b"USER ann\r\nPASS tanstaaf\r\n")
    session.actor.throw(Cancelled())
    shared.limiter.place("192.0.2.1").end_turn(held)
    assert waiting.actor.go().take().endswith(b"octets)\r\n")


def holding(shared: Shared) -> list[tuple[str, Turn]]:
    """Take all threads."""
    turns = turns_of(shared.limiter)
    return [(address, turns.take(address, 0)) for address in "abcdefgh"[:LOGINS_IN_THREADS]]


def give_back(shared: Shared, held: list[tuple[str, Turn]]) -> None:
    for address, turn in held:
        turns_of(shared.limiter).give_back(address, turn)


def is_idle(turns: Turns) -> bool:
    """Nothing is under way or waits, and nothing is remembered."""
    return not any(vars(turns)[name] for name in ("_under_way", "_waiting", "_ready", "_in_threads"))


@pytest.mark.parametrize("address", ["192.0.2.1", ""])
@pytest.mark.parametrize("end", ["deadline", "cut off"])
def test_a_login_that_waits_for_a_thread_is_not_verified_after_its_end(address, end):
    shared = Shared(deadlines=Deadlines(login=10))
    held = holding(shared)
    session = shared.session(address)
    session.actor.receive(b"USER ann\r\nPASS tanstaaf\r\n")
    assert isinstance(session.actor.waits, Turn)
    if end == "deadline":
        session.actor.sleep(10)
        assert session.actor.take().endswith(b"-ERR [SYS/TEMP] the login cannot be checked in time\r\n")
        assert isinstance(session.actor.error, TimedOut)
    else:
        session.actor.throw(Cancelled())
    give_back(shared, held)
    assert is_idle(turns_of(shared.limiter))
    assert session.actor.finished
    assert shared.authenticator.asked == []


def test_a_turn_that_comes_after_the_deadline_is_of_no_use():
    shared = Shared(deadlines=Deadlines(login=10))
    held = holding(shared)
    session = shared.session()
    session.actor.receive(b"USER ann\r\nPASS tanstaaf\r\n")
    shared.clock.now += 11  # the driver is late
    give_back(shared, held[:1])
    assert session.actor.go().take().endswith(b"-ERR [SYS/TEMP] the login cannot be checked in time\r\n")
    give_back(shared, held[1:])
    assert is_idle(turns_of(shared.limiter))
    assert shared.authenticator.asked == []


class Waited(OneUser):
    """A coroutine method beside plain ones that block: it is told how many threads logins have."""

    def __init__(self) -> None:
        super().__init__()
        self.in_threads = -1
        self.limiter: SessionLimiter | None = None

    async def check_password(self, user, password, session):
        self.in_threads = len(vars(turns_of(self.limiter))["_in_threads"])
        return super().check_password(user, password, session)


def test_what_is_awaited_needs_no_thread():
    users = Waited()
    shared = Shared(users)
    users.limiter = shared.limiter
    session = shared.session()
    assert session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1].startswith(b"+OK")
    assert users.in_threads == 0
    assert is_idle(turns_of(shared.limiter))


def test_an_authenticator_that_does_not_block_needs_no_thread():
    shared = Shared(OneUser(blocks=False))
    assert all(turn.has_come for _, turn in holding(shared))
    session = shared.session()
    assert session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1].startswith(b"+OK")
