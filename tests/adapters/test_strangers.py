"""A server among strangers, in all three adapters: many at once, silent ones, those that guess; and what is logged."""

import base64
import contextlib
import gc
import logging
import re
import resource
import selectors
import socket
import ssl
import threading
import time

import pytest
import trustme
from hypothesis import given, strategies as st

from pop3proto._io import listening
from pop3proto._io.listening import accepted
from pop3proto._io.session_log import LoggedSession
from pop3proto.asyncio import server as asyncio_server
from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.procedures.observer import ServerObserver
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.logins import ENDS_IN_THREADS, LOGINS_IN_THREADS
from pop3proto.procedures.server.penalties import LoginPenalty
from pop3proto.procedures.server.session_events import SessionEvents
from pop3proto.sasl.channel import SessionInfo
from tests.adapters.test_serve import PATIENCE, adapter, service  # noqa: F401 - one is a fixture
from tests.helpers.depth import deep
from tests.helpers.drivers import FakeStore, OneUser
from tests.helpers.processes import wait_until

TOO_MANY = b"-ERR [SYS/TEMP] too many sessions\r\n"
DISPLACED = b"-ERR [SYS/TEMP] too many sessions before login\r\n"


class Client:
    """A client that speaks in lines, and waits for each.

    Args:
        server: where to connect.
        source: its own address.
        context: for TLS from the first octet; None: no TLS.
    """

    def __init__(self, server, source: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        sock = socket.create_connection(server.address, PATIENCE, (source, 0))
        self.sock = sock if context is None else context.wrap_socket(sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")

    def line(self) -> bytes:
        """The next line; b"" at the end."""
        try:
            return self.file.readline()
        except ConnectionError:
            return b""

    def say(self, *lines: bytes) -> None:
        self.sock.sendall(b"".join(line + b"\r\n" for line in lines))

    def ask(self, *lines: bytes) -> bytes:
        """Say something; the answer to the last of it."""
        self.say(*lines)
        return [self.line() for _ in lines][-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()


def wait_until_reading(server, *, reading: bool = True) -> None:
    """Wait until each session waits for its client, or none: what goes on behind an answer takes a moment."""
    wait_until(
        lambda: all(vars(driver)["_reading"] is reading for driver in tuple(server._sessions._places)),
        "sessions do not begin to read" if reading else "sessions do not stop reading",
    )


def greeted(server, *arguments, **options) -> Client:
    client = Client(server, *arguments, **options)
    assert client.line().startswith(b"+OK")
    return client


# ------------------------------------------------------------------------------------------------ many at once

MANY = deep(2_000, 200)


@pytest.fixture
def many_descriptors():
    """Two for each connection, and some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MANY + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this system allows {hard} open files, and {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.deep(keep=1)
def test_of_many_that_connect_at_once_none_is_lost(many_descriptors, adapter):  # noqa: F811 - it is a fixture
    shared = service(max_sessions=MANY, max_sessions_before_login=MANY, max_sessions_per_address=None)
    with adapter.entered(shared) as server, contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(MANY):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            assert sock.connect_ex(server.address) in (0, 115)  # EINPROGRESS
            selector.register(sock, selectors.EVENT_READ)
        until = time.monotonic() + PATIENCE
        while selector.get_map() and time.monotonic() < until:
            for key, _ in selector.select(PATIENCE):
                assert key.fileobj.recv(100).startswith(b"+OK")
                selector.unregister(key.fileobj)
        assert len(selector.get_map()) == 0, "so many have no greeting"


def test_some_hundreds_are_accepted_at_once_and_kept_alive(monkeypatch):
    monkeypatch.setattr(listening, "_AT_ONCE", 3)
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        listener.setblocking(False)
        assert list(accepted(listener)) == []
        for _ in range(5):
            stack.enter_context(socket.create_connection(listener.getsockname(), PATIENCE))
        first, then = ([stack.enter_context(sock) for sock in accepted(listener)] for _ in range(2))
        assert (len(first), len(then)) == (3, 2)
        for sock in (*first, *then):
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_the_sockets_of_sessions_are_kept_alive(adapter, monkeypatch):  # noqa: F811 - it is a fixture
    kept: list[socket.socket] = []
    monkeypatch.setattr(listening, "keep_alive", kept.append)
    monkeypatch.setattr(asyncio_server, "keep_alive", kept.append)
    with adapter.entered(service()) as server, greeted(server), greeted(server):
        assert len(kept) == 2
    kept.clear()


def test_sessions_send_at_once(adapter):  # noqa: F811 - it is a fixture
    """Or the system keeps the second small write until the first is acknowledged: 40 ms, for each read-ahead."""
    with adapter.entered(service()) as server, greeted(server) as client:
        sockets = [each for each in gc.get_objects() if type(each) is socket.socket]
        of_session = [sock for sock in sockets if is_peer(client.sock, sock)]
        assert [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in of_session] == [1]


def is_peer(sock, other) -> bool:
    with contextlib.suppress(OSError):  # it is closed, or not connected
        return (other.getsockname(), other.getpeername()) == (sock.getpeername(), sock.getsockname())
    return False


def test_the_backlog_is_large(adapter, monkeypatch):  # noqa: F811 - it is a fixture
    asked: list[int] = []

    class Listener(socket.socket):
        def listen(self, backlog: int = 0, /) -> None:
            asked.append(backlog)
            super().listen(backlog)

    listener = Listener()
    listener.bind(("127.0.0.1", 0))
    with adapter.entered(service(), sockets=[listener]) as server:
        greeted(server).__exit__()
    assert asked == [4_096]


def test_more_sessions_than_files_are_told_at_the_start(adapter, monkeypatch, caplog):  # noqa: F811 - it is a fixture
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4_096))
    adapter.serve(service(max_sessions=256)) if adapter.lazy else adapter.begin(service(max_sessions=256)).close()
    assert caplog.text == ""
    with adapter.entered(service(max_sessions=257)):
        assert "max_sessions is 257, and this process may open 256 files only: raise its limit, or" in caplog.text


# ------------------------------------------------------------------------------------------------ before login


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """The server's certificate, and a client's context."""
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("tls") / "pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return file, context


@pytest.mark.parametrize("mode", ["none", "implicit"])
def test_the_oldest_silent_session_makes_room_for_a_new_one(adapter, tls, mode):  # noqa: F811 - it is a fixture
    certificate, context = tls if mode == "implicit" else (None, None)
    shared = service(max_sessions_before_login=2)
    with (
        adapter.entered(shared, tls=mode, certificate=certificate) as server,
        greeted(server, context=context) as known,
    ):
        assert known.ask(b"USER ann", b"PASS tanstaaf").startswith(b"+OK maildrop")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(greeted(server, context=context)) for _ in range(2)]
            for _ in range(3):
                wait_until_reading(server)
                clients.append(stack.enter_context(greeted(server, context=context)))
                oldest = clients.pop(0)
                assert oldest.line() == DISPLACED
                assert oldest.line() == b""
            assert all(client.ask(b"NOOP", b"USER ann").startswith(b"+OK") for client in clients)
        assert known.ask(b"STAT").startswith(b"+OK"), "a session that has logged in stays"


class Waiting:
    """An authenticator that answers when it is told to.

    Attributes:
        asked: released each time that it is asked.
        users: who was asked for.
    """

    blocks = True

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.users: list[str] = []

    def check_password(self, user, password, session) -> bool:
        self.users.append(user)
        self.asked.release()
        assert self.go_on.wait(PATIENCE)
        return password == "tanstaaf"

    def wait_until_asked(self, times: int) -> None:
        for _ in range(times):
            assert self.asked.acquire(timeout=PATIENCE)


def test_a_session_whose_login_is_under_way_is_cut_off(adapter):  # noqa: F811 - it is a fixture
    users = Waiting()
    shared = service(authenticator=users, max_sessions_before_login=1)
    with adapter.entered(shared) as server, greeted(server) as first:
        first.say(b"USER ann", b"PASS tanstaaf")
        users.wait_until_asked(1)
        with greeted(server) as second:
            users.go_on.set()
            assert b"maildrop" not in b"".join(iter(first.line, b""))
            assert second.ask(b"USER ann", b"PASS tanstaaf").startswith(b"+OK maildrop"), "the lock is free"


def test_sessions_that_linger_count(adapter):  # noqa: F811 - it is a fixture
    with adapter.entered(service(max_sessions=1)) as server:
        with greeted(server) as first:
            assert first.ask(b"QUIT").startswith(b"+OK")
            assert first.line() == b"", "the server has said all"
            with Client(server) as second:
                assert second.line() == TOO_MANY

        def is_served() -> bool:
            with Client(server) as third:
                return third.line().startswith(b"+OK")

        wait_until(is_served, "the place was not given back")


# ------------------------------------------------------------------------------------------------ guesses


def test_two_logins_of_an_address_are_under_way_and_the_others_wait_without_a_thread(adapter):  # noqa: F811 - it is a fixture
    users = Waiting()
    with adapter.entered(service(authenticator=users, login_penalty=None)) as server, contextlib.ExitStack() as stack:
        same = [stack.enter_context(greeted(server)) for _ in range(6)]
        for number, client in enumerate(same):
            client.say(b"USER user%d" % number, b"PASS tanstaaf")
        users.wait_until_asked(2)
        other = stack.enter_context(greeted(server, "127.0.0.2"))
        other.say(b"USER other", b"PASS tanstaaf")
        users.wait_until_asked(1)
        assert len(users.users) == 3
        assert users.users[2] == "other", "logins of another address do not wait for these"
        if adapter.lazy:
            working = [thread.name for thread in threading.enumerate() if thread.name.startswith("pop3proto-login")]
            assert len(working) <= 3
        users.go_on.set()
        for client in (*same, other):
            assert client.line().startswith(b"+OK")
            client.line()
    assert sorted(users.users) == ["other", *(f"user{number}" for number in range(6))]


@pytest.mark.parametrize("ends_by", ["close", "abort"])
def test_a_server_ends_while_logins_wait(adapter, ends_by):  # noqa: F811 - it is a fixture
    users = Waiting()
    server = adapter.begin(service(authenticator=users, logins_per_address=1))
    with greeted(server) as first, greeted(server) as second:
        for client in (first, second):
            client.say(b"USER ann", b"PASS tanstaaf")
        users.wait_until_asked(1)
        wait = adapter.in_background(getattr(server, ends_by))
        users.go_on.set()
        wait()
    assert users.users in (["ann"], ["ann", "ann"])


def test_at_most_four_threads_work_for_logins(adapter):  # noqa: F811 - it is a fixture
    users = Waiting()
    with adapter.entered(service(authenticator=users)) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(greeted(server, f"127.0.0.{number + 1}")) for number in range(6)]
        for number, client in enumerate(clients):
            client.say(b"USER user%d" % number, b"PASS tanstaaf")
        users.wait_until_asked(4)
        with greeted(server, "127.0.0.9") as idle:
            assert idle.ask(b"CAPA").startswith(b"+OK")
        assert len(users.users) == 4
        users.go_on.set()
        for client in clients:
            assert client.line().startswith(b"+OK")
            client.line()


@pytest.mark.parametrize("ends_by", ["close", "abort"])
@pytest.mark.parametrize("hang_up", [True, False])
def test_a_login_that_waits_for_a_thread_ends_with_its_session(adapter, ends_by, hang_up):  # noqa: F811 - it is a fixture
    users = Waiting()
    server = adapter.begin(service(authenticator=users))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(greeted(server, f"127.0.0.{number + 1}")) for number in range(9)]
        for number, client in enumerate(clients):
            client.say(b"USER user%d" % number, b"PASS tanstaaf")
            if number < LOGINS_IN_THREADS:
                users.wait_until_asked(1)
        wait_until_reading(server, reading=False)
        if hang_up:
            for client in clients:
                client.sock.shutdown(socket.SHUT_RDWR)
        wait = adapter.in_background(getattr(server, ends_by))
        wait_until(lambda: len(server._sessions._places) <= LOGINS_IN_THREADS, "it does not end while the others hang")
        users.go_on.set()
        wait()
    assert users.users == [f"user{number}" for number in range(LOGINS_IN_THREADS)], "what has begun goes on to its end"


def test_a_login_that_waits_for_a_thread_ends_at_its_deadline(adapter):  # noqa: F811 - it is a fixture
    users = Waiting()
    users.go_on.set()
    with adapter.entered(service(authenticator=users, deadlines=Deadlines(login=0.3))) as server:
        turns = server._sessions._limiter._logins._turns
        held = [turns.take(f"192.0.2.{number}", 0) for number in range(LOGINS_IN_THREADS)]
        with greeted(server) as client:
            client.say(b"USER ann", b"PASS tanstaaf")
            assert b"maildrop" not in b"".join(iter(client.line, b""))
        for number, turn in enumerate(held):
            turns.give_back(f"192.0.2.{number}", turn)
        assert users.users == []
        assert not turns._waiting


def test_the_end_of_a_session_waits_for_no_login(adapter):  # noqa: F811 - it is a fixture
    class Watching(Waiting):
        def check_password(self, user, password, session) -> bool:
            try:
                return super().check_password(user, password, session)
            finally:
                answered.append(user)

        def session_ended(self, session) -> None:
            ended.release()

    answered: list[str] = []
    ended, users = threading.Semaphore(0), Watching()
    with adapter.entered(service(authenticator=users)) as server, contextlib.ExitStack() as stack:
        stack.callback(users.go_on.set)
        for number in range(LOGINS_IN_THREADS):
            client = stack.enter_context(greeted(server, f"127.0.0.{number + 1}"))
            client.say(b"USER ann", b"PASS wrong")
        users.wait_until_asked(LOGINS_IN_THREADS)
        for _ in range(2):
            with greeted(server, "127.0.0.9") as other:
                assert other.ask(b"QUIT").startswith(b"+OK")
            assert ended.acquire(timeout=PATIENCE)
        assert answered == []


@pytest.mark.parametrize("ends_by", ["hang up", "close", "abort"])
def test_an_authenticator_is_told_of_four_ends_at_once(adapter, ends_by):  # noqa: F811 - it is a fixture
    """Also when the server is ended: none is left out, and none is begun in a thread of its own."""

    class Watching(OneUser):
        def session_ended(self, session) -> None:
            with lock:
                under_way.add(session.id)
                most.append(len(under_way))
            assert go_on.wait(PATIENCE)
            with lock:
                under_way.remove(session.id)

    lock, go_on, under_way, most = threading.Lock(), threading.Event(), set(), []
    server = adapter.begin(service(authenticator=Watching()))
    ends = server._sessions._limiter._ends
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(greeted(server, f"127.0.0.{number + 1}")) for number in range(12)]
        stack.callback(go_on.set)
        if ends_by == "hang up":
            for client in clients:
                client.sock.shutdown(socket.SHUT_WR)
        else:
            wait = adapter.in_background(getattr(server, ends_by))
        wait_until(
            lambda: len(ends._waiting) >= 12 - ENDS_IN_THREADS and len(most) >= ENDS_IN_THREADS,
            "the sessions do not end",
        )
        if ends_by == "hang up":
            with greeted(server, "127.0.0.99") as other:
                assert other.ask(b"USER ann", b"PASS tanstaaf").startswith(b"+OK"), "logins have threads of their own"
            wait = adapter.in_background(server.abort)
        go_on.set()
        wait()
    assert len(most) == (13 if ends_by == "hang up" else 12)
    assert max(most) == ENDS_IN_THREADS
    assert not ends._waiting


def test_a_login_after_failures_is_delayed_and_no_other(adapter):  # noqa: F811 - it is a fixture
    penalty = LoginPenalty(first=0.01, most=0.02)
    with adapter.entered(service(login_penalty=penalty)) as server:
        for password in (b"one", b"two", b"three"):
            with greeted(server) as client:
                assert client.ask(b"USER ann", b"PASS " + password) == b"-ERR [AUTH] wrong name or password\r\n"
        with greeted(server) as client, greeted(server, "127.0.0.2") as other:
            assert other.ask(b"USER ann", b"PASS wrong").startswith(b"-ERR")
            assert client.ask(b"USER ann", b"PASS tanstaaf").startswith(b"+OK")


# ------------------------------------------------------------------------------------------------ the log


@pytest.fixture
def logged(caplog):
    """The lines about sessions so far, without their numbers."""
    caplog.set_level(logging.INFO, "pop3proto.server")

    def lines() -> list[str]:
        told = [record.getMessage() for record in caplog.records if record.name == "pop3proto.server"]
        assert all(re.match(r"session \d+ from ", line) for line in told)
        return [re.sub(r"^session \d+ from ", "", line) for line in told]

    return lines


def test_what_is_logged_of_sessions(adapter, logged):  # noqa: F811 - it is a fixture
    store = MemoryStore({"ann": [b"one\n", b"two\n"]})
    shared = service(store=store, login_penalty=None, max_sessions=1)
    with adapter.entered(shared) as server, greeted(server) as client:
        wrong = base64.b64encode(b'\0an n"\0wrong')
        assert client.ask(b"AUTH PLAIN " + wrong).startswith(b"-ERR [AUTH]")
        assert client.ask(b"USER ann", b"PASS tanstaaf").startswith(b"+OK")
        with Client(server) as refused:
            assert refused.line() == TOO_MANY
        client.say(b"RETR 1", b"RETR 1", b"DELE 2", b"QUIT")
        sent = b"".join(iter(client.line, b""))
        assert sent.endswith(b"+OK bye\r\n")
    failed, no_room, ended = logged()
    assert failed == r'127.0.0.1: login failed: method=PLAIN user=an\x20n"'
    assert no_room == "127.0.0.1: refused: too many sessions"
    assert re.fullmatch(
        r"127\.0\.0\.1: ended: user=ann method=USER/PASS retrieved=2 deleted=1 octets=\d+ end=quit", ended
    )
    assert int(ended.split("octets=")[1].split()[0]) > len(sent)


def test_who_has_the_right_password_is_named_though_there_is_no_login(adapter, logged):  # noqa: F811 - it is a fixture
    class Away(OneUser):
        def check_password(self, user, password, session):
            if user == "bob":
                raise Unavailable("the directory is down")
            return super().check_password(user, password, session)

    store = MemoryStore({"ann": [b"one\n"]})
    with adapter.entered(service(store=store, authenticator=Away())) as server:
        with greeted(server) as first, greeted(server) as second:
            assert first.ask(b"USER ann", b"PASS tanstaaf").startswith(b"+OK")
            assert second.ask(b"USER ann", b"PASS tanstaaf").startswith(b"-ERR [IN-USE]")
            assert second.ask(b"QUIT").startswith(b"+OK")
            assert second.line() == b""
            second.sock.close()
        with greeted(server) as third:
            assert third.ask(b"USER bob", b"PASS tanstaaf").startswith(b"-ERR [SYS/TEMP]")
    lines = [re.sub(r"octets=\d+ end=.*", "", line) for line in logged()]
    assert sorted(lines) == [
        "127.0.0.1: ended: user=- method=- retrieved=0 deleted=0 ",
        "127.0.0.1: ended: user=ann method=- retrieved=0 deleted=0 ",
        "127.0.0.1: ended: user=ann method=USER/PASS retrieved=0 deleted=0 ",
        "127.0.0.1: login not checked: method=USER/PASS user=bob",
    ]


@pytest.mark.deep(keep=15)
@pytest.mark.parametrize("error", [ConnectionLost, TimedOut, RemoteProtocolError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("asked", ["authenticator", "store"])
def test_what_would_be_mistaken_is_a_fault_with_its_traceback(adapter, logged, caplog, asked, error):  # noqa: F811 - it is a fixture
    users, store = OneUser(), FakeStore()
    if asked == "authenticator":
        users.failure = error("elsewhere")
    else:
        store.failures["open"] = error("elsewhere")
    with adapter.entered(service(store=store, authenticator=users)) as server, greeted(server) as client:
        answer = client.ask(b"USER ann", b"PASS tanstaaf")
        assert answer == b"-ERR [SYS/TEMP] the server has a fault, and ends the session\r\n"
        assert client.line() == b""
        with greeted(server) as other:
            assert other.ask(b"NOOP").startswith(b"-ERR"), "the server goes on"
    ended = next(line for line in logged() if " ended: " in line)
    assert ended.endswith(f"end=fault: the {asked} raised {error.__name__}: elsewhere")
    [traceback] = [record.exc_info for record in caplog.records if record.exc_info]
    assert type(traceback[1].__cause__) is error


class TellsEnds(ServerObserver, SessionEvents):
    """Keeps why sessions have ended, as their observers learn it."""

    def __init__(self):
        self.ends = []

    def session_ended(self, _session, record, error, /):
        self.ends.append(record.why_ended(error))


def test_why_sessions_end(adapter, logged):  # noqa: F811 - it is a fixture
    told = TellsEnds()
    settings = {"login_penalty": None, "login_attempts": 1, "max_sessions_before_login": 1, "observer": told}
    with adapter.entered(service(**settings)) as server:
        with greeted(server) as client:
            client.sock.shutdown(socket.SHUT_WR)
            assert client.line() == b""
        with greeted(server) as client:
            client.ask(b"USER ann", b"PASS wrong")
            assert client.line() == b""
        with greeted(server) as client:
            client.say(*[b"x"] * 10)
            assert b"closing" in b"".join(iter(client.line, b""))
        with greeted(server) as client:
            wait_until_reading(server)
            with greeted(server) as last:
                assert client.line() == DISPLACED
                assert client.line() == b""
                assert last.ask(b"USER ann", b"PASS tanstaaf").startswith(b"+OK")
                wait = adapter.in_background(server.close)
                while (line := last.ask(b"NOOP")).startswith(b"+OK"):
                    pass
                assert line in (b"", b"-ERR [SYS/TEMP] the server is going down\r\n")
                wait()
    ends = [line.partition(" end=")[2] for line in logged() if ": ended: " in line]
    assert sorted(ends[:4]) == ["bad-commands", "closed", "displaced", "failed-logins"]
    assert ends[4] == "shutdown"
    assert told.ends == ends, "observers, and so the metrics, have the words of the log"


@given(st.text(), st.text(), st.text(max_size=40))
def test_no_name_can_forge_a_line_or_a_column(user, method, address):
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("pop3proto.server"), Handler()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        session = LoggedSession(SessionInfo(address, id=7))
        session.login_failed(method, user)
        session.login_not_checked(method, user)
        session.user, session.method = user, method
        session.ended(ConnectionLost(user))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
    failed, not_checked, ended = lines
    assert [part.partition("=")[0] for part in failed.split(" ")[4:]] == ["login", "failed:", "method", "user"]
    assert not_checked == failed.replace("login failed", "login not checked", 1)
    names = [part.partition("=")[0] for part in ended.split(" ")[4:11]]
    assert names == ["ended:", "user", "method", "retrieved", "deleted", "octets", "end"]


@pytest.mark.parametrize(
    "error, end",
    [
        (TimedOut("too late"), "timeout: too late"),
        (ConnectionLost("gone"), "connection-lost: gone"),
        (ValueError("a\nb"), r"fault: a\nb"),
        (ValueError(), "fault"),
        (KeyboardInterrupt(), "cut-off"),
    ],
)
def test_the_word_for_an_error(logged, error, end):
    LoggedSession(SessionInfo(id=1)).ended(error)
    assert logged()[-1] == f"-: ended: user=- method=- retrieved=0 deleted=0 octets=0 end={end}"


def test_nothing_is_made_up_for_a_log_that_nobody_reads(caplog):
    caplog.set_level(logging.WARNING, "pop3proto.server")
    LoggedSession(SessionInfo(id=1)).ended(None)
    assert caplog.records == []
