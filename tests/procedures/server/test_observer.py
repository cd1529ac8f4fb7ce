"""What an observer of a server's sessions is told: everything, in order, and no secret."""

from base64 import b64encode
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.authenticators.memory import MemoryTokenAuthenticator
from pop3proto.core.commands import Apop, Auth, Capa, Dele, ListOne, Noop, Pass, Quit, Retr, Stls, User
from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.core.events import (
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BadCommand,
    BodyChunk,
    BodyEnd,
    ConnectionClosed,
)
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.procedures.observer import masked
from pop3proto.procedures.operations import Run, StartTls
from pop3proto.sasl.channel import SessionInfo, TlsInfo
from pop3proto.sasl.md5 import apop_digest
from tests.helpers.drivers import Cancelled, FakeStore, OneUser, Serving, codes

MARKER = "5ecret"
DIGEST = "0123456789abcdef" * 2
MAIL = b"A: b\n\nbody\n"


def everything(item: object) -> str:
    """All that can be seen of an object, and of what it holds."""
    shown = f"{item!r} {item} "
    if attrs.has(type(item)):
        shown += f"{attrs.asdict(item)!r} {attrs.astuple(item)!r} "
        shown += "".join(everything(getattr(item, field.name)) for field in attrs.fields(type(item)))
    if isinstance(item, bytes):
        shown += item.decode("latin-1")
    if encode := getattr(item, "encode", None):
        octets = encode()
        shown += octets.decode("latin-1") if not isinstance(item, str) else ""
    return shown


class Recorder:
    """Keeps all that it is told; fails as told."""

    def __init__(self, fails_at: str = "", error: Exception | None = None) -> None:
        self.told: list[tuple[str, SessionInfo, object]] = []
        self._fails_at = fails_at
        self._error = error or ZeroDivisionError(fails_at)

    def heard(self, session: SessionInfo, event: object, /) -> None:
        self._note("heard", session, event)

    def said(self, session: SessionInfo, response: object, /) -> None:
        self._note("said", session, response)

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        self._note("ended", session, error)

    def _note(self, kind: str, session: SessionInfo, item: object) -> None:
        self.told.append((kind, session, item))
        if self._fails_at == f"{kind} {type(item).__name__}":
            raise self._error

    def check_end(self) -> BaseException | None:
        """Return with which error the session has ended, which was told once and last."""
        assert [kind for kind, _, _ in self.told].count("ended") == 1
        kind, _, error = self.told[-1]
        assert kind == "ended"
        assert error is None or isinstance(error, BaseException)
        return error

    @property
    def lines(self) -> list[tuple[str, object]]:
        return [(kind, item) for kind, _, item in self.told]


def serving(*mail: bytes, recorder: Recorder | list[Recorder], **arguments) -> Serving:
    authenticator = arguments.pop("authenticator", None)
    return Serving(FakeStore(*mail), authenticator, observer=recorder, **arguments)


