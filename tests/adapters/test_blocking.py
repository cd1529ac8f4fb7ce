"""The blocking adapter, over real sockets on loopback: no time is asserted, and what waits, waits for an event."""

import asyncio
import gc
import hashlib
import logging
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from pop3proto._io import driver as _driver, peers as _peers
from pop3proto._io.peers import Peer
from pop3proto._io.server_tls import ServerTls, first_certificate
from pop3proto._io.tls import client_context, tls_info, verifies_peer
from pop3proto._io.tls_channel import TlsChannel, client_channel, server_channel
from pop3proto.authenticators.memory import MemoryAuthenticator
from pop3proto.blocking import connect, connect_over, serve
from pop3proto.blocking.stream import SocketDriver, SocketStream, run_blocking
from pop3proto.core.commands import Stat
from pop3proto.core.errors import Broken, Busy, CertificateError, ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.refusals import LoginFailed, SessionRefused
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.operations import Operation, Read, StartTls, Write
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.procedures.server.service import Service
from tests.helpers.drivers import FakeStore, OneUser, as_sent
from tests.helpers.processes import join

UNIX = b"Subject: one\n\n.dot\nlast"
DOS = b"Subject: two\r\n\r\nbody\r\n"
PATIENCE = 30  # seconds until a test that hangs fails
GREETING = b"+OK ready\r\n"


class Anybody(OneUser):
    def check_password(self, user, password, session):
        return password == "tanstaaf"


class Watched(FakeStore):
    """A store that tells when its maildrop is closed."""

    def __init__(self, *mail, **arguments):
        super().__init__(*mail, **arguments)
        self.closed = threading.Event()

    def note(self, call):
        super().note(call)
        if call == "close":
            self.closed.set()


class Scripted(threading.Thread):
    """A server that greets, and answers each line with the next answer; then, it is silent or hangs up."""

    def __init__(self, *answers, then="silence"):
        super().__init__(daemon=True)
        self._answers = list(answers)
        self._then = then
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = []
        self.start()

    def run(self):
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            while self._answers:
                connection.sendall(self._answers.pop(0))
                if self._answers and not self._listen(lines):
                    return
            if self._then == "silence":
                while self._listen(lines):
                    pass

    def _listen(self, lines):
        try:
            line = lines.readline()
        except ConnectionError:
            return False
        self.heard.append(line)
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        join(self)


def descriptors():
    """How many are open; 0 where the system does not tell."""
    return len(list(Path("/proc/self/fd").glob("*")))


