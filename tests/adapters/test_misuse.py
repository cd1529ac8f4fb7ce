"""What a caller does wrong, in all three adapters: it is said in words, before anything is opened or sent."""

# A fixture is imported, and its tests name it.
# ruff: noqa: F811

import contextlib
import datetime as dt
import logging
import socket
import ssl
import threading
import warnings

import pytest
import trio
import trustme

from pop3proto._io.tls import client_context
from pop3proto.core.commands import Stls
from pop3proto.core.errors import Broken, Busy, CertificateError, ConnectionLost, LocalProtocolError
from pop3proto.core.refusals import CommandFailed
from pop3proto.procedures.maildrop import Refused
from pop3proto.procedures.server.handlers import HANDLERS
from tests.adapters.test_serve import (
    ADAPTERS,
    PATIENCE,
    adapter,  # noqa: F401 - it is a fixture
    greeting,
    is_refused,
    service,
)
from tests.helpers.processes import join, wait_until

needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")


def connect(adapter, *args, **kwargs):
    """A client without a block."""
    return adapter.do(lambda: ADAPTERS[adapter.name].connect(*args, **kwargs))


def connect_over(adapter, sock, **kwargs):
    """What `connect_over` returns, over a socket in the way of the adapter."""
    return ADAPTERS[adapter.name].connect_over(in_its_way(adapter, sock), **kwargs)


def in_its_way(adapter, sock):
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock)) if adapter.name == "trio" else sock


def close(adapter, client):
    adapter.do(client.aclose if adapter.lazy else client.close)


@contextlib.contextmanager
def connected(adapter, *args, **kwargs):
    client = connect(adapter, *args, **kwargs)
    try:
        yield client
    finally:
        close(adapter, client)


# ------------------------------------------------------------------------------------- addresses and ports


def test_no_host_is_not_every_interface(adapter):
    with pytest.raises(ValueError, match="the host is empty"):
        adapter.serve(service(), "")


@pytest.mark.parametrize("name, value", [("quirks", "courier"), ("limits", 3), ("quirks", {"bare_lf"})])
def test_settings_of_the_wrong_type_are_refused_before_there_is_a_connection(adapter, name, value):
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TypeError, match=f"{name} takes a"):
        connect(adapter, *listener.getsockname(), tls="none", **{name: value})


@pytest.mark.parametrize("port", [-1, 65_536, 70_000])
def test_a_port_that_cannot_be_one(adapter, port):
    with pytest.raises(ValueError, match=f"port must be from 0 to 65535, not {port}"):
        adapter.serve(service(), port=port)
    with pytest.raises(ValueError, match=f"port must be from 1 to 65535, not {port}"):
        ADAPTERS[adapter.name].connect("127.0.0.1", port)


def test_a_port_that_no_client_can_connect_to(adapter):
    with pytest.raises(ValueError, match="port must be from 1 to 65535, not 0"):
        ADAPTERS[adapter.name].connect("127.0.0.1", 0)


@pytest.mark.parametrize("function", ["serve", "connect"])
def test_a_port_that_is_no_number(adapter, function):
    first = service() if function == "serve" else "127.0.0.1"
    with pytest.raises(TypeError, match="port must be an int, not of type str"):
        getattr(ADAPTERS[adapter.name], function)(first, port="110")


@pytest.mark.parametrize("host", ["a\0b", "\u00e9" * 80, "\u00e9\0"])
def test_a_host_that_cannot_be_one(adapter, host):
    with pytest.raises(ValueError, match="is not a host name or address"):
        adapter.serve(service(), ["127.0.0.1", host])


def test_a_host_that_is_no_string(adapter):
    with pytest.raises(TypeError, match="host must be a string, or several, not of type bytes"):
        adapter.serve(service(), [b"127.0.0.1"])


