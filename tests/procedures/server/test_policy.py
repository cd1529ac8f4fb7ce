"""What a policy decides, and what becomes of it: at the connection, and at a login."""

import datetime as dt
import ipaddress
from base64 import b64decode, b64encode
from collections import Counter

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.authenticators.memory import MemoryAuthenticator
from pop3proto.core.capabilities import Capabilities, LoginDelay
from pop3proto.core.commands import Noop
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.replies import ResponseCode
from pop3proto.core.states import State
from pop3proto.procedures.maildrop import Refused
from pop3proto.procedures.operations import Read, Sleep, Write
from pop3proto.procedures.server.handlers import HANDLERS
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.penalties import LoginPenalty
from pop3proto.procedures.server.policy import ALLOW, DENY, Decision, Facts, Policy, refusal_of
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.md5 import CramMd5Client
from tests.helpers.drivers import (
    FakeStore,
    OneUser,
    Serving,
    codes,
    sessions_come_to_their_end,  # noqa: F401 - it is a fixture
)

LOG_IN = b"USER ann\r\nPASS tanstaaf\r\n"
WRONG = b"USER ann\r\nPASS guess\r\n"


class Says(Policy):
    """Says what it is told to say, and keeps the facts."""

    def __init__(self, before=ALLOW, at=ALLOW, *, networks=(), delay=None):
        self.before, self.at, self.networks, self.delay = before, at, networks, delay
        self.asked = []
        self.noted = []

    def before_login(self, facts):
        self.asked.append(facts)
        if isinstance(self.before, Exception):
            raise self.before
        return self.before

    def at_login(self, facts):
        self.asked.append(facts)
        if isinstance(self.at, Exception):
            raise self.at
        return self.at

    def logged_in(self, facts):
        self.noted.append(facts)

    def login_delay(self, user):
        return self.delay and self.delay[user]


class Plain:
    """The two methods that a policy must have."""

    def before_login(self, facts):
        return ALLOW

    def at_login(self, facts):
        return ALLOW


def slept(session):
    return [operation.seconds for operation in session.actor.performed if isinstance(operation, Sleep)]


# ------------------------------------------------------------------------------------------- decisions


@given(st.booleans(), st.sampled_from(["", "no"]), st.none() | st.just(ResponseCode.SYS_PERM), st.booleans())
def test_only_a_text_is_said_to_the_client(allowed, text, code, close):
    if (allowed and text) or (not text and (code or close)):
        with pytest.raises(LocalProtocolError):
            Decision(allowed, text, code=code, close=close)
        return
    refusal = refusal_of(Decision(allowed, text, code=code, close=close))
    assert (refusal is None) == (allowed or not text)
    if refusal is not None:
        assert (str(refusal), refusal.code, refusal.close) == (text, code, close)


def test_a_delay_is_not_negative():
    with pytest.raises(LocalProtocolError, match="at least 0 seconds"):
        Decision(allowed=False, text="no", delay=-1)


@pytest.mark.parametrize(
    "policy", [Plain, object(), type("Half", (), {"before_login": lambda *_: ALLOW})()], ids=["class", "none", "half"]
)
def test_what_is_no_policy_is_refused_at_once(policy):
    with pytest.raises(TypeError, match="policy"):
        Service(store=FakeStore(), authenticator=OneUser(), policy=policy)


@pytest.mark.parametrize("name", ["before_login", "at_login", "logged_in", "login_delay", "user_key"])
def test_a_method_that_takes_other_arguments_is_refused_at_once(name):
    policy = type("Other", (Plain,), {name: lambda _self: ALLOW})()
    with pytest.raises(TypeError, match=f"{name} of the policy .* must take one argument: "):
        Service(store=FakeStore(), authenticator=OneUser(), policy=policy)


def test_a_coroutine_method_is_refused_at_once():
    class Awaited(Plain):
        async def at_login(self, facts):
            return ALLOW

    with pytest.raises(TypeError, match=r"at_login of the policy .* is a coroutine method"):
        Service(store=FakeStore(), authenticator=OneUser(), policy=Awaited())


# ---------------------------------------------------------------------------------------- the connection


