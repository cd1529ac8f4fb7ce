"""Stores and authenticators under each adapter: coroutine methods, threads of logins, what a session knows."""

# A server's block around its clients' is what a session looks like.
# ruff: noqa: SIM117

import asyncio
import contextlib
import functools
import importlib
import importlib.util
import logging
import poplib
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
import trio.testing
import trustme

from pop3proto.blocking import serve as serve_blocking
from pop3proto.core.capabilities import Capabilities
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.operations import Turn
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.logins import LOGINS_IN_THREADS
from pop3proto.procedures.server.service import Service
from pop3proto.trio.stream import TrioStream

PATIENCE = 60  # seconds until a test that hangs fails
MAIL = b"Subject: one\n\n.dot\nlast\n"

BACKENDS = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("trio", {}), id="trio"),
]
if importlib.util.find_spec("uvloop") is not None:
    BACKENDS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))


@pytest.fixture(params=BACKENDS)
def anyio_backend(request):
    return request.param


@pytest.fixture
def adapter(anyio_backend_name):
    return importlib.import_module(f"pop3proto.{anyio_backend_name}")


def bounded(test):
    """Run a test on each backend, but not without a limit."""

    @pytest.mark.anyio
    @functools.wraps(test)
    async def run(*args, **kwargs):
        with anyio.fail_after(PATIENCE):
            await test(*args, **kwargs)

    return run


# ---------------------------------------------------------------------------------- a store of coroutines


class Users:
    """A coroutine method beside a plain one; it leaves the store something."""

    blocks = False

    async def check_password(self, user, password, session):
        await anyio.lowlevel.checkpoint()
        session.state["door"] = password
        return password == "tanstaaf"

    def secret(self, user, session):
        return "tanstaaf"


class Store:
    """Everything is a coroutine method, but `correct`; `gate` holds up what it names."""

    blocks = False

    def __init__(self, *mail, held=""):
        self.plain = MemoryStore({"ann": mail})
        self.locked = 0
        self.closed = 0
        self.sessions = []
        self.held = held
        self.entered, self.gate = anyio.Event(), anyio.Event()

    async def pass_by(self, method):
        await anyio.lowlevel.checkpoint()
        if method == self.held:
            self.entered.set()
            await self.gate.wait()

    async def open(self, user, session):
        self.sessions.append(session)
        await self.pass_by("open")
        self.locked += 1
        return Maildrop(self, self.plain.open(user, session))

    async def capabilities(self, user):
        await self.pass_by("capabilities")
        return Capabilities()


class Maildrop:
    def __init__(self, store, plain):
        self.store, self.plain = store, plain
        self.messages = plain.messages

    async def open(self, number):
        await self.store.pass_by("open a message")
        return Source(self.store, self.plain.open(number))

    def correct(self, number, octets):
        raise AssertionError(octets)

    async def commit(self, deleted, retrieved):
        await self.store.pass_by("commit")
        self.plain.commit(deleted, retrieved)

    async def close(self):
        await self.store.pass_by("close")
        self.store.locked -= 1
        self.store.closed += 1
        self.plain.close()


class Source:
    def __init__(self, store, plain):
        self.store, self.plain = store, plain

    async def read(self, size):
        await self.store.pass_by("read")
        return self.plain.read(size)

    async def close(self):
        await self.store.pass_by("close a message")
        self.plain.close()


def service(store, users=None, **arguments):
    arguments = {"deadlines": Deadlines(grace=0.2), "failure_delay": 0.01, "login_penalty": None} | arguments
    return Service(store=store, authenticator=users or Users(), **arguments)


class Peer:
    """A client that says what the test says."""

    def __init__(self, stream):
        self.stream, self.buffer = stream, b""

    async def line(self):
        while b"\n" not in self.buffer:
            self.buffer += await self.stream.receive()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    async def ask(self, octets):
        await self.stream.send(octets)
        return await self.line()

    async def body(self):
        lines = []
        while (line := await self.line()) != b".\r\n":
            lines.append(line)
        return b"".join(lines)


@contextlib.asynccontextmanager
async def peer_of(server, **tls):
    async with await anyio.connect_tcp(*server.address, **tls) as stream:
        peer = Peer(stream)
        assert (await peer.line()).startswith(b"+OK")
        yield peer


async def log_in(peer, password=b"tanstaaf"):
    assert (await peer.ask(b"USER ann\r\n")).startswith(b"+OK")
    return await peer.ask(b"PASS " + password + b"\r\n")


