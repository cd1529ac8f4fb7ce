"""A login that the policy denies though its credentials are right: in all mechanisms it looks as if they were wrong."""

from base64 import b64decode, b64encode
from itertools import chain, combinations

import pytest

from pop3proto.procedures.maildrop import Unavailable
from pop3proto.procedures.server.policy import ALLOW, DENY, Decision
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.external import ExternalClient
from pop3proto.sasl.md5 import CramMd5Client
from pop3proto.sasl.oauth import OAuthBearerClient, XOAuth2Client
from pop3proto.sasl.plain import LoginClient, PlainClient
from tests.helpers.drivers import FakeStore, OneUser, Serving, sessions_come_to_their_end  # noqa: F401 - a fixture
from tests.procedures.server.test_login_handlers import BINDING, Everyone, log_in, scram, serving, sleeps
from tests.procedures.server.test_policy import Says

NAMES = ("ann", "bob", "carol")
DENIED = [*chain.from_iterable(combinations(NAMES, number) for number in range(len(NAMES) + 1))]


class Denies(Says):
    """Denies some users, and keeps what it was asked."""

    def __init__(self, *denied, decision=DENY):
        super().__init__()
        self._denied, self._decision = denied, decision

    def at_login(self, facts):
        self.asked.append(facts)
        return self._decision if facts.user in self._denied else ALLOW


# With the right password or token, and with a wrong one.
CLIENTS = {
    "PLAIN": (lambda whom: PlainClient("ann", "tanstaaf", whom), lambda whom: PlainClient("ann", "guess", whom)),
    "SCRAM-SHA-256": (
        lambda whom: scram("SHA-256", authzid=whom),
        lambda whom: scram("SHA-256", password="guess", authzid=whom),
    ),
    "SCRAM-SHA-512-PLUS": (
        lambda whom: scram("SHA-512", authzid=whom, binding=BINDING),
        lambda whom: scram("SHA-512", password="guess", authzid=whom, binding=BINDING),
    ),
}
ALONE = {
    "LOGIN": (lambda: LoginClient("ann", "tanstaaf"), lambda: LoginClient("ann", "guess")),
    "CRAM-MD5": (lambda: CramMd5Client("ann", "tanstaaf"), lambda: CramMd5Client("ann", "guess")),
    "OAUTHBEARER": (lambda: OAuthBearerClient("ann", "toktok"), lambda: OAuthBearerClient("ann", "guess")),
    "XOAUTH2": (lambda: XOAuth2Client("ann", "toktok"), lambda: XOAuth2Client("ann", "guess")),
}


def heard(client, policy, *, times=3):
    """All that a client sees of some logins: the octets but those of its own proofs, the waits, the end."""
    session = serving(Everyone(), policy=policy, login_attempts=times)
    session.actor.take()
    before = len(session.actor.written)
    answers = [log_in(session, client()) for _ in range(times)]
    lines = b"".join(session.actor.written[before:]).split(b"\r\n")
    waited = [each.seconds for each in sleeps(session)]
    return answers, lines, waited, session.actor.finished, session.record.end


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("whom", ["", *NAMES])
def test_who_acts_for_another_needs_the_leave_of_both(name, whom):
    """The one who has a password, the other whose maildrop it is: each may be denied, and the authenticator says no."""
    right, wrong = (lambda make=make: make(whom) for make in CLIENTS[name])
    as_wrong = heard(wrong, None)
    for denied in DENIED:
        policy = Denies(*denied)
        session = serving(Everyone(), b"a\n", policy=policy)
        user = whom or "ann"
        allowed = not {"ann", user} & {*denied} and user != "carol"
        assert log_in(session, right()).startswith(b"+OK") == allowed, denied
        assert [name for name, _ in session.store.openers] == [user] * allowed
        assert allowed or heard(right, Denies(*denied)) == as_wrong, denied


@pytest.mark.parametrize("name", ALONE)
def test_no_mechanism_tells_that_credentials_are_right(name):
    right, wrong = ALONE[name]
    assert heard(right, Denies("ann")) == heard(wrong, None) == heard(right, Says(DENY))


