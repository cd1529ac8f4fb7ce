"""Whoever is in the middle, or poses as the server, gets no password, and no login that counts.

Each test is one way to cheat. Whatever the client writes is searched for the password: as it is, and in every coding.
"""

import base64
import binascii
import contextlib
import re
import socket
import ssl
import threading

import attrs
import pytest
import trustme
from hypothesis import given, strategies as st

from pop3proto._io import peers as _peers
from pop3proto._io.tls import client_context
from pop3proto.authenticators.memory import MemoryTokenAuthenticator
from pop3proto.blocking import connect, serve
from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Capa, Stat
from pop3proto.core.errors import CertificateError, ConnectionLost, LocalProtocolError, Pop3Error, RemoteProtocolError
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.states import State
from pop3proto.procedures.client.calls import call
from pop3proto.procedures.client.commands import establish, greet, start_tls
from pop3proto.procedures.client.login import login
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.operations import StartTls
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.channel import ChannelBinding, TlsInfo
from pop3proto.sasl.credentials import Anonymous, ClientCertificate, Password, Token
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.registry import CLIENT_MECHANISMS, SERVER_MECHANISMS
from pop3proto.sasl.scram.keys import ScramKeys
from pop3proto.sasl.scram.mechanisms import ScramServer
from tests.helpers.drivers import TLS, Actor, FakeStore, Script, Serving
from tests.helpers.processes import join

PATIENCE = 30  # seconds until a test that hangs fails
SECRET = "tanstaaf-Sesam-4711"
TOKEN = "ya29.Sesam-4711-token"
ANN = Password("ann", SECRET)
OURS = ChannelBinding("tls-server-end-point", b"\1" * 32)
THEIRS = ChannelBinding("tls-server-end-point", b"\2" * 32)
BOUND = TlsInfo("TLSv1.3", verified=False, bindings=(OURS,))
CREDENTIALS = {type(each): each for each in (ANN, Token("ann", TOKEN), ClientCertificate(), Anonymous())}
EVERYTHING = Capabilities(sasl=tuple(CLIENT_MECHANISMS), user=True, auth_resp_code=True)
BARE = Capabilities()

# Where a login may be: what the session knows of the line.
WHERE = {
    "in clear": {},
    "cleartext is allowed": {"cleartext": "always"},
    "loopback": {"loopback": True},
    "TLS, not verified": {"tls": TlsInfo("TLSv1.3", verified=False)},
    "TLS, not verified, cleartext is allowed": {"tls": BOUND, "cleartext": "always"},
    "TLS, not verified, loopback": {"tls": BOUND, "loopback": True},
}
NOWHERE = [where for where in WHERE if "allowed" not in where and "loopback" not in where]
"""Where nobody has said that a password may be shown."""


def betrayals(octets, secret):
    """How a secret can be read from octets; nothing if it cannot."""
    raw = secret.encode()
    found = ["raw"] if raw.lower() in octets.lower() else []
    found += ["reversed"] if raw[::-1] in octets else []
    found += ["hexadecimal"] if raw.hex().encode() in octets.lower() else []
    for shift in range(3):  # wherever it begins in what was coded
        coded = base64.b64encode(b"x" * shift + raw).strip(b"=")
        if coded[4 * (shift > 0) : -2] in octets:
            found.append("base64")
    for word in re.split(rb"[\s,]+", octets):
        with contextlib.suppress(binascii.Error):
            decoded = base64.b64decode(_padded(word))
            if raw in decoded or any(raw in part for part in _decoded(decoded)):
                found.append("base64 of a line")
    return found


def _decoded(message):
    for part in re.split(rb"[,=\0\1 ]", message):
        with contextlib.suppress(binascii.Error):
            yield base64.b64decode(_padded(part))


def _padded(word):
    return word + b"=" * (-len(word) % 4)


def keeps_its_secrets(octets):
    return not betrayals(octets, SECRET) and not betrayals(octets, TOKEN)


def client(where, capabilities=None, greeting=b"+OK <1@a>\r\n", **arguments):
    """A session on some line, whose peer is the test."""
    arguments = {**(WHERE[where] if isinstance(where, str) else where), **arguments}
    tls = arguments.pop("tls", None)
    script = Script()
    script.connection = ClientConnection(tls=tls is not None)
    script.session = Session(script.connection, **arguments)
    Actor(greet(script.session)).receive(greeting).outcome()
    if tls is not None:
        script.session.secured(tls)
    script.session.learn(capabilities)
    return script


