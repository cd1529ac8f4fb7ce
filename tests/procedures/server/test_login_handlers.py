"""How a server lets people in: what it offers to whom, each way to log in, and each way not to."""

import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Collection
from itertools import chain, combinations, product

import pytest
from hypothesis import given, strategies as st

from pop3proto.authenticators.memory import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.core.commands import Apop
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.events import NEED_DATA
from pop3proto.core.limits import Limits
from pop3proto.core.replies import Greeting, parse_reply
from pop3proto.core.server import ServerConnection
from pop3proto.core.states import State
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.procedures.operations import Now, Random, Run, Sleep, Write
from pop3proto.procedures.server.loop import serve_session
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.authenticator import CustomAuthenticator
from pop3proto.sasl.channel import ChannelBinding, TlsInfo
from pop3proto.sasl.external import AnonymousClient, ExternalClient
from pop3proto.sasl.md5 import CramMd5Client, apop_digest
from pop3proto.sasl.mechanism import Identity, Strength
from pop3proto.sasl.oauth import OAuthBearerClient, XOAuth2Client
from pop3proto.sasl.plain import LoginClient, PlainClient
from pop3proto.sasl.registry import SERVER_MECHANISMS, ServerEntry
from pop3proto.sasl.scram.keys import ScramKeys
from pop3proto.sasl.scram.mechanisms import ScramClient
from tests.helpers.drivers import Actor, FakeMaildrop, FakeStore, Serving, codes, sessions_come_to_their_end  # noqa: F401 - it is a fixture

BINDING = ChannelBinding("tls-exporter", b"only this channel")
CERTIFICATE = b"a certificate"
BOUND = TlsInfo("TLSv1.3", verified=True, certificate=CERTIFICATE, bindings=(BINDING,))
ALGORITHMS = ("SHA-1", "SHA-256", "SHA-512")
PLUS = [f"SCRAM-{algorithm}-PLUS" for algorithm in reversed(ALGORITHMS)]
SCRAM = [f"SCRAM-{algorithm}" for algorithm in reversed(ALGORITHMS)]


