"""`serve` in all three adapters: when it listens, where, and that `close` is right at any time."""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import os
import socket
import ssl
import threading
import warnings
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio
import trustme

from pop3proto import asyncio as over_asyncio, blocking as over_sockets, trio as over_trio
from pop3proto._io import listening
from pop3proto._io.listener import Listener
from pop3proto._io.listening import Listeners
from pop3proto.core.commands import Pass, User
from pop3proto.core.errors import ConnectionLost, Pop3Error
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.core.replies import ResponseCode
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.service import Service
from tests.helpers.drivers import FakeStore, OneUser
from tests.helpers.processes import join, wait_until

PATIENCE = 30  # seconds until a test that hangs fails
LOOP = contextvars.ContextVar("LOOP")
ADAPTERS = {"blocking": over_sockets, "asyncio": over_asyncio, "trio": over_trio}


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def service(**arguments):
    defaults = {"store": MemoryStore({"ann": [b"one\n"]}), "authenticator": OneUser(), "failure_delay": 0}
    return Service(**defaults | {"deadlines": Deadlines(grace=0.05)} | arguments)


def greeting(address):
    """What is said to a connection there."""
    family = socket.AF_UNIX if not address[1] else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address if address[1] else address[0])
        return sock.recv(100)


def is_refused(address):
    with contextlib.suppress(OSError):
        socket.create_connection(address, PATIENCE).close()
        return False
    return True


class Adapter:
    """One adapter; the methods of its servers are called by `do`, in this thread or in that of an event loop."""

    def __init__(self, name, portal=None):
        self.name = name
        self.serve = ADAPTERS[name].serve
        self.portal = portal
        self.lazy = portal is not None  # it listens once it is entered or awaited

    def do(self, function, *args):
        if self.portal is None:
            return function(*args)
        return self.portal.call(self._do, function, args)

    async def _do(self, function, args):
        with anyio.fail_after(PATIENCE):
            result = function(*args)
            return await result if inspect.isawaitable(result) else result

    def begin(self, *args, **kwargs):
        """A server that serves, without a block."""
        return self.do(lambda: self.serve(*args, **kwargs))

    def begin_here(self, *args, **kwargs):
        """Likewise, with the event loop in the context of its sessions."""

        async def begin():
            if self.name == "asyncio":
                LOOP.set(asyncio.get_running_loop())
            return await server

        server = self.serve(*args, **kwargs)
        return self.do(begin) if self.lazy else server

    @contextlib.contextmanager
    def entered(self, *args, **kwargs):
        if self.portal is None:
            with self.serve(*args, **kwargs) as server:
                yield server
        else:
            server = self.serve(*args, **kwargs)
            with self.portal.wrap_async_context_manager(server) as same:
                assert same is server
                yield server

    def in_background(self, function, times=1):
        """Call a method several times at once; return what waits for all of them."""
        threads = [threading.Thread(target=self.do, args=(function,), daemon=True) for _ in range(times)]
        for thread in threads:
            thread.start()
        return partial(join, *threads)


def call_from_thread(adapter, function):
    """Call a server's method from the worker thread of a session."""
    if adapter.name == "asyncio":
        context = contextvars.copy_context()

        async def call():
            await asyncio.create_task(function(), context=context)

        asyncio.run_coroutine_threadsafe(call(), LOOP.get()).result(PATIENCE)
    elif adapter.name == "trio":
        trio.from_thread.run(function)
    else:
        function()


def descriptors():
    """How many are open; 0 where the system does not tell."""
    return len(list(Path("/proc/self/fd").glob("*")))


def our_threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("pop3proto")}


async def tasks_left():
    """What runs besides, once nothing moves any more."""
    await anyio.wait_all_tasks_blocked()
    return sorted(task.name for task in anyio.get_running_tasks() if (task.name or "").startswith("pop3proto"))


@pytest.fixture(params=list(ADAPTERS))
def adapter(request):
    if request.param == "blocking":
        gc.collect()
        before = descriptors()
        yield Adapter("blocking")
    else:
        options = {"debug": True} if request.param == "asyncio" else {}
        with anyio.from_thread.start_blocking_portal(request.param, options) as portal:
            gc.collect()
            before = descriptors()
            yield Adapter(request.param, portal)
            assert portal.call(tasks_left) == []
    gc.collect()
    assert our_threads() == set()
    assert descriptors() <= before


# -------------------------------------------------------------------------------------------- when it serves


def test_entered(adapter):
    with adapter.entered(service()) as server:
        assert greeting(server.address).startswith(b"+OK")
    assert is_refused(server.address)