def cheated(script, procedure, *answers):
    """Run a procedure against answers, then the end of stream; return what it raised. It must not have come far."""
    actor = script.begin(procedure)
    for answer in [*answers, b""]:
        if not actor.finished:
            script.tell(actor, answer)
    with pytest.raises(Pop3Error) as error:
        actor.outcome()
    assert keeps_its_secrets(b"".join(script.heard))
    assert script.connection.state is not State.TRANSACTION
    return error.value


def challenge(octets):
    return b"+ " + base64.b64encode(octets) + b"\r\n"


def messages_of(script):
    """What the client has said inside SASL exchanges, decoded."""
    words = [line.split(b" ")[-1] for line in b"".join(script.heard).split(b"\r\n")]
    return [base64.b64decode(word) for word in words if re.fullmatch(rb"[A-Za-z0-9+/]{8,}=*", word)]


# -------------------------------------------------------------------------------- can these tests fail?


@pytest.mark.parametrize("prefix", [b"", b"\0ann\0", b"x", b"xy", b"user=ann\1auth=Bearer "])
def test_the_search_finds_what_it_looks_for(prefix):
    octets = prefix + SECRET.encode() + b"\1\1"
    assert betrayals(octets, SECRET)
    assert betrayals(b"AUTH X " + base64.b64encode(octets) + b"\r\n", SECRET)
    assert betrayals(octets.hex().encode(), SECRET)
    assert betrayals(base64.b64encode(b"n=ann,x=" + base64.b64encode(octets)), SECRET)
    assert not betrayals(b"AUTH X " + base64.b64encode(b"\0ann\0another secret") + b"\r\n", SECRET)


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "USER/PASS", "OAUTHBEARER", "XOAUTH2"])
def test_the_search_finds_what_is_sent_where_it_may_be(name):
    script = client({"tls": TLS}, EVERYTHING)
    credentials = CREDENTIALS[Token if "2" in name or name[0] == "O" else Password]
    actor = script.begin(login(script.session, credentials, only=[name]))
    answers = [challenge(b""), challenge(b"")] if name == "LOGIN" else [b"+OK\r\n"]
    script.tell(actor, *answers[: 2 if name != "USER/PASS" else 1])
    assert not keeps_its_secrets(b"".join(script.heard))


# -------------------------------------------------------------------------------------------------- STLS

INJECTED = [
    b"+OK\r\nSASL PLAIN\r\n.\r\n",
    b"+OK\r\n",
    b"-ERR\r\n",
    b"+",
    b"\0",
    b"\r\n",
    b"+OK\r\n.\r\n+OK\r\n+OK\r\n+OK logged in\r\n",
]


@pytest.mark.parametrize("injected", INJECTED)
@pytest.mark.parametrize("mode", ["establish", "by hand"])
def test_octets_behind_the_answer_to_stls(injected, mode):
    """They would be read as if TLS had protected them (RFC 2595 section 9, C28)."""
    session = Session(ClientConnection(), loopback=True)

    def procedure():
        if mode == "establish":
            yield from establish(session, "starttls")
        else:
            yield from greet(session)
            yield from start_tls(session)
        yield from login(session, ANN)

    actor = Actor(procedure()).receive(b"+OK ready\r\n", b"+OK begin TLS\r\n" + injected)
    with pytest.raises(RemoteProtocolError, match="data after its answer to STLS"):
        actor.outcome()
    assert actor.take() == b"STLS\r\n"
    assert not any(isinstance(operation, StartTls) for operation in actor.performed), "nor is there a handshake"
    assert session.tls is None
    assert session.connection.state is State.CLOSED


@given(st.binary(min_size=1, max_size=20), st.data())
def test_any_octets_behind_it_however_they_are_cut(injected, data):
    answer = b"+OK\r\n" + injected
    cut = data.draw(st.integers(1, 4), "the last octet of the answer comes with what is behind it")
    session = Session(ClientConnection())
    actor = Actor(establish(session, "starttls")).receive(b"+OK ready\r\n", answer[:cut], answer[cut:])
    with pytest.raises(RemoteProtocolError, match="after its answer to STLS"):
        actor.outcome()
    assert actor.take() == b"STLS\r\n"


@pytest.mark.parametrize("early", [b"+OK begin\r\n", b"+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n"])
def test_an_answer_to_stls_that_comes_before_the_question(early):
    session = Session(ClientConnection())
    actor = Actor(establish(session, "starttls")).receive(b"+OK ready\r\n" + early)
    with pytest.raises(RemoteProtocolError, match="although no command was outstanding"):
        actor.outcome()
    assert actor.take() == b""


@pytest.mark.parametrize("answer", [b"-ERR\r\n", b"-ERR unknown command\r\n", b"-ERR [SYS/TEMP] later\r\n+OK\r\n"])
def test_stls_that_is_refused_is_the_end(answer):
    session = Session(ClientConnection(), loopback=True)
    actor = Actor(establish(session, "starttls")).receive(b"+OK ready\r\n", answer)
    with pytest.raises(CommandFailed, match="refused STLS"):
        actor.outcome()
    assert actor.take() == b"STLS\r\n"


