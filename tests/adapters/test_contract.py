"""One contract for all adapters: each test is written once, and runs over blocking sockets, asyncio, trio and memory.

An asynchronous client runs in a thread of its own behind a facade that has the methods of the blocking one. What is
peculiar to an adapter (cancellation, above all) is tested in its own file.
"""

# A server's block around its clients' is what a session looks like, and their exceptions leave whole blocks.
# ruff: noqa: PT012, SIM117

import contextlib
import gc
import inspect
import io
import math
import shutil
import socket
import ssl
import threading
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest import mock

import anyio
import anyio.from_thread
import anyio.to_thread
import attrs
import pytest
import trio
import trio.testing
import trustme

from pop3proto import asyncio as over_asyncio, blocking as over_sockets, trio as over_trio
from pop3proto._aio.message import AsyncIncomingMessage
from pop3proto._io.certificates import choose_certificates
from pop3proto._io.listener import Listener
from pop3proto._io.server_tls import ServerTls
from pop3proto._io.sessions import Sessions
from pop3proto._io.tls import client_context
from pop3proto.asyncio.stream import AsyncioStream
from pop3proto.blocking.stream import SocketDriver
from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import Dele, Noop, Quit, Retr, Stat, Top
from pop3proto.core.errors import (
    Broken,
    Busy,
    CertificateError,
    ConnectionLost,
    LocalProtocolError,
    MalformedReply,
    RemoteProtocolError,
    TimedOut,
    UncertainUpdate,
)
from pop3proto.core.events import Tolerated
from pop3proto.core.limits import Limits, Quirk
from pop3proto.core.refusals import CommandFailed, LoginFailed, SessionRefused
from pop3proto.core.replies import Err, Greeting, Ok
from pop3proto.core.results import Language, MaildropStatus
from pop3proto.core.states import State
from pop3proto.logs import LogObserver
from pop3proto.procedures.client import pipeline as pipeline_module, session as session_module
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.plain import PlainClient
from pop3proto.trio.stream import TrioStream
from tests.helpers.depth import deep
from tests.helpers.drivers import FakeStore, OneUser, as_sent
from tests.helpers.processes import join

PATIENCE = 30  # seconds until a test that hangs fails
BRIEF = 0.05  # ... until a peer that says nothing is given up
A_WHILE = 2  # ... likewise, where it has to log in before, on a busy machine too
GREETING = b"+OK ready\r\n"
UNIX = b"Subject: one\n\n.dot\nlast"
DOS = b"Subject: two\r\n\r\nbody\r\n"
SIZES = {1: len(as_sent(UNIX)), 2: len(as_sent(DOS))}
HANG_UP = None
SILENCE = b""


# --------------------------------------------------------------------------------------------- the peers


class Script:
    """A server that says what the test says, over any stream; one connection.

    Args:
        answers: by verb; HANG_UP and SILENCE are answers, too. Any other verb is refused.
        greeting: what it says first.
        most: after so many octets it hangs up.
        piece: octets in one write.
        deaf: it reads nothing.
    """

    def __init__(self, answers=None, *, greeting=GREETING, most=None, piece=None, deaf=False):
        self.heard = []
        self.said = 0
        self.over = False
        self.deaf = deaf
        self._answers = {b"QUIT": b"+OK bye\r\n"} | (answers or {})
        self._greeting = greeting
        self._most = most
        self._piece = piece
        self._changed = threading.Condition()
        self._released = threading.Event()

    def release(self):
        """Let it go, if it is deaf."""
        self._released.set()

    def begin(self):
        """Yield the greeting, in pieces."""
        return self._say(self._greeting)

    def answer(self, line):
        """Yield the answer to a line, in pieces."""
        verb = line.split()[0] if line.split() else b""
        with self._changed:
            self.heard.append(line)
            self._changed.notify_all()
        return self._say(self._answers.get(verb, b"-ERR no\r\n"))

    def _say(self, octets):
        if octets is HANG_UP:
            self.over = True
            return
        if self._most is not None and self.said + len(octets) >= self._most:
            octets = octets[: self._most - self.said]
            self.over = True
        self.said += len(octets)
        size = self._piece or len(octets) or 1
        for start in range(0, len(octets), size):
            yield octets[start : start + size]

    def wait_for(self, verb, times=1):
        """Wait until it has heard a verb so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.verbs.count(verb) >= times, PATIENCE), self.heard

    @property
    def verbs(self):
        return [line.split()[0] for line in self.heard]

    def run(self, sock):
        """Play it over a socket."""
        sock.settimeout(PATIENCE)
        with sock, sock.makefile("rb") as lines, contextlib.suppress(ConnectionError):
            for piece in self.begin():
                sock.sendall(piece)
            while not self.over and (line := self._hear(lines, sock)):
                for piece in self.answer(line):
                    sock.sendall(piece)

    def _hear(self, lines, sock):
        if self.deaf:
            self._released.wait(PATIENCE)
            return b""
        return lines.readline()

    async def run_in_memory(self, stream):
        """Play it over a stream of trio's."""
        buffer = b""
        with contextlib.suppress(trio.BrokenResourceError):
            async with stream:
                for piece in self.begin():
                    await stream.send_all(piece)
                if self.deaf:
                    self._released = trio.Event()
                    await self._released.wait()
                    return
                while not self.over:
                    line, newline, rest = buffer.partition(b"\n")
                    if newline:
                        buffer = rest
                        for piece in self.answer(line + newline):
                            await stream.send_all(piece)
                    elif octets := await stream.receive_some():
                        buffer += octets
                    else:
                        return


@attrs.frozen
class Listening:
    """A script behind a port of loopback."""

    address: tuple


@contextmanager
def in_thread(function, *args):
    """Run a function beside a block, and see that it ends."""
    thread = threading.Thread(target=function, args=args, name="script", daemon=True)
    thread.start()
    try:
        yield
    finally:
        join(thread)


