"""Much at once: large messages in a row through tiny buffers, many sessions, and one that never stops.

What is bounded is memory, octets, commands, descriptors and tasks; never time. Run as a program, this file is the
second process of the test with many sessions: their clients.
"""

import asyncio
import contextlib
import functools
import gc
import hashlib
import importlib
import os
import resource
import socket
import sys
import threading
import tracemalloc
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import trio

import tests
from pop3proto import blocking
from pop3proto.asyncio import connect
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import Retr
from pop3proto.core.results import UniqueId
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.maildrop import Maildrop, MaildropStore, Message
from pop3proto.procedures.server.service import Service
from tests.helpers.depth import deep
from tests.helpers.processes import join

PATIENCE = 300  # seconds until a test that hangs fails
BACKENDS = [pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("trio", {}), id="trio")]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request):
    return request.param


@pytest.fixture
def adapter(anyio_backend_name):
    return importlib.import_module(f"pop3proto.{anyio_backend_name}")


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No descriptor, no thread, and no socket that was not closed (ResourceWarning is an error)."""
    gc.collect()
    before, threads = descriptors(), set(threading.enumerate())
    yield
    gc.collect()
    assert descriptors() <= before
    # Those of pools, which keep them; and one that has waited for a child, and ends a moment later.
    workers = ("asyncio_", "Trio thread", "AnyIO worker", "asyncio-waitpid")
    assert {each.name for each in set(threading.enumerate()) - threads if not each.name.startswith(workers)} == set()


def descriptors():
    """How many are open; 0 where the system does not tell."""
    return len(list(Path("/proc/self/fd").glob("*")))


def tasks():
    """How many there are."""
    if asyncio._get_running_loop() is not None:
        return len(asyncio.all_tasks())
    return trio.lowlevel.current_statistics().tasks_living


def contract(test):
    """Run a test on each backend, but not for ever; no task is left behind."""

    @pytest.mark.anyio
    @functools.wraps(test)
    async def bounded(*args, **kwargs):
        before = tasks()
        with anyio.fail_after(PATIENCE):
            await test(*args, **kwargs)
            await anyio.wait_all_tasks_blocked()
        assert tasks() == before

    return bounded


# --------------------------------------------------------------------------------- many octets, little room

MESSAGES = deep(32, 4)
OCTETS = deep(10_000_000, 2_000_000)
LINES = 10  # of a pattern that is repeated; one begins with a dot
BUFFER = 16_384  # octets; the system holds some more
MEGABYTE = 1_000_000


class Endless(MaildropStore):
    """Messages that are made up as they are read, in constant memory."""

    blocks = False

    def capabilities(self, user):
        return Capabilities()

    def open(self, user, session):
        return EndlessMaildrop()


class EndlessMaildrop(Maildrop):
    messages = tuple(Message(OCTETS, UniqueId(f"id.{number}")) for number in range(1, MESSAGES + 1))

    def open(self, number):
        return Pattern(number)

    def correct(self, number, octets):
        raise AssertionError((number, octets))

    def commit(self, deleted, retrieved):
        assert not deleted

    def close(self):
        pass


class Pattern:
    """One message: lines that name it."""

    def __init__(self, number):
        lines = [b"%s%02d %s\r\n" % (b"x" if line else b".", number, b"y" * 94) for line in range(LINES)]
        self._pattern = b"".join(lines)
        assert OCTETS % len(self._pattern) == 0
        self._octets = self._pattern * 101
        self._left = OCTETS

    def read(self, size):
        begin = (OCTETS - self._left) % len(self._pattern)
        octets = self._octets[begin : begin + min(size, self._left, 100 * len(self._pattern))]
        self._left -= len(octets)
        return octets

    def close(self):
        pass


@functools.cache
def digest_of(number):
    return digest(iter(functools.partial(Pattern(number).read, MEGABYTE), b""))


def digest(chunks):
    octets = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        octets.update(chunk)
    return octets.hexdigest()


def tiny(sock):
    """Give a socket buffers that hold next to nothing; a listening one hands them on."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return sock


def tiny_listener():
    """A bound socket whose connections have such buffers."""
    sock = tiny(socket.socket())
    sock.bind(("127.0.0.1", 0))
    return sock


def tiny_socket(server):
    sock = tiny(socket.socket())
    sock.connect(server.address)
    return sock


@contextlib.contextmanager
def most_memory(bound):
    """What all of this process, client and server, may take beyond what it has."""
    digest_of(1)
    gc.collect()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bound


class OneUser:
    """Anybody, with any password."""

    blocks = False

    def check_password(self, user, password, session):
        return True