def in_run() -> bool:
    """Whether this is called by a `Run`, and not from within the procedure."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code is Actor._perform.__code__:
            return True
        frame = frame.f_back
    return False


class Everyone(MemoryTokenAuthenticator):
    """Lets ann in by whatever there is; bob is there, and ann may act for him."""

    blocks = False

    def __init__(self, *, blocks: bool = False, failure: BaseException | None = None) -> None:
        super().__init__({"ann": "tanstaaf", "bob": "other"}, {"toktok": "ann"})
        self.blocks = blocks
        self.failure = failure
        self.asked: list[str] = []
        self.by_run: set[bool] = set()

    def note(self, what: str) -> None:
        self.asked.append(what)
        self.by_run.add(in_run())
        if self.failure is not None:
            raise self.failure

    def check_password(self, user, password, session, /):
        self.note("check_password")
        return super().check_password(user, password, session)

    def secret(self, user, session, /):
        self.note("secret")
        return super().secret(user, session)

    def scram_keys(self, user, algorithm, session, /):
        self.note("scram_keys")
        return super().scram_keys(user, algorithm, session)

    def check_token(self, user, token, session, /):
        self.note("check_token")
        return super().check_token(user, token, session)

    def check_certificate(self, certificate, authzid, session, /):
        self.note("check_certificate")
        assert session.tls.certificate == certificate
        return "ann" if certificate == CERTIFICATE and authzid in ("", "ann", "bob") else None

    def admit(self, trace, session, /):
        self.note("admit")
        return None if trace == "evil" else "guest"

    def may_act_as(self, authcid, authzid, session, /):
        self.note("may_act_as")
        return (authcid, authzid) == ("ann", "bob")


def serving(
    authenticator=None, *mail: bytes, tls: TlsInfo | None = BOUND, loopback: bool = False, **service
) -> Serving:
    mode = "none" if tls is None else "implicit"
    service = {"mechanisms": SERVER_MECHANISMS} | service
    return Serving(
        FakeStore(*mail), authenticator or Everyone(), mode=mode, tls=tls, loopback=loopback, **service
    ).greeted()


def log_in(session: Serving, client, *, initial: bool = True, name: str = "") -> bytes:
    """Let a mechanism of a client talk to the server, line by line; return the last answer."""
    owed = client.initial_response
    line = f"AUTH {name or client.name}".encode()
    if initial and owed is not None:
        line, owed = line + b" " + (b64encode(owed) or b"="), None
    [answer] = session.lines(line + b"\r\n")
    while answer.startswith(b"+ "):
        challenge = b64decode(answer[2:], validate=True)
        if owed is None:
            response = client.respond(challenge)
        else:
            assert challenge == b""
            response, owed = owed, None
        [answer] = session.lines(b64encode(response) + b"\r\n")
    return answer


def scram(algorithm: str, user: str = "ann", password: str = "tanstaaf", **arguments) -> ScramClient:
    return ScramClient(algorithm, user, password, nonce="rOprNGfwEbeRWgbNEkqO", **arguments)


def sleeps(session: Serving) -> list[Sleep]:
    return [operation for operation in session.actor.performed if isinstance(operation, Sleep)]


RIGHT = {
    **{f"SCRAM-{each}-PLUS": lambda each=each: scram(each, binding=BINDING) for each in ALGORITHMS},
    **{f"SCRAM-{each}": lambda each=each: scram(each) for each in ALGORITHMS},
    "EXTERNAL": ExternalClient,
    "CRAM-MD5": lambda: CramMd5Client("ann", "tanstaaf"),
    "PLAIN": lambda: PlainClient("ann", "tanstaaf"),
    "LOGIN": lambda: LoginClient("ann", "tanstaaf"),
    "OAUTHBEARER": lambda: OAuthBearerClient("ann", "toktok"),
    "XOAUTH2": lambda: XOAuth2Client("ann", "toktok"),
    "ANONYMOUS": lambda: AnonymousClient("ann@example.org"),
}


def wrong(user: str, password: str) -> dict:
    """By mechanism, a client that has another password, or another name."""
    return {
        **{f"SCRAM-{each}-PLUS": lambda each=each: scram(each, user, password, binding=BINDING) for each in ALGORITHMS},
        **{f"SCRAM-{each}": lambda each=each: scram(each, user, password) for each in ALGORITHMS},
        "CRAM-MD5": lambda: CramMd5Client(user, password),
        "PLAIN": lambda: PlainClient(user, password),
        "LOGIN": lambda: LoginClient(user, password),
        "OAUTHBEARER": lambda: OAuthBearerClient(user, password),
        "XOAUTH2": lambda: XOAuth2Client(user, password),
    }


WRONG_PASSWORD = wrong("ann", "guess")
UNKNOWN_PEER = wrong("nobody", "tanstaaf")
REFUSED = {
    **WRONG_PASSWORD,
    "EXTERNAL": lambda: ExternalClient("carol"),
    "ANONYMOUS": lambda: AnonymousClient("evil"),
    "a stolen token": lambda: XOAuth2Client("bob", "toktok"),
    "for somebody else": lambda: PlainClient("ann", "tanstaaf", "carol"),
    "for oneself, by somebody who may not": lambda: PlainClient("bob", "other", "ann"),
    "a binding to another channel": lambda: scram("SHA-256", binding=ChannelBinding("tls-exporter", b"another")),
    "a stripped -PLUS": lambda: scram("SHA-256", unannounced=True),
}


# --------------------------------------------------------------------------------------- what is offered


class Passwords:
    def check_password(self, user, password, session, /):
        raise AssertionError


class Secrets:
    def secret(self, user, session, /):
        raise AssertionError


class Keys:
    scram_algorithms: Collection[str] = ALGORITHMS

    def scram_keys(self, user, algorithm, session, /):
        raise AssertionError


class Tokens:
    def check_token(self, user, token, session, /):
        raise AssertionError


class Certificates:
    def check_certificate(self, certificate, authzid, session, /):
        raise AssertionError


class Guests:
    def admit(self, trace, session, /):
        raise AssertionError


ABILITIES = (Passwords, Secrets, Keys, Tokens, Certificates, Guests)
CHANNELS = {
    "no TLS": None,
    "TLS": TlsInfo("TLSv1.3", verified=False),
    "TLS, bindings": TlsInfo("TLSv1.3", verified=False, bindings=(BINDING,)),
    "TLS, a certificate": TlsInfo("TLSv1.3", verified=True, certificate=CERTIFICATE),
    "TLS, a certificate nobody has verified": TlsInfo("TLSv1.3", verified=False, certificate=CERTIFICATE),
    "TLS, verified, no certificate": TlsInfo("TLSv1.3", verified=True),
    "all": BOUND,
}


def subsets(members) -> list[tuple]:
    return list(chain.from_iterable(combinations(members, size) for size in range(len(members) + 1)))


def users(*abilities: type) -> object:
    return type("Users", (*abilities, CustomAuthenticator), {"blocks": False})()


def expected(abilities, tls: TlsInfo | None, *, clear: bool) -> list[str]:
    """What the issue and the RFCs want, the strongest first."""
    offered = []
    if Keys in abilities:
        offered += PLUS if tls and tls.bindings else []
        offered += SCRAM
    if Certificates in abilities and tls and tls.verified and tls.certificate:
        offered.append("EXTERNAL")
    if Secrets in abilities:
        offered.append("CRAM-MD5")
    if Passwords in abilities and (tls or clear):
        offered += ["PLAIN", "LOGIN"]
    if Tokens in abilities and (tls or clear):
        offered += ["OAUTHBEARER", "XOAUTH2"]
    if Guests in abilities:
        offered.append("ANONYMOUS")
    return offered


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("clear", [{}, {"loopback": True}, {"cleartext": "always"}])
def test_what_is_offered_is_what_can_be_verified_here(channel, clear):
    tls = CHANNELS[channel]
    for abilities in subsets(ABILITIES):
        session = serving(users(*abilities), tls=tls, **clear)
        offered = expected(abilities, tls, clear=bool(clear))
        capabilities = session.lines(b"CAPA\r\n")
        assert [line for line in capabilities if line.startswith(b"SASL")] == (
            [b" ".join([b"SASL", *map(str.encode, offered)])] if offered else []
        )
        assert (b"USER" in capabilities) == ("PLAIN" in offered)
        assert session.lines(b"AUTH\r\n")[1:-1] == [name.encode() for name in offered]
        for name in sorted(RIGHT.keys() - offered):
            # Whatever the credentials: they are not looked at (RFC 8314 section 4.1), or a user would tell.
            for line in (f"AUTH {name}", f"AUTH {name} AGFubgB0YW5zdGFhZg==", f"AUTH {name} ="):
                [answer] = session.lines(line.encode() + b"\r\n")
                assert codes([answer]) in ([b"-ERR"], [b"-ERR [SYS/PERM]"]), line
        assert not sleeps(session)
        assert session.connection.state is State.AUTHORIZATION


def test_no_mechanism_is_forgotten_here():
    assert RIGHT.keys() == SERVER_MECHANISMS.keys() == set(expected(ABILITIES, BOUND, clear=True))


@pytest.mark.parametrize("abilities", [(Passwords, Secrets, Keys), (Tokens, Guests)])
def test_the_strongest_stand_first(abilities):
    """Among those that take the same credentials; nobody can choose between a password and a certificate."""
    names = [name.decode() for name in serving(users(*abilities)).lines(b"AUTH\r\n")[1:-1] if name != b"ANONYMOUS"]
    strengths = [SERVER_MECHANISMS[name].strength for name in names]
    assert strengths == sorted(strengths, reverse=True)
    assert len(names) > 1
    assert list(SERVER_MECHANISMS)[-1] == "ANONYMOUS"


@pytest.mark.parametrize("algorithms", subsets(ALGORITHMS))
def test_scram_is_offered_where_there_are_keys(algorithms):
    keys = users(Keys)
    keys.scram_algorithms = algorithms
    names = [name for name in (*PLUS, *SCRAM) if name.removeprefix("SCRAM-").removesuffix("-PLUS") in algorithms]
    assert serving(keys).lines(b"AUTH\r\n")[1:-1] == [name.encode() for name in names]


def test_a_mechanism_of_ones_own():
    class Knock:
        name = "X-KNOCK"

        def respond(self, response):
            return Identity("ann") if response == b"knock" else b"who is there?"

    entry = ServerEntry(Strength.MUTUAL, lambda *_: True, lambda _: Knock())
    session = serving(mechanisms={"X-KNOCK": entry})
    assert b"SASL X-KNOCK" in session.lines(b"CAPA\r\n")
    assert session.lines(b"AUTH X-KNOCK\r\n") == [b"+ " + b64encode(b"who is there?")]
    assert codes(session.lines(b64encode(b"knock") + b"\r\n")) == [b"+OK"]
    assert codes(serving(mechanisms={}).lines(b"AUTH PLAIN\r\n")) == [b"-ERR"]


@pytest.mark.parametrize("name", [b"FOOBAR", b"SCRAM-SHA-256-PLU", b"A" * 20, b"A" * 21, b"PL@IN"])
def test_an_unknown_mechanism(name):
    session = serving()
    assert codes(session.lines(b"AUTH " + name + b"\r\n", b"AUTH " + name + b" AAAA\r\n")) == [b"-ERR", b"-ERR"]
    assert log_in(session, RIGHT["PLAIN"]()).startswith(b"+OK")


def test_what_is_offered_is_still_announced_after_login():
    session = serving()
    before = set(session.lines(b"CAPA\r\n"))
    assert log_in(session, RIGHT["PLAIN"]()).startswith(b"+OK")
    assert set(session.lines(b"CAPA\r\n")) == before  # RFC 2449 section 5, RFC 5034 section 3
    assert codes(session.lines(b"AUTH PLAIN\r\nAUTH\r\nAPOP ann " + b"0" * 32 + b"\r\n")) == [b"-ERR"] * 3


# ----------------------------------------------------------------------------------------- every way in


@pytest.mark.deep(keep=20)
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("name", RIGHT)
def test_every_mechanism_logs_in(name, initial, blocks):
    everyone = Everyone(blocks=blocks)
    session = serving(everyone, b"A: b\n\n")
    assert log_in(session, RIGHT[name](), initial=initial) == b"+OK maildrop has 1 message (8 octets)"
    assert session.connection.state is State.TRANSACTION
    [(user, info)] = session.store.openers
    assert user == ("guest" if name == "ANONYMOUS" else "ann")
    assert info.tls == BOUND
    assert everyone.by_run == {blocks}, "in the hands of the world if and only if it may block"
    assert not sleeps(session)


@pytest.mark.deep(keep=10)
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("name", RIGHT)
def test_nothing_but_the_authenticator_is_run(name, blocks):
    everyone, store = Everyone(blocks=blocks), FakeStore(blocks=False)
    session = Serving(store, everyone, mode="implicit", tls=BOUND, mechanisms=SERVER_MECHANISMS).greeted()
    assert log_in(session, RIGHT[name]()).startswith(b"+OK")
    runs = [operation for operation in session.actor.performed if isinstance(operation, Run)]
    assert bool(runs) == blocks


@pytest.mark.parametrize("name", [name for name in RIGHT if name not in {"EXTERNAL", "ANONYMOUS"}])
def test_names_are_prepared(name):
    """RFC 4013: a ligature and a soft hyphen are what they look like."""
    session = serving(MemoryTokenAuthenticator({"\ufb01n": "pa\u00adss\u00aa"}, {"toktok": "fin"}))
    token = name in {"OAUTHBEARER", "XOAUTH2"}
    client = wrong("fi\u00adn", "toktok" if token else "\u00adpassa")[name]()
    assert log_in(session, client).startswith(b"+OK")
    assert session.store.openers[0][0] == "fin"


def test_user_and_pass_are_prepared():
    session = serving(MemoryAuthenticator({"fin": "passa"}))
    answers = session.lines("USER \ufb01n\r\nPASS pa\u00adss\u00aa\r\n".encode())
    assert codes(answers) == [b"+OK", b"+OK"]
    assert session.store.openers[0][0] == "fin"


def test_a_long_message_of_plain():
    user, password = "u" * 255, "p" * 255
    session = serving(MemoryAuthenticator({user: password}))
    assert log_in(session, PlainClient(user, password, user), initial=False).startswith(b"+OK")  # RFC 4616 section 2


def test_a_challenge_that_does_not_fit_refuses_the_login():
    # It has the client's nonce in it, and so may be longer than what the client sent.
    limits = Limits(sasl_line=100, command_line=100, reply_line=100)
    connection = ServerConnection(limits=limits)
    session = Serving(FakeStore(), Everyone(), connection=connection).greeted()
    first = b64encode(ScramClient("SHA-256", "ann", "tanstaaf", nonce="x" * 30).initial_response)
    answers = session.lines(b"AUTH SCRAM-SHA-256\r\n" + first + b"\r\nUSER ann\r\nPASS tanstaaf\r\n")
    assert answers[:2] == [b"+ ", b"-ERR [SYS/PERM] the challenge does not fit into 100 octets"]
    assert codes(answers[2:]) == [b"+OK", b"+OK"]


def test_scram_tells_nobody_who_exists():
    """The challenge for an unknown name looks like another and stays the same (RFC 5802 section 7)."""
    everyone = Everyone()
    challenges = {}
    for user in (b"ann", b"nobody", b"noone"):
        line = b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=%b,r=nonce" % user) + b"\r\n"
        seen = {serving(everyone).ask(line) for _ in range(2)}
        assert len(seen) == 1
        [challenges[user]] = seen
    assert len(set(challenges.values())) == 3
    shapes = {re.sub(rb"s=[^,]+", b"s=", b64decode(challenge[2:])) for challenge in challenges.values()}
    assert len(shapes) == 1
    assert len({len(challenge) for challenge in challenges.values()}) == 1


# ------------------------------------------------------------------------------------------------- APOP


def timestamp(session: Serving) -> str:
    greeting = session.actor.written[0].rstrip(b"\r\n")
    found = Greeting(parse_reply(greeting)).timestamp
    assert found is not None
    return found


def greeting_of(service: Service, chance: bytes) -> bytes:
    """What the server says first, for some octets of chance."""
    procedure = serve_session(service, service.connection(tls=False))
    result: object = None
    while not isinstance(operation := procedure.send(result), Write):
        match operation:
            case Random(count):
                assert count == len(chance)
                result = chance
            case Now():
                result = 0.0
    return operation.octets


octets_of_chance = st.binary(min_size=16, max_size=16)


@given(octets_of_chance, octets_of_chance, st.from_regex(r"[A-Za-z0-9.-]{1,60}", fullmatch=True))
def test_a_timestamp_is_always_another_and_always_one_that_clients_know(one, other, hostname):
    service = Service(store=FakeStore(), authenticator=users(Secrets), hostname=hostname, greeting="hello")
    timestamps = []
    for chance in (one, other):
        greeting = greeting_of(service, chance)
        match = re.fullmatch(rb"\+OK hello (<[0-9]{20}[.][0-9]{20}@[A-Za-z0-9.-]+>)\r\n", greeting)
        assert match
        timestamps.append(match[1])
        assert Greeting(parse_reply(greeting[:-2])).timestamp == match[1].decode()
    assert (one == other) == (timestamps[0] == timestamps[1])


@pytest.mark.parametrize("hostname", ["", "a=b", "a+b", "a/b", "a b", "a@b", "a>b", "a\r\nb", "ä", "[::1]"])
def test_a_host_name_that_clients_do_not_take(hostname):
    with pytest.raises(LocalProtocolError):
        Service(store=FakeStore(), authenticator=users(Secrets), hostname=hostname)


@pytest.mark.deep(keep=16)
@pytest.mark.parametrize("abilities", subsets(ABILITIES))
def test_a_timestamp_only_where_apop_can_succeed(abilities):
    session = serving(users(*abilities))
    assert (b"<" in session.actor.written[0]) == (Secrets in abilities)
    if Secrets not in abilities:
        assert codes(session.lines(b"APOP ann " + b"0" * 32 + b"\r\n")) == [b"-ERR"]


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("change", [str, str.upper])
def test_apop(blocks, change):
    everyone = Everyone(blocks=blocks)
    session = serving(everyone, tls=None)
    digest = change(apop_digest(timestamp(session), "tanstaaf"))
    assert codes(session.lines(f"APOP ann {digest}\r\n".encode())) == [b"+OK"]
    assert [user for user, _ in session.store.openers] == ["ann"]
    assert everyone.asked == ["secret"]
    assert everyone.by_run == {blocks}


def test_apop_with_a_wrong_digest_or_name():
    session = serving(failure_delay=3.5, login_attempts=3)
    digest = apop_digest(timestamp(session), "tanstaaf")
    lines = [Apop("ann", apop_digest(timestamp(session), "guess")), Apop("nobody", digest), Apop("bob", digest)]
    answers = [session.ask(line.encode()) for line in lines]
    assert answers == [b"-ERR [AUTH] wrong name or password\r\n"] * 3
    assert sleeps(session) == [Sleep(3.5)] * 3
    assert session.actor.finished


# -------------------------------------------------------------------------------------------- refusals


@pytest.mark.deep(keep=12)
@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_delayed_counted_and_coded(name, initial):
    session = serving(failure_delay=7.5)
    answer = log_in(session, REFUSED[name](), initial=initial)
    assert codes([answer]) == [b"-ERR [AUTH]"]
    assert session.store.log == []
    assert session.connection.state is State.AUTHORIZATION
    *_, delay, answering = [each for each in session.actor.performed if isinstance(each, Sleep | Write)]
    assert delay == Sleep(7.5)
    assert answering.octets == answer + b"\r\n"
    assert sleeps(session) == [delay]
    assert log_in(session, RIGHT["PLAIN"]()).startswith(b"+OK"), "as if nothing had been"


@pytest.mark.parametrize("name", WRONG_PASSWORD)
def test_a_wrong_password_and_an_unknown_user_get_the_same_octets(name):
    answers = [log_in(serving(), refused[name]()) for refused in (WRONG_PASSWORD, UNKNOWN_PEER)]
    assert answers[0] == answers[1] == b"-ERR [AUTH] wrong name or password"


def test_what_was_said_goes_out_before_the_delay():
    session = serving(tls=None, loopback=True)
    session.ask(b"CAPA\r\nUSER ann\r\nPASS guess\r\n")
    kinds = [type(each) for each in session.actor.performed if not isinstance(each, Now | Run)]
    greeting, *_, said, slept, answered, _ = kinds
    assert [said, slept, answered] == [Write, Sleep, Write]
    assert greeting is Random


def test_a_deaf_client_does_not_outlive_the_delay():
    session = serving()
    session.actor.gone = True
    session.ask(b"CAPA\r\nAUTH PLAIN " + b64encode(b"\0ann\0guess") + b"\r\n")
    assert session.actor.finished
    assert not sleeps(session)


@given(st.lists(st.sampled_from(sorted(REFUSED)), min_size=4, max_size=4), st.integers(1, 4))
def test_too_many_failures_end_the_session_however_they_are_mixed(names, attempts):
    session = serving(login_attempts=attempts)
    for number, name in enumerate(names[:attempts], 1):
        assert codes([log_in(session, REFUSED[name]())]) == [b"-ERR [AUTH]"]
        assert session.actor.finished == (number == attempts)
    assert session.actor.outcome() is None
    assert len(sleeps(session)) == attempts


def test_nothing_behind_the_last_failure_is_done():
    everyone = Everyone()
    session = serving(everyone, tls=None, loopback=True, login_attempts=2)
    guess, right = b"USER ann\r\nPASS guess\r\n", b"USER ann\r\nPASS tanstaaf\r\n"
    answers = session.lines(guess + guess + right)
    assert codes(answers) == [b"+OK", b"-ERR [AUTH]"] * 2
    assert session.actor.finished
    assert everyone.asked == ["check_password"] * 2
    assert session.store.log == []


MALFORMED = {
    "PLAIN": (
        *(b"", b"ann", b"\0ann", b"\0\0p", b"\0a\0b\0c", b"\0\xff\0p", b"\0ann\0\xff"),
        *(b"\xff\0ann\0p", b"\xc2\xad\0ann\0tanstaaf"),
    ),
    "EXTERNAL": (b"\xff", b"an\rn", b"\xc2\xad"),
    "ANONYMOUS": (b"\xff", b"a\nb", b"x" * 256, b"\xc2\xad"),
    "OAUTHBEARER": (
        *(b"", b"n,,", b"n,,\1\1", b"n,,\1host=x\1\1", b"p=tls-unique,,\1auth=Bearer toktok\1\1"),
        b"n,a=an=n,\1auth=Bearer toktok\1\1",
    ),
    "XOAUTH2": (
        *(b"", b"user=ann\1\1", b"auth=Bearer toktok\1\1", b"user=an\rn\1auth=Bearer toktok\1\1"),
        b"user=ann\1user=bob\1auth=Bearer toktok\1\1",
    ),
    "SCRAM-SHA-256": (
        *(b"", b"n,,", b"p=tls-exporter,,n=ann,r=x", b"n,,n=an=n,r=x", b"n,,m=x,n=ann,r=x"),
        *(b"n,,n=\xff,r=x", b"n,,n=ann,r="),
    ),
    "SCRAM-SHA-256-PLUS": (b"n,,n=ann,r=x", b"y,,n=ann,r=x", b"p=tls-unique,,n=ann,r=x", b"p=,,n=ann,r=x"),
}


@pytest.mark.deep(keep=20)
@pytest.mark.parametrize("name,message", [(name, message) for name in MALFORMED for message in MALFORMED[name]])
@pytest.mark.parametrize("initial", [True, False])
def test_a_malformed_message_is_counted_and_not_delayed(name, message, initial):
    everyone = Everyone()
    session = serving(everyone, login_attempts=2)
    encoded = b64encode(message)
    if initial:
        answers = session.lines(f"AUTH {name} ".encode() + (encoded or b"=") + b"\r\n")
    else:
        challenge, *answers = session.lines(f"AUTH {name}\r\n".encode() + encoded + b"\r\n")
        assert challenge == b"+ "
    assert codes(answers) == [b"-ERR"]
    assert not sleeps(session)
    assert not everyone.asked
    assert [method for method, _ in session.record.not_checked] == [name]
    assert session.record.failed == []
    assert log_in(session, RIGHT["PLAIN"]()).startswith(b"+OK")


@pytest.mark.parametrize("wrong", [0, 1])
def test_malformed_messages_end_a_session_as_wrong_passwords_do(wrong):
    session = serving(login_attempts=3)
    for _ in range(wrong):
        assert log_in(session, WRONG_PASSWORD["PLAIN"]()).startswith(b"-ERR [AUTH]")
    answers = session.lines(b"AUTH PLAIN AAAA\r\n" * 5)
    assert codes(answers) == [b"-ERR"] * (3 - wrong)
    assert session.actor.finished
    assert session.record.end == "failed logins"


@pytest.mark.parametrize(
    "response", [b"", b"ann", b"ann " + b"0" * 31, b"ann " + b"A" * 32, b" " + b"0" * 32, b"\xff " + b"0" * 32]
)
def test_a_malformed_answer_to_cram_md5(response):
    session = serving(login_attempts=2)
    challenge, answer = session.lines(b"AUTH CRAM-MD5\r\n" + b64encode(response) + b"\r\n")
    assert re.fullmatch(rb"<[0-9a-f]+@[a-z.-]+>", b64decode(challenge[2:]))
    assert codes([answer]) == [b"-ERR"]
    assert not sleeps(session)
    assert not session.actor.finished


@pytest.mark.parametrize("name", ["CRAM-MD5", "LOGIN"])
@pytest.mark.parametrize("initial", [b"AAAA", b"=", b64encode(b"ann")])
def test_an_initial_response_where_the_server_begins(name, initial):
    everyone = Everyone()
    session = serving(everyone, login_attempts=2)
    assert codes(session.lines(f"AUTH {name} ".encode() + initial + b"\r\n")) == [b"-ERR"]
    assert not everyone.asked
    assert not sleeps(session)
    assert log_in(session, RIGHT[name]()).startswith(b"+OK")


@pytest.mark.parametrize("name", ["EXTERNAL", "ANONYMOUS"])
def test_an_empty_response_is_not_none(name):
    """RFC 5034 section 4: `=` is empty, nothing asks for it, and an empty line answers."""
    line = f"AUTH {name}".encode()
    assert codes(serving().lines(line + b" =\r\n")) == [b"+OK"]
    session = serving()
    assert session.ask(line + b"\r\n") == b"+ \r\n"
    assert codes(session.lines(b"\r\n")) == [b"+OK"]
    session = serving()
    assert codes(session.lines(line + b"\r\n=\r\n")) == [b"+", b"-ERR"]
    assert session.connection.state is State.AUTHORIZATION


@pytest.mark.parametrize("name", RIGHT)
def test_cancel_and_another_mechanism(name):
    session = serving(login_attempts=1)
    for _ in range(3):
        challenge, answer = session.lines(f"AUTH {name}\r\n*\r\n".encode())
        assert challenge.startswith(b"+ ")
        assert codes([answer]) == [b"-ERR"]
    assert not sleeps(session)
    assert log_in(session, RIGHT[name]()).startswith(b"+OK")


@pytest.mark.parametrize("name", [*SCRAM, *PLUS])
def test_cancel_after_the_proof(name):
    """Even there: who has cancelled has not logged in."""
    session, client = serving(), RIGHT[name]()
    [challenge] = session.lines(f"AUTH {name} ".encode() + b64encode(client.initial_response) + b"\r\n")
    [final] = session.lines(b64encode(client.respond(b64decode(challenge[2:]))) + b"\r\n")
    assert b64decode(final[2:]).startswith(b"v=")
    assert session.store.log == []
    assert codes(session.lines(b"*\r\n")) == [b"-ERR"]
    assert session.connection.state is State.AUTHORIZATION
    assert session.store.log == []


@pytest.mark.deep(keep=10)
@pytest.mark.parametrize(
    "rubbish", [b"=AAA", b"AAA=BBB", b"AA", b"AA== ", b"A A=", b"AA=A", b"\xff", b"====", b"**", b" "]
)
@pytest.mark.parametrize("name", ["PLAIN", "CRAM-MD5", "SCRAM-SHA-1"])
def test_rubbish_for_base64(name, rubbish):
    everyone = Everyone()
    session = serving(everyone, login_attempts=1)
    _, answer = session.lines(f"AUTH {name}\r\n".encode() + rubbish + b"\r\n")
    assert codes([answer]) == [b"-ERR"]
    if rubbish.strip() == rubbish:  # blanks at the end of a command are nothing
        assert codes(session.lines(f"AUTH {name} ".encode() + rubbish + b"\r\n")) == [b"-ERR"]
    assert session.connection.state is State.AUTHORIZATION
    assert not everyone.asked
    assert not sleeps(session)
    assert log_in(session, RIGHT[name]()).startswith(b"+OK")


@pytest.mark.deep(keep=12)
@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("command", [b"QUIT", b"NOOP", b"STLS", b"CAPA"])
def test_a_command_inside_an_exchange_is_data(name, command):
    session = serving()
    challenge, answer = session.lines(f"AUTH {name}\r\n".encode() + command + b"\r\n")
    assert challenge.startswith(b"+ ")
    assert not answer.startswith(b"+OK")
    assert not session.actor.finished
    assert session.store.log == []


# --------------------------------------------------------------------------- authenticators that do not know


@pytest.mark.deep(keep=10)
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("name", RIGHT)
def test_who_cannot_know_now(name, blocks):
    everyone = Everyone(blocks=blocks, failure=Unavailable("the directory is down"))
    session = serving(everyone, login_attempts=1)
    for _ in range(3):
        assert log_in(session, RIGHT[name]()) == b"-ERR [SYS/TEMP] the directory is down"
    assert not sleeps(session)
    everyone.failure = None
    assert log_in(session, RIGHT[name]()).startswith(b"+OK")


@pytest.mark.deep(keep=10)
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("name", [*RIGHT, "APOP", "PASS"])
def test_an_authenticator_that_is_broken(name, blocks):
    failure = ZeroDivisionError("a fault")
    session = serving(Everyone(blocks=blocks, failure=failure))
    if name in RIGHT:
        answer = log_in(session, RIGHT[name]())
    elif name == "APOP":
        [answer] = session.lines(b"APOP ann " + b"0" * 32 + b"\r\n")
    else:
        _, answer = session.lines(b"USER ann\r\nPASS x\r\n")
    assert codes([answer]) == [b"-ERR [SYS/TEMP]"]
    assert b"fault" not in answer.replace(b"the server has a fault", b"")
    assert session.actor.finished
    with pytest.raises(ZeroDivisionError) as raised:
        session.actor.outcome()
    assert raised.value is failure
    assert session.store.log == []


def test_who_does_not_know_who_may_act_for_whom():
    everyone = Everyone()

    def may_act_as(*_: object) -> bool:
        raise Unavailable("ask later")

    everyone.may_act_as = may_act_as
    session = serving(everyone)
    assert log_in(session, PlainClient("ann", "tanstaaf", "bob")) == b"-ERR [SYS/TEMP] ask later"
    assert session.store.log == []


# ----------------------------------------------------------------------------------- on behalf of somebody

ON_BEHALF = {
    "PLAIN": lambda whom: PlainClient("ann", "tanstaaf", whom),
    "SCRAM-SHA-256": lambda whom: scram("SHA-256", authzid=whom),
    "SCRAM-SHA-512-PLUS": lambda whom: scram("SHA-512", authzid=whom, binding=BINDING),
    "EXTERNAL": ExternalClient,
}


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("name", ON_BEHALF)
def test_who_may_act_for_somebody_gets_that_maildrop(name, blocks):
    everyone = Everyone(blocks=blocks)
    session = serving(everyone)
    assert log_in(session, ON_BEHALF[name]("bob")).startswith(b"+OK")
    assert [user for user, _ in session.store.openers] == ["bob"]
    assert everyone.asked.count("may_act_as") == 1
    assert everyone.by_run == {blocks}
    session.ask(b"CAPA\r\n")
    assert session.store.log[-1] == "capabilities bob"


@pytest.mark.parametrize("name", ON_BEHALF)
def test_who_acts_for_oneself_needs_nobody_to_say_so(name):
    everyone = Everyone()
    session = serving(everyone)
    assert log_in(session, ON_BEHALF[name]("ann")).startswith(b"+OK")
    assert "may_act_as" not in everyone.asked


@pytest.mark.parametrize("name", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512-PLUS"])
def test_without_an_authorizer_nobody_acts_for_anybody(name):
    session = serving(MemoryAuthenticator({"ann": "tanstaaf", "bob": "other"}))
    assert codes([log_in(session, ON_BEHALF[name]("bob"))]) == [b"-ERR [AUTH]"]
    assert len(sleeps(session)) == 1
    assert session.store.log == []


def test_who_has_not_proved_anything_is_not_asked_for_whom():
    everyone = Everyone()
    assert codes([log_in(serving(everyone), PlainClient("ann", "guess", "bob"))]) == [b"-ERR [AUTH]"]
    assert everyone.asked == ["check_password"]


# -------------------------------------------------------------------------------------- names, and locks

CONTROLS = ["\r", "\n", "\r\n+OK", "\t", "\x1b[2J", "\x7f", "\x85", "\u2028", "\0"]


@pytest.mark.deep(keep=15)
@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize(
    "place", ["authzid", "authcid", "LOGIN", "XOAUTH2", "OAUTHBEARER", "SCRAM", "EXTERNAL", "CRAM"]
)
def test_a_name_with_a_control_character_is_refused_and_not_repeated(place, control):
    name = f"EVIL{control}EVIL"
    begin, message = {
        "authzid": ("PLAIN", f"{name}\0ann\0tanstaaf"),
        "authcid": ("PLAIN", f"\0{name}\0tanstaaf"),
        "LOGIN": ("LOGIN", name),
        "XOAUTH2": ("XOAUTH2", f"user={name}\1auth=Bearer toktok\1\1"),
        "OAUTHBEARER": ("OAUTHBEARER", f"n,a={name},\1auth=Bearer toktok\1\1"),
        "SCRAM": ("SCRAM-SHA-256", f"n,,n={name},r=x"),
        "EXTERNAL": ("EXTERNAL", name),
        "CRAM": ("CRAM-MD5", f"{name} {'0' * 32}"),
    }[place]
    everyone = Everyone()
    session = serving(everyone)
    _, answer, *rest = session.lines(f"AUTH {begin}\r\n".encode() + b64encode(message.encode()) + b"\r\n")
    assert codes([answer, *rest]) == [b"-ERR"]
    assert b"EVIL" not in answer
    assert not everyone.asked
    assert session.connection.state is State.AUTHORIZATION
    assert session.connection.next_event() is NEED_DATA


def test_a_name_with_a_control_character_in_user():
    everyone = Everyone()
    session = serving(everyone)
    answers = session.lines(b"USER EVIL\tEVIL\r\nPASS tanstaaf\r\nAPOP EVIL\tEVIL " + b"0" * 32 + b"\r\n")
    assert codes(answers) == [b"+OK", b"-ERR [AUTH]", b"-ERR [AUTH]"]  # it is nobody's (RFC 3206 section 6)
    assert b"EVIL" not in b"".join(answers)
    assert not everyone.asked


@pytest.mark.parametrize("name", [name for name in RIGHT if name != "ANONYMOUS"])
def test_the_lock_of_another_session_is_no_failure_of_the_login(name):
    everyone = Everyone()
    first = serving(everyone)
    assert log_in(first, RIGHT["PLAIN"]()).startswith(b"+OK")
    options = {"mode": "implicit", "tls": BOUND, "mechanisms": SERVER_MECHANISMS}
    second = Serving(first.store, everyone, **options, login_attempts=1).greeted()
    for _ in range(3):
        assert codes([log_in(second, RIGHT[name]())]) == [b"-ERR [IN-USE]"]
    assert not sleeps(second)
    assert codes([log_in(second, PlainClient("ann", "guess"))]) == [b"-ERR [AUTH]"], "the right password comes first"
    third = Serving(first.store, everyone, **options).greeted()
    first.hang_up()
    assert log_in(third, RIGHT[name]()).startswith(b"+OK")


@pytest.mark.parametrize("abilities", [*product([0, 1], repeat=2)])
def test_passwords_in_clear_are_refused_whatever_they_are(abilities):
    """RFC 8314 section 4.1: the answer must not depend on the credentials."""
    everyone = Everyone()
    session = serving(everyone, tls=None, cleartext="loopback")
    name, password = [b"ann", b"nobody"][abilities[0]], [b"tanstaaf", b"guess"][abilities[1]]
    answers = session.lines(b"AUTH PLAIN " + b64encode(b"\0" + name + b"\0" + password) + b"\r\nUSER " + name + b"\r\n")
    assert codes(answers) == [b"-ERR [SYS/PERM]"] * 2 or codes(answers) == [b"-ERR", b"-ERR [SYS/PERM]"]
    assert not everyone.asked
    assert codes(session.lines(b"PASS " + password + b"\r\n")) == [b"-ERR"]


def test_keys_that_are_none_for_the_algorithm_are_a_fault_of_ours():
    class Confused(MemoryAuthenticator):
        def scram_keys(self, user, algorithm, session, /):
            return ScramKeys.derive("SHA-1", "tanstaaf", b"salt", 4096)

    session = serving(Confused({"ann": "tanstaaf"}))
    assert codes([log_in(session, scram("SHA-256"))]) == [b"-ERR [SYS/TEMP]"]
    with pytest.raises(LocalProtocolError):
        session.actor.outcome()


@pytest.mark.parametrize("line", [b"USER ann\r\nPASS x\r\n", b"AUTH PLAIN AGFubgB4\r\n"])
@pytest.mark.parametrize("answer", ["yes", 1, object(), None])
def test_what_is_merely_true_lets_nobody_in(line, answer):
    class Vague:
        blocks = False

        def check_password(self, user, password, session):
            return answer

    session = serving(Vague())
    assert codes(session.lines(line))[-1] == b"-ERR [SYS/TEMP]"
    assert isinstance(session.actor.error, TypeError)
    assert not session.store.opened


@pytest.mark.parametrize("notice,told", [("81 % of 1 GB used", "; 81 % of 1 GB used"), ("", ""), (None, "")])
def test_what_a_maildrop_tells_its_user_follows_the_number_of_messages(monkeypatch, notice, told):
    store = FakeStore(b"a\n")
    monkeypatch.setattr(FakeMaildrop, "notice", notice, raising=False)
    session = Serving(store).greeted()
    assert session.ask(b"USER ann\r\nPASS tanstaaf\r\n").endswith(
        b"+OK maildrop has 1 message (3 octets)%b\r\n" % told.encode()
    )
    assert session.ask(b"STAT\r\n") == b"+OK 1 3\r\n"
