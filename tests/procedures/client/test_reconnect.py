"""A login that goes on over another connection: where it does, where it stops, and that it never gets weaker."""

import base64
from collections import deque

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.client import ClientConnection
from pop3proto.core.errors import (
    Broken,
    CertificateError,
    ConnectionLost,
    LocalProtocolError,
    Pop3Error,
    RemoteProtocolError,
    TimedOut,
)
from pop3proto.core.limits import Limits, Quirk
from pop3proto.core.refusals import LoginFailed, SessionRefused
from pop3proto.core.replies import Ok
from pop3proto.core.states import State
from pop3proto.procedures.client.commands import establish, learn_capabilities, start_tls
from pop3proto.procedures.client.login import login, login_by, planned
from pop3proto.procedures.client.login_walk import MOST_REFUSALS
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.operations import NewConnection, Now, Random, Read, Reconnect, Run, StartTls, Write
from pop3proto.sasl.channel import ChannelBinding, SessionInfo, TlsInfo
from pop3proto.sasl.credentials import Password, Token
from pop3proto.sasl.external import ExternalClient
from pop3proto.sasl.md5 import apop_digest
from pop3proto.sasl.mechanism import Strength
from pop3proto.sasl.plain import PlainClient
from pop3proto.sasl.registry import ClientEntry

ANN = Password("ann", "tanstaaf")
TOKEN = Token("ann@example.org", "ya29.token")
BINDING = ChannelBinding("tls-server-end-point", b"\1" * 32)
VERIFIED = TlsInfo("TLSv1.3", verified=True)
STAMPED = b"+OK ready <1896.697170952@dbc.mtview.ca.us>\r\n"
NO = b"-ERR authentication failed\r\n"
PROTOCOL_ERROR = (
    b"-ERR Protocol error. Connection is closed. 10\r\n"  # as Microsoft's cloud refuses the initial response
)
UNTRUSTED = CertificateError(
    "the certificate is for another host", host="pop.example.org", port=995, reason="for another host"
)
HANG_UP = b""


def capa(*lines: str) -> bytes:
    return b"".join(line.encode() + b"\r\n" for line in ("+OK", *lines, "."))


class Line:
    """One connection to a scripted server.

    Args:
        answers: by verb, one for each time that it is heard; HANG_UP after an answer ends the connection.
        greeting: the server's; b"" hangs up at once.
        tls: the result of the handshake, or what is raised.
        loopback: whether the server is on this machine.
    """

    def __init__(self, answers, *, greeting=b"+OK ready\r\n", tls=VERIFIED, loopback=False):
        self.heard = []
        self.over = not greeting
        self.tls = tls
        self.loopback = loopback
        self.outgoing = deque([greeting] if greeting else [])
        self._answers = {verb: deque(several) for verb, several in answers.items()}

    def hear(self, octets):
        for line in octets.splitlines():
            self.heard.append(line)
            verb = line.split(b" ")[0].decode()
            if self.over:
                return
            for answer in self._answers[verb if verb in self._answers else "*"].popleft():
                if answer == HANG_UP:
                    self.over = True
                else:
                    self.outgoing.append(answer)

    @property
    def verbs(self):
        """What was heard, without arguments; a mechanism's name is none."""
        words = [line.decode().split(" ") for line in self.heard]
        return [" ".join(each[: 1 + (each[0] == "AUTH")]) for each in words]


class World:
    """The connections that a client gets, in order.

    Args:
        lines: each a `Line`, or what is raised in place of the connection.
        broken_pipe: writing to a connection that is over fails.
        seconds: that pass with each connection.
        silence: a server that says nothing more is a timeout; else the test fails.
    """

    def __init__(self, *lines, broken_pipe=False, seconds=0.0, silence=False):
        self.lines = deque(lines)
        self.now = 1_000.0
        self.operations = []
        self._broken_pipe = broken_pipe
        self._seconds = seconds
        self._silence = silence
        self.line = self.lines.popleft()

    def run(self, procedure):
        """Run a procedure to its end; return or raise what it does."""
        step = procedure.send
        value = None
        while True:
            try:
                operation = step(value)
            except StopIteration as end:
                return end.value
            self.operations.append(operation)
            try:
                step, value = procedure.send, self._perform(operation)
            except Exception as error:  # noqa: BLE001 - it belongs to the procedure
                step, value = procedure.throw, error

    def _perform(self, operation):
        match operation:
            case Read():
                if self.line.outgoing:
                    return self.line.outgoing.popleft()
                if self._silence and not self.line.over:
                    raise TimedOut("nothing came in time")
                assert self.line.over, f"the client waits for ever: {self.line.heard}"
                return b""
            case Write(octets):
                if self.line.over and self._broken_pipe:
                    raise ConnectionLost("the connection broke while something was sent")
                self.line.hear(octets)
                return None
            case StartTls():
                if isinstance(self.line.tls, Exception):
                    raise self.line.tls
                return self.line.tls
            case Reconnect(until):
                return self._reconnect(until)
            case _:
                return self._ask(operation)

    def _ask(self, operation):
        match operation:
            case Now():
                return self.now
            case Random(count):
                return bytes(count)
            case Run():
                return operation.call()
        raise AssertionError(operation)

    def _reconnect(self, until):
        self.now += self._seconds
        if until is not None and until <= self.now:
            raise TimedOut("no connection in time")
        assert self.lines, "the client connects once too often"
        line = self.lines.popleft()
        if isinstance(line, Exception):
            raise line
        self.line = line
        return NewConnection(SessionInfo("192.0.2.1", id=77), loopback=line.loopback)

    @property
    def connections(self):
        return 1 + sum(isinstance(operation, Reconnect) for operation in self.operations)