@pytest.mark.parametrize("blocks", [False, True])
@bounded
async def test_a_session_with_coroutine_methods(adapter, blocks):
    store, users = Store(MAIL, MAIL), Users()
    store.blocks = users.blocks = blocks
    async with adapter.serve(service(store, users)) as server:
        async with peer_of(server) as peer:
            assert (await log_in(peer, b"guess")).startswith(b"-ERR [AUTH]")
            assert (await log_in(peer)).startswith(b"+OK")
            assert store.locked == 1
            assert (await peer.ask(b"RETR 1\r\n")).startswith(b"+OK")
            assert await peer.body() == b"Subject: one\r\n\r\n..dot\r\nlast\r\n"
            assert (await peer.ask(b"TOP 2 0\r\n")).startswith(b"+OK")
            assert await peer.body() == b"Subject: one\r\n\r\n"
            assert (await peer.ask(b"CAPA\r\n")).startswith(b"+OK")
            assert b"SASL" in await peer.body()
            assert (await peer.ask(b"DELE 1\r\n")).startswith(b"+OK")
            assert (await peer.ask(b"QUIT\r\n")).startswith(b"+OK")
        [info] = store.sessions
        assert info.user == "ann"
        assert info.state == {"door": "tanstaaf"}
    assert (store.locked, store.closed) == (0, 1)
    assert store.plain.messages("ann") == [MAIL]


@pytest.mark.parametrize("held", ["open", "open a message", "read", "close a message", "commit", "close"])
@bounded
async def test_what_is_awaited_goes_on_to_its_end_when_the_server_is_aborted(adapter, held):
    store = Store(MAIL, held=held)
    async with adapter.serve(service(store)) as server:
        async with peer_of(server) as peer, anyio.create_task_group() as tasks:
            await peer.stream.send(b"USER ann\r\nPASS tanstaaf\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
            await store.entered.wait()
            tasks.start_soon(server.abort)
            await anyio.wait_all_tasks_blocked()
            assert store.closed == 0, "it waits for what is awaited"
            store.gate.set()
    assert (store.locked, store.closed) == (0, 1)


@bounded
async def test_an_authenticator_awaits_the_end_of_what_it_has_opened(adapter):
    """Also when the server is aborted meanwhile, and when the session was cut off before the store took anything."""

    class Leaving(Users):
        def __init__(self):
            self.entered, self.gate, self.released = anyio.Event(), anyio.Event(), []

        async def session_ended(self, session):
            self.entered.set()
            await self.gate.wait()
            self.released.append(session.state.pop("door"))

    users = Leaving()
    async with adapter.serve(service(Store(MAIL), users)) as server:
        async with peer_of(server) as peer:
            assert (await log_in(peer, b"guess")).startswith(b"-ERR")
        async with anyio.create_task_group() as tasks:
            await users.entered.wait()
            tasks.start_soon(server.abort)
            await anyio.wait_all_tasks_blocked()
            users.gate.set()
    assert users.released == ["guess"]


@bounded
async def test_a_session_that_waits_does_not_hold_up_another(adapter):
    store = Store(MAIL, held="capabilities")
    async with adapter.serve(service(store)) as server:
        async with peer_of(server) as waiting, peer_of(server) as peer:
            await waiting.stream.send(b"CAPA\r\n")
            await store.entered.wait()
            assert (await log_in(peer)).startswith(b"+OK")
            store.gate.set()
            assert (await waiting.line()).startswith(b"+OK")


def test_the_blocking_server_refuses_coroutine_methods():
    with pytest.raises(TypeError, match=r"the blocking server cannot await coroutine methods .*pop3proto\.asyncio"):
        serve_blocking(service(MemoryStore()))


@pytest.mark.parametrize("waits", [True, False])
def test_the_blocking_server_refuses_a_maildrop_with_coroutine_methods(caplog, waits):
    """At the login: nothing of a maildrop is known before it is opened. Its lock is released if that needs no waiting.

    No coroutine is left behind, of which Python would warn.
    """
    caplog.set_level(logging.ERROR, "pop3proto")
    released = threading.Event()

    class Disguised:
        blocks = False

        def open(self, user, session):
            return Asynchronous(self, MemoryStore({"ann": [MAIL]}).open(user, session))

        def capabilities(self, user):
            return Capabilities()

    class Asynchronous(Maildrop):
        async def close(self):
            released.set()
            if waits:
                await anyio.lowlevel.checkpoint()

    class Plain(Users):
        def check_password(self, user, password, session):
            return True

    with serve_blocking(service(Disguised(), Plain())) as server:
        client = poplib.POP3(*server.address, timeout=PATIENCE)
        client.user("ann")
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\] the server has a fault"):
            client.pass_("tanstaaf")
        client.close()
    assert released.is_set()
    methods = ", ".join(f"{name} of the maildrop (of type Asynchronous)" for name in ("open", "commit", "close"))
    assert f"cannot await coroutine methods ({methods}): make them plain methods, or use serve of" in caplog.text
    assert ("the maildrop may still be locked" in caplog.text) == waits