def test_awaited_or_returned(adapter):
    server = adapter.begin(service())
    assert greeting(server.address).startswith(b"+OK")
    adapter.do(server.close)
    assert is_refused(server.address)
    adapter.do(server.wait)


def test_awaited_or_returned_and_then_entered(adapter):
    server = adapter.begin(service())
    address = server.address

    async def enter():
        async with server:
            assert server.address == address

    if adapter.lazy:
        adapter.do(enter)
    else:
        with server:
            assert server.address == address
    assert is_refused(address)


def test_never_entered_nor_awaited(adapter):
    if not adapter.lazy:
        pytest.skip("it serves when it returns")
    server = adapter.serve(service())
    with pytest.raises(RuntimeError, match="does not listen yet"):
        server.address  # noqa: B018 - it is a property
    for end in (server.close, server.abort, server.close, server.wait):
        adapter.do(end)
    with pytest.raises(RuntimeError, match=r"was closed; call serve\(\) again"):
        adapter.do(lambda: server)


def test_never_entered_and_forgotten(adapter):
    if adapter.lazy:
        adapter.serve(service())


def test_closed_before_it_is_entered_it_closes_the_sockets_too(adapter):
    if not adapter.lazy:
        pytest.skip("it serves when it returns")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        adapter.do(adapter.serve(service(), sockets=[sock]).close)
        assert sock.fileno() < 0


# ----------------------------------------------------------------------------------------------- where


@needs_ipv6
def test_several_addresses_on_one_port(adapter):
    with adapter.entered(service(), ["127.0.0.1", "::1"]) as server:
        (first, port), (second, other) = server.addresses
        assert (first, second, port) == ("127.0.0.1", "::1", other)
        assert server.address == server.addresses[0]
        for address in server.addresses:
            assert greeting(address).startswith(b"+OK")


def test_several_addresses_without_ipv6(adapter):
    with adapter.entered(service(), ("127.0.0.1", "127.0.0.2")) as server:
        assert [host for host, _ in server.addresses] == ["127.0.0.1", "127.0.0.2"]
        for address in server.addresses:
            assert greeting(address).startswith(b"+OK")


def test_a_second_address_that_fails_closes_the_first(adapter, monkeypatch):
    create, made = socket.create_server, []

    def create_server(address, **arguments):
        if made:
            raise OSError(98, "Address already in use")
        made.append(create((address[0], 0), **arguments))  # the port itself may be another program's
        return made[-1]

    monkeypatch.setattr(socket, "create_server", create_server)
    with pytest.raises(OSError, match="in use"):
        adapter.begin(service(), ["127.0.0.1", "127.0.0.2"], 1100)
    # Not by a connection: meanwhile another program may listen on that port.
    assert [sock.fileno() for sock in made] == [-1]


def test_a_free_port_is_free_on_all_addresses(monkeypatch):
    create, failures = socket.create_server, [OSError(98, "Address already in use")]

    def create_server(address, **arguments):
        if address[1] and failures:
            raise failures.pop()
        return create(address, **arguments)

    monkeypatch.setattr(socket, "create_server", create_server)
    listeners = Listeners([Listener(address=["127.0.0.1", "127.0.0.2"])])
    listeners.open()
    with contextlib.closing(listeners):
        (_, one), (_, other) = listeners.addresses
        assert one == other
    monkeypatch.setattr(listening, "_PORT_ATTEMPTS", 2)
    failures += [OSError(98, "Address already in use")] * 2
    listeners = Listeners([Listener(address=["127.0.0.1", "127.0.0.2"])])
    with pytest.raises(OSError, match="in use"):
        listeners.open()
    assert listeners.sockets == []


@pytest.mark.parametrize("listens", [True, False])
def test_sockets(adapter, listens):
    sockets = [socket.socket(), socket.socket()]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
        if listens:
            sock.listen()
    names = tuple(sock.getsockname() for sock in sockets)
    with adapter.entered(service(), sockets=sockets) as server:
        assert server.addresses == names
        for name in names:
            assert greeting(name).startswith(b"+OK")
    assert [sock.fileno() for sock in sockets] == [-1, -1]


