"""Which ways to log in are tried, for any server, any line between, any credentials and any wish."""

import hashlib
import hmac

import attrs
import pytest
from hypothesis import assume, given, strategies as st

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Stat
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.results import MaildropStatus
from pop3proto.procedures.client.calls import call
from pop3proto.procedures.client.commands import greet, quit_session
from pop3proto.procedures.client.login import login
from pop3proto.procedures.client.login_plan import LoginContext, LoginMethod, LoginPlan, plan_login
from pop3proto.procedures.client.session import Session
from pop3proto.sasl.authenticator import CustomAuthenticator
from pop3proto.sasl.channel import ChannelBinding, TlsInfo
from pop3proto.sasl.credentials import Anonymous, ClientCertificate, Credentials, Password, Token
from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError, Strength
from pop3proto.sasl.registry import CLIENT_MECHANISMS, SERVER_MECHANISMS, ClientEntry, ServerEntry
from tests.helpers.drivers import Actor, FakeStore, Serving, as_sent, talk

# Written down by hand, from the RFCs: what each way shows, and what it takes.
SHOWS = {
    "CLEAR": {"PLAIN", "LOGIN", "USER/PASS", "OAUTHBEARER", "XOAUTH2"},
    "DIGEST": {"CRAM-MD5", "APOP"},
    "MUTUAL": {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"},
    "BOUND": {"SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"},
    "NO_SECRET": {"EXTERNAL", "ANONYMOUS"},
}
RANK = {name: rank for rank, names in enumerate(SHOWS.values()) for name in names}
TAKES = {
    Token: {"OAUTHBEARER", "XOAUTH2"},
    ClientCertificate: {"EXTERNAL"},
    Anonymous: {"ANONYMOUS"},
}
TAKES[Password] = set(RANK).difference(*TAKES.values())
NO_SASL = {"APOP", "USER/PASS"}

ANN = Password("ann", "tanstaaf")
BINDING = ChannelBinding("tls-server-end-point", b"\1" * 32)
UNIQUE = ChannelBinding("tls-unique", b"\2" * 12)
VERIFIED = TlsInfo("TLSv1.3", verified=True, bindings=(BINDING,))
UNVERIFIED = TlsInfo("TLSv1.3", verified=False, bindings=(BINDING,))

names = st.sampled_from([*sorted(RANK), "GSSAPI"])
capabilities = st.none() | st.builds(
    Capabilities,
    sasl=st.lists(st.sampled_from([*sorted(set(RANK) - NO_SASL), "GSSAPI"]), unique=True).map(tuple),
    user=st.booleans(),
    auth_resp_code=st.booleans(),
)
channels = st.none() | st.builds(
    TlsInfo,
    st.just("TLSv1.3"),
    st.booleans(),
    bindings=st.sampled_from([(), (BINDING,), (UNIQUE, BINDING)]),
)
situations = st.builds(
    LoginContext,
    capabilities=capabilities,
    timestamp=st.sampled_from([None, "<1@a>"]),
    tls=channels,
    loopback=st.booleans(),
    cleartext=st.sampled_from(["never", "loopback", "always"]),
)
credentials = st.sampled_from(
    [
        ANN,
        Password("ann", "tanstaaf", authzid="bob"),
        Token("ann", "token"),
        ClientCertificate(),
        Anonymous("ann@example.org"),
        Credentials(),
    ]
)
wishes = st.none() | st.frozensets(names)


def may_see(context):
    """Whether a password may cross the wire as it is."""
    return verified(context) or {"never": False, "loopback": context.loopback, "always": True}[context.cleartext]


def cleartext(allowed):
    return "always" if allowed else "loopback"


def verified(context):
    return context.tls is not None and context.tls.verified


def planned(plan):
    return [step.name for step in plan.steps]


def candidates(given_credentials):
    """The names of all ways that take these credentials."""
    fit = TAKES.get(type(given_credentials), set())
    authzid = getattr(given_credentials, "authzid", "")
    return fit - NO_SASL if authzid and isinstance(given_credentials, Password) else fit


def server_with(*mechanisms, user=True, **arguments):
    arguments.setdefault("tls", VERIFIED)
    return LoginContext(capabilities=Capabilities(sasl=mechanisms, user=user), **arguments)


# ------------------------------------------------------------------------------------------------ laws


@given(credentials, situations, wishes)
def test_nothing_is_shown_where_it_must_not_be(given_credentials, context, only):
    plan = plan_login(given_credentials, context, only=only)
    allowed = may_see(context)
    assert context.may_show_password == allowed
    assert allowed or not SHOWS["CLEAR"].intersection(planned(plan))


@given(credentials, situations, wishes)
def test_without_verified_tls_only_the_strongest_that_is_there_is_tried(given_credentials, context, only):
    assume(not verified(context))
    plan = plan_login(given_credentials, context, only=only)
    assert len({RANK[name] for name in planned(plan)}) <= 1
    announced = set(context.capabilities.sasl) if context.capabilities is not None else set()
    there = candidates(given_credentials) & announced & (announced if only is None else only)
    there -= set() if context.binding else SHOWS["BOUND"]
    there -= set() if context.may_show_password or only is not None else SHOWS["DIGEST"]
    there -= set() if context.may_show_password else SHOWS["CLEAR"]
    ranks = {RANK[name] for name in planned(plan)}
    if there:  # and APOP, if it is asked for, which nobody announces
        assert ranks == {max(map(RANK.get, there | (NO_SASL & {"APOP"} & set(planned(plan)))))}


@given(credentials, situations, wishes)
def test_what_binds_has_something_to_bind_to_and_was_announced_or_asked_for(given_credentials, context, only):
    for name in SHOWS["BOUND"].intersection(planned(plan_login(given_credentials, context, only=only))):
        assert context.tls.bindings
        assert name in (context.capabilities.sasl if only is None else only)


@given(credentials, situations)
def test_a_mechanism_is_tried_only_if_it_is_announced(given_credentials, context):
    announced = set(context.capabilities.sasl) if context.capabilities is not None else set()
    assert set(planned(plan_login(given_credentials, context))) <= announced | NO_SASL


@given(credentials, situations, wishes)
def test_the_strongest_comes_first(given_credentials, context, only):
    plan = plan_login(given_credentials, context, only=only)
    ranks = [RANK[name] for name in planned(plan)]
    assert ranks == sorted(ranks, reverse=True)
    assert [SHOWS[step.strength.name] & {step.name} for step in plan.steps] == [{name} for name in planned(plan)]


@given(credentials, situations, wishes)
def test_each_kind_of_credentials_goes_to_its_own_mechanisms(given_credentials, context, only):
    plan = plan_login(given_credentials, context, only=only)
    assert set(planned(plan)) <= candidates(given_credentials)


@given(credentials, situations, wishes)
def test_apop_needs_a_timestamp_and_to_be_asked_for_or_verified_tls(given_credentials, context, only):
    if "APOP" in planned(plan_login(given_credentials, context, only=only)):
        assert context.timestamp is not None
        assert verified(context) or only is not None
        assert given_credentials == ANN


@given(credentials, situations)
def test_what_can_be_guessed_from_is_given_to_nobody_unasked(given_credentials, context):
    """Whoever hides SCRAM would get it: so it goes only where the password itself could."""
    if SHOWS["DIGEST"].intersection(planned(plan_login(given_credentials, context))):
        assert may_see(context)


@given(credentials, situations, wishes)
def test_whatever_fits_is_tried_or_left_out_for_a_reason(given_credentials, context, only):
    plan = plan_login(given_credentials, context, only=only)
    left_out = [name for name, _ in plan.left_out]
    expected = candidates(given_credentials)
    assert sorted(planned(plan) + left_out) == sorted(expected if only is None else expected & only)
    assert all(reason for _, reason in plan.left_out)
    lines = str(plan).splitlines()
    assert len(lines) == len(plan.steps) + len(plan.left_out)
    assert all(any(name in line for line in lines) for name in expected & set(planned(plan) + left_out))


@given(credentials, situations, wishes)
def test_a_plan_depends_on_nothing_else_and_shows_no_secret(given_credentials, context, only):
    plan = plan_login(given_credentials, context, only=only)
    assert plan == plan_login(given_credentials, context, only=only)
    shown = f"{plan} {plan!r} {context!r}"
    assert not any(secret in shown for secret in ("tanstaaf", "token)", repr(BINDING.octets), repr(UNIQUE.octets)))


@given(credentials, situations, st.data())
def test_what_is_hidden_from_us_never_makes_us_show_more_than_we_may(given_credentials, context, data):
    """Whoever is in the middle shortens what the server announces: a secret is not shown for that."""
    if context.capabilities is not None:
        left = data.draw(st.sets(st.sampled_from([*context.capabilities.sasl, "X-NONE"])))
        shortened = data.draw(st.sampled_from([None, Capabilities(sasl=tuple(left)), Capabilities()]))
        context = attrs.evolve(context, capabilities=shortened)
    assume(not may_see(context))
    assert not SHOWS["CLEAR"].intersection(planned(plan_login(given_credentials, context)))


@given(situations)
def test_under_verified_tls_a_password_is_never_at_a_loss(context):
    """Whatever is announced, or nothing: at the worst there are USER and PASS."""
    if verified(context):
        assert plan_login(ANN, context).steps


@given(situations)
def test_no_two_steps_are_one_more_wrong_password_for_nothing(context):
    steps = planned(plan_login(ANN, context))
    assert len(set(steps)) == len(steps)
    assert len(SHOWS["BOUND"].intersection(steps)) <= 1
    assert len(SHOWS["MUTUAL"].intersection(steps)) <= 1
    assert not {"PLAIN", "LOGIN"} <= set(steps)


def test_the_tables_are_of_the_same_names():
    assert set(RANK) == set(CLIENT_MECHANISMS) | NO_SASL
    assert {name: entry.strength.name for name, entry in CLIENT_MECHANISMS.items()} == {
        name: kind for kind, names in SHOWS.items() for name in names - NO_SASL
    }
    assert {name: entry.takes for name, entry in CLIENT_MECHANISMS.items()} == {
        name: kind for kind, names in TAKES.items() for name in names - NO_SASL
    }


# ----------------------------------------------------------------------------------------------- cases

EVERYTHING = tuple(sorted(set(RANK) - NO_SASL))


@pytest.mark.parametrize(
    "context,steps",
    [
        pytest.param(
            server_with(*EVERYTHING, timestamp="<1@a>"),
            ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-512", "CRAM-MD5", "PLAIN", "USER/PASS"],
            id="verified",
        ),
        pytest.param(
            server_with("SCRAM-SHA-1", "PLAIN", user=False), ["SCRAM-SHA-1", "PLAIN"], id="USER is not announced"
        ),
        pytest.param(server_with("LOGIN", user=False), ["LOGIN"], id="LOGIN alone"),
        pytest.param(server_with(user=False), ["USER/PASS"], id="nothing is announced"),
        pytest.param(LoginContext(tls=VERIFIED), ["USER/PASS"], id="unknown"),
        pytest.param(LoginContext(tls=VERIFIED, timestamp="<1@a>"), ["APOP", "USER/PASS"], id="unknown, timestamp"),
        pytest.param(LoginContext(), [], id="unknown, in clear"),
        pytest.param(LoginContext(loopback=True, timestamp="<1@a>"), ["USER/PASS"], id="unknown, loopback"),
        pytest.param(LoginContext(cleartext="always"), ["USER/PASS"], id="unknown, allowed"),
        pytest.param(LoginContext(tls=UNVERIFIED), [], id="unknown, unverified"),
        pytest.param(server_with(*EVERYTHING, tls=UNVERIFIED), ["SCRAM-SHA-512-PLUS"], id="unverified"),
        pytest.param(
            server_with(*EVERYTHING, tls=UNVERIFIED, cleartext="always"), ["SCRAM-SHA-512-PLUS"], id="unverified, too"
        ),
        pytest.param(server_with(*EVERYTHING, tls=None), ["SCRAM-SHA-512"], id="in clear"),
        pytest.param(server_with(*EVERYTHING, tls=None, loopback=True), ["SCRAM-SHA-512"], id="loopback"),
        pytest.param(server_with("CRAM-MD5", "PLAIN", tls=None, loopback=True), ["CRAM-MD5"], id="digest, loopback"),
        pytest.param(server_with("CRAM-MD5", "PLAIN", tls=None), [], id="digest, in clear"),
        pytest.param(server_with("CRAM-MD5", tls=UNVERIFIED), [], id="digest, unverified"),
        pytest.param(server_with("PLAIN", tls=None), [], id="PLAIN, in clear"),
        pytest.param(server_with("PLAIN", tls=None, loopback=True), ["PLAIN", "USER/PASS"], id="PLAIN, loopback"),
        pytest.param(
            server_with("SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", tls=VERIFIED),
            ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "USER/PASS"],
            id="binding is stronger than a longer hash",
        ),
    ],
)
def test_plans_for_a_password(context, steps):
    assert planned(plan_login(ANN, context)) == steps