@bounded
async def test_what_is_no_maildrop_is_refused_at_the_login(adapter, caplog):
    class Forgetful(Store):
        async def open(self, user, session):
            await super().open(user, session)

    async with adapter.serve(service(Forgetful(MAIL))) as server:
        async with peer_of(server) as peer:
            assert (await log_in(peer)).startswith(b"-ERR [SYS/TEMP]")
    assert "the maildrop (of type NoneType) has no messages; open of the store must return a maildrop" in caplog.text


# ----------------------------------------------------------------------------------------- threads of logins


class Doorman:
    """Passwords that take until the test says so, if they are guesses."""

    blocks = True

    def __init__(self):
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()
        self.guard, self.inside, self.most = threading.Lock(), 0, 0

    def check_password(self, user, password, session):
        if password == "guess":
            with self.guard:
                self.inside += 1
                self.most = max(self.most, self.inside)
            self.entered.release()
            assert self.go_on.wait(PATIENCE)
            with self.guard:
                self.inside -= 1
        return password == "tanstaaf"


class SlowStore(MemoryStore):
    """A store that blocks; `capabilities` takes until the test says so."""

    blocks = True

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def capabilities(self, user):
        self.entered.release()
        assert self.go_on.wait(PATIENCE)
        return super().capabilities(user)


async def acquired(semaphore, times=1):
    for _ in range(times):
        wait = functools.partial(semaphore.acquire, timeout=PATIENCE)
        assert await anyio.to_thread.run_sync(wait, limiter=anyio.CapacityLimiter(1))  # not one of the server's threads


@bounded
async def test_guesses_hold_up_no_session_that_is_logged_in(adapter):
    users, store = Doorman(), SlowStore({"ann": [MAIL]})
    shared = service(store, users, logins_per_address=LOGINS_IN_THREADS + 3)
    async with adapter.serve(shared) as server, contextlib.AsyncExitStack() as stack:
        stack.callback(users.go_on.set)  # in any case: a thread that waits would hold up the end
        peer = await stack.enter_async_context(peer_of(server))
        assert (await log_in(peer)).startswith(b"+OK")
        guessing = [await stack.enter_async_context(peer_of(server)) for _ in range(LOGINS_IN_THREADS + 3)]
        for guess in guessing:
            await guess.stream.send(b"USER ann\r\nPASS guess\r\n")
        await acquired(users.entered, LOGINS_IN_THREADS)
        assert (await peer.ask(b"RETR 1\r\n")).startswith(b"+OK")
        assert await peer.body() == b"Subject: one\r\n\r\n..dot\r\nlast\r\n"
        assert users.inside == users.most == LOGINS_IN_THREADS
        users.go_on.set()
        for guess in guessing:
            assert (await guess.line()).startswith(b"+OK")
            assert (await guess.line()).startswith(b"-ERR [AUTH]")
    assert users.most == LOGINS_IN_THREADS


@contextlib.contextmanager
def one_thread(backend):
    """All work but that of logins has one thread."""
    if backend == "trio":
        limiter = trio.to_thread.current_default_thread_limiter()
        before, limiter.total_tokens = limiter.total_tokens, 1
        yield
        limiter.total_tokens = before
    else:
        with ThreadPoolExecutor(1) as executor:
            asyncio.get_running_loop().set_default_executor(executor)
            yield


@bounded
async def test_a_store_that_is_busy_holds_up_no_login(adapter, anyio_backend_name):
    users, store = Doorman(), SlowStore({"ann": [MAIL]})
    with one_thread(anyio_backend_name):
        async with adapter.serve(service(store, users)) as server:
            async with peer_of(server) as busy, peer_of(server) as peer:
                try:
                    await busy.stream.send(b"CAPA\r\n")
                    await acquired(store.entered)
                    assert (await log_in(peer, b"wrong")).startswith(b"-ERR [AUTH]")
                finally:
                    store.go_on.set()


# ------------------------------------------------------------------------ an authenticator that does not answer


class Silent:
    """Its coroutine never returns by itself."""

    blocks = False

    def __init__(self):
        self.asked, self.cancelled = anyio.Event(), anyio.Event()

    async def check_password(self, user, password, session):
        self.asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()


