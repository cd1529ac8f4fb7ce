"""A server that repeats the password: no error, event, reply or log line of the client's shows it."""

import base64
import contextlib
import logging
import re

import pytest

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Apop, Auth, Dele, Noop, Pass, Stat, User
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, MalformedReply, Pop3Error, RemoteProtocolError
from pop3proto.core.events import Answer, AuthCancel, AuthResponse, BodyChunk, BodyEnd, Farewell
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import Err, Greeting, Ok, ResponseCode
from pop3proto.core.text import excerpt
from pop3proto.logs import LogObserver
from pop3proto.procedures.client.calls import call, call_all
from pop3proto.procedures.client.commands import establish, quit_session, start_tls
from pop3proto.procedures.client.exchange import authenticate
from pop3proto.procedures.client.login import login, planned
from pop3proto.procedures.client.secrets import Secrets
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.observer import Observers
from pop3proto.sasl.credentials import Anonymous, Password, Token
from pop3proto.sasl.plain import LoginClient, PlainClient
from tests.helpers.drivers import Script
from tests.procedures.client.test_reconnect import NO, STAMPED, Line, World, capa

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


def test_a_later_refusal():
    script = script_of().log_in()
    with pytest.raises(CommandFailed, match=r"NOOP: no \*\*\*"):
        script.run(call(script.session, Noop()), b"-ERR no tanstaaf\r\n")
    script.run(call(script.session, Noop()), b"+OK\r\n")
    with pytest.raises(CommandFailed, match=r"NOOP: no \*\*\*"):
        script.run(call(script.session, Noop()), b"-ERR no tanstaaf\r\n")


def test_what_is_parsed_is_not_masked():
    """A password may be any number."""
    script = script_of()
    script.run(call(script.session, User("ann")), b"+OK\r\n")
    script.run(call(script.session, Pass("12345678")), b"+OK 12345678\r\n")
    assert script.session.last_reply == Ok("***")
    assert script.run(call(script.session, Stat()), b"+OK 2 12345678\r\n").octets == 12345678
    assert script.session.last_reply == Ok("2 12345678")


def test_an_answer_that_makes_no_sense():
    script = script_of().log_in()
    with pytest.raises(MalformedReply, match=r"'\+OK \*\*\*") as error:
        script.run(call(script.session, Stat()), b"+OK tanstaaf\r\n")
    assert SECRET not in str(error.value)


def test_a_secret_that_was_not_sent():
    """A server that compares digests knows it all the same."""
    script = script_of(sasl=("CRAM-MD5",))
    with pytest.raises(LoginFailed) as failure:
        script.run(login(script.session, Password("ann", SECRET)), b"+ PDFAYT4=\r\n", b"-ERR no digest of tanstaaf\r\n")
    assert failure.value.reply == Err("no digest of ***")


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_what_stands_in_place_of_the_tls_handshake(mode):
    """The error quotes the octets that came in clear."""
    answers = {"STLS": [[b"+OK\r\n"]], "CAPA": [[capa("SASL PLAIN", "USER")]], "AUTH": [[NO, b""]]}
    quoting = ConnectionLost("the server does not begin TLS at once on this port: it sent '-ERR tanstaaf\\r\\n'")
    world = World(Line(answers), Line(answers, tls=quoting))
    session = Session(ClientConnection(tls=mode == "implicit"), reconnects=True)
    world.run(establish(session, mode))
    with pytest.raises(LoginFailed) as failure:
        world.run(login(session, Password("ann", SECRET)))
    assert "it sent '-ERR ***\\r\\n'" in failure.value.why
    assert SECRET not in shown_by(failure.value)


def test_what_stands_in_place_of_the_tls_handshake_behind_stls():
    quoting = ConnectionLost("it sent '-ERR tanstaaf\\r\\n'")
    world = World(Line({"STLS": [[b"+OK\r\n"]]}, tls=quoting))
    session = Session(ClientConnection())
    world.run(establish(session, "none"))
    session._secrets.note(Pass(SECRET))
    with pytest.raises(ConnectionLost) as error:
        world.run(start_tls(session))
    session.fail(error.value)
    assert str(error.value) == "it sent '-ERR ***\\r\\n'"