def test_a_refusal_at_the_connection_is_the_greeting():
    policy = Says(Decision(allowed=False, text="not from there", code=ResponseCode.SYS_PERM))
    session = Serving(FakeStore(), policy=policy)
    assert session.actor.go().take() == b"-ERR [SYS/PERM] not from there\r\n"
    assert session.actor.finished
    assert session.record.end == "refused"
    assert session.store.openers == []


def test_a_refusal_at_the_connection_may_come_late():
    session = Serving(FakeStore(), policy=Says(Decision(allowed=False, text="no", delay=3)))
    assert session.actor.go().take() == b"-ERR no\r\n"
    assert slept(session) == [3]


def test_a_long_refusal_at_the_connection_is_cut():
    session = Serving(FakeStore(), policy=Says(Decision(allowed=False, text="no " * 1_000)))
    line = session.actor.go().take()
    assert line.endswith(b"...\r\n")
    assert len(line) == 512


def test_a_policy_that_fails_lets_nobody_in():
    session = Serving(FakeStore(), policy=Says(ZeroDivisionError()))
    assert session.actor.go().take() == b"-ERR [SYS/TEMP] the server has a fault, and ends the session\r\n"
    with pytest.raises(ZeroDivisionError):
        session.actor.outcome()
    session = Serving(FakeStore(), policy=Says(at=ZeroDivisionError()), failure_delay=0).greeted()
    assert codes(session.lines(LOG_IN)) == [b"+OK", b"-ERR [SYS/TEMP]"]
    with pytest.raises(ZeroDivisionError):
        session.actor.outcome()
    assert session.store.openers == []


@pytest.mark.parametrize("answer", [None, True, ConnectionLost("to its database"), TimedOut("its database")])
def test_what_is_no_decision_is_a_fault_of_the_server(answer):
    """And no error of the client, whatever the policy has raised."""
    for policy, login in ((Says(answer), b""), (Says(at=answer), LOG_IN)):
        session = Serving(FakeStore(), policy=policy, failure_delay=0)
        said = session.actor.receive(login).take() if login else session.actor.go().take()
        assert said.endswith(b"-ERR [SYS/TEMP] the server has a fault, and ends the session\r\n")
        with pytest.raises((TypeError, RuntimeError), match="the policy"):
            session.actor.outcome()
        assert session.store.openers == []


# -------------------------------------------------------------------------------------------- the login


@pytest.mark.parametrize("policy", [Says(DENY), Says(at=DENY), Says(at=Decision(allowed=False, reason="rule 2"))])
def test_what_is_denied_looks_like_a_wrong_password(policy):
    """Octet by octet, wait by wait; and it counts like one."""
    asked, waited = [], []
    for given_policy, login in ((policy, LOG_IN), (None, WRONG)):
        session = Serving(FakeStore(), policy=given_policy, login_attempts=3, address="192.0.2.1").greeted()
        answers = [session.ask(login) for _ in range(3)]
        assert session.actor.finished
        assert session.record.end == "failed logins"
        asked.append(answers)
        waited.append(slept(session))
        assert session.store.openers == []
    assert asked[0] == asked[1]
    assert waited[0] == waited[1]


def test_what_is_denied_is_noted_apart_from_wrong_passwords():
    session = Serving(FakeStore(), policy=Says(at=Decision(allowed=False, reason="rule 2"))).greeted()
    session.ask(LOG_IN)
    assert session.record.refused == [("USER/PASS", "ann", "rule 2")]
    assert session.record.failed == []
    assert session.record.user is None


@pytest.mark.parametrize("close", [False, True])
def test_a_refusal_with_a_text_is_told(close):
    refusal = Decision(allowed=False, text="too early", code=ResponseCode.LOGIN_DELAY, close=close, delay=1)
    policy = Says(at=refusal)
    session = Serving(FakeStore(b"a\n"), policy=policy).greeted()
    assert session.lines(LOG_IN)[1] == b"-ERR [LOGIN-DELAY] too early"
    assert slept(session) == [1]
    assert session.actor.finished == close
    assert session.record.end == ("refused" if close else "")
    assert session.record.user == "ann"
    if not close:
        policy.at = ALLOW
        assert codes(session.lines(LOG_IN)) == [b"+OK", b"+OK"]


