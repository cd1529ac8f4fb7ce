"""Over real sockets, in each adapter: a login that goes on over another connection, and what does not change."""

import asyncio
import base64
import contextlib
import re
import socket
import ssl
import struct
import threading

import anyio
import pytest
import trio
import trustme

from pop3proto import asyncio as over_asyncio, blocking as over_sockets, trio as over_trio
from pop3proto._io.tls import client_context
from pop3proto.blocking.interruption import Interruption
from pop3proto.core.errors import Broken, CertificateError, ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.refusals import LoginFailed
from pop3proto.core.results import MaildropStatus
from pop3proto.core.states import State
from pop3proto.procedures.operations import Reconnect
from tests.helpers.processes import join

PATIENCE = 30  # seconds until a test that hangs fails
STAMPED = b"+OK <1896.697170952@dbc.mtview.ca.us>\r\n"
NO = b"-ERR authentication failed\r\n"
OK = b"+OK\r\n"
HANG_UP, RESET = "hang up", "reset"
STLS = "stls"
USER_PASS = {b"USER": [OK], b"PASS": [OK], b"STAT": [b"+OK 2 320\r\n"], b"QUIT": [OK]}
DONE = MaildropStatus(2, 320)


def capa(*lines):
    return b"".join(line.encode() + b"\r\n" for line in ("+OK", *lines, "."))


class Server:
    """A server with a script for each connection, one after the other.

    Args:
        scripts: each the answers by verb, in order; an answer may be followed by HANG_UP or RESET, in a tuple, or be
            one of these; STLS is `+OK` and the handshake.
        contexts: for TLS, of each connection; one for all of them. None: in clear.
        implicit: TLS begins at once.
    """

    def __init__(self, *scripts, contexts=None, implicit=False):
        self.heard = []  # for each connection, the lines
        self.secured = []  # for each connection, whether there was TLS at its end
        self._scripts = scripts
        self._contexts = contexts if isinstance(contexts, list) else [contexts] * len(scripts)
        self._implicit = implicit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True, name="server")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # it waits for one more
        join(self._thread)
        self._listener.close()

    def _run(self):
        for script, context in zip(self._scripts, self._contexts, strict=True):
            try:
                peer = self._listener.accept()[0]
            except OSError:
                return
            peer.settimeout(PATIENCE)
            self.heard.append([])
            self.secured.append(False)
            with contextlib.suppress(OSError):
                self._serve(peer, script, context)

    def _serve(self, peer, script, context):
        answers = {verb: list(several) for verb, several in script.items()}
        try:
            if self._implicit and context is not None:
                peer = self._secure(peer, context)
            elif self._implicit:
                peer.sendall(b"+OK ready\r\n")
                while peer.recv(65_536):
                    pass
                return
            peer.sendall(script.get("greeting", b"+OK ready\r\n"))
            while self._talk(peer, answers):
                peer = self._secure(peer, context)
        finally:
            peer.close()

    def _talk(self, peer, answers):
        """Answer lines; return whether TLS is to begin, not the connection to end."""
        with peer.makefile("rb") as lines:
            while line := lines.readline():
                self.heard[-1].append(line)
                verb = line.split()[0]
                several = answers[verb if verb in answers else b"*"].pop(0)
                for answer in several if isinstance(several, tuple) else (several,):
                    if answer == STLS:
                        peer.sendall(OK)
                        return True
                    if answer == RESET:
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if answer in {RESET, HANG_UP}:
                        return False
                    peer.sendall(answer)
        return False

    def _secure(self, peer, context):
        peer = context.wrap_socket(peer, server_side=True)
        self.secured[-1] = True
        return peer

    @property
    def verbs(self):
        return [[line.split()[0].decode() for line in heard] for heard in self.heard]


# ------------------------------------------------------------------------------------ the three adapters


def by_sockets(port, work, arguments):
    async def run():
        client = over_sockets.connect("127.0.0.1", port, **arguments)
        with client:
            return await work(Awaitable(client))

    return awaited(run())


