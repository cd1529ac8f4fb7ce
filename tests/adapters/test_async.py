"""The asyncio and the trio adapter, client and server: written once, run on both."""

# A server's block around its clients' is what a session looks like, and their exceptions leave whole blocks.
# ruff: noqa: PT012, SIM117

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import importlib
import io
import logging
import poplib
import socket
import ssl
import threading
import tracemalloc
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread
import attrs
import pytest
import trio
import trio.testing
import trustme

from pop3proto._io.driver import Driver
from pop3proto._io.tls_channel import TlsChannel
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.commands import Dele, Noop, Retr, Stat, Top
from pop3proto.core.errors import Broken, Busy, ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.refusals import CommandFailed, LoginFailed, SessionRefused
from pop3proto.core.replies import Greeting, Ok, ResponseCode
from pop3proto.core.results import MaildropStatus, UniqueId
from pop3proto.core.states import State
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.maildrop import InUse, Maildrop, MaildropStore, Message, Unavailable
from pop3proto.procedures.operations import Operation, Read, Run, ShuttingDown, Sleep, StartTls, Write
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.authenticator import PasswordVerifier
from pop3proto.sasl.registry import SERVER_MECHANISMS
from tests.helpers.depth import deep

PATIENCE = 60  # seconds until a test that hangs fails
GREETING = b"+OK ready\r\n"
UNIX = b"Subject: one\n\n.dot\nlast"
DOS = b"Subject: two\r\n\r\nbody\r\n"
SIZES = {1: 28, 2: 22}
ROLE = contextvars.ContextVar("ROLE", default=None)  # whose operations are looked at

BACKENDS = [
    pytest.param(("asyncio", {"debug": True}), id="asyncio"),
    pytest.param(("trio", {}), id="trio"),
]
if importlib.util.find_spec("uvloop") is not None:
    uvloop = importlib.import_module("uvloop")
    uvloop.run(asyncio.sleep(0))  # it keeps some descriptors from its first loop on
    BACKENDS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))


@pytest.fixture(params=BACKENDS)
def anyio_backend(request):
    return request.param


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No descriptor, and no socket that was not closed (ResourceWarning is an error)."""
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() <= before


def descriptors():
    """How many are open; 0 where the system does not tell."""
    return len(list(Path("/proc/self/fd").glob("*")))


@pytest.fixture
def adapter(anyio_backend_name):
    return importlib.import_module(f"pop3proto.{anyio_backend_name}")


def contract(test):
    """Run a test on each backend, but not for ever."""

    @pytest.mark.anyio
    @functools.wraps(test)
    async def bounded(*args, **kwargs):
        with anyio.fail_after(PATIENCE):
            await test(*args, **kwargs)
            if asyncio._get_running_loop() is not None:
                await anyio.wait_all_tasks_blocked()
                assert {task.get_name() for task in asyncio.all_tasks()} & {"pop3proto-session"} == set()

    return bounded


# ------------------------------------------------------------------------------------------ the world


class Anybody(PasswordVerifier):
    blocks = False

    def __init__(self):
        self.seen = []

    def check_password(self, user, password, session):
        self.seen.append(session)
        return password == "tanstaaf"


class Blocking(MemoryStore):
    """A store of which nobody knows how long it takes; it counts its locks, and fails or waits as told."""

    blocks = True

    def __init__(self, maildrops):
        super().__init__(maildrops)
        self.threads = set()
        self.opened = self.closed = 0
        self.enter = threading.Event()  # somebody wants to open a maildrop
        self.go_on = threading.Event()  # ... and may
        self.go_on.set()
        self.failure = None

    def open(self, user, session):
        self.threads.add(threading.current_thread())
        self.enter.set()
        assert self.go_on.wait(PATIENCE)
        if self.failure is not None:
            raise self.failure
        maildrop = super().open(user, session)
        self.opened += 1
        close = maildrop.close

        def counted():
            close()
            self.closed += 1

        maildrop.close = counted
        return maildrop

    @property
    def locked(self):
        return self.opened - self.closed


class Endless(MaildropStore):
    """One message of many octets, made as it is read."""

    blocks = False

    def __init__(self, octets):
        self.octets = octets
        self.read = 0
        self.locked = 0
        self.closed = anyio.Event()

    def capabilities(self, user):
        return MemoryStore().capabilities(user)

    def open(self, user, session):
        self.locked += 1
        return EndlessMaildrop(self)


class EndlessMaildrop(Maildrop):
    def __init__(self, store):
        self.store = store

    @property
    def messages(self):
        return (Message(self.store.octets, UniqueId("only")),)

    def open(self, number):
        return EndlessSource(self.store)

    def correct(self, number, octets):
        raise AssertionError(octets)

    def commit(self, deleted, retrieved):
        pass

    def close(self):
        self.store.locked -= 1
        self.store.closed.set()


class EndlessSource:
    def __init__(self, store):
        self.store = store
        self.left = store.octets

    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        self.store.read += size
        begin = (self.store.octets - self.left - size) % 80
        return ((b"x" * 78 + b"\r\n") * (size // 80 + 2))[begin : begin + size]

    def close(self):
        pass


@pytest.fixture
def store():
    return Blocking({"ann": [UNIX, DOS]})


def service(store, **arguments):
    arguments = {"authenticator": Anybody(), "deadlines": Deadlines(grace=0.2), "failure_delay": 0.01} | arguments
    arguments = {"login_penalty": None} | arguments
    return Service(store=store, **arguments)


def here(adapter, server, **arguments):
    return adapter.connect(*server.address, tls="none", **arguments)


@asynccontextmanager
async def logged_in(adapter, server, **arguments):
    async with here(adapter, server, **arguments) as client:
        await client.login("ann", "tanstaaf")
        yield client


class Raw:
    """A peer that says what the test says."""

    def __init__(self, stream):
        self.stream = stream
        self.buffer = b""

    async def say(self, octets):
        await self.stream.send(octets)

    async def line(self):
        while b"\n" not in self.buffer:
            try:
                self.buffer += await self.stream.receive(65_536)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return b""
        line, newline, self.buffer = self.buffer.partition(b"\n")
        return line + newline

    async def ask(self, octets):
        await self.say(octets)
        return await self.line()

    async def rest(self):
        octets, self.buffer = self.buffer, b""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                octets += await self.stream.receive(65_536)
        return octets


@asynccontextmanager
async def raw(server):
    async with await anyio.connect_tcp(*server.address) as stream:
        peer = Raw(stream)
        assert (await peer.line()).startswith(b"+OK")
        yield peer


async def log_in(peer):
    assert (await peer.ask(b"USER ann\r\n")).startswith(b"+OK")
    assert (await peer.ask(b"PASS tanstaaf\r\n")).startswith(b"+OK")


@asynccontextmanager
async def scripted(*answers, then="silence"):
    """A server that greets, and answers each line with the next answer; then it is silent, or hangs up."""
    heard = []

    async def converse(stream):
        peer = Raw(stream)
        async with stream:
            for number, answer in enumerate(answers):
                if number:
                    if not (line := await peer.line()):
                        return
                    heard.append(line)
                with suppress(anyio.BrokenResourceError):
                    await peer.say(answer)
            if then == "silence":
                while line := await peer.line():
                    heard.append(line)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, converse)
        yield listener.extra(anyio.abc.SocketAttribute.local_port), heard
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def tasks_around():
    """A task group whose failure is that of its only member."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