def session_of(world, mode="implicit", *, reconnects=True, cleartext="loopback", loopback=False, timeout=None, **more):
    """A session over the first connection."""
    session = Session(
        ClientConnection(tls=mode == "implicit"),
        reconnects=reconnects,
        cleartext=cleartext,
        loopback=loopback,
        timeout=timeout,
        **more,
    )
    world.run(establish(session, mode))
    return session


def failing(world, procedure):
    with pytest.raises(LoginFailed) as failure:
        world.run(procedure)
    return failure.value


USER_PASS = {"USER": [[b"+OK\r\n"]], "PASS": [[b"+OK\r\n"]]}
CAPA_USER = capa("USER", "UIDL")


def apop_refused(**more):
    """Refuses APOP, and hangs up."""
    return Line({"CAPA": [[CAPA_USER]], "APOP": [[NO, HANG_UP]]}, greeting=STAMPED, **more)


def taking_passwords(**more):
    return Line({"CAPA": [[CAPA_USER], [CAPA_USER]]} | USER_PASS, greeting=STAMPED, **more)


# ------------------------------------------------------------------------------------------- it goes on


@pytest.mark.parametrize("broken_pipe", [False, True], ids=["end of stream", "reset"])
class TestAHangUpAfterARefusal:
    def test_of_apop(self, broken_pipe):
        first, second = apop_refused(), taking_passwords()
        world = World(first, second, broken_pipe=broken_pipe)
        session = session_of(world)
        world.run(login(session, ANN))
        assert first.verbs[:2] == ["CAPA", "APOP"]
        assert second.verbs == ["CAPA", "USER", "PASS", "CAPA"]
        assert session.connection.state is State.TRANSACTION
        assert session.broken is None
        assert (session.info.id, session.info.user, session.info.tls) == (77, "ann", VERIFIED)
        assert session.last_reply == Ok()

    def test_of_auth(self, broken_pipe):
        capabilities = capa("SASL CRAM-MD5 PLAIN", "USER")
        first = Line({"CAPA": [[capabilities]], "AUTH": [[b"+ PDFAYT4=\r\n"]], "*": [[NO, HANG_UP]]})
        second = Line({"CAPA": [[capabilities]], "AUTH": [[NO, HANG_UP]]})
        third = Line({"CAPA": [[capabilities]] * 2} | USER_PASS)
        world = World(first, second, third, broken_pipe=broken_pipe)
        session = session_of(world)
        world.run(login(session, ANN))
        assert [first.verbs[1], second.verbs[1], third.verbs[1]] == ["AUTH CRAM-MD5", "AUTH PLAIN", "USER"]
        assert [(each.command.verb, each.connection) for each in session.attempts] == [("AUTH", 1), ("AUTH", 2)]

    def test_of_every_method(self, broken_pipe):
        capabilities = capa("SASL SCRAM-SHA-256 CRAM-MD5 PLAIN", "USER")
        refusing = {"CAPA": [[capabilities]], "AUTH": [[NO, HANG_UP]], "USER": [[NO, HANG_UP]]}
        world = World(*[Line(refusing) for _ in range(3)], broken_pipe=broken_pipe)
        failure = failing(world, login(session_of(world), ANN))
        assert world.connections == 3
        assert [each.connection for each in failure.attempts] == [1, 2, 3]
        assert failure.left == ("PLAIN",)
        assert str(failure) == (
            "login failed (connection 1: AUTH SCRAM-SHA-256 ***: authentication failed; "
            "connection 2: AUTH CRAM-MD5: authentication failed; "
            "connection 3: USER ann: authentication failed); not tried: PLAIN, because 3 refusals are the most of one "
            "login; name what is to be tried next (only=)"
        )

    def test_of_the_last_method(self, broken_pipe):
        world = World(Line({"CAPA": [[CAPA_USER]], "USER": [[b"+OK\r\n"]], "PASS": [[NO, HANG_UP]]}))
        failure = failing(world, login(session_of(world), ANN))
        assert world.connections == 1
        assert (failure.left, failure.__cause__) == ((), None)

    @pytest.mark.parametrize("code", [b"IN-USE", b"LOGIN-DELAY", b"SYS/TEMP"])
    def test_that_no_other_method_would_change(self, broken_pipe, code):
        refusal = b"-ERR [" + code + b"] later\r\n"
        world = World(Line({"CAPA": [[CAPA_USER]], "APOP": [[refusal, HANG_UP]]}, greeting=STAMPED))
        failing(world, login(session_of(world), ANN))
        assert world.connections == 1, "a server that is busy is not asked again at once"