def awaited(coroutine):
    """The result of a coroutine that does not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a blocking client has suspended")


class Awaitable:
    """A blocking client whose methods are awaited."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        value = getattr(self.client, name)

        async def call(*args, **kwargs):
            return value(*args, **kwargs)

        return call if callable(value) and name != "login_plan" else value


def by_asyncio(port, work, arguments):
    async def run():
        async with asyncio.timeout(PATIENCE), over_asyncio.connect("127.0.0.1", port, **arguments) as client:
            return await work(client)

    return asyncio.run(run())


def by_trio(port, work, arguments):
    async def run():
        with trio.fail_after(PATIENCE):
            async with over_trio.connect("127.0.0.1", port, **arguments) as client:
                return await work(client)

    return trio.run(run)


@pytest.fixture(params=[by_sockets, by_asyncio, by_trio], ids=["blocking", "asyncio", "trio"])
def adapter(request):
    return request.param


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def identity(authority, name="127.0.0.1"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def certified(authority):
    return identity(authority)


@pytest.fixture
def trusting(authority):
    context = client_context()
    authority.configure_trust(context)
    return context


async def whole(client):
    """Log in, and ask something."""
    await client.login("ann", "tanstaaf")
    return await client.stat()


# --------------------------------------------------------------------------------------------- it goes on


@pytest.mark.parametrize("end", [HANG_UP, RESET])
class TestAfterARefusal:
    @pytest.mark.parametrize("tls", ["implicit", "starttls"])
    def test_of_auth(self, adapter, certified, trusting, tls, end):
        list_ = capa("SASL CRAM-MD5", "USER")
        first = {b"STLS": [STLS], b"CAPA": [list_], b"AUTH": [b"+ PDFAYT4=\r\n"], b"*": [(NO, end)]}
        second = {b"STLS": [STLS], b"CAPA": [list_, list_]} | USER_PASS
        with Server(first, second, contexts=certified, implicit=tls == "implicit") as server:
            assert adapter(server.port, whole, {"tls": tls, "context": trusting}) == DONE
        begin = ["STLS"] if tls == "starttls" else []
        assert server.verbs[1] == [*begin, "CAPA", "USER", "PASS", "CAPA", "STAT", "QUIT"]
        assert server.secured == [True, True]

    def test_of_apop(self, adapter, certified, trusting, end):
        first = {b"CAPA": [capa("USER")], b"APOP": [(NO, end)], "greeting": STAMPED}
        second = {b"CAPA": [capa("USER")] * 2} | USER_PASS
        with Server(first, second, contexts=certified, implicit=True) as server:
            assert adapter(server.port, whole, {"context": trusting}) == DONE

    def test_of_the_initial_response(self, adapter, end):
        first = {b"CAPA": [capa("SASL PLAIN")], b"AUTH": [(b"-ERR Protocol error. Connection is closed.\r\n", end)]}
        second = {b"CAPA": [capa("SASL PLAIN")] * 2, b"AUTH": [b"+ \r\n"], b"*": [OK], b"STAT": [b"+OK 2 320\r\n"]}
        second[b"QUIT"] = [OK]
        with Server(first, second) as server:
            assert adapter(server.port, whole, {"tls": "none"}) == DONE
        assert server.heard[1][1] == b"AUTH PLAIN\r\n"
        assert base64.b64decode(server.heard[1][2]) == b"\0ann\0tanstaaf"


def test_tls_begins_again_with_the_context_with_which_it_began(adapter, certified, trusting):
    list_ = capa("SASL PLAIN", "USER")
    first = {b"STLS": [STLS], b"CAPA": [list_], b"AUTH": [(NO, HANG_UP)]}
    second = {b"STLS": [STLS], b"CAPA": [list_, list_]} | USER_PASS

    async def work(client):
        await client.start_tls(trusting)
        return await whole(client)

    with Server(first, second, contexts=certified) as server:
        assert adapter(server.port, work, {"tls": "none"}) == DONE
    assert server.secured == [True, True]


def test_a_hang_up_on_capa(adapter):
    with Server({b"CAPA": [HANG_UP]}, USER_PASS) as server:
        assert adapter(server.port, whole, {"tls": "none"}) == DONE
    assert server.verbs == [["CAPA"], ["USER", "PASS", "STAT", "QUIT"]]


def test_a_challenge_that_is_not_base64(adapter):
    list_ = capa("SASL LOGIN", "USER")
    script = {b"CAPA": [list_, list_], b"AUTH": [b"+ Username:\r\n"], b"*": [b"-ERR cancelled\r\n"]} | USER_PASS
    with Server(script) as server:
        assert adapter(server.port, whole, {"tls": "none"}) == DONE
    assert server.verbs == [["CAPA", "AUTH", "*", "USER", "PASS", "CAPA", "STAT", "QUIT"]], "over the same connection"


def test_a_refused_initial_response(adapter):
    script = {b"CAPA": [capa("SASL PLAIN")] * 2, b"AUTH": [NO, b"+ \r\n"], b"*": [OK], b"QUIT": [OK]}
    script[b"STAT"] = USER_PASS[b"STAT"]
    with Server(script) as server:
        assert adapter(server.port, whole, {"tls": "none"}) == DONE


def test_the_client_is_that_of_the_new_connection(adapter):
    first = {b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}
    second = {"greeting": b"+OK the second\r\n", b"CAPA": [capa("SASL PLAIN", "USER", "UIDL")] * 2} | USER_PASS

    async def work(client):
        before = client.peer.local
        await client.login("ann", "tanstaaf")
        assert client.peer.local != before
        assert client.peer.port == server.port
        assert client.greeting.reply.text == "the second"
        assert client.capabilities.uidl
        assert client.state is State.TRANSACTION
        return str(client.login_plan("ann", "tanstaaf"))

    with Server(first, second) as server:
        plan = adapter(server.port, work, {"tls": "none"})
    assert plan.endswith("refused on connection 1: AUTH PLAIN ***: authentication failed")


# --------------------------------------------------------------------------------------------- it stops


async def refused(client):
    with pytest.raises(LoginFailed) as failure:
        await client.login("ann", "tanstaaf")
    return failure.value


SUSPICION = "; TLS worked there before, so somebody may be intercepting the connection"


def failing(adapter, server, arguments):
    return adapter(server.port, refused, arguments)


def test_stls_that_is_refused_is_the_end(adapter, certified, trusting):
    first = {b"STLS": [STLS], b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}
    second = {b"STLS": [NO]}
    with Server(first, second, contexts=certified) as server:
        failure = failing(adapter, server, {"tls": "starttls", "context": trusting, "cleartext": "always"})
    assert server.verbs[1] == ["STLS"]
    assert failure.left == ("USER/PASS",)
    assert SUSPICION in failure.why


def test_another_certificate_is_the_end(adapter, certified, trusting):
    first = {b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}
    false = identity(trustme.CA())
    with (
        Server(first, {}, contexts=[certified, false], implicit=True) as server,
        pytest.raises(CertificateError, match=SUSPICION),
    ):
        adapter(server.port, whole, {"context": trusting})
    assert server.heard[1] == []


def test_a_port_that_speaks_in_clear_all_of_a_sudden_is_the_end(adapter, certified, trusting):
    """What would help a user who has mistaken the port helps an attacker here."""
    first = {b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}
    with Server(first, {}, contexts=[certified, None], implicit=True) as server:
        failure = failing(adapter, server, {"context": trusting, "cleartext": "always"})
    assert re.search(rf"the server sent '\+OK ready' in clear .*{SUSPICION}", failure.why)
    assert "begin TLS after the greeting" not in failure.why


def test_a_shorter_list_is_the_end(adapter):
    first = {b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}
    with Server(first, {b"CAPA": [capa("USER")], b"QUIT": [OK]}) as server:
        failure = failing(adapter, server, {"tls": "none"})
    assert server.verbs[1] == ["CAPA", "QUIT"], "the session goes on"
    assert failure.why == "on the other connection the server does not announce PLAIN any more"


def test_a_server_that_is_gone(adapter):
    first = {b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}

    async def work(client):
        server._listener.close()
        return await refused(client)

    with Server(first) as server:
        failure = adapter(server.port, work, {"tls": "none"})
    assert f"no connection to 127.0.0.1, port {server.port}" in failure.why
    assert isinstance(failure.__cause__, ConnectionLost)


def test_over_a_stream_it_says_what_is_left(adapter):
    first = {b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}
    with Server(first) as server:
        failure = over_a_stream(adapter, server.port)
    assert failure.left == ("USER/PASS",)
    assert "connect_over() has made cannot connect again" in str(failure)


def over_a_stream(adapter, port, work=refused):
    async def by_asyncio():
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        async with over_asyncio.connect_over(sock, tls="none", cleartext="always") as client:
            return await work(client)

    async def by_trio():
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with over_trio.connect_over(stream, tls="none", cleartext="always") as client:
            return await work(client)

    if adapter.__name__ == "by_asyncio":
        return asyncio.run(by_asyncio())
    if adapter.__name__ == "by_trio":
        return trio.run(by_trio)
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with over_sockets.connect_over(sock, tls="none", cleartext="always") as client:
        return awaited(work(Awaitable(client)))


# ------------------------------------------------------------------------- closed, cancelled, too late, meanwhile


REFUSING = {b"CAPA": [capa("SASL PLAIN", "USER")], b"AUTH": [(NO, HANG_UP)]}


class Deaf:
    """An address whose connections are never answered: its queue is full."""

    def __init__(self, stack):
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0)
            sock.connect_ex(self.listener.getsockname())
        self.address = self.listener.getsockname()