def test_who_is_refused_with_a_text_is_not_logged_in():
    """A newer session may displace it, and so many refused logins end it; the next login waits no longer for it."""
    policy = Says(at=Decision(allowed=False, text="too early", code=ResponseCode.LOGIN_DELAY))
    limiter = Service(store=FakeStore(), authenticator=OneUser(), policy=policy).limiter(b"")
    session = Serving(FakeStore(), policy=policy, limiter=limiter, address="192.0.2.1", login_attempts=3).greeted()
    for number in range(3):
        assert not session.actor.finished
        assert session.place in limiter._strangers
        assert session.lines(LOG_IN)[1] == b"-ERR [LOGIN-DELAY] too early"
        assert session.record.user == "ann", number
    assert session.actor.finished
    assert session.record.end == "failed logins"
    assert session.record.method == ""
    assert slept(session) == []
    penalties = limiter._logins._penalties
    assert penalties is not None
    assert penalties.delay("192.0.2.1", session.actor.clock.now) == 0


def test_a_handler_may_refuse_late_and_end_the_session():
    def noop(_session, _command):
        raise Refused("enough", ResponseCode.SYS_TEMP, delay=5, close=True)

    session = Serving(FakeStore(), handlers={**HANDLERS, Noop: noop}).logged_in()
    assert session.ask(b"NOOP\r\n") == b"-ERR [SYS/TEMP] enough\r\n"
    assert slept(session) == [5]
    assert session.actor.finished
    assert session.connection.state is State.CLOSED
    session.store.check_all_is_closed()


def test_the_policy_is_asked_about_whose_maildrop_it_is():
    policy = Says()
    limiter_of = Serving(FakeStore(), policy=policy, address="192.0.2.1").greeted()
    limiter_of.ask(LOG_IN)
    before, at = policy.asked
    assert (before.user, at.user) == (None, "ann")
    assert policy.noted == [at]
    assert at.now == dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    assert not at.tls
    session = Serving(FakeStore(), policy=policy, mode="implicit").greeted()
    session.ask(LOG_IN)
    assert policy.asked[-1].tls
    assert policy.asked[-2].tls


def test_a_login_that_fails_at_the_maildrop_is_not_noted():
    policy, store = Says(), FakeStore()
    store.locked = True
    session = Serving(store, policy=policy).greeted()
    assert codes(session.lines(LOG_IN)) == [b"+OK", b"-ERR [IN-USE]"]
    assert policy.noted == []
    store.locked = False
    assert codes(session.lines(LOG_IN)) == [b"+OK", b"+OK"]
    assert [facts.sessions_of_user for facts in policy.asked[1:]] == [0, 0]


def test_the_login_delay_is_announced():
    policy = Says(delay={None: LoginDelay(60, per_user=True), "ann": LoginDelay(30)})
    session = Serving(FakeStore(), policy=policy).greeted()
    assert b"LOGIN-DELAY 60 USER" in session.lines(b"CAPA\r\n")
    session.ask(LOG_IN)
    assert b"LOGIN-DELAY 30" in session.lines(b"CAPA\r\n")


def test_the_delay_of_the_policy_counts_and_not_that_of_the_store():
    store = FakeStore(capabilities=Capabilities(login_delay=LoginDelay(5)))
    policy = Says(delay={None: LoginDelay(60), "ann": None})
    session = Serving(store, policy=policy).greeted()
    assert b"LOGIN-DELAY 60" in session.lines(b"CAPA\r\n")
    session.ask(LOG_IN)
    assert b"LOGIN-DELAY 5" in session.lines(b"CAPA\r\n"), "the policy has none for this user"


def test_no_policy_and_no_delay_leave_the_stores_own():
    assert not [line for line in Serving(FakeStore()).greeted().lines(b"CAPA\r\n") if b"DELAY" in line]
    assert not [line for line in Serving(FakeStore(), policy=Says()).greeted().lines(b"CAPA\r\n") if b"DELAY" in line]
    assert Serving(FakeStore(), policy=Plain()).logged_in().lines(b"CAPA\r\n")