@pytest.mark.parametrize(
    "tls,allowed,steps",
    [
        (VERIFIED, False, ["OAUTHBEARER", "XOAUTH2"]),
        (UNVERIFIED, False, []),
        (None, False, []),
        (None, True, ["OAUTHBEARER", "XOAUTH2"]),
    ],
)
def test_plans_for_a_token(tls, allowed, steps):
    context = server_with(*EVERYTHING, tls=tls, cleartext=cleartext(allowed), timestamp="<1@a>")
    assert planned(plan_login(Token("ann", "token"), context)) == steps
    without = server_with(
        "PLAIN", "CRAM-MD5", "SCRAM-SHA-256", tls=tls, cleartext=cleartext(allowed), timestamp="<1@a>"
    )
    assert plan_login(Token("ann", "token"), without).steps == ()


@pytest.mark.parametrize("tls", [None, UNVERIFIED, VERIFIED])
@pytest.mark.parametrize("name,given_credentials", [("EXTERNAL", ClientCertificate()), ("ANONYMOUS", Anonymous())])
def test_what_shows_nothing_goes_everywhere(tls, name, given_credentials):
    assert planned(plan_login(given_credentials, server_with(*EVERYTHING, tls=tls))) == [name]
    assert planned(plan_login(given_credentials, server_with("PLAIN", tls=tls))) == []