BRIEF = Deadlines(grace=0.05)
"""Nobody comes back while a server ends."""


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No thread, no descriptor, and no socket that was not closed (ResourceWarning is an error)."""
    gc.collect()
    before = descriptors()
    yield
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("pop3proto")] == []
    assert descriptors() <= before


@pytest.fixture
def store():
    return Watched(UNIX, DOS)


@pytest.fixture
def server(store):
    with serve(Service(store=store, authenticator=OneUser(), failure_delay=0)) as running:
        yield running


@pytest.fixture
def client(server):
    with here(server) as connected:
        connected.login("ann", "tanstaaf")
        yield connected


def here(server, **arguments):
    return connect(*server.address, tls="none", **arguments)


def raw(server):
    sock = socket.create_connection(server.address, PATIENCE)
    assert sock.recv(100).startswith(b"+OK")
    return sock


def log_in_raw(server):
    sock = raw(server)
    for line in (b"USER ann\r\n", b"PASS tanstaaf\r\n"):
        sock.sendall(line)
        assert sock.recv(100).startswith(b"+OK")
    return sock


# ---------------------------------------------------------------------------------------- each method


def test_one_call_at_a_time(client):
    """A second thread, or a generator of commands that asks the client itself."""

    def commands():
        yield Stat()
        client.stat()

    with pytest.raises(Busy, match="one call at a time"):
        client.call_all(commands())
    assert client.stat().count == 2


# ------------------------------------------------------------------------------------- how it ends


def test_an_error_that_is_none_of_ours_breaks_it_too(client, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(client._stream._driver, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.stat()
    with pytest.raises(Broken, match="KeyboardInterrupt"):
        client.noop()


# ----------------------------------------------------------------------------------- connecting, time


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionLost, match=f"no connection to 127.0.0.1, port {port}: Connection refused"):
        connect("127.0.0.1", port, tls="none")


@pytest.mark.parametrize("host", ["x" * 64 + ".invalid", "a..b"])
def test_a_name_that_is_none(host):
    with pytest.raises(ConnectionLost, match="no connection to"):
        connect(host, 1, tls="none")


def test_a_connection_that_takes_too_long(monkeypatch):
    def never(address, timeout):
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(TimedOut, match=r"no connection to pop\.invalid, port 110, in time"):
        connect("pop.invalid", tls="none")
    with pytest.raises(TimedOut, match="port 995"):
        connect("pop.invalid")


def test_a_server_that_never_answers():
    with Scripted(GREETING) as peer, connect("127.0.0.1", peer.port, tls="none", timeout=1) as client:
        with pytest.raises(TimedOut, match="nothing in time"):
            client.capa()
        assert client._stream._driver._socket.fileno() < 0, "nobody waits for what may still come"
        with pytest.raises(Broken, match="TimedOut"):
            client.capa()


def test_without_a_timeout_it_waits(server):
    with here(server, timeout=None) as client:
        assert client.capa() is not None


# --------------------------------------------------------------------------------------- clear passwords


def test_a_password_goes_to_another_machine_only_if_that_was_said(server, monkeypatch):
    monkeypatch.setattr(_peers, "is_loopback", lambda _: False)
    words = "login method: (PLAIN, )?USER/PASS: it shows the password or token, and there is no verified TLS"
    with here(server) as client, pytest.raises(LocalProtocolError, match=words):
        client.login("ann", "tanstaaf")
    with here(server, cleartext="always") as client, pytest.raises(LoginFailed, match="TLS only"):
        client.login("ann", "tanstaaf")


@pytest.mark.parametrize(
    "address,loopback",
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("fe80::1%lo", False),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("", False),
    ],
)
def test_which_addresses_are_of_this_machine(address, loopback):
    assert Peer.of(socket.AF_INET6, (address, 0, 0, 0)) == Peer(address, loopback=loopback)


def test_addresses_of_sockets():
    left, right = socket.socketpair()
    with left, right:
        assert SocketStream(left).peer.address == ""
        assert SocketStream(left).peer.loopback
    assert not Peer.of(9_999, (3, 1)).loopback  # another kind of machine, perhaps
    with socket.socket() as unconnected:
        assert SocketStream(unconnected).peer.address == ""
        assert not SocketStream(unconnected).peer.loopback


# ------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def pem(authority, tmp_path_factory):
    """A file with the key and the certificate of "localhost"."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
    return file


@pytest.fixture
def secure(store, pem):
    """A server under TLS whose name is "localhost"."""
    service = Service(store=store, authenticator=OneUser(), failure_delay=0, deadlines=BRIEF)
    with serve(service, tls="implicit", certificate=pem) as running:
        yield running


@pytest.fixture
def stls(store, pem):
    """A server that has STLS, and whose name is "localhost"."""
    with serve(
        Service(store=store, authenticator=OneUser(), failure_delay=0), tls="starttls", certificate=pem
    ) as running:
        yield running


@pytest.fixture
def trusting(authority):
    context = client_context()
    authority.configure_trust(context)
    return context


def test_implicit_tls(secure, store, trusting):
    seen = []
    opening = store.open
    store.open = lambda user, session: seen.append(session) or opening(user, session)
    with connect("localhost", secure.address[1], context=trusting) as client:
        assert client.session.connection.tls
        assert client.session.context.may_show_password
        client.login("ann", "tanstaaf")
        with client.retr(1) as message:
            assert message.read() == as_sent(UNIX)
        client.dele(1)
    assert list(store.contents) == [2]
    [info] = seen
    assert info.address == "127.0.0.1"
    assert (info.tls.version, info.tls.verified, info.tls.certificate) == ("TLSv1.3", False, None)
    assert info.tls.bindings == client.session.tls.bindings


def test_a_server_that_was_not_verified_gets_no_password(secure, monkeypatch):
    monkeypatch.setattr(_peers, "is_loopback", lambda _: False)
    context = client_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        connect("localhost", secure.address[1], context=context) as client,
        pytest.raises(
            LocalProtocolError, match="USER/PASS: it shows the password or token, and there is no verified TLS"
        ),
    ):
        client.login("ann", "tanstaaf")
    with connect("localhost", secure.address[1], context=context, cleartext="always") as client:
        client.login("ann", "tanstaaf")