@attrs.frozen
class Certificates:
    pem: str
    client: ssl.SSLContext

    def arguments(self, tls):
        return {} if tls == "none" else {"certificate": self.pem}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Certificates(str(path), context)


# ---------------------------------------------------------------------------------------- each method


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
@contract
async def test_a_session(adapter, store, certificates, tls):
    users = Anybody()
    async with adapter.serve(service(store, authenticator=users), tls=tls, **certificates.arguments(tls)) as server:
        async with adapter.connect(*server.address, tls=tls, context=certificates.client) as client:
            assert client.greeting == Greeting(Ok("POP3 server ready"))
            assert client.state is State.AUTHORIZATION
            with pytest.raises(LoginFailed):
                await client.login("ann", "wrong")
            await client.login("ann", "tanstaaf")
            assert client.state is State.TRANSACTION
            assert client.capabilities.pipelining
            assert await client.stat() == MaildropStatus(2, sum(SIZES.values()))
            assert await client.list() == SIZES
            assert await client.list_one(2) == SIZES[2]
            uidl = await client.uidl()
            assert list(uidl) == [1, 2]
            assert await client.uidl_one(2) == uidl[2]
            assert (await client.capa()).top
            assert await client.noop() is None
            assert (await client.call(Stat())).count == 2
            done, failed = await client.call_all([Noop(), Dele(9)], return_exceptions=True)
            assert done is None
            assert isinstance(failed, CommandFailed)
            async with client.top(1, 1) as top:
                assert await top.read() == b"Subject: one\r\n\r\n.dot\r\n"
            async with client.retr(1) as message:
                assert message.reply is not None
                assert b"".join([chunk async for chunk in message]) == UNIX.replace(b"\n", b"\r\n") + b"\r\n"
            assert dict([pair async for pair in client.retrieve([2])]) == {2: DOS}
            await client.dele(1)
            await client.rset()
            await client.dele(2)
            if tls == "none":
                assert client.session.tls is None
                assert (users.seen[-1].address, users.seen[-1].tls) == ("127.0.0.1", None)
            else:
                assert client.session.tls.verified
                assert client.session.tls.bindings == users.seen[-1].tls.bindings != ()
        assert client.state is State.CLOSED
        with pytest.raises(Broken, match="QUIT"):
            await client.noop()
    assert store.messages("ann") == [UNIX]
    assert store.locked == 0
    assert threading.main_thread() not in store.threads