@bounded
async def test_an_authenticator_that_does_not_answer_is_cancelled_at_the_deadline_of_the_login(adapter):
    users = Silent()
    limited = service(Store(MAIL), users, deadlines=Deadlines(login=0.2, grace=PATIENCE))
    async with adapter.serve(limited) as server, peer_of(server) as peer:
        await peer.stream.send(b"USER ann\r\nPASS tanstaaf\r\n")
        assert (await peer.line()).startswith(b"+OK")
        assert await peer.line() == b"-ERR [SYS/TEMP] the login cannot be checked in time\r\n"
        with pytest.raises(anyio.EndOfStream):
            await peer.line()
        assert users.cancelled.is_set()


@bounded
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_authenticator_that_does_not_answer_holds_up_no_end(adapter, end):
    users = Silent()
    limited = service(Store(MAIL), users, deadlines=Deadlines(grace=0))
    async with adapter.serve(limited) as server, peer_of(server) as peer:
        await peer.stream.send(b"USER ann\r\nPASS tanstaaf\r\n")
        await users.asked.wait()
        await getattr(server, end)()
        assert users.cancelled.is_set()


@bounded
async def test_an_end_while_a_thread_asks_the_authenticator_reaches_what_is_awaited_next(adapter):
    class Slow(Silent):
        blocks = True

        def check_password(self, user, password, session):
            entered.release()
            assert go_on.wait(PATIENCE)
            return super().check_password(user, password, session)

    entered, go_on = threading.Semaphore(0), threading.Event()
    users = Slow()
    async with adapter.serve(service(Store(MAIL), users)) as server, peer_of(server) as peer:
        try:
            await peer.stream.send(b"USER ann\r\nPASS tanstaaf\r\n")
            await acquired(entered)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.abort)
                await anyio.wait_all_tasks_blocked()
                go_on.set()
        finally:
            go_on.set()
        assert users.cancelled.is_set()


@bounded
async def test_a_timeout_of_the_authenticators_own_is_a_fault_of_its_own(adapter, caplog):
    class Failing(Users):
        async def check_password(self, user, password, session):
            raise TimeoutError("the directory is away")

    async with adapter.serve(service(Store(MAIL), Failing())) as server, peer_of(server) as peer:
        assert (await log_in(peer)).startswith(b"-ERR [SYS/TEMP]")
    assert "the directory is away" in caplog.text


# -------------------------------------------------------------------------- what a session knows of itself


@bounded
async def test_a_session_knows_its_number_and_where_it_came_in(adapter):
    store = Store(MAIL)
    async with adapter.serve(service(store)) as server:
        for _ in range(2):
            async with peer_of(server) as peer:
                assert (await log_in(peer)).startswith(b"+OK")
                assert (await peer.ask(b"QUIT\r\n")).startswith(b"+OK")
        first, second = store.sessions
        host, port = server.address
        assert 0 < first.id < second.id
        assert first.local == (host, port)
        assert first.listener == f"{host}:{port}"
        assert first.address == "127.0.0.1"
        assert first.server_name is None
        assert first.state is not second.state


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory):
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("pop.example.org").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return path, context


@bounded
async def test_a_session_knows_the_name_that_the_client_asked_for(adapter, tls_files):
    certificate, trusting = tls_files
    store = Store(MAIL)
    async with adapter.serve(service(store), tls="implicit", certificate=certificate) as server:
        tls = {"ssl_context": trusting, "tls_hostname": "pop.example.org", "tls_standard_compatible": False}
        async with peer_of(server, **tls) as peer:
            assert (await log_in(peer)).startswith(b"+OK")
    assert [session.server_name for session in store.sessions] == ["pop.example.org"]


def test_a_context_keeps_the_callback_that_it_had(tls_files):
    """Under the blocking server; and a context that serves twice notes the name once."""
    certificate, _ = tls_files
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    asked = []
    context.sni_callback = lambda tls, name, _context: asked.append(name)

    class Recorder:
        def __init__(self):
            self.names = []

        def heard(self, session, event, /):
            self.names.append(session.server_name)

        def said(self, session, item, /):
            pass

        def ended(self, session, error, /):
            pass

    recorder = Recorder()
    plain = Service(store=MemoryStore(), authenticator=Doorman(), observer=recorder, deadlines=Deadlines(grace=0))
    for number in (1, 2):
        with serve_blocking(plain, tls="implicit", context=context) as server:
            client = poplib.POP3_SSL("127.0.0.1", server.address[1], context=unchecked(), timeout=PATIENCE)
            client.quit()
        assert len(asked) == number
    assert recorder.names == [asked[0], asked[1]]


def unchecked():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_turn_that_comes_as_its_session_is_cancelled_is_not_taken():
    taken = []

    async def main():
        stream, _ = trio.testing.memory_stream_pair()
        driver, turn = TrioStream(stream, None), Turn()

        async def wait():
            await driver.wait_for_turn(turn)
            taken.append(turn)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            turn.come()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert taken == []