def test_apop_answers_the_timestamp_of_its_own_greeting():
    other = STAMPED.replace(b"1896", b"1897")
    refusing = Line({"CAPA": [[capa("SASL EXTERNAL")]], "AUTH": [[NO, HANG_UP]]}, greeting=STAMPED)
    taking = Line({"CAPA": [[capa("SASL EXTERNAL")]] * 2, "APOP": [[b"+OK\r\n"]]}, greeting=other)
    external = ClientEntry(Password, Strength.NO_SECRET, lambda _: ExternalClient())
    world = World(refusing, taking)
    session = session_of(world)
    world.run(login(session, ANN, mechanisms={"EXTERNAL": external}, only=["EXTERNAL", "APOP"], initial_response=False))
    digest = apop_digest(other[len(b"+OK ready ") :].decode().strip(), "tanstaaf")
    assert f"APOP ann {digest}".encode() in taking.heard


def test_a_refusal_of_the_initial_response():
    """As Microsoft's cloud says it: the form is refused, and the connection is closed."""
    first = Line({"CAPA": [[capa("SASL XOAUTH2")]], "AUTH": [[PROTOCOL_ERROR, HANG_UP]]})
    second = Line({"CAPA": [[capa("SASL XOAUTH2")]] * 2, "AUTH": [[b"+ \r\n"]], "*": [[b"+OK\r\n"]]})
    world = World(first, second)
    session = session_of(world)
    world.run(login(session, TOKEN))
    assert first.heard[1].startswith(b"AUTH XOAUTH2 ")
    assert second.heard[1] == b"AUTH XOAUTH2"
    assert base64.b64decode(second.heard[2]).startswith(b"user=ann@example.org\1")


def test_what_was_on_the_way_as_the_server_hung_up_is_tried_again():
    """It is not known whether the server has read it."""
    first, second = apop_refused(), taking_passwords()
    world = World(first, second)
    world.run(login(session_of(world), ANN))
    assert first.verbs == ["CAPA", "APOP", "USER"]
    assert second.verbs[1] == "USER"


# ------------------------------------------------------------------------------------------------- TLS


def test_implicit_tls_begins_again():
    world = World(apop_refused(), taking_passwords())
    session = session_of(world)
    world.run(login(session, ANN))
    kinds = [type(operation) for operation in world.operations]
    at = kinds.index(Reconnect)
    assert kinds[at + 1 : at + 3] == [StartTls, Read], "before the greeting"
    assert session.connection.tls


@pytest.mark.parametrize("by_hand", [False, True])
def test_stls_is_made_again(by_hand):
    refusing = {"CAPA": [[CAPA_USER], [capa("SASL PLAIN", "USER")]], "STLS": [[b"+OK\r\n"]], "AUTH": [[NO, HANG_UP]]}
    taking = {"CAPA": [[capa("SASL PLAIN", "USER")]] * 2, "STLS": [[b"+OK\r\n"]]} | USER_PASS
    if not by_hand:
        refusing["CAPA"] = refusing["CAPA"][1:]
    first, second = Line(refusing), Line(taking)
    world = World(first, second)
    session = session_of(world, "none" if by_hand else "starttls")
    if by_hand:
        world.run(learn_capabilities(session))
        world.run(start_tls(session))
    world.run(login(session, ANN))
    assert second.verbs == ["STLS", "CAPA", "USER", "PASS", "CAPA"]
    assert session.tls == VERIFIED


def test_stls_that_is_refused_is_the_end():
    first = Line({"CAPA": [[capa("SASL PLAIN", "USER")]], "STLS": [[b"+OK\r\n"]], "AUTH": [[NO, HANG_UP]]})
    second = Line({"STLS": [[b"-ERR not today\r\n"]]})
    world = World(first, second)
    session = session_of(world, "starttls", cleartext="always", loopback=True)
    failure = failing(world, login(session, ANN))
    assert second.verbs == ["STLS"], "nothing in clear"
    assert failure.left == ("USER/PASS",)
    why, _, suspicion = failure.why.partition("; ")
    assert why == "on another connection the server refused STLS: not today"
    assert suspicion == "TLS worked there before, so somebody may be intercepting the connection"
    assert_over(world, session)


def test_octets_behind_the_answer_to_stls_are_the_end():
    first = Line({"CAPA": [[capa("SASL PLAIN", "USER")]], "STLS": [[b"+OK\r\n"]], "AUTH": [[NO, HANG_UP]]})
    second = Line({"STLS": [[b"+OK\r\n+OK injected\r\n"]]})
    world = World(first, second)
    session = session_of(world, "starttls")
    failure = failing(world, login(session, ANN))
    assert "after its answer to STLS" in failure.why
    assert isinstance(failure.__cause__, RemoteProtocolError)
    assert_over(world, session)


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_another_certificate_is_the_end(mode):
    answers = {"CAPA": [[capa("SASL PLAIN", "USER")]], "STLS": [[b"+OK\r\n"]], "AUTH": [[NO, HANG_UP]]}
    world = World(Line(answers), second := Line(answers, tls=UNTRUSTED))
    session = session_of(world, mode)
    with pytest.raises(CertificateError) as error:
        world.run(login(session, ANN))
    assert str(error.value) == (
        "the certificate is for another host; before that, login failed (AUTH PLAIN ***: authentication failed)"
    )
    assert (error.value.host, error.value.port, error.value.reason) == ("pop.example.org", 995, "for another host")
    assert isinstance(error.value.__cause__, CertificateError)
    assert second.verbs == (["STLS"] if mode == "starttls" else [])
    assert_over(world, session)