@contract
async def test_scram_runs_in_a_thread_and_binds_to_the_channel(adapter, certificates):
    users = MemoryAuthenticator({"ann": "tanstaaf"}, scram_algorithms=["SHA-256"])
    shared = service(MemoryStore(), authenticator=users, mechanisms=SERVER_MECHANISMS)
    async with adapter.serve(shared, tls="implicit", certificate=certificates.pem) as server:
        async with adapter.connect(*server.address, context=certificates.client) as client:
            await client.login("ann", "tanstaaf", only=["SCRAM-SHA-256-PLUS"])
            assert client.state is State.TRANSACTION


@contract
async def test_poplib_is_served(adapter, store, certificates):
    def fetch(address, context):
        mailbox = poplib.POP3(*address, timeout=PATIENCE)
        mailbox.stls(context)
        mailbox.user("ann")
        mailbox.pass_("tanstaaf")
        try:
            return mailbox.stat(), mailbox.retr(1)[1]
        finally:
            mailbox.quit()

    async with adapter.serve(service(store), tls="starttls", certificate=certificates.pem) as server:
        status, lines = await anyio.to_thread.run_sync(fetch, server.address, certificates.client)
    assert status == (2, 50)
    assert lines == UNIX.split(b"\n")


# ------------------------------------------------------------------------------- messages, in any number


@contract
async def test_messages_in_a_row(adapter):
    mail = [b"%d\r\n" % number * number * 100 for number in range(1, 60)]
    async with adapter.serve(service(MemoryStore({"ann": mail}))) as server, logged_in(adapter, server) as client:
        got = [pair async for pair in client.retrieve([*range(1, 60), 99], return_exceptions=True)]
        assert got[:-1] == list(enumerate(mail, 1))
        assert isinstance(got[-1][1], CommandFailed)
        seen = []
        async for message in client.stream([Retr(5), Top(7, 0), Noop(), Retr(9)]):
            async with message:
                async for chunk in message:
                    seen.append((message.command, chunk))
                    break
        assert [command for command, _ in seen] == [Retr(5), Top(7, 0), Retr(9)]
        assert [pair async for pair in client.retrieve([])] == []
        whole = [await m.read() async for m in opened(client.stream(map(Retr, (1, 2))))]
        assert whole == mail[:2]


async def opened(messages):
    async for message in messages:
        async with message:
            yield message


@contract
async def test_what_is_left_early_is_thrown_away_or_ends_the_session(adapter):
    store = MemoryStore({"ann": [b"x" * 78 + b"\r\n"] * 3 + [b"x" * 78 + b"\n" * 2_000_000]})
    async with adapter.serve(service(store)) as server:
        async with logged_in(adapter, server) as client:
            async for _, _ in client.retrieve([1, 2, 3]):
                break
            assert (await client.stat()).count == 4
            rest = client.retrieve([1, 2, 3])
            await anext(rest)
            await client.noop()
            with pytest.raises(Broken):
                await anext(rest)
            async with client.retr(1) as message:
                pass
            await client.noop()
            with pytest.raises(Broken):
                await message.read()
            async with client.retr(4):
                with pytest.raises(Busy):
                    await client.noop()
            with pytest.raises(Broken):
                await client.noop()
        assert client.session.broken is not None


@contract
async def test_copying_tells_of_its_progress(adapter, tmp_path):
    octets = b"x" * 78 + b"\r\n"
    store = MemoryStore({"ann": [octets * 20_000, octets]})
    progress = []
    async with adapter.serve(service(store)) as server, logged_in(adapter, server) as client:
        path = tmp_path / "message"
        with path.open("wb") as file:
            async with client.retr(1) as message:
                assert await message.copy_to(file, progress.append) == 1_600_000
        assert path.read_bytes() == octets * 20_000
        assert progress == sorted(progress)
        assert progress[-1] == 1_600_000
        file = io.BytesIO()
        file.close()
        with pytest.raises(ValueError, match="closed"):
            async with client.retr(2) as message:
                await message.copy_to(file)
        assert (await client.stat()).count == 2


@contract
async def test_a_slow_reader_costs_no_memory(adapter):
    store = Endless(100_000_000)
    async with adapter.serve(service(store)) as server:
        async with logged_in(adapter, server) as client:
            read = 0
            async with client.retr(1) as message:
                async for chunk in message:
                    read += len(chunk)
                    await settle(lambda: store.read)
                    # What the system's buffers hold, and a few of our own.
                    assert store.read - read < 20_000_000
                    if isinstance(getattr(client._stream, "_inbox", None), list):
                        assert sum(map(len, client._stream._inbox)) <= 2 * 262_144
                    if read > 1_000_000:
                        break
            assert read < 100_000_000
            await client.aclose()
    assert store.locked == 0