# --------------------------------------------------------------------------------------------- contexts


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def for_a_server(authority, **dates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", **dates).configure_cert(context)
    return context


def for_a_client(authority):
    context = client_context()
    authority.configure_trust(context)
    return context


def for_both():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return ssl.SSLContext(ssl.PROTOCOL_TLS)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_the_context_of_a_client_serves_nobody(adapter, authority, tls):
    with pytest.raises(
        ValueError, match=r"context is for a client: a server needs ssl\.create_default_context\(ssl\.P"
    ):
        adapter.serve(service(), tls=tls, context=for_a_client(authority))
    with pytest.raises(TypeError, match=r"context must be an ssl\.SSLContext, not of type str"):
        adapter.serve(service(), tls=tls, context="server.pem")


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
def test_the_context_of_a_server_connects_to_nobody(adapter, authority, tls):
    module, (ours, theirs) = ADAPTERS[adapter.name], socket.socketpair()
    words = r"context is for a server: a client needs ssl\.create_default_context\(\)"
    with ours, theirs:
        stream = in_its_way(adapter, ours)
        for wrong, error, match in (
            (for_a_server(authority), ValueError, words),
            ("ca.pem", TypeError, "context must be an ssl.SSLContext, not of type str"),
        ):
            with pytest.raises(error, match=match):
                module.connect("127.0.0.1", 110, tls=tls, context=wrong)
            with pytest.raises(error, match=match):
                module.connect_over(stream, host="127.0.0.1", tls=tls, context=wrong)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


def test_a_context_for_both_roles_takes_the_role_that_is_due(adapter, authority):
    serving, trusting = for_both(), for_both()
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(trusting)
    trusting.verify_mode, trusting.check_hostname = ssl.CERT_REQUIRED, True
    for mode in ("implicit", "starttls"):
        with adapter.entered(service(), tls=mode, context=serving) as server:
            with connected(adapter, *server.address, tls=mode, context=trusting) as client:
                assert client.tls.verified
            with connected(adapter, *server.address, tls=mode, context=for_both()) as client:
                assert not client.tls.verified


def refusing_once(session, command):
    """The handler of STLS, but for the first of the session."""
    if session.info.state.setdefault("refused", command) is command:
        raise Refused("not yet")
    return HANDLERS[Stls](session, command)


def test_a_context_of_start_tls_is_for_that_call_alone(adapter, authority):
    refusing = service(handlers={**HANDLERS, Stls: refusing_once})
    trusting, distrusting = for_a_client(authority), client_context()
    with (
        adapter.entered(refusing, tls="starttls", context=for_a_server(authority)) as server,
        connected(adapter, *server.address, tls="none", context=trusting) as client,
    ):
        with pytest.raises(ValueError, match="context is for a server"):
            adapter.do(client.start_tls, for_a_server(authority))
        with pytest.raises(CommandFailed, match="not yet"):
            adapter.do(client.start_tls, distrusting)
        assert client.tls is None
        assert adapter.do(client.start_tls).verified, "by the context of connect"
        adapter.do(client.login, "ann", "tanstaaf")


def test_a_context_of_start_tls_does_not_touch_a_call_under_way(adapter, authority):
    """Another task or thread that is refused with `Busy` has changed nothing."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(session, command):
        entered.set()
        assert go_on.wait(PATIENCE)
        return HANDLERS[Stls](session, command)

    slow_store = service(handlers={**HANDLERS, Stls: slow})
    server = ADAPTERS["blocking"].serve(slow_store, tls="starttls", context=for_a_server(authority))
    with server, connected(adapter, *server.address, tls="none", context=for_a_client(authority)) as client:
        outcomes = []
        thread = threading.Thread(target=lambda: outcomes.append(adapter.do(client.start_tls)), daemon=True)
        thread.start()
        try:
            assert entered.wait(PATIENCE)
            with pytest.raises(Busy):
                adapter.do(client.start_tls, client_context())
        finally:
            go_on.set()
            join(thread)
        assert outcomes[0].verified


@pytest.mark.parametrize(
    "begin, end, reason, remedy",
    [
        (
            dt.datetime(2001, 2, 3, tzinfo=dt.UTC),
            dt.datetime(2004, 5, 6, 7, 8, tzinfo=dt.UTC),
            "certificate has expired (valid until 2004-05-06 07:08 UTC)",
            "the server needs a new one; check the clock of this machine, too",
        ),
        (
            dt.datetime(2999, 2, 3, tzinfo=dt.UTC),
            dt.datetime(2999, 5, 6, tzinfo=dt.UTC),
            "certificate is not yet valid (valid from 2999-02-03 00:00 UTC)",
            "check the clock of this machine",
        ),
    ],
    ids=["expired", "not yet valid"],
)
def test_a_certificate_at_the_wrong_time(adapter, authority, begin, end, reason, remedy):  # noqa: PLR0917 - a row of the table
    context = for_a_server(authority, not_before=begin, not_after=end)
    with adapter.entered(service(), tls="implicit", context=context) as server:
        with pytest.raises(CertificateError) as refusal:
            connect(adapter, *server.address, tls="implicit", context=for_a_client(authority))
        port = server.address[1]
    error = refusal.value
    assert (error.host, error.port) == ("127.0.0.1", port)
    assert error.reason.replace(" or the system clock is incorrect", "") == reason  # a guess of newer OpenSSLs
    assert str(error) == f"the certificate of 127.0.0.1, port {port}, was not accepted: {error.reason}; {remedy}"


# --------------------------------------------------------------------------- a client that was not awaited


@pytest.mark.parametrize("name", ["stat", "login", "peer", "aclose", "session", "anything"])
def test_a_client_that_was_not_awaited_says_so(adapter, name):
    if not adapter.lazy:
        pytest.skip("it is connected when connect returns")
    words = rf"there is no '{name}' before the client is connected: await .*, or enter it with `async with`"
    for client in (
        ADAPTERS[adapter.name].connect("127.0.0.1", 110, tls="none"),
        ADAPTERS[adapter.name].connect_over(in_its_way(adapter, sock := a_stream()), tls="none"),
    ):
        with pytest.raises(AttributeError, match=words) as refusal:
            getattr(client, name)
        assert (refusal.value.name, refusal.value.obj) == (name, client)
    sock.close()


# ------------------------------------------------------------------------------------------- connect_over


def a_stream():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), PATIENCE)
        listener.accept()[0].close()
    return ours


def datagrams():
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 9))
    return sock


def test_over_datagrams(adapter):
    with datagrams() as sock, pytest.raises(ValueError, match=r"stream must be a stream socket, not|SOCK_STREAM"):
        connect_over(adapter, sock, tls="none")  # trio itself makes no stream of it


def test_over_what_is_no_stream(adapter):
    with pytest.raises(TypeError, match=r"stream must be .*, not of type str"):
        ADAPTERS[adapter.name].connect_over("127.0.0.1", tls="none")
    with socket.socket() as sock:
        wrong = sock if adapter.name == "trio" else trio.socket.from_stdlib_socket(sock)
        with pytest.raises(TypeError, match=r"stream must be .*, not of type (socket|_SocketType)"):
            ADAPTERS[adapter.name].connect_over(wrong, tls="none")


def test_over_a_socket_that_is_not_connected(adapter):
    for sock in (socket.socket(), socket.create_server(("127.0.0.1", 0))):
        with pytest.raises(ConnectionLost, match="the socket is not connected"):
            adapter.do(connect_over, adapter, sock)
        assert sock.fileno() < 0, "it belonged to the client"


def test_over_a_socket_that_is_closed(adapter):
    sock = a_stream()
    stream = in_its_way(adapter, sock)
    sock.close()
    with pytest.raises(ConnectionLost, match="the socket is closed"):
        adapter.do(lambda: ADAPTERS[adapter.name].connect_over(stream, tls="none"))


def test_over_a_socket_that_does_its_own_tls(adapter):
    """asyncio refuses it; it is closed all the same."""
    if adapter.name != "asyncio":
        pytest.skip("only asyncio knows")
    context = ssl.create_default_context()
    sock = context.wrap_socket(a_stream(), server_hostname="127.0.0.1", do_handshake_on_connect=False)
    with pytest.raises(TypeError, match="SSLSocket"):
        adapter.do(connect_over, adapter, sock)
    assert sock.fileno() < 0


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_over_a_stream_without_the_name_that_the_certificate_is_checked_for(adapter, authority, tls):
    """No handshake begins: of TLS from the start nothing is sent, by STLS nothing behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname(), PATIENCE)
        peer, _ = listener.accept()
    heard = []

    def serve():
        with peer, contextlib.suppress(ConnectionError):
            peer.settimeout(PATIENCE)
            if tls == "starttls":
                peer.sendall(b"+OK ready\r\n")
                heard.append(peer.recv(100))
                peer.sendall(b"+OK begin\r\n")
            heard.append(peer.recv(100))

    with in_thread(serve), pytest.raises(LocalProtocolError, match=r"the server's name is needed .*: pass host="):
        adapter.do(lambda: connect_over(adapter, sock, tls=tls, context=for_a_client(authority)))
    assert heard == ([b"STLS\r\n", b""] if tls == "starttls" else [b""])