def test_tls_that_is_not_verified_is_not_enough_where_it_was():
    world = World(apop_refused(), second := taking_passwords(tls=TlsInfo("TLSv1.3", verified=False)))
    session = session_of(world, cleartext="always", loopback=True)
    failure = failing(world, login(session, ANN))
    assert second.verbs == ["CAPA"]
    assert (failure.left, failure.why) == (("USER/PASS",), "the other connection has no verified TLS")


# --------------------------------------------------------------------------------------- it stops


def assert_over(world, session):
    with pytest.raises(Broken):
        world.run(login(session, ANN))


@pytest.mark.parametrize(
    "first,second,missing",
    [
        (["SASL SCRAM-SHA-256 PLAIN", "USER"], ["USER"], "PLAIN, SCRAM-SHA-256"),
        (["SASL SCRAM-SHA-256 PLAIN", "USER"], ["SASL PLAIN", "USER"], "SCRAM-SHA-256"),
        (["SASL SCRAM-SHA-256 CRAM-MD5 PLAIN", "USER"], ["SASL PLAIN"], "CRAM-MD5, SCRAM-SHA-256"),
        (["SASL PLAIN", "USER"], None, "PLAIN"),
    ],
)
def test_a_list_that_shows_less_is_the_end(first, second, missing):
    """Somebody in between may have taken it away."""
    refusing = Line({"CAPA": [[capa(*first)]], "AUTH": [[b"-ERR [SYS/PERM] no\r\n", HANG_UP]]})
    weaker = Line({"CAPA": [[capa(*second) if second else b"-ERR\r\n"]]} | USER_PASS)
    world = World(refusing, weaker)
    session = session_of(world)
    failure = failing(world, login(session, ANN))
    assert weaker.verbs == ["CAPA"]
    assert failure.why == f"on the other connection the server does not announce {missing} any more"
    assert failure.left
    assert f"; not tried: {', '.join(failure.left)}, because on the other connection" in str(failure)
    assert session.connection.state is State.AUTHORIZATION


def test_a_list_that_shows_more_makes_no_difference():
    first = Line({"CAPA": [[capa("SASL PLAIN", "USER")]], "AUTH": [[NO, HANG_UP]]})
    second = Line({"CAPA": [[capa("SASL PLAIN CRAM-MD5", "USER")]] * 2} | USER_PASS)
    world = World(first, second)
    world.run(login(session_of(world), ANN))


def test_nothing_weaker_is_tried_without_verified_tls():
    first = Line({"CAPA": [[capa("SASL SCRAM-SHA-256 PLAIN", "USER")]], "AUTH": [[b"-ERR [AUTH]\r\n", HANG_UP]]})
    world = World(first)
    failing(world, login(session_of(world, "none", loopback=True), ANN))
    assert world.connections == 1


def test_a_password_for_this_machine_goes_to_no_other():
    """The name of the server may have several addresses."""
    first = Line({"CAPA": [[capa("SASL PLAIN", "USER")]], "AUTH": [[NO, HANG_UP]]}, loopback=True)
    second = Line({"CAPA": [[capa("SASL PLAIN", "USER")]]}, loopback=False)
    world = World(first, second)
    failure = failing(world, login(session_of(world, "none", loopback=True), ANN))
    assert second.verbs == ["CAPA"]
    assert "there is no verified TLS" in failure.why
    assert failure.left == ("USER/PASS",)


def test_apop_needs_a_timestamp_again():
    external = ClientEntry(Password, Strength.NO_SECRET, lambda _: ExternalClient())
    world = World(Line({"CAPA": [[capa()]], "AUTH": [[NO, HANG_UP]]}, greeting=STAMPED), Line({"CAPA": [[capa()]]}))
    arguments = {"mechanisms": {"EXTERNAL": external}, "only": ["EXTERNAL", "APOP"]}
    failure = failing(world, login(session_of(world), ANN, **arguments))
    assert failure.left == ("APOP",)
    assert "timestamp" in failure.why


def test_a_binding_of_the_caller_is_of_one_connection():
    plus = capa("SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256")
    tls = TlsInfo("TLSv1.3", verified=True, bindings=(BINDING,))
    world = World(*[Line({"CAPA": [[plus]], "AUTH": [[PROTOCOL_ERROR, HANG_UP]]}, tls=tls) for _ in range(2)])
    exporter = ChannelBinding("tls-exporter", b"e" * 32)
    failure = failing(world, login(session_of(world), ANN, binding=exporter))
    assert failure.left == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")
    assert "channel binding" in failure.why
    hanging = [Line({"CAPA": [[HANG_UP]]}, tls=tls), Line({}, tls=tls)]
    world = World(*hanging)
    with pytest.raises(LocalProtocolError, match="belongs to a connection that is gone"):
        world.run(login(session_of(world), ANN, binding=exporter))


def test_a_binding_is_that_of_the_new_connection():
    plus = capa("SASL SCRAM-SHA-256-PLUS")
    other = ChannelBinding("tls-server-end-point", b"\2" * 32)
    first = Line(
        {"CAPA": [[plus]], "AUTH": [[PROTOCOL_ERROR, HANG_UP]]}, tls=attrs.evolve(VERIFIED, bindings=(BINDING,))
    )
    second = Line({"CAPA": [[plus]], "AUTH": [[NO]]}, tls=attrs.evolve(VERIFIED, bindings=(other,)))
    world = World(first, second)
    session = session_of(world)
    failing(world, login(session, ANN))
    assert session.context.binding == other