def closed_while_it_connects(monkeypatch, stage, connecting):
    """The outcome of a login whose client is closed by another thread at a stage of its second connection."""
    stages, reached = [], threading.Event()
    waking = Interruption.waking

    def watched(interruption, wake):
        stages.append(wake)
        if len(stages) == stage:
            reached.set()
        return waking(interruption, wake)

    def close():
        assert reached.wait(PATIENCE)
        client.close()

    with Server(REFUSING) as server:
        client = over_sockets.connect("127.0.0.1", server.port, tls="none", timeout=None, connect_timeout=None)
        connecting()
        monkeypatch.setattr(Interruption, "waking", watched)
        thread = threading.Thread(target=close, daemon=True)
        thread.start()
        with pytest.raises(LoginFailed) as failure:
            client.login("ann", "tanstaaf")
        join(thread)
        assert len(stages) == stage
    assert client.session.broken is not None
    assert client._stream._driver._socket.fileno() == -1
    client.close()
    return failure.value


def test_a_blocking_client_that_is_closed_while_it_connects(monkeypatch):
    """It would wait for minutes: there is no limit."""
    made = []
    create = socket.socket
    with contextlib.ExitStack() as stack:
        deaf = Deaf(stack)

        def connecting():
            entry = (socket.AF_INET, socket.SOCK_STREAM, 0, "", deaf.address)
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry])
            monkeypatch.setattr(socket, "socket", lambda *args: made.append(create(*args)) or made[-1])

        assert closed_while_it_connects(monkeypatch, 2, connecting).why == "the connection was given up"
    assert made
    assert [sock.fileno() for sock in made] == [-1] * len(made), "none is left open"