# ------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "item",
    [
        Pass(MARKER),
        Pass(f" {MARKER} {MARKER}"),
        Auth("PLAIN", MARKER.encode()),
        Auth("PLAIN", f"\0ann\0{MARKER}".encode()),
        AuthResponse(MARKER.encode()),
        Challenge(MARKER.encode()),
        Apop("ann", DIGEST),
        BadCommand(f"PASS {MARKER}".encode(), "not now", Err("not now")),
        BadChallenge(MARKER.encode()),
        BadCommand(MARKER.encode(), "unknown command", Err("unknown command")),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_secret_is_taken_out(item):
    plainly = everything(item)
    encoded = b64encode(MARKER.encode()).decode()
    assert any(secret in plainly for secret in (MARKER, DIGEST, encoded)), "it was there"
    shown = everything(masked(item))
    assert not any(secret in shown for secret in (MARKER, DIGEST, encoded, encoded.rstrip("=")))
    assert type(masked(item)) is type(item)


@pytest.mark.parametrize(
    "item",
    [
        *(User("ann"), Retr(7), Noop(), Quit(), Stls(), Auth("PLAIN"), Ok("hello"), Err("[AUTH] no"), AuthCancel()),
        *(Greeting(Ok("ready <1@x>")), BodyChunk(b"mail"), BodyEnd(), ConnectionClosed()),
    ],
    ids=repr,
)
def test_what_is_no_secret_is_told_as_it_is(item):
    assert masked(item) == item


def test_what_is_masked_still_says_what_it_was():
    assert masked(Auth("PLAIN", b"x")).initial_response == b"", "there was one"
    assert masked(Auth("PLAIN")).initial_response is None
    assert masked(Apop("ann", DIGEST)).name == "ann"
    bad = masked(BadCommand(b"PASS x", "not now", Err("not now")))
    assert (bad.reason, bad.reply) == ("not now", Err("not now"))


def plain(password: str) -> bytes:
    return b64encode(f"\0ann\0{password}".encode())


SCRIPTS: dict[str, Callable[[str], list[bytes]]] = {
    "USER and PASS": lambda secret: [b"USER ann\r\n", f"PASS {secret}\r\n".encode()],
    "PASS in the wrong place": lambda secret: [f"PASS {secret}\r\n".encode()],
    "PASS in lower case": lambda secret: [b"user ann\r\n", f"pass {secret}\r\n".encode()],
    "a password with NUL": lambda secret: [b"USER ann\r\n", f"PASS {secret}\0\r\n".encode()],
    "a misspelt verb": lambda secret: [f"PSAS {secret}\r\nPASS{secret}\r\n".encode()],
    "a password on a line of its own": lambda secret: [f"{secret}\r\n".encode()],
    "a password that is too long": lambda secret: [b"USER ann\r\n", f"PASS {secret * 100}\r\n".encode()],
    "PLAIN": lambda secret: [b"AUTH PLAIN " + plain(secret) + b"\r\n"],
    "PLAIN in two steps": lambda secret: [b"AUTH PLAIN\r\n", plain(secret) + b"\r\n"],
    "PLAIN, cancelled": lambda secret: [b"AUTH PLAIN\r\n", b"*\r\n", plain(secret) + b"\r\n"],
    "PLAIN, cut": lambda secret: [b"AUTH PLAIN " + plain(secret)[:-1] + b"\r\n"],
    "PLAIN, not encoded": lambda secret: [f"AUTH PLAIN {secret}\r\n".encode(), f"AUTH PLAIN\r\n{secret}\r\n".encode()],
    "PLAIN after login": lambda secret: [b"USER ann\r\nPASS tanstaaf\r\n", b"AUTH PLAIN " + plain(secret) + b"\r\n"],
    "LOGIN": lambda secret: [b"AUTH LOGIN\r\n", b"YW5u\r\n", b64encode(secret.encode()) + b"\r\n"],
    "XOAUTH2": lambda secret: [
        b"AUTH XOAUTH2 " + b64encode(f"user=ann\1auth=Bearer {secret}\1\1".encode()) + b"\r\n",
        b"\r\n",
    ],
    "APOP": lambda secret: [f"APOP ann {apop_digest('<1@x>', secret)}\r\n".encode()],
}


def traces(secret: str) -> list[str]:
    """How it might show."""
    forms = [secret, plain(secret).decode(), b64encode(secret.encode()).decode(), apop_digest("<1@x>", secret)]
    return [form.rstrip("=")[:-1] for form in forms]  # base64 of what goes on behind it ends otherwise


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("name", SCRIPTS)
def test_no_secret_of_a_session_is_told(name, right):
    secret = "s3cretMarker.s3cret"
    recorder = Recorder()
    users = MemoryTokenAuthenticator({"ann": secret if right else "tanstaaf"}, {secret if right else "other": "ann"})
    session = serving(recorder=recorder, authenticator=users).greeted()
    for chunk in SCRIPTS[name](secret):
        session.ask(chunk)
    session.hang_up()
    shown = "".join(everything(item) + repr(info) for _, info, item in recorder.told)
    assert [trace for trace in traces(secret) if trace in shown] == []
    assert sum(kind == "heard" for kind, _, _ in recorder.told) >= len(SCRIPTS[name](secret))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1))