def test_stls(stls, store, trusting):
    with connect("localhost", stls.address[1], tls="starttls", context=trusting) as client:
        assert client.session.connection.tls
        assert (client.session.tls.version, client.session.tls.verified) == ("TLSv1.3", True)
        assert not client.capabilities.stls, "asked again, under TLS"
        with pytest.raises(LocalProtocolError, match="TLS"):
            client.start_tls()
        client.login("ann", "tanstaaf")
        client.dele(1)
    assert list(store.contents) == [2]


def test_stls_by_hand(stls, trusting, monkeypatch):
    monkeypatch.setattr(_peers, "is_loopback", lambda _: False)
    with connect("localhost", stls.address[1], tls="none", context=trusting) as client:
        client.capa()
        assert (client.capabilities.stls, client.capabilities.sasl) == (True, ())
        with pytest.raises(LocalProtocolError, match="no verified TLS"):
            client.login("ann", "tanstaaf")
        assert client.start_tls() == client.session.tls
        assert (client.capabilities.stls, client.capabilities.sasl) == (False, ("PLAIN", "LOGIN"))
        client.login("ann", "tanstaaf")
        assert client.stat().count == 2


def test_stls_by_hand_verifies_unless_it_is_told_otherwise(stls):
    with connect("localhost", stls.address[1], tls="none") as client:
        with pytest.raises(CertificateError, match=r"the certificate of localhost, port \d+, was not accepted"):
            client.start_tls()
        with pytest.raises(Broken, match=r"the certificate of localhost, port \d+, was not accepted"):
            client.login("ann", "tanstaaf")


def test_stls_by_hand_with_a_context_of_its_own(stls, trusting):
    with connect("localhost", stls.address[1], tls="none") as client:
        assert client.start_tls(trusting).verified
        assert client.tls.verified