@pytest.mark.parametrize(
    "second,why",
    [
        (ConnectionLost("no connection to pop.example.org, port 995: refused"), "no connection to pop.example.org"),
        (Line({}, greeting=b""), "closed the connection before its greeting"),
        (Line({}, greeting=b"-ERR too many\r\n"), "refused the session: too many"),
        (Line({"CAPA": [[HANG_UP]]}), "closed the connection before answering CAPA"),
    ],
)
def test_no_other_connection(second, why):
    world = World(apop_refused(), second)
    session = session_of(world)
    failure = failing(world, login(session, ANN))
    assert failure.left == ("USER/PASS",)
    assert why in failure.why
    assert isinstance(failure.__cause__, ConnectionLost | SessionRefused)
    assert world.connections == 2
    assert_over(world, session)


def test_a_hang_up_in_place_of_an_answer_is_the_end():
    """Nothing was refused over this connection: the next one would end in the same way."""
    world = World(apop_refused(), Line({"CAPA": [[CAPA_USER]], "USER": [[HANG_UP]]}))
    session = session_of(world)
    failure = failing(world, login(session, ANN))
    assert failure.left == ("USER/PASS",)
    assert failure.why == "the server closed the connection before answering USER ann, over a new connection"
    assert_over(world, session)
    world = World(Line({"CAPA": [[CAPA_USER]], "USER": [[HANG_UP]]}))
    with pytest.raises(ConnectionLost, match="before answering USER ann"):
        world.run(login(session_of(world), ANN))


FAILURES = {
    "no connection in time": (lambda: TimedOut("no connection in time"), TimedOut),
    "no connection": (lambda: ConnectionLost("no connection"), ConnectionLost),
    "an error of a driver's own": (lambda: OSError(24, "too many open files"), OSError),
    "a driver that cannot": (lambda: LocalProtocolError("this driver cannot"), LocalProtocolError),
    "silence in place of the handshake": (lambda: Line({}, tls=TimedOut("not in time")), TimedOut),
    "the handshake": (lambda: Line({}, tls=ConnectionLost("the TLS handshake failed")), ConnectionLost),
    "a certificate": (lambda: Line({}, tls=UNTRUSTED), CertificateError),
    "no greeting": (lambda: Line({}, greeting=b"+"), TimedOut),
    "another protocol": (lambda: Line({}, greeting=b"* OK IMAP4rev1\r\n"), RemoteProtocolError),
    "a refusal": (lambda: Line({}, greeting=b"-ERR no\r\n"), SessionRefused),
    "silence in place of capabilities": (lambda: Line({"CAPA": [[]]}), TimedOut),
    "nonsense in place of capabilities": (lambda: Line({"CAPA": [[b"nonsense\r\n"]]}), RemoteProtocolError),
    "silence in place of an answer": (lambda: Line({"CAPA": [[CAPA_USER]], "USER": [[]]}), TimedOut),
    "nonsense in place of an answer": (
        lambda: Line({"CAPA": [[CAPA_USER]], "USER": [[b"?\r\n"]]}),
        RemoteProtocolError,
    ),
    "two answers": (lambda: Line({"CAPA": [[CAPA_USER]], "USER": [[b"+OK\r\n+OK\r\n"]]}), RemoteProtocolError),
}


@pytest.mark.parametrize("what", FAILURES)
def test_whatever_ends_another_connection_the_refusals_are_told(what):
    make, kind = FAILURES[what]
    world = World(apop_refused(), make(), silence=True)
    session = session_of(world)
    with pytest.raises((LoginFailed, CertificateError)) as error:
        world.run(login(session, ANN))
    assert "APOP ann ***: authentication failed" in str(error.value)
    assert isinstance(error.value.__cause__, kind)
    assert isinstance(error.value, CertificateError if kind is CertificateError else LoginFailed)
    if isinstance(error.value, LoginFailed):
        assert [str(each) for each in error.value.attempts] == ["APOP ann ***: authentication failed"]
        assert error.value.left == ("USER/PASS",)
        assert str(error.value.__cause__) in error.value.why
    assert not session.survives(error.value), "the connection is closed at once"
    assert_over(world, session)


@pytest.mark.parametrize("answer,kind", [([], TimedOut), ([b"?\r\n"], RemoteProtocolError)])
def test_whatever_ends_the_first_connection_the_refusals_are_told(answer, kind):
    world = World(Line({"CAPA": [[CAPA_USER]], "APOP": [[NO]], "USER": [answer]}, greeting=STAMPED), silence=True)
    session = session_of(world)
    failure = failing(world, login(session, ANN))
    assert (failure.left, type(failure.__cause__)) == (("USER/PASS",), kind)
    assert_over(world, session)


def test_what_ends_a_login_before_anything_is_refused_is_raised_as_it_is():
    world = World(Line({"CAPA": [[CAPA_USER]], "USER": [[]]}), silence=True)
    with pytest.raises(TimedOut, match="waited for the answer to USER ann"):
        world.run(login(session_of(world), ANN))