@pytest.mark.parametrize("answer", [b"+OKAY\r\n", b"OK\r\n", b"+ \r\n", b"* OK\r\n", b"+OK", b""])
def test_what_is_no_answer_to_stls_is_the_end(answer):
    session = Session(ClientConnection(), loopback=True)
    actor = Actor(establish(session, "starttls")).receive(b"+OK ready\r\n", answer, b"")
    with pytest.raises((RemoteProtocolError, ConnectionLost)):
        actor.outcome()
    assert actor.take() == b"STLS\r\n"
    assert session.tls is None


def test_stls_is_not_skipped_because_it_is_not_announced():
    """Nobody is asked: whoever hides it cannot keep it from being demanded."""
    actor = Actor(establish(Session(ClientConnection()), "starttls")).receive(b"+OK ready\r\n")
    assert actor.take() == b"STLS\r\n"


def test_what_was_said_before_tls_counts_for_nothing_after_it():
    """Capabilities without SASL, or with PLAIN alone, and a timestamp: all of it from whoever is in the middle."""
    for before in (b"+OK\r\nSTLS\r\nSASL PLAIN\r\n.\r\n", b"+OK\r\nSTLS\r\n.\r\n"):
        script = client("in clear")
        script.run(call(script.session, Capa()), before)
        script.session.learn(Capabilities(sasl=("PLAIN",), stls=True))
        script.run(start_tls(script.session), b"+OK\r\n", b"+OK\r\nSASL SCRAM-SHA-256 PLAIN\r\n.\r\n")
        assert script.session.capabilities == Capabilities(sasl=("SCRAM-SHA-256", "PLAIN"))
        script.begin(login(script.session, ANN))
        assert script.heard[-1].startswith(b"AUTH SCRAM-SHA-256 ")


@pytest.mark.parametrize("only", [None, ["APOP"]])
def test_a_timestamp_of_before_tls_is_not_used_after_it(only):
    """Somebody else may have chosen it, so as to guess the password from the digest."""
    script = client("in clear", greeting=b"+OK <0000@attacker.example>\r\n")
    assert script.session.context.timestamp is not None
    script.run(start_tls(script.session), b"+OK\r\n", b"+OK\r\nUSER\r\n.\r\n")
    if only is not None:
        with pytest.raises(LocalProtocolError, match="APOP: the server's greeting has no timestamp for it, or came be"):
            script.run(login(script.session, ANN, only=only))
    else:
        script.begin(login(script.session, ANN))
    assert b"APOP" not in b"".join(script.heard)


@pytest.mark.parametrize("where", WHERE)
def test_apop_is_not_chosen_because_everything_else_is_hidden(where):
    script = client(where, BARE)
    script.session.context = attrs.evolve(script.session.context, timestamp="<0000@attacker.example>")
    actor = script.begin(login(script.session, ANN))
    assert actor.finished == (where in NOWHERE)
    assert b"APOP" not in b"".join(script.heard)


# -------------------------------------------------------------------------------- what is not announced


@pytest.mark.parametrize(
    "capa", [b"-ERR\r\n", *[b"+OK\r\n%b.\r\n" % line for line in (b"", b"USER\r\n", b"SASL PLAIN LOGIN XOAUTH2\r\n")]]
)
@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize("credentials", [ANN, CREDENTIALS[Token]])
def test_a_list_without_what_protects_the_password(capa, where, credentials):
    script = client(where)
    error = cheated(script, login(script.session, credentials), capa)
    assert isinstance(error, LocalProtocolError)
    assert script.heard == [b"CAPA\r\n"]
    assert script.session.survives(error)


@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize("name", [*sorted(CLIENT_MECHANISMS), "USER/PASS"])
def test_not_even_if_it_is_asked_for(where, name):
    entry = CLIENT_MECHANISMS.get(name)
    script = client(where, EVERYTHING)
    script.session.context = attrs.evolve(script.session.context, timestamp=None)
    actor = script.begin(login(script.session, CREDENTIALS[entry.takes if entry else Password], only=[name]))
    if not actor.finished:
        script.tell(actor, challenge(b"<1@a>"), b"-ERR\r\n")
    assert keeps_its_secrets(b"".join(script.heard))
    if entry is None or entry.strength.name == "CLEAR":
        assert isinstance(actor.error, LocalProtocolError)
        assert script.heard == []


