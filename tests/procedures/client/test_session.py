"""What a session knows and tells: options, the last reply, observers."""

import pytest

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Capa, Dele, ListOne, Noop, Pass, Quit, Retr, Stat, Uidl, User
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from pop3proto.core.events import Answer, AuthResponse, BodyChunk, BodyEnd, Farewell, Tolerated
from pop3proto.core.limits import Limits, Quirk
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.core.results import MaildropStatus
from pop3proto.procedures.client.calls import call, call_all
from pop3proto.procedures.client.commands import greet, learn_capabilities, quit_session, start_tls
from pop3proto.procedures.client.exchange import authenticate
from pop3proto.procedures.client.login import login, login_by
from pop3proto.procedures.client.options import SessionOptions
from pop3proto.procedures.client.session import PAUSE, Session
from pop3proto.procedures.operations import Look
from pop3proto.sasl.channel import SessionInfo
from pop3proto.sasl.credentials import Password
from pop3proto.sasl.plain import PlainClient
from tests.helpers.drivers import TLS, Actor, Clock, Script, sessions_come_to_their_end

__all__ = ["sessions_come_to_their_end"]

SECRET = "tanstaaf"
CAPA = b"+OK caps\r\nSASL PLAIN\r\n.\r\n"


class Notes:
    """An observer that keeps what it gets."""

    def __init__(self):
        self.heard_events = []
        self.said_items = []
        self.ends = []
        self.sessions = []

    def heard(self, session, event):
        self.sessions.append(session)
        self.heard_events.append(event)

    def said(self, session, item):
        self.sessions.append(session)
        self.said_items.append(item)

    def ended(self, session, error):
        self.sessions.append(session)
        self.ends.append(error)


def observed(*observers, **arguments):
    return Session(ClientConnection(), loopback=True, observers=observers, **arguments)


def run(session, procedure, *answers):
    return Actor(procedure).receive(*answers).outcome()


# --------------------------------------------------------------------------------------------- options


def test_options_reach_the_connection():
    limits, quirks = Limits(reply_line=100), {Quirk.BARE_LF}
    options = SessionOptions(tls="none", cleartext="never", timeout=7, limits=limits, quirks=quirks)
    session = options.session(SessionInfo("192.0.2.1", id=3), "pop.example.org", loopback=True)
    assert session.connection.limits is limits
    assert session.connection.quirks == quirks
    assert (session.timeout, session.host, session.info.id) == (7, "pop.example.org", 3)
    assert not session.context.may_show_password


@pytest.mark.parametrize("mode", ["implicit", "starttls", "none"])
def test_the_connection_knows_where_tls_begins(mode):
    """Whatever the limits: else STLS would be possible inside TLS."""
    session = SessionOptions(tls=mode, cleartext="loopback", limits=Limits(body=1)).session(SessionInfo())
    assert session.connection.tls == (mode == "implicit")


def test_stls_inside_tls_is_refused():
    session = SessionOptions(tls="implicit", cleartext="loopback", limits=Limits(body=1)).session(SessionInfo())
    run(session, greet(session), b"+OK\r\n")
    with pytest.raises(LocalProtocolError, match="STLS"):
        run(session, start_tls(session))


@pytest.mark.parametrize("wrong", [{"tls": True}, {"cleartext": "sometimes"}])
def test_options_are_checked_at_once(wrong):
    with pytest.raises(ValueError, match="must be one of"):
        SessionOptions(**{"tls": "none", "cleartext": "never"} | wrong)


def test_what_is_no_observer_is_refused():
    with pytest.raises(TypeError, match="heard, said and ended"):
        SessionOptions(tls="none", cleartext="never", observer=print)


@pytest.mark.parametrize("several", [list, tuple])
def test_one_observer_or_several(several):
    one, other = Notes(), Notes()
    arguments = {"tls": "none", "cleartext": "never"}
    assert SessionOptions(**arguments, observer=one).observer == (one,)
    assert SessionOptions(**arguments, observer=several([one, other])).observer == (one, other)
    assert SessionOptions(**arguments).observer == ()


# ------------------------------------------------------------------------------------------ last reply


