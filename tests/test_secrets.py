"""No password, token, digest or SASL octet in anything that is formatted, logged or raised.

A marker goes through every object and every failure of a login, on both sides, and is searched for in all that can be
seen of them: as it is, as base64 would have it, and as digests and proofs that were made from it.
"""

import base64
import contextlib
import hashlib
import io
import logging
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pop3proto import ClientConnection, blocking
from pop3proto.authenticators.memory import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.authenticators.user_table import UserRecord
from pop3proto.blocking.stream import SocketStream
from pop3proto.core.commands import Apop, Auth, Pass
from pop3proto.core.errors import (
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    Pop3Error,
    RemoteProtocolError,
    forget_locals,
)
from pop3proto.core.events import Answer, AuthResponse, BadCommand
from pop3proto.core.refusals import CommandFailed, LoginFailed, RefusedLogin
from pop3proto.core.replies import Challenge, Err
from pop3proto.core.server import ServerConnection
from pop3proto.logs import LogObserver
from pop3proto.procedures.client.login import login
from pop3proto.procedures.client.session import Session
from pop3proto.procedures.operations import Run, Write
from pop3proto.procedures.server.loop import serve_session
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.channel import ChannelBinding, SessionInfo, TlsInfo
from pop3proto.sasl.credentials import Password, Token
from pop3proto.sasl.md5 import apop_digest
from pop3proto.sasl.mechanism import Identity, MechanismError, Strength
from pop3proto.sasl.oauth import Claim
from pop3proto.sasl.registry import CLIENT_MECHANISMS, SERVER_MECHANISMS, ClientContext, ClientEntry, ServerContext
from pop3proto.sasl.scram.keys import ScramKeys
from pop3proto.sasl.scram.messages import ClientFinal, ClientFirst
from tests.helpers.cli_servers import HangUp, Scripted
from tests.helpers.drivers import Actor, FakeStore, Serving, sessions_come_to_their_end  # noqa: F401 - it is a fixture
from tests.helpers.processes import PATIENCE

MARKER = "Tr0ub4dor-Marker-and-3"
SOURCE = Path(blocking.__file__).parent.parent
BINDING = ChannelBinding("tls-exporter", MARKER.encode())
TLS = TlsInfo("TLSv1.3", verified=True, bindings=(BINDING,))
LEAST = 8  # characters of a secret that must not be seen in a row


def pieces(secret: bytes) -> set[str]:
    """What base64 makes of a secret, whatever stands before and behind it."""
    found = set()
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + secret).decode().rstrip("=")
        found.add(encoded[(0, 2, 3)[shift] : -2])
    return found


def forms(*secrets: bytes) -> set[str]:
    """All in which a secret could show."""
    found = set[str]()
    for secret in secrets:
        text = repr(secret)[2:-1]
        found |= {text, secret.hex(), *pieces(secret)}
    return {form for form in found if len(form) >= LEAST}


def leaks(shown: str, *more: bytes) -> list[str]:
    return sorted(form for form in forms(MARKER.encode(), *more) if form in shown)


def logged(*arguments: object, exc_info: BaseException | None = None) -> str:
    """What a logger writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    record = logging.LogRecord(
        "x",
        logging.ERROR,
        __file__,
        1,
        " ".join(["%s %r"] * len(arguments)),
        tuple(each for argument in arguments for each in (argument, argument)),
        (type(exc_info), exc_info, exc_info.__traceback__) if exc_info is not None else None,
    )
    handler.emit(record)
    return stream.getvalue()


def raised(item: object) -> str:
    """What shows if it is raised within an error, in front of a logger that writes down local variables."""

    def fail() -> None:
        raise Pop3Error(item)

    try:
        fail()
    except Pop3Error as error:
        captured = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(captured.format()) + logged(error, exc_info=error)


def is_watched(path: str, name: str) -> bool:
    """Whether a frame must show nothing: the library's, and those of user code that it has called."""
    return Path(path).is_relative_to(SOURCE) or (path == __file__ and name.startswith("user_code"))