def in_the_middle(client_tls, server_tls, edit, credentials=ANN, **arguments):
    """Our client and our server, and what passes between them edited, line by line; and what the client has written."""
    authenticator = MemoryTokenAuthenticator({"ann": SECRET}, {TOKEN: "ann"}, scram_algorithms=["SHA-256"])
    options = {"loopback": False, "mechanisms": SERVER_MECHANISMS}
    serving = Serving(FakeStore(b"x\n"), authenticator, mode="implicit", tls=server_tls, **options)
    session = Session(ClientConnection(tls=True), **arguments)

    def procedure():
        session.secured(client_tls)
        yield from greet(session)
        yield from login(session, credentials)
        return (yield from call(session, Stat()))

    actor, server = Actor(procedure(), serving.actor.clock), serving.actor.go()
    written = b""
    while not actor.finished:
        answer = server.take()
        actor.receive(b"".join(map(edit, answer.splitlines(keepends=True))))  # b"": the server is gone
        said = actor.take()
        written += said
        if said:
            server.receive(said)
    if not server.finished:
        server.receive(b"")
    return actor, written


def without_plus(line):
    return b" ".join(word for word in line.split(b" ") if b"-PLUS" not in word) if line.startswith(b"SASL ") else line


def test_a_list_without_plus_is_noticed_by_the_server():
    """The client could bind and saw nothing to bind by: it says so ("y"), and that is signed (RFC 5802 section 6)."""
    server_tls = TlsInfo("TLSv1.3", verified=False, bindings=(THEIRS,))
    actor, written = in_the_middle(BOUND, server_tls, without_plus)
    with pytest.raises(LoginFailed, match=r"AUTH SCRAM-SHA-256 \*\*\*: \[AUTH\]"):
        actor.outcome()
    assert written.count(b"AUTH") == 1, "and nothing else is tried"
    assert base64.b64decode(re.search(rb"AUTH SCRAM-SHA-256 (\S+)", written)[1]).startswith(b"y,,n=ann,r=")
    assert keeps_its_secrets(written)


def test_the_flag_cannot_be_changed_on_the_way():
    """The middle says "n" for the client: what the client signs begins with "y"."""
    keys = ScramKeys.derive("SHA-256", SECRET, b"salt", 4_096)
    server = ScramServer("SHA-256", lambda user: keys, nonce="servers", plus_announced=True)
    script = client({"tls": BOUND}, Capabilities(sasl=("SCRAM-SHA-256",)))
    actor = script.begin(login(script.session, ANN))
    [first] = messages_of(script)
    assert first.startswith(b"y,,")
    script.tell(actor, challenge(server.respond(b"n" + first[1:])))
    with pytest.raises(Pop3Error, match="the channel binding does not match"):
        server.respond(messages_of(script)[-1])


def test_somebody_with_a_certificate_of_their_own_who_lets_all_pass():
    """Both sides have TLS, each with whoever is in the middle: the proof holds for another channel."""
    actor, written = in_the_middle(BOUND, TlsInfo("TLSv1.3", verified=False, bindings=(THEIRS,)), lambda line: line)
    with pytest.raises(LoginFailed, match=r"AUTH SCRAM-SHA-256-PLUS \*\*\*: \[AUTH\]"):
        actor.outcome()
    assert written.count(b"AUTH") == 1
    assert keeps_its_secrets(written)


@pytest.mark.parametrize("bindings", [(OURS,), ()])
def test_nobody_in_the_middle(bindings):
    """The same, and nobody cheats: with a binding, and at a server that knows of none ("y" is the truth)."""
    server_tls = TlsInfo("TLSv1.3", verified=False, bindings=bindings)
    actor, written = in_the_middle(BOUND, server_tls, lambda line: line)
    assert actor.outcome().count == 1
    assert keeps_its_secrets(written)


@pytest.mark.parametrize("allowed", [{"loopback": True}, {"cleartext": "always"}])
def test_a_list_without_plus_hopes_in_vain_for_a_password_that_might_be_shown(allowed):
    server_tls = TlsInfo("TLSv1.3", verified=False, bindings=(THEIRS,))
    actor, written = in_the_middle(BOUND, server_tls, without_plus, **allowed)
    assert isinstance(actor.error, LoginFailed)
    assert keeps_its_secrets(written)


# --------------------------------------------------------------------------- a refusal that hopes for more