@pytest.mark.parametrize(
    "only,context,steps",
    [
        ({"APOP"}, LoginContext(timestamp="<1@a>"), ["APOP"]),
        ({"APOP"}, LoginContext(), []),
        ({"APOP"}, LoginContext(timestamp="<1@a>", tls=UNVERIFIED), ["APOP"]),
        ({"PLAIN"}, LoginContext(tls=VERIFIED), ["PLAIN"]),  # not announced, but named
        ({"PLAIN"}, LoginContext(tls=UNVERIFIED), []),
        ({"PLAIN", "LOGIN", "USER/PASS"}, LoginContext(tls=VERIFIED), ["PLAIN", "LOGIN", "USER/PASS"]),
        ({"SCRAM-SHA-1", "SCRAM-SHA-256"}, server_with(), ["SCRAM-SHA-256", "SCRAM-SHA-1"]),
        ({"SCRAM-SHA-1-PLUS"}, server_with(tls=TlsInfo("TLSv1.3", verified=True)), []),
        ({"SCRAM-SHA-1-PLUS"}, server_with(tls=UNVERIFIED), ["SCRAM-SHA-1-PLUS"]),
        ({"SCRAM-SHA-256", "PLAIN"}, LoginContext(loopback=True), ["SCRAM-SHA-256"]),
        ({"SCRAM-SHA-256", "PLAIN"}, server_with("PLAIN", "SCRAM-SHA-1"), ["PLAIN"]),  # not what nobody announces
        ({"CRAM-MD5"}, server_with("CRAM-MD5", tls=None), ["CRAM-MD5"]),
        ({"XOAUTH2", "NTLM"}, server_with(*EVERYTHING), []),
        (set(), server_with(*EVERYTHING), []),
    ],
)
def test_what_is_named_is_tried(only, context, steps):
    assert planned(plan_login(ANN, context, only=only)) == steps