async def settle(value):
    """Let the others run until nothing changes any more."""
    before = None
    while before != (before := value()):
        for _ in range(20):
            await anyio.lowlevel.checkpoint()


# ------------------------------------------------------------------------------------ two at a time, ends


@contract
async def test_one_call_at_a_time(adapter):
    async with scripted(GREETING, b"", b"", then="silence") as (port, heard):
        with pytest.raises(ConnectionLost, match="given up"):
            async with adapter.connect("127.0.0.1", port, tls="none") as client, tasks_around() as tasks:
                tasks.start_soon(client.capa)
                while not heard:
                    await anyio.lowlevel.checkpoint()
                with pytest.raises(Busy):
                    await client.stat()
                await client.aclose()
        assert heard == [b"CAPA\r\n"]
        assert "closed" in client.session.broken


@pytest.mark.parametrize("tls", ["none", "implicit"])
@contract
async def test_any_number_of_tasks_close_a_connection_at_once(adapter, store, certificates, tls):
    async with adapter.serve(service(store), tls=tls, **certificates.arguments(tls)) as server:
        async with adapter.connect(*server.address, tls=tls, context=certificates.client) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(client._stream.close)
            await client._stream.close()
            await client.aclose()


@contract
async def test_a_connection_is_opened_once(adapter, store):
    async with adapter.serve(service(store)) as server:
        connecting = adapter.connect(*server.address, tls="none")
        async with connecting as client:
            with pytest.raises(RuntimeError, match=r"call connect\(\) again"):
                await connecting
            assert await client.capa() is not None


@contract
async def test_no_connection(adapter):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionLost, match=f"no connection to 127.0.0.1, port {port}: "):
        async with adapter.connect("127.0.0.1", port, tls="none"):
            pass
    for host in ("x" * 70 + ".example", "."):
        with pytest.raises(ConnectionLost, match="no connection to"):
            async with adapter.connect(host, 1, tls="none"):
                pass
    with pytest.raises(ValueError, match="tls must be"):
        async with adapter.connect("127.0.0.1", 1, tls=True):
            pass
    with pytest.raises(ValueError, match="TLS needs"):
        adapter.serve(service(MemoryStore()), tls="implicit")


ANSWERS = (
    GREETING,
    b"-ERR\r\n",
    b"+OK\r\n",
    b"+OK\r\n",
    b"+OK 1 5\r\n",
    b"+OK\r\nabc\r\n.\r\n",
    b"+OK\r\n",
    b"+OK\r\n",
)


# ------------------------------------------------------------------------------------------- deadlines


@contract
async def test_a_silent_server(adapter, anyio_backend_name):
    async with scripted(GREETING) as (port, _):
        with pytest.raises(TimedOut):
            async with adapter.connect("127.0.0.1", port, tls="none", timeout=1) as client:
                await client.capa()
        with pytest.raises(Broken):
            await client.capa()


@contract
async def test_a_handshake_that_does_not_come(adapter, store, certificates):
    shared = service(store, deadlines=Deadlines(login=0.05))
    async with adapter.serve(shared, tls="implicit", certificate=certificates.pem) as server:
        async with await anyio.connect_tcp(*server.address) as stream:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()


@contract
async def test_deadlines_of_a_server_end_in_silence(adapter, store):
    shared = service(store, deadlines=Deadlines(login=2, idle=1, short_idle=True))
    async with adapter.serve(shared) as server:
        async with raw(server) as peer:
            assert await peer.rest() == b""
        async with raw(server) as peer:
            await log_in(peer)
            assert await peer.rest() == b""
    assert store.locked == 0


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("tls", ["none", "implicit"])
@contract
async def test_a_client_that_never_reads(adapter, certificates, caplog, tls):
    caplog.set_level(logging.INFO, "pop3proto")
    store = Endless(100_000_000)
    shared = service(store, deadlines=Deadlines(write=1))
    async with adapter.serve(shared, tls=tls, **certificates.arguments(tls)) as server:
        async with adapter.connect(*server.address, tls=tls, context=certificates.client) as client:
            await client.login("ann", "tanstaaf")
            async with client.retr(1):
                await store.closed.wait()
            assert store.locked == 0
            assert "did not take what was sent in time" in caplog.text
            await client.aclose()


# --------------------------------------------------------------------------------- cancelled everywhere


STRIDE = deep(1, 3)  # to the next operation at which something strikes