def test_a_short_secret_is_forgotten_after_the_login():
    """Stars in place of a number that the client has sent itself would give it away."""
    script = script_of()
    script.run(call(script.session, User("ann")), b"+OK\r\n")
    script.run(call(script.session, Pass("1234")), b"+OK 1234\r\n")
    assert script.session.last_reply == Ok("***")
    with pytest.raises(CommandFailed, match="no message 1234"):
        script.run(call(script.session, Dele(1234)), b"-ERR no message 1234\r\n")


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


def secrets_of(*items, credentials=None):
    secrets = Secrets()
    if credentials is not None:
        secrets.keep(credentials)
    for item in items:
        secrets.note(item)
    return secrets


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
def test_of_letters_alone_only_whole_words_are_hidden(text, shown):
    assert secrets_of(Pass(SECRET)).hide(text) == shown


def test_a_strong_secret_is_hidden_wherever_it_stands():
    assert secrets_of(Pass("tr0ub4dor")).hide("xtr0ub4dory_tr0ub4dor") == "x***y_***"
    assert secrets_of(Pass("tr0ub4d")).hide("xtr0ub4dy (tr0ub4d)") == "xtr0ub4dy (***)"


@pytest.mark.parametrize("password", ["a1-", "wrong", "letters", "a", "\u00e9"])
def test_what_is_too_short_or_an_ordinary_word_is_shown(password):
    text = f"the wrong password or {password}"
    assert secrets_of(Pass(password)).hide(text) == text


@pytest.mark.parametrize("password", ["a1-x", "wrong1", "eightlet"])
def test_what_is_long_enough_is_hidden(password):
    assert secrets_of(Pass(password)).hide(f"not {password}") == "not ***"


@pytest.mark.parametrize(
    "password,reply,shown",
    [
        ("SYS/TEMP", "[SYS/TEMP] not SYS/TEMP", "[SYS/TEMP] not ***"),
        ("IN-USE", "[IN-USE] x", "[IN-USE] x"),
        ("tanstaaf", "[tanstaaf] no", "[***] no"),
        ("tanstaaf", "[SYS/tanstaaf] no", "[SYS/***] no"),
        ("tanstaaf", "[AUTH] no", "[AUTH] no"),
        ("tanstaaf", "[AUTH]", "[AUTH]"),
    ],
)
def test_in_a_response_code_only_a_registered_one_stays(password, reply, shown):
    secrets = secrets_of(Pass(password))
    assert secrets.hide_in(Farewell(Err(reply))) == Farewell(Err(shown))
    assert secrets.hide_in(Answer(Noop(), Err(reply))) == Answer(Noop(), Err(shown))
    assert secrets.hide_in(Greeting(Ok(reply))) == Greeting(Ok(shown))


def test_what_is_secret_in_an_exchange():
    secrets = secrets_of(Auth("LOGIN"), AuthResponse(b"ann@example.org"), AuthResponse(b"tanstaaf"), AuthCancel())
    assert secrets.hide(f"ann@example.org {b64(b'tanstaaf')} tanstaaf") == "*** *** ***"
    secrets = secrets_of(AuthResponse(b"ann@example.org"), credentials=Password("ann@example.org", SECRET))
    assert (
        secrets.hide(f"ann@example.org {b64(b'ann@example.org')} tanstaaf")
        == f"ann@example.org {b64(b'ann@example.org')} ***"
    )
    assert secrets_of(Apop("ann", "0" * 32)).hide(f"<{'0' * 32}>") == "<***>"
    assert secrets_of(Pass("pass phrase 1.2.3")).hide("pass phrase 1.2.3, 1.2.3") == "***, ***"
    assert secrets_of(AuthResponse(b"user=a\1auth=Bearer ya/29\1\1")).hide(r'{"token": "ya\/29"}') == '{"token": "***"}'
    assert not secrets_of(Noop(), credentials=Anonymous("tanstaaf")).known


