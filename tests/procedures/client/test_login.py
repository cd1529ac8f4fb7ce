"""How a client logs in: what it sends, when it falls back and when it stops, and what it says of a failure."""

import base64
import json
import traceback

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.authenticators.memory import MemoryTokenAuthenticator
from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Auth, Noop, Pass, Stat, User
from pop3proto.core.errors import (
    Broken,
    Busy,
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
)
from pop3proto.core.limits import Limits
from pop3proto.core.refusals import LoginFailed, RefusedLogin
from pop3proto.core.replies import Err, ResponseCode
from pop3proto.core.results import MaildropStatus
from pop3proto.core.states import State
from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.calls import call
from pop3proto.procedures.client.commands import greet, learn_capabilities
from pop3proto.procedures.client.exchange import authenticate
from pop3proto.procedures.client.login import login, login_by, planned
from pop3proto.procedures.client.login_walk import MOST_REFUSALS
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.operations import Random, Run
from pop3proto.sasl.channel import ChannelBinding, TlsInfo
from pop3proto.sasl.credentials import Anonymous, ClientCertificate, Password, Token
from pop3proto.sasl.mechanism import MechanismError, Strength
from pop3proto.sasl.plain import PlainClient
from pop3proto.sasl.registry import CLIENT_MECHANISMS, SERVER_MECHANISMS, ClientEntry
from pop3proto.sasl.scram.keys import ScramHash
from tests.helpers.drivers import Actor, FakeStore, Script, Serving, talk

WITH_PLAIN = Capabilities(sasl=("PLAIN",))
CAPA = b"+OK\r\nPIPELINING\r\nSASL PLAIN\r\n.\r\n"
SECRET = "tanstaaf"
ENCODED = base64.b64encode(b"\0ann\0tanstaaf")
ANN = Password("ann", SECRET)
TOKEN = Token("ann@example.org", "ya29.token")
VERIFIED = TlsInfo("TLSv1.3", verified=True)
BINDING = ChannelBinding("tls-server-end-point", b"\1" * 32)
EMPTY_CHALLENGES = (b"+ \r\n", b"+\r\n")


@pytest.fixture
def server() -> Script:
    """One to which the client is logged in."""
    return Script().log_in()


def secured(capa: bytes | Capabilities | None = None, *, tls: TlsInfo = VERIFIED, **arguments) -> Script:
    """A server behind TLS, on another machine, that has announced this; None: nothing is known of it."""
    script = Script(may_show_password=False, connection=ClientConnection(tls=True), **arguments)
    timestamp = script.session.context.timestamp
    script.session.secured(tls)
    script.session.context = attrs.evolve(script.session.context, timestamp=timestamp)
    script.session.context = attrs.evolve(script.session.context, capabilities=capa)
    return script


def announcing(*mechanisms: str, user: bool = True, auth_resp_code: bool = False) -> Capabilities:
    return Capabilities(sasl=mechanisms, user=user, auth_resp_code=auth_resp_code)


def encoded(*octets: bytes) -> list[bytes]:
    """As lines of SASL."""
    return [base64.b64encode(each) + b"\r\n" for each in octets]


def challenge(octets: bytes) -> bytes:
    return b"+ " + base64.b64encode(octets) + b"\r\n"


def scram_first(script: Script) -> bytes:
    """The server's first message in the exchange that was begun last."""
    client_first = base64.b64decode(script.heard[-1].split()[2])
    return client_first[client_first.index(b"r=") :] + b"x,s=c2FsdA==,i=4096"


def failing(script: Script, procedure, *answers: bytes) -> LoginFailed:
    with pytest.raises(LoginFailed) as failure:
        script.run(procedure, *answers)
    return failure.value


# ----------------------------------------------------------------------------------------------- login


def test_login_by_plain_where_it_is_announced():
    script = Script()
    assert script.run(login(script.session, Password("ann", SECRET)), CAPA, b"+OK\r\n", b"+OK\r\nTOP\r\n.\r\n") is None
    assert script.heard == [b"CAPA\r\n", b"AUTH PLAIN " + ENCODED + b"\r\n", b"CAPA\r\n"]
    assert script.session.capabilities == Capabilities(top=True), "what it said last"
    assert script.connection.state is State.TRANSACTION


def test_login_asks_for_the_capabilities_only_if_they_are_unknown():
    script = Script(capabilities=WITH_PLAIN)
    script.run(login(script.session, Password("ann", SECRET)), b"+OK\r\n", CAPA)
    assert script.heard[0].startswith(b"AUTH PLAIN ")


def test_login_by_user_and_pass():
    script = Script()
    script.run(login(script.session, Password("ann", SECRET)), b"+OK\r\nUSER\r\n.\r\n", b"+OK\r\n", b"+OK\r\n", CAPA)
    assert script.heard == [b"CAPA\r\n", b"USER ann\r\n", b"PASS tanstaaf\r\n", b"CAPA\r\n"]
    assert script.connection.state is State.TRANSACTION


def test_login_without_capa():
    script = Script()
    script.run(login(script.session, Password("ann", SECRET)), b"-ERR\r\n", b"+OK\r\n", b"+OK\r\n")
    assert script.heard == [b"CAPA\r\n", b"USER ann\r\n", b"PASS tanstaaf\r\n"]
    assert script.session.capabilities is None


def far_away(cleartext="always") -> Script:
    """A server on another machine, without TLS."""
    script = Script()
    session = Session(ClientConnection(), cleartext=cleartext)
    script.session, script.connection = session, session.connection
    Actor(greet(session)).receive(b"+OK <1@a>\r\n").outcome()
    return script


@pytest.mark.parametrize("name,password", [("jörg", "secret"), ("ann", "pässword")])
class TestOtherThanAscii:
    @pytest.mark.parametrize("capa", [b"-ERR\r\n", b"+OK\r\nUSER\r\nUTF8\r\n.\r\n"])
    def test_it_is_not_sent_where_others_read_and_nothing_is_announced(self, name, password, capa):
        script = far_away()
        with pytest.raises(LocalProtocolError, match=r'not ASCII.*password_encoding="utf-8"'):
            script.run(login(script.session, Password(name, password)), capa)
        assert script.heard == [b"CAPA\r\n"]

    @pytest.mark.parametrize("capa", [b"-ERR\r\n", b"+OK\r\nUSER\r\n.\r\n"])
    @pytest.mark.parametrize("where", [Script, secured])
    def test_it_is_sent_under_verified_tls_and_on_loopback(self, name, password, where, capa):
        script = where()
        more = [capa] if b"USER" in capa else []
        script.run(login(script.session, Password(name, password)), capa, b"+OK\r\n", b"+OK\r\n", *more)
        assert script.heard[1:3] == [f"USER {name}\r\n".encode(), f"PASS {password}\r\n".encode()]

    @pytest.mark.parametrize("where", [Script, far_away])
    def test_it_is_sent_where_it_is_announced(self, name, password, where):
        script = where()
        capa = b"+OK\r\nUTF8 USER\r\n.\r\n"
        script.run(login(script.session, Password(name, password)), capa, b"+OK\r\n", b"+OK\r\n", capa)
        assert script.heard[1:3] == [f"USER {name}\r\n".encode(), f"PASS {password}\r\n".encode()]

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252"])
    @pytest.mark.parametrize("where", [Script, secured, far_away])
    def test_it_is_sent_as_the_caller_says(self, name, password, where, encoding):
        script = where()
        procedure = login(script.session, Password(name, password), password_encoding=encoding)
        script.run(procedure, b"-ERR\r\n", b"+OK\r\n", b"+OK\r\n")
        assert script.heard[1:3] == [f"USER {name}\r\n".encode(encoding), f"PASS {password}\r\n".encode(encoding)]

    @pytest.mark.parametrize("encoding", ["ascii", "utf-16", "there is none", "rot13", "undefined"])
    def test_it_is_not_sent_in_an_encoding_that_does_not_do(self, name, password, encoding):
        script = Script()
        with pytest.raises(LocalProtocolError) as refusal:
            script.run(login(script.session, Password(name, password), password_encoding=encoding), b"-ERR\r\n")
        assert script.heard == [b"CAPA\r\n"]
        text = "".join(traceback.format_exception(refusal.value))
        assert not any(word in text for word in ("jörg", "pässword", "p\\xe4ssword"))

    @pytest.mark.parametrize("refused", [b"-ERR never heard of\r\n", b"+OK\r\n"])
    def test_a_refusal_shows_the_name_as_it_was_given(self, name, password, refused):
        script = Script()
        procedure = login(script.session, Password(name, password), password_encoding="latin-1")
        failure = failing(script, procedure, b"-ERR\r\n", refused, *([NO] if refused == b"+OK\r\n" else []))
        text = str(failure)
        assert text == text.encode().decode(), "it can be printed"
        assert (f"USER {name}" in text) == (refused != b"+OK\r\n")

    def test_no_encoding_overrides_the_rule_about_clear_passwords(self, name, password):
        script = far_away("loopback")
        with pytest.raises(LocalProtocolError, match="no usable login method"):
            script.run(login(script.session, Password(name, password), password_encoding="latin-1"), b"-ERR\r\n")

    def test_plain_takes_it(self, name, password):
        script = Script()
        script.run(login(script.session, Password(name, password)), CAPA, b"+OK\r\n", CAPA)
        assert base64.b64decode(script.heard[1].split()[2]) == f"\0{name}\0{password}".encode()