def test_the_last_reply():
    script = Script()
    assert script.session.last_reply == Ok("ready")
    script.run(call(script.session, User("ann")), b"+OK go on\r\n")
    assert script.session.last_reply == Ok("go on")
    script.run(call(script.session, Pass(SECRET)), b"+OK welcome\r\n")
    with pytest.raises(CommandFailed):
        script.run(call(script.session, Dele(1)), b"-ERR gone\r\n")
    assert script.session.last_reply == Err("gone")
    script.run(call(script.session, Retr(1)), b"+OK here\r\nx\r\n.\r\n")
    assert script.session.last_reply == Ok("here")
    script.run(quit_session(script.session), b"+OK bye\r\n")
    assert script.session.last_reply == Ok("bye")


def test_the_last_reply_of_a_login_and_of_stls_is_theirs():
    script = Script()
    script.run(start_tls(script.session), b"+OK begin\r\n", CAPA)
    assert script.session.last_reply == Ok("begin")
    script.run(login(script.session, Password("ann", SECRET)), b"+OK welcome\r\n", CAPA)
    assert script.session.last_reply == Ok("welcome")


def test_the_last_reply_is_a_farewell():
    script = Script().log_in()
    script.connection.receive_data(b"-ERR idle\r\n")
    with pytest.raises(ConnectionLost, match="idle"):
        script.run(call(script.session, Noop()))
    assert script.session.last_reply == Err("idle")


# ---------------------------------------------------------------------------------------------- logins


def test_login_by_a_mechanism_learns_the_capabilities():
    script = Script()
    script.run(login_by(script.session, PlainClient("ann", SECRET)), CAPA, b"+OK in\r\n", CAPA)
    assert script.heard == [b"CAPA\r\n", b"AUTH PLAIN AGFubgB0YW5zdGFhZg==\r\n", b"CAPA\r\n"]
    assert script.session.last_reply == Ok("in")
    assert script.session.capabilities.sasl == ("PLAIN",)


def test_login_by_a_mechanism_that_shows_the_password_in_clear():
    script = Script(may_show_password=False, capabilities=Capabilities())
    with pytest.raises(LocalProtocolError, match="no verified TLS"):
        script.run(login_by(script.session, PlainClient("ann", SECRET)))
    assert script.heard == []


@pytest.mark.parametrize(
    "procedure", [lambda s: login(s, Password("ann", SECRET)), lambda s: login_by(s, PlainClient("ann", SECRET))]
)
def test_a_login_while_a_user_is_pending(procedure):
    script = Script()
    script.run(call(script.session, User("ann")), b"+OK\r\n")
    with pytest.raises(LocalProtocolError, match="a USER is pending"):
        script.run(procedure(script.session))
    assert script.heard == [b"USER ann\r\n"]
    script.run(call(script.session, Pass(SECRET)), b"+OK\r\n")


# ------------------------------------------------------------------------------------------- observers


def test_observers_get_what_is_said_and_heard_in_order():
    notes = Notes()
    session = observed(notes, info=SessionInfo("192.0.2.1", id=7))
    run(session, greet(session), b"+OK ready\r\n")
    run(session, call(session, User("ann")), b"+OK\r\n")
    run(session, call(session, Pass(SECRET)), b"+OK\r\n")
    run(session, call_all(session, [Retr(1), Stat()], return_exceptions=True), b"+OK\r\nx\r\n.\r\n", b"-ERR\r\n")
    run(session, quit_session(session), b"+OK\r\n")
    password = Pass(SECRET).redacted()
    assert notes.said_items == [User("ann"), password, Retr(1), Stat(), Quit()]
    assert notes.heard_events == [
        *(Greeting(Ok("ready")), Answer(User("ann"), Ok()), Answer(password, Ok())),
        *(Answer(Retr(1), Ok()), BodyChunk(b"x\r\n"), BodyEnd(), Answer(Stat(), Err()), Answer(Quit(), Ok())),
    ]
    assert notes.ends == [None]
    assert {info.id for info in notes.sessions} == {7}