@pytest.mark.parametrize("text", ["bad argument '{}", "bad argument '{}'", "'{}' is too long", "<{}...>", "({})"])
@pytest.mark.parametrize(
    "password", ["hunter2hunter", "tanstaaf", 'p\u00e4ssw\u00f6rd"\\', "1234567", "\u20ac\u20ac\u20ac"]
)
def test_a_secret_that_the_server_has_cut(text, password):
    """As it is or in base64: of what it quotes, less than four octets are left."""
    secrets = secrets_of(Pass(password))
    for form in (
        password.encode(),
        base64.b64encode(password.encode()),
        base64.b64encode(password.encode()).rstrip(b"="),
    ):
        for length in range(4, len(form) + 1):
            said = text.encode().replace(b"{}", form[:length]).decode("utf-8", "surrogateescape")
            assert secrets.hide(said).replace("***=", "***") == text.replace("{}", "***"), said


def test_the_start_of_a_secret_is_hidden_as_a_secret_of_its_length():
    secrets = secrets_of(Pass("password-1234"))
    assert secrets.hide("xpassword-12x is not password") == "x***x is not ***"
    assert secrets.hide("passwords, pass or 'pass'") == "passwords, pass or '***'"
    assert secrets_of(Pass("p4ss-1234")).hide("p4ss-1 xp4ss p4sss p4s") == "*** xp4ss p4sss p4s"
    secrets.fade()
    assert secrets.hide("no password 'password-12'") == "no password 'password-12'"


def test_a_name_with_which_a_password_begins_is_no_secret():
    secrets = secrets_of(credentials=Password("ann.smith", "ann.smith-1"))
    assert secrets.hide("no ann.smith, not ann.smith-, nor 'ann.s'") == "no ann.smith, not ***, nor '***'"
    assert secrets_of(credentials=Password("ann.smithson", "ann.smith-1")).hide("no ann.smithson") == "no ann.smithson"


@pytest.mark.parametrize(
    "password, said",
    [
        ("a+b/c4567", r"a\u002Bb\/c4567"),
        ("a+b/c4567", r"\u0061\u002b\u0062/c4567"),
        ("p\u00e4ssword", r"p\u00e4ssword"),
        ("p\u00e4ssword", r"p\u00E4ssword"),
        ('say "\\now"', r"say \"\\now\""),
        ("\U0001f600-face", r"\ud83d\uDE00-face"),
        ("1234+", r"1234\u002b"),
    ],
)
def test_a_secret_with_the_escapes_of_json(password, said):
    """The rest stays as it is, so that JSON stays JSON."""
    secrets = secrets_of(Pass(password))
    assert secrets.hide(rf'{{"a\"b": "{said}", "c": "\u00e4"}}') == r'{"a\"b": "***", "c": "\u00e4"}'


def test_the_secrets_of_many_logins_are_bounded():
    secrets = secrets_of(*[Pass(f"password{number}") for number in range(1_000)])
    assert secrets.hide("password999 password998 password0") == "*** *** password0"


@pytest.mark.parametrize("border", range(40, 62))
@pytest.mark.parametrize(
    "password", ["tanstaaf", "tr0ub4dor", "p\u00e4ssw\u00f6rd'\"\\", "it's", "a\"b'c", "\u20ac\u20ac\u20ac"]
)
def test_an_excerpt_that_is_escaped_and_cut(password, border):
    """Whatever stands before a secret, and wherever it is cut, less than four octets of it are left."""
    octets = password.encode()
    secrets = secrets_of(Pass(password))
    for before in (b"-ERR ", b"\0", b"'", b'"', b"\r"):
        line = before.rjust(border, b"-") + octets + b" and more"
        shown = secrets.hide_in_error(f"the server sent {excerpt(line)} instead of an answer to USER o'neil")
        quoted = re.fullmatch(r"the server sent ['\"](.*)['\"](?:\.\.\.)? instead of an answer to USER o'neil", shown)[
            1
        ]
        assert repr(octets[:4])[2:-1].replace(r"\'", "'") not in quoted.replace(r"\'", "'")