ENDLESS = Service(store=Endless(), authenticator=OneUser())
STREAMED, WHOLE = 8 * MEGABYTE, 5 * OCTETS  # of 320 megabytes, and of 60; in a short run, of 12
NUMBERS = range(1, MESSAGES + 1)


@contextlib.asynccontextmanager
async def through_tiny_buffers(adapter):
    async with adapter.serve(ENDLESS, sockets=[tiny_listener()]) as server:
        stream = tiny_socket(server)
        if adapter.__name__.endswith("trio"):
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(stream))
        async with adapter.connect_over(stream, tls="none", cleartext="always") as client:
            await client.login("ann", "tanstaaf")
            assert client.capabilities.pipelining
            yield client


@pytest.mark.deep(keep=1)
@contract
async def test_large_messages_pipelined_through_tiny_buffers(adapter):
    with most_memory(STREAMED):
        async with through_tiny_buffers(adapter) as client:
            seen = []
            async for message in client.stream(map(Retr, NUMBERS)):
                octets = hashlib.blake2b(digest_size=16)
                async with message:
                    async for chunk in message:
                        octets.update(chunk)
                seen.append(octets.hexdigest())
    assert seen == list(map(digest_of, NUMBERS))


@pytest.mark.deep(keep=1)
@contract
async def test_whole_large_messages_are_held_one_at_a_time(adapter):
    with most_memory(WHOLE):
        async with through_tiny_buffers(adapter) as client:
            numbers = []
            async for number, octets in client.retrieve(NUMBERS[:6]):
                numbers.append(number)
                assert digest([octets]) == digest_of(number)
                del octets
    assert numbers == [*NUMBERS[:6]]


@contextlib.contextmanager
def in_threads():
    with blocking.serve(ENDLESS, sockets=[tiny_listener()]) as server:
        stream = tiny_socket(server)
        with blocking.connect_over(stream, tls="none", cleartext="always") as client:
            client.login("ann", "tanstaaf")
            assert client.capabilities.pipelining
            yield client


def test_large_messages_pipelined_through_tiny_buffers_in_threads():
    with most_memory(STREAMED), in_threads() as client:
        seen = []
        for message in client.stream(map(Retr, NUMBERS)):
            with message:
                seen.append(digest(message))
    assert seen == list(map(digest_of, NUMBERS))


def test_whole_large_messages_are_held_one_at_a_time_in_threads():
    numbers = []
    with most_memory(WHOLE), in_threads() as client:
        for number, octets in client.retrieve(NUMBERS[:6]):
            numbers.append(number)
            assert digest([octets]) == digest_of(number)
            del octets
    assert numbers == [*NUMBERS[:6]]


# ---------------------------------------------------------------------------------------------- many sessions

SESSIONS = 2_000
SPARE = 200  # descriptors that are needed beside theirs
AT_ONCE = 100  # connections that are being made; more than the listener's backlog would wait for the system's clock


def name_of(number):
    return f"user{number}"


def mail_of(number):
    return b"Subject: for %s\r\n\r\n%d\r\n" % (name_of(number).encode(), number * 7919)


@pytest.fixture
def many_descriptors():
    """As many as it takes, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = SESSIONS + SPARE
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this system allows {hard} open files, and {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Count:
    """An observer that counts what it is told, by the client's address."""

    def __init__(self):
        self.answers = dict.fromkeys(("127.0.0.1", "127.0.0.2"), 0)
        self.ends = []

    def heard(self, session, event):
        pass

    def said(self, session, response):
        self.answers[session.address] += 1

    def ended(self, session, error):
        self.ends.append(error)


@pytest.mark.deep
@contract
async def test_many_sessions_at_once(adapter, many_descriptors):
    numbers = range(SESSIONS)
    store = MemoryStore({name_of(number): [mail_of(number)] for number in numbers})
    users = MemoryAuthenticator({name_of(number): f"secret {number}" for number in numbers}, scram_algorithms=())
    observer = Count()
    service = Service(
        store=store,
        authenticator=users,
        max_sessions=SESSIONS,
        max_sessions_before_login=SESSIONS,
        max_sessions_per_address=None,
        observer=observer,
    )
    own_tasks, own_descriptors = tasks(), descriptors()
    async with adapter.serve(service) as server:
        command = [sys.executable, "-P", __file__, str(server.address[1])]
        environment = os.environ | {"PYTHONPATH": str(Path(tests.__file__).parent.parent)}
        async with await anyio.open_process(command, env=environment, stderr=None) as clients:
            try:
                assert await line_of(clients) == b"all are logged in\n"
                assert tasks() - own_tasks >= SESSIONS
                assert descriptors() - own_descriptors >= SESSIONS or not own_descriptors
                assert observer.ends == []
                await clients.stdin.send(b"go on\n")
                assert await line_of(clients) == b"%d got their own\n" % SESSIONS
                assert observer.ends == []
                await clients.stdin.send(b"go on\n")
                assert await clients.wait() == 0
            finally:
                with contextlib.suppress(ProcessLookupError):
                    clients.kill()
    assert observer.ends == [None] * SESSIONS
    assert all(store.messages(name_of(number)) == [] for number in numbers)