def test_a_blocking_client_that_is_closed_while_it_looks_up_the_name(monkeypatch):
    released = threading.Event()

    def look_up(*_, **__):
        assert released.wait(PATIENCE)
        raise OSError("too late")

    failure = closed_while_it_connects(monkeypatch, 1, lambda: monkeypatch.setattr(socket, "getaddrinfo", look_up))
    released.set()
    assert failure.why == "the connection was given up"


def test_a_blocking_client_tries_each_address(monkeypatch):
    listed = {b"CAPA": [capa("SASL PLAIN", "USER")] * 2} | USER_PASS
    with Server(REFUSING, listed) as server, contextlib.ExitStack() as stack:
        client = stack.enter_context(over_sockets.connect("127.0.0.1", server.port, tls="none", timeout=PATIENCE))
        with socket.create_server(("127.0.0.1", 0)) as gone:
            refusing = gone.getsockname()
        names = [refusing, ("127.0.0.1", server.port)]
        entries = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", name) for name in names]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
        client.login("ann", "tanstaaf")
        assert client.stat() == DONE


@pytest.mark.parametrize(
    "what,why",
    [
        (TimeoutError(), "no connection to 127.0.0.1, port {}, in time"),
        (
            socket.gaierror(-2, "Name or service not known"),
            "no connection to 127.0.0.1, port {}: Name or service not known",
        ),
        (None, "no connection to 127.0.0.1, port {}: no address is known for 127.0.0.1"),
    ],
)
def test_a_blocking_client_that_finds_no_server_says_why(monkeypatch, what, why):
    def look_up(*_, **__):
        if what is not None:
            raise what
        return []

    with Server(REFUSING) as server:
        client = over_sockets.connect("127.0.0.1", server.port, tls="none", timeout=PATIENCE)
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with pytest.raises(LoginFailed) as failure:
            client.login("ann", "tanstaaf")
        client.close()
    assert failure.value.why == why.format(server.port)