def test_an_error_without_secrets_stays_as_it_is():
    error = RemoteProtocolError("the server sent 'it\\'s' instead of an answer", 7)
    secrets_of(Pass("another")).hide_in_raised(error)
    assert error.args == ("the server sent 'it\\'s' instead of an answer", 7)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_observers_are_told_of_bodies_in_lines(size):
    """A secret that is cut over two chunks would be whole in a transcript."""
    body = b"USER\r\nX-FIRST tanstaaf\r\nIMPLEMENTATION tanstaaf"
    secrets = secrets_of(Pass(SECRET))
    chunks = [BodyChunk(body[at : at + size]) for at in range(0, len(body), size)]
    told = [each for event in [*chunks, BodyEnd()] for each in secrets.told(event)]
    assert b"".join(each.data for each in told[:-1]) == b"USER\r\nX-FIRST ***\r\nIMPLEMENTATION ***"
    assert told[-1] == BodyEnd()


def test_a_body_of_one_endless_line_is_not_kept_back():
    secrets = secrets_of(Pass(SECRET))
    told = [each for _ in range(100) for each in secrets.told(BodyChunk(b"x" * 1_000))]
    assert sum(len(each.data) for each in told) > 90_000


# ----------------------------------------------------------------------------------------------- the law


class Echo(Line):
    """A server that repeats the secret in one place.

    Args:
        place: the name of what is said otherwise than usual.
        says: what it says there; `{}` is the secret.
        form: of the secret: "secret", "base64", or "sent", as it came in the latest line.
        secret: the client's.
        kind: of the connection: "first", which refuses and hangs up, or "second".
    """

    def __init__(self, place, says, form, secret, kind):
        super().__init__({}, greeting=STAMPED)
        self._place, self._says, self._form, self._secret, self._kind = place, says, form, secret, kind
        self._sent = b""
        self.outgoing.clear()
        self._say("greeting" if kind == "second" else "", STAMPED)

    def _say(self, place, usual):
        if place != self._place:
            self.outgoing.append(usual)
            return
        form = {"secret": self._secret, "base64": base64.b64encode(self._secret), "sent": self._sent or self._secret}
        self.outgoing += [each.replace(b"{}", form[self._form]) for each in self._says]

    def hear(self, octets):
        for line in octets.splitlines():
            self.heard.append(line)
            if self.over:
                return
            verb = line.split(b" ")[0].decode()
            if verb in {"CAPA", "USER", "STAT", "NOOP", "QUIT"}:
                self._say(verb, {"CAPA": self._listed(), "STAT": b"+OK 2 320\r\n"}.get(verb, b"+OK\r\n"))
            else:
                self._answer(verb, line)

    @staticmethod
    def _listed():
        return capa("SASL PLAIN XOAUTH2", "USER")

    def _answer(self, verb, line):
        self._sent = line.rpartition(b" ")[2]
        if verb == "AUTH" and b" " not in line.removeprefix(b"AUTH "):
            self._say("challenge", b"+ \r\n")
        elif self._kind == "first":
            self._say("refusal", NO)
            self._say("farewell", b"")
            self.over = True
        else:
            self._say("answer", b"+OK\r\n")
            self.over = self._place == "answer"