# ---------------------------------------------------------------------------- closed in the middle of a call


@contextlib.contextmanager
def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    try:
        yield
    finally:
        join(thread)


def test_a_client_that_is_closed_in_the_middle_of_a_call(adapter):
    """By another thread or task. The call ends, and says why; so does each that follows."""
    outcomes = []

    def call():
        with pytest.raises(ConnectionLost) as lost:
            adapter.do(client.capa)
        outcomes.append(str(lost.value))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname(), PATIENCE)
        peer, _ = listener.accept()
    with peer:
        peer.settimeout(PATIENCE)
        peer.sendall(b"+OK ready\r\n")
        client = adapter.do(lambda: connect_over(adapter, sock, tls="none"))
        with in_thread(call):
            assert peer.recv(100) == b"CAPA\r\n"
            close(adapter, client)
    assert outcomes == ["the connection was given up"]
    with pytest.raises(Broken, match="it was closed"):
        adapter.do(client.stat)
    close(adapter, client)


# ------------------------------------------------------------------------------------------------ sockets


def unbound():
    return socket.socket()


def unbound_unix():
    return socket.socket(socket.AF_UNIX)


def bound_datagrams():
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def closed():
    sock = socket.socket()
    sock.close()
    return sock


@pytest.mark.parametrize(
    "make, fault",
    [
        (unbound, "not bound"),
        pytest.param(unbound_unix, "not bound", marks=needs_unix),
        (a_stream, "connected"),
        (bound_datagrams, "not a stream socket"),
        (closed, "closed"),
    ],
)
def test_a_socket_on_which_nothing_can_listen(adapter, make, fault):
    with socket.create_server(("127.0.0.1", 0)) as good, make() as sock:
        before = sock.fileno()
        with pytest.raises(ValueError, match=f"sockets= takes bound stream sockets; this one is {fault}: <socket"):
            adapter.serve(service(), sockets=[good, sock])
        assert sock.fileno() == before, "it is the caller's still"