REFUSALS = [
    [b"-ERR\r\n", b"-ERR\r\n"],  # the same mechanism, without an initial response
    [b"-ERR [AUTH] try PLAIN\r\n"],
    [b"-ERR [SYS/PERM] SCRAM is broken here\r\n"],
    [challenge(b"e=unknown-user"), b"-ERR\r\n"],
    [challenge(b"e=channel-binding-not-supported"), b"-ERR\r\n"],
    [challenge(b""), b"-ERR\r\n"],
    [challenge(b"rubbish"), b"-ERR\r\n"],
    [challenge(b"r=x,s=c2FsdA==,i=4096"), b"-ERR\r\n"],
    [b"+ \r\n", b"-ERR\r\n"],
    [b""],
]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("where", WHERE)
def test_a_refused_scram_that_hopes_for_less(where, refusal):
    """Also where a password may be shown: nobody has said that it must be (C15)."""
    script = client(where, Capabilities(sasl=("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"), user=True))
    error = cheated(script, login(script.session, ANN), *refusal)
    assert isinstance(error, ConnectionLost if refusal == [b""] else LoginFailed)
    said = b"".join(script.heard)
    assert set(re.findall(rb"AUTH (\S+)", said)) == {b"SCRAM-SHA-256"}
    assert not re.search(rb"^(USER|PASS|APOP)", said, re.MULTILINE)


@pytest.mark.parametrize("where", WHERE)
def test_a_refused_plus_that_hopes_for_less(where):
    script = client(where, EVERYTHING)
    cheated(script, login(script.session, ANN), b"-ERR\r\n", b"-ERR\r\n")
    bound = "tls" in WHERE[where] and WHERE[where]["tls"].bindings
    tried = b"SCRAM-SHA-512-PLUS" if bound else b"SCRAM-SHA-512"
    assert {line.split()[1] for line in script.heard} == {tried}


@pytest.mark.parametrize("where", [*NOWHERE, "loopback", "cleartext is allowed"])
def test_a_refused_digest_that_hopes_for_a_password(where):
    script = client(where, Capabilities(sasl=("CRAM-MD5", "PLAIN"), user=True))
    only = ["CRAM-MD5", "PLAIN"] if where in NOWHERE else None  # it is not chosen unasked there
    cheated(script, login(script.session, ANN, only=only), challenge(b"<1@a>"), b"-ERR\r\n")
    assert b"".join(script.heard).count(b"AUTH ") == 1


@pytest.mark.parametrize("where", WHERE)
def test_it_may_be_refused_as_often_as_it_likes(where):
    script = client(where, Capabilities(sasl=("SCRAM-SHA-256", "PLAIN"), user=True))
    for _ in range(5):
        actor = script.begin(login(script.session, ANN))
        for _ in range(2):  # with an initial response, and without
            script.tell(actor, b"-ERR\r\n")
        assert isinstance(actor.error, LoginFailed)
    assert {line.split()[1] for line in script.heard} == {b"SCRAM-SHA-256"}


# --------------------------------------------------------------------------------------- a false SCRAM server


def server_first(said, *, nonce=None, iterations=b"4096", salt=b"c2FsdA=="):
    """A false server's first message; it continues the client's nonce unless it is told otherwise."""
    clients = said[-1].rpartition(b",r=")[2]
    return b"r=%b,s=%b,i=%b" % (clients + b"more" if nonce is None else nonce(clients), salt, iterations)


def false_scram(where, first, final=None, *, name="SCRAM-SHA-256", after=(b"+OK logged in\r\n",)):
    """A login at a server that poses as another; the error, and all that the client has said in the exchange.

    Args:
        where: of `WHERE`, or else.
        first: arguments of its first message.
        final: its last message, given all that the client has said; None: there is none.
        name: of the mechanism.
        after: what it says when it should be over.
    """
    script = client(where, Capabilities(sasl=(name, "PLAIN"), user=True))
    actor = script.begin(login(script.session, ANN))
    script.tell(actor, challenge(server_first(messages_of(script), **first)))
    if final is not None and not actor.finished:
        script.tell(actor, challenge(final(messages_of(script))))
    for answer in (*after, b"-ERR\r\n", b""):
        if not actor.finished:
            script.tell(actor, answer)
    assert keeps_its_secrets(b"".join(script.heard))
    assert script.connection.state is not State.TRANSACTION
    with pytest.raises(Pop3Error) as error:
        actor.outcome()
    return error.value, script


EVERYWHERE = {**WHERE, "verified TLS": {"tls": TLS}}
false_everywhere = pytest.mark.parametrize("where", EVERYWHERE.values(), ids=EVERYWHERE)


@pytest.mark.deep(keep=40)
@false_everywhere
@pytest.mark.parametrize(
    "signature", [b"", b"x", b"v=", *[b"v=" + base64.b64encode(each) for each in (bytes(32), b"x", b"x" * 4_000)]]
)
@pytest.mark.parametrize("after", [(b"+OK\r\n",), (b"-ERR\r\n",)])
def test_a_wrong_signature(where, signature, after):
    """It does not know the password: it is given up, also under TLS that was verified, and nothing else is tried."""
    error, script = false_scram(where, {}, lambda _: signature, after=after)
    if after == (b"+OK\r\n",):
        assert isinstance(error, RemoteProtocolError), "it was cancelled, and accepted all the same"
    else:
        assert isinstance(error, LoginFailed)
        assert isinstance(error.__cause__, MechanismError)
    assert script.heard[-1] == b"*\r\n"
    assert b"".join(script.heard).count(b"AUTH ") == 1


