"""The domain of a listener: what is verified is what is opened, however the client has named itself."""

from itertools import product

import pytest

from pop3proto.authenticators.memory import MemoryTokenAuthenticator
from pop3proto.procedures.server.penalties import LoginPenalty
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.channel import SessionInfo
from pop3proto.sasl.external import AnonymousClient, ExternalClient
from pop3proto.sasl.md5 import CramMd5Client, apop_digest
from pop3proto.sasl.oauth import OAuthBearerClient, XOAuth2Client
from pop3proto.sasl.plain import LoginClient, PlainClient
from tests.helpers.drivers import FakeStore, Serving, sessions_come_to_their_end  # noqa: F401 - it is a fixture
from tests.procedures.server.test_login_handlers import BINDING, log_in, scram, serving
from tests.procedures.server.test_policy import Says

DOMAIN, WHOLE = "example.org", "ann@example.org"


class TwoAnns(MemoryTokenAuthenticator):
    """Knows ann, and ann@example.org, who is another one; of the second, the token and the certificate."""

    blocks = False

    def __init__(self):
        super().__init__({"ann": "hers", WHOLE: "tanstaaf", f"bob@{DOMAIN}": "other"}, {"toktok": WHOLE})
        self.acted = []

    def check_certificate(self, _certificate, authzid, _session, /):
        return WHOLE if authzid in ("", WHOLE) else None

    def admit(self, _trace, _session, /):
        return "ann"

    def may_act_as(self, authcid, authzid, _session, /):
        self.acted.append((authcid, authzid))
        return True


LOGINS = {
    "USER/PASS": lambda name, password: f"USER {name}\r\nPASS {password}\r\n".encode(),
    "APOP": lambda name, password: (name, password),
    "PLAIN": PlainClient,
    "LOGIN": LoginClient,
    "CRAM-MD5": CramMd5Client,
    "SCRAM-SHA-256": lambda name, password: scram("SHA-256", name, password),
    "SCRAM-SHA-512-PLUS": lambda name, password: scram("SHA-512", name, password, binding=BINDING),
}


def log_in_by(session, client):
    if isinstance(client, bytes):
        return session.lines(client)[-1]
    if isinstance(client, tuple):
        name, password = client
        digest = apop_digest(timestamp_of(session), password)
        return session.lines(f"APOP {name} {digest}\r\n".encode())[0]
    return log_in(session, client)


def timestamp_of(session):
    greeting = b"".join(session.actor.written).split(b"\r\n")[0].decode()
    return greeting[greeting.index("<") :]


@pytest.mark.parametrize("method, named", [*product(LOGINS, ["ann", WHOLE])])
def test_the_password_is_that_of_whose_maildrop_is_opened(method, named):
    policy = Says()
    session = serving(TwoAnns(), domain=DOMAIN, policy=policy, login_penalty=None, failure_delay=0)
    assert b"[AUTH]" in log_in_by(session, LOGINS[method](named, "hers"))
    assert [user for _, user in session.record.failed] == [WHOLE]
    assert policy.asked[1:] == []
    assert log_in_by(session, LOGINS[method](named, "tanstaaf")).startswith(b"+OK")
    [(user, info)] = session.store.openers
    assert (user, info.user, session.record.user) == (WHOLE, WHOLE, WHOLE)
    assert policy.asked[-1].user == WHOLE


@pytest.mark.parametrize(
    "client",
    [
        OAuthBearerClient("ann", "toktok"),
        OAuthBearerClient("", "toktok"),
        XOAuth2Client("ann", "toktok"),
        ExternalClient(),
        ExternalClient("ann"),
        AnonymousClient("somebody"),
    ],
    ids=["OAUTHBEARER", "OAUTHBEARER without a name", "XOAUTH2", "EXTERNAL", "EXTERNAL as ann", "ANONYMOUS"],
)
def test_who_shows_no_password(client):
    session = serving(TwoAnns(), domain=DOMAIN)
    assert log_in(session, client).startswith(b"+OK")
    assert [user for user, _ in session.store.openers] == [WHOLE]