@contextmanager
def listening(script):
    """Let a script wait for its connection on a port of loopback."""

    def run():
        with contextlib.suppress(OSError):  # nobody came
            script.run(listener.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener, in_thread(run):
        try:
            yield Listening(listener.getsockname())
        finally:
            script.release()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()


class RawSocket:
    """A client that says what the test says."""

    def __init__(self, address):
        self._socket = socket.create_connection(address, PATIENCE)

    def send(self, octets):
        self._socket.sendall(octets)

    def receive(self):
        try:
            return self._socket.recv(65_536)
        except ConnectionError:
            return b""

    def close(self):
        self._socket.close()


class RawMemory:
    """Likewise, over a stream of trio's."""

    def __init__(self, portal, stream):
        self._portal = portal
        self._stream = stream

    def send(self, octets):
        with contextlib.suppress(trio.BrokenResourceError):
            self._portal.call(self._stream.send_all, octets)

    def receive(self):
        try:
            return self._portal.call(self._receive)
        except trio.BrokenResourceError:
            return b""

    async def _receive(self):
        with trio.fail_after(PATIENCE):
            return bytes(await self._stream.receive_some())

    def close(self):
        self._portal.call(self._stream.aclose)


class Raw:
    """Lines from and to a server."""

    def __init__(self, stream):
        self._stream = stream
        self._buffer = b""

    def say(self, octets):
        self._stream.send(octets)

    def line(self):
        while b"\n" not in self._buffer and (octets := self._stream.receive()):
            self._buffer += octets
        line, newline, self._buffer = self._buffer.partition(b"\n")
        return line + newline

    def ask(self, octets):
        self.say(octets)
        return self.line()

    def rest(self):
        octets, self._buffer = self._buffer, b""
        while piece := self._stream.receive():
            octets += piece
        return octets

    def log_in(self):
        assert self.ask(b"USER ann\r\n").startswith(b"+OK")
        assert self.ask(b"PASS tanstaaf\r\n").startswith(b"+OK")


# -------------------------------------------------------------------------------------------- the facade


@asynccontextmanager
async def bounded(make, seconds):
    """An asynchronous context manager whose ends must not take for ever."""
    with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
        async with make() as result:
            scope.deadline = math.inf
            try:
                yield result
            finally:
                scope.deadline = anyio.current_time() + seconds
    if scope.cancelled_caught:
        raise TimeoutError


RENAMED = {"close": "aclose"}


class Facade:
    """An asynchronous client or message as if it were a blocking one."""

    def __init__(self, portal, target, timeout):
        self._portal = portal
        self._target = target
        self._timeout = timeout

    def __getattr__(self, name):
        value = getattr(self._target, RENAMED.get(name, name) if hasattr(self._target, "aclose") else name)
        return self._waiting_for(value) if callable(value) else value

    def _waiting_for(self, function):
        async def call(args, kwargs):
            with anyio.fail_after(self._timeout):
                result = function(*args, **kwargs)
                return await result if inspect.isawaitable(result) else result

        return lambda *args, **kwargs: self._presented(self._portal.call(call, args, kwargs))

    def _presented(self, result):
        if isinstance(result, AsyncIncomingMessage):
            return Facade(self._portal, result, self._timeout)
        if hasattr(result, "__anext__"):
            return Items(self, result)
        if hasattr(result, "__aenter__"):
            return self._portal.wrap_async_context_manager(bounded(lambda: result, self._timeout))
        return result

    def __enter__(self):
        self._waiting_for(self._target.__aenter__)()
        return self

    def __exit__(self, *error):
        return self._waiting_for(self._target.__aexit__)(*error)

    def __iter__(self):
        return Items(self, self._target)


class Items:
    """An asynchronous iterator as if it were another."""

    def __init__(self, facade, iterator):
        self._facade = facade
        self._next = facade._waiting_for(self._or_none)
        self._iterator = iterator

    async def _or_none(self):
        try:
            return await anext(self._iterator)
        except StopAsyncIteration:
            return None

    def __iter__(self):
        return self

    def __next__(self):
        if (item := self._next()) is None:
            raise StopIteration
        return item


def narrow(sock):
    """Give a socket buffers that are smaller than anything; less than a segment of loopback is only slow."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    return sock


def listening_narrowly():
    """What listens meanwhile, does so with small buffers, and those who are accepted inherit them."""
    create = socket.create_server
    return mock.patch.object(socket, "create_server", lambda *args, **kwargs: narrow(create(*args, **kwargs)))


class Blocking:
    """The blocking adapter."""

    name = "blocking"
    cleartext = False  # a password may be shown to anybody

    def connect(self, target, *, tiny=False, **arguments):
        if tiny:
            sock = narrow(socket.create_connection(target.address, PATIENCE))
            return self.over(sock, **arguments)
        return over_sockets.connect(*target.address, **_as_timeout(arguments))

    def over(self, sock, **arguments):
        return over_sockets.connect_over(sock, **_as_timeout(arguments))

    def hurry(self, client):
        """From now on wait no longer than a moment for an answer."""
        client.session.timeout = BRIEF

    def serve(self, service, **arguments):
        return over_sockets.serve(service, **arguments)

    def playing(self, script):
        return listening(script)

    @contextmanager
    def raw(self, server):
        stream = RawSocket(server.address)
        with contextlib.closing(stream):
            yield Raw(stream)


def _as_timeout(arguments):
    timeout = arguments.pop("timeout", PATIENCE)
    return {"timeout": timeout} | arguments


class Asyncio(Blocking):
    """The asyncio adapter, in a thread."""

    name = "asyncio"
    module = over_asyncio

    def __init__(self, portal):
        self.portal = portal

    def connect(self, target, *, tiny=False, **arguments):
        if tiny:
            return self.over(narrow(socket.create_connection(target.address)), **arguments)
        arguments, timeout = self._patient(arguments)
        return self._client(lambda: self.module.connect(*target.address, **arguments), timeout)

    def over(self, sock, **arguments):
        arguments, timeout = self._patient(arguments)
        return self._client(lambda: self.module.connect_over(self._stream(sock), **arguments), timeout)

    def _patient(self, arguments):
        return _as_timeout(arguments), PATIENCE

    def _stream(self, sock):
        return sock

    @contextmanager
    def _client(self, make, timeout):
        with self.portal.wrap_async_context_manager(bounded(make, timeout)) as client:
            yield Facade(self.portal, client, timeout)

    @contextmanager
    def serve(self, service, **arguments):
        server = self.portal.call(lambda: self.module.serve(service, **arguments))
        with self.portal.wrap_async_context_manager(bounded(lambda: server, PATIENCE)):
            yield Facade(self.portal, server, PATIENCE)

    def tasks(self):
        """Return how many tasks there are, once nothing moves any more."""
        return self.portal.call(self._count)

    async def _count(self):
        await anyio.wait_all_tasks_blocked()
        return len(anyio.get_running_tasks())


class Trio(Asyncio):
    """The trio adapter, in a thread."""

    name = "trio"
    module = over_trio

    def _stream(self, sock):
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


class Memory(Trio):
    """The trio adapter, over streams in memory."""

    name = "memory"
    cleartext = True

    def connect(self, target, *, tiny=False, **arguments):
        arguments, timeout = self._patient({"cleartext": "always", "host": "127.0.0.1"} | arguments)

        def make():
            ours, theirs = trio.testing.lockstep_stream_pair() if tiny else trio.testing.memory_stream_pair()
            target.take(theirs)
            return self.module.connect_over(ours, **arguments)

        return self._client(make, timeout)

    def serve(self, service, *, tls="none", certificate=None):
        sessions = Sessions(service, choose_certificates(tls, certificate=certificate))
        entrance = (Listener(tls=tls), "memory")
        return self._taking(
            lambda stream: sessions.handle(TrioStream(stream, sessions.channel), lambda: None, entrance),
            sessions.begin_shutdown,
        )

    def playing(self, script):
        return self._taking(script.run_in_memory, script.release)

    @contextmanager
    def _taking(self, handle, end):
        target = InMemory(self.portal, handle)
        try:
            yield target
        finally:
            self.portal.call(end)
            target.end()

    @contextmanager
    def raw(self, server):
        ours, theirs = trio.testing.lockstep_stream_pair()
        self.portal.call(server.take, theirs)
        stream = RawMemory(self.portal, ours)
        with contextlib.closing(stream):
            yield Raw(stream)


class InMemory:
    """Whoever takes the other ends of streams in memory."""

    def __init__(self, portal, handle):
        self._portal = portal
        self._handle = handle
        self._sessions = []

    def take(self, stream):
        """Begin a session; in the thread of the portal."""
        ended = trio.Event()

        async def run():
            try:
                await self._handle(stream)
            finally:
                ended.set()

        self._sessions.append(ended)
        trio.lowlevel.spawn_system_task(run)

    def end(self):
        """Wait for all sessions."""
        self._portal.call(self._end)

    async def _end(self):
        with trio.fail_after(PATIENCE):
            for ended in self._sessions:
                await ended.wait()


WORLDS = {"asyncio": (Asyncio, {"debug": True}), "trio": (Trio, {}), "memory": (Memory, {})}


def descriptors():
    """How many are open; 0 where the system does not tell."""
    return len(list(Path("/proc/self/fd").glob("*")))


def threads():
    # trio keeps its threads for reuse; anyio's, which this file has started, end by themselves a moment later.
    kept = ("Trio thread", "AnyIO worker thread")
    return {thread for thread in threading.enumerate() if not thread.name.startswith(kept)}


@pytest.fixture
def nothing_is_left():
    """No thread, no descriptor, and no socket that was not closed (ResourceWarning is an error)."""
    before = descriptors(), threads()
    yield
    gc.collect()
    assert threads() <= before[1]
    assert descriptors() <= before[0]


@contextmanager
def made(name):
    if name == "blocking":
        yield Blocking()
        return
    kind, options = WORLDS[name]
    with anyio.from_thread.start_blocking_portal("asyncio" if name == "asyncio" else "trio", options) as portal:
        world = kind(portal)
        before = world.tasks()
        yield world
        assert world.tasks() == before


@pytest.fixture(params=["blocking", "asyncio", "trio", "memory"])
def world(request, nothing_is_left):
    with made(request.param) as adapter:
        yield adapter


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def network(request, nothing_is_left):
    """For what has to do with sockets, or with the servers of the adapters."""
    with made(request.param) as adapter:
        yield adapter


@pytest.fixture(params=["asyncio", "trio", "memory"])
def coroutines(request, nothing_is_left):
    """For what a thread cannot do."""
    with made(request.param) as adapter:
        yield adapter


# ------------------------------------------------------------------------------------------- our servers


class Watched(FakeStore):
    """A store that tells when its maildrop is closed."""

    def __init__(self, *mail):
        super().__init__(*mail)
        self.closed = threading.Event()

    def note(self, call):
        super().note(call)
        if call == "close":
            self.closed.set()


@pytest.fixture
def store():
    kept = Watched(UNIX, DOS)
    yield kept
    kept.check_all_is_closed()


def service(world, store, **arguments):
    defaults = {"authenticator": OneUser(), "failure_delay": 0.01, "deadlines": Deadlines(grace=BRIEF)}
    defaults["login_penalty"] = None
    return Service(store=store, **defaults | {"cleartext": "always" if world.cleartext else "loopback"} | arguments)


@contextmanager
def logged_in(world, store, *, tiny=False, **arguments):
    """A client of our own server, and that."""
    with world.serve(service(world, store)) as server:
        arguments = {"tls": "none", "tiny": tiny} | ({"cleartext": "always"} if tiny else {}) | arguments
        with world.connect(server, **arguments) as client:
            client.login("ann", "tanstaaf")
            yield client


@contextmanager
def told(world, script, **arguments):
    """A client of a script, logged in if that knows USER."""
    with world.playing(script) as target, world.connect(target, tls="none", **arguments) as client:
        yield client


ACCEPTS = {b"USER": b"+OK\r\n", b"PASS": b"+OK\r\n"}


@attrs.frozen
class Certificates:
    pem: Path
    other: Path  # of another name
    trusting: ssl.SSLContext


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def certificates(authority, tmp_path):
    pem, other = tmp_path / "pem", tmp_path / "other"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.issue_cert("pop.example.org").private_key_and_cert_chain_pem.write_to_path(other)
    context = client_context()
    authority.configure_trust(context)
    return Certificates(pem, other, context)


# ------------------------------------------------------------------------------------------- each method


def test_what_a_client_knows(world, store):
    with world.serve(service(world, store)) as server, world.connect(server, tls="none") as client:
        assert client.greeting == Greeting(Ok("POP3 server ready"))
        assert client.capabilities is None
        assert client.state is State.AUTHORIZATION
        with pytest.raises(LocalProtocolError, match=r"call capa\(\) first"):
            client.login_plan("ann", "tanstaaf")
        assert client.capa() is client.capabilities
        assert client.capabilities.pipelining
        assert "PLAIN" in str(client.login_plan("ann", "tanstaaf"))
        with pytest.raises(LoginFailed):
            client.login("ann", "wrong")
        client.login("ann", "tanstaaf")
        assert client.state is State.TRANSACTION
    assert client.state is State.CLOSED


def test_methods_that_ask(world, store):
    with logged_in(world, store) as client:
        assert client.stat() == MaildropStatus(2, sum(SIZES.values()))
        assert client.list() == SIZES
        assert client.list_one(2) == SIZES[2]
        assert client.uidl() == {1: "id.1", 2: "id.2"}
        assert client.uidl_one(2) == "id.2"
        assert client.noop() is None
        assert client.call(Stat()).count == 2
        done, failed = client.call_all([Noop(), Dele(9)], return_exceptions=True)
        assert done is None
        assert isinstance(failed, CommandFailed)
        with pytest.raises(CommandFailed, match="DELE 9"):
            client.call_all([Noop(), Dele(9)])
        for refused in (client.utf8, lambda: client.lang("en"), client.lang_list, lambda: client.list_one(9)):
            with pytest.raises((CommandFailed, LocalProtocolError)):
                refused()
        assert client.noop() is None


def test_methods_that_our_server_does_not_know(world):
    answers = {b"LANG": b"+OK en words\r\n", b"UTF8": b"+OK\r\n", b"USER": b"+OK\r\n"}
    with told(world, script := Script(answers)) as client:
        assert client.lang("en") == "en"
        assert client.utf8() is None
        assert client.capa() is None
    assert script.heard == [b"LANG en\r\n", b"UTF8\r\n", b"CAPA\r\n", b"QUIT\r\n"]
    with told(world, Script({b"LANG": b"+OK\r\nen English\r\nde Deutsch\r\n.\r\n"})) as client:
        assert client.lang_list() == (Language("en", "English"), Language("de", "Deutsch"))


def test_dele_rset_and_quit(world, store):
    with logged_in(world, store) as client:
        client.dele(1)
        client.rset()
        client.dele(2)
        client.quit()
        assert client.state is State.CLOSED
        with pytest.raises(Broken, match="it has said QUIT"):
            client.stat()
    assert list(store.contents) == [1]


def test_leaving_the_block_says_quit(world, store):
    with logged_in(world, store) as client:
        client.dele(1)
    assert list(store.contents) == [2]


def test_close_hangs_up(world, store):
    with logged_in(world, store) as client:
        client.dele(1)
        client.close()
        client.close()
        with pytest.raises(Broken, match="it was closed"):
            client.stat()
    assert store.commits == []


def test_quit_by_hand(world, store):
    with logged_in(world, store) as client:
        client.call(Quit())
    assert len(store.commits) == 1


def test_fetch(world, store):
    with logged_in(world, store) as client:
        assert client.fetch(1) == as_sent(UNIX)
        with pytest.raises(CommandFailed, match="RETR 9"):
            client.fetch(9)
        assert client.fetch(2) == as_sent(DOS)


def test_what_is_not_a_command(world, store):
    with logged_in(world, store) as client:
        with pytest.raises(TypeError, match="instances of Command"):
            client.call("STAT")
        assert client.stat().count == 2


def test_the_last_reply(world):
    with told(world, Script(ACCEPTS | {b"DELE": b"+OK it is gone\r\n"})) as client:
        assert client.last_reply == Ok("ready")
        client.login("ann", "tanstaaf")
        client.dele(1)
        assert client.last_reply == Ok("it is gone")
        with pytest.raises(CommandFailed):
            client.noop()
        assert client.last_reply == Err("no")
    assert client.last_reply == Ok("bye")


def test_a_server_that_repeats_the_password(world, caplog):
    caplog.set_level("INFO")
    answers = {b"USER": b"+OK\r\n", b"PASS": b"-ERR tanstaaf is wrong\r\n"}
    with told(world, Script(answers), observer=LogObserver()) as client:
        with pytest.raises(LoginFailed) as failure:
            client.login("ann", "tanstaaf")
        assert client.last_reply == failure.value.reply == Err("*** is wrong")
    assert "*** is wrong" in str(failure.value)
    assert "tanstaaf" not in f"{failure.value} {caplog.text}"


def test_authenticate(world, store):
    with world.serve(service(world, store)) as server, world.connect(server, tls="none", cleartext="always") as client:
        with pytest.raises(LoginFailed):
            client.authenticate(PlainClient("ann", "wrong"))
        client.authenticate(PlainClient("ann", "tanstaaf"), initial_response=False)
        assert client.stat().count == 2


class Notes:
    """An observer that counts."""

    def __init__(self):
        self.said_items, self.heard_events, self.ends = [], [], []

    def heard(self, session, event):
        self.heard_events.append(event)

    def said(self, session, item):
        self.said_items.append(item)

    def ended(self, session, error):
        self.ends.append(error)


def test_observers_of_a_client(world, store):
    notes, others = Notes(), Notes()
    with logged_in(world, store, observer=[notes, others]) as client:
        client.stat()
    assert notes.said_items[-2:] == [Stat(), Quit()]
    assert notes.heard_events[0] == Greeting(Ok("POP3 server ready"))
    assert notes.ends == [None]
    assert (others.said_items, others.heard_events) == (notes.said_items, notes.heard_events)
    assert "tanstaaf" not in repr([(item, getattr(item, "password", "")) for item in notes.said_items])


def test_observers_learn_why_a_session_ended(world):
    notes = Notes()
    with pytest.raises(SessionRefused) as refusal, told(world, Script(greeting=b"-ERR\r\n"), observer=notes):
        pytest.fail("there is no session")
    assert notes.ends == [refusal.value]
    with pytest.raises(ZeroDivisionError) as fault, told(world, Script(), observer=notes):
        raise ZeroDivisionError
    assert notes.ends[1:] == [fault.value]
    with told(world, Script({b"CAPA": HANG_UP}), observer=notes) as client:
        with pytest.raises(ConnectionLost) as lost:
            client.capa()
        client.close()
    assert notes.ends[2:] == [lost.value]


def test_an_observer_that_fails_ends_the_session(world):
    class Faulty(Notes):
        def said(self, session, item):
            raise ZeroDivisionError("said")

        def ended(self, session, error):
            raise ZeroDivisionError("ended")

    with pytest.raises(ZeroDivisionError), told(world, Script(), observer=Faulty()) as client:
        client.capa()
    with pytest.raises(Broken):
        client.capa()


def test_limits_of_a_client(world):
    with (
        pytest.raises(RemoteProtocolError, match="longer than 20 octets"),
        told(world, Script(greeting=b"+OK " + b"x" * 20 + b"\r\n"), limits=Limits(reply_line=20)),
    ):
        pytest.fail("it has no greeting")


LINES_OF_LF = {
    b"AUTH": b"+ \n",
    b"AGFubgB0YW5zdGFhZg==": b"+OK\n",
    b"CAPA": b"+OK\nSASL PLAIN\n.\n",
    b"UIDL": b"+OK\n1 a\n.\n",
    b"RETR": b"+OK\none\n..\n.\n",
    b"QUIT": b"+OK\n",
}


def test_quirks_of_a_client(world):
    notes = Notes()
    script = Script(LINES_OF_LF, greeting=b"+OK ready\n")
    with told(world, script, quirks={Quirk.BARE_LF}, observer=notes) as client:
        client.authenticate(PlainClient("ann", "tanstaaf"), initial_response=False)
        assert client.uidl() == {1: "a"}
        assert client.fetch(1) == b"one\r\n.\r\n"
        assert client.tolerated == {Quirk.BARE_LF}
    assert notes.heard_events.count(Tolerated(Quirk.BARE_LF)) == 1


@pytest.mark.parametrize(
    "answers, greeting, waited_for",
    [
        ({}, b"+OK ready\n", r"the greeting; it has sent '\+OK ready\\n' without CRLF \(the quirk bare_lf takes"),
        ({b"AUTH": b"+ \n"}, GREETING, r"the answer to AUTH PLAIN; it has sent '\+ \\n' without CRLF"),
    ],
)
def test_a_server_whose_lines_end_with_lf(world, answers, greeting, waited_for):
    timeout = A_WHILE if answers else BRIEF
    with (
        pytest.raises(TimedOut, match=waited_for),
        told(world, Script(answers, greeting=greeting), timeout=timeout) as client,
    ):
        client.authenticate(PlainClient("ann", "tanstaaf"), initial_response=False)


def test_a_server_that_begins_tls_at_once(world, store, certificates):
    with (
        pytest.raises(TimedOut, match=r"waited for the greeting; if TLS begins at once .* use implicit TLS$"),
        world.serve(service(world, store), tls="implicit", certificate=certificates.pem) as server,
        world.connect(server, tls="none", timeout=BRIEF),
    ):
        pytest.fail("it has no greeting")


class Leaving(Script):
    """A server that says something unasked, and hangs up, when it is told to.

    Args:
        last_words: what it says.
        context: for TLS; None: in clear.
    """

    def __init__(self, last_words, context=None):
        super().__init__({b"CAPA": b"+OK\r\n.\r\n"})
        self.last_words = last_words
        self.go = threading.Event()
        self.gone = threading.Event()
        self._context = context

    def answer(self, line):
        yield from super().answer(line)
        assert self.go.wait(PATIENCE)
        if self.last_words:
            yield self.last_words
        self.over = True

    def run(self, sock):
        super().run(sock if self._context is None else self._context.wrap_socket(sock, server_side=True))
        self.gone.set()


@pytest.mark.deep(keep=6)
@pytest.mark.parametrize("mode", ["none", "implicit"])
@pytest.mark.parametrize(
    "what",
    [
        (b"-ERR inactive\r\n", ConnectionLost, "has ended the session: inactive"),
        (b"", ConnectionLost, "the server has closed the connection"),
        (b"+OK\r\n", RemoteProtocolError, r"sent '\+OK' although no command was outstanding"),
    ],
)
def test_what_came_during_a_pause_is_no_answer(network, certificates, monkeypatch, mode, what):
    monkeypatch.setattr(session_module, "PAUSE", 0.0)
    last_words, failure, message = what
    script = Leaving(last_words, None if mode == "none" else ServerTls.load(certificates.pem).context)
    arguments = {"tls": mode, "context": certificates.trusting} if mode == "implicit" else {"tls": mode}
    with (
        pytest.raises(failure, match=message),
        network.playing(script) as target,
        network.connect(target, **arguments) as client,
    ):
        client.capa()
        script.go.set()
        assert script.gone.wait(PATIENCE)
        client.call(Stat())
    assert script.verbs == [b"CAPA"]


def test_without_a_pause_nothing_is_looked_for(network, store, monkeypatch):
    monkeypatch.setattr(session_module, "PAUSE", math.inf)
    looks = []
    for driver in (SocketDriver, AsyncioStream, TrioStream):
        monkeypatch.setattr(driver, "readable", lambda _: looks.append(1) or False)
    with logged_in(network, store) as client:
        client.stat()
        assert not looks
        monkeypatch.setattr(session_module, "PAUSE", 0.0)
        client.stat()
        assert len(looks) == 1


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("limits", [{}, {"limits": Limits(body=1)}])
def test_no_stls_inside_tls(world, store, certificates, limits):
    with (
        world.serve(service(world, store), tls="implicit", certificate=certificates.pem) as server,
        world.connect(server, tls="implicit", context=certificates.trusting, **limits) as client,
        pytest.raises(LocalProtocolError, match="STLS"),
    ):
        client.start_tls()


def test_the_peer_and_its_tls(network, store, certificates):
    with network.serve(service(network, store), tls="starttls", certificate=certificates.pem) as server:
        with network.connect(server, tls="none") as client:
            assert (client.peer.address, client.peer.port) == server.address
            assert client.peer.loopback
            assert client.tls is None
            with pytest.raises(CertificateError):
                client.start_tls()
        with network.connect(server, tls="none") as client:
            tls = client.start_tls(certificates.trusting)
            assert client.tls == tls
            assert tls.verified


# ---------------------------------------------------------------------------------------------- messages


def test_a_message_in_chunks(world, store):
    with logged_in(world, store) as client:
        with client.retr(1) as message:
            assert message.reply == Ok(f"{SIZES[1]} octets")
            assert b"".join(message) == as_sent(UNIX)
            assert list(message) == []
            assert message.read() == b""
        with client.top(1, 1) as message:
            assert message.read() == b"Subject: one\r\n\r\n.dot\r\n"
        with pytest.raises(CommandFailed), client.retr(3):
            pytest.fail("it has no message")
        assert client.noop() is None


def test_a_message_into_a_file(world, store):
    progress, file = [], io.BytesIO()
    with logged_in(world, store) as client:
        with client.retr(1) as message:
            assert message.copy_to(file, progress.append) == SIZES[1]
        assert file.getvalue() == as_sent(UNIX)
        assert progress[-1] == SIZES[1]
        file.close()
        with client.retr(2) as message, pytest.raises(ValueError, match="closed"):
            message.copy_to(file)
        assert client.stat().count == 2


def test_a_message_is_a_file(world, store):
    store.contents[1] = b"0123456789\r\n" * 100
    with logged_in(world, store) as client, client.retr(1) as message:
        assert message.read(3) == b"012"
        assert message.read(10) == b"3456789\r\n0"
        rest = message.read(-1)
        assert rest == store.contents[1][13:]
        assert message.read(7) == message.read() == message.read(None) == b""
    if world.name == "blocking":
        with logged_in(world, store) as client, client.retr(1) as message:
            shutil.copyfileobj(message, file := io.BytesIO())
            assert file.getvalue() == store.contents[1]


def test_a_message_is_read_once_and_inside_its_block(world, store):
    with logged_in(world, store) as client:
        message = client.retr(1)
        with pytest.raises(LocalProtocolError, match=r"use `(async )?with client\.retr\(1\) as message:`"):
            message.read()
        with message:
            assert message.read() == as_sent(UNIX)
        with pytest.raises(LocalProtocolError, match="given before"), message:
            pytest.fail("it cannot be read twice")
        assert client.noop() is None


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("pipelining", [True, False])
def test_messages_in_a_row(world, store, pipelining):
    store.contents = {number: b"%d\r\n" % number * 500 for number in range(1, 60)}
    whole = {number: as_sent(octets) for number, octets in store.contents.items()}
    with logged_in(world, store) as client:
        if not pipelining:
            client.session.learn(Capabilities())
        messages = client.retrieve([*range(59, 0, -1), 99])
        for number in range(59, 0, -1):
            assert next(messages) == (number, whole[number])
        with pytest.raises(CommandFailed, match="RETR 99"):
            next(messages)
        got = dict(client.retrieve([*range(59, 0, -1), 99], return_exceptions=True))
        assert list(got) == [*range(59, 0, -1), 99]
        assert isinstance(got.pop(99), CommandFailed)
        assert got == whole
        assert list(client.retrieve([])) == []


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("pipelining", [True, False])
def test_streamed_messages(world, store, pipelining):
    got = []
    with logged_in(world, store) as client:
        if not pipelining:
            client.session.learn(Capabilities())
        for message in client.stream([Retr(1), Retr(9), Top(1, 0), Retr(2), Noop(), Retr(2)]):
            try:
                with message:
                    got.append(next(iter(message)) if len(got) == 3 else message.read())
            except CommandFailed as failure:
                got.append(failure)
        assert (got[0], got[2], got[4], got[5]) == (as_sent(UNIX), b"Subject: one\r\n\r\n", b"", as_sent(DOS))
        assert isinstance(got[1], CommandFailed)
        assert as_sent(DOS).startswith(got[3])
        kept = list(client.stream([Retr(1), Retr(2)]))
        for message in kept:
            with pytest.raises(Broken, match="thrown away"), message:
                pytest.fail("it is gone")
        for message in client.stream([Retr(1), Retr(2)]):
            with message:
                message.read()
            with pytest.raises(LocalProtocolError, match="opened before"), message:
                pytest.fail("the next message would be read in its name")
        assert client.noop() is None


# ------------------------------------------------------------------------------------------ ends: a body


def test_a_body_left_early_is_thrown_away(world, store):
    with logged_in(world, store) as client:
        with client.retr(1) as left:
            pass
        assert client.stat().count == 2
        with pytest.raises(Broken):
            left.read()
        assert client.stat().count == 2


def test_too_much_left_to_be_thrown_away(world, store, monkeypatch):
    monkeypatch.setattr(pipeline_module, "DISCARD_LIMIT", 1_000)
    store.contents[1] = b"x" * 3_000_000
    with logged_in(world, store) as client:
        with client.retr(1):
            pass
        for _ in range(2):
            with pytest.raises(Broken, match="left unread"):
                client.stat()
    assert store.commits == []


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("then", ["quit", "stat"])
def test_nothing_is_lost_because_a_message_was_left_unread(world, store, monkeypatch, then):
    monkeypatch.setattr(pipeline_module, "DISCARD_LIMIT", 1_000)
    store.contents[1] = b"x" * 3_000_000
    with logged_in(world, store) as client:
        client.dele(2)
        with client.retr(1):
            pass
        if then == "stat":
            assert client.stat().count == 1
    assert list(store.contents) == [1]


def test_a_body_that_is_too_large_costs_one_result(world, store):
    store.contents[1] = b"x" * 300
    with logged_in(world, store, limits=Limits(body=200)) as client:
        got = dict(client.retrieve([1, 2], return_exceptions=True))
        assert isinstance(got[1], MalformedReply)
        assert got[2] == as_sent(DOS)


def test_a_body_that_is_too_large_for_memory(world, store):
    store.contents[1] = b"x" * 300
    with logged_in(world, store, limits=Limits(body=200)) as client:
        with client.retr(1) as message, pytest.raises(MalformedReply):
            message.read()
        assert client.stat().count == 2


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_row_left_early(world, store, pipelining):
    with logged_in(world, store) as client:
        if not pipelining:
            client.session.learn(Capabilities())
        messages = client.retrieve([1, 2, 1])
        assert next(messages) == (1, as_sent(UNIX))
        assert client.stat().count == 2
        with pytest.raises(Broken, match="another command"):
            next(messages)
        assert client.stat().count == 2


def test_a_number_that_is_none_in_a_row(world, store):
    with logged_in(world, store) as client:
        messages = client.retrieve([1, 2, 0])
        assert [next(messages)[0], next(messages)[0]] == [1, 2]
        with pytest.raises(LocalProtocolError, match="message number"):
            next(messages)
        assert client.stat().count == 2


def test_an_exception_in_the_callers_loop(world, store):
    def read_one(client):
        for number, _ in client.retrieve([1, 2, 1]):
            assert number == 1
            raise ZeroDivisionError

    def read_chunk(client):
        with client.retr(1) as message:
            for _ in message:
                raise ZeroDivisionError

    with logged_in(world, store) as client:
        for loop in (read_one, read_chunk):
            with pytest.raises(ZeroDivisionError):
                loop(client)
            assert client.stat().count == 2
            client.dele(2)
            client.rset()


def test_an_exception_that_leaves_the_block_hangs_up(world, store):
    with world.serve(service(world, store)) as server:
        with pytest.raises(ZeroDivisionError), world.connect(server, tls="none") as client:
            client.login("ann", "tanstaaf")
            client.dele(1)
            for _ in client.retrieve([2]):
                raise ZeroDivisionError
        with pytest.raises(Broken, match=r"closed|exception"):
            client.stat()
        assert store.closed.wait(PATIENCE)
    assert store.commits == []


# ------------------------------------------------------------------------------------- ends: two at once


def test_commands_inside_an_open_body(world, store):
    with logged_in(world, store) as client:
        with client.retr(1) as message:
            for command in (
                client.stat,
                client.quit,
                lambda: client.retr(2).__enter__(),
                lambda: next(client.retrieve([1])),
            ):
                with pytest.raises(Busy, match="RETR 1 is being read"):
                    command()
            assert message.read() == as_sent(UNIX)
        assert client.stat().count == 2, "QUIT was not sent, and the client not closed"


def test_a_second_thread_or_task(world):
    failures = []

    def ask():
        try:
            client.capa()
        except ConnectionLost as error:
            failures.append(error)

    with told(world, script := Script({b"CAPA": SILENCE})) as client:
        with in_thread(ask):
            script.wait_for(b"CAPA")
            for use in (client.stat, client.quit, lambda: client.keep_alive().__enter__()):
                with pytest.raises(Busy, match="one call at a time"):
                    use()
            client.close()
        assert len(failures) == 1
        with pytest.raises(Broken, match="closed"):
            client.noop()
    assert script.verbs == [b"CAPA"]


def test_closing_at_any_time(world):
    """Twice, after QUIT, after a failure."""
    with told(world, Script()) as client:
        client.quit()
        client.close()
        client.close()
    with told(world, Script({b"CAPA": HANG_UP})) as client:
        with pytest.raises(ConnectionLost):
            client.capa()
        client.close()
        client.close()


def test_closing_twice_at_once(world):
    with told(world, Script()) as client, contextlib.ExitStack() as both:
        for _ in range(4):
            both.enter_context(in_thread(client.close))


def test_closing_in_many_tasks_at_once(coroutines):
    async def work(client):
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(client.aclose)

    with told(coroutines, Script()) as client:
        coroutines.portal.call(work, client._target)


def test_closing_while_quit_ends(coroutines):
    async def leave(client):
        with contextlib.suppress(ConnectionLost, Broken):
            await client.quit()

    async def work(client):
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(leave, client)
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                    tasks.start_soon(client.aclose)

    with told(coroutines, Script()) as client:
        coroutines.portal.call(work, client._target)


def test_a_client_without_a_block(coroutines):
    """Awaited, and closed by hand; in a block of its own, and with QUIT by hand."""

    async def work():
        for end in ("aclose", "quit", "block"):
            with anyio.fail_after(PATIENCE):
                ours, theirs = socket.socketpair()
                with in_thread(script.run, theirs):
                    client = await coroutines.module.connect_over(coroutines._stream(ours), tls="none")
                    assert client.greeting is not None
                    if end == "block":
                        async with client as same:
                            assert same is client
                    else:
                        await getattr(client, end)()

    script = Script()
    coroutines.portal.call(work)
    assert script.verbs == [b"QUIT", b"QUIT"]


def test_closing_over_a_stream_that_does_not_close():
    """trio's streams close at once if they are cancelled; a client does not wait for another kind of end."""

    class Reluctant(trio.abc.Stream):
        closed = False

        async def receive_some(self, max_bytes=None):
            return GREETING

        async def send_all(self, data):
            pytest.fail("nothing is sent")

        async def wait_send_all_might_not_block(self):
            pytest.fail("nothing is sent")

        async def aclose(self):
            try:
                await trio.sleep_forever()
            finally:
                self.closed = True

    async def main():
        stream = Reluctant()
        with trio.fail_after(PATIENCE):
            client = await over_trio.connect_over(stream, tls="none")
            await client.aclose()
        assert stream.closed

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_connection_that_is_never_begun(coroutines):
    """Neither awaited nor entered: there is nothing to close, and no warning."""

    async def work():
        connecting = coroutines.module.connect("127.0.0.1", 1, tls="none")
        del connecting
        gc.collect()

    coroutines.portal.call(work)


# ------------------------------------------------------------------------------------------- ends: time


def test_a_server_that_never_greets(world):
    with pytest.raises(TimeoutError), told(world, Script(greeting=SILENCE), timeout=BRIEF):
        pytest.fail("there is no session")


def test_a_server_that_never_answers(world):
    with told(world, Script({b"CAPA": SILENCE}), timeout=A_WHILE) as client:
        with pytest.raises(TimeoutError):
            client.capa()
        for _ in range(2):
            with pytest.raises(Broken):
                client.capa()


def test_a_server_that_falls_silent_in_a_body(world):
    with told(world, Script(ACCEPTS | {b"RETR": b"+OK\r\nhalf a"})) as client:
        client.login("ann", "tanstaaf")
        world.hurry(client)
        with client.retr(1) as message, pytest.raises(TimeoutError):
            message.read()
        with pytest.raises(Broken):
            client.noop()


def test_a_server_that_never_reads(world):
    with told(world, Script(deaf=True), tiny=True) as client:
        world.hurry(client)
        with pytest.raises(TimeoutError):
            client.capa()
        with pytest.raises(Broken):
            client.capa()


def test_a_client_that_never_reads(world, store):
    store.contents = {1: b"x" * 20_000_000}
    limited = service(world, store, deadlines=Deadlines(write=A_WHILE, grace=PATIENCE))
    with world.serve(limited) as server, world.raw(server) as peer:
        peer.line()
        peer.log_in()
        peer.say(b"RETR 1\r\n")
        assert store.closed.wait(PATIENCE)
    assert store.commits == []


def test_a_client_that_never_speaks(world, store):
    limited = service(world, store, deadlines=Deadlines(idle=A_WHILE, short_idle=True))
    with world.serve(limited) as server, world.raw(server) as peer:
        peer.line()
        peer.say(b"USER ann\r\nPASS tanstaaf\r\nDELE 1\r\n")
        answers = peer.rest().splitlines()
        assert len(answers) == 3, "it ends in silence"
        assert all(answer.startswith(b"+OK") for answer in answers)
        assert store.closed.wait(PATIENCE)
    assert store.commits == []


# ------------------------------------------------------------------------------- ends: the stream, octets

DIALOGUE = ACCEPTS | {
    b"CAPA": b"+OK\r\nPIPELINING\r\nTOP\r\nUIDL\r\nUSER\r\n.\r\n",
    b"STAT": b"+OK 2 50\r\n",
    b"LIST": b"+OK\r\n1 28\r\n2 22\r\n.\r\n",
    b"UIDL": b"+OK\r\n1 abc\r\n2 xyz\r\n.\r\n",
    b"RETR": b"+OK\r\n..dot\r\nend\r\n.\r\n",
    b"DELE": b"+OK\r\n",
}


def converse(client, got):
    """Everything once; what comes of it is noted at once."""
    got.append(client.capa().pipelining)
    got.append(client.login("ann", "tanstaaf"))
    got.append(client.stat())
    got.append(client.list())
    got.append(client.uidl())
    with client.retr(1) as message:
        got.extend(b"".join(message).splitlines())
        got.append(message.reply)
    got.extend(client.retrieve([1, 2]))
    got.append(client.call_all([Dele(1), Stat()]))
    got.append(client.quit())


WHOLE = [
    *(True, None, MaildropStatus(2, 50), {1: 28, 2: 22}, {1: "abc", 2: "xyz"}),
    *(b".dot", b"end", Ok(), (1, b".dot\r\nend\r\n"), (2, b".dot\r\nend\r\n")),
    *([None, MaildropStatus(2, 50)], None),
]


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("piece", [None, 1])
def test_a_dialogue_in_any_pieces(world, piece):
    got = []
    with told(world, Script(DIALOGUE, piece=piece)) as client:
        converse(client, got)
    assert got == WHOLE


@pytest.mark.deep(keep=2)
def test_a_stream_that_is_cut_at_every_octet(world):
    """Documented errors, and nothing that is not true."""
    with told(world, script := Script(DIALOGUE)) as client:
        converse(client, [])
    for most in range(0, script.said, deep(1, 17)):
        got = []
        with (
            pytest.raises(ConnectionLost) as lost,
            told(world, Script(DIALOGUE, most=most)) as client,
        ):
            converse(client, got)
        assert got == WHOLE[: len(got)]
        assert len(got) < len(WHOLE)
        if len(got) == len(WHOLE) - 1:
            assert isinstance(lost.value, UncertainUpdate)


@pytest.mark.deep(keep=1)
def test_a_client_that_is_cut_at_every_octet(network, store):
    said = b"CAPA\r\nUSER ann\r\nPASS tanstaaf\r\nRETR 1\r\nDELE 1\r\nRETR 2\r\n"
    with network.serve(service(network, store, max_sessions_per_address=None)) as server:
        for most in range(len(said)):
            with network.raw(server) as peer:
                peer.line()
                peer.say(said[:most])
        with network.connect(server, tls="none") as client:
            while client.state is not State.TRANSACTION:
                with contextlib.suppress(LoginFailed):  # an earlier session has still the maildrop
                    client.login("ann", "tanstaaf")
            assert client.stat().count == 2
    assert store.commits == [(frozenset(), frozenset())]


@pytest.mark.parametrize("answer, error", [(b"what?\r\n", RemoteProtocolError), (HANG_UP, ConnectionLost)])
def test_after_a_failure_every_call_says_which(world, answer, error):
    with told(world, script := Script(ACCEPTS | {b"STAT": answer})) as client:
        client.login("ann", "tanstaaf")
        with pytest.raises(error):
            client.stat()
        for _ in range(2):
            with pytest.raises(Broken, match=error.__name__):
                client.stat()
    assert b"QUIT" not in script.verbs


def test_refusals_at_the_door(world):
    with pytest.raises(SessionRefused, match="go away"), told(world, Script(greeting=b"-ERR go away\r\n")):
        pytest.fail("there is no session")
    with pytest.raises(RemoteProtocolError), told(world, Script(greeting=b"220 this is SMTP\r\n")):
        pytest.fail("there is no session")


# -------------------------------------------------------------------------------------------- ends: quit


def test_a_quit_that_is_refused(world):
    answers = ACCEPTS | {b"QUIT": b"-ERR some are left\r\n"}
    with told(world, Script(answers)) as client:
        client.login("ann", "tanstaaf")
        with pytest.raises(CommandFailed, match="some are left"):
            client.quit()
        with pytest.raises(Broken):
            client.noop()
    with pytest.raises(CommandFailed), told(world, Script(answers)) as client:
        client.login("ann", "tanstaaf")


def test_a_quit_that_is_not_answered(world):
    answers = ACCEPTS | {b"QUIT": HANG_UP}
    with told(world, Script(answers)) as client:
        client.login("ann", "tanstaaf")
        with pytest.raises(UncertainUpdate):
            client.quit()
        with pytest.raises(Broken):
            client.noop()
    with pytest.raises(UncertainUpdate), told(world, Script(answers)) as client:
        client.login("ann", "tanstaaf")
    with told(world, Script(answers)) as client:
        assert client.state is State.AUTHORIZATION, "where nothing can be lost"


def test_our_server_fails_at_quit(world, store):
    store.failures["commit"] = OSError("disk full")
    with pytest.raises(CommandFailed, match="SYS/TEMP"), logged_in(world, store):
        pass


# -------------------------------------------------------------------------------------------------- TLS


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_tls(world, store, certificates, mode):
    with (
        world.serve(service(world, store), tls=mode, certificate=certificates.pem) as server,
        world.connect(server, tls=mode, context=certificates.trusting, cleartext="loopback") as client,
    ):
        assert client.session.tls.verified
        client.login("ann", "tanstaaf")
        assert dict(client.retrieve([1, 2])) == {1: as_sent(UNIX), 2: as_sent(DOS)}
        with pytest.raises(LocalProtocolError, match="TLS"):
            client.start_tls()
        client.dele(1)
    assert list(store.contents) == [2]
    assert store.openers[0][1].tls.bindings == client.session.tls.bindings != ()


def test_start_tls_by_hand(world, store, certificates):
    with (
        world.serve(service(world, store), tls="starttls", certificate=certificates.pem) as server,
        world.connect(server, tls="none", context=certificates.trusting) as client,
    ):
        assert client.capa().stls
        assert client.start_tls() == client.session.tls
        assert not client.capabilities.stls, "asked again, under TLS"
        client.login("ann", "tanstaaf")


def test_a_server_without_stls(world, store):
    with world.serve(service(world, store)) as server:
        with world.connect(server, tls="none") as client:
            with pytest.raises(CommandFailed, match="the server refused STLS"):
                client.start_tls()
            client.login("ann", "tanstaaf")
        with pytest.raises(CommandFailed, match="STLS"), world.connect(server, tls="starttls"):
            pytest.fail("it would go on in clear")


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_a_certificate_of_nobody_we_know(world, store, certificates, mode):
    with (
        world.serve(service(world, store), tls=mode, certificate=certificates.pem) as server,
        pytest.raises(CertificateError) as refusal,
        world.connect(server, tls=mode),
    ):
        pytest.fail("it may be anybody")
    assert refusal.value.host == "127.0.0.1"
    assert refusal.value.port == (0 if world.name == "memory" else server.address[1])
    port = f", port {refusal.value.port}," * bool(refusal.value.port)
    assert str(refusal.value).startswith(f"the certificate of 127.0.0.1{port} was not accepted: ")
    assert "cafile" in str(refusal.value)
    assert isinstance(refusal.value, ConnectionError)


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_a_certificate_of_another_name(world, store, certificates, mode):
    with (
        world.serve(service(world, store), tls=mode, certificate=certificates.other) as server,
        pytest.raises(CertificateError) as refusal,
        world.connect(server, tls=mode, context=certificates.trusting),
    ):
        pytest.fail("it may be anybody")
    assert "mismatch" in refusal.value.reason
    assert str(refusal.value).endswith("; connect to a name that the certificate is for")


def test_octets_in_clear_behind_the_answer_to_stls(world):
    with (
        pytest.raises(RemoteProtocolError),
        world.playing(Script({b"STLS": b"+OK begin\r\n+OK injected\r\n"})) as target,
        world.connect(target, tls="starttls"),
    ):
        pytest.fail("somebody is in the middle")


def test_a_handshake_that_is_cut(world):
    said = len(GREETING + b"+OK begin\r\n")
    with (
        pytest.raises(ConnectionLost, match=r"handshake failed|connection broke"),
        world.playing(Script({b"STLS": b"+OK begin\r\n"}, most=said)) as target,
        world.connect(target, tls="starttls"),
    ):
        pytest.fail("there is no session")


def test_no_tls_on_the_other_side(world):
    with (
        pytest.raises(ConnectionLost, match=r"handshake failed: the server does not begin TLS at once .*: it sent"),
        world.playing(Script()) as target,
        world.connect(target, tls="implicit"),
    ):
        pytest.fail("there is no session")


# ------------------------------------------------------------------------------------------ tiny buffers


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("mode", ["none", "implicit"])
def test_many_large_messages_through_tiny_buffers(world, store, certificates, mode):
    """Neither side may block with its own buffer full while the other waits for it to read."""
    mail = [bytes([letter]) * 70 + b"\r\n" for letter in b"abcd"]
    store.contents = {number: line * (500_000 // len(line)) for number, line in enumerate(mail, 1)}
    arguments = {} if mode == "none" else {"certificate": certificates.pem}
    numbers = [1 + at % 4 for at in range(deep(32, 8))]
    with (
        listening_narrowly(),
        world.serve(service(world, store, cleartext="always"), tls=mode, **arguments) as server,
        world.connect(
            server, tiny=True, tls=mode, host="127.0.0.1", context=certificates.trusting, cleartext="always"
        ) as client,
    ):
        client.login("ann", "tanstaaf")
        for at, (number, octets) in zip(numbers, client.retrieve(numbers), strict=True):
            assert number == at
            assert octets == as_sent(store.contents[number])


# -------------------------------------------------------------------------------------------- keep alive


def test_keep_alive_says_noop_while_the_block_works(world):
    script = Script(ACCEPTS | {b"NOOP": b"+OK\r\n", b"STAT": b"+OK 1 2\r\n"})
    with told(world, script) as client:
        client.login("ann", "tanstaaf")
        with client.keep_alive(every=0.01):
            with pytest.raises(Busy):
                client.stat()
            script.wait_for(b"NOOP", 3)
            with pytest.raises(Busy):
                client.stat()
        assert client.stat().count == 1
        said = script.verbs.count(b"NOOP")
        with client.keep_alive(every=PATIENCE):
            pass
        assert client.stat().count == 1
        assert script.verbs.count(b"NOOP") == said


def test_the_client_is_busy_from_the_first_line_of_the_block(coroutines):
    """Whatever is scheduled first."""

    async def work(client):
        for _ in range(20):
            async with client.keep_alive(every=PATIENCE):
                with pytest.raises(Busy):
                    await client.noop()

    with told(coroutines, Script(ACCEPTS)) as client:
        client.login("ann", "tanstaaf")
        coroutines.portal.call(work, client._target)


def test_keep_alive_that_is_cancelled_inside(coroutines):
    async def work(client):
        with anyio.CancelScope() as scope:
            async with client.keep_alive(every=PATIENCE):
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(Broken, match="Cancelled"):
            await client.noop()

    with told(coroutines, Script(ACCEPTS)) as client:
        client.login("ann", "tanstaaf")
        coroutines.portal.call(work, client._target)


def test_keep_alive_that_is_cancelled_at_its_end(coroutines):
    """The answer to the last NOOP may never come."""

    async def work(client):
        with anyio.CancelScope() as scope:
            async with client.keep_alive(every=0.01):
                await anyio.to_thread.run_sync(script.wait_for, b"NOOP")
                scope.deadline = anyio.current_time() + BRIEF
        assert scope.cancelled_caught
        with pytest.raises(Broken, match="Cancelled"):
            await client.noop()

    with told(coroutines, script := Script(ACCEPTS | {b"NOOP": SILENCE})) as client:
        client.login("ann", "tanstaaf")
        coroutines.portal.call(work, client._target)


@pytest.mark.deep(keep=3)
@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_keep_alive_under_tls(world, store, certificates, mode):
    third = threading.Event()
    noops = []

    class Watcher:
        def heard(self, session, event):
            if isinstance(event, Noop):
                noops.append(event)
                if len(noops) == 3:
                    third.set()

        def said(self, session, response):
            pass

        def ended(self, session, error):
            pass

    watched = service(world, store, observer=Watcher())
    with (
        world.serve(watched, tls=mode, certificate=certificates.pem) as server,
        world.connect(server, tls=mode, context=certificates.trusting) as client,
    ):
        client.login("ann", "tanstaaf")
        with client.keep_alive(every=0.01):
            assert third.wait(PATIENCE)
        with client.keep_alive():
            pass
        assert client.stat().count == 2


def test_keep_alive_and_a_refusal(world):
    with told(world, script := Script(ACCEPTS | {b"STAT": b"+OK 1 2\r\n"})) as client:
        client.login("ann", "tanstaaf")
        with client.keep_alive(every=0.01):
            script.wait_for(b"NOOP", 2)
        assert client.stat().count == 1


def test_keep_alive_and_a_server_that_hangs_up(world):
    with told(world, script := Script(ACCEPTS | {b"NOOP": HANG_UP})) as client:
        client.login("ann", "tanstaaf")
        worked = []
        with pytest.raises(ConnectionLost), client.keep_alive(every=0.01):
            script.wait_for(b"NOOP")
            worked.append("to the end")
        assert worked
        with pytest.raises(Broken, match="ConnectionLost"):
            client.stat()


def test_keep_alive_and_a_server_that_falls_silent(world):
    with told(world, script := Script(ACCEPTS | {b"NOOP": SILENCE})) as client:
        client.login("ann", "tanstaaf")
        world.hurry(client)
        with pytest.raises(TimeoutError), client.keep_alive(every=0.01):
            script.wait_for(b"NOOP")
        with pytest.raises(Broken):
            client.stat()


def test_an_exception_in_the_block_of_keep_alive(world):
    script = Script(ACCEPTS | {b"NOOP": b"+OK\r\n", b"STAT": b"+OK 1 2\r\n"})
    with told(world, script) as client:
        client.login("ann", "tanstaaf")
        with pytest.raises(ZeroDivisionError), client.keep_alive(every=0.01):
            script.wait_for(b"NOOP")
            raise ZeroDivisionError
        assert client.stat().count == 1


def test_the_exception_in_the_block_counts_more_than_that_of_keep_alive(world):
    with told(world, script := Script(ACCEPTS | {b"NOOP": HANG_UP})) as client:
        client.login("ann", "tanstaaf")
        with pytest.raises(ZeroDivisionError), client.keep_alive(every=0.01):
            script.wait_for(b"NOOP")
            raise ZeroDivisionError
        with pytest.raises(Broken):
            client.stat()


def test_closing_the_client_inside_keep_alive(world):
    with told(world, Script(ACCEPTS)) as client:
        client.login("ann", "tanstaaf")
        with pytest.raises(ConnectionLost), client.keep_alive(every=PATIENCE):
            client.close()
        with pytest.raises(Broken, match="it was closed"):
            client.stat()


def test_keep_alive_while_a_message_is_read(world, store):
    with logged_in(world, store) as client:
        with client.retr(1) as message:
            with pytest.raises(Busy, match="RETR 1 is being read"), client.keep_alive(every=PATIENCE):
                pass
            assert message.read() == as_sent(UNIX)
        messages = client.retrieve([1, 2])
        next(messages)
        with client.keep_alive(every=PATIENCE):
            pass
        with pytest.raises(Broken):
            next(messages)
        assert client.stat().count == 2


def test_keep_alive_of_a_session_that_is_over(world):
    with told(world, Script()) as client:
        client.quit()
        with pytest.raises(Broken, match="QUIT"), client.keep_alive(every=PATIENCE):
            pass


# ---------------------------------------------------------------------------- a socket that is there already


@contextmanager
def pair(script):
    """A socket with a script at its other end."""
    ours, theirs = socket.socketpair()
    with in_thread(script.run, theirs):
        yield ours


def test_over_a_socket_no_password_is_shown_unless_it_may_be(network):
    """A Unix socket, or one of loopback: it may be a tunnel to anywhere."""
    with pair(script := Script(ACCEPTS)) as sock, network.over(sock, tls="none") as client:
        with pytest.raises(LocalProtocolError, match="no verified TLS"):
            client.login("ann", "tanstaaf")
    assert b"USER" not in script.verbs
    with pair(script := Script(ACCEPTS)) as sock, network.over(sock, tls="none", cleartext="always") as client:
        client.login("ann", "tanstaaf")
    assert b"PASS tanstaaf\r\n" in script.heard


def test_over_a_connected_socket(network, store, certificates):
    with network.serve(service(network, store), tls="starttls", certificate=certificates.pem) as server:
        sock = socket.create_connection(server.address)
        with network.over(sock, tls="none") as client, pytest.raises(LocalProtocolError, match="no verified TLS"):
            client.login("ann", "tanstaaf")
        sock = socket.create_connection(server.address)
        with network.over(sock, host="127.0.0.1", tls="starttls", context=certificates.trusting) as client:
            client.login("ann", "tanstaaf")


def test_over_a_socket_that_is_at_its_end(network):
    with pytest.raises(ConnectionLost), pair(Script(greeting=HANG_UP)) as sock, network.over(sock, tls="none"):
        pytest.fail("there is no session")
    with pair(Script()) as sock:
        with pytest.raises(ValueError, match="tls must be"), network.over(sock, tls=True):
            pytest.fail("TLS was wanted, perhaps")
        sock.close()


# ---------------------------------------------------------------------------------- the ends of a server


def test_a_graceful_end(network, store):
    with network.serve(service(network, store, deadlines=Deadlines(grace=PATIENCE))) as server:
        with network.raw(server) as idle, network.raw(server) as leaver:
            idle.line()
            leaver.line()
            leaver.log_in()
            assert leaver.ask(b"DELE 1\r\n").startswith(b"+OK")
            with in_thread(server.close):
                # Before the server has heard of its end, this is just a command.
                while not (answer := idle.ask(b"USER ann\r\n")).startswith(b"-ERR [SYS/TEMP]"):
                    assert answer.startswith(b"+OK")
                assert idle.rest() == b""
                idle._stream.close()
                assert leaver.ask(b"QUIT\r\n").startswith(b"+OK")
                assert leaver.rest() == b""
                leaver._stream.close()
            server.wait()
            with pytest.raises(ConnectionLost), network.connect(server, tls="none"):
                pytest.fail("nobody listens")
    assert list(store.contents) == [2]


def test_who_says_nothing_in_the_grace_time_is_cut_off(network, store):
    with (
        network.serve(service(network, store)) as server,
        pytest.raises(ConnectionLost),
        network.connect(server, tls="none") as client,
    ):
        client.login("ann", "tanstaaf")
        client.dele(1)
        server.close()
        store.check_all_is_closed()
        client.noop()
    assert store.commits == []


def test_an_end_at_once(network, store):
    with network.serve(service(network, store, deadlines=Deadlines(grace=PATIENCE * 10))) as server:
        with network.raw(server) as peer:
            peer.line()
            peer.log_in()
            server.abort()
            assert peer.rest() == b""
            store.check_all_is_closed()
            server.wait()
            server.abort()
            server.close()


def test_a_block_that_is_left_by_an_exception_ends_the_server_at_once(network, store):
    limited = service(network, store, deadlines=Deadlines(grace=PATIENCE * 10))
    with contextlib.ExitStack() as peers:
        with pytest.raises(ZeroDivisionError), network.serve(limited) as server:
            peer = peers.enter_context(network.raw(server))
            peer.line()
            peer.log_in()
            raise ZeroDivisionError
        assert peer.rest() == b""
        store.check_all_is_closed()
    assert store.commits == []


def test_too_many_sessions(network, store):
    with network.serve(service(network, store, max_sessions=1)) as server, network.connect(server, tls="none") as first:
        with pytest.raises(SessionRefused) as refusal, network.connect(server, tls="none"):
            pytest.fail("there is no room")
        assert refusal.value.reply == Err("[SYS/TEMP] too many sessions")
        assert first.capa() is not None


def test_a_fault_in_the_store_ends_one_session(world, store, caplog):
    with world.serve(service(world, store)) as server, world.connect(server, tls="none") as other:
        store.failures["open"] = ZeroDivisionError("a fault")
        with pytest.raises(CommandFailed, match="SYS/TEMP"), world.connect(server, tls="none") as client:
            client.login("ann", "tanstaaf", only=["USER/PASS"])
        assert other.capa() is not None
    assert "ZeroDivisionError: a fault" in caplog.text