@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("response", [b"*", b"", b"AQ=="])
def test_a_denied_token_is_like_a_wrong_one_whatever_the_client_says_to_that(name, response):
    def seen(client, policy):
        session = serving(Everyone(), policy=policy, login_attempts=2)
        first = b64encode(client.initial_response)
        answers = [session.lines(b"AUTH %b %b\r\n" % (name.encode(), first), response + b"\r\n") for _ in range(2)]
        return answers, [each.seconds for each in sleeps(session)], session.actor.finished

    right, wrong = ALONE[name]
    denied = seen(right(), Denies("ann"))
    assert denied == seen(wrong(), None)
    assert denied[0][0][0].startswith(b"+ ")


def test_a_denied_token_counts_once():
    session = serving(Everyone(), policy=Denies("ann"))
    log_in(session, OAuthBearerClient("ann", "toktok"))
    assert session.record.refused == [("OAUTHBEARER", "ann", "")]
    assert session.record.failed == []
    assert session.record.user is None
    assert session.store.openers == []


def test_the_facts_of_who_acts_for_another():
    policy = Denies()
    session = serving(Everyone(), b"a\n", policy=policy)
    assert log_in(session, PlainClient("ann", "tanstaaf", "bob")).startswith(b"+OK")
    assert [(facts.user, facts.acts_for) for facts in policy.asked] == [(None, None), ("ann", "bob"), ("bob", None)]
    assert [facts.user for facts in policy.noted] == ["bob"]


@pytest.mark.parametrize("policy", [Denies("ann"), Says(DENY)], ids=["login", "connection"])
def test_who_is_denied_does_not_meet_a_fault_behind(policy):
    everyone = Everyone()

    def may_act_as(*_: object) -> bool:
        raise Unavailable("ask later")

    everyone.may_act_as = may_act_as
    session = serving(everyone, policy=policy)
    for client in (PlainClient("ann", "tanstaaf", "bob"), scram("SHA-256", authzid="bob"), ExternalClient("bob")):
        assert log_in(session, client) == b"-ERR [AUTH] wrong name or password"
    session = serving(everyone, policy=Denies())
    assert log_in(session, scram("SHA-256", authzid="bob")) == b"-ERR [SYS/TEMP] ask later"


def test_who_may_act_for_another_is_asked_in_each_login():
    everyone, answers = Everyone(), [True, False]
    everyone.may_act_as = lambda *_: answers.pop(0)
    session = serving(everyone)
    session.store.locked = True
    assert log_in(session, PlainClient("ann", "tanstaaf", "bob")).startswith(b"-ERR [IN-USE]")
    session.store.locked = False
    assert log_in(session, PlainClient("ann", "tanstaaf", "bob")) == b"-ERR [AUTH] wrong name or password"
    assert answers == []


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("refused", ["ann", "bob"])
def test_a_text_about_either_is_told(name, refused):
    session = serving(Everyone(), policy=Denies(refused, decision=Decision(allowed=False, text="not now")))
    assert log_in(session, CLIENTS[name][0]("bob")) == b"-ERR not now"
    assert [user for _, user, _ in session.record.refused] == [refused]


def test_a_denied_login_does_not_count_among_the_sessions_of_its_user():
    """After each refusal, by whatever it is, the place of the user is free."""
    policy = Denies("bob")
    limiter = Service(store=FakeStore(), authenticator=Everyone(), policy=policy).limiter(b"")
    for client in (PlainClient("ann", "tanstaaf", "bob"), scram("SHA-256", authzid="bob"), scram("SHA-256")):
        store = FakeStore()
        store.locked = True
        session = Serving(store, Everyone(), policy=policy, limiter=limiter, address="192.0.2.1").greeted()
        log_in(session, client)
        assert session.place is not None
        assert session.place.user is None
    assert {facts.sessions_of_user for facts in policy.asked} == {0}


def test_who_has_seen_the_proof_of_the_server_and_goes_no_further_does_not_count():
    policy = Denies()
    limiter = Service(store=FakeStore(), authenticator=Everyone(), policy=policy).limiter(b"")
    session = Serving(FakeStore(), Everyone(), policy=policy, limiter=limiter, address="192.0.2.1").greeted()
    client = scram("SHA-256")
    [first] = session.lines(b"AUTH SCRAM-SHA-256 " + b64encode(client.initial_response) + b"\r\n")
    [proof] = session.lines(b64encode(client.respond(b64decode(first[2:]))) + b"\r\n")
    assert b64decode(proof[2:]).startswith(b"v=")
    assert session.place is not None
    assert session.place.user is None
    assert session.lines(b"*\r\n") == [b"-ERR the exchange is cancelled"]