@false_everywhere
def test_no_signature(where):
    error, script = false_scram(where, {})
    assert isinstance(error, RemoteProtocolError)
    assert "before the exchange was complete" in str(error)
    assert not script.session.survives(error)
    assert b",p=" in messages_of(script)[-1], "its last words were the proof"


@false_everywhere
def test_a_signature_of_another_exchange(where):
    """It has listened to one before, and plays that again."""
    keys = ScramKeys.derive("SHA-256", SECRET, b"salt", 4_096)
    other = ScramServer("SHA-256", lambda user: keys, nonce="servers")
    script = client({"tls": TLS}, Capabilities(sasl=("SCRAM-SHA-256",)))
    actor = script.begin(login(script.session, ANN))
    script.tell(actor, challenge(other.respond(messages_of(script)[-1])))
    signature = other.respond(messages_of(script)[-1])
    assert signature.startswith(b"v=")
    error, _ = false_scram(where, {}, lambda _: signature, after=(b"-ERR\r\n",))
    assert isinstance(error.__cause__, MechanismError)
    script.tell(actor, challenge(signature), b"+OK\r\n", b"-ERR\r\n")
    assert actor.outcome() is None, "there, it is the right one"


@false_everywhere
@pytest.mark.parametrize("iterations", [b"1", b"4095", b"1000000000", b"600001", b"0", b"-1", b"9" * 30, b"x", b""])
def test_an_iteration_count_that_serves_to_guess_or_to_keep_busy(where, iterations):
    error, script = false_scram(where, {"iterations": iterations}, after=(b"-ERR\r\n",))
    assert isinstance(error, LoginFailed)
    assert isinstance(error.__cause__, MechanismError)
    assert script.heard[1:] == [b"*\r\n"], "there is no proof to guess from"


@false_everywhere
@pytest.mark.parametrize(
    "nonce",
    [
        pytest.param(lambda clients: b"another", id="another"),
        pytest.param(lambda clients: clients, id="nothing is added"),
        pytest.param(lambda clients: clients[:-1], id="cut"),
        pytest.param(lambda clients: b"x" + clients, id="in front"),
        pytest.param(lambda clients: clients.swapcase() + b"x", id="in another case"),
        pytest.param(lambda clients: clients + b"x" * 2_100, id="very long"),
        pytest.param(lambda clients: b"", id="none"),
    ],
)
def test_a_nonce_that_does_not_continue_ours(where, nonce):
    error, script = false_scram(where, {"nonce": nonce}, after=(b"-ERR\r\n",))
    assert isinstance(error.__cause__, MechanismError)
    assert script.heard[1:] == [b"*\r\n"]


@pytest.mark.parametrize("salt", [b"", b"?", b"c2FsdA", b"c2FsdA==,m=x"])
def test_a_first_message_that_is_none(salt):
    error, script = false_scram("in clear", {"salt": salt}, after=(b"-ERR\r\n",))
    assert isinstance(error.__cause__, MechanismError)
    assert script.heard[1:] == [b"*\r\n"]


@false_everywhere
def test_a_proof_is_given_once(where):
    """The same question again, with fewer iterations perhaps, is no question."""
    script = client(where, Capabilities(sasl=("SCRAM-SHA-256", "PLAIN")))
    actor = script.begin(login(script.session, ANN))
    first = challenge(server_first(messages_of(script)))
    script.tell(actor, first, first, b"-ERR\r\n")
    assert isinstance(actor.error, LoginFailed)
    assert [message for message in messages_of(script) if b",p=" in message] == [messages_of(script)[1]]
    assert keeps_its_secrets(b"".join(script.heard))


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(list(WHERE)))
def test_nothing_but_scram_is_ever_said_to_a_false_server(one, other, where):
    """Whatever it answers: a first message, perhaps a proof, and that it is cancelled."""
    script = client(where, Capabilities(sasl=("SCRAM-SHA-256", "PLAIN")))
    cheated(script, login(script.session, ANN), challenge(one), challenge(other), b"+OK\r\n")
    first, *rest = script.heard
    assert first.startswith(b"AUTH SCRAM-SHA-256 ")
    assert rest in ([], [b"*\r\n"])


# ----------------------------------------------------------------------- `+OK` in place of a challenge


