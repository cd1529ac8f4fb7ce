"""The policy of a site: the first rule that fits decides; then the limits, and the time since the last logins."""

import datetime as dt
import ipaddress
import resource
import signal

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.capabilities import LoginDelay
from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures import ALLOW, Facts, Service
from pop3proto.sasl.plain import PlainClient
from pop3proto.serving import AccessPolicy, Hours, LoginPace, LoginTimes, Refusal, Rule
from pop3proto.serving.access.rules import matches
from tests.helpers.drivers import Clock, FakeStore, OneUser, Serving, sessions_come_to_their_end  # noqa: F401 - a fixture
from tests.procedures.server.test_login_handlers import Everyone, log_in, scram, serving, sleeps
from tests.procedures.server.test_policy import LOG_IN, WRONG

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)  # a Monday
FACTS = Facts(address="192.0.2.1", now=NOON, user="ann", listener="pop3s")
TOLD = Refusal(text="not now", code="SYS/PERM")
SILENT = Refusal()
KIOSK = Rule(
    user="kiosk*",
    networks="10.0.0.0/8",
    hours=Hours(days="Mon-Fri", start="08:00", end="18:00"),
    otherwise=TOLD,
)


class Spelt(OneUser):
    """To it, case does not count."""

    def check_password(self, user, password, session):
        return super().check_password(user.lower(), password, session)


def decided(policy, **facts):
    return policy.at_login(attrs.evolve(FACTS, **facts))


# ------------------------------------------------------------------------------------------------ rules

USERS = ("ann", "bob", "kiosk1", "Ann")
ADDRESSES = ("192.0.2.1", "::ffff:192.0.2.1", "10.1.2.3", "2001:db8::1", "")
RULES = st.lists(
    st.builds(
        Rule,
        user=st.sampled_from(["*", "ann", "kiosk*", ("bob", "k*1"), "?n*"]),
        networks=st.sampled_from([(), "192.0.2.0/24", "10.0.0.0/8", ("2001:db8::/32", "192.0.2.1")]),
        listener=st.sampled_from(["*", "pop3s"]),
        refuse=st.sampled_from([None, TOLD, SILENT]),
    ),
    max_size=5,
)


def fits(rule, user, address, listener):
    """Naively: whether a rule is about a login."""
    patterns = {
        ("*",): USERS,
        ("ann",): ("ann",),
        ("kiosk*",): ("kiosk1",),
        ("bob", "k*1"): ("bob", "kiosk1"),
        ("?n*",): ("ann", "Ann"),
    }
    inside = {
        "192.0.2.1": ("192.0.2.0/24", "192.0.2.1/32"),
        "::ffff:192.0.2.1": ("192.0.2.0/24", "192.0.2.1/32"),
        "10.1.2.3": ("10.0.0.0/8",),
        "2001:db8::1": ("2001:db8::/32",),
        "": (),
    }
    return (
        user in patterns[rule.user]
        and (not rule.networks or any(str(network) in inside[address] for network in rule.networks))
        and (rule.listener == ("*",) or listener == "pop3s")
    )


@given(RULES, st.sampled_from(USERS), st.sampled_from(ADDRESSES), st.sampled_from(["pop3s", "pop3"]))
def test_the_first_rule_that_fits_decides(rules, user, address, listener):
    policy = AccessPolicy(rules=rules)
    decision = decided(policy, user=user, address=address, listener=listener)
    first = next((rule for rule in rules if fits(rule, user, address, listener)), None)
    refusal = None if first is None else first.refuse
    assert decision.allowed == (refusal is None)
    assert decision.text == ("" if refusal is None else refusal.text)


@given(RULES, st.sampled_from(ADDRESSES), st.sampled_from(["pop3s", "pop3"]))
def test_who_is_refused_at_the_connection_would_be_refused_at_any_login(rules, address, listener):
    """And only by a text: a refusal without one must wait for a password."""
    policy = AccessPolicy(rules=rules)
    facts = attrs.evolve(FACTS, user=None, address=address, listener=listener)
    decision = policy.before_login(facts)
    if decision.allowed:
        return
    assert decision.text
    for user in USERS:
        assert decided(policy, user=user, address=address, listener=listener).text == decision.text


