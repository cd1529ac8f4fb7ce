"""What a Service hands to each of its sessions."""

import pytest

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import Limits, Quirk
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.channel import ChannelBinding, TlsInfo
from pop3proto.sasl.registry import SERVER_MECHANISMS
from pop3proto.sasl.scram.mechanisms import ScramClient
from tests.helpers.drivers import (
    FakeStore,
    OneUser,
    Serving,
    sessions_come_to_their_end,  # noqa: F401 - it is a fixture
)
from tests.procedures.server.test_login_handlers import log_in

LIMITS = Limits(bad_commands=2, command_line=40)


def service(**arguments) -> Service:
    return Service(store=FakeStore(), authenticator=OneUser(), **arguments)


@pytest.mark.parametrize("tls", [True, False])
def test_each_connection_has_the_limits_and_quirks_of_the_service(tls):
    connection = service(limits=LIMITS, quirks={Quirk.BARE_LF}).connection(tls=tls)
    assert (connection.limits, connection.quirks) == (LIMITS, {Quirk.BARE_LF})
    assert connection.tls == tls
    assert service().connection(tls=tls).limits == Limits()


def test_the_limits_hold_in_a_session():
    connection = service(limits=LIMITS).connection(tls=False)
    session = Serving(FakeStore(), connection=connection).greeted()
    assert session.lines(b"NOOP " + b"x" * 40 + b"\r\n")[0].startswith(b"-ERR")
    assert session.lines(b"NOPE\r\nCAPA\r\n")[0].startswith(b"-ERR")
    assert session.actor.finished


def test_a_greeting_must_fit_into_the_limits():
    with pytest.raises(LocalProtocolError):
        service(greeting="x" * 30, limits=Limits(reply_line_sent=30))


# ------------------------------------------------------------------------------------------------ login methods

BOUND = TlsInfo("TLSv1.3", verified=True, bindings=(ChannelBinding("tls-exporter", b"x"),))
USERS = MemoryAuthenticator({"ann": "tanstaaf"})


def offered(**arguments) -> list[str]:
    """What is offered over TLS to a client that can bind."""
    session = Serving(FakeStore(), USERS, mode="implicit", tls=BOUND, **arguments).greeted()
    [line] = [line for line in session.lines(b"CAPA\r\n") if line.startswith(b"SASL")]
    return line.decode().split()[1:]


def test_plus_is_offered_only_if_it_is_asked_for():
    assert offered() == ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"]
    assert offered(mechanisms=SERVER_MECHANISMS)[:2] == ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS"]
    assert offered(mechanisms=["SCRAM-SHA-256-PLUS", "PLAIN"]) == ["SCRAM-SHA-256-PLUS", "PLAIN"]
    assert offered(mechanisms="PLAIN") == ["PLAIN"]


def test_a_client_that_could_bind_logs_in_without():
    """It says "y": it could have bound, and -PLUS was not announced (RFC 5802 section 6). That is the truth."""
    session = Serving(FakeStore(), USERS, mode="implicit", tls=BOUND).greeted()
    client = ScramClient("SHA-256", "ann", "tanstaaf", nonce="rOprNGfwEbeRWgbNEkqO", unannounced=True)
    assert log_in(session, client).startswith(b"+OK")


@pytest.mark.parametrize("mechanisms", [["GSSAPI"], ["PLAIN", "plain"], [""]])
def test_a_mechanism_that_there_is_not(mechanisms):
    with pytest.raises(LocalProtocolError, match=r"no mechanism '\w*'; there are SCRAM-SHA-512-PLUS, .*, ANONYMOUS"):
        service(mechanisms=mechanisms)


@pytest.mark.parametrize("user_pass", [True, False])
@pytest.mark.parametrize("apop", [True, False])
def test_the_commands_of_rfc_1939_can_be_left_out(user_pass, apop):
    session = Serving(FakeStore(), USERS, user_pass=user_pass, apop=apop)
    assert (b"<" in session.actor.go().take()) == apop
    assert (b"USER" in session.lines(b"CAPA\r\n")) == user_pass
    assert session.lines(b"APOP ann %b\r\n" % (b"0" * 32))[0].startswith(
        b"-ERR [AUTH]" if apop else b"-ERR APOP is not supported here"
    )
    [answer] = session.lines(b"USER ann\r\n")
    assert answer == (b"+OK send the password" if user_pass else b"-ERR USER and PASS are not supported here")


@pytest.mark.parametrize("setting", [{"deadlines": 3}, {"limits": 1}, {"login_penalty": 5}, {"login_penalty": False}])
def test_a_setting_of_the_wrong_type(setting):
    [name] = setting
    with pytest.raises(TypeError, match=rf"{name} takes a \w+, such as \w+\(.*\), not (\d|False)"):
        service(**setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"max_sessions": -1},
        {"max_sessions_before_login": 0},
        {"max_sessions_per_address": 0},
        {"logins_per_address": 0},
        {"login_attempts": 0},
        {"failure_delay": -1},
        {"failure_delay": float("inf")},
        {"failure_delay": float("nan")},
    ],
    ids=str,
)
def test_a_number_that_is_too_small(setting):
    [name] = setting
    with pytest.raises(ValueError, match=f"{name} must be at least [01], not "):
        service(**setting)


@pytest.mark.parametrize("setting", [{"max_sessions": None}, {"login_attempts": "5"}, {"failure_delay": None}], ids=str)
def test_what_is_no_number(setting):
    [name] = setting
    with pytest.raises(TypeError, match=f"{name} takes a number, not "):
        service(**setting)


def test_what_may_be_left_out():
    quiet = service(max_sessions_before_login=None, max_sessions_per_address=None, login_penalty=None, failure_delay=0)
    assert quiet.login_penalty is None