def test_a_blocking_client_that_has_no_time_left_for_the_lookup(monkeypatch):
    released = threading.Event()
    with Server(REFUSING) as server:
        client = over_sockets.connect("127.0.0.1", server.port, tls="none", connect_timeout=0.05)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(PATIENCE))
        with pytest.raises(LoginFailed, match="in time"):
            client.login("ann", "tanstaaf")
        released.set()
        client.close()


def test_a_blocking_client_that_has_no_thread_for_the_lookup(monkeypatch):
    listed = {b"CAPA": [capa("SASL PLAIN", "USER")] * 2} | USER_PASS

    def start(thread):
        raise RuntimeError("can't start new thread")

    with (
        Server(REFUSING, listed) as server,
        over_sockets.connect("127.0.0.1", server.port, tls="none", timeout=PATIENCE) as client,
    ):
        monkeypatch.setattr(threading.Thread, "start", start)
        client.login("ann", "tanstaaf")
        assert client.stat() == DONE


def test_a_blocking_client_whose_server_does_not_answer(monkeypatch):
    with contextlib.ExitStack() as stack, Server(REFUSING) as server:
        entry = (socket.AF_INET, socket.SOCK_STREAM, 0, "", Deaf(stack).address)
        client = over_sockets.connect("127.0.0.1", server.port, tls="none", connect_timeout=0.05)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry])
        with pytest.raises(LoginFailed, match="in time"):
            client.login("ann", "tanstaaf")
        client.close()


STEPS = 12  # turns of the event loop: more than a connection on this machine needs


@pytest.mark.deep(keep=36)
@pytest.mark.parametrize("module", [over_asyncio, over_trio], ids=["asyncio", "trio"])
@pytest.mark.parametrize("how", ["closed", "closed twice", "cancelled"])
@pytest.mark.parametrize("steps", range(STEPS))
def test_at_whatever_step_of_another_connection_a_client_ends_none_is_left(module, how, steps):
    """The server sees the end of each connection: it waits for that, with a limit."""

    async def test():
        connecting = anyio.Event()
        client = await module.connect("127.0.0.1", server.port, tls="none", timeout=PATIENCE)
        connect_again = client._stream._connect

        async def watched(*stream):
            connecting.set()
            return await connect_again(*stream)

        async def log_in():
            with contextlib.suppress(LoginFailed, ConnectionLost, Broken):
                await client.login("ann", "tanstaaf")

        client._stream._connect = watched
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log_in)
            await connecting.wait()
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            if how == "cancelled":
                tasks.cancel_scope.cancel()
            else:
                await client.aclose()
            if how == "closed twice":
                await anyio.lowlevel.checkpoint()
                await client.aclose()
        assert client.session.broken is not None
        await client.aclose()

    second = {b"CAPA": [capa("SASL PLAIN", "USER")] * 2} | USER_PASS
    with Server(REFUSING, second) as server:
        anyio.run(test, backend=module.__name__.rpartition(".")[2])
    assert len(server.heard) <= 2