def pickled(error: BaseException) -> bytes:
    """All that an error holds, if it can be had so: hidden attributes too."""
    try:
        return pickle.dumps(error)
    except Exception:  # noqa: BLE001 - not every error can be
        return b""


def shown_by(error: BaseException) -> str:
    """All that can be seen of an error and of those behind it, local variables included, but not the test's own."""
    shown, chain, seen = "", [error], set[int]()
    while chain:
        each = chain.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        shown += f"{each} {each!r} {each.args!r} {vars(each)!r} {getattr(each, 'object', '')!r} {pickled(each)!r} "
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if is_watched(frame.f_code.co_filename, frame.f_code.co_name):
                shown += f"[{frame.f_code.co_name}: {frame.f_locals!r}] "
        chain += [each.__cause__, each.__context__]
    return shown + logged(error, exc_info=error)


def frames(error: BaseException) -> set[str]:
    """The functions in a traceback."""
    return {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}


# ------------------------------------------------------------------------------------------------- the search


def test_the_search_finds_what_is_there():
    secret = MARKER.encode()
    for prefix in (b"", b"a", b"\0ann\0", b"user=ann\1auth=Bearer "):
        for suffix in (b"", b"\1\1", b"xyz"):
            encoded = base64.b64encode(prefix + secret + suffix)
            assert leaks(repr(encoded)), (prefix, suffix)
    assert leaks(repr({"x": [secret]}))
    assert leaks(secret.hex())
    assert leaks(hashlib.sha256(secret).hexdigest(), hashlib.sha256(secret).digest())
    assert not leaks("anything else")

    def user_code(password: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        user_code(MARKER)
    assert leaks(shown_by(caught.value))
    forget_locals(caught.value)
    assert not leaks(shown_by(caught.value))


# ------------------------------------------------------------------------------------------------- values

KEYS = [ScramKeys.derive(algorithm, MARKER, b"salt", 4096) for algorithm in ("SHA-1", "SHA-256", "SHA-512")]
DERIVED = [octets for keys in KEYS for octets in (keys.stored_key, keys.server_key)]
DIGEST = apop_digest("<1@x>", MARKER)
RECORD = UserRecord.of("ann", MARKER)
PLAIN = f"\0ann\0{MARKER}".encode()
FINAL = b"c=biws,r=nonce,p=" + base64.b64encode(MARKER.encode())

VALUES: list[object] = [
    Pass(MARKER),
    Auth("PLAIN", PLAIN),
    Apop("ann", DIGEST),
    AuthResponse(PLAIN),
    BadCommand(f"PASS {MARKER}".encode(), "not now", Err("not now")),
    Answer(Pass(MARKER), Err("no")),
    Challenge(PLAIN),
    Password("ann", MARKER),
    Password("ann", MARKER, "bob"),
    Token("ann", MARKER),
    ClientContext(credentials=Password("ann", MARKER), nonce=MARKER, binding=BINDING),
    ServerContext(
        authenticator=MemoryAuthenticator({"ann": MARKER}), session=SessionInfo("192.0.2.1", TLS), nonce=MARKER
    ),
    BINDING,
    TLS,
    SessionInfo("192.0.2.1", TLS),
    TlsInfo("TLSv1.3", verified=True, certificate=MARKER.encode()),
    *KEYS,
    RECORD,
    RECORD.scrypt,
    Claim("ann", f"Bearer {MARKER}".encode()),
    ClientFirst.parse(f"n,,n=ann,r={MARKER}".encode()),
    ClientFinal.parse(FINAL),
    MemoryAuthenticator({"ann": MARKER}),
    MemoryTokenAuthenticator({"ann": MARKER}, {MARKER: "ann"}),
    Service(store=FakeStore(), authenticator=MemoryAuthenticator({"ann": MARKER})),
    Write(f"PASS {MARKER}\r\n".encode()),
    Run(lambda: MARKER),
    RefusedLogin(Pass(MARKER), Err("no")),
    RefusedLogin(Auth("PLAIN", PLAIN), Err("no")),
    CommandFailed(Pass(MARKER), Err("no")),
    CommandFailed(Apop("ann", DIGEST), Err("no")),
    LoginFailed([RefusedLogin(Pass(MARKER), Err("no")), RefusedLogin(Auth("PLAIN", PLAIN), Err("no"))]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_shows_no_secret(value):
    secrets = [*DERIVED, bytes.fromhex(DIGEST), DIGEST.encode(), RECORD.scrypt.digest]
    secrets += [octets for keys in RECORD.scram_keys.values() for octets in (keys.stored_key, keys.server_key)]
    shown = f"{value} {value!r} {[value]} { {'value': value} } {format(value)}"
    shown += logged(value) + raised(value)
    assert leaks(shown, *secrets) == []
    if isinstance(value, BaseException):
        assert leaks(f"{value.args!r} {vars(value)!r}", *secrets) == []


# ---------------------------------------------------------------------------------------------- mechanisms


def context_of_client(name: str, secret: str) -> ClientContext:
    credentials = Token("ann", secret) if name in {"OAUTHBEARER", "XOAUTH2"} else Password("ann", secret)
    return ClientContext(credentials=credentials, nonce="client-nonce", binding=BINDING)


WITH_SECRET = [name for name in CLIENT_MECHANISMS if name not in {"EXTERNAL", "ANONYMOUS"}]


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("name", WITH_SECRET)
def test_a_mechanism_shows_no_secret_at_any_step(name, right):
    users = MemoryTokenAuthenticator({"ann": MARKER}, {MARKER: "ann"})
    client = CLIENT_MECHANISMS[name].make(context_of_client(name, MARKER if right else f"x{MARKER}"))
    server = SERVER_MECHANISMS[name].make(
        ServerContext(authenticator=users, session=SessionInfo("", TLS), nonce="servernonce")
    )
    said: list[bytes] = []
    seen = ""
    error: BaseException | None = None
    step: bytes | Identity | None = None
    message = client.initial_response
    while error is None and not isinstance(step, Identity):
        said += [message] if message else []
        try:
            step = server.respond(message)
            seen += f"{server!r} {server} {step if isinstance(step, Identity) else ''}"
            if not isinstance(step, Identity):
                message = client.respond(step)
                seen += f"{client!r} {client} {client.failure}"
        except Pop3Error as failure:
            error = failure
    assert isinstance(step, Identity) == right
    if error is not None:
        seen += logged(error, exc_info=error) + f"{error!r} {error.args!r} {error.__cause__!r} {error.__context__!r}"
    proofs = [octets for octets in said if len(octets) > LEAST and octets != b"ann"]
    assert proofs
    assert leaks(seen, *proofs) == []
    assert leaks(seen, f"x{MARKER}".encode()) == []


# ------------------------------------------------------------------------------------------ a server's failures


class Broken(MemoryTokenAuthenticator):
    """User code that fails with a password in hand, some calls deep, and with other errors behind its error."""

    def __init__(self, *, blocks: bool) -> None:
        super().__init__({"ann": MARKER}, {MARKER: "ann"})
        self._blocks = blocks

    @property
    def blocks(self) -> bool:
        return self._blocks

    def _break(self, *secrets: str) -> Any:
        def user_code_inside(hidden: tuple[str, ...]) -> None:
            seen = [*hidden]
            raise KeyError(len(seen))

        def user_code_outside(hidden: tuple[str, ...]) -> None:
            try:
                user_code_inside(hidden)
            except KeyError as error:
                copied = list(hidden)
                raise ZeroDivisionError(f"a fault with {len(copied)}") from error

        user_code_outside(secrets)

    def check_password(self, user, password, session, /):
        self._break(password)

    def secret(self, user, session, /):
        self._break(MARKER)

    def scram_keys(self, user, algorithm, session, /):
        self._break(MARKER)

    def check_token(self, user, token, session, /):
        self._break(token)


def encoded(message: bytes) -> bytes:
    return base64.b64encode(message) + b"\r\n"


LOGINS: dict[str, list[bytes]] = {
    "PASS": [b"USER ann\r\n", f"PASS {MARKER}\r\n".encode()],
    "PASS, pipelined": [f"USER ann\r\nPASS {MARKER}\r\n".encode()],
    "APOP": [f"APOP ann {DIGEST}\r\n".encode()],
    "PLAIN": [b"AUTH PLAIN " + encoded(PLAIN)],
    "PLAIN in two steps": [b"AUTH PLAIN\r\n", encoded(PLAIN)],
    "LOGIN": [b"AUTH LOGIN\r\n", encoded(b"ann"), encoded(MARKER.encode())],
    "CRAM-MD5": [b"AUTH CRAM-MD5\r\n", encoded(f"ann {DIGEST}".encode())],
    "SCRAM": [b"AUTH SCRAM-SHA-256 " + encoded(f"n,,n=ann,r={MARKER}".encode())],
    "OAUTHBEARER": [b"AUTH OAUTHBEARER " + encoded(f"n,a=ann,\1auth=Bearer {MARKER}\1\1".encode())],
    "XOAUTH2": [b"AUTH XOAUTH2 " + encoded(f"user=ann\1auth=Bearer {MARKER}\1\1".encode())],
}


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("name", LOGINS)
def test_an_authenticator_that_fails_with_a_secret_in_hand(name, blocks):
    session = Serving(FakeStore(), Broken(blocks=blocks)).greeted()
    answers = session.ask(*LOGINS[name])
    assert b"-ERR [SYS/TEMP]" in answers
    with pytest.raises(ZeroDivisionError) as caught:
        session.actor.outcome()
    error = caught.value
    assert {"user_code_outside", "_ask", "run"} <= frames(error), "where it came from can be seen"
    assert isinstance(error.__cause__, KeyError)
    assert leaks(shown_by(error), DIGEST.encode()) == []
    assert leaks(answers.decode(), DIGEST.encode()) == []


@pytest.mark.parametrize("failing", ["open", "close"])
@pytest.mark.parametrize("name", [name for name in LOGINS if name not in {"APOP", "CRAM-MD5", "SCRAM"}])
def test_a_store_that_fails_behind_a_login(name, failing):
    users = MemoryTokenAuthenticator({"ann": MARKER}, {MARKER: "ann"})
    session = Serving(FakeStore(), users).greeted()
    session.store.failures[failing] = ZeroDivisionError("a fault")
    session.ask(*LOGINS[name], b"QUIT\r\n")
    with pytest.raises(ZeroDivisionError) as caught:
        session.actor.outcome()
    assert leaks(shown_by(caught.value)) == []


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("name", ["PASS, pipelined", "PLAIN", "APOP", "XOAUTH2"])
def test_the_frames_of_the_driver_show_nothing_either(name, blocks, pair):
    ours, theirs = pair
    service = Service(store=FakeStore(), authenticator=Broken(blocks=blocks), cleartext="always")
    theirs.sendall(b"".join(LOGINS[name]))
    stream = SocketStream(ours)
    with pytest.raises(ZeroDivisionError) as caught:
        stream.perform(serve_session(service, ServerConnection(), loopback=True))
    assert "perform" in frames(caught.value)
    assert leaks(shown_by(caught.value), DIGEST.encode()) == []


@pytest.mark.parametrize("name", LOGINS)
def test_the_log_of_a_server_shows_nothing(name, caplog):
    caplog.set_level(logging.DEBUG)
    store = FakeStore()
    service = Service(store=store, authenticator=Broken(blocks=True), observer=LogObserver(), cleartext="always")
    with (
        blocking.serve(service) as server,
        socket.create_connection(server.address, PATIENCE) as client,
        client.makefile("rb") as lines,
    ):
        lines.readline()
        for chunk in LOGINS[name]:
            client.sendall(chunk)
            for _ in range(chunk.count(b"\r\n")):
                answer = lines.readline()
        assert answer.startswith(b"-ERR [SYS/TEMP]")
        assert not lines.read()
    assert "ZeroDivisionError" in caplog.text, "the fault is logged"
    shown = caplog.text
    for record in caplog.records:
        shown += f"{record.args!r} {record.getMessage()} "
        if record.exc_info and record.exc_info[1]:
            shown += shown_by(record.exc_info[1])
    assert leaks(shown, DIGEST.encode()) == []


# ------------------------------------------------------------------------------------------ a client's failures

SASL = b"+OK\r\nUSER\r\nSASL %b\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n"
NO = b"-ERR [AUTH] no\r\n"


def challenge(octets: bytes) -> bytes:
    return b"+ " + base64.b64encode(octets) + b"\r\n"


FIRST = challenge(b"r=x,s=c2FsdA==,i=4096")
REFUSALS: dict[str, tuple[str, dict[str, bytes | list[bytes]]]] = {
    "PASS": ("USER/PASS", {"PASS": NO}),
    "USER": ("USER/PASS", {"USER": NO}),
    "PASS, and hung up": ("USER/PASS", {"PASS": HangUp(b"")}),
    "PASS, and rubbish": ("USER/PASS", {"PASS": b"what a nice day\r\n"}),
    "PLAIN": ("PLAIN", {"CAPA": SASL % b"PLAIN", "AUTH": NO}),
    "PLAIN, and hung up": ("PLAIN", {"CAPA": SASL % b"PLAIN", "AUTH": HangUp(b"")}),
    "PLAIN, and a challenge": ("PLAIN", {"CAPA": SASL % b"PLAIN", "AUTH": challenge(b"more")}),
    "PLAIN, and rubbish": ("PLAIN", {"CAPA": SASL % b"PLAIN", "AUTH": b"+ !\r\n"}),
    "LOGIN, accepted too early": ("LOGIN", {"CAPA": SASL % b"LOGIN", "AUTH": b"+OK\r\n"}),
    "CRAM-MD5": ("CRAM-MD5", {"CAPA": SASL % b"CRAM-MD5", "AUTH": challenge(b"<1@x>")}),
    "SCRAM, and another nonce": ("SCRAM-SHA-256", {"CAPA": SASL % b"SCRAM-SHA-256", "AUTH": FIRST}),
    "SCRAM, accepted too early": ("SCRAM-SHA-256", {"CAPA": SASL % b"SCRAM-SHA-256", "AUTH": b"+OK\r\n"}),
    "SCRAM, refused": ("SCRAM-SHA-1", {"CAPA": SASL % b"SCRAM-SHA-1", "AUTH": NO}),
    "XOAUTH2": ("XOAUTH2", {"CAPA": SASL % b"XOAUTH2", "AUTH": challenge(b'{"status":"400"}')}),
    "OAUTHBEARER": ("OAUTHBEARER", {"CAPA": SASL % b"OAUTHBEARER", "AUTH": NO}),
    "APOP": ("APOP", {"APOP": NO}),
}


def failure_of(call: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is not the question here
        call()
    return caught.value


@pytest.mark.parametrize("as_credentials", [True, False])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_login_that_fails(name, as_credentials, caplog):
    caplog.set_level(logging.DEBUG)
    way, answers = REFUSALS[name]
    token = way in {"XOAUTH2", "OAUTHBEARER"}
    with Scripted(answers, b"+OK <1@x>\r\n") as server:
        client = blocking.connect(*server.address, tls="none")
        if as_credentials:
            credentials = Token("ann", MARKER) if token else Password("ann", MARKER)
            error = failure_of(lambda: client.login(credentials, only={way}))
        else:
            error = failure_of(lambda: client.login("ann", **{"token" if token else "password": MARKER}, only={way}))
        with contextlib.suppress(Pop3Error):
            client.quit()
        client._stream.close()
    heard = [line.encode() for line in server.heard]
    assert isinstance(error, Pop3Error)
    secrets = [DIGEST.encode()]
    for line in heard:
        word, _, rest = line.rpartition(b" ")
        secrets += [rest] if word[:4] in (b"AUTH", b"APOP") and len(rest) > 2 * LEAST else []
    assert leaks(shown_by(error) + caplog.text, *secrets) == []


@pytest.mark.parametrize(
    "credentials,only",
    [
        pytest.param(Password("ann", f"{MARKER}\r\nDELE 1"), None, id="a line end"),
        pytest.param(Password("ann", f"{MARKER}\0"), None, id="NUL"),
        pytest.param(Password("ann", f"{MARKER}\ud800"), None, id="a surrogate"),
        pytest.param(Password("ann", f"{MARKER}\ud800"), {"PLAIN"}, id="a surrogate in PLAIN"),
        pytest.param(Password("ann", f"{MARKER}\u0627a"), {"SCRAM-SHA-256"}, id="both directions"),
        pytest.param(Password("ann", f"{MARKER}\u0627a"), {"CRAM-MD5"}, id="both directions in CRAM-MD5"),
        pytest.param(Password("ann", f"{MARKER}\t"), {"APOP"}, id="a control character in APOP"),
        pytest.param(Password("ann", MARKER * 100), {"USER/PASS"}, id="too long"),
        pytest.param(Password("ann", MARKER * 1000), {"PLAIN"}, id="too long for a response"),
        pytest.param(Password("ann", f"{MARKER}ü"), {"USER/PASS"}, id="not ASCII"),
        pytest.param(Password("", MARKER), None, id="no name"),
        pytest.param(Password("ann", MARKER), {"OAUTHBEARER"}, id="no token"),
        pytest.param(Token("ann", f"{MARKER} "), None, id="a blank in a token"),
        pytest.param(Token("ann", f"{MARKER}\ud800"), None, id="a surrogate in a token"),
        pytest.param(Token("ann", MARKER), {"PLAIN"}, id="no password"),
    ],
)
def test_credentials_that_cannot_be_sent(credentials, only):
    answers = {"CAPA": SASL % b"PLAIN SCRAM-SHA-256 CRAM-MD5 OAUTHBEARER", "AUTH": b"+ \r\n", "*": NO}
    with Scripted(answers, b"+OK <1@x>\r\n") as server:
        client = blocking.connect(*server.address, tls="none")
        error = failure_of(lambda: client.login(credentials, only=only, password_encoding="ascii"))
        client._stream.close()
    assert isinstance(error, Pop3Error), "and no UnicodeEncodeError, say, which would hold it"
    assert leaks(shown_by(error)) == []


def test_a_client_that_may_not_show_it():
    session = Session(ClientConnection())
    session.connection.receive_data(b"+OK ready\r\n")
    session.connection.next_event()
    actor = Actor(login(session, Password("ann", MARKER), only={"USER/PASS"})).receive(b"-ERR no CAPA\r\n")
    error = failure_of(actor.outcome)
    assert isinstance(error, LocalProtocolError)
    assert leaks(shown_by(error)) == []


def test_a_mechanism_of_ones_own_that_is_broken():
    class Mine:
        name, shows_secret, blocks, complete, failure = "X-MINE", False, False, True, ""
        initial_response = None

        def respond(self, challenge: bytes) -> bytes:
            return user_code_of_mine(MARKER)

    def user_code_of_mine(password: str) -> bytes:
        raise ZeroDivisionError(len(password))

    entry = ClientEntry(Password, Strength.DIGEST, lambda _: Mine())
    with Scripted({"CAPA": SASL % b"X-MINE", "AUTH": b"+ \r\n"}) as server:
        client = blocking.connect(*server.address, tls="none")
        error = failure_of(lambda: client.login("ann", MARKER, mechanisms={"X-MINE": entry}))
        client._stream.close()
    assert isinstance(error, ZeroDivisionError)
    assert "user_code_of_mine" in frames(error)
    assert leaks(shown_by(error)) == []


@pytest.mark.parametrize("arguments", [("ann", MARKER.encode()), (b"ann", MARKER), ("ann", MARKER, MARKER)])
def test_a_login_that_was_called_wrongly(arguments):
    user, password, *token = arguments
    with Scripted({}) as server:
        client = blocking.connect(*server.address, tls="none")
        error = failure_of(lambda: client.login(user, password, token=token[0] if token else None))
        client._stream.close()
    assert isinstance(error, TypeError)
    assert leaks(shown_by(error)) == []


@pytest.mark.parametrize("name", WITH_SECRET)
def test_a_mechanism_refuses_credentials_without_showing_them(name):
    for bad in ("\0", "\ud800", "\n"):
        error = failure_of(lambda bad=bad: CLIENT_MECHANISMS[name].make(context_of_client(name, MARKER + bad)))
        assert isinstance(error, MechanismError)
        forget_locals(error)
        assert leaks(shown_by(error)) == []
        assert leaks(repr(error.__context__)) == []


# -------------------------------------------------------------------------------------- what forgets them


class Witness:
    """An observer that keeps what shows of the error that ends a session, at that moment."""

    def __init__(self) -> None:
        self.shown = ""

    def heard(self, session: SessionInfo, event: object, /) -> None: ...

    def said(self, session: SessionInfo, event: object, /) -> None: ...

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        self.shown += "" if error is None else shown_by(error)


@pytest.mark.parametrize(
    "answers, kind",
    [
        ({"STAT": b"? you are ann, %b\r\n"}, RemoteProtocolError),
        ({"STAT": b"+OK %b\r\n"}, MalformedReply),
        ({"STAT": HangUp(b"-ERR %b")}, ConnectionLost),
        ({"PASS": b"? PASS %b\r\n"}, RemoteProtocolError),
        ({"PASS": HangUp(b"-ERR no %b")}, ConnectionLost),
    ],
)
def test_the_frames_of_an_error_show_no_more_than_its_message(answers, kind):
    """A server repeats the password in a line that ends the session, or that makes no sense."""
    said = {verb: type(answer)(answer.replace(b"%b", MARKER.encode())) for verb, answer in answers.items()}
    witness = Witness()
    with Scripted(said) as server, blocking.connect(*server.address, tls="none", observer=witness) as client:

        def session() -> None:
            client.login("ann", MARKER)
            client.stat()

        error = failure_of(session)
        client.close()
    assert isinstance(error, kind)
    assert leaks(shown_by(error) + witness.shown) == []


def test_locals_are_forgotten_wherever_they_are():
    """In causes, in contexts behind a cause, and in groups."""

    def user_code(kind: type[Exception], password: str) -> None:
        raise kind(len(password))

    def user_code_outside() -> None:
        errors: list[Exception] = []
        for kind in (KeyError, ValueError):
            try:
                user_code(kind, MARKER)
            except kind as error:
                errors.append(error)
        try:
            user_code(IndexError, MARKER)
        except IndexError:
            raise ExceptionGroup("several", errors) from failure_of(lambda: user_code(OSError, MARKER))

    error = failure_of(user_code_outside)
    assert isinstance(error, ExceptionGroup)
    behind = [error, error.__cause__, error.__context__, *error.exceptions]
    assert [bool(leaks(shown_by(each))) for each in behind] == [True] * 5
    forget_locals(error)
    assert [leaks(shown_by(each)) for each in behind] == [[]] * 5


def test_errors_that_know_each_other_are_gone_through_once():
    one, other = ValueError(1), ValueError(2)
    one.__cause__, other.__cause__ = other, one
    forget_locals(one)