LINES = {
    "text": [b"-ERR no {} here\r\n"],
    "response code": [b"-ERR [{}] no\r\n"],
    "level of a response code": [b"-ERR [SYS/{}] no\r\n"],
    "positive": [b"+OK {}\r\n"],
    "challenge": [b"+ {}\r\n"],
    "malformed": [b"what {}\r\n"],
    "malformed and nothing else": [b"{}\r\n"],
    "escaped": [b"-ERR \0ann\0{}\r\n"],
    "escaped with octets": [b"?\xff\xfe{}\xff\r\n"],
    "cut": [b"." * 50 + b"{}\r\n"],
    "cut late": [b"." * 54 + b"{}\r\n"],
    "incomplete": [b"-ERR {}"],
    "two lines": [b"-ERR\r\n", b"-ERR {}\r\n"],
    "two lines, malformed": [b"-ERR\r\n", b"{}\r\n"],
    "multi-line": [b"+OK {}\r\nUSER\r\nSASL PLAIN XOAUTH2\r\nIMPLEMENTATION {}\r\nX-Y {}\r\n{}\r\n.\r\n"],
    "multi-line in chunks": [b"+OK\r\nUSER\r\nSASL PLAIN XOAUTH2\r\nX {", b"}\r\n.\r\n"],
}
WHERE = ["greeting", "CAPA", "USER", "refusal", "farewell", "challenge", "answer", "STAT", "NOOP", "QUIT"]
TRICKY = "p\u00e4ss'w\u00f6rd\"4\\u"


class Everything(LogObserver):
    """Writes a log, and keeps all that it is told."""

    def __init__(self):
        super().__init__(logging.getLogger("tests.echo"), logging.INFO)
        self.told = []

    def heard(self, session, event, /):
        super().heard(session, event)
        data = event.data if isinstance(event, BodyChunk) else b""
        self.told.append(f"{event!r} {data!r} {data.decode('utf-8', 'surrogateescape')}")

    def ended(self, session, error, /):
        super().ended(session, error)
        self.told.append(shown_by(error))


def shown_by(error):
    shown, following = "", [error]
    while following:
        if (each := following.pop()) is not None:
            shown += f"{each} {each!r} {vars(each)!r} "
            following += [each.__cause__, each.__context__]
    return shown


@pytest.mark.deep(keep=10)
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("form", ["secret", "base64", "sent"])
@pytest.mark.parametrize(
    "secret,only",
    [
        ("tanstaaf", None),
        ("tanstaaf", ["APOP", "USER/PASS"]),
        (TRICKY, None),
        (TRICKY, ["PLAIN", "USER/PASS"]),
        ("ya29.a0/AfH6SM+tail==", None),
    ],
)
def test_whatever_a_server_repeats_nothing_shows_the_secret(where, form, secret, only, caplog):
    caplog.set_level(logging.INFO)
    sent = base64.b64encode(b"\0ann\0" + secret.encode()).decode()
    for name, line in LINES.items():
        if where in {"STAT", "NOOP"} and line[0].startswith(b"+OK"):
            continue  # data
        caplog.clear()
        shown = all_that_is_shown(where, line, form, secret, only) + caplog.text
        for piece in (secret, repr(secret.encode())[2:-1], b64(secret.encode()), sent):
            assert piece[:6] not in shown, name


def all_that_is_shown(where, line, form, secret, only):
    """All that a client shows of a login, and of what follows it."""
    observer = Everything()
    kinds = ["first", "second", "second"]
    world = World(*[Echo(where, line, form, secret.encode(), kind) for kind in kinds], silence=True)
    credentials = Token("ann", secret) if secret.startswith("ya29") else Password("ann", secret)
    shown = ""
    session = Session(ClientConnection(tls=True), reconnects=True, observers=(observer,))
    world.run(establish(session, "implicit"))
    session.keep_secret(credentials)  # as in a second login over this connection
    try:
        world.run(login(session, credentials, only=only, initial_response=form != "secret"))
        for command in (Stat(), Noop()):
            world.run(call(session, command))
        world.run(quit_session(session))
    except (Pop3Error, OSError) as error:
        shown += shown_by(error)
        session.fail(error)
    shown += f"{session.greeting} {session.last_reply} {session.attempts} {session.capabilities} {session.broken}"
    with contextlib.suppress(LocalProtocolError):
        shown += f"{planned(session, credentials)}"
    return f"{shown} {session.context} {observer.told}"