@pytest.mark.parametrize("way", ["PLAIN", "USER/PASS"])
def test_observers_see_no_secret(way):
    notes = Notes()
    session = observed(notes)
    run(session, greet(session), b"+OK <1@example.org>\r\n")
    actor = Actor(login(session, Password("ann", SECRET), only=[way], initial_response=False))
    actor.receive(CAPA).receive(*[b"+ \r\n" if way == "PLAIN" else b"+OK\r\n", b"+OK\r\n"]).receive(CAPA).outcome()
    if way == "PLAIN":
        assert AuthResponse(b"") in notes.said_items
        assert Challenge(b"") in notes.heard_events
    for item in (*notes.said_items, *notes.heard_events):
        values = (
            repr(item)
            + repr(getattr(item, "password", ""))
            + repr(getattr(getattr(item, "command", 0), "password", ""))
        )
        assert SECRET not in values
        assert "AGFubgB0YW5zdGFhZg" not in values
    assert notes.sessions[0].user is None
    assert notes.sessions[-1].user == "ann"


def test_observers_learn_of_tls():
    notes = Notes()
    session = observed(notes)
    run(session, greet(session), b"+OK\r\n")
    run(session, start_tls(session), b"+OK\r\n", CAPA)
    assert notes.sessions[0].tls is None
    assert notes.sessions[-1].tls == TLS


def test_the_end_is_told_once_and_with_its_error():
    one, other = Notes(), Notes()
    session = observed(one, other)
    run(session, greet(session), b"+OK\r\n")
    with pytest.raises(ConnectionLost) as lost:
        run(session, call(session, Capa()), b"")
    session.fail(lost.value)
    session.end("it was closed")
    assert one.ends == other.ends == [lost.value]


def test_a_farewell_is_heard():
    notes = Notes()
    session = observed(notes)
    run(session, greet(session), b"+OK\r\n")
    session.connection.receive_data(b"-ERR idle\r\n")
    with pytest.raises(ConnectionLost):
        run(session, call(session, Noop()))
    assert notes.heard_events[-1] == Farewell(Err("idle"))


def test_what_an_observer_raises_comes_out():
    class Faulty(Notes):
        def said(self, session, item):
            raise ZeroDivisionError

    session = observed(Faulty())
    run(session, greet(session), b"+OK\r\n")
    with pytest.raises(ZeroDivisionError) as fault:
        run(session, call(session, Capa()))
    assert not session.survives(fault.value)


# ---------------------------------------------------------------------------------------------- quirks

ANNOUNCED = b"+OK\r\nPIPELINING\r\n.\r\n"


class Tolerations:
    """An observer that keeps what is tolerated."""

    def __init__(self):
        self.tolerated = []

    def heard(self, _session, event):
        if isinstance(event, Tolerated):
            self.tolerated.append(event.quirk)

    def said(self, _session, item):
        pass

    def ended(self, _session, error):
        pass


def logged_in(*quirks):
    notes = Tolerations()
    options = SessionOptions(tls="none", cleartext="always", quirks=set(quirks), observer=notes)
    session = options.session(SessionInfo())
    run(session, greet(session), b"+OK\r\n")
    run(session, call(session, User("ann")), b"+OK\r\n")
    run(session, call(session, Pass("x")), b"+OK\r\n")
    return session, notes


@pytest.mark.parametrize("quirks", [set(), {Quirk.NO_PIPELINING}])
def test_pipelining_that_is_announced_and_broken(quirks):
    session, notes = logged_in(*quirks)
    run(session, learn_capabilities(session), b"+OK\r\n.\r\n")
    assert notes.tolerated == []
    run(session, learn_capabilities(session), ANNOUNCED)
    assert session.pipelining == (not quirks)
    actor = Actor(call_all(session, [Dele(1), Dele(2)])).go()
    assert actor.take() == (b"DELE 1\r\n" if quirks else b"DELE 1\r\nDELE 2\r\n")
    actor.receive(b"+OK\r\n", b"+OK\r\n")
    assert actor.outcome() == [None, None]
    assert notes.tolerated == list(session.tolerated) == list(quirks)