def test_nothing_is_sent_in_clear_unasked():
    script = Script(may_show_password=False)
    with pytest.raises(LocalProtocolError, match=r"no usable login method: PLAIN, USER/PASS: it shows the password"):
        script.run(login(script.session, Password("ann", SECRET)), CAPA)
    assert script.heard == [b"CAPA\r\n"]
    script.run(learn_capabilities(script.session), CAPA)


@pytest.mark.parametrize("capa", [CAPA, b"+OK\r\n.\r\n"])
@pytest.mark.parametrize("name,password", [("", "x"), ("ann", ""), ("an\rn", "x"), ("ann", "x\ny"), ("ann", "\0")])
def test_what_cannot_be_sent_is_refused_before_the_first_of_it_is(capa, name, password):
    script = Script()
    with pytest.raises(LocalProtocolError):
        script.run(login(script.session, Password(name, password)), capa)
    assert script.heard == [b"CAPA\r\n"]
    assert script.connection.state is State.AUTHORIZATION


@pytest.mark.parametrize("length,fits", [(248, True), (249, False)])
def test_a_password_that_does_not_fit_is_refused_before_the_name_is_sent(length, fits):
    script = Script()
    if fits:
        script.run(login(script.session, Password("ann", "x" * length)), b"-ERR\r\n", b"+OK\r\n", b"+OK\r\n")
        return
    with pytest.raises(LocalProtocolError, match="255 octets"):
        script.run(login(script.session, Password("ann", "x" * length)), b"-ERR\r\n")
    assert script.heard == [b"CAPA\r\n"]


@pytest.mark.parametrize(
    "answers,tried",
    [
        pytest.param([CAPA, b"-ERR [AUTH] no\r\n"], Auth("PLAIN", b"\0ann\0tanstaaf"), id="PLAIN"),
        pytest.param([b"-ERR\r\n", b"-ERR [AUTH] no\r\n"], User("ann"), id="USER"),
        pytest.param([b"-ERR\r\n", b"+OK\r\n", b"-ERR [AUTH] no\r\n"], Pass("tanstaaf"), id="PASS"),
    ],
)
def test_a_login_that_is_refused(answers, tried):
    script = Script()
    with pytest.raises(LoginFailed) as failure:
        script.run(login(script.session, Password("ann", SECRET)), *answers)
    assert failure.value.attempts == (RefusedLogin(tried.redacted(), Err("[AUTH] no")),)
    assert script.connection.state is State.AUTHORIZATION
    assert SECRET not in str(failure.value) + repr(failure.value)
    assert ENCODED.decode() not in str(failure.value) + repr(failure.value)
    assert script.run(call(script.session, User("bob")), b"+OK\r\n") is None, "another try is possible"


# -------------------------------------------------------------------------------------------- authenticate


class Asked:
    """A mechanism in which the server begins; each question must have been asked."""

    name = "X-ASK"
    initial_response = None
    shows_secret = False
    failure = ""

    def __init__(self, *pairs, blocks=False):
        self._pairs = dict(pairs)
        self.blocks = blocks

    @property
    def complete(self):
        return not self._pairs

    def respond(self, challenge):
        if challenge not in self._pairs:
            raise MechanismError("no such question")
        return self._pairs.pop(challenge)


def test_a_server_that_does_not_announce_sasl_gets_the_response_on_its_own():
    script = Script()
    script.run(authenticate(script.session, PlainClient("ann", SECRET)), b"+ \r\n", b"+OK\r\n")
    assert script.heard == [b"AUTH PLAIN\r\n", ENCODED + b"\r\n"]


@pytest.mark.parametrize("length,at_once", [(175, True), (177, False)])
def test_an_initial_response_that_does_not_fit_goes_on_its_own(length, at_once):
    script = Script(capabilities=WITH_PLAIN)
    password = "x" * length
    encoded = base64.b64encode(b"\0ann\0" + password.encode())
    answers = [b"+OK\r\n"] if at_once else [b"+\r\n", b"+OK\r\n"]
    script.run(authenticate(script.session, PlainClient("ann", password)), *answers)
    joined = b"AUTH PLAIN " + encoded + b"\r\n"
    assert script.heard == ([joined] if at_once else [b"AUTH PLAIN\r\n", encoded + b"\r\n"])
    assert (len(joined) <= 255) == at_once


def test_a_mechanism_in_which_the_server_begins():
    script = Script(capabilities=Capabilities(sasl=("X-ASK",)))
    mechanism = Asked((b"", b"hello"), (b"who?", b""), (b"really?", b"yes"))
    answers = [b"+ \r\n", b"+ d2hvPw==\r\n", b"+ cmVhbGx5Pw==\r\n", b"+OK\r\n"]
    script.run(authenticate(script.session, mechanism), *answers)
    assert script.heard == [b"AUTH X-ASK\r\n", b"aGVsbG8=\r\n", b"\r\n", b"eWVz\r\n"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_challenge_out_of_place_cancels(announced):
    script = Script(capabilities=WITH_PLAIN if announced else None)
    with pytest.raises(LoginFailed) as failure:
        script.run(authenticate(script.session, PlainClient("ann", SECRET)), b"+ cmVhbGx5Pw==\r\n", b"-ERR\r\n")
    assert isinstance(failure.value.__cause__, MechanismError)
    assert script.heard[1:] == [b"*\r\n"]
    assert announced == (ENCODED in script.heard[0])
    assert script.connection.state is State.AUTHORIZATION


def test_an_empty_challenge_after_the_initial_response_cancels():
    script = Script(capabilities=WITH_PLAIN)
    with pytest.raises(LoginFailed):
        script.run(authenticate(script.session, PlainClient("ann", SECRET)), b"+ \r\n", b"-ERR\r\n")
    assert script.heard[1:] == [b"*\r\n"]


@pytest.mark.parametrize("where", ["initial", "later"])
def test_a_response_that_does_not_fit_at_all_cancels(where):
    script = Script(capabilities=Capabilities(sasl=("X-ASK", "PLAIN")))
    long = b"x" * 12_288
    mechanism = PlainClient("ann", "x" * 12_288) if where == "initial" else Asked((b"", long))
    with pytest.raises(LoginFailed) as failure:
        script.run(authenticate(script.session, mechanism), b"+ \r\n", b"-ERR cancelled\r\n")
    assert isinstance(failure.value.__cause__, LocalProtocolError)
    assert "12288" in str(failure.value.__cause__)
    assert script.heard[1:] == [b"*\r\n"]
    assert script.run(call(script.session, User("ann")), b"+OK\r\n") is None


def test_a_server_that_accepts_what_was_cancelled():
    script = Script()
    with pytest.raises(RemoteProtocolError, match="cancelled"):
        script.run(authenticate(script.session, PlainClient("ann", SECRET)), b"+ cmVhbGx5Pw==\r\n", b"+OK\r\n")


def test_a_server_that_accepts_before_it_has_seen_anything():
    """`+OK` in place of a challenge: the secret is not sent, whatever the server meant."""
    script = Script()
    with pytest.raises(RemoteProtocolError, match="accepted AUTH PLAIN before the exchange was complete"):
        script.run(authenticate(script.session, PlainClient("ann", SECRET)), b"+OK\r\n")
    assert script.heard == [b"AUTH PLAIN\r\n"]


def test_a_refused_exchange_has_no_other_cause():
    script = Script()
    with pytest.raises(LoginFailed) as failure:
        script.run(authenticate(script.session, PlainClient("ann", SECRET)), b"+ \r\n", b"-ERR\r\n")
    assert failure.value.__cause__ is None


def test_authenticate_where_it_is_not_legal(server):
    with pytest.raises(LocalProtocolError, match="not legal"):
        server.run(authenticate(server.session, PlainClient("ann", SECRET)))
    assert server.heard == []
    assert server.run(call(server.session, Noop()), b"+OK\r\n") is None


def test_what_is_no_part_of_an_exchange():
    """It cannot come from a `ClientConnection`, unless somebody else feeds it as well."""
    script = Script()
    actor = script.begin(authenticate(script.session, PlainClient("ann", SECRET)))
    script.connection.fail("cut")
    script.tell(actor, b"+ \r\n")
    with pytest.raises(RemoteProtocolError, match="no part of a SASL exchange"):
        actor.outcome()


# ---------------------------------------------------------------------------------------------- the walk

NO = b"-ERR no\r\n"
PLUS_AND_LESS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "PLAIN")
WALK = announcing("PLAIN", "CRAM-MD5", "SCRAM-SHA-256")
CRAM = [b"+ PDFAYT4=\r\n"]  # <1@a>