def count_operations(monkeypatch, role, strike, strike_at):
    """Call `strike` when the n-th operation in sessions of this role is to be performed; return the operations."""
    performed = []
    perform = Driver._perform

    async def watched(self, operation):
        if ROLE.get() == role:
            performed.append(operation)
            if len(performed) == strike_at:
                strike()
        return await perform(self, operation)

    monkeypatch.setattr(Driver, "_perform", watched)
    return performed


async def whole_session(adapter, server, certificates):
    async with adapter.connect(*server.address, tls="starttls", context=certificates.client) as client:
        await client.login("ann", "tanstaaf")
        async with client.retr(1) as message:
            await message.copy_to(io.BytesIO())
        assert [number async for number, _ in client.retrieve([1, 2])] == [1, 2]
        with pytest.raises(CommandFailed):
            await client.dele(9)


@contract
async def test_a_client_cancelled_at_every_operation(adapter, store, certificates, monkeypatch):
    kinds = set()
    strike_at = 1
    finished = False
    async with adapter.serve(service(store), tls="starttls", certificate=certificates.pem) as server:
        ROLE.set("client")
        while not finished:
            with monkeypatch.context() as patch, anyio.CancelScope() as scope:
                performed = count_operations(patch, "client", scope.cancel, strike_at)
                try:
                    await whole_session(adapter, server, certificates)
                except LoginFailed:  # the session before has still the lock
                    continue
                finished = True
            assert scope.cancelled_caught is not finished
            kinds |= {type(operation) for operation in performed}
            strike_at += STRIDE
    assert store.locked == 0
    assert {Read, Write, Run, StartTls} <= kinds
    assert strike_at > 15


def cancel_session(server):
    """Cancel the session that is running this."""
    if hasattr(server, "_running"):
        for scope in server._running:
            scope.cancel()
    else:
        asyncio.current_task().cancel()


@contract
async def test_a_server_session_cancelled_at_every_operation(adapter, store, certificates, monkeypatch):
    kinds = set()
    strike_at = 1 - STRIDE
    finished = False
    while not finished:
        strike_at += STRIDE
        with monkeypatch.context() as patch:
            ROLE.set("server")
            performed = count_operations(patch, "server", lambda: cancel_session(server), strike_at)
            async with adapter.serve(service(store), tls="starttls", certificate=certificates.pem) as server:
                ROLE.set("client")
                with suppress(ConnectionLost):
                    await whole_session(adapter, server, certificates)
                await server.close()
            await server.wait()
            finished = len(performed) < strike_at
        kinds |= {type(operation) for operation in performed}
        assert store.locked == 0
    assert {Read, Write, Run, StartTls} <= kinds
    assert strike_at > 15


@contract
async def test_a_lock_that_is_taken_after_the_cancellation_is_released(adapter, store):
    store.go_on.clear()
    async with adapter.serve(service(store)) as server:
        async with raw(server) as peer, anyio.create_task_group() as tasks:
            await peer.say(b"USER ann\r\nPASS tanstaaf\r\n")
            await anyio.to_thread.run_sync(store.enter.wait)
            tasks.start_soon(server.abort)
            await anyio.wait_all_tasks_blocked()
            store.go_on.set()
    assert (store.opened, store.locked) == (1, 0)


# ------------------------------------------------------------------------------------------ TLS, attacked


@contract
async def test_commands_in_clear_behind_stls(adapter, store, certificates):
    async with adapter.serve(service(store), tls="starttls", certificate=certificates.pem) as server:
        async with raw(server) as peer:
            await peer.say(b"STLS\r\nUSER mallory\r\n")
            assert await peer.rest() == b""
        async with raw(server) as peer:
            assert (await peer.ask(b"STLS\r\n")).startswith(b"+OK")
            await peer.say(b"USER mallory\r\n")
            assert b"+OK" not in await peer.rest()