def test_what_an_answer_needs_is_told_before_its_result():
    session, notes = logged_in(*Quirk)
    assert run(session, call(session, Stat()), b"+OK 2\r\n") == MaildropStatus(2, 0)
    assert notes.tolerated == [Quirk.STAT_WITHOUT_OCTETS]
    assert run(session, call(session, Uidl()), b"+OK\r\n+OK 1 a\r\n.\r\n") == {1: "a"}
    assert run(session, call(session, ListOne(1)), b"+OK 1 5\r\n.\r\n") == 5
    assert run(session, call(session, Stat()), b"+OK 1 5\r\n") == MaildropStatus(1, 5)
    assert notes.tolerated == [Quirk.STAT_WITHOUT_OCTETS, Quirk.UIDL_PREFIXED_ROWS, Quirk.STRAY_DOT]
    assert session.tolerated == set(notes.tolerated)


def test_any_number_of_stray_dots():
    session, notes = logged_in(Quirk.STRAY_DOT)
    assert run(session, call(session, Noop()), b".\r\n" * 5_000 + b"+OK\r\n") is None
    assert len(notes.tolerated) == 5_000


def test_a_stray_dot_that_comes_late_is_no_news():
    session, notes = logged_in(Quirk.STRAY_DOT)
    assert run(session, call(session, ListOne(1)), b"+OK 1 5\r\n") == 5
    session.connection.receive_data(b".\r")
    assert run(session, call(session, Stat()), b"\n", b"+OK 1 5\r\n") == MaildropStatus(1, 5)
    assert notes.tolerated == [Quirk.STRAY_DOT]


@pytest.mark.parametrize("ok", [b"+OK\r\n", b"+OK go on\r\n"])
def test_ok_as_challenge_sends_the_secret_only_with_the_quirk(ok):
    for quirks in ([], [Quirk.OK_AS_CHALLENGE]):
        options = SessionOptions(tls="none", cleartext="always", quirks=set(quirks))
        session = options.session(SessionInfo())
        run(session, greet(session), b"+OK\r\n")
        actor = Actor(authenticate(session, PlainClient("ann", "tanstaaf"))).receive(ok, b"+OK\r\n")
        assert (b"AGFubgB0YW5zdGFhZg==" in b"".join(actor.written)) == bool(quirks)
        if quirks:
            assert actor.outcome() is None
        else:
            with pytest.raises(RemoteProtocolError, match="it may be an impostor"):
                actor.outcome()


def test_text_in_place_of_an_empty_challenge():
    options = SessionOptions(tls="none", cleartext="always", quirks={Quirk.UNENCODED_CHALLENGE})
    session = options.session(SessionInfo())
    run(session, greet(session), b"+OK\r\n")
    actor = Actor(authenticate(session, PlainClient("ann", "tanstaaf")))
    assert actor.receive(b"+ go on, please\r\n", b"+OK\r\n").outcome() is None
    assert session.tolerated == {Quirk.UNENCODED_CHALLENGE}


# ------------------------------------------------------------------------------------- a look before a command


def looks(pause, *arrived):
    """How often a client looks before its second command, after a pause, and that command."""
    session, _ = logged_in()
    clock = Clock()
    Actor(call(session, Noop()), clock).receive(b"+OK\r\n").outcome()
    clock.now += pause
    actor = Actor(call(session, Noop()), clock)
    actor.inbox.extend(arrived)
    actor.go()
    return sum(isinstance(operation, Look) for operation in actor.performed), actor


@pytest.mark.parametrize("pause, times", [(0, 0), (PAUSE - 0.01, 0), (PAUSE, 1), (1_000, 1)])
def test_a_client_looks_before_it_sends_after_a_pause(pause, times):
    looked, actor = looks(pause)
    assert looked == times
    assert actor.take() == b"NOOP\r\n"


@pytest.mark.parametrize("words, message", [(b"-ERR idle\r\n", "the session: idle"), (b"", "closed the connection")])
def test_what_it_sees_is_no_answer(words, message):
    _, actor = looks(1_000, words)
    with pytest.raises(ConnectionLost, match=message):
        actor.outcome()
    assert actor.take() == b""