# --------------------------------------------------------------------------------------- other sessions

NETWORKS = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))
INSIDE = {
    "192.0.2.1": NETWORKS[0],
    "::ffff:192.0.2.9": NETWORKS[0],
    "2001:db8::1": NETWORKS[1],
    "198.51.100.1": None,
    "": None,
}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(INSIDE)), st.sampled_from([None, "ann", "bob"]), st.booleans()), max_size=20
    )
)
def test_each_session_sees_the_others(moves):
    """Whoever comes and goes: the numbers are those of a plain count."""
    service = Service(store=FakeStore(), authenticator=OneUser(), policy=Says(networks=NETWORKS))
    limiter = SessionLimiter(service)
    inside = []
    for address, user, leaves in moves:
        place = limiter.enter(address)
        assert not isinstance(place, str)
        if user is not None:
            place.claim(user)
        networks = Counter(INSIDE[name] for name, _, _ in inside)
        others = place.others(user, NETWORKS)
        assert others.sessions == len(inside)
        assert dict(others.by_network) == {network: networks[network] for network in NETWORKS}
        assert others.of_user == (0 if user is None else [who for _, who, _ in inside].count(user))
        own = address.removeprefix("::ffff:")
        same = [name for name, _, _ in inside if name.removeprefix("::ffff:") == own]
        assert others.from_address == (len(same) if address else 0)
        inside.append((address, user, place))
        if leaves:
            inside.pop(0)[2].leave()


@given(st.lists(st.sampled_from(sorted(INSIDE)), max_size=10), st.integers(0, 10))
def test_other_networks_are_counted_with_the_sessions_that_are_there(addresses, leaving):
    """A server may get another policy while it runs."""
    store, user = FakeStore(), OneUser()
    limiter = SessionLimiter(Service(store=store, authenticator=user))
    places = [limiter.enter(address) for address in addresses]
    limiter.use(Service(store=store, authenticator=user, policy=Says(networks=NETWORKS)))
    for place in places[:leaving]:
        assert not isinstance(place, str)
        place.leave()
    others = limiter.place("203.0.113.1").others(None, NETWORKS)
    networks = Counter(INSIDE[address] for address in addresses[leaving:])
    assert dict(others.by_network) == {network: networks[network] for network in NETWORKS}
    assert others.sessions == len(addresses[leaving:])


def test_a_session_of_a_service_without_a_policy_counts_for_the_next_one():
    store, policy = FakeStore(), Says()
    first = Serving(store)
    limiter = first.service.limiter(b"")
    Serving(store, limiter=limiter, address="192.0.2.1").logged_in()
    store.locked = False
    limiter.use(Service(store=store, authenticator=OneUser(), policy=policy))
    Serving(store, policy=policy, limiter=limiter, address="192.0.2.2").logged_in()
    assert policy.asked[-1].sessions_of_user == 1


class FailsAtNetworks(Says):
    @property
    def networks(self):
        raise OSError("the table is gone")

    @networks.setter
    def networks(self, _):
        pass


class NoNetworks(Says):
    """Its networks are none."""

    networks = property(lambda _: ["10.0.0.0/8"], lambda *_: None)


@pytest.mark.parametrize("policy, error", [(FailsAtNetworks(), OSError), (NoNetworks(), TypeError)])
def test_a_service_that_cannot_be_used_changes_nothing(policy, error):
    """Neither its limits, nor its penalty, nor its networks."""
    old = Service(store=FakeStore(), authenticator=OneUser(), policy=Says(networks=NETWORKS), max_sessions=2)
    limiter = old.limiter(b"")
    assert not isinstance(limiter.enter("192.0.2.1"), str)
    new = Service(store=FakeStore(), authenticator=OneUser(), policy=policy, max_sessions=1, login_penalty=None)
    with pytest.raises(error):
        limiter.use(new)
    assert not isinstance(limiter.enter("192.0.2.2"), str)
    assert limiter.enter("192.0.2.3") == "too many sessions"
    assert limiter._logins._penalties is not None
    assert limiter.place("").others(None, NETWORKS).by_network == {NETWORKS[0]: 2, NETWORKS[1]: 0}