def test_no_password_at_all_is_told(password):
    item = masked(Pass(password))
    assert item == masked(Pass("any other"))
    assert masked(BadCommand(password.encode(), "?", Err("?"))) == BadCommand(b"", "?", Err("?"))


# ---------------------------------------------------------------------------------------- everything, in order


def test_it_is_told_everything_in_order():
    recorder = Recorder()
    session = serving(MAIL, recorder=recorder).greeted()
    session.ask(b"USER ann\r\nPASS tanstaaf\r\nRETR 1\r\nrubbish\r\n", b"DELE 1\r\nLIST 1\r\nQUIT\r\n")
    assert session.actor.outcome() is None
    body = b"A: b\n\nbody\n"
    assert recorder.lines == [
        ("said", Greeting(Ok("POP3 server ready"))),
        ("heard", User("ann")),
        ("said", Ok("send the password")),
        ("heard", Pass("***")),
        ("said", Ok("maildrop has 1 message (14 octets)")),
        ("heard", Retr(1)),
        ("said", Ok("14 octets")),
        ("said", BodyChunk(body)),
        ("said", BodyEnd()),
        ("heard", BadCommand(b"", "unknown command", Err("unknown command"))),
        ("said", Err("unknown command")),
        ("heard", Dele(1)),
        ("said", Ok("message 1 deleted")),
        ("heard", ListOne(1)),
        ("said", Err("message 1 is deleted")),
        ("heard", Quit()),
        ("said", Ok("bye")),
        ("ended", None),
    ]


def test_it_is_told_of_exchanges():
    recorder = Recorder()
    session = serving(recorder=recorder).greeted()
    session.ask(b"AUTH PLAIN\r\n", b"*\r\n", b"AUTH LOGIN\r\n", b"YW5u\r\n", b"dGFuc3RhYWY=\r\n")
    assert recorder.lines[1:] == [
        ("heard", Auth("PLAIN")),
        ("said", Challenge()),
        ("heard", AuthCancel()),
        ("said", Err("the exchange is cancelled")),
        ("heard", Auth("LOGIN")),
        ("said", Challenge()),  # "Username:"; others hold what was drawn by lot, or proves something
        ("heard", AuthResponse()),
        ("said", Challenge()),
        ("heard", AuthResponse()),
        ("said", Ok("maildrop has 0 messages (0 octets)")),
    ]


def test_it_is_told_whose_session_it_is():
    recorder = Recorder()
    tls = TlsInfo("TLSv1.3", verified=False)
    session = serving(recorder=recorder, mode="starttls", tls=tls).greeted()
    session.ask(b"STLS\r\n", b"CAPA\r\n")
    session.hang_up()
    seen = [(type(item), info.tls) for _, info, item in recorder.told]
    assert seen[:3] == [(Greeting, None), (Stls, None), (Ok, None)]
    assert seen[3] == (Capa, tls)
    assert {info for _, info in seen[3:]} == {tls}


def test_nothing_is_told_that_was_not_said():
    recorder = Recorder()
    session = serving(recorder=recorder, mode="starttls").greeted()
    session.ask(b"STLS\r\nNOOP\r\n")
    assert recorder.lines[1:-1] == [("heard", Stls())]
    assert isinstance(recorder.check_end(), RemoteProtocolError)


def test_without_an_observer_nothing_is_different():
    octets = [b"USER ann\r\nPASS tanstaaf\r\nRETR 1\r\nrubbish\r\n", b"DELE 1\r\nLIST 1\r\nQUIT\r\n"]
    with_one = serving(MAIL, recorder=Recorder()).ask(*octets)
    assert Serving(FakeStore(MAIL)).ask(*octets) == with_one


# ------------------------------------------------------------------------------------------- the end, once