def verbs(script: Script) -> list[bytes]:
    """The commands that were heard, without what stands behind a mechanism's name."""
    lines = b"".join(script.heard).splitlines()
    return [
        b" ".join(line.split(b" ")[:2]) for line in lines if line[:4] in {b"AUTH", b"APOP", b"USER", b"PASS", b"CAPA"}
    ]


def test_what_is_refused_under_verified_tls_is_tried_by_the_next_way():
    script = secured(announcing("CRAM-MD5", "PLAIN"), greeting=b"+OK <1@a>\r\n")
    failure = failing(script, login(script.session, ANN), *CRAM, NO, NO, b"+OK\r\n", b"-ERR [AUTH] last\r\n")
    assert verbs(script) == [b"AUTH CRAM-MD5", b"AUTH PLAIN", b"USER ann", b"PASS tanstaaf"]
    commands = [attempt.command for attempt in failure.attempts]
    assert [type(command) for command in commands] == [Auth, Auth, Pass]
    assert [attempt.reply for attempt in failure.attempts] == [Err("no")] * 2 + [Err("[AUTH] last")]
    assert (failure.command, failure.reply, failure.code) == (Pass("***"), Err("[AUTH] last"), ResponseCode.AUTH)
    assert str(failure) == "login failed (AUTH CRAM-MD5: no; AUTH PLAIN ***: no; PASS ***: [AUTH] last)"
    assert script.connection.state is State.AUTHORIZATION
    assert script.session.broken is None


def test_three_refusals_are_the_most_of_one_login():
    """The last try is for the last step: most servers have it, and can check a password whatever they have stored."""
    script = secured(WALK)
    failure = failing(script, login(script.session, ANN), NO, NO, b"+OK\r\n", NO)
    assert verbs(script) == [b"AUTH SCRAM-SHA-256"] * 2 + [b"USER ann", b"PASS tanstaaf"]
    assert len(failure.attempts) == MOST_REFUSALS
    assert failure.left == ("CRAM-MD5", "PLAIN")
    assert str(failure).endswith(
        "not tried: CRAM-MD5, PLAIN, because 3 refusals are the most of one login; "
        "name what is to be tried next (only=)"
    )
    assert script.connection.state is State.AUTHORIZATION
    script.run(login(script.session, ANN, only=failure.left), *CRAM, b"+OK\r\n", CAPA)


@pytest.mark.parametrize("refusals", range(3))
def test_the_walk_ends_where_the_server_accepts(refusals):
    """Announced and refused, and another way works (C15)."""
    script = secured(announcing("CRAM-MD5", "PLAIN"))
    refused = [*CRAM, NO, NO][: refusals + bool(refusals)]
    accepted = [[*CRAM, b"+OK\r\n"], [b"+OK\r\n"], [b"+OK\r\n", b"+OK\r\n"]][refusals]
    script.run(login(script.session, ANN), *refused, *accepted, CAPA)
    ways = [b"AUTH CRAM-MD5", b"AUTH PLAIN", b"USER ann", b"PASS tanstaaf"]
    assert verbs(script) == [*ways[: max(1, 2 * refusals)], b"CAPA"]
    assert script.connection.state is State.TRANSACTION


@pytest.mark.parametrize("where", ["clear", "unverified", "loopback", "allowed"])
def test_what_is_refused_without_verified_tls_is_tried_by_nothing_weaker(where):
    tls = TlsInfo("TLSv1.3", verified=False) if where == "unverified" else None
    session = Session(
        ClientConnection(), loopback=where == "loopback", cleartext="always" if where == "allowed" else "loopback"
    )
    script = Script()
    script.session, script.connection = session, session.connection
    Actor(greet(session)).receive(b"+OK <1@a>\r\n").outcome()
    if tls is not None:
        session.secured(tls)
    session.learn(WALK)
    failing(script, login(session, ANN), NO, NO)
    assert verbs(script) == [b"AUTH SCRAM-SHA-256"] * 2
    assert session.connection.state is State.AUTHORIZATION