def test_on_whose_behalf_is_said_by_sasl_alone():
    steps = planned(plan_login(Password("ann", "x", authzid="bob"), server_with("PLAIN", timestamp="<1@a>")))
    assert steps == ["PLAIN"]


def test_a_plan_that_is_printed():
    context = server_with("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", tls=None, loopback=True)
    assert str(plan_login(ANN, context)).splitlines() == [
        "1. SCRAM-SHA-256 shows nothing, and the server proves itself",
        "not SCRAM-SHA-512-PLUS: there is nothing to bind it to",
        "not SCRAM-SHA-256-PLUS: there is nothing to bind it to",
        "not SCRAM-SHA-1-PLUS: there is nothing to bind it to",
        "not SCRAM-SHA-512: the server does not announce it",
        "not SCRAM-SHA-1: SCRAM-SHA-256 stands for it",
        "not APOP: the server's greeting has no timestamp for it, or came before TLS",
        "not LOGIN: the server does not announce it",
        "not CRAM-MD5: without verified TLS nothing weaker than SCRAM-SHA-256 is tried",
        "not PLAIN: without verified TLS nothing weaker than SCRAM-SHA-256 is tried",
        "not USER/PASS: without verified TLS nothing weaker than SCRAM-SHA-256 is tried",
    ]