SCRIPT = [
    b"USER ann\r\nPASS guess\r\n",
    b"CAPA\r\nAUTH PLAIN\r\n",
    plain("tanstaaf") + b"\r\n",
    b"RETR 1\r\nDELE 1\r\nUIDL\r\n",
    b"QUIT\r\n",
]


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize(
    "error",
    [Cancelled(), ConnectionLost("gone"), TimedOut("too late"), RuntimeError("a fault")],
    ids=lambda error: type(error).__name__,
)
def test_the_end_is_told_once_whatever_strikes_at_whatever_operation(blocks, error):
    def session(strikes=None) -> tuple[Serving, Recorder]:
        recorder = Recorder()
        users = OneUser(blocks=blocks)
        session = serving(MAIL, recorder=recorder, authenticator=users, mode="implicit", strikes=strikes)
        session.actor.receive(*SCRIPT)
        return session, recorder

    clean, recorder = session()
    assert recorder.check_end() is None
    for number in range(len(clean.actor.performed)):
        struck, recorder = session({number: type(error)(*error.args)})
        assert struck.actor.finished, number
        with pytest.raises(type(error)) as raised:
            struck.actor.outcome()
        if struck.actor.error is raised.value and not isinstance(clean.actor.performed[number], Run):
            assert recorder.check_end() is raised.value
        else:
            recorder.check_end()
        assert not struck.store.locked


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
@pytest.mark.parametrize("error", [ConnectionLost("no"), TimedOut("too late"), Cancelled()])
def test_a_handshake_that_fails_is_an_end(mode, error):
    recorder = Recorder()
    session = serving(recorder=recorder, mode=mode, tls=error)
    session.ask(b"STLS\r\n")
    assert [type(each) for each in session.actor.performed].count(StartTls) == 1
    assert recorder.check_end() is error


@pytest.mark.parametrize("how", ["QUIT", "hanging up", "too many failures", "silence"])
def test_ends_of_all_kinds(how):
    recorder = Recorder()
    session = serving(recorder=recorder, login_attempts=1).greeted()
    match how:
        case "QUIT":
            session.ask(b"QUIT\r\n")
        case "hanging up":
            session.hang_up()
        case "too many failures":
            session.ask(b"USER ann\r\nPASS guess\r\n")
        case _:
            session.actor.sleep(60)
    error = recorder.check_end()
    assert isinstance(error, TimedOut) if how == "silence" else error is None


@pytest.mark.parametrize("call", ["open", "commit", "close"])
def test_a_store_that_fails(call):
    recorder = Recorder()
    session = serving(MAIL, recorder=recorder).greeted()
    session.store.failures[call] = failure = ZeroDivisionError(call)
    session.ask(b"USER ann\r\nPASS tanstaaf\r\nQUIT\r\n")
    assert recorder.check_end() is failure
    assert session.actor.error is failure


# ------------------------------------------------------------------------------------- observers that fail