@pytest.mark.parametrize("name", CLIENT_MECHANISMS)
def test_a_positive_answer_in_place_of_the_first_challenge(name):
    """C11: the mechanism has said nothing yet, so nobody can have been logged in by it."""
    entry = CLIENT_MECHANISMS[name]
    script = client({"tls": attrs.evolve(TLS, bindings=(OURS,))}, EVERYTHING)
    procedure = login(script.session, CREDENTIALS[entry.takes], only=[name], initial_response=False)
    error = cheated(script, procedure, b"+OK\r\n")
    assert isinstance(error, RemoteProtocolError)
    assert script.heard == [f"AUTH {name}\r\n".encode()]


FIRST_CHALLENGE = {"LOGIN": b"Username:", "CRAM-MD5": b"<1@a>"}


@pytest.mark.parametrize("name", [name for name in CLIENT_MECHANISMS if "SCRAM" in name or name in FIRST_CHALLENGE])
@pytest.mark.parametrize("initial_response", [True, False])
def test_a_positive_answer_in_place_of_any_challenge(name, initial_response):
    """As long as the server has not proved itself, or the client not said all."""
    script = client({"tls": attrs.evolve(TLS, bindings=(OURS,))}, EVERYTHING)
    actor = script.begin(login(script.session, ANN, only=[name], initial_response=initial_response))
    if "SCRAM" in name:
        if not initial_response:
            script.tell(actor, b"+ \r\n")
        before_proof = len(script.heard)
        script.tell(actor, challenge(server_first(messages_of(script))))
        assert len(script.heard) == before_proof + 1
    elif name == "LOGIN":
        script.tell(actor, challenge(FIRST_CHALLENGE[name]))
    script.tell(actor, b"+OK\r\n")
    assert isinstance(actor.error, RemoteProtocolError)
    assert script.connection.state is State.CLOSED
    assert keeps_its_secrets(b"".join(script.heard))


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "CRAM-MD5", "LOGIN"])
def test_a_positive_answer_at_once(name):
    script = client({"tls": attrs.evolve(TLS, bindings=(OURS,))}, EVERYTHING)
    assert isinstance(cheated(script, login(script.session, ANN, only=[name]), b"+OK\r\n"), RemoteProtocolError)


@pytest.mark.parametrize("where", WHERE)
def test_a_positive_answer_to_user_is_no_login(where):
    """It is only the first half; the second is not sent where it must not be."""
    script = client(where, Capabilities(user=True))
    actor = script.begin(login(script.session, ANN))
    script.tell(actor, *[b"+OK logged in\r\n"] * (0 if actor.finished else 1))
    assert script.connection.state is not State.TRANSACTION
    assert keeps_its_secrets(b"".join(script.heard)) == (where in NOWHERE)


# ---------------------------------------------------------------------------------- over real sockets


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def trusting(authority):
    context = client_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def far_away(monkeypatch):
    """No password goes in clear: the peer is not of this machine."""
    monkeypatch.setattr(_peers, "is_loopback", lambda _: False)


class Attacker(threading.Thread):
    """Accepts one connection and does with it what it likes; what it reads first it keeps.

    Args:
        deed: is given the attacker and its connection.
    """

    def __init__(self, deed):
        super().__init__(daemon=True)
        self._deed = deed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = b""
        self.start()

    def run(self):
        connection, _ = self._listener.accept()
        connection.settimeout(PATIENCE)
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"+OK ready <1@a>\r\n")
            self._deed(self, connection)
            while self.listen(connection):
                pass

    def listen(self, connection):
        octets = connection.recv(65_536)
        self.heard += octets
        return octets

    def wait_for(self, connection, ending):
        while not self.heard.endswith(ending):
            assert self.listen(connection), self.heard

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        join(self)
        assert keeps_its_secrets(self.heard)


def log_in(port, context, host="localhost"):
    with connect(host, port, tls="starttls", context=context, timeout=PATIENCE) as connected:
        connected.login("ann", SECRET)