@pytest.mark.parametrize("code", ["IN-USE", "LOGIN-DELAY", "SYS/TEMP", "in-use", "SYS/TEMP/MORE"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
def test_what_another_way_would_not_change_ends_the_walk(code, mechanism):
    script = secured(announcing(mechanism, "LOGIN"))
    reply = f"-ERR [{code}] later".encode() + b"\r\n"
    failure = failing(script, login(script.session, ANN), reply)
    assert verbs(script) == [f"AUTH {mechanism}".encode()]
    assert len(failure.attempts) == 1


@pytest.mark.parametrize(
    "code,mechanism,promised,tries",
    [
        ("[AUTH]", "PLAIN", True, 1),
        ("[AUTH]", "PLAIN", False, 2),  # many servers say so to whatever they do not take
        ("[AUTH]", "SCRAM-SHA-256", True, 2),  # there may be no SCRAM keys of this user
        ("[SYS/PERM]", "PLAIN", True, 2),
        ("", "PLAIN", True, 2),
    ],
)
def test_a_password_that_was_looked_at_and_is_wrong_ends_the_walk(code, mechanism, promised, tries):
    script = secured(announcing(mechanism, auth_resp_code=promised))
    failure = failing(script, login(script.session, ANN), *[f"-ERR {code} x\r\n".encode()] * tries)
    assert len(failure.attempts) == tries
    assert verbs(script) == [f"AUTH {mechanism}".encode(), b"USER ann"][:tries]


def test_a_name_that_is_refused_gets_no_password():
    script = secured(announcing())
    failure = failing(script, login(script.session, ANN), b"-ERR never heard of\r\n")
    assert failure.attempts == (RefusedLogin(User("ann"), Err("never heard of")),)
    assert script.heard == [b"USER ann\r\n"]


@pytest.mark.parametrize("how", ["end", "end with the refusal", "farewell", "gone"])
def test_a_server_that_hangs_up_after_a_refusal(how):
    """The refusal is the news, the end of the stream is none (C13)."""
    script = secured(WALK)
    actor = script.begin(login(script.session, ANN))
    if how == "gone":
        actor.gone = True
        script.tell(actor, NO)
    elif how == "farewell":
        script.tell(actor, NO + b"-ERR too many of them\r\n")
    elif how == "end":
        script.tell(actor, NO, b"")
    else:
        actor.inbox.extend([NO, b""])
        actor.go()
    with pytest.raises(LoginFailed) as failure:
        actor.outcome()
    assert failure.value.attempts == (
        RefusedLogin(Auth("SCRAM-SHA-256", failure.value.command.initial_response), Err("no")),
    )
    assert isinstance(failure.value.__cause__, ConnectionLost)
    with pytest.raises(Broken):
        script.run(call(script.session, User("ann")))


def test_a_server_that_hangs_up_before_a_refusal():
    script = secured(WALK)
    with pytest.raises(ConnectionLost, match="before answering AUTH SCRAM-SHA-256"):
        script.run(login(script.session, ANN), b"")


def test_a_server_that_hangs_up_after_the_last_refusal():
    script = secured(announcing())
    failure = failing(script, login(script.session, ANN), NO)
    assert failure.__cause__ is None
    with pytest.raises(ConnectionLost):
        script.run(call(script.session, User("ann")), b"")


def test_what_does_not_fit_into_one_way_is_tried_by_the_next():
    """A password that cannot be prepared for SCRAM (RFC 4013), and on whose behalf one acts."""
    odd = Password("ann", "a\ue000")
    script = secured(WALK)
    script.run(login(script.session, odd), b"+OK\r\n", CAPA)
    assert verbs(script) == [b"AUTH PLAIN", b"CAPA"]
    assert base64.b64decode(script.heard[0].split()[2]) == f"\0ann\0{odd.password}".encode()
    script = secured(announcing("CRAM-MD5", "LOGIN", "PLAIN"))
    script.run(login(script.session, Password("ann", SECRET, authzid="bob")), b"+OK\r\n", CAPA)
    assert base64.b64decode(script.heard[0].split()[2]) == b"bob\0ann\0tanstaaf"


@pytest.mark.parametrize(
    "credentials,only,words",
    [
        (Password("ann", ""), ["SCRAM-SHA-256"], "SCRAM-SHA-256 cannot be used: .*empty"),
        (Password("ann\n", SECRET), ["PLAIN"], "PLAIN cannot be used: .*control characters"),
        (Password("", SECRET), ["LOGIN"], "LOGIN cannot be used: .*empty"),
        (Password("ann", "\0"), ["CRAM-MD5"], "CRAM-MD5 cannot be used"),
        (Password("ann", SECRET, authzid="bob"), ["CRAM-MD5"], "CRAM-MD5 cannot say on whose behalf"),
        (Password("ann", SECRET, authzid="bob"), ["LOGIN"], "LOGIN cannot say on whose behalf"),
        (Password("ann", "\0"), ["APOP"], "APOP cannot be used"),
        (Password("ann", "x" * 250), ["USER/PASS"], "255 octets"),
        (Password("a" * 250, "x"), ["USER/PASS"], "255 octets"),
        (Password("a" * 250, "x"), ["APOP"], "255 octets"),
        (Password("ann", "\r"), ["USER/PASS"], "password"),
        (Token("ann", "to ken"), ["OAUTHBEARER"], "the token must be visible"),
        (Token("", "token"), ["XOAUTH2"], "the user name must not be empty"),
        (Token("ann", "\u20ac"), ["XOAUTH2"], "the token must be visible"),
        (ClientCertificate("a\1"), None, "EXTERNAL cannot be used"),
        (Anonymous("x" * 256), None, "ANONYMOUS cannot be used"),
    ],
)
def test_credentials_that_do_not_fit_are_not_sent(credentials, only, words):
    script = secured(announcing("EXTERNAL", "ANONYMOUS"), greeting=b"+OK <1@a>\r\n")
    with pytest.raises(LocalProtocolError, match=words):
        script.run(login(script.session, credentials, only=only))
    assert script.heard == []
    assert script.connection.state is State.AUTHORIZATION
    assert script.run(call(script.session, User("ann")), b"+OK\r\n") is None


def test_names_of_mechanisms_in_any_case():
    script = secured(announcing())
    script.run(login(script.session, ANN, only=["plain"]), b"+ \r\n", b"+OK\r\n", CAPA)
    assert script.heard[:2] == [b"AUTH PLAIN\r\n", ENCODED + b"\r\n"]


# ---------------------------------------------------------------------------------- capabilities around it


def test_capabilities_are_asked_for_before_and_after():
    script = secured()
    after = b"+OK\r\nUIDL\r\nEXPIRE 5\r\n.\r\n"
    script.run(login(script.session, ANN), b"+OK\r\nSASL PLAIN\r\n.\r\n", b"+OK\r\n", after)
    assert verbs(script) == [b"CAPA", b"AUTH PLAIN", b"CAPA"]
    assert script.session.capabilities.uidl
    assert not script.session.capabilities.sasl


def test_without_capa_it_is_asked_for_once():
    script = secured()
    script.run(login(script.session, ANN), NO, b"+OK\r\n", b"+OK\r\n")
    assert verbs(script) == [b"CAPA", b"USER ann", b"PASS tanstaaf"]


BOUNDED = Limits(text_lines=3)
TOO_MUCH = b"+OK\r\n" + b"X-ODD\r\n" * 9 + b".\r\n"


def test_capabilities_that_make_no_sense_are_unknown():
    script = Script(connection=ClientConnection(limits=BOUNDED))
    script.run(login(script.session, ANN), TOO_MUCH, b"+OK\r\n", b"+OK\r\n")
    assert script.heard == [b"CAPA\r\n", b"USER ann\r\n", b"PASS tanstaaf\r\n"]
    assert script.session.capabilities is None
    assert script.run(call(script.session, Stat()), b"+OK 2 320\r\n") == MaildropStatus(2, 320)


def test_a_login_that_has_worked_does_not_fail_by_the_capabilities_behind_it():
    script = Script(connection=ClientConnection(limits=BOUNDED), capabilities=WITH_PLAIN)
    assert script.run(login(script.session, ANN), b"+OK\r\n", TOO_MUCH) is None
    assert script.connection.state is State.TRANSACTION
    assert script.session.capabilities is None
    assert script.run(call(script.session, Stat()), b"+OK 2 320\r\n") == MaildropStatus(2, 320)


def test_after_a_refusal_they_are_known_still():
    script = secured(WITH_PLAIN)
    failing(script, login(script.session, ANN, only=["PLAIN"]), b"-ERR [AUTH] no\r\n")
    script.run(login(script.session, ANN, only=["PLAIN"]), b"+OK\r\n", b"-ERR\r\n")
    assert verbs(script) == [b"AUTH PLAIN", b"AUTH PLAIN", b"CAPA"]
    assert script.session.capabilities is None, "what it said before login is not what it says after"


# ---------------------------------------------------------------------------------- one line or two

OAUTHBEARER = b"n,a=ann@example.org,\1auth=Bearer ya29.token\1\1"
XOAUTH2 = b"user=ann@example.org\1auth=Bearer ya29.token\1\1"
MESSAGES = {"OAUTHBEARER": OAUTHBEARER, "XOAUTH2": XOAUTH2}
REASON = b'{"status":"401","schemes":"bearer","scope":"https://mail.example.org/"}'


@pytest.mark.parametrize("empty", EMPTY_CHALLENGES)
@pytest.mark.parametrize("name", MESSAGES)
def test_in_two_lines_if_the_caller_says_so(name, empty):
    """Microsoft's cloud takes it on a line of its own only (C16)."""
    script = secured(announcing(name))
    script.run(login(script.session, TOKEN, initial_response=False), empty, b"+OK\r\n", CAPA)
    assert script.heard[:2] == [f"AUTH {name}\r\n".encode(), *encoded(MESSAGES[name])]


@pytest.mark.parametrize("name", MESSAGES)
def test_in_two_lines_if_sasl_is_not_announced(name):
    """RFC 5034 section 3: then there is no argument for the initial response."""
    script = secured()
    script.run(login(script.session, TOKEN, only=[name]), b"-ERR\r\n", b"+ \r\n", b"+OK\r\n")
    assert script.heard[1:] == [f"AUTH {name}\r\n".encode(), *encoded(MESSAGES[name])]


@given(st.integers(1, 400))
def test_in_two_lines_if_one_is_longer_than_255_octets(length):
    """RFC 5034 section 4."""
    script = secured(announcing("XOAUTH2"))
    token = Token("ann", "x" * length)
    message = b"user=ann\1auth=Bearer " + b"x" * length + b"\1\1"
    one = b"AUTH XOAUTH2 " + encoded(message)[0]
    if len(one) <= 255:
        script.run(login(script.session, token), b"+OK\r\n", CAPA)
        assert script.heard[0] == one
    else:
        script.run(login(script.session, token), b"+ \r\n", b"+OK\r\n", CAPA)
        assert script.heard[:2] == [b"AUTH XOAUTH2\r\n", *encoded(message)]


def test_in_one_line_if_nothing_speaks_against_it():
    script = secured(announcing("XOAUTH2"))
    script.run(login(script.session, TOKEN), b"+OK\r\n", CAPA)
    assert script.heard[0] == b"AUTH XOAUTH2 " + encoded(XOAUTH2)[0]


@pytest.mark.parametrize("initial_response", [True, False])
@pytest.mark.parametrize("name,credentials", [("EXTERNAL", ClientCertificate()), ("ANONYMOUS", Anonymous())])
def test_an_empty_response_at_the_start_is_not_none(name, credentials, initial_response):
    script = secured(announcing(name))
    answers = [] if initial_response else [b"+\r\n"]
    script.run(login(script.session, credentials, initial_response=initial_response), *answers, b"+OK\r\n", CAPA)
    first = f"AUTH {name}".encode()
    assert script.heard[:-1] == ([first + b" =\r\n"] if initial_response else [first + b"\r\n", b"\r\n"])


@pytest.mark.parametrize("name", ["EXTERNAL", "ANONYMOUS"])
def test_not_even_an_empty_response_counts_as_sent_before_it_is(name):
    script = secured(announcing(name))
    credentials = {"EXTERNAL": ClientCertificate(), "ANONYMOUS": Anonymous()}[name]
    with pytest.raises(RemoteProtocolError, match="before the exchange was complete"):
        script.run(login(script.session, credentials, initial_response=False), b"+OK\r\n")


class TestARefusalOfTheInitialResponse:
    """Microsoft's cloud and old servers in Java refuse AUTH with it, and take it on a line of its own."""

    @pytest.mark.parametrize("refusal", [b"-ERR\r\n", b"-ERR Protocol error\r\n", b"-ERR [no code here\r\n"])
    @pytest.mark.parametrize("name", MESSAGES)
    def test_it_is_tried_in_two_lines(self, name, refusal):
        script = secured(announcing(name))
        script.run(login(script.session, TOKEN), refusal, b"+ \r\n", b"+OK\r\n", CAPA)
        assert script.heard[0] == f"AUTH {name} ".encode() + encoded(MESSAGES[name])[0]
        assert script.heard[1:3] == [f"AUTH {name}\r\n".encode(), *encoded(MESSAGES[name])]
        assert len(script.session.attempts) == 1

    @pytest.mark.parametrize("code", ["AUTH", "SYS/PERM", "IN-USE", "X-PRIVATE"])
    @pytest.mark.parametrize("promised", [True, False])
    def test_a_response_code_is_about_something_else(self, code, promised):
        script = secured(announcing("XOAUTH2", auth_resp_code=promised))
        failure = failing(script, login(script.session, TOKEN), f"-ERR [{code}] no\r\n".encode())
        assert len(failure.attempts) == 1

    def test_a_refusal_after_a_challenge_is_about_something_else(self):
        script = secured(announcing("SCRAM-SHA-256", user=False))
        actor = script.begin(login(script.session, ANN))
        script.tell(actor, challenge(scram_first(script)))
        script.tell(actor, NO)
        with pytest.raises(LoginFailed):
            actor.outcome()
        assert verbs(script) == [b"AUTH SCRAM-SHA-256"]

    def test_it_is_tried_before_anything_weaker(self):
        script = secured(announcing("SCRAM-SHA-256", "PLAIN"))
        actor = script.begin(login(script.session, ANN))
        script.tell(actor, NO)
        assert script.heard[-1] == b"AUTH SCRAM-SHA-256\r\n"
        script.tell(actor, b"+ \r\n")
        assert base64.b64decode(script.heard[-1]).startswith(b"n,,n=ann,r=")

    def test_a_mechanism_that_is_not_announced_must_be_refused_for_its_form_in_words(self):
        """Else the refusal says what CAPA has said: that the server does not have it."""
        for name, credentials in (("EXTERNAL", ClientCertificate()), ("XOAUTH2", TOKEN)):
            script = secured(announcing("PLAIN"))
            failure = failing(script, login(script.session, credentials, only=[name]), b"-ERR no such mechanism\r\n")
            assert len(failure.attempts) == 1
            script = secured(announcing("PLAIN"))
            answers = (b"-ERR Protocol error\r\n", b"+ \r\n", b"+OK\r\n", CAPA)
            script.run(login(script.session, credentials, only=[name]), *answers)
            assert verbs(script)[:2] == [f"AUTH {name}".encode()] * 2

    def test_once_in_a_login(self):
        script = secured(announcing("SCRAM-SHA-256", "PLAIN", user=False))
        failing(script, login(script.session, ANN), NO, NO, NO)
        assert [line.count(b" ") for line in script.heard] == [2, 1, 2], "the form makes no difference to this server"

    def test_a_server_that_takes_two_lines_gets_no_other(self):
        script = secured(announcing("SCRAM-SHA-256", "PLAIN", user=False))
        actor = script.begin(login(script.session, ANN))
        script.tell(actor, NO)
        script.tell(actor, b"+ \r\n")
        script.tell(actor, NO)
        assert script.heard[-1] == b"AUTH PLAIN\r\n"

    def test_a_password_is_not_shown_once_more_where_it_is_shown_anyhow(self):
        script = secured(announcing("PLAIN"))
        failing(script, login(script.session, ANN), NO, NO)
        assert verbs(script) == [b"AUTH PLAIN", b"USER ann"]
        script = secured(announcing("PLAIN", user=False))
        script.run(login(script.session, ANN), NO, b"+ \r\n", b"+OK\r\n", CAPA)
        assert verbs(script) == [b"AUTH PLAIN", b"AUTH PLAIN", b"CAPA"]

    def test_of_two_mechanisms_for_tokens_the_last_is_tried_in_two_lines(self):
        script = secured(announcing("OAUTHBEARER", "XOAUTH2"))
        script.run(login(script.session, TOKEN), NO, NO, b"+ \r\n", b"+OK\r\n", CAPA)
        assert verbs(script) == [b"AUTH OAUTHBEARER", b"AUTH XOAUTH2", b"AUTH XOAUTH2", b"CAPA"]

    def test_never_twice_if_the_caller_wants_two_lines(self):
        script = secured(announcing("XOAUTH2"))
        failure = failing(script, login(script.session, TOKEN, initial_response=False), NO)
        assert len(failure.attempts) == 1

    def test_a_mechanism_at_hand_too(self):
        script = secured(announcing("PLAIN"))
        script.run(login_by(script.session, PlainClient("ann", SECRET)), NO, b"+ \r\n", b"+OK\r\n", CAPA)
        assert script.heard[:3] == [b"AUTH PLAIN " + ENCODED + b"\r\n", b"AUTH PLAIN\r\n", ENCODED + b"\r\n"]
        script = secured(announcing("PLAIN"))
        failure = failing(script, login_by(script.session, PlainClient("ann", SECRET)), NO, b"-ERR really\r\n")
        assert [attempt.reply.text for attempt in failure.attempts] == ["no", "really"]

    def test_one_exchange_is_one_exchange(self):
        script = secured(announcing("PLAIN"))
        failing(script, authenticate(script.session, PlainClient("ann", SECRET)), NO)


# ---------------------------------------------------------------------------------- the mechanisms' own ways


def test_login_is_asked_twice_whatever_the_words():
    script = secured(announcing("LOGIN", user=False))
    script.run(login(script.session, ANN), challenge(b"User Name\0"), challenge(b""), b"+OK\r\n", CAPA)
    assert script.heard[:3] == [b"AUTH LOGIN\r\n", *encoded(b"ann", b"tanstaaf")]


def test_cram_md5():
    script = secured(announcing("CRAM-MD5", user=False))
    script.run(
        login(script.session, Password("tim", "tanstaaftanstaaf")),
        b"+ PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n",
        b"+OK\r\n",
        CAPA,
    )  # RFC 2195 section 2
    assert script.heard[1] == b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n"


def test_apop():
    script = secured(greeting=b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n")
    script.run(login(script.session, Password("mrose", "tanstaaf")), NO, b"+OK\r\n")  # RFC 1939 section 7
    assert script.heard[1] == b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n"


def test_scram_is_computed_where_it_holds_up_nobody_and_from_chance():
    script = secured(announcing("SCRAM-SHA-256"))
    actor = script.begin(login(script.session, ANN))
    [(count)] = [operation.count for operation in actor.performed if isinstance(operation, Random)]
    assert count >= 16
    nonce = base64.b64encode(bytes(count))
    assert base64.b64decode(script.heard[0].split()[2]) == b"n,,n=ann,r=" + nonce
    assert not any(isinstance(operation, Run) for operation in actor.performed)
    script.tell(actor, challenge(b"r=" + nonce + b"x,s=c2FsdA==,i=4096"))
    assert any(isinstance(operation, Run) for operation in actor.performed)


def test_what_blocks_is_computed_elsewhere_and_what_does_not_in_place():
    for blocks in (True, False):
        script = secured(announcing("X-ASK"))
        actor = script.begin(authenticate(script.session, Asked((b"who?", b"me"), blocks=blocks)))
        script.tell(actor, challenge(b"who?"), b"+OK\r\n")
        assert actor.outcome() is None
        assert any(isinstance(operation, Run) for operation in actor.performed) == blocks


@pytest.mark.parametrize(
    "bindings,announced,header",
    [
        ((), ("SCRAM-SHA-256",), b"n,,"),
        ((), ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), b"n,,"),
        ((BINDING,), ("SCRAM-SHA-256",), b"y,,"),
        ((BINDING,), ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), b"p=tls-server-end-point,,"),
        ((ChannelBinding("tls-unique", b"x"), BINDING), ("SCRAM-SHA-256-PLUS",), b"p=tls-unique,,"),
    ],
)
def test_the_flag_tells_the_truth_about_binding(bindings, announced, header):
    """RFC 5802 section 6."""
    script = secured(announcing(*announced), tls=TlsInfo("TLSv1.3", verified=True, bindings=bindings))
    script.begin(login(script.session, ANN))
    assert base64.b64decode(script.heard[0].split()[2]).startswith(header + b"n=ann,r=")


def test_a_binding_that_the_caller_knows_comes_first():
    script = secured(announcing("SCRAM-SHA-256-PLUS"), tls=TlsInfo("TLSv1.3", verified=True, bindings=(BINDING,)))
    script.begin(login(script.session, ANN, binding=ChannelBinding("tls-exporter", b"e" * 32)))
    assert base64.b64decode(script.heard[0].split()[2]).startswith(b"p=tls-exporter,,n=ann,r=")
    assert script.session.tls.bindings[1] == BINDING
    in_clear = Script()
    with pytest.raises(LocalProtocolError, match="no TLS channel to bind to"):
        in_clear.run(login(in_clear.session, ANN, binding=ChannelBinding("tls-exporter", b"e" * 32)))
    assert in_clear.heard == []


@pytest.mark.parametrize("reply", [b"-ERR\r\n", b"-ERR [AUTH] no\r\n"])
@pytest.mark.parametrize("said", [[], [b"e=channel-bindings-dont-match"]])
def test_nothing_clear_follows_what_binds_to_the_channel(said, reply):
    """Somebody in the middle who has a certificate that is trusted cannot answer it, and must not get a password."""
    capabilities = Capabilities(
        sasl=("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "PLAIN"), user=True, auth_resp_code=True
    )
    script = secured(capabilities, tls=TlsInfo("TLSv1.3", verified=True, bindings=(BINDING,)))
    actor = script.begin(login(script.session, ANN))
    for text in said:
        script.tell(actor, challenge(text))
    while not actor.finished:
        script.tell(actor, reply)
    assert isinstance(actor.error, LoginFailed)
    assert {verb for verb in verbs(script) if verb.startswith(b"AUTH")} <= {
        b"AUTH SCRAM-SHA-256-PLUS",
        b"AUTH SCRAM-SHA-256",
    }
    assert b"tanstaaf" not in b"".join(script.heard)


@pytest.mark.parametrize("refusal", [b"-ERR no\r\n", b"-ERR [AUTH] bad protocol / cancel\r\n"])
def test_the_refusal_of_what_binds_judges_the_binding_alone(refusal):
    """Cyrus 3.6 over TLS 1.3 knows no binding that we know, and says [AUTH] to it: SCRAM without one is tried once."""
    capabilities = announcing(*PLUS_AND_LESS, auth_resp_code=True)
    script = secured(capabilities, tls=TlsInfo("TLSv1.3", verified=True, bindings=(BINDING,)))
    actor = script.begin(login(script.session, ANN))
    script.tell(actor, challenge(scram_first(script)))
    script.tell(actor, refusal)
    assert base64.b64decode(script.heard[-1].split()[2]).startswith(b"n,,n=ann,r="), "we could have bound"
    script.tell(actor, challenge(scram_first(script)))
    script.tell(actor, b"-ERR [AUTH] no\r\n")
    with pytest.raises(LoginFailed):
        actor.outcome()
    assert verbs(script) == [b"AUTH SCRAM-SHA-256-PLUS", b"AUTH SCRAM-SHA-256"]


def test_the_refusal_of_what_binds_is_the_end_without_verified_tls():
    script = secured(announcing(*PLUS_AND_LESS), tls=TlsInfo("TLSv1.3", verified=False, bindings=(BINDING,)))
    failing(script, login(script.session, ANN), b"-ERR [AUTH] no\r\n")
    assert verbs(script) == [b"AUTH SCRAM-SHA-256-PLUS"]


@pytest.mark.parametrize("name,farewell", [("XOAUTH2", b""), ("OAUTHBEARER", b"\1")])
@pytest.mark.parametrize("initial_response", [True, False])
def test_a_token_that_is_refused_with_a_reason(name, farewell, initial_response):
    """RFC 7628 section 3.2.3, and what Google and Microsoft do (C16)."""
    script = secured(announcing(name))
    answers = [challenge(REASON), b"-ERR [AUTH] Web login required\r\n"]
    procedure = login(script.session, TOKEN, initial_response=initial_response)
    failure = failing(script, procedure, *([] if initial_response else [b"+ \r\n"]), *answers)
    assert script.heard[-1] == encoded(farewell)[0]
    [attempt] = failure.attempts
    assert json.loads(attempt.detail) == json.loads(REASON)
    assert attempt.reply == Err("[AUTH] Web login required")
    assert REASON.decode() in str(failure)
    assert "ya29" not in str(failure) + repr(failure) + repr(failure.attempts)
    assert script.connection.state is State.AUTHORIZATION


def test_a_token_that_is_refused_once_and_then_accepted():
    """A server that says no and then yes is not believed."""
    script = secured(announcing("OAUTHBEARER"))
    with pytest.raises(RemoteProtocolError, match="before the exchange was complete"):
        script.run(login(script.session, TOKEN), challenge(REASON), b"+OK\r\n")


def test_a_token_is_tried_with_the_other_mechanism_unless_it_was_looked_at():
    script = secured(announcing("XOAUTH2", "OAUTHBEARER"))
    script.run(login(script.session, TOKEN), NO, b"+OK\r\n", CAPA)
    assert verbs(script) == [b"AUTH OAUTHBEARER", b"AUTH XOAUTH2", b"CAPA"]
    script = secured(announcing("XOAUTH2", "OAUTHBEARER"))
    failure = failing(script, login(script.session, TOKEN), challenge(REASON), NO)
    assert [attempt.command.mechanism for attempt in failure.attempts] == ["OAUTHBEARER"]


def test_a_password_that_was_looked_at_is_tried_once_more_and_in_clear():
    """A server may keep the digest of some passwords only; what it keeps of one is then another's to judge."""
    capabilities = Capabilities(sasl=("SCRAM-SHA-256", "CRAM-MD5", "PLAIN"), user=True, auth_resp_code=True)
    script = secured(capabilities)
    failure = failing(script, login(script.session, ANN), b"-ERR [AUTH] no\r\n", b"-ERR [AUTH] no\r\n")
    assert [attempt.command.mechanism for attempt in failure.attempts] == ["SCRAM-SHA-256", "PLAIN"]


def test_a_server_that_refuses_inside_the_exchange_is_refusing_and_no_more():
    """SCRAM's own word for it (RFC 5802 section 7): the next way is tried, under verified TLS."""
    script = secured(announcing("SCRAM-SHA-256", "PLAIN"))
    script.run(login(script.session, ANN), challenge(b"e=unknown-user"), b"-ERR\r\n", b"+OK\r\n", CAPA)
    assert verbs(script) == [b"AUTH SCRAM-SHA-256", b"AUTH PLAIN", b"CAPA"]
    script = secured(announcing("SCRAM-SHA-256", user=False))
    failure = failing(script, login(script.session, ANN), challenge(b"e=no-resources"), b"-ERR\r\n")
    assert failure.attempts[0].detail == "no-resources"
    assert script.heard[1:] == [b"*\r\n"]


@pytest.mark.parametrize("line", [b"+ not base64!\r\n", b"+ YQ\r\n", b"+ YQ==x\r\n", b"+ =\r\n"])
class TestAChallengeThatIsNotBase64:
    """RFC 5034 section 4: the exchange is cancelled, and the session goes on."""

    def test_it_is_no_challenge_to_answer(self, line):
        script = secured(announcing("LOGIN"))
        failure = failing(script, login(script.session, ANN, only=["LOGIN"]), line, b"-ERR as you wish\r\n")
        assert script.heard == [b"AUTH LOGIN\r\n", b"*\r\n"]
        assert failure.attempts == (RefusedLogin(Auth("LOGIN"), Err("as you wish")),)
        assert isinstance(failure.__cause__, MalformedReply)
        assert str(failure.__cause__) == "the server sent a challenge for AUTH LOGIN that is not valid base64"
        assert script.run(call(script.session, User("ann")), b"+OK\r\n") is None

    def test_the_next_method_is_tried(self, line):
        script = secured(announcing("CRAM-MD5", "PLAIN"))
        script.run(login(script.session, ANN), line, b"-ERR\r\n", b"+OK\r\n", CAPA)
        assert verbs(script) == [b"AUTH CRAM-MD5", b"AUTH PLAIN", b"CAPA"]

    def test_nothing_weaker_is_without_verified_tls(self, line):
        script = Script(capabilities=announcing("SCRAM-SHA-256", "CRAM-MD5", "PLAIN"))
        failing(script, login(script.session, ANN), line, b"-ERR\r\n")
        assert verbs(script) == [b"AUTH SCRAM-SHA-256"]

    def test_a_server_that_goes_on_is_not_believed(self, line):
        for answer in (b"+OK\r\n", b"+ \r\n"):
            script = secured(announcing("LOGIN"))
            with pytest.raises(RemoteProtocolError):
                script.run(login(script.session, ANN, only=["LOGIN"]), line, answer)


def test_challenges_without_end_are_not_answered_without_end():
    script = secured(announcing("LOGIN"))
    with pytest.raises(RemoteProtocolError, match="challenge"):
        script.run(login(script.session, ANN, only=["LOGIN"]), *[b"+ \r\n"] * 4)
    assert script.heard[-1] == b"*\r\n"


@given(st.data())
def test_whatever_the_server_says_it_is_answered_or_an_error(data):
    """In any exchange, of any mechanism: nothing but the documented errors."""
    credentials = data.draw(st.sampled_from([ANN, TOKEN, ClientCertificate(), Anonymous()]))
    kinds = [name for name, entry in CLIENT_MECHANISMS.items() if isinstance(credentials, entry.takes)]
    tls = TlsInfo("TLSv1.3", verified=data.draw(st.booleans()), bindings=(BINDING,))
    script = secured(Capabilities(sasl=tuple(kinds), user=True), tls=tls, timeout=60)
    only = data.draw(st.none() | st.sampled_from(kinds).map(lambda name: [name]))
    lines = (
        st.binary(max_size=30).map(challenge)
        | st.sampled_from([b"+OK\r\n", b"-ERR\r\n", b"+ \r\n", b"-ERR [AUTH] x\r\n", b""])
        | st.binary(max_size=10)
    )
    actor = script.begin(login(script.session, credentials, only=only))
    for _ in range(40):
        if actor.finished:
            break
        script.tell(actor, data.draw(lines))
    else:
        actor.sleep(60)
    try:
        actor.outcome()
    except (LoginFailed, RemoteProtocolError, ConnectionLost, TimedOut, LocalProtocolError) as error:
        text = "".join(traceback.format_exception(error)) + repr(error)
        assert not any(secret in text for secret in (SECRET, "ya29", ENCODED.decode()))
    else:
        assert script.connection.state is State.TRANSACTION


# ------------------------------------------------------------------------------------------ authenticate


def test_what_shows_a_secret_is_not_sent_where_it_must_not_be():
    script = Script(may_show_password=False, capabilities=WITH_PLAIN)
    with pytest.raises(LocalProtocolError, match="PLAIN shows the password or token, and there is no verified TLS"):
        script.run(authenticate(script.session, PlainClient("ann", SECRET)))
    assert script.heard == []
    script.run(learn_capabilities(script.session), CAPA)
    script.run(authenticate(script.session, Asked((b"", b""))), b"+ \r\n", b"+OK\r\n")


def test_nothing_is_begun_while_a_body_is_read(server):
    exchange = Pipeline(server.session, [Noop()])
    server.begin(exchange.begin())
    exchange.locked = True
    with pytest.raises(Busy):
        server.run(login(server.session, ANN, only=["PLAIN"]))
    with pytest.raises(LocalProtocolError, match="not open"):
        Body(exchange, Noop()).poll()


@pytest.mark.parametrize("limit,asked,computed", [(None, 600_000, True), (None, 600_001, False), (5_000, 5_001, False)])
def test_how_much_a_server_lets_us_compute_is_a_limit(limit, asked, computed, monkeypatch):
    monkeypatch.setattr(ScramHash, "salted_password", lambda *_: b"x" * 32)
    connection = ClientConnection(tls=True, limits=Limits() if limit is None else Limits(scram_iterations=limit))
    script = Script(may_show_password=False, connection=connection, capabilities=announcing("SCRAM-SHA-256"))
    script.session.context = attrs.evolve(script.session.context, tls=VERIFIED)
    actor = script.begin(login(script.session, ANN, only=["SCRAM-SHA-256"]))
    first = scram_first(script).replace(b"i=4096", b"i=%d" % asked)
    script.tell(actor, challenge(first))
    assert (script.heard[-1] != b"*\r\n") == computed
    if not computed:
        script.tell(actor, b"-ERR\r\n")
        with pytest.raises(LoginFailed) as failure:
            actor.outcome()
        assert f"asks for {asked:,} SCRAM iterations" in str(failure.value.__cause__)
        assert "raise Limits.scram_iterations" in str(failure.value.__cause__)


# --------------------------------------------------------------------------------------------- deadlines


def test_a_whole_login_has_one_deadline():
    script = Script(timeout=60)
    actor = script.begin(login(script.session, Password("ann", SECRET)))
    for answer in (b"-ERR\r\n", b"+OK\r\n"):
        actor.sleep(25)
        script.tell(actor, answer)
    assert not actor.finished
    actor.sleep(10)
    with pytest.raises(TimedOut):
        actor.outcome()


def test_a_login_by_mechanism_has_a_deadline():
    script = Script(timeout=60, capabilities=WITH_PLAIN)
    actor = script.begin(authenticate(script.session, PlainClient("ann", SECRET)))
    with pytest.raises(TimedOut):
        actor.sleep(60).outcome()


@pytest.mark.parametrize("last", range(6))
def test_whatever_it_does_a_login_has_one_deadline(last):
    """Questions before, refusals, and questions after: each answer comes soon, and all of them too late."""
    script = secured(timeout=60)
    answers = [b"+OK\r\nUSER\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n", *CRAM, NO, NO, b"+OK\r\n", b"+OK\r\n"]
    actor = script.begin(login(script.session, ANN))
    for number, answer in enumerate(answers):
        if number == last:
            break
        script.tell(actor, answer)
        assert not actor.finished
        actor.sleep(10)
    assert {operation.until for operation in actor.performed if hasattr(operation, "until")} == {1_060.0}
    actor.sleep(59 - 10 * last)
    assert not actor.finished
    with pytest.raises((TimedOut, LoginFailed)) as error:
        actor.sleep(1).outcome()
    refused = [(), (), (), ("CRAM-MD5",), ("CRAM-MD5", "PLAIN"), ("CRAM-MD5", "PLAIN")][last]
    if refused:
        assert tuple(attempt.command.mechanism for attempt in error.value.attempts) == refused
        assert isinstance(error.value.__cause__, TimedOut)
    else:
        assert isinstance(error.value, TimedOut)


def test_a_deadline_is_that_of_one_login():
    script = secured(WITH_PLAIN, timeout=60)
    clock = script.begin(login(script.session, ANN, only=["PLAIN"])).clock
    clock.now += 1
    script = secured(WITH_PLAIN, timeout=60)
    failing(script, login(script.session, ANN, only=["PLAIN"]), b"-ERR [AUTH] no\r\n")
    actor = Actor(login(script.session, ANN, only=["PLAIN"]))
    actor.clock.now += 1_000
    assert actor.receive(b"+OK\r\n", CAPA).outcome() is None


# ---------------------------------------------------------------------------------- against our own server


def meeting(credentials, *, only=None, tls=None, authenticator=None, **arguments):
    """A login and a STAT at our own server, over no wire at all."""
    authenticator = authenticator or MemoryTokenAuthenticator({"ann": SECRET}, {"ya29.token": "ann@example.org"})
    mode = "none" if tls is None else "implicit"
    store = FakeStore(b"Subject: 1\n\n", b"")
    serving = Serving(store, authenticator, mode=mode, tls=tls or VERIFIED, mechanisms=SERVER_MECHANISMS)
    session = Session(ClientConnection(tls=tls is not None), loopback=True)

    def client():
        if tls is not None:
            session.secured(tls)
        yield from greet(session)
        yield from login(session, credentials, only=only, **arguments)
        return (yield from call(session, Stat()))

    actor = Actor(client(), serving.actor.clock)
    talk(actor, serving.actor, piece=7)
    return actor


BY_PASSWORD = [
    *(name for name, entry in CLIENT_MECHANISMS.items() if entry.takes is Password),
    *("APOP", "USER/PASS"),
]


@pytest.mark.parametrize("initial_response", [True, False])
@pytest.mark.parametrize("name", BY_PASSWORD)
def test_our_client_and_our_server_know_each_way(name, initial_response):
    tls = TlsInfo("TLSv1.3", verified=True, bindings=(BINDING,))
    actor = meeting(ANN, only=[name], tls=tls, initial_response=initial_response)
    assert actor.outcome() == MaildropStatus(2, 14)
    wrong = meeting(Password("ann", "wrong"), only=[name], tls=tls, initial_response=initial_response)
    with pytest.raises(LoginFailed, match=r"\[AUTH\] wrong name or password"):
        wrong.outcome()


@pytest.mark.parametrize("initial_response", [True, False])
@pytest.mark.parametrize("name", MESSAGES)
def test_our_client_and_our_server_know_tokens(name, initial_response):
    assert meeting(TOKEN, only=[name], initial_response=initial_response).outcome() == MaildropStatus(2, 14)
    with pytest.raises(LoginFailed, match=r"\[AUTH\]") as failure:
        meeting(Token("ann@example.org", "old"), only=[name], initial_response=initial_response).outcome()
    assert json.loads(failure.value.attempts[0].detail)["status"] in {"invalid_token", "400"}


@given(st.sampled_from(["ann", "ann,=é", "jörg ß"]), st.sampled_from(["tanstaaf", "pä ss", "ﬁ½", ",=,"]))
def test_our_client_and_our_server_agree_on_names_and_passwords(name, password):
    authenticator = MemoryTokenAuthenticator({name: password}, {}, scram_algorithms=["SHA-256"])
    for way in ("SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5"):
        assert meeting(Password(name, password), only=[way], authenticator=authenticator).outcome().count == 2


def test_a_mechanism_that_is_known_by_another_name_to_the_caller_alone():
    entry = ClientEntry(Password, Strength.BOUND, CLIENT_MECHANISMS["PLAIN"].make)
    script = Script(may_show_password=False, capabilities=announcing("X-STRONG"))
    with pytest.raises(LocalProtocolError, match="PLAIN shows the password"):
        script.run(login(script.session, ANN, mechanisms={"X-STRONG": entry}))
    assert script.heard == [], "the mechanism knows what it shows, whatever the table says"


def test_attempts_are_values():
    attempt = RefusedLogin(Auth("PLAIN", b"x"), Err("no"), "because")
    assert attempt == attrs.evolve(attempt)
    assert str(attempt) == "AUTH PLAIN ***: no (because)"
    assert str(RefusedLogin(User("ann"), Err())) == "USER ann: -ERR"


@pytest.mark.parametrize("limit", [12_288, 20_000])
def test_a_token_as_long_as_a_line_may_be(limit):
    connection = ClientConnection(tls=True, limits=Limits(sasl_line=limit))
    script = Script(may_show_password=False, connection=connection, capabilities=announcing("XOAUTH2"))
    script.session.context = attrs.evolve(script.session.context, tls=VERIFIED)
    token = Token("ann", "x" * ((limit - 2) // 4 * 3 - len(b"user=ann\1auth=Bearer \1\1")))
    script.run(login(script.session, token), b"+ \r\n", b"+OK\r\n", CAPA)
    assert limit - 4 < len(script.heard[1]) <= limit
    script = Script(may_show_password=False, connection=ClientConnection(tls=True), capabilities=announcing("XOAUTH2"))
    script.session.context = attrs.evolve(script.session.context, tls=VERIFIED)
    failure = failing(script, login(script.session, Token("ann", "x" * 20_000)), b"+ \r\n", b"-ERR\r\n")
    assert isinstance(failure.__cause__, LocalProtocolError)
    assert script.heard[-1] == b"*\r\n"


def test_names_that_are_one_name():
    script = secured(announcing("PLAIN"))
    with pytest.raises(TypeError, match="a list of names"):
        script.run(login(script.session, ANN, only="PLAIN"))
    assert script.heard == []


def test_a_plan_is_made_once_the_server_was_asked():
    script = Script()
    with pytest.raises(LocalProtocolError, match=r"call capa\(\) first"):
        planned(script.session, ANN)
    script.run(learn_capabilities(script.session), CAPA)
    assert [step.name for step in planned(script.session, ANN, only=["plain"]).steps] == ["PLAIN"]


def test_a_session_that_is_over_says_so():
    script = Script()
    script.session.end("the line was cut")
    with pytest.raises(Broken, match="the line was cut"):
        script.run(login(script.session, ANN))
    assert script.heard == []