@pytest.mark.parametrize("blocks", [True, False])
def test_an_observer_that_fails_ends_the_session_as_a_store_does(blocks):
    recorder = Recorder(fails_at="heard Noop")
    session = serving(MAIL, recorder=recorder, authenticator=OneUser(blocks=blocks)).logged_in()
    assert codes(session.lines(b"DELE 1\r\nNOOP\r\nQUIT\r\n")) == [b"+OK", b"-ERR [SYS/TEMP]"]
    assert isinstance(recorder.check_end(), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        session.actor.outcome()
    session.store.check_all_is_closed()
    assert session.store.commits == []


@pytest.mark.parametrize(
    "fails_at", ["said Greeting", "said Ok", "said Err", "said BodyEnd", "heard Retr", "heard Pass"]
)
def test_an_observer_that_fails_anywhere(fails_at):
    recorder = Recorder(fails_at=fails_at)
    session = serving(MAIL, recorder=recorder)
    session.ask(b"USER ann\r\nPASS guess\r\nUSER ann\r\nPASS tanstaaf\r\nRETR 1\r\nQUIT\r\n")
    with pytest.raises(ZeroDivisionError):
        session.actor.outcome()
    assert isinstance(recorder.check_end(), ZeroDivisionError)
    session.store.check_all_is_closed()
    assert session.store.commits == []


@pytest.mark.parametrize("fails_at", ["said Greeting", "heard Capa", "said Ok", "ended NoneType"])
def test_what_an_observer_raises_is_never_taken_for_the_end_of_the_connection(fails_at):
    recorder = Recorder(fails_at=fails_at, error=ConnectionLost("elsewhere"))
    session = serving(MAIL, recorder=recorder)
    session.ask(b"CAPA\r\nQUIT\r\n")
    with pytest.raises(RuntimeError, match="an observer raised ConnectionLost: elsewhere"):
        session.actor.outcome()


def test_an_observer_that_fails_at_the_end():
    recorder = Recorder(fails_at="ended NoneType")
    session = serving(MAIL, recorder=recorder).logged_in()
    session.ask(b"QUIT\r\n")
    with pytest.raises(ZeroDivisionError):
        session.actor.outcome()
    assert recorder.check_end() is None
    session.store.check_all_is_closed()


# ------------------------------------------------------------------------------------------ several observers


def test_several_observers_are_told_the_same():
    recorders = [Recorder(), Recorder()]
    session = serving(MAIL, recorder=recorders).logged_in()
    session.ask(b"RETR 1\r\nQUIT\r\n")
    assert recorders[0].told == recorders[1].told
    assert recorders[0].check_end() is None
    alone = Recorder()
    serving(MAIL, recorder=alone).logged_in().ask(b"RETR 1\r\nQUIT\r\n")
    assert [item for _, item in alone.lines] == [item for _, item in recorders[0].lines]


@pytest.mark.parametrize("fails_at", ["heard Noop", "said Greeting", "ended NoneType"])
def test_every_observer_is_told_the_end_whichever_fails(fails_at):
    recorders = [Recorder(), Recorder(fails_at=fails_at), Recorder()]
    session = serving(MAIL, recorder=recorders)
    session.ask(b"USER ann\r\nPASS tanstaaf\r\nNOOP\r\nQUIT\r\n")
    with pytest.raises(ZeroDivisionError):
        session.actor.outcome()
    assert len({type(recorder.check_end()) for recorder in recorders}) == 1
    session.store.check_all_is_closed()


@pytest.mark.parametrize("observer", [1, [Recorder(), None], type("Half", (), {"heard": 1, "said": print})()])
def test_what_is_not_an_observer_is_refused(observer):
    with pytest.raises(TypeError, match="an observer needs the methods heard, said and ended"):
        serving(recorder=observer)


def test_an_observer_is_an_instance_and_has_plain_methods():
    with pytest.raises(TypeError, match=r"an observer is a class, Recorder; pass an instance: Recorder\("):
        serving(recorder=Recorder)

    class Late(Recorder):
        async def ended(self, session, error):
            raise AssertionError

    with pytest.raises(TypeError, match=r"ended of the observer .* is a coroutine method; it must be a plain one"):
        serving(recorder=[Recorder(), Late()])


def test_the_user_is_known_from_the_answer_to_the_password_on():
    recorder = Recorder()
    session = serving(MAIL, recorder=recorder).greeted()
    session.ask(b"USER ann\r\nPASS guess\r\nUSER ann\r\nPASS tanstaaf\r\nNOOP\r\n")
    users = [info.user for _, info, _ in recorder.told]
    assert users == [None] * 8 + ["ann"] * 3
    assert len({id(info.state) for _, info, _ in recorder.told}) == 1


def test_a_maildrop_that_cannot_be_opened_is_no_login():
    recorder = Recorder()
    session = serving(MAIL, recorder=recorder).greeted()
    session.store.failures["open"] = Unavailable()
    session.ask(b"USER ann\r\nPASS tanstaaf\r\n")
    assert {info.user for _, info, _ in recorder.told} == {None}


@pytest.mark.parametrize("command", [Pass(MARKER), Auth("PLAIN", MARKER.encode()), Apop("ann", DIGEST)])
def test_the_answer_that_a_client_hears_holds_no_secret(command):
    shown = everything(masked(Answer(command, Ok("done"))))
    assert not any(secret in shown for secret in (MARKER, DIGEST, b64encode(MARKER.encode()).decode()))
