"""What can go wrong, and whose fault it was."""

import copy
import pickle

import pytest

from pop3proto.core import errors
from pop3proto.core.commands import Apop, Auth, Capa, Pass, Retr
from pop3proto.core.errors import (
    Broken,
    Busy,
    CertificateError,
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    Pop3Error,
    ProtocolError,
    RemoteProtocolError,
    TimedOut,
    TlsAlert,
    UncertainUpdate,
    forget_locals,
    forgetting_locals,
)
from pop3proto.core.refusals import CommandFailed, LoginFailed, RefusedLogin, SessionRefused
from pop3proto.core.replies import Err, ResponseCode

REFUSED = CommandFailed(Retr(7), Err("[SYS/TEMP] try later"))
LOGIN = LoginFailed([RefusedLogin(Auth("PLAIN", b"secret"), Err("[AUTH] no")), RefusedLogin(Pass("secret"), Err())])
EXPIRED = TlsAlert("the connection broke", alert="certificate expired")
GREETED = SessionRefused(Err.coded(ResponseCode.IN_USE, "busy"))


@pytest.mark.parametrize("name", sorted({*errors.__all__} - {"forget_locals", "forgetting_locals"}))
def test_all_errors_are_ours(name):
    assert issubclass(getattr(errors, name), Pop3Error)


@pytest.mark.parametrize(
    "special, general",
    [
        (LocalProtocolError, ProtocolError),
        (RemoteProtocolError, ProtocolError),
        (LoginFailed, CommandFailed),
        (UncertainUpdate, ConnectionLost),
        (TlsAlert, ConnectionLost),
        (TimedOut, TimeoutError),
    ],
)
def test_a_special_error_is_a_general_one(special, general):
    assert issubclass(special, general)


def test_whose_fault_it_was_is_never_in_doubt():
    kinds = [
        LocalProtocolError,
        RemoteProtocolError,
        MalformedReply,
        CommandFailed,
        ConnectionLost,
        TimedOut,
        Busy,
        Broken,
    ]
    for kind in kinds:
        assert [other for other in kinds if issubclass(kind, other)] == [kind]


def test_a_refused_command_says_what_and_why():
    assert str(REFUSED) == "the server refused RETR 7: [SYS/TEMP] try later"
    assert str(CommandFailed(Capa(), Err())) == "the server refused CAPA: it gave no reason"
    assert (REFUSED.command, REFUSED.reply) == (Retr(7), Err("[SYS/TEMP] try later"))
    assert str(REFUSED.code) == "SYS/TEMP"
    assert CommandFailed(Capa(), Err("no")).code is None


def test_a_refused_login_says_all_that_was_tried():
    assert str(LOGIN) == "login failed (AUTH PLAIN ***: [AUTH] no; PASS ***: -ERR)"
    assert LOGIN.attempts == (
        RefusedLogin(Auth("PLAIN", b"secret"), Err("[AUTH] no")),
        RefusedLogin(Pass("secret"), Err()),
    )
    assert (LOGIN.command, LOGIN.reply) == (Pass("secret"), Err())  # the last one
    assert LOGIN.code is None
    refused = RefusedLogin(Apop("ann", "0" * 32), Err.coded(ResponseCode.AUTH, "no"))
    assert LoginFailed([refused]).code == ResponseCode.AUTH


def test_a_refused_login_says_over_which_connection_and_what_is_left():
    no = Err("no")
    attempts = [
        RefusedLogin(Auth("CRAM-MD5"), no),
        RefusedLogin(Auth("PLAIN", b"secret"), no, connection=2),
        RefusedLogin(Auth("PLAIN"), no, connection=2),
    ]
    failure = LoginFailed(attempts, ["USER/PASS"], "the server is gone")
    assert str(failure) == (
        "login failed (connection 1: AUTH CRAM-MD5: no; connection 2: AUTH PLAIN ***: no; AUTH PLAIN: no); "
        "not tried: USER/PASS, because the server is gone"
    )
    assert (failure.left, failure.why) == (("USER/PASS",), "the server is gone")
    assert str(LoginFailed(attempts[1:])) == "login failed (AUTH PLAIN ***: no; AUTH PLAIN: no)"
    again = pickle.loads(pickle.dumps(failure))
    assert (str(again), again.attempts, again.left) == (str(failure), failure.attempts, failure.left)


