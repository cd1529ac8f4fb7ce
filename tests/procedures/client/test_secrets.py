"""A server that repeats the password in an answer: no error, reply or log line of the client's shows it."""

import base64
import logging

import pytest

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import Apop, Auth, Noop, Pass, User
from pop3proto.core.errors import RemoteProtocolError
from pop3proto.core.events import AuthCancel, AuthResponse
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import Err, Ok, ResponseCode
from pop3proto.logs import LogObserver
from pop3proto.procedures.client.commands import call, call_all
from pop3proto.procedures.client.exchange import authenticate
from pop3proto.procedures.client.login import login
from pop3proto.procedures.client.secrets import reply_without, secrets_of, without
from pop3proto.procedures.observer import Observers
from pop3proto.sasl.credentials import Password, Token
from pop3proto.sasl.plain import LoginClient, PlainClient
from tests.helpers.drivers import Script

SECRET = "tanstaaf"


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def script_of(*, sasl: tuple[str, ...] = (), caplog: pytest.LogCaptureFixture | None = None) -> Script:
    script = Script(capabilities=Capabilities(sasl=sasl, user=not sasl))
    if caplog is not None:
        caplog.set_level(logging.DEBUG)
        script.session._observers = Observers((LogObserver(logging.getLogger("tests"), logging.INFO),))
    return script


def test_a_refused_pass(caplog):
    script = script_of(caplog=caplog)
    with pytest.raises(LoginFailed) as failure:
        script.run(
            login(script.session, Password("ann", SECRET)), b"+OK\r\n", b'-ERR [AUTH] ann: "tanstaaf" is wrong\r\n'
        )
    assert failure.value.reply == Err('[AUTH] ann: "***" is wrong')
    assert failure.value.code == ResponseCode.AUTH
    assert script.session.last_reply == failure.value.reply
    assert "is wrong" in str(failure.value)
    assert "is wrong" in caplog.text
    assert SECRET not in f"{failure.value} {failure.value!r} {failure.value.attempts} {caplog.text}"


def test_an_accepted_pass():
    script = script_of()
    script.run(call(script.session, User("ann")), b"+OK\r\n")
    script.run(call(script.session, Pass(SECRET)), b"+OK ann tanstaaf logged in\r\n")
    assert script.session.last_reply == Ok("ann *** logged in")


def test_a_refused_pass_behind_a_user_that_was_not_waited_for():
    script = script_of()
    commands = [User("ann"), Pass(SECRET)]
    with pytest.raises(CommandFailed) as failure:
        script.run(call_all(script.session, commands), b"+OK\r\n", b"-ERR not tanstaaf\r\n")
    assert str(failure.value) == "the server refused PASS ***: not ***"


def test_the_answer_to_the_next_command_is_shown():
    script = script_of().log_in()
    with pytest.raises(CommandFailed, match="tanstaaf"):
        script.run(call(script.session, Noop()), b"-ERR tanstaaf\r\n")


def test_what_is_no_answer_at_all():
    script = script_of()
    script.run(call(script.session, User("ann")), b"+OK\r\n")
    with pytest.raises(RemoteProtocolError, match=r"\*\*\*") as error:
        script.run(call(script.session, Pass(SECRET)), b"wrong tanstaaf\r\n")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("initial", [True, False])
def test_a_refused_plain(initial):
    script = script_of(sasl=("PLAIN",))
    response = b64(b"\0ann\0tanstaaf")
    answers = [*[b"+ \r\n"] * (not initial), f"-ERR ann, {response}, tanstaaf, {b64(b'tanstaaf')}!\r\n".encode()]
    with pytest.raises(LoginFailed) as failure:
        script.run(authenticate(script.session, PlainClient("ann", SECRET), initial_response=initial), *answers)
    assert failure.value.reply == Err("ann, ***, ***, ***!")


def test_a_refused_login():
    script = script_of(sasl=("LOGIN",))
    mechanism = LoginClient("ann", SECRET)
    with pytest.raises(LoginFailed) as failure:
        script.run(
            authenticate(script.session, mechanism), b"+ \r\n", b"+ \r\n", f"-ERR no {b64(b'tanstaaf')}\r\n".encode()
        )
    assert failure.value.reply == Err("no ***")


@pytest.mark.parametrize("name", ["XOAUTH2", "OAUTHBEARER"])
def test_a_refused_token(name):
    script = script_of(sasl=(name,))
    detail = b64(b'{"status": "invalid_token", "of": "ya29.secret"}')
    with pytest.raises(LoginFailed) as failure:
        script.run(
            login(script.session, Token("ann", "ya29.secret")),
            f"+ {detail}\r\n".encode(),
            b"-ERR the Bearer ya29.secret has expired\r\n",
        )
    assert "secret" not in str(failure.value)
    assert "invalid_token" in str(failure.value)
    assert failure.value.reply.text.endswith("*** has expired")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("tanstaaf", "***"),
        ("a tanstaaf, tanstaaf.", "a ***, ***."),
        ("tanstaafs xtanstaaf", "tanstaafs xtanstaaf"),
        ("TANSTAAF", "TANSTAAF"),
        ("", ""),
    ],
)
def test_only_whole_words_are_hidden(text, shown):
    assert without(text, secrets_of(Pass(SECRET), ())) == shown


@pytest.mark.parametrize("password", ["a1-", "wrong", "letters", "a", "\u00e9"])
def test_what_is_too_short_or_an_ordinary_word_is_shown(password):
    text = f"the wrong password or {password}"
    assert without(text, secrets_of(Pass(password), ())) == text


@pytest.mark.parametrize("password", ["a1-x", "wrong1", "eightlet"])
def test_what_is_long_enough_is_hidden(password):
    assert without(f"not {password}", secrets_of(Pass(password), ())) == "not ***"


def test_the_response_code_stays():
    secrets = secrets_of(Pass("SYS/TEMP"), ())
    assert reply_without(Err("[SYS/TEMP] not SYS/TEMP"), secrets) == Err("[SYS/TEMP] not ***")
    same = Err("[AUTH] no")
    assert reply_without(same, secrets) is same


def test_what_is_secret_in_an_exchange():
    first = secrets_of(Auth("LOGIN"), ("earlier",))
    assert first == ()
    both = secrets_of(AuthResponse(b"tanstaaf"), secrets_of(AuthResponse(b"ann@example.org"), first))
    assert {"tanstaaf", b64(b"tanstaaf"), "ann@example.org"} <= set(both)
    assert secrets_of(AuthCancel(), both) == both
    assert secrets_of(Noop(), both) == ()
    assert secrets_of(Apop("ann", "0" * 32), both) == ("0" * 32,)
    assert {"pass phrase 1.2.3", "1.2.3"} <= set(secrets_of(Pass("pass phrase 1.2.3"), ()))