@contract
async def test_a_server_that_nobody_vouches_for(adapter, store, certificates):
    async with adapter.serve(service(store), tls="implicit", certificate=certificates.pem) as server:
        with pytest.raises(ConnectionLost, match="certificate"):
            async with adapter.connect(*server.address):
                pass
        with pytest.raises(ValueError, match="context is for a server"):
            adapter.connect(*server.address, context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        async with adapter.connect(*server.address, context=certificates.client) as client:
            await client.login("ann", "tanstaaf")


@contract
async def test_garbage_in_the_middle_of_tls(adapter, store, certificates):
    async with adapter.serve(service(store), tls="implicit", certificate=certificates.pem) as server:
        async with await anyio.connect_tcp(*server.address) as stream:
            channel = TlsChannel(certificates.client, hostname="127.0.0.1")
            while not channel.handshake():
                await stream.send(channel.take())
                channel.feed(await stream.receive())
            await stream.send(channel.take())
            await stream.send(b"garbage" * 100)
            await Raw(stream).rest()
    assert store.locked == 0


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("tls", ["none", "implicit"])
@contract
async def test_a_client_that_says_all_and_closes_its_half_gets_all_answers(adapter, store, certificates, tls):
    said = b"USER ann\r\nPASS tanstaaf\r\nRETR 1\r\nRETR 2\r\nNOOP\r\n"
    async with adapter.serve(service(store), tls=tls, **certificates.arguments(tls)) as server:
        async with await anyio.connect_tcp(*server.address) as stream:
            if tls == "none":
                await stream.send(said)
                await stream.send_eof()
                answers = await Raw(stream).rest()
            else:
                channel = TlsChannel(certificates.client, hostname="127.0.0.1")
                while not channel.handshake():
                    await stream.send(channel.take())
                    channel.feed(await stream.receive())
                await stream.send(channel.take() + channel.write(said) + channel.close())
                channel.feed(await Raw(stream).rest())
                answers = channel.read()
    assert answers.count(b"\r\n.\r\n") == 2
    assert answers.endswith(b".\r\n+OK nothing done\r\n")


@contract
async def test_octets_behind_quit_do_not_cost_the_answer(adapter, store):
    async with adapter.serve(service(store)) as server:
        async with raw(server) as peer:
            await peer.say(b"QUIT\r\n" + b"NOOP\r\n" * 10_000)
            assert (await peer.rest()).startswith(b"+OK")


# ------------------------------------------------------------------------------------- a server's own ends


@contract
async def test_a_graceful_end(adapter, store):
    shared = service(store, deadlines=Deadlines(grace=PATIENCE))
    async with adapter.serve(shared) as server:
        async with raw(server) as idle, raw(server) as leaver, raw(server) as gone, anyio.create_task_group() as tasks:
            await log_in(leaver)
            await leaver.ask(b"DELE 1\r\n")
            tasks.start_soon(server.close)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(OSError, match="connect"):
                await anyio.connect_tcp(*server.address)
            assert (await idle.ask(b"NOOP\r\n")).startswith(b"-ERR [SYS/TEMP]")
            assert await idle.rest() == b""
            await idle.stream.aclose()
            assert (await leaver.ask(b"QUIT\r\n")).startswith(b"+OK")
            await leaver.stream.aclose()
            await gone.stream.aclose()
            await server.wait()
    assert store.messages("ann") == [DOS]
    assert store.locked == 0


@pytest.mark.parametrize("tls", ["none", "implicit"])
@contract
async def test_who_says_nothing_in_the_grace_time_is_cut_off(adapter, store, certificates, tls):
    async with adapter.serve(service(store), tls=tls, **certificates.arguments(tls)) as server:
        with pytest.raises(ConnectionLost):
            async with adapter.connect(*server.address, tls=tls, context=certificates.client) as client:
                await client.login("ann", "tanstaaf")
                await server.close()
                assert store.locked == 0
                await client.noop()


@contract
async def test_a_server_ends_at_once_by_an_exception(adapter, store):
    shared = service(store, deadlines=Deadlines(grace=PATIENCE * 10))
    with pytest.raises(ZeroDivisionError):
        async with adapter.serve(shared) as server, raw(server) as peer:
            await log_in(peer)
            raise ZeroDivisionError
    assert store.locked == 0
    with anyio.CancelScope() as scope:
        async with adapter.serve(shared) as server, raw(server) as peer:
            await log_in(peer)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert store.locked == 0


@contract
async def test_a_cancelled_close_does_not_wait(adapter, store):
    shared = service(store, deadlines=Deadlines(grace=PATIENCE * 10))
    async with adapter.serve(shared) as server, raw(server) as peer:
        await log_in(peer)
        with anyio.move_on_after(0.01) as scope:
            await server.close()
        assert scope.cancelled_caught
        assert store.locked == 0
        await server.wait()
        assert await peer.rest() == b""


@contract
async def test_the_gate(adapter, store, certificates):
    shared = service(store, max_sessions=2, max_sessions_before_login=2, max_sessions_per_address=None)
    async with adapter.serve(shared) as server, raw(server):
        async with raw(server):
            for _ in range(3):
                with pytest.raises(SessionRefused) as refused:
                    async with here(adapter, server):
                        pass
                assert refused.value.reply.code == ResponseCode.SYS_TEMP
        await until_let_in(adapter, server)
    async with adapter.serve(service(store, max_sessions_per_address=1)) as server, raw(server):
        with pytest.raises(SessionRefused, match="your address"):
            async with here(adapter, server):
                pass
    shared = service(store, max_sessions=1)
    async with adapter.serve(shared, tls="implicit", certificate=certificates.pem) as server:
        async with adapter.connect(*server.address, context=certificates.client):
            with pytest.raises(ConnectionLost):
                async with adapter.connect(*server.address, context=certificates.client):
                    pass


async def until_free(client):
    while client.state is not State.TRANSACTION:
        with suppress(LoginFailed):
            await client.login("ann", "tanstaaf")


async def until_let_in(adapter, server):
    while True:
        with suppress(SessionRefused):
            async with here(adapter, server):
                return


@pytest.mark.parametrize("failure", [ZeroDivisionError, StopIteration, OSError])
@contract
async def test_a_failure_of_the_store_ends_one_session(adapter, store, caplog, failure):
    async with adapter.serve(service(store)) as server, raw(server) as other:
        store.failure = failure("a fault")
        with pytest.raises(CommandFailed) as failed:
            async with here(adapter, server) as client:
                await client.login("ann", "tanstaaf", only=["USER/PASS"])
        assert failed.value.reply.code == ResponseCode.SYS_TEMP
        store.failure = None
        await log_in(other)
    assert "a fault" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("failure", [InUse, Unavailable])
@contract
async def test_a_maildrop_that_cannot_be_had(adapter, store, failure):
    store.failure = failure()
    async with adapter.serve(service(store)) as server, here(adapter, server) as client:
        with pytest.raises(LoginFailed):
            await client.login("ann", "tanstaaf")
        store.failure = None
        await client.login("ann", "tanstaaf")


@contract
async def test_a_session_that_never_stops_does_not_starve_another(adapter):
    async with adapter.serve(service(MemoryStore())) as server, raw(server) as busy:
        await log_in(busy)

        async def flood():
            while True:
                await busy.say(b"NOOP\r\n" * 10_000)

        async def drain():
            while True:
                await busy.stream.receive()

        async with anyio.create_task_group() as tasks, here(adapter, server) as client:
            tasks.start_soon(flood)
            tasks.start_soon(drain)
            for _ in range(20):
                await client.capa()
            tasks.cancel_scope.cancel()


@pytest.mark.deep(keep=1)
@contract
async def test_many_sessions(adapter):
    store = MemoryStore({f"user{number}": [b"%d\r\n" % number] for number in range(50)})
    async with adapter.serve(service(store)) as server:

        async def fetch(number):
            async with here(adapter, server) as client:
                await client.login(f"user{number}", "tanstaaf")
                assert [message async for message in client.retrieve([1])] == [(1, b"%d\r\n" % number)]

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(fetch, number)


# ------------------------------------------------------------------------- a stream that is there already


async def streams(anyio_backend_name, address):
    """Yield connected streams of every kind that the adapter takes."""
    if anyio_backend_name == "trio":
        yield await trio.open_tcp_stream(*address)
    else:
        yield socket.create_connection(address)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, *address)
        transport.pause_reading()
        yield transport