@pytest.mark.usefixtures("far_away")
class TestStlsOverSockets:
    def test_octets_in_the_same_segment(self, trusting):
        def deed(self, connection):
            self.wait_for(connection, b"STLS\r\n")
            connection.sendall(b"+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\n")

        with Attacker(deed) as attacker, pytest.raises(RemoteProtocolError, match="data after its answer to STLS"):
            log_in(attacker.port, trusting)
        assert attacker.heard == b"STLS\r\n"

    @pytest.mark.parametrize("genuine", [True, False])
    def test_octets_in_the_next_segment_before_the_handshake(self, trusting, authority, genuine):
        """Those come when the client has begun to shake hands; the genuine server may answer behind them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)

        def deed(self, connection):
            self.wait_for(connection, b"STLS\r\n")
            connection.sendall(b"+OK\r\n")
            assert connection.recv(1, socket.MSG_PEEK) == b"\x16"  # a handshake, so the answer has been read
            connection.sendall(b"+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\n")
            if genuine:
                context.wrap_socket(connection.dup(), server_side=True).close()

        with Attacker(deed) as attacker, pytest.raises(ConnectionLost, match="the TLS handshake failed"):
            log_in(attacker.port, trusting)
        assert attacker.heard.startswith(b"STLS\r\n")
        assert attacker.heard[6:7] in {b"", b"\x15", b"\x16"}, "behind it TLS, and no command"

    @pytest.mark.parametrize("answer", [b"-ERR\r\n", b"-ERR no\r\n+OK\r\n+OK\r\n"])
    def test_stls_that_is_refused(self, trusting, answer):
        def deed(self, connection):
            self.wait_for(connection, b"STLS\r\n")
            connection.sendall(answer)

        with Attacker(deed) as attacker, pytest.raises(CommandFailed, match="refused STLS"):
            log_in(attacker.port, trusting)
        assert attacker.heard == b"STLS\r\n"

    def test_the_end_of_the_stream_in_place_of_the_handshake(self, trusting):
        def deed(self, connection):
            self.wait_for(connection, b"STLS\r\n")
            connection.sendall(b"+OK\r\n")
            connection.shutdown(socket.SHUT_WR)

        with Attacker(deed) as attacker, pytest.raises(ConnectionLost):
            log_in(attacker.port, trusting)

    @pytest.mark.parametrize("whose", ["nobody's", "another name's"])
    def test_a_certificate_that_is_not_the_servers(self, trusting, authority, whose):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer = trustme.CA() if whose == "nobody's" else authority
        issuer.issue_cert("localhost" if whose == "nobody's" else "attacker.example").configure_cert(context)

        def deed(self, connection):
            self.wait_for(connection, b"STLS\r\n")
            connection.sendall(b"+OK\r\n")
            with context.wrap_socket(connection.dup(), server_side=True) as tls:
                self.heard += tls.recv(65_536)

        with (
            Attacker(deed) as attacker,
            pytest.raises(CertificateError, match=r"certificate of localhost, port \d+, was not accepted"),
        ):
            log_in(attacker.port, trusting)
        assert attacker.heard == b"STLS\r\n"

    def test_old_tls(self, trusting, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")

        def deed(self, connection):
            self.wait_for(connection, b"STLS\r\n")
            connection.sendall(b"+OK\r\n")
            context.wrap_socket(connection.dup(), server_side=True).close()

        with Attacker(deed) as attacker, pytest.raises(ConnectionLost, match="handshake failed"):
            log_in(attacker.port, trusting)

    @pytest.mark.parametrize("edit", [without_plus, lambda line: line], ids=["without -PLUS", "unchanged"])
    def test_somebody_who_has_tls_with_both_sides(self, authority, edit, tmp_path):
        """The client was told not to verify. It shows no password; and its proof is of no use at the server."""
        careless = client_context()
        careless.check_hostname = False
        careless.verify_mode = ssl.CERT_NONE
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(theirs)
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
        authenticator = MemoryTokenAuthenticator({"ann": SECRET}, {}, scram_algorithms=["SHA-256"])
        service = Service(
            store=FakeStore(b"x\n"),
            authenticator=authenticator,
            mechanisms=SERVER_MECHANISMS,
            failure_delay=0,
            login_penalty=None,
        )

        def deed(self, connection):
            self.wait_for(connection, b"STLS\r\n")
            connection.sendall(b"+OK\r\n")
            with (
                socket.create_connection(server.address, PATIENCE) as clear,
                theirs.wrap_socket(connection.dup(), server_side=True) as tls,
            ):
                assert clear.recv(65_536).startswith(b"+OK")
                clear.sendall(b"STLS\r\n")
                assert clear.recv(65_536).startswith(b"+OK")
                with careless.wrap_socket(clear) as genuine:
                    while said := tls.recv(65_536):
                        self.heard += said
                        genuine.sendall(said)
                        answer = genuine.recv(65_536)
                        while answer.startswith(b"+OK capa") and not answer.endswith(b"\r\n.\r\n"):
                            answer += genuine.recv(65_536)
                        tls.sendall(b"".join(map(edit, answer.splitlines(keepends=True))))

        with (
            serve(service, tls="starttls", certificate=tmp_path / "pem") as server,
            Attacker(deed) as attacker,
            pytest.raises(LoginFailed, match=r"AUTH SCRAM-SHA-256(-PLUS)? \*\*\*: \[AUTH\] wrong name or password"),
        ):
            log_in(attacker.port, careless)
        assert attacker.heard.count(b"AUTH ") == 1