@pytest.mark.parametrize(
    "user, address, now, allowed",
    [
        ("kiosk1", "10.0.0.1", NOON, True),
        ("kiosk1", "192.0.2.1", NOON, False),
        ("kiosk1", "10.0.0.1", NOON.replace(hour=18), False),
        ("kiosk1", "10.0.0.1", NOON + dt.timedelta(days=5), False),
        ("ann", "192.0.2.1", NOON.replace(hour=18), True),
    ],
)
def test_a_rule_with_otherwise(user, address, now, allowed):
    decision = decided(AccessPolicy(rules=KIOSK), user=user, address=address, now=now)
    assert decision.allowed == allowed
    assert decision.text == ("" if allowed else "not now")
    assert decision.reason == ("" if allowed else "rule 1")
    connection = attrs.evolve(FACTS, user=None, address=address, now=now)
    assert AccessPolicy(rules=KIOSK).before_login(connection) == ALLOW, "nobody has said who it is"


@given(st.text("[]!*?.-^a1:", max_size=8), st.text("[]!*?.-^a1:", max_size=8))
def test_a_pattern_has_two_wild_cards_and_no_more(pattern, name):
    def fits(pattern, name):
        if not pattern:
            return not name
        if pattern[0] == "*":
            return fits(pattern[1:], name) or (bool(name) and fits(pattern, name[1:]))
        return bool(name) and pattern[0] in ("?", name[0]) and fits(pattern[1:], name[1:])

    assert matches((pattern,), name) == fits(pattern, name)
    assert matches((name,), name)


@pytest.mark.parametrize("listener", ["[::]:995", "[::1]:110", "127.0.0.1:110", "pop3s"])
def test_a_rule_may_name_any_listener(listener):
    policy = AccessPolicy(rules=Rule(listener=listener, refuse=TOLD))
    assert not decided(policy, listener=listener).allowed
    assert decided(policy, listener="other").allowed


def test_no_other_spelling_escapes_the_delay():
    for ignore_case in (False, True):
        policy = AccessPolicy(paces=LoginPace(every=60), ignore_case=ignore_case)
        policy.logged_in(FACTS)
        assert decided(policy, user="ANN").allowed == (not ignore_case)


def test_case_counts_unless_it_does_not():
    rule = Rule(user="Ann*", refuse=TOLD)
    assert decided(AccessPolicy(rules=rule), user="ann").allowed
    assert not decided(AccessPolicy(rules=rule, ignore_case=True), user="ann").allowed
    other = AccessPolicy(rules=Rule(user="strasse", refuse=Refusal()), ignore_case=True)
    assert decided(other, user="stra\u00dfe").allowed, "another user, as to the source of users"
    assert other.user_key("stra\u00dfe") != other.user_key("STRASSE") == "strasse"


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: Rule(networks="nowhere"), LocalProtocolError),
        (lambda: Rule(user="[ab]*"), ValueError),
        (lambda: Rule(user=[], refuse=TOLD), ValueError),
        (lambda: Rule(listener=[], refuse=TOLD), ValueError),
        (lambda: LoginPace(user=[], every=1), ValueError),
        (lambda: Rule(user=[5]), TypeError),
        (lambda: Rule(refuse="no"), TypeError),
        (lambda: Rule(otherwise=True), TypeError),
        (lambda: Rule(hours="08:00"), TypeError),
        (lambda: Rule(networks=[5]), LocalProtocolError),
        (lambda: Rule(networks=[b"\0\0\0\5"]), LocalProtocolError),
        (lambda: AccessPolicy(rules=["x"]), TypeError),
        (lambda: AccessPolicy(paces=[60]), TypeError),
        (lambda: AccessPolicy(sessions_per_user="4"), TypeError),
        (lambda: AccessPolicy(sessions_by_network={"10.0.0.0/8": "4"}), TypeError),
        (lambda: LoginPace(every="1m"), TypeError),
        (lambda: LoginPace(every=1, burst=1.5), TypeError),
        (lambda: Rule(refuse=TOLD, otherwise=TOLD), ValueError),
        (lambda: Refusal(code="SYS/PERM"), LocalProtocolError),
        (lambda: Refusal(close=True), LocalProtocolError),
        (lambda: AccessPolicy(sessions_per_user=0), LocalProtocolError),
        (lambda: AccessPolicy(sessions_by_network={"10.0.0.0/8": 0}), LocalProtocolError),
        (lambda: AccessPolicy(sessions_by_network={"here": 1}), LocalProtocolError),
        (lambda: LoginPace(every=-1), ValueError),
        (lambda: LoginPace(every=float("nan")), ValueError),
        (lambda: LoginPace(every=1, burst=0), ValueError),
    ],
)
def test_what_cannot_be(make, error):
    with pytest.raises(error):
        make()