@contract
async def test_over_a_stream(adapter, anyio_backend_name, store, certificates):
    async with adapter.serve(service(store), tls="starttls", certificate=certificates.pem) as server:
        async for stream in streams(anyio_backend_name, server.address):
            # It may be a tunnel to anywhere: the password is not shown.
            async with adapter.connect_over(stream, tls="none") as client:
                with pytest.raises(LocalProtocolError):
                    await client.login("ann", "tanstaaf")
        async for stream in streams(anyio_backend_name, server.address):
            async with adapter.connect_over(stream, tls="none", cleartext="always") as client:
                await client.login("ann", "tanstaaf")
        async for stream in streams(anyio_backend_name, server.address):
            arguments = {"host": "127.0.0.1", "tls": "starttls", "context": certificates.client}
            async with adapter.connect_over(stream, **arguments) as client:
                await client.login("ann", "tanstaaf")
    assert store.locked == 0


# --------------------------------------------------------------------------------------------- the driver


class Silent(Operation[None]):
    """No operation that a driver knows."""


@contract
async def test_the_driver(adapter, store):
    def unknown():
        yield Silent()

    def farewells():
        told = []
        for _ in range(2):
            try:
                yield Read()
            except ShuttingDown:
                told.append("farewell")
        return told

    def sleeper():
        yield Sleep(0)
        return "rested"

    def tls():
        yield StartTls()

    async with adapter.serve(service(store)) as server, here(adapter, server) as client:
        stream = client._stream
        with pytest.raises(LocalProtocolError, match="Silent"):
            await stream.perform(unknown())
        assert await stream.perform(sleeper()) == "rested"
        stream.begin_shutdown()
        assert (await stream.perform(write_and(farewells()))) == ["farewell"]
        stream._channel = None
        with pytest.raises(LocalProtocolError, match="no TLS context"):
            await stream.perform(tls())
        client.session.end("its answers were stolen")


def write_and(procedure):
    yield Write(b"NOOP\r\n")
    return (yield from procedure)