def test_an_asyncio_client_is_closed_twice_while_its_connection_is_given_up():
    async def test():
        connecting = asyncio.Event()

        async def connect_again(*_):
            connecting.set()
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                await asyncio.sleep(0)  # it takes some turns of the loop to give it up
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        client = await over_asyncio.connect("127.0.0.1", server.port, tls="none", timeout=PATIENCE)
        client._stream._connect = connect_again
        login = asyncio.create_task(client.login("ann", "tanstaaf"))
        await connecting.wait()
        await client.aclose()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await client.aclose()
        with pytest.raises(LoginFailed, match="the connection was given up"):
            await login

    with Server(REFUSING) as server:
        asyncio.run(test())


@pytest.mark.parametrize("module", [over_asyncio, over_trio], ids=["asyncio", "trio"])
@pytest.mark.parametrize("how", ["closed", "cancelled", "late"])
def test_a_client_whose_connection_does_not_come(module, how):
    async def test():
        connecting = anyio.Event()

        async def connect_again(*_):
            connecting.set()
            await anyio.sleep(PATIENCE)

        async def log_in():
            with pytest.raises(LoginFailed if how != "cancelled" else BaseException) as failure:
                await client.login("ann", "tanstaaf")
            outcome.append(failure.value)
            if how == "cancelled":
                raise failure.value

        outcome = []
        client = await module.connect("127.0.0.1", server.port, tls="none", timeout=0.2 if how == "late" else PATIENCE)
        client._stream._connect = connect_again
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log_in)
            if how != "late":
                await connecting.wait()
            if how == "closed":
                await client.aclose()
            elif how == "cancelled":
                tasks.cancel_scope.cancel()
        assert client.session.broken is not None
        await client.aclose()
        return outcome[0]

    with Server(REFUSING) as server:
        error = anyio.run(test, backend=module.__name__.rpartition(".")[2])
    if how == "closed":
        assert error.why == "the connection was given up"
    elif how == "late":
        assert isinstance(error.__cause__, TimedOut)


@pytest.mark.parametrize("module", [over_asyncio, over_trio], ids=["asyncio", "trio"])
def test_a_connection_that_comes_as_the_client_is_closed(module):
    """It is closed, too."""

    async def test():
        client = await module.connect("127.0.0.1", server.port, tls="none", timeout=PATIENCE)
        connect_again = client._stream._connect

        async def connect_and_close(*stream):
            connected = await connect_again(*stream)
            client._stream._given_up = True  # as `abort` does, without the cancellation that comes too late
            return connected

        client._stream._connect = connect_and_close
        with pytest.raises(LoginFailed) as failure:
            await client.login("ann", "tanstaaf")
        await client.aclose()
        return failure.value

    with Server(REFUSING, {}) as server:
        assert anyio.run(test, backend=module.__name__.rpartition(".")[2]).why == "the connection was given up"
    assert not any(server.heard[1:]), "it may be closed before the server has accepted it"


def test_who_does_not_know_where_to_connect_says_so(adapter):
    async def work(client):
        with pytest.raises(LocalProtocolError, match="does not know where to connect to"):
            await client.perform(reconnecting())

    def reconnecting():
        yield from Reconnect()

    with Server({b"QUIT": [OK]}) as server:
        over_a_stream(adapter, server.port, work)


# ------------------------------------------------------------------------------------- passwords that are not ASCII


@pytest.mark.parametrize("encoding", [None, "latin-1"])
def test_a_password_that_is_not_ascii(adapter, certified, trusting, encoding):
    script = {b"CAPA": [capa("USER")] * 2} | USER_PASS

    async def work(client):
        await client.login("jörg", "pässwörd", password_encoding=encoding)

    with Server(script, contexts=certified, implicit=True) as server:
        adapter(server.port, work, {"context": trusting})
    sent = [line.decode(encoding or "utf-8").strip() for line in server.heard[0][1:3]]
    assert sent == ["USER jörg", "PASS pässwörd"]