def test_who_was_closed_does_not_connect_again():
    """Whatever the driver makes of it: `World` has no other connection."""
    world = World(apop_refused())
    session = session_of(world)
    failure = failing(world, closing(session, login(session, ANN)))
    assert failure.left == ("USER/PASS",)
    assert world.connections == 1


def closing(session, procedure):
    """A procedure whose session is closed as soon as something was refused."""
    step, value = procedure.send, None
    while True:
        try:
            operation = step(value)
        except StopIteration as end:
            return end.value
        try:
            step, value = procedure.send, (yield operation)
        except Exception as error:  # noqa: BLE001 - it belongs to the procedure
            step, value = procedure.throw, error
        if session.attempts:
            session.end("it was closed")


def test_every_step_is_looked_at_anew_over_another_connection():
    """What the digest of APOP would be made from: without a timestamp it would be the MD5 of the password."""
    listed = capa("SASL SCRAM-SHA-256 CRAM-MD5")
    first = Line({"CAPA": [[listed]], "AUTH": [[NO, HANG_UP]]}, greeting=STAMPED)
    second = Line({"CAPA": [[listed]], "AUTH": [[NO]]})
    world = World(first, second)
    names = ["SCRAM-SHA-256", "CRAM-MD5", "APOP"]
    failure = failing(world, login(session_of(world), ANN, only=names, initial_response=False))
    assert second.verbs == ["CAPA", "AUTH CRAM-MD5"]
    assert failure.left == ("APOP",)
    assert "timestamp" in failure.why


def test_a_client_that_cannot_connect_again_says_what_is_left():
    world = World(apop_refused())
    session = session_of(world, reconnects=False)
    failure = failing(world, login(session, ANN))
    assert str(failure) == (
        "login failed (APOP ann ***: authentication failed); not tried: USER/PASS, because the server has hung up, "
        "and a client that connect_over() has made cannot connect again: make a new one, and name what is to be "
        "tried (only=)"
    )
    assert isinstance(failure.__cause__, ConnectionLost)
    assert_over(world, session)


def test_a_mechanism_at_hand_is_for_one_connection():
    world = World(Line({"CAPA": [[capa("SASL PLAIN")]], "AUTH": [[PROTOCOL_ERROR, HANG_UP]]}))
    session = session_of(world)
    failure = failing(world, login_by(session, PlainClient("ann", "tanstaaf")))
    assert failure.left == ("PLAIN",)
    assert "the mechanism is for that connection" in failure.why
    assert_over(world, session)


def test_a_mechanism_at_hand_that_is_refused_before_a_hang_up():
    world = World(Line({"CAPA": [[capa("SASL PLAIN")]], "AUTH": [[NO, HANG_UP]]}))
    session = session_of(world)
    failure = failing(world, login_by(session, PlainClient("ann", "tanstaaf")))
    assert (len(failure.attempts), failure.left, failure.why) == (1, (), "")
    assert_over(world, session)


# ------------------------------------------------------------------------------------------ CAPA


@pytest.mark.parametrize("mode", ["implicit", "none"])
def test_a_hang_up_on_capa(mode):
    """Old servers: the client connects again, and does not ask; what they can do is unknown."""
    first, second = Line({"CAPA": [[HANG_UP]]}), Line(USER_PASS)
    world = World(first, second)
    session = session_of(world, mode, loopback=True)
    second.loopback = True
    world.run(login(session, ANN))
    assert second.verbs == ["USER", "PASS"]
    assert session.capabilities is None
    assert session.context.asked


def test_a_hang_up_on_capa_and_then_after_a_refusal():
    lines = [
        Line({"CAPA": [[HANG_UP]]}, greeting=STAMPED),
        Line({"APOP": [[NO, HANG_UP]]}, greeting=STAMPED),
        Line(USER_PASS, greeting=STAMPED),
    ]
    world = World(*lines)
    session = session_of(world)
    world.run(login(session, ANN))
    assert [line.verbs for line in lines] == [["CAPA"], ["APOP", "USER"], ["USER", "PASS"]]
    assert [each.connection for each in session.attempts] == [2]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_hang_up_on_capa_behind_stls(by_hand):
    first = Line({"STLS": [[b"+OK\r\n"]], "CAPA": [[HANG_UP]]})
    second = Line({"STLS": [[b"+OK\r\n"]]} | USER_PASS)
    world = World(first, second)
    session = session_of(world, "none" if by_hand else "starttls")
    if by_hand:
        assert world.run(start_tls(session)) == VERIFIED
    world.run(login(session, ANN))
    assert second.verbs == ["STLS", "USER", "PASS"], "TLS as before, and nothing is asked"


def test_a_hang_up_on_capa_without_another_connection():
    world = World(Line({"CAPA": [[HANG_UP]]}))
    session = session_of(world, reconnects=False)
    with pytest.raises(ConnectionLost, match="before answering CAPA"):
        world.run(login(session, ANN))
    world = World(Line({"CAPA": [[HANG_UP]]}), Line({}, greeting=b""))
    session = session_of(world)
    with pytest.raises(ConnectionLost, match="before its greeting"):
        world.run(login(session, ANN))
    assert_over(world, session)


def test_stls_that_is_refused_after_a_hang_up_on_capa():
    world = World(Line({"STLS": [[b"+OK\r\n"]], "CAPA": [[HANG_UP]]}), Line({"STLS": [[b"-ERR no\r\n"]]}))
    with pytest.raises(ConnectionLost, match="on another connection the server refused STLS: no"):
        session_of(world, "starttls")