@given(st.lists(st.sampled_from(sorted(INSIDE)), max_size=8), st.sampled_from([(), NETWORKS[:1], NETWORKS]))
def test_a_session_has_the_networks_of_its_own_policy(addresses, later):
    """Also when the server has another policy by then."""
    policy = Says(networks=NETWORKS)
    service = Service(store=FakeStore(), authenticator=OneUser(), policy=policy)
    limiter = service.limiter(b"")
    session = Serving(FakeStore(), policy=policy, limiter=limiter, address="192.0.2.1").greeted()
    limiter.use(Service(store=FakeStore(), authenticator=OneUser(), policy=Says(networks=later)))
    for address in addresses:
        limiter.enter(address)
    session.ask(LOG_IN)
    networks = Counter(INSIDE[address] for address in addresses)
    assert dict(policy.asked[-1].sessions_by_network) == {network: networks[network] for network in NETWORKS}


def test_spellings_of_one_name_count_as_one_user():
    class Folds(Says):
        def user_key(self, user):
            return user.casefold()

    class Whoever(OneUser):
        def check_password(self, user, password, _session):
            return password == "tanstaaf"

    policy = Folds()
    limiter = Service(store=FakeStore(), authenticator=Whoever(), policy=policy).limiter(b"")
    for number, name in enumerate(["ann", "ANN", "Ann"]):
        session = Serving(FakeStore(), Whoever(), policy=policy, limiter=limiter, address="192.0.2.1").greeted()
        session.ask(f"USER {name}\r\nPASS tanstaaf\r\n".encode())
        assert (policy.asked[-1].user, policy.asked[-1].sessions_of_user) == (name, number)


def test_failures_count_on_under_another_penalty():
    def limits(penalty):
        return Service(store=FakeStore(), authenticator=OneUser(), login_penalty=penalty)

    limiter = limits(LoginPenalty()).limiter(b"")
    place = limiter.place("192.0.2.1")
    place.login_failed(place.begin_login("PLAIN", 0), 0)
    for penalty, delay in ((LoginPenalty(most=5), 4), (LoginPenalty(most=5), 5), (None, None), (LoginPenalty(), 2)):
        limiter.use(limits(penalty))
        attempt = place.begin_login("PLAIN", 0)
        attempt.add(bytes([delay or 0]))
        place.login_failed(attempt, 0)
        penalties = limiter._logins._penalties
        assert (None if penalties is None else penalties.delay("192.0.2.1", 0)) == delay


def test_facts_are_data():
    facts = Facts(address="192.0.2.1", now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert attrs.evolve(facts, user="ann") == attrs.evolve(facts, user="ann")
    assert facts.user is None


def test_a_mechanism_with_an_exchange_is_denied_as_well():
    session = Serving(FakeStore(), MemoryAuthenticator({"ann": "tanstaaf"}), policy=Says(at=DENY)).greeted()
    client = CramMd5Client("ann", "tanstaaf")
    [challenge] = session.lines(b"AUTH CRAM-MD5\r\n")
    response = client.respond(b64decode(challenge[2:]))
    assert session.lines(b64encode(response) + b"\r\n") == [b"-ERR [AUTH] wrong name or password"]


def test_a_client_that_goes_at_any_moment_is_counted_out():
    store, policy = FakeStore(), Says()
    limiter = Service(store=store, authenticator=OneUser(), policy=policy).limiter(b"")
    for at in range(len(Serving(FakeStore(), policy=policy).logged_in().actor.performed)):
        session = Serving(store, policy=policy, limiter=limiter, address="x", strikes={at: ConnectionLost("gone")})
        session.ask(LOG_IN)
        if not session.actor.finished:
            session.hang_up()
        assert session.place is not None
        session.place.leave()
        after = session.actor.after_strike[1:]
        assert not any(isinstance(operation, Read | Write) for operation in after), "nothing is said any more"
        others = limiter.place("x").others("ann")
        assert (others.of_user, others.sessions, others.from_address) == (0, 0, 0)
    assert store.openers  # it went behind the login, too