def test_the_copy_of_a_socket_in_another_process_still_listens(adapter):
    """systemd keeps its own: to end a server must not shut down what both have."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        copy = socket.socket(fileno=os.dup(sock.fileno()))
        with adapter.entered(service(), sockets=[copy]) as server:
            assert greeting(server.address).startswith(b"+OK")
        with socket.create_connection(sock.getsockname(), PATIENCE):
            sock.settimeout(PATIENCE)
            sock.accept()[0].close()


def test_a_socket_that_is_given_twice(adapter):
    with socket.create_server(("127.0.0.1", 0)) as sock, pytest.raises(ValueError, match="the same socket twice"):
        adapter.serve(service(), sockets=[sock, sock])


@needs_ipv6
def test_a_dual_stack_socket(adapter):
    sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with adapter.entered(service(), sockets=[sock]) as server:
        port = server.address[1]
        assert greeting(("127.0.0.1", port)).startswith(b"+OK")
        assert greeting(("::1", port)).startswith(b"+OK")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_unix_socket(adapter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a path of a Unix socket has little room
    sock = socket.socket(socket.AF_UNIX)
    sock.bind("pop3")
    with adapter.entered(service(), sockets=[sock]) as server:
        assert server.address == ("pop3", 0)
        assert greeting(server.address).startswith(b"+OK")


def test_what_it_cannot_listen_on(adapter):
    with pytest.raises(ValueError, match="nothing to listen on"):
        adapter.serve(service(), [])
    with pytest.raises(ValueError, match="nothing to listen on"):
        adapter.serve(service(), sockets=[])
    with socket.create_server(("127.0.0.1", 0)) as sock, pytest.raises(ValueError, match="not both"):
        adapter.serve(service(), port=110, sockets=[sock])


def test_what_is_no_service(adapter):
    with pytest.raises(
        TypeError, match=r"serve takes a Service, not an object of type MemoryStore: Service\(store=.*\)"
    ):
        adapter.serve(MemoryStore())
    with pytest.raises(TypeError, match="serve takes a Service, not an object of type type"):
        adapter.serve(Service)


def test_a_context_for_both_roles_serves(adapter):
    """The server does not guess its role from the context."""
    authority = trustme.CA()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for mode in ("implicit", "starttls"):
        with (
            adapter.entered(service(), tls=mode, context=context) as server,
            over_sockets.connect(*server.address, tls=mode, context=trusting) as client,
        ):
            client.login("ann", "tanstaaf")


# -------------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize("blocks", [True, False])
def test_an_authenticator_is_told_that_its_sessions_have_ended(adapter, blocks):
    """Those that log in, those that do not, those that hang up and those that are cut off; once each."""

    class Watching(OneUser):
        def session_ended(self, session):
            with lock:
                ended.append(session.id)

        def check_password(self, user, password, session):
            with lock:
                begun.append(session.id)
            return super().check_password(user, password, session)

    lock, begun, ended = threading.Lock(), [], []
    with adapter.entered(service(authenticator=Watching(blocks=blocks), deadlines=Deadlines(grace=0))) as server:
        connected(server).quit()
        with connected(server) as client:
            client.login("ann", "tanstaaf")
        hung_up, cut_off = connected(server), connected(server)
        for client in (hung_up, cut_off):
            with pytest.raises(LoginFailed):
                client.login("ann", "guess", only=["USER/PASS"])
        hung_up.close()
    cut_off.close()
    assert len(ended) == len(set(ended)) == 4
    assert set(begun) < set(ended)


@pytest.mark.parametrize("end", ["close", "abort"])
def test_twice(adapter, end):
    server = adapter.begin(service())
    for _ in range(2):
        adapter.do(getattr(server, end))
    adapter.do(server.close)
    adapter.do(server.wait)


def test_several_ends_at_once(adapter):
    store = FakeStore(b"one\n")
    server = adapter.begin(service(store=store, deadlines=Deadlines(grace=PATIENCE * 10)))
    with contextlib.closing(over_sockets.connect(*server.address, tls="none")) as client:
        client.login("ann", "tanstaaf")
        client.dele(1)
        waiting = adapter.in_background(server.wait, 2)
        closing = adapter.in_background(server.close, 3)
        # The session hears of the end within a grace time that is longer than this test.
        with pytest.raises(CommandFailed, match="SYS/TEMP"):  # noqa: PT012 - until the session knows, NOOP is answered
            while True:
                client.noop()
    closing()
    waiting()
    store.check_all_is_closed()
    assert store.commits == []


def test_an_abort_ends_a_close_that_waits(adapter):
    store = FakeStore(b"one\n")
    server = adapter.begin(service(store=store, deadlines=Deadlines(grace=PATIENCE * 10)))
    with contextlib.closing(over_sockets.connect(*server.address, tls="none")) as client:
        client.login("ann", "tanstaaf")
        closing = adapter.in_background(server.close, 2)
        wait_until(lambda: is_refused(server.address), "it still listens")
        adapter.in_background(server.abort, 2)()
        closing()
        with pytest.raises(ConnectionLost):
            client.noop()
    store.check_all_is_closed()


def test_closed_inside_its_block(adapter):
    with adapter.entered(service()) as server:
        adapter.do(server.close)
        adapter.do(server.wait)
        assert is_refused(server.address)


class Ending(OneUser):
    """Ends its server in the middle of a login; `count` logins do it at once."""

    blocks = True

    def __init__(self, adapter, end, count):
        super().__init__()
        self.adapter, self.end = adapter, end
        self.together = threading.Barrier(count)
        self.ended = threading.Semaphore(0)

    def check_password(self, user, password, session):
        self.together.wait(PATIENCE)
        call_from_thread(self.adapter, getattr(self.server, self.end))
        self.ended.release()
        return False


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("count", [1, 2])
def test_ended_by_sessions_of_its_own(adapter, end, count):
    """They cannot wait for their own ends, nor for each other's: they begin the end, and `wait` waits for it."""
    users = Ending(adapter, end, count)
    server = users.server = adapter.begin_here(service(authenticator=users, deadlines=Deadlines(grace=PATIENCE)))
    waiting = adapter.in_background(server.wait, 1)
    with contextlib.ExitStack() as clients:
        opened = [clients.enter_context(contextlib.closing(connected(server))) for _ in range(count)]
        for client in opened:
            client.call(User("ann"))
        logins = [in_thread(client.call, Pass("x")) for client in opened]
        for _ in range(count):
            assert users.ended.acquire(timeout=PATIENCE), "a session waits for the end of the server"
        for client, login in zip(opened, logins, strict=True):
            answer = login()
            if isinstance(answer, CommandFailed):  # it was refused before the end began
                answer = in_thread(client.call, User("ann"))()
            assert isinstance(answer, ConnectionLost) or answer.code == ResponseCode.SYS_TEMP
    waiting()
    assert is_refused(server.address)
    join(*our_threads())