# ----------------------------------------------------------------------------------------------- limits


def test_the_limit_of_a_user():
    policy = AccessPolicy(sessions_per_user=2)
    assert decided(policy, sessions_of_user=1).allowed
    refused = decided(policy, sessions_of_user=2)
    assert str(refused.code) == "IN-USE"


def test_the_limit_of_a_user_is_that_of_all_spellings():
    for ignore_case in (False, True):
        policy = AccessPolicy(sessions_per_user=1, ignore_case=ignore_case)
        limiter = Service(store=FakeStore(), authenticator=Spelt(), policy=policy).limiter(b"")
        answers = []
        for name in (b"ann", b"ANN"):
            session = Serving(FakeStore(), Spelt(), policy=policy, limiter=limiter, address="192.0.2.1").greeted()
            answers.append(session.lines(b"USER " + name + b"\r\nPASS tanstaaf\r\n")[-1])
        assert [answer.startswith(b"+OK") for answer in answers] == [True, not ignore_case]


def test_who_acts_for_another_is_bound_by_rules_and_not_by_limits():
    """Limits and delay are those of whose maildrop it is."""
    policy = AccessPolicy(
        rules=Rule(user="ann", networks="10.0.0.0/8", refuse=SILENT), sessions_per_user=1, paces=LoginPace(every=60)
    )
    policy.logged_in(FACTS)
    acting = {"acts_for": "bob", "sessions_of_user": 5}
    assert decided(policy, **acting).allowed
    assert not decided(policy, address="10.0.0.1", **acting).allowed
    assert not decided(policy).allowed


def test_the_limits_of_networks():
    policy = AccessPolicy(sessions_by_network={"192.0.2.0/24": 3, "0.0.0.0/0": 5})
    inner, outer = (ipaddress.ip_network(name) for name in ("192.0.2.0/24", "0.0.0.0/0"))
    assert set(policy.networks) == {inner, outer}
    for numbers, allowed in (((2, 4), True), ((3, 4), False), ((2, 5), False)):
        facts = attrs.evolve(FACTS, user=None, sessions_by_network=dict(zip((inner, outer), numbers, strict=True)))
        decision = policy.before_login(facts)
        assert decision.allowed == allowed
        assert allowed or str(decision.code) == "SYS/TEMP"


def test_the_limit_of_a_network_over_a_server():
    policy = AccessPolicy(sessions_by_network={"192.0.2.0/25": 1})
    store = FakeStore()
    first = Serving(store, policy=policy, address="192.0.2.1")
    limiter = first.service.limiter(b"")
    for address, lets_in in (("192.0.2.1", True), ("::ffff:192.0.2.2", False), ("192.0.2.200", True)):
        session = Serving(store, policy=policy, address=address, limiter=limiter)
        assert session.actor.go().take().startswith(b"+OK" if lets_in else b"-ERR [SYS/TEMP] too many sessions from")


# ------------------------------------------------------------------------------------------- login delay

STEPS = st.lists(st.floats(0, 200), max_size=40)


@given(STEPS, st.integers(1, 100), st.integers(1, 4))
def test_the_pace_is_that_of_a_bucket(steps, every, burst):
    """A plain bucket beside it: `burst` tokens at most, one more every so many seconds."""
    policy = AccessPolicy(paces=LoginPace(every=every, burst=burst))
    tokens, now = float(burst), NOON
    for step in steps:
        now += dt.timedelta(seconds=round(step, 3))
        tokens = min(float(burst), tokens + round(step, 3) / every)
        decision = decided(policy, now=now)
        if abs(tokens - 1) < 1e-6:  # a hair more or less
            tokens = 1.0 if decision.allowed else tokens
        assert decision.allowed == (tokens >= 1)
        if decision.allowed:
            policy.logged_in(attrs.evolve(FACTS, now=now))
            tokens -= 1
        else:
            assert str(decision.code) == "LOGIN-DELAY"