@pytest.mark.parametrize("method, domain", [*product(LOGINS, ["", DOMAIN])])
def test_names_in_another_case_are_the_same_user(method, domain):
    """With `lower_case_users` all see the name in lower case; without it, it is that of another user."""
    name = "Ann" if domain else "Ann@Example.org"
    policy = Says()
    session = serving(
        TwoAnns(), domain=domain, policy=policy, login_penalty=None, failure_delay=0, lower_case_users=True
    )
    assert b"[AUTH]" in log_in_by(session, LOGINS[method](name, "hers"))
    assert [user for _, user in session.record.failed] == [WHOLE]
    assert log_in_by(session, LOGINS[method](name, "tanstaaf")).startswith(b"+OK")
    [(user, info)] = session.store.openers
    assert (user, info.user, session.record.user, policy.asked[-1].user) == (WHOLE,) * 4
    other = serving(TwoAnns(), domain=domain, login_penalty=None, failure_delay=0)
    assert b"[AUTH]" in log_in_by(other, LOGINS[method](name, "tanstaaf"))


@pytest.mark.parametrize(
    "client", [OAuthBearerClient("Ann", "toktok"), XOAuth2Client("Ann", "toktok"), ExternalClient("Ann")]
)
def test_names_in_another_case_without_a_password(client):
    session = serving(TwoAnns(), domain=DOMAIN, lower_case_users=True)
    assert log_in(session, client).startswith(b"+OK")
    assert [user for user, _ in session.store.openers] == [WHOLE]


def test_letters_that_are_not_ascii_are_not_folded():
    """Two names that look different stay two: the Kelvin sign is no k."""
    session = SessionInfo(domain=DOMAIN, lower_case=True)
    assert session.full_name("\u212aAnn\u00c4\u0130") == f"\u212aann\u00c4\u0130@{DOMAIN}"
    assert session.full_name("A@B.Org") == "a@b.org"
    assert SessionInfo(domain=DOMAIN).full_name("A") == f"A@{DOMAIN}"


@pytest.mark.parametrize("whom", ["bob", f"bob@{DOMAIN}"])
def test_both_names_are_whole_where_one_acts_for_another(whom):
    for client in (PlainClient("ann", "tanstaaf", whom), scram("SHA-256", authzid=whom)):
        authenticator = TwoAnns()
        session = serving(authenticator, domain=DOMAIN)
        assert log_in(session, client).startswith(b"+OK")
        assert {*authenticator.acted} == {(WHOLE, f"bob@{DOMAIN}")}
        assert [user for user, _ in session.store.openers] == [f"bob@{DOMAIN}"]


def test_who_acts_for_the_whole_name_acts_for_oneself():
    authenticator = TwoAnns()
    session = serving(authenticator, domain=DOMAIN)
    assert log_in(session, PlainClient("ann", "tanstaaf", WHOLE)).startswith(b"+OK")
    assert authenticator.acted == []


@pytest.mark.parametrize("method", ["USER/PASS", "PLAIN"])
def test_a_wrong_password_that_was_guessed_before_is_of_the_same_user_only(method):
    """The same credentials again cost nothing more; over the listener of another domain they are others."""
    penalty = LoginPenalty(first=2, most=15)
    limiter = Service(store=FakeStore(), authenticator=TwoAnns(), login_penalty=penalty).limiter(b"")
    delays = []
    for domain in (DOMAIN, DOMAIN, "example.net"):
        session = Serving(
            FakeStore(), TwoAnns(), domain=domain, limiter=limiter, address="192.0.2.1", login_penalty=penalty
        ).greeted()
        assert b"[AUTH]" in log_in_by(session, LOGINS[method]("ann", "guess"))
        delays.append(limiter._logins._penalties.delay("192.0.2.1", session.actor.clock.now))
    assert delays[0] == delays[1] < delays[2]


def test_without_a_domain_nothing_is_added():
    session = serving(TwoAnns())
    assert log_in(session, PlainClient("ann", "hers")).startswith(b"+OK")
    assert [user for user, _ in session.store.openers] == ["ann"]