def in_thread(function, *arguments):
    """Call a function in a thread; return a function that waits for what it raises."""
    raised = []

    def run():
        try:
            function(*arguments)
        except Pop3Error as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait():
        thread.join(PATIENCE)
        assert not thread.is_alive()
        return raised[0]

    return wait


def connected(server):
    return over_sockets.connect(*server.address, tls="none")


# ------------------------------------------------------------------------------ what only coroutines can do


@asynccontextmanager
async def cancelled_at_once():
    with anyio.CancelScope() as scope:
        scope.cancel()
        yield scope


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def serve(anyio_backend):
    return ADAPTERS[anyio_backend].serve


@pytest.mark.anyio
async def test_entered_in_a_scope_that_is_cancelled(serve):
    before = descriptors()
    async with cancelled_at_once(), serve(service()):
        await anyio.sleep_forever()
    await anyio.wait_all_tasks_blocked()
    assert descriptors() <= before


@pytest.mark.anyio
async def test_closed_while_another_task_enters(serve):
    server = serve(service())
    outcomes = []

    async def enter():
        try:
            async with server:
                outcomes.append("entered")
                await server.wait()
        except RuntimeError:
            outcomes.append("closed")

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enter)
            await server.close()
            tasks.start_soon(server.close)
        await server.wait()
    assert outcomes in (["entered"], ["closed"])


@pytest.mark.anyio
async def test_a_cancelled_close_has_closed(serve):
    store = FakeStore(b"one\n")
    server = await serve(service(store=store, deadlines=Deadlines(grace=PATIENCE * 10)))
    client = await anyio.to_thread.run_sync(connected, server)
    await anyio.to_thread.run_sync(client.login, "ann", "tanstaaf")
    with anyio.fail_after(PATIENCE):
        async with cancelled_at_once():
            await server.close()
        await server.wait()
    await anyio.to_thread.run_sync(client.close)
    store.check_all_is_closed()


def test_an_awaited_server_ends_with_its_event_loop():
    """A server that was not closed is aborted: no task, socket or lock is left."""
    store = FakeStore(b"one\n")

    async def main(serve):
        server = await serve(service(store=store, deadlines=Deadlines(grace=PATIENCE * 10)))
        client = await anyio.to_thread.run_sync(connected, server)
        await anyio.to_thread.run_sync(client.login, "ann", "tanstaaf")
        clients.append(client)
        return server.address

    for backend in ("asyncio", "trio"):
        gc.collect()
        before = descriptors()
        clients = []
        address = anyio.run(main, ADAPTERS[backend].serve, backend=backend)
        assert is_refused(address)
        with pytest.raises(ConnectionLost):
            clients[0].noop()
        clients[0].close()
        store.check_all_is_closed()
        gc.collect()
        assert descriptors() <= before