@given(STEPS, st.lists(st.floats(-1e6, 1e6), max_size=5), st.integers(1, 100), st.integers(1, 4), st.randoms())
def test_a_clock_that_was_set_locks_nobody_out_for_longer_than_one_delay(steps, jumps, every, burst, chance):
    times, pace = LoginTimes(), LoginPace(every=every, burst=burst)
    now = NOON.timestamp()
    moves = [(step, False) for step in steps] + [(jump, True) for jump in jumps]
    chance.shuffle(moves)
    for seconds, _ in moves:
        now += seconds
        if not (waits := times.wait("ann", pace, now)):
            times.note("ann", pace, now)
            continue
        assert waits <= every * (1 + 1e-6)
        # Who waits so long gets in, if nobody sets the clock meanwhile.
        assert times.wait("ann", pace, now + waits + 1e-3) == 0


def test_each_user_has_a_pace():
    policy = AccessPolicy(
        paces=[
            LoginPace(user="kiosk*", every=600),
            LoginPace(user=["ann", "bob"], every=0),
            LoginPace(every=30.5),
        ]
    )
    assert policy.login_delay(None) == LoginDelay(600, per_user=True)
    announced = {user: policy.login_delay(user) for user in ("kiosk1", "ann", "carol")}
    assert announced == {"kiosk1": LoginDelay(600), "ann": None, "carol": LoginDelay(31)}
    for user, allowed in (("kiosk1", False), ("ann", True), ("carol", False)):
        policy.logged_in(attrs.evolve(FACTS, user=user))
        assert decided(policy, user=user).allowed == allowed
    assert AccessPolicy(paces=LoginPace(every=60)).login_delay(None) == LoginDelay(60)
    assert AccessPolicy().login_delay(None) is None
    assert AccessPolicy(paces=[LoginPace(user="ann", every=0), LoginPace(every=0)]).login_delay(None) is None
    assert AccessPolicy(paces=LoginPace(user="ann", every=60)).login_delay("bob") is None


def test_a_session_meets_the_delay():
    clock, store = Clock(), FakeStore()
    policy = AccessPolicy(paces=LoginPace(every=30))
    first = Serving(store, policy=policy, clock=clock).logged_in()
    assert b"LOGIN-DELAY 30" in first.lines(b"CAPA\r\n")
    first.ask(b"QUIT\r\n")
    second = Serving(store, policy=policy, clock=clock, failure_delay=0).greeted()
    assert second.lines(WRONG)[1] == b"-ERR [AUTH] wrong name or password", "only who knows the password is told"
    clock.now += 10
    assert second.lines(LOG_IN)[1] == b"-ERR [LOGIN-DELAY] log in again in 20 seconds"
    clock.now += 20
    assert second.lines(LOG_IN)[1].startswith(b"+OK")


def test_a_login_that_fails_does_not_count():
    store = FakeStore()
    store.locked = True
    session = Serving(store, policy=AccessPolicy(paces=LoginPace(every=60))).greeted()
    assert session.lines(LOG_IN)[1].startswith(b"-ERR [IN-USE]")
    store.locked = False
    assert session.lines(LOG_IN)[1].startswith(b"+OK")


# ---------------------------------------------------------------------------------------------- the file


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 500)), max_size=20), st.integers(1, 100), st.integers(1, 3))
def test_the_file_keeps_the_times_over_restarts(tmp_path_factory, logins, every, burst):
    path, pace = tmp_path_factory.mktemp("times") / "state", LoginPace(every=every, burst=burst)
    times, in_memory, now = LoginTimes(path), LoginTimes(), NOON.timestamp()
    for user, step in logins:
        now += step
        waits = times.wait(user, pace, now)
        assert waits == in_memory.wait(user, pace, now)
        if not waits:
            times.note(user, pace, now)
            in_memory.note(user, pace, now)
        times = LoginTimes(path)


@pytest.mark.parametrize(
    "junk",
    [
        b"[",
        b'["ann", "x"]\n',
        b"\xff\n",
        b'["ann", NaN]\n',
        b"[1, 2]\n",
        b"[" * 100_000 + b"\n",
        b'["ann", ' + b"9" * 400 + b"]\n",
    ],
)
def test_what_is_unreadable_in_the_file_is_left_out(tmp_path, caplog, junk):
    path, pace = tmp_path / "state", LoginPace(every=60)
    LoginTimes(path).note("ann", pace, 1_000)
    path.write_bytes(path.read_bytes() + junk)
    times = LoginTimes(path)
    assert times.wait("ann", pace, 1_000) == 60
    assert "lines that cannot be read are left out: 1" in caplog.text
    caplog.clear()
    assert LoginTimes(path).wait("ann", pace, 1_000) == 60
    assert not caplog.text