def test_what_is_withheld_is_what_the_policy_forbids():
    """Not what the server lacks, and not what another method does as well."""
    names = ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN")
    plan = plan_login(ANN, server_with(*names, tls=None))
    assert [name for name, _ in plan.withheld] == ["CRAM-MD5", "PLAIN", "LOGIN", "USER/PASS"]
    assert set(plan.withheld) < set(plan.left_out)
    assert plan_login(ANN, server_with(*names)).withheld == ()


def test_another_plan_that_is_printed():
    context = server_with("SCRAM-SHA-256-PLUS", "CRAM-MD5", "PLAIN", "LOGIN", user=False, timestamp="<1@a>")
    printed = str(plan_login(ANN, context)).splitlines()
    assert printed[:4] == [
        "1. SCRAM-SHA-256-PLUS shows nothing, and is bound to this TLS channel",
        "2. CRAM-MD5 shows something to guess the password from",
        "3. PLAIN shows the secret itself",
        "not SCRAM-SHA-512-PLUS: the server does not announce it",
    ]
    assert "not APOP: SCRAM-SHA-256-PLUS is better" in printed
    assert printed[-2:] == ["not LOGIN: PLAIN does the same", "not USER/PASS: the server does not announce it"]
    hidden = str(plan_login(ANN, server_with("PLAIN", tls=None, timestamp="<1@a>"))).splitlines()
    assert "not PLAIN: it shows the password or token, and there is no verified TLS: use TLS, or pass " in " ".join(
        hidden
    )
    assert "not APOP: passwords can be guessed from it: without verified TLS it must be asked for (only=)" in hidden


def test_every_strength_can_be_told():
    told = [str(LoginMethod("X", strength)) for strength in Strength]
    assert len(set(told)) == len(told) == len(SHOWS)
    assert all(line.startswith("X ") for line in told)
    external = plan_login(ClientCertificate(), server_with("EXTERNAL"))
    assert str(external) == "1. EXTERNAL has nothing to show"


def test_a_plan_is_a_value():
    step = LoginMethod("PLAIN", Strength.CLEAR)
    assert LoginPlan((step,)) == LoginPlan((LoginMethod("PLAIN", Strength.CLEAR),), ())
    assert str(LoginPlan(())) == ""
    assert "1@a" not in repr(LoginContext(timestamp="<1@a>"))


# -------------------------------------------------------------------------- a mechanism of one's own


@attrs.frozen
class Ticket(Credentials):
    """What a ticket server has given out."""

    user: str
    key: bytes = attrs.field(repr=False)


class TicketClient:
    """Two challenges: what to sign, and the server's own proof; like GSSAPI, and nothing like a password."""

    name = "GSSAPI"
    shows_secret = False
    blocks = True
    failure = ""

    def __init__(self, context):
        if context.credentials.user == "nobody":
            raise MechanismError("there is no ticket for nobody")
        self._ticket = context.credentials
        self._steps = [self._check, self._sign]
        self.initial_response = context.credentials.user.encode()

    @property
    def complete(self):
        return not self._steps

    def respond(self, challenge):
        if not self._steps:
            raise MechanismError("no more is due")
        return self._steps.pop()(challenge)

    def _sign(self, challenge):
        self._challenge = challenge
        return hmac.digest(self._ticket.key, b"client" + challenge, hashlib.sha256)

    def _check(self, proof):
        if not hmac.compare_digest(proof, hmac.digest(self._ticket.key, b"server" + self._challenge, hashlib.sha256)):
            raise MechanismError("the server does not know the ticket")
        return b""


