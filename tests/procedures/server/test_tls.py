"""STLS and implicit TLS at the server: what may stand where, and what is forgotten."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.commands import Utf8
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from pop3proto.core.replies import Ok
from pop3proto.core.states import State
from pop3proto.procedures.operations import Now, Random, Read, StartTls, Write
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.handlers import HANDLERS
from pop3proto.procedures.server.loop import serve_session
from pop3proto.sasl.channel import ChannelBinding, SessionInfo, TlsInfo
from tests.helpers.drivers import Cancelled, Clock, FakeStore, OneUser, Serving, codes

BOUND = TlsInfo("TLSv1.2", verified=True, bindings=(ChannelBinding("tls-unique", b"finished"),))
LOGIN = b"USER ann\r\nPASS tanstaaf\r\n"
BEGUN = b"+OK begin TLS\r\n"


class Users(OneUser):
    """Ann; it keeps what it was told of the session."""

    def __init__(self) -> None:
        super().__init__(blocks=False)
        self.told: list[SessionInfo] = []

    def check_password(self, user: str, password: str, session: SessionInfo) -> bool:
        self.told.append(session)
        return super().check_password(user, password, session)


def serving(*mail: bytes, mode="starttls", **arguments) -> Serving:
    return Serving(FakeStore(*mail), arguments.pop("users", None), mode=mode, **arguments).greeted()


def capabilities(session: Serving) -> set[bytes]:
    return set(session.lines(b"CAPA\r\n")[1:-1])


def kinds(session: Serving) -> list[type]:
    return [type(operation) for operation in session.actor.performed]


# ---------------------------------------------------------------------------------------- where it is offered


@pytest.mark.parametrize("mode", ["none", "starttls", "implicit"])
@pytest.mark.parametrize("loopback", [True, False])
def test_stls_is_offered_where_it_works(mode, loopback):
    session = serving(mode=mode, loopback=loopback)
    offered = mode == "starttls"
    assert (b"STLS" in capabilities(session)) == offered
    assert codes(session.lines(b"STLS\r\n")) == ([b"+OK"] if offered else [b"-ERR"])
    assert kinds(session).count(StartTls) == (mode != "none")


def test_not_under_tls():
    session = serving(mode="starttls")
    session.ask(b"STLS\r\n")
    assert b"STLS" not in capabilities(session)
    assert codes(session.lines(b"STLS\r\n")) == [b"-ERR"]
    assert kinds(session).count(StartTls) == 1


def test_not_after_login():
    session = serving()
    session.ask(LOGIN)
    assert session.store.locked
    assert b"STLS" not in capabilities(session), "RFC 2595 section 4: while the command is permitted"
    assert codes(session.lines(b"STLS\r\nNOOP\r\n")) == [b"-ERR", b"+OK"]
    assert StartTls not in kinds(session)


@pytest.mark.parametrize("line", [b"STLS x", b"STLS  x", b"STLSx", b"STLS\t"])
def test_stls_takes_no_argument(line):
    session = serving()
    assert codes(session.lines(line + b"\r\nCAPA\r\n"))[:2] == [b"-ERR", b"+OK"]
    assert StartTls not in kinds(session)
    assert b"STLS" in capabilities(session)


@pytest.mark.parametrize("line", [b"stls", b"Stls ", b"STLS  "])
def test_stls_however_it_is_written(line):
    assert serving().ask(line + b"\r\n") == BEGUN


def test_not_after_utf8():
    """RFC 6856 section 2.1."""
    session = serving(handlers={**HANDLERS, Utf8: lambda session, _: session.say(Ok("UTF-8 it is"))})
    assert codes(session.lines(b"UTF8\r\nSTLS\r\n")) == [b"+OK", b"-ERR"]
    assert StartTls not in kinds(session)


def test_not_inside_an_exchange():
    session = serving()
    assert codes(session.lines(b"AUTH PLAIN\r\nSTLS\r\n")) == [b"+", b"-ERR"]
    assert StartTls not in kinds(session)


# ---------------------------------------------------------------------------------- octets in the wrong place


@given(st.binary(min_size=1, max_size=40) | st.sampled_from([b"NOOP\r\n", LOGIN, b"\r\n", b"C", b"\x16\x03\x01"]))
@pytest.mark.parametrize("before", [b"", b"CAPA\r\n", b"AUTH\r\n"])
def test_octets_behind_stls_end_the_session(before, behind):
    """CVE-2011-0411: they came in clear, and would be read as if TLS had protected them."""
    users = Users()
    session = serving(users=users, mode="starttls")
    answers = session.lines(before + b"STLS\r\n" + behind)
    assert session.actor.finished
    with pytest.raises(RemoteProtocolError):
        session.actor.outcome()
    assert not any(b"TLS" in line and line.startswith(b"+OK") for line in answers)
    assert codes(answers).count(b"+OK") == bool(before)
    assert b"-ERR" not in codes(answers)
    assert StartTls not in kinds(session)
    assert not users.told
    assert session.store.log in ([], ["capabilities None"])


@pytest.mark.parametrize("cut", range(1, len(b"STLS\r\n")))
def test_octets_behind_stls_however_it_is_cut(cut):
    session = serving()
    session.ask(b"STLS\r\n"[:cut], b"STLS\r\n"[cut:] + b"CAPA\r\n")
    with pytest.raises(RemoteProtocolError):
        session.actor.outcome()
    assert session.actor.take() == b""


@pytest.mark.parametrize("behind", [b"CAPA\r\n", b"C", LOGIN])
def test_octets_in_clear_before_the_handshake_is_done(behind):
    """A driver that has read more than it should hands it over; the next segment is no better than the same one."""
    users, store = Users(), FakeStore()
    session = Serving(store, users, mode="starttls")
    procedure = serve_session(session.service, session.connection, tls="starttls", loopback=True)
    said, result = b"", None

    def step() -> None:
        nonlocal said, result
        match procedure.send(result):
            case Read():
                assert b"begin" not in said
                result = b"STLS\r\n"
            case StartTls(last_words):
                said += last_words
                session.connection.receive_data(behind)
                result = BOUND
            case Write(octets):
                said += octets
                result = None
            case Random(count):
                result = bytes(count)
            case Now():
                result = 0.0

    while not isinstance(result, TlsInfo):
        step()
    with pytest.raises(RemoteProtocolError):
        step()
    assert said.endswith(BEGUN), "nothing was said after it"
    assert session.connection.state is State.CLOSED
    assert not users.told
    assert not store.log


# ------------------------------------------------------------------------------------------------ afterwards


def test_the_answer_goes_out_in_clear_before_the_handshake_and_nothing_is_read_between():
    session = serving()
    session.ask(b"CAPA\r\nSTLS\r\n")
    handshake = kinds(session).index(StartTls)
    operation = session.actor.performed[handshake]
    assert operation.last_words.endswith(b"\r\n.\r\n" + BEGUN)
    assert [kind for kind in kinds(session)[:handshake] if kind is Read] == [Read]


def test_a_name_given_before_is_forgotten():
    users = Users()
    session = serving(users=users)
    assert codes(session.lines(b"USER ann\r\n", b"STLS\r\n")) == [b"+OK", b"+OK"]
    assert codes(session.lines(b"PASS tanstaaf\r\n")) == [b"-ERR"]
    assert not users.told
    assert codes(session.lines(LOGIN)) == [b"+OK", b"+OK"]


def test_an_exchange_given_up_before_is_forgotten():
    session = serving()
    assert codes(session.lines(b"AUTH PLAIN\r\n", b"*\r\n", b"STLS\r\n")) == [b"+", b"-ERR", b"+OK"]
    assert codes(session.lines(b"AGFubgB0YW5zdGFhZg==\r\n")) == [b"-ERR"]
    assert session.store.log == []


def test_capabilities_change_with_tls():
    session = serving(loopback=False)
    before = capabilities(session)
    session.ask(b"STLS\r\n")
    after = capabilities(session)
    assert before - after == {b"STLS"}
    assert after - before == {b"USER", b"SASL PLAIN LOGIN"}


def test_who_does_not_start_tls_cannot_log_in_from_afar():
    session = serving(loopback=False)
    assert codes(session.lines(LOGIN)) == [b"-ERR [SYS/PERM]", b"-ERR"]
    session.ask(b"STLS\r\n")
    assert codes(session.lines(LOGIN)) == [b"+OK", b"+OK"]


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_store_and_authenticator_know_of_tls(mode):
    users = Users()
    session = serving(users=users, mode=mode, tls=BOUND)
    if mode == "starttls":
        session.ask(b"STLS\r\n")
    session.ask(LOGIN)
    assert users.told == [SessionInfo("", BOUND)]
    assert session.store.openers == [("ann", SessionInfo("", BOUND, user="ann"))]


def test_without_tls_they_know_that():
    users = Users()
    session = serving(users=users)
    session.ask(LOGIN)
    assert users.told == [SessionInfo("", None)]


def test_what_the_session_knew_before_stays():
    """The address, say; only TLS is added."""
    users, store = Users(), FakeStore()
    template = Serving(store, users, mode="starttls")
    procedure = serve_session(
        template.service, template.connection, SessionInfo("192.0.2.7"), loopback=False, tls="starttls"
    )
    template.actor.__init__(procedure, tls=BOUND)
    template.greeted().ask(b"STLS\r\n", LOGIN)
    assert users.told == [SessionInfo("192.0.2.7", BOUND)]


def test_failures_from_before_still_count():
    """Else a new guess would cost a handshake only."""
    session = serving(login_attempts=2)
    guess = b"USER ann\r\nPASS guess\r\n"
    session.ask(guess, b"STLS\r\n", guess)
    assert session.actor.finished


def test_the_state_is_authorization_after_it_and_there_is_no_second_greeting():
    session = serving()
    assert session.ask(b"STLS\r\n") == BEGUN
    assert session.connection.state is State.AUTHORIZATION
    assert session.connection.tls


# ------------------------------------------------------------------------------------------ handshakes that fail


@pytest.mark.parametrize("error", [ConnectionLost("no"), TimedOut("too late"), Cancelled(), RuntimeError("a fault")])
def test_a_handshake_that_fails_ends_the_session(error):
    session = serving(tls=error)
    assert session.ask(b"CAPA\r\nSTLS\r\n").endswith(BEGUN)
    assert session.actor.finished
    with pytest.raises(type(error)):
        session.actor.outcome()
    handshake = kinds(session).index(StartTls)
    assert not {Read, Write} & set(kinds(session)[handshake + 1 :]), "there is no way back to clear text"
    assert session.connection.state is State.CLOSED
    assert session.store.log == ["capabilities None"]
    with pytest.raises(LocalProtocolError):
        session.connection.send(Ok())


@pytest.mark.parametrize("error", [ConnectionLost("no"), TimedOut("too late"), Cancelled(), RuntimeError("a fault")])
def test_an_implicit_handshake_that_fails_ends_the_session(error):
    session = Serving(FakeStore(), mode="implicit", tls=error)
    with pytest.raises(type(error)):
        session.actor.go().outcome()
    assert session.actor.take() == b""
    assert not {Read, Write} & set(kinds(session))
    assert session.connection.state is State.CLOSED


def test_the_handshake_of_stls_must_be_done_before_the_login_is_due():
    clock = Clock()
    session = serving(clock=clock, deadlines=Deadlines(login=60))
    greeted = clock.now
    session.actor.sleep(25)
    session.ask(b"STLS\r\n")
    [handshake] = [operation for operation in session.actor.performed if isinstance(operation, StartTls)]
    assert handshake.until == greeted + 60


# --------------------------------------------------------------------------------------------- implicit TLS


def test_implicit_tls_shakes_hands_before_the_first_octet():
    session = serving(mode="implicit", loopback=False)
    assert kinds(session).index(StartTls) < kinds(session).index(Write)
    assert {b"USER", b"SASL PLAIN LOGIN"} <= capabilities(session)
    assert codes(session.lines(LOGIN)) == [b"+OK", b"+OK"]


def test_the_handshake_is_part_of_the_time_for_the_login():
    session = Serving(FakeStore(), mode="implicit")
    session.actor.go()
    (handshake,) = [operation for operation in session.actor.performed if isinstance(operation, StartTls)]
    session.actor.clock.now += 59
    session.ask(b"CAPA\r\n")
    assert isinstance(session.actor.waits, Read)
    assert session.actor.waits.until == handshake.until