def test_the_file_does_not_grow_without_end(tmp_path):
    path, pace = tmp_path / "state", LoginPace(every=0.5, burst=10)
    times = LoginTimes(path)
    for number in range(2_500):
        times.note("ann" if number % 2 else f"user{number}", pace, 1_000 + number)
    assert len(path.read_bytes().splitlines()) <= 1_003


def test_memory_does_not_grow_without_end():
    times, pace = LoginTimes(), LoginPace(every=1)
    for number in range(3_000):
        times.note(f"user{number}", pace, number)
    assert len(times._full_at) <= 1_001


def test_users_are_forgotten_some_at_a_time(monkeypatch):
    """Not all are looked at in each login."""
    looks = []
    monkeypatch.setattr(LoginTimes, "_forget", lambda *_: looks.append(1))
    times, pace = LoginTimes(), LoginPace(every=1_000_000)
    for number in range(5_000):
        times.note(f"user{number}", pace, number)
    assert len(looks) <= 3


def test_a_line_that_is_written_in_part_costs_no_other(tmp_path, caplog):
    """The disk is full in the midst of bob's."""
    path, pace = tmp_path / "state", LoginPace(every=60)
    times = LoginTimes(path)
    times.note("ann", pace, 1_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))
        times.note("bob", pace, 1_000)
        times.note("eve", pace, 1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert caplog.text.count("the times of logins cannot be written") == 1
    times.note("carol", pace, 1_000)
    times.note("dave", pace, 1_000)
    again = LoginTimes(path)
    assert [again.wait(user, pace, 1_000) for user in ("ann", "carol", "dave")] == [60, 60, 60]
    assert "lines that cannot be read are left out: 1" in caplog.text


def test_a_full_disk_locks_nobody_out(tmp_path, caplog):
    path, pace = tmp_path / "folder" / "state", LoginPace(every=60)
    path.parent.mkdir()
    times = LoginTimes(path)
    path.unlink()
    path.parent.rmdir()
    for user in ("ann", "bob"):
        times.note(user, pace, 1_000)
        assert times.wait(user, pace, 1_000) == 60
    assert caplog.text.count("the times of logins cannot be written") == 1


def test_a_file_that_cannot_be_there(tmp_path):
    with pytest.raises(OSError, match="state"):
        LoginTimes(tmp_path / "nowhere" / "state")


def test_a_policy_that_takes_the_place_of_another_keeps_the_times():
    old = AccessPolicy(paces=LoginPace(every=60))
    old.logged_in(FACTS)
    new = AccessPolicy(paces=LoginPace(every=600), times=old.times)
    assert not decided(new).allowed
    assert decided(AccessPolicy(paces=LoginPace(every=60))).allowed


# -------------------------------------------------------------------------------- as a wrong password

DENIES = AccessPolicy(rules=Rule(user="ann", networks="192.0.2.0/24", refuse=SILENT))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
def test_no_mechanism_tells_that_the_password_of_who_is_denied_is_right(mechanism):
    """SCRAM shows its proof before the exchange ends: it must not come that far."""

    def heard(password, policy):
        session = serving(Everyone(), b"a\n", policy=policy)
        client = scram("SHA-256", "ann", password) if mechanism != "PLAIN" else PlainClient("ann", password)
        answer = log_in(session, client)
        return answer, len(b"".join(session.actor.written).split(b"\r\n")), sleeps(session)

    denies = AccessPolicy(rules=Rule(user="ann", refuse=SILENT))
    assert heard("tanstaaf", denies) == heard("guess", None)
    assert heard("tanstaaf", denies)[0] == b"-ERR [AUTH] wrong name or password"


def test_a_denied_login_of_scram_counts_once():
    session = serving(Everyone(), policy=AccessPolicy(rules=Rule(refuse=SILENT)), login_attempts=2)
    for _ in range(2):
        log_in(session, scram("SHA-256"))
    assert session.actor.finished
    assert [method for method, _, _ in session.record.refused] == ["SCRAM-SHA-256"] * 2
    assert session.record.user is None


def test_scram_meets_a_text_at_its_end():
    session = serving(Everyone(), policy=AccessPolicy(rules=Rule(user="ann", refuse=TOLD)))
    assert log_in(session, scram("SHA-256")) == b"-ERR [SYS/PERM] not now"