def test_a_refused_login_says_what_was_withheld():
    withheld = [("CRAM-MD5", "it is weak"), ("APOP", "it is old"), ("USER/PASS", "it is weak")]
    failure = LoginFailed([RefusedLogin(Auth("SCRAM-SHA-1"), Err("no"))], withheld=withheld)
    told = "withheld: CRAM-MD5, USER/PASS: it is weak; APOP: it is old"
    assert str(failure) == f"login failed (AUTH SCRAM-SHA-1: no); {told}"
    again = pickle.loads(pickle.dumps(failure))
    assert (str(again), again.withheld) == (str(failure), tuple(withheld))


def test_what_was_tried_says_what_the_server_said_within_the_exchange():
    attempt = RefusedLogin(Auth("XOAUTH2", b"secret"), Err("[AUTH] no"), '{"status":"400"}')
    assert str(attempt) == 'AUTH XOAUTH2 ***: [AUTH] no ({"status":"400"})'
    assert str(LoginFailed([attempt])) == f"login failed ({attempt})"


@pytest.mark.parametrize(
    "alert, about",
    [
        ("certificate required", True),
        ("unknown ca", True),
        ("bad record mac", False),
        ("protocol version", False),
        ("", False),
    ],
)
def test_an_alert_may_be_about_a_certificate(alert, about):
    error = TlsAlert("why", alert=alert)
    assert (str(error), error.alert, error.about_certificate) == ("why", alert, about)


def test_a_refused_session_says_why():
    assert str(GREETED) == "the server refused the session: [IN-USE] busy"
    assert GREETED.code == ResponseCode.IN_USE
    assert str(SessionRefused(Err())) == "the server refused the session: it gave no reason"
    assert SessionRefused(Err()).code is None


@pytest.mark.parametrize("error", [REFUSED, LOGIN, GREETED, EXPIRED, UncertainUpdate("why"), TimedOut("why")], ids=repr)
def test_errors_cross_processes(error):
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


@pytest.mark.parametrize("error", [REFUSED, LOGIN, *LOGIN.attempts], ids=repr)
def test_errors_show_no_secret(error):
    assert "secret" not in f"{error} {error!r}"


@pytest.mark.parametrize(
    "kind", [LocalProtocolError, RemoteProtocolError, MalformedReply, ConnectionLost, TimedOut, Busy, Broken]
)
def test_the_other_errors_say_what_they_were_told(kind):
    assert str(kind("why it is so")) == "why it is so"


# ------------------------------------------------------------------------------- tracebacks without secrets


def fail(error):
    secret = "tanstaaf"
    raise error from ValueError(len(secret))


def frames_of(error):
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def secrets_in(error):
    return [frame.f_locals["secret"] for frame in frames_of(error) if "secret" in frame.f_locals]


def caught(error, *, context=None):
    """The error, as it comes out of a call that knows a secret."""
    try:
        try:
            fail(context or error)
        finally:
            if context is not None:
                fail(error)
    except BaseException as raised:  # noqa: BLE001 - any
        return raised


def test_a_traceback_keeps_no_local_variables():
    error = caught(ConnectionLost("gone"))
    assert secrets_in(error) == ["tanstaaf"]
    forget_locals(error)
    assert secrets_in(error) == []


def test_neither_do_the_errors_behind_it():
    error = caught(ConnectionLost("gone"), context=KeyError("first"))
    group = caught(ExceptionGroup("several", [caught(TimedOut("late"))]))
    for each in (error.__context__, group.exceptions[0]):
        assert secrets_in(each) == ["tanstaaf"]
    error.__cause__.__context__ = error  # a circle, as reraised errors may make
    forget_locals(error)
    forget_locals(group)
    for each in (error, error.__context__, group, group.exceptions[0]):
        assert secrets_in(each) == []


def test_a_call_that_goes_on_keeps_its_own():
    secret = "tanstaaf"
    error = None
    try:
        fail(ConnectionLost("gone"))
    except ConnectionLost as raised:
        error = raised
    forget_locals(error)
    assert secrets_in(error) == [secret]


def test_whatever_leaves_the_block_is_forgotten():
    error = None
    try:
        with forgetting_locals():
            fail(ConnectionLost("gone"))
    except ConnectionLost as raised:
        error = raised
    assert secrets_in(error) == []
    with forgetting_locals():
        pass  # nothing is raised


def test_what_is_known_of_a_certificate():
    error = CertificateError("it was not accepted", host="a.example", port=995, reason="expired")
    assert (str(error), error.host, error.port, error.reason) == (error.args[0], "a.example", 995, "expired")
    assert CertificateError("it was not accepted").port == 0
    assert isinstance(error, ConnectionError)