def test_keep_alive_without_a_thread_leaves_the_client_as_it_was(client, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"), client.keep_alive():
            pytest.fail("there is no thread")
    assert client.stat().count == 2
    with client.keep_alive():
        pass
    assert client.stat().count == 2


def test_closing_while_a_call_is_about_to_return():
    """The thread that closes does not wait; the one that was in the call closes the socket."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(GREETING)
        client = connect_over(ours, tls="none")
        client._take(this := object())
        client.close()
        client._release(this)
        assert ours.fileno() == -1
        with pytest.raises(Broken, match="it was closed"):
            client.capa()


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_a_server_with_a_context_of_its_own(store, authority, trusting, mode):
    """It does not know its own certificate: nobody can bind to that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authenticator = MemoryAuthenticator({"ann": "tanstaaf"})
    with (
        serve(Service(store=store, authenticator=authenticator), tls=mode, context=context) as server,
        connect("localhost", server.address[1], tls=mode, context=trusting) as client,
    ):
        client.capa()
        assert "SCRAM-SHA-256" in client.capabilities.sasl
        assert not any(name.endswith("-PLUS") for name in client.capabilities.sasl)
        client.login("ann", "tanstaaf")


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_login_is_bound_to_its_channel(store, pem, trusting, mode, version):
    trusting.maximum_version = version
    users = MemoryAuthenticator({"ann": "tanstaaf"})
    service = Service(
        store=store,
        authenticator=users,
        mechanisms=["SCRAM-SHA-256-PLUS"],
        failure_delay=0,
        login_penalty=None,
    )
    with (
        serve(service, tls=mode, certificate=pem) as server,
        connect("localhost", server.address[1], tls=mode, context=trusting) as client,
    ):
        with pytest.raises(LoginFailed):
            client.login("ann", "wrong", only=["SCRAM-SHA-256-PLUS"])
        client.login("ann", "tanstaaf", only=["SCRAM-SHA-256-PLUS"])
        assert client.stat().count == 2


def test_what_verifies():
    context = client_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert verifies_peer(context, server_side=False)
    context.check_hostname = False
    assert not verifies_peer(context, server_side=False), "it may be anybody whose certificate is good"
    assert verifies_peer(context, server_side=True), "a client's name is what its certificate says"
    for mode in (ssl.CERT_OPTIONAL, ssl.CERT_NONE):
        context.verify_mode = mode
        assert not verifies_peer(context, server_side=False)
        assert not verifies_peer(context, server_side=True)


def shake_hands(client_side, server_side, own=None, *, session=None):
    """What both sides know after a handshake over a socketpair, client first, and the client's session."""
    left, right = socket.socketpair()
    answers = []

    def answer():
        with server_side.wrap_socket(right, server_side=True) as tls:
            answers.append(tls_info(tls, own))
            tls.sendall(b"x")  # behind the ticket, without which a session cannot be resumed

    with left, right:
        left.settimeout(PATIENCE)
        right.settimeout(PATIENCE)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with client_side.wrap_socket(left, server_hostname="localhost", session=session) as tls:
            told = tls_info(tls)
            assert tls.recv(1) == b"x"
            kept = tls.session
            assert tls.session_reused == (session is not None)
        join(thread)
    return told, *answers, kept


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
class TestWhatAHandshakeCameTo:
    @pytest.fixture
    def sides(self, trusting, pem, version):
        server_tls = ServerTls.load(pem)
        trusting.maximum_version = version
        return trusting, server_tls.context, server_tls.certificate

    def test_version_and_names(self, sides, version, pem):
        client, server, _ = shake_hands(*sides)
        assert client.version == server.version == version.name.replace("_", ".")
        assert client.verified
        assert client.certificate == first_certificate(pem)
        assert (server.verified, server.certificate) == (False, None)

    def test_both_sides_have_the_same_bindings(self, sides, version):
        client, server, _ = shake_hands(*sides)
        assert client.bindings == server.bindings
        expected = ["tls-unique"] * (version is ssl.TLSVersion.TLSv1_2) + ["tls-server-end-point"]
        assert [binding.type for binding in client.bindings] == expected
        assert client.bindings[-1].octets == hashlib.sha256(client.certificate).digest(), "it is signed with SHA-256"
        assert all(binding.octets for binding in client.bindings)

    def test_only_the_certificate_is_the_same_for_each_channel(self, sides, version):
        (one, _, _), (other, _, _) = shake_hands(*sides), shake_hands(*sides)
        assert set(one.bindings).intersection(other.bindings) == {one.bindings[-1]}

    def test_a_resumed_session_has_no_tls_unique(self, sides, version):
        """There, its value is that of whoever was in the middle of the first one (RFC 7627 section 1)."""
        before, _, session = shake_hands(*sides)
        client, server, _ = shake_hands(*sides, session=session)
        assert client.bindings == server.bindings == before.bindings[-1:]
        assert client.verified

    def test_a_server_that_does_not_know_its_certificate(self, sides):
        context, server_side, _ = sides
        client, server, _ = shake_hands(context, server_side)
        assert server.bindings == client.bindings[:-1]

    @pytest.mark.parametrize(
        "asks,shown", [(ssl.CERT_REQUIRED, True), (ssl.CERT_OPTIONAL, True), (ssl.CERT_OPTIONAL, False)]
    )
    def test_the_certificate_of_the_client(self, sides, authority, asks, shown):
        client_side, server_side, own = sides
        server_side.verify_mode = asks
        authority.configure_trust(server_side)
        if shown:
            authority.issue_cert("ann@example.org").configure_cert(client_side)
        _, server, _ = shake_hands(client_side, server_side, own)
        assert server.verified == shown
        assert (server.certificate is not None) == shown
        assert server.bindings[-1].octets == hashlib.sha256(own).digest(), "the server's certificate, not the client's"

    def test_a_client_that_does_not_look(self, sides):
        _, *server_side = sides
        careless = client_context()
        careless.check_hostname = False
        careless.verify_mode = ssl.CERT_NONE
        client, _, _ = shake_hands(careless, *server_side)
        assert not client.verified
        assert client.certificate is not None
        assert client.bindings, "a false server is noticed by them"


class TestServerTls:
    def test_key_and_certificate_in_one_file(self, pem):
        loaded = ServerTls.load(pem)
        assert loaded.context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert loaded.context.protocol is ssl.PROTOCOL_TLS_SERVER
        assert loaded.certificate == first_certificate(pem)
        assert "certificate" not in repr(loaded)

    def test_in_two(self, authority, tmp_path):
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(tmp_path / "key")
        for blob in issued.cert_chain_pems:
            blob.write_to_path(tmp_path / "chain", append=True)
        loaded = ServerTls.load(tmp_path / "chain", tmp_path / "key")
        assert loaded.certificate == ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        assert ServerTls.load(str(tmp_path / "chain"), str(tmp_path / "key")).certificate == loaded.certificate

    def test_the_first_of_several_certificates_is_the_own_one(self, authority, tmp_path):
        issued = authority.create_child_ca().issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
        assert len(issued.cert_chain_pems) == 2
        own = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        assert ServerTls.load(tmp_path / "pem").certificate == own

    def test_clients_are_asked_for_certificates_if_somebody_is_trusted_to_issue_them(self, authority, pem, tmp_path):
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        loaded = ServerTls.load(pem, client_ca=tmp_path / "ca.pem")
        assert loaded.context.verify_mode is ssl.CERT_OPTIONAL
        assert loaded.context.get_ca_certs()
        assert ServerTls.choose("implicit", certificate=pem, client_ca=tmp_path / "ca.pem").context.get_ca_certs()
        alone = ServerTls.load(pem)
        assert (alone.context.verify_mode, alone.context.get_ca_certs()) == (ssl.CERT_NONE, [])

    @pytest.mark.parametrize("octets", [None, b"", b"\xff\0", b"-----BEGIN CERTIFICATE-----\n"])
    def test_a_file_that_is_none(self, tmp_path, octets):
        if octets is not None:
            (tmp_path / "pem").write_bytes(octets)
        with pytest.raises(OSError):  # noqa: PT011 - any
            ServerTls.load(tmp_path / "pem")

    def test_a_key_of_another_certificate(self, authority, tmp_path):
        one, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
        one.cert_chain_pems[0].write_to_path(tmp_path / "chain")
        other.private_key_pem.write_to_path(tmp_path / "key")
        with pytest.raises(ssl.SSLError):
            ServerTls.load(tmp_path / "chain", tmp_path / "key")

    def test_no_certificate_in_a_file(self, tmp_path):
        (tmp_path / "empty").write_bytes(b"nothing \xff of the kind")
        assert first_certificate(tmp_path / "empty") is None

    @pytest.mark.parametrize("mode", ["implicit", "starttls"])
    def test_what_follows_from_the_arguments(self, pem, mode):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert ServerTls.choose("none", certificate=None, key=None, context=None) is None
        assert ServerTls.choose(mode, certificate=pem, key=None, context=None).certificate == first_certificate(pem)
        assert ServerTls.choose(mode, certificate=None, key=None, context=context) == ServerTls(context, None)

    @pytest.mark.parametrize("mode", ["implicit", "starttls", "none", "Implicit", True, None])
    def test_what_does_not_fit_together(self, pem, mode):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrong = [(pem, None, context)]
        wrong += [(None, None, None)] if mode != "none" else [(pem, None, None), (None, None, context)]
        for certificate, key, given in wrong:
            with pytest.raises(ValueError, match=r"^(TLS needs|a certificate or a context|tls must be)"):
                ServerTls.choose(mode, certificate=certificate, key=key, context=given)

    def test_a_server_does_not_begin_to_listen_without_what_it_needs(self, store):
        with pytest.raises(ValueError, match="TLS needs"):
            serve(Service(store=store, authenticator=OneUser(), failure_delay=0), tls="implicit")


def test_a_handshake_that_is_never_answered(trusting):
    with Scripted(b"") as peer, pytest.raises(TimedOut, match="handshake"):
        connect("localhost", peer.port, context=trusting, timeout=1)


def test_the_server_ends_tls_before_it_ends_the_stream(secure, trusting):
    """Else a client cannot tell its end from one that an attacker made (RFC 8446 section 6.1)."""
    with socket.create_connection(secure.address, PATIENCE) as plain:
        plain.settimeout(PATIENCE)
        tls = trusting.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        with tls:
            tls.sendall(b"QUIT\r\nand octets that nobody reads\r\n")
            octets = b""
            while piece := tls.recv(1000):
                octets += piece
    assert octets.count(b"+OK") == 2


def test_the_client_ends_tls_before_it_ends_the_stream(authority, trusting):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    seen = []

    def run():
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as tls:
            tls.sendall(GREETING)
            seen.append(tls.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        connect("localhost", listener.getsockname()[1], context=trusting).close()
        join(thread)
    assert seen == [b""]


# ----------------------------------------------------------------------------------------------- a server


def test_a_client_that_hangs_up_deletes_nothing_and_holds_nothing(server, store):
    with log_in_raw(server) as sock:
        sock.sendall(b"DELE 1\r\n")
        assert sock.recv(100).startswith(b"+OK")
    assert store.closed.wait(PATIENCE)
    assert store.commits == []


def test_half_close_everything_is_answered(server):
    with log_in_raw(server) as sock:
        sock.sendall(b"STAT\r\nNOOP\r\nQUIT\r\n")
        sock.shutdown(socket.SHUT_WR)
        octets = b""
        while piece := sock.recv(1000):
            octets += piece
    assert octets.count(b"+OK") == 3


def test_half_close_under_tls_everything_is_answered(secure, trusting):
    channel = TlsChannel(trusting, hostname="localhost")
    with socket.create_connection(secure.address, PATIENCE) as sock:
        while not channel.handshake():
            sock.sendall(channel.take())
            channel.feed(sock.recv(65_536))
        said = b"USER ann\r\nPASS tanstaaf\r\nRETR 1\r\nRETR 2\r\nNOOP\r\n"
        sock.sendall(channel.take() + channel.write(said) + channel.close())
        while octets := sock.recv(65_536):
            channel.feed(octets)
        answers = channel.read()
    assert answers.count(b"\r\n.\r\n") == 2
    assert answers.count(b"+OK") == 6


def test_the_last_answer_arrives_although_octets_are_unread(server):
    with log_in_raw(server) as sock:
        sock.sendall(b"QUIT\r\n" + b"NOOP\r\n" * 100_000)
        assert sock.recv(100) == b"+OK bye\r\n"
        assert sock.recv(100) == b""


def test_too_many_sessions_under_tls(store, pem, trusting):
    service = Service(store=store, authenticator=OneUser(), failure_delay=0, max_sessions=1)
    with serve(service, tls="implicit", certificate=pem) as server:
        port = server.address[1]
        with connect("localhost", port, context=trusting), pytest.raises(ConnectionLost):
            connect("localhost", port, context=trusting)


def test_a_client_that_is_gone_before_it_is_refused(store, monkeypatch):
    def gone(*_):
        raise ConnectionLost("gone")

    with serve(Service(store=store, authenticator=OneUser(), failure_delay=0, max_sessions=0)) as server:
        monkeypatch.setattr(SocketDriver, "send", gone)
        with socket.create_connection(server.address, PATIENCE) as sock:
            assert sock.recv(100) == b""
        monkeypatch.undo()
        with pytest.raises(SessionRefused):
            here(server)


def test_no_thread_for_a_session(server, monkeypatch, caplog):
    starting = threading.Thread.start

    def start(thread):
        if thread.name == "pop3proto-session":
            raise RuntimeError("can't start new thread")
        starting(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(SessionRefused):
        here(server)
    monkeypatch.undo()
    with here(server) as client:
        assert client.capa() is not None
    assert "can't start new thread" in caplog.text


def test_accepting_may_fail_for_a_while(store, monkeypatch, caplog):
    accepting = socket.socket.accept
    failures = [OSError(24, "Too many open files")]

    def accept(listener):
        if failures:
            raise failures.pop()
        return accepting(listener)

    monkeypatch.setattr(socket.socket, "accept", accept)
    with serve(Service(store=store, authenticator=OneUser(), failure_delay=0)) as server, here(server) as client:
        assert client.capa() is not None
    assert "Too many open files" in caplog.text


def test_how_sessions_end_is_logged_without_a_traceback(server, caplog):
    with caplog.at_level(logging.INFO, "pop3proto"):
        with raw(server) as sock:
            sock.sendall(b"STLS\r\nCAPA\r\n")
            assert sock.recv(100) == b""
        server.close()
    [record] = caplog.records
    told = record.getMessage()
    assert " from 127.0.0.1: ended: user=- method=- retrieved=0 deleted=0 octets=" in told
    assert " end=protocol-error: the client sent data after STLS" in told


def test_closing_ends_all_sessions_and_frees_all_locks(store):
    server = serve(Service(store=store, authenticator=OneUser(), deadlines=BRIEF))
    with log_in_raw(server) as one, raw(server) as other:
        one.sendall(b"DELE 1\r\nRETR")
        assert one.recv(100).startswith(b"+OK")
        waiting = threading.Thread(target=server.wait, daemon=True)
        waiting.start()
        server.close()
        server.close()
        join(waiting)
        assert (one.recv(100), other.recv(100)) == (b"", b"")
    store.check_all_is_closed()
    assert store.commits == []


def test_closing_ends_a_session_in_the_middle_of_a_write(store):
    store.contents = {1: b"x" * 20_000_000}
    reading = threading.Event()
    opening = FakeStore.note

    def note(self, call):
        opening(self, call)
        if call == "open 1":
            reading.set()

    store.note = note.__get__(store)
    server = serve(Service(store=store, authenticator=OneUser(), deadlines=BRIEF))
    with log_in_raw(server) as sock:
        sock.sendall(b"RETR 1\r\n")
        assert reading.wait(PATIENCE)
        server.close()
    store.check_all_is_closed()


def test_closing_ends_a_handshake_that_never_comes(secure, monkeypatch):
    shaking = threading.Event()
    handshake = TlsChannel.handshake

    def shake_hands(self):
        shaking.set()
        return handshake(self)

    monkeypatch.setattr(TlsChannel, "handshake", shake_hands)
    with socket.create_connection(secure.address, PATIENCE):
        assert shaking.wait(PATIENCE)
        secure.close()


def test_twenty_clients_at_once():
    users = [f"user{number}" for number in range(20)]
    store = MemoryStore({user: [user.encode() + b"\n" + DOS, UNIX] for user in users})
    together = threading.Barrier(len(users))
    wrong = []

    def run(user):
        try:
            with here(server) as client:
                together.wait(PATIENCE)
                client.login(user, "tanstaaf")
                assert [body for _, body in client.retrieve([2, 1])] == [
                    as_sent(UNIX),
                    as_sent(user.encode() + b"\n" + DOS),
                ]
                client.dele(1)
        except BaseException as error:
            wrong.append(error)
            raise

    with serve(Service(store=store, authenticator=Anybody(blocks=False))) as server:
        threads = [threading.Thread(target=run, args=(user,), daemon=True) for user in users]
        for thread in threads:
            thread.start()
        join(*threads)
    assert wrong == []
    assert all(store.messages(user) == [UNIX] for user in users)


def test_it_listens_where_it_is_told():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    service = Service(store=MemoryStore(), authenticator=OneUser(), failure_delay=0)
    try:
        server = serve(service, "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server, here(server) as client:
        assert server.address[0] == "::1"
        client.login("ann", "tanstaaf")


# ----------------------------------------------------------------------------------------------- streams


class Unknown(Operation[None]):
    pass


def one(operation):
    return (yield from operation)


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with right:
        stream = SocketStream(left)
        yield stream, right
        stream.close()


def test_operations_that_it_does_not_know(pair):
    with pytest.raises(LocalProtocolError, match="Unknown"):
        pair[0].perform(one(Unknown()))


def test_a_driver_without_tls():
    left, right = socket.socketpair()
    with left, right, pytest.raises(LocalProtocolError, match="no TLS context"):
        run_blocking(SocketDriver(left).perform(one(StartTls())))


def test_a_coroutine_that_suspends():
    with pytest.raises(RuntimeError, match="has suspended"):
        run_blocking(asyncio.sleep(0))


def test_a_deadline_that_has_passed(pair):
    stream, peer = pair
    peer.sendall(b"x")
    for operation in (Read(0.0), Write(b"x", 0.0)):
        with pytest.raises(TimedOut, match="has passed"):
            stream.perform(one(operation))
    assert stream.perform(one(Read())) == b"x"


def test_a_procedure_may_go_on_after_a_failure(pair):
    def procedure():
        try:
            yield from Read(0.0)
        except TimedOut:
            yield from Write(b"late")
        return "done"

    assert pair[0].perform(procedure()) == "done"
    assert pair[1].recv(10) == b"late"


def test_a_peer_that_is_gone(pair):
    stream, peer = pair
    peer.close()
    assert stream.perform(one(Read())) == b""
    with pytest.raises(ConnectionLost, match="while something was sent"):
        stream.perform(one(Write(b"x")))


def test_a_peer_that_takes_nothing(pair):
    def fill():
        while True:
            yield from Write(b"x" * 1_000_000)

    stream = SocketStream(pair[0]._driver._socket, stall=0.02)
    with pytest.raises(TimedOut, match="did not take"):
        stream.perform(fill())


@pytest.mark.parametrize(
    "failure,outcome",
    [(ConnectionResetError(), b""), (OSError("the cable is cut"), ConnectionLost)],
)
def test_reading_that_fails(pair, failure, outcome):
    stream, _ = pair

    class Failing:
        def settimeout(self, seconds):
            pass

        def recv(self, size):
            raise failure

    driver = stream._driver
    kept, driver._socket = driver._socket, Failing()
    try:
        if outcome == b"":
            assert stream.perform(one(Read())) == b""
        else:
            with pytest.raises(outcome, match="the cable is cut"):
                stream.perform(one(Read()))
    finally:
        driver._socket = kept


def test_last_words_go_out_before_the_handshake(authority, pair):
    tls = ServerTls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    stream, peer = pair
    driver = SocketDriver(stream._driver._socket, server_channel(tls))
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLost, match="handshake failed"):
        run_blocking(driver.perform(one(StartTls(b"+OK begin\r\n"))))
    assert peer.recv(11) == b"+OK begin\r\n"


def test_lingering_has_an_end(pair, monkeypatch):
    stream, peer = pair
    monkeypatch.setattr(_driver, "LINGER", 0.02)
    peer.sendall(b"NOOP\r\n")
    run_blocking(stream._driver.linger())
    assert peer.recv(10) == b""
    monkeypatch.setattr(_driver, "LINGER", 0)
    run_blocking(stream._driver.linger())


def test_an_interrupted_stream_does_nothing_any_more(pair):
    stream, peer = pair
    peer.sendall(b"x")
    stream.interrupt()
    for operation in (Read(), Write(b"x")):
        with pytest.raises(ConnectionLost, match="given up"):
            stream.perform(one(operation))
    assert peer.recv(10) == b""


def test_an_interrupted_stream_says_nothing_in_clear(secure, trusting):
    with socket.create_connection(secure.address, PATIENCE) as plain:
        stream = SocketStream(plain.dup(), client_channel(trusting, "localhost"))
        stream.perform(one(StartTls()))
        assert stream.perform(one(Read())).startswith(b"+OK")
        stream.interrupt()
        with pytest.raises(ConnectionLost, match="given up"):
            stream.perform(one(Write(b"PASS tanstaaf\r\n")))
        assert stream._driver._tls is not None
        stream.close()


# -------------------------------------------------------------------------------------- what a caller may do


@pytest.mark.parametrize("port", [None, 1])
@pytest.mark.parametrize("tls", [True, False, None, "STARTTLS", "Implicit", ""])
def test_what_is_no_kind_of_tls_is_not_taken_for_none(tls, port):
    with pytest.raises(ValueError, match=r"^tls must be one of 'implicit', 'starttls', 'none', not "):
        connect("127.0.0.1", port, tls=tls)


@pytest.mark.parametrize("timeout", [1e12, float("inf")])
def test_a_timeout_may_be_longer_than_a_system_can_wait(timeout):
    with (
        serve(Service(store=FakeStore(), authenticator=Anybody())) as server,
        connect(*server.address, tls="none", timeout=timeout, connect_timeout=timeout) as client,
    ):
        client.capa()


def test_a_client_that_is_closed_by_another_thread():
    with Scripted(GREETING, then="silence") as server:
        client = connect("127.0.0.1", server.port, tls="none", timeout=None)
        failures = []

        def ask():
            try:
                client.capa()
            except ConnectionLost as error:
                failures.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        while not server.heard:
            assert thread.is_alive()
        client.close()
        join(thread)
        assert len(failures) == 1
        with pytest.raises(Broken):
            client.noop()


def test_a_server_that_is_closed_by_a_session_of_its_own():
    class Suicidal(OneUser):
        blocks = True

        def check_password(self, user, password, session):
            server.close()
            return False

    with serve(Service(store=FakeStore(), authenticator=Suicidal(), deadlines=BRIEF, failure_delay=0)) as server:
        with pytest.raises(LoginFailed), connect(*server.address, tls="none") as client:
            client.login("ann", "x")
        server.wait()
    # Leaving the block has closed it once more, and waited for the session that closed it first.


def test_a_quit_that_comes_while_the_client_is_used_leaves_it_open():
    server = serve(Service(store=FakeStore(UNIX), authenticator=OneUser(), failure_delay=0))
    with server, connect(*server.address, tls="none") as client:
        client._take(this := object())
        with pytest.raises(Busy):
            client.quit()
        client._release(this)
        client.login("ann", "tanstaaf")