def test_who_is_gone_before_anything_is_asked_is_gone():
    first = Line({})
    world = World(first)
    session = session_of(world)
    first.over = True
    session.connection.receive_data(b"")
    with pytest.raises(ConnectionLost, match="has closed the connection"):
        world.run(login(session, ANN))
    assert world.connections == 1


# ------------------------------------------------------------------------------- time, observers, the plan


def test_one_deadline_covers_all_connections():
    world = World(apop_refused(), taking_passwords(), seconds=10)
    session = session_of(world, timeout=60)
    begun = len(world.operations)
    world.run(login(session, ANN))
    untils = {operation.until for operation in world.operations[begun:] if hasattr(operation, "until")}
    assert untils == {1_060.0}
    assert any(isinstance(operation, Reconnect) for operation in world.operations)


def test_a_connection_that_comes_too_late():
    world = World(apop_refused(), taking_passwords(), seconds=60)
    session = session_of(world, timeout=60)
    failure = failing(world, login(session, ANN))
    assert (failure.left, failure.why) == (("USER/PASS",), "no connection in time")
    assert isinstance(failure.__cause__, TimedOut)
    assert_over(world, session)


class Notes:
    def __init__(self):
        self.told = []

    def heard(self, session, event):
        self.told.append((session.id, "heard"))

    def said(self, session, item):
        self.told.append((session.id, "said"))

    def ended(self, session, error):
        self.told.append((session.id, "ended", type(error)))


def test_observers_are_told_of_two_sessions():
    notes = Notes()
    world = World(apop_refused(), taking_passwords())
    session = session_of(world, observers=(notes,))
    world.run(login(session, ANN))
    ids = [each[0] for each in notes.told]
    assert ids == sorted(ids)
    assert set(ids) == {0, 77}
    assert [each for each in notes.told if each[1] == "ended"] == [(0, "ended", ConnectionLost)]
    assert notes.told.index((0, "ended", ConnectionLost)) == ids.index(77) - 1, "the one ends before the other begins"


def test_the_printed_plan_tells_what_happened():
    world = World(apop_refused(), taking_passwords())
    session = session_of(world)
    world.run(login(session, ANN))
    plan = planned(session, ANN)
    assert plan.attempts == session.attempts
    assert str(plan).splitlines()[-1] == "refused on connection 1: APOP ann ***: authentication failed"


def test_what_the_caller_has_asked_of_the_connection_holds_for_the_other():
    limits = Limits(reply_line=100)
    world = World(apop_refused(), taking_passwords())
    session = Session(ClientConnection(tls=True, limits=limits, quirks={Quirk.BARE_LF}), reconnects=True)
    world.run(establish(session, "implicit"))
    before = session.connection
    world.run(login(session, ANN))
    assert session.connection is not before
    assert session.connection.limits is limits
    assert session.connection.quirks == {Quirk.BARE_LF}


# ------------------------------------------------------------------------------- how often it is refused


class Counting(Line):
    """Refuses every login, hangs up after each if told so, and counts.

    Args:
        refusal: the line with which it refuses.
        challenges: it refuses an exchange behind a challenge.
        hangs_up: after each refusal.
    """

    def __init__(self, listed, refusal, *, challenges, hangs_up):
        super().__init__({}, greeting=STAMPED, tls=attrs.evolve(VERIFIED, bindings=(BINDING,)))
        self.refused = []
        self._listed = listed
        self._refusal = refusal
        self._challenges = challenges
        self._hangs_up = hangs_up

    def hear(self, octets):
        for line in octets.splitlines():
            self.heard.append(line)
            words = line.split(b" ")
            if self.over:
                return
            if line == b"CAPA":
                self.outgoing.append(self._listed)
            elif line.startswith(b"USER "):
                self.outgoing.append(b"+OK\r\n")
            elif self._challenges and words[0] == b"AUTH":
                self.outgoing.append(b"+ PDFAYT4=\r\n")
            else:
                self.refused.append(line)
                self.outgoing.append(self._refusal)
                self.over = self._hangs_up