class TicketServer:
    """The other side; it asks the authenticator for keys."""

    name = "GSSAPI"

    def __init__(self, context):
        self._keys = context.authenticator.keys
        self._challenge = context.nonce.encode()
        self._steps = [self._end, self._prove, self._ask]

    def respond(self, response):
        return self._steps.pop()(response)

    def _ask(self, response):
        self._user = response.decode()
        return self._challenge

    def _prove(self, response):
        key = self._keys.get(self._user, b"")
        if not hmac.compare_digest(response, hmac.digest(key, b"client" + self._challenge, hashlib.sha256)):
            raise CredentialsRejected("the ticket is not valid")
        return hmac.digest(key, b"server" + self._challenge, hashlib.sha256)

    def _end(self, response):
        if response:
            raise MechanismError("nothing more is due")
        return Identity(self._user)


class Tickets(CustomAuthenticator):
    blocks = False

    def __init__(self, **keys):
        self.keys = keys


OURS = {**CLIENT_MECHANISMS, "GSSAPI": ClientEntry(Ticket, Strength.MUTUAL, TicketClient)}
THEIRS = {
    **SERVER_MECHANISMS,
    "GSSAPI": ServerEntry(Strength.MUTUAL, lambda who, _session: isinstance(who, Tickets), TicketServer),
}


@given(situations, wishes)
def test_a_mechanism_of_ones_own_is_planned_like_any_other(context, only):
    plan = plan_login(Ticket("ann", b"key"), context, only=only, mechanisms=OURS)
    announced = context.capabilities is not None and "GSSAPI" in context.capabilities.sasl
    # What else is named and announced does not matter: nothing else takes a ticket.
    assert planned(plan) == ["GSSAPI"] * (announced if only is None else "GSSAPI" in only)
    assert plan_login(ANN, context, only=only, mechanisms=OURS) == plan_login(ANN, context, only=only)


def ticket_login(user, key, **keys):
    """A login by ticket against our own server, over no wire at all."""
    store = FakeStore(b"Subject: 1\n\n")
    serving = Serving(store, Tickets(**keys), mechanisms=THEIRS, loopback=False)
    session = Session(ClientConnection())

    def client():
        yield from greet(session)
        yield from login(session, Ticket(user, key), mechanisms=OURS)
        status = yield from call(session, Stat())
        yield from quit_session(session)
        return status

    actor = Actor(client(), serving.actor.clock)
    talk(actor, serving.actor)
    return actor, store


def test_a_mechanism_of_ones_own_logs_in():
    actor, store = ticket_login("ann", b"key", ann=b"key")
    assert actor.outcome() == MaildropStatus(1, len(as_sent(b"Subject: 1\n\n")))
    store.check_all_is_closed()


def test_a_mechanism_of_ones_own_is_refused():
    actor, _ = ticket_login("ann", b"wrong", ann=b"key")
    with pytest.raises(LoginFailed, match=r"AUTH GSSAPI \*\*\*: \[AUTH\] wrong name or password"):
        actor.outcome()


def test_a_mechanism_of_ones_own_may_not_fit():
    actor, _ = ticket_login("nobody", b"key", ann=b"key")
    with pytest.raises(LocalProtocolError, match="GSSAPI cannot be used: there is no ticket for nobody"):
        actor.outcome()


def test_credentials_that_nothing_takes():
    actor, _ = ticket_login("ann", b"key", ann=b"key")
    assert actor.finished
    session = Session(ClientConnection(), loopback=True)

    def client():
        yield from greet(session)
        yield from login(session, Ticket("ann", b"key"))

    with pytest.raises(LocalProtocolError, match="no mechanism takes these credentials"):
        Actor(client()).receive(b"+OK\r\n", b"-ERR\r\n").outcome()


def test_why_nothing_is_tried_is_told_in_a_line():
    assert plan_login(ANN, server_with("PLAIN", tls=None, user=True)).objections == (
        "PLAIN, USER/PASS: it shows the password or token, and there is no verified TLS: use TLS, or pass "
        'cleartext="always"'
    )
    assert plan_login(Token("ann", "token"), server_with("PLAIN")).objections == (
        "OAUTHBEARER, XOAUTH2: the server does not announce it"
    )
    assert plan_login(Credentials(), server_with("PLAIN")).objections == ""