@contract
async def test_a_read_that_waits_hears_the_farewell_once(adapter):
    told = []

    def reader():
        try:
            yield Read()
        except ShuttingDown:
            told.append("farewell")
        yield Read()

    async with scripted(GREETING) as (port, _):
        with pytest.raises(ConnectionLost):
            async with adapter.connect("127.0.0.1", port, tls="none") as client, tasks_around() as tasks:
                tasks.start_soon(client.perform, reader())
                await anyio.wait_all_tasks_blocked()
                client._stream.begin_shutdown()
                await anyio.wait_all_tasks_blocked()
                assert told == ["farewell"]
                await client.aclose()


# --------------------------------------------------------------------------------------- asyncio's own


def test_asyncio_timeouts_cancel(store):
    adapter = importlib.import_module("pop3proto.asyncio")

    async def main():
        async with adapter.serve(service(store)) as server:
            store.go_on.clear()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    async with here(adapter, server) as client:
                        await client.login("ann", "tanstaaf")
            store.go_on.set()
            with pytest.raises(TimedOut):
                async with here(adapter, server, connect_timeout=0):
                    pass

    asyncio.run(main(), debug=True)
    assert store.locked == 0


def test_asyncio_run_ends_with_a_server_running(store):
    adapter = importlib.import_module("pop3proto.asyncio")
    shared = service(store, deadlines=Deadlines(grace=PATIENCE * 10))

    async def left_behind():
        async with adapter.serve(shared) as server:
            async with logged_in(adapter, server):
                ready.set()
                await asyncio.sleep(PATIENCE)

    async def main():
        task = asyncio.create_task(left_behind())
        await ready.wait()
        assert not task.done()

    ready = asyncio.Event()
    asyncio.run(main(), debug=True)
    assert store.locked == 0


def test_asyncio_twice_cancelled_run(store):
    adapter = importlib.import_module("pop3proto.asyncio")

    async def main():
        async with scripted(GREETING) as (port, _):
            async with adapter.connect("127.0.0.1", port, tls="none") as client:
                results = []

                def blocking():
                    results.append((yield Run(held.wait, PATIENCE)))
                    results.append((yield Run(str, 7)))
                    try:
                        yield Sleep(0)
                    except asyncio.CancelledError:
                        results.append("cancelled")
                        raise

                task = asyncio.create_task(client.perform(blocking()))
                for _ in range(3):
                    await asyncio.sleep(0)
                    task.cancel()
                held.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert results == [True, "7", "cancelled"]
                task = asyncio.create_task(client._stream.perform(only_run()))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    def only_run():
        yield Run(held.wait)

    held = threading.Event()
    asyncio.run(main(), debug=True)


@contract
async def test_a_client_that_does_not_read_makes_its_session_hold_little(adapter):
    """Whatever the size of the message, and however much is asked for."""
    store = MemoryStore({str(number): [b"x" * 8_000_000] * 3 for number in range(4)})
    service = Service(store=store, authenticator=MemoryAuthenticator(dict.fromkeys("0123", "tanstaaf")))
    async with adapter.serve(service) as server:
        async with AsyncExitStack() as clients:
            streams = [await clients.enter_async_context(await anyio.connect_tcp(*server.address)) for _ in range(4)]
            for number, stream in enumerate(streams):
                await stream.send(b"USER %d\r\nPASS tanstaaf\r\n" % number)
                received = b""
                while received.count(b"\n") < 3:
                    received += await stream.receive()
                assert received.count(b"+OK") == 3
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                for stream in streams:
                    await stream.send(b"RETR 1\r\nRETR 2\r\nRETR 3\r\n")
                await anyio.wait_all_tasks_blocked()
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            await server.abort()
    assert (after - before) / len(streams) < 262_144


def test_asyncio_cancels_a_run_that_ends_at_once():
    """Since 3.14, such a function is not waited for: no other task would run, nor could one cancel this one."""
    adapter = importlib.import_module("pop3proto.asyncio")

    class Prompt(concurrent.futures.ThreadPoolExecutor):
        def submit(self, *call):
            future = super().submit(*call)
            concurrent.futures.wait([future], PATIENCE)
            return future

    def only_run():
        results.append((yield Run(str, 7)))

    async def main():
        asyncio.get_running_loop().set_default_executor(Prompt())
        async with scripted(GREETING) as (port, _):
            async with adapter.connect("127.0.0.1", port, tls="none") as client:
                task = asyncio.create_task(client.perform(only_run()))
                await asyncio.sleep(0)
                assert task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    results = []
    asyncio.run(main(), debug=True)
    assert results == ["7"]


def test_asyncio_closed_transports():
    adapter = importlib.import_module("pop3proto.asyncio")

    async def main():
        async with scripted(GREETING) as (port, _):
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
            transport.close()
            with pytest.raises(ConnectionLost, match="closed"):
                async with adapter.connect_over(transport, tls="none"):
                    pass

    asyncio.run(main(), debug=True)