def test_what_is_no_socket(adapter):
    with pytest.raises(TypeError, match="sockets= takes bound stream sockets, not objects of type int"):
        adapter.serve(service(), sockets=[3])


def test_a_listening_socket_that_its_owner_closes(adapter, caplog):
    """The next client finds it out; it is said once, and clients of other sockets notice nothing."""
    caplog.set_level(logging.INFO, "pop3proto")
    one, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    gone, stays = one.getsockname(), other.getsockname()
    with adapter.entered(service(), sockets=[one, other]):
        assert greeting(gone).startswith(b"+OK")
        one.close()
        files = [socket.socket() for _ in range(3)]  # one of them has the descriptor of the closed one
        assert greeting(stays).startswith(b"+OK")
        with contextlib.suppress(ConnectionError):
            assert greeting(gone) == b""
        wait_until(lambda: is_refused(gone), "it still listens")
        for _ in range(3):
            assert greeting(stays).startswith(b"+OK")
        for file in files:
            file.close()
    assert is_refused(stays)
    words = f"nothing is accepted on 127.0.0.1:{gone[1]} any more: its socket was closed"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [words]


def test_all_listening_sockets_are_closed_by_their_owner(adapter):
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    with adapter.entered(service(), sockets=[sock]) as server, connected(adapter, *address, tls="none") as client:
        sock.close()
        with contextlib.suppress(ConnectionError):
            greeting(address)
        wait_until(lambda: is_refused(address), "it still listens")
        adapter.do(client.login, "ann", "tanstaaf")
        assert adapter.do(client.stat).count == 1
        adapter.do(client.quit)
        assert server.address == address


def test_a_socket_that_its_owner_closes_before_the_server_is_entered(adapter):
    if not adapter.lazy:
        pytest.skip("it serves when it returns")
    one, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    server = adapter.serve(service(), sockets=[one, other])
    other.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        adapter.do(lambda: server)
    assert one.fileno() < 0