EVERYTHING = capa("SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN OAUTHBEARER XOAUTH2", "USER")
REFUSALS = [NO, PROTOCOL_ERROR, b"-ERR\r\n", b"-ERR [AUTH] no\r\n"]


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "goes on"])
@pytest.mark.parametrize("challenges", [True, False], ids=["challenges", "at once"])
@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("credentials", [ANN, TOKEN], ids=["password", "token"])
@pytest.mark.parametrize(
    "only", [None, ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN", "APOP", "XOAUTH2", "USER/PASS"]]
)
def test_a_login_is_refused_three_times_at_most(hangs_up, challenges, refusal, credentials, only):
    lines = [Counting(EVERYTHING, refusal, challenges=challenges, hangs_up=hangs_up) for _ in range(8)]
    world = World(*lines)
    failure = failing(world, login(session_of(world), credentials, only=only))
    refused = [line for each in lines for line in each.refused]
    assert len(refused) == len(failure.attempts) <= MOST_REFUSALS
    assert world.connections <= MOST_REFUSALS
    if len(refused) < MOST_REFUSALS:
        assert not failure.left, "it stops for no other reason here"


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_mechanism_at_hand_is_refused_twice_at_most(hangs_up, refusal):
    line = Counting(EVERYTHING, refusal, challenges=False, hangs_up=hangs_up)
    world = World(line)
    failing(world, login_by(session_of(world), PlainClient("ann", "tanstaaf")))
    assert len(line.refused) == (1 if hangs_up or b"[AUTH]" in refusal else 2)


@pytest.mark.parametrize(
    "text,again",
    [
        ("Protocol error. Connection is closed. 10", True),
        ("Syntax error", True),
        ("Unknown command.", True),
        ("Invalid POP3 command", True),
        ("Unexpected extra argument", True),
        ("too many arguments", True),
        ("Command is not valid in this state.", True),
        ("Input line too long.", True),
        ("", False),
        ("authentication failed", False),
        ("Logon failure: unknown user name or bad password.", False),
        ("Invalid username or password", False),
        ("unsupported authentication mechanism", False),
        ("Too many login attempts", False),
        ("[SYS/PERM] syntax error", False),
    ],
)
def test_two_lines_are_tried_after_a_hang_up_only_if_the_refusal_is_about_the_form(text, again):
    refused = f"-ERR {text}".encode() + b"\r\n"
    first = Line({"CAPA": [[capa("SASL PLAIN")]], "AUTH": [[refused, HANG_UP]]})
    second = Line({"CAPA": [[capa("SASL PLAIN")]], "AUTH": [[NO, HANG_UP]]})
    world = World(first, second)
    failure = failing(world, login(session_of(world), ANN, only=["PLAIN"]))
    assert [each.connection for each in failure.attempts] == ([1, 2] if again else [1])
    assert (second.verbs == ["CAPA", "AUTH PLAIN"]) == again
    assert failure.left == ()


def test_who_has_nothing_left_does_not_connect_again():
    """After a mechanism with channel binding, what only shows a digest is not tried."""
    listed = capa("SASL SCRAM-SHA-256-PLUS CRAM-MD5")
    tls = attrs.evolve(VERIFIED, bindings=(BINDING,))
    world = World(Line({"CAPA": [[listed]], "AUTH": [[NO, HANG_UP]]}, tls=tls))
    session = session_of(world)
    failure = failing(world, login(session, ANN, only=["SCRAM-SHA-256-PLUS", "CRAM-MD5"]))
    assert (len(failure.attempts), failure.left) == (1, ())
    assert_over(world, session)


def test_a_step_that_is_not_tried_in_two_lines_leaves_the_form_to_the_others():
    first = Line({"CAPA": [[capa("SASL SCRAM-SHA-256 PLAIN")]], "AUTH": [[NO, HANG_UP]]})
    second = Line({"CAPA": [[capa("SASL SCRAM-SHA-256 PLAIN")]] * 2, "AUTH": [[b"+OK\r\n"]]})
    world = World(first, second)
    world.run(login(session_of(world), ANN))
    assert second.heard[1] == b"AUTH PLAIN " + PLAINLY


# ------------------------------------------------------------------------------------------------ laws


class AnyLine(Line):
    """A connection on which the server says anything."""

    def __init__(self, data):
        tls = data.draw(st.sampled_from([VERIFIED, attrs.evolve(VERIFIED, verified=False)]))
        super().__init__({}, greeting=STAMPED, tls=tls, loopback=data.draw(st.booleans()))
        self._data = data

    def hear(self, octets):
        for line in octets.splitlines():
            self.heard.append(line)
            if self.over:
                return
            usual = USUAL.get(line, [NO, HANG_UP])
            for answer in self._data.draw(st.sampled_from([*[usual] * len(ANSWERS), *ANSWERS])):
                if answer == HANG_UP:
                    self.over = True
                else:
                    self.outgoing.append(answer)


USUAL = {b"CAPA": [capa("SASL PLAIN SCRAM-SHA-256-PLUS CRAM-MD5", "USER")], b"STLS": [b"+OK\r\n"]}
ANSWERS = [
    [HANG_UP],
    [NO],
    [b"+OK\r\n"],
    [b"-ERR [AUTH] no\r\n", HANG_UP],
    [b"+ \r\n"],
    [b"+ PDFAYT4=\r\n"],
    [b"+ not base64\r\n"],
    [capa("USER")],
    [NO, b"-ERR bye\r\n", HANG_UP],
]


@given(
    st.data(),
    st.sampled_from(["implicit", "starttls", "none"]),
    st.sampled_from([None, ["PLAIN"], ["APOP", "USER/PASS"]]),
)
def test_it_ends_and_shows_no_password_where_it_must_not(data, mode, only):
    lines = [AnyLine(data) for _ in range(MOST)]
    world = World(*lines, silence=True)
    attempts = ()
    try:
        session = session_of(world, mode, loopback=lines[0].loopback)
        world.run(login(session, ANN, only=only))
        assert session.connection.state is State.TRANSACTION
    except Pop3Error as error:
        attempts = getattr(error, "attempts", ())
    assert len(attempts) <= MOST_REFUSALS
    assert world.connections < MOST
    for line in lines:
        shown = b"".join(line.heard)
        if PLAINLY in shown or b"tanstaaf" in shown:
            assert line.loopback or (mode != "none" and line.tls.verified)


MOST = 12
PLAINLY = base64.b64encode(b"\0ann\0tanstaaf")