async def line_of(process):
    octets = b""
    while not octets.endswith(b"\n"):
        octets += await process.stdout.receive()
    return octets


# The other process.


async def be_many_clients(port):
    """Log in, and wait for all others; fetch a message and delete it, and wait again; quit."""
    loop = asyncio.get_running_loop()
    door = asyncio.Semaphore(AT_ONCE)
    logged_in, fetched = asyncio.Barrier(SESSIONS + 1), asyncio.Barrier(SESSIONS + 1)
    go_on = [asyncio.Event(), asyncio.Event()]
    right = []

    async def be_client(number):
        async with contextlib.AsyncExitStack() as stack:
            async with door:
                client = await stack.enter_async_context(connect("127.0.0.1", port, tls="none", timeout=PATIENCE))
                await client.login(name_of(number), f"secret {number}")
            await logged_in.wait()
            await go_on[0].wait()
            async with client.retr(1) as message:
                right.append(await message.read() == mail_of(number))
            await client.dele(1)
            await fetched.wait()
            await go_on[1].wait()

    async with asyncio.TaskGroup() as group:
        for number in range(SESSIONS):
            group.create_task(be_client(number))
        await logged_in.wait()
        say("all are logged in")
        await loop.run_in_executor(None, sys.stdin.readline)
        go_on[0].set()
        await fetched.wait()
        say(f"{sum(right)} got their own")
        await loop.run_in_executor(None, sys.stdin.readline)
        go_on[1].set()


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


# ------------------------------------------------------------------------------------- one that never stops

BOUND = 1_000  # commands of another that are answered before one's own: some turns of fifty each
ROUNDS = deep(100, 20)


class Greedy(threading.Thread):
    """A client that says NOOP without end, and reads the answers, or does not.

    It is a thread, so that it takes nothing from the loop of the server but what it asks for.
    """

    def __init__(self, address, *, reads):
        super().__init__(name="greedy", daemon=True)
        self.socket = socket.create_connection(address, PATIENCE)
        self.reader = threading.Thread(target=self.read, name="greedy reader", daemon=True) if reads else None
        self.start()

    def run(self):
        if self.reader is not None:
            self.reader.start()
        with contextlib.suppress(OSError):
            self.socket.sendall(b"USER ann\r\nPASS tanstaaf\r\n")
            while True:
                self.socket.sendall(b"NOOP\r\n" * 10_000)

    def read(self):
        with contextlib.suppress(OSError):
            while self.socket.recv(65_536):
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        join(self)
        if self.reader is not None:
            join(self.reader)
        self.socket.close()


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("reads", [True, False])
@contract
async def test_one_that_never_stops_does_not_starve_another(adapter, reads):
    observer = Count()
    service = Service(store=MemoryStore(), authenticator=OneUser(), observer=observer)
    between = []
    async with adapter.serve(service, sockets=None if reads else [tiny_listener()]) as server:
        stream = await anyio.connect_tcp(*server.address, local_host="127.0.0.2")
        async with stream:
            await answers(stream, 1)
            await stream.send(b"USER bob\r\nPASS tanstaaf\r\n")
            await answers(stream, 2)
            with Greedy(server.address, reads=reads) as greedy:
                # The greedy one is at it; or is stuck, as nobody takes its answers.
                while observer.answers["127.0.0.1"] < BOUND:
                    await anyio.lowlevel.checkpoint()
                for _ in range(ROUNDS):
                    before = observer.answers["127.0.0.1"]
                    await stream.send(b"NOOP\r\n")
                    await answers(stream, 1)
                    between.append(observer.answers["127.0.0.1"] - before)
                    for _ in range(10):
                        await anyio.lowlevel.checkpoint()
                assert greedy.is_alive()
                greedy.socket.shutdown(socket.SHUT_RDWR)
    assert max(between) <= BOUND


async def answers(stream, count):
    octets = b""
    while octets.count(b"\r\n") < count:
        octets += await stream.receive()
    assert octets.startswith(b"+OK")


if __name__ == "__main__":
    asyncio.run(be_many_clients(int(sys.argv[1])))
