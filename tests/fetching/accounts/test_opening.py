"""Sessions of accounts: TLS, pins, proxies, programs, logins; over sockets, with the kit's servers."""

import asyncio as standard_asyncio
import contextlib
import hashlib
import re
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from pop3proto import CertificateError, CommandFailed, ConnectionLost, LocalProtocolError, LoginFailed, TimedOut
from pop3proto._io.pins import fingerprints, parse_pin, pin_server
from pop3proto._io.tls import client_context
from pop3proto.asyncio import connect as asyncio_connect
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import connect_over
from pop3proto.blocking.interruption import Interruption
from pop3proto.core.commands import Auth, Pass, User
from pop3proto.core.states import State
from pop3proto.fetching.accounts import (
    Access,
    AccountError,
    FromCommand,
    FromFile,
    SecretSource,
    SocksProxy,
    connect_account,
    explain_failure,
    login,
    open_session,
    tls_context,
)
from pop3proto.fetching.accounts.opening import connect_interruptibly
from pop3proto.sasl import Password, Token
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import CloseAfter
from tests.helpers.cli_servers import HangUp, Scripted
from tests.helpers.processes import PATIENCE, join

MAIL = {"ann": [b"Subject: one\n\none\n"]}
ANN = Password("ann", PASSWORD)


def at(server, **settings):
    host, port = getattr(server, "address", None) or (server.host, server.port)
    return Access(
        name="a", user="ann", **{"host": host, "port": port, "tls": getattr(server, "tls", "none"), **settings}
    )


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def leaf(authority):
    return authority.issue_cert("127.0.0.1", "localhost")


@pytest.fixture
def ca_file(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.fixture
def served(leaf):
    with pop3_server(MAIL, tls="implicit", context=context_of(leaf)) as server:
        yield server


def context_of(leaf):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def pins_of(leaf):
    """The pins of a certificate, made by another library: its own, and that of its public key."""
    certificate = load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return [hashlib.sha256(octets).digest() for octets in (certificate.public_bytes(Encoding.DER), key)]


def check(client):
    """The session works to its end."""
    login(client, at_any, ANN)
    assert client.stat().count == 1
    client.quit()


at_any = Access(name="a", user="ann", host="h")


# ---------------------------------------------------------------------------------------------------- TLS


def test_an_authority_of_the_account_is_trusted(served, ca_file):
    check(connect_account(at(served, ca_file=ca_file)))
    with pytest.raises(CertificateError, match="was not accepted"):
        connect_account(at(served))
    assert all(session.commands == [] for session in served.sessions[1:])


@pytest.mark.parametrize("tls", ["none", "implicit"])
def test_another_thread_ends_it_while_the_server_is_silent(tls):
    interruption = Interruption()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        access = Access(name="a", user="ann", host=host, port=port, tls=tls, timeout=3_600)
        failures = []

        def connect() -> None:
            with pytest.raises(ConnectionLost) as raised:
                connect_interruptibly(access, interruption)
            failures.append(raised.value)

        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        listener.settimeout(PATIENCE)
        with listener.accept()[0]:
            interruption.set()
            join(thread)
    assert [type(failure) for failure in failures] == [ConnectionLost]


def test_a_client_certificate_is_shown(authority, leaf, ca_file, tmp_path):
    class Users(MemoryAuthenticator):
        def check_certificate(self, certificate, authzid, session, /):
            return authzid

    context = context_of(leaf)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ann = authority.issue_cert("ann@example.org")
    ann.cert_chain_pems[0].write_to_path(tmp_path / "ann.pem")
    ann.private_key_pem.write_to_path(tmp_path / "ann.key")
    with pop3_server(MAIL, tls="implicit", context=context, authenticator=Users({})) as server:
        access = at(
            server,
            ca_file=ca_file,
            certificate=tmp_path / "ann.pem",
            certificate_key=tmp_path / "ann.key",
            login="EXTERNAL",
        )
        with open_session(access, SecretSource(access)) as client:
            assert client.stat().count == 1
        with pytest.raises(ConnectionLost), open_session(at(server, ca_file=ca_file), SecretSource(access)) as client:
            client.stat()


def test_files_that_cannot_be_used_are_named(leaf, tmp_path):
    text, key = tmp_path / "text", tmp_path / "key"
    text.write_text("no certificate")
    pem = tmp_path / "pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(pem)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    key.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
    )
    nowhere = tmp_path / "nowhere"
    for settings, why in [
        ({"ca_file": nowhere}, f"cannot read certificate authorities from {nowhere}: No such file or directory"),
        ({"ca_file": text}, f"{text} holds no certificates (PEM) of authorities"),
        ({"certificate": nowhere}, f"cannot read the client certificate {nowhere}: No such file or directory"),
        ({"certificate": text}, f"there is no certificate (PEM) in {text}"),
        ({"certificate": pem, "certificate_key": key}, f"the private key in {key} is encrypted"),
    ]:
        with pytest.raises(AccountError, match=re.escape(why)):
            tls_context(attrs.evolve(at_any, **settings))


# --------------------------------------------------------------------------------------------------- pins


def test_a_pin_is_read_as_it_may_be_written():
    digest = bytes(range(32))
    colons = digest.hex(":").upper()
    for text in (digest.hex(), colons, b64encode(digest).decode(), b64encode(digest).decode().rstrip("=")):
        assert parse_pin(f"sha256:{text}") == digest
    for text in ("", digest.hex(), f"sha1:{digest.hex()}", f"sha256:{digest.hex()}0", f"sha256:{'z' * 64}"):
        with pytest.raises(ValueError, match="a pin is sha256:"):
            parse_pin(text)


@pytest.mark.parametrize("key", [trustme.KeyType.RSA, trustme.KeyType.ECDSA])
def test_the_digests_of_a_certificate_are_those_of_another_library(authority, key):
    leaf = authority.issue_cert("pop.example.org", key_type=key)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    assert fingerprints(der) == {*pins_of(leaf)}
    assert fingerprints(der[:-1]) == {hashlib.sha256(der[:-1]).digest()}, "no certificate has no key"


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("only", [False, True])
def test_a_pin_of_the_certificate_or_its_key_is_enough(served, leaf, ca_file, which, only):
    other = bytes(32)
    settings = {"pin_only": True} if only else {"ca_file": ca_file}
    client = connect_account(at(served, pin=(other, pins_of(leaf)[which]), **settings))
    assert client.tls.verified
    check(client)
    assert any(isinstance(command, Auth | Pass) for command in served.sessions[0].commands)


def test_a_pin_needs_no_name(served, leaf):
    context = client_context()
    pin_server(context, pins_of(leaf), only=True)
    client = connect_over(socket.create_connection((served.host, served.port)), context=context)
    assert client.tls.verified
    check(client)


@pytest.mark.parametrize("only", [False, True])
def test_without_a_pin_that_fits_nothing_is_sent(served, leaf, ca_file, only):
    settings = {"pin_only": True} if only else {"ca_file": ca_file}
    with pytest.raises(CertificateError) as failed:
        connect_account(at(served, pin=(bytes(32),), **settings))
    shown = f"none of the pins fits; it is sha256:{pins_of(leaf)[0].hex()}; if the server has a new certificate, "
    assert shown in str(failed.value)
    assert all(session.commands == [] for session in served.sessions)


def test_a_pin_does_not_replace_verification_unless_it_is_said(served, leaf):
    with pytest.raises(CertificateError, match=r"self-signed|local issuer"):
        connect_account(at(served, pin=tuple(pins_of(leaf))))


def test_a_pin_holds_behind_stls(leaf, ca_file):
    with pop3_server(MAIL, tls="starttls", context=context_of(leaf)) as server:
        check(connect_account(at(server, ca_file=ca_file, pin=tuple(pins_of(leaf)))))
        with pytest.raises(CertificateError):
            connect_account(at(server, ca_file=ca_file, pin=(bytes(32),)))
        assert [command.verb for command in server.sessions[-1].commands] == ["STLS"]


def test_a_pin_holds_when_the_client_connects_again(authority, leaf, ca_file):
    """The server hangs up after a refusal, and another takes its place, with a certificate that is as good."""
    other = context_of(authority.issue_cert("localhost"))
    context = context_of(leaf)
    names = []

    def change(sock, name, _):
        names.append(name)
        if len(names) > 1:
            sock.context = other

    context.sni_callback = change
    with pop3_server(MAIL, tls="implicit", context=context, faults=[CloseAfter("AUTH", refused=True)]) as server:
        access = at(server, host="localhost", ca_file=ca_file, pin=tuple(pins_of(leaf)))
        client = connect_account(access)
        with pytest.raises(CertificateError, match="none of the pins fits"):
            login(client, access, Password("ann", "wrong"))
        assert len(names) == 2, "it has connected again"
        names.clear()
        unpinned = connect_account(attrs.evolve(access, pin=()))
        with pytest.raises(LoginFailed):
            login(unpinned, access, Password("ann", "wrong"))
        unpinned.close()


def test_pins_hold_for_other_adapters_too(served, leaf, authority):
    async def connected(pins):
        context = client_context()
        authority.configure_trust(context)
        pin_server(context, pins)
        async with asyncio_connect(served.host, served.port, context=context) as client:
            return client.tls.verified

    assert standard_asyncio.run(connected(pins_of(leaf)))
    with pytest.raises(CertificateError):
        standard_asyncio.run(connected([bytes(32)]))
    with pytest.raises(ValueError, match="at least one pin"):
        pin_server(client_context(), [])


# --------------------------------------------------------------------------------------------------- STLS

CAPA = b"+OK\r\nUSER\r\nUIDL\r\n.\r\n"
CAPA_STLS = b"+OK\r\nUSER\r\nSTLS\r\n.\r\n"
TLS_OR_CLEAR = {"tls": "starttls", "cleartext": "always"}


def test_stls_is_used_where_it_is_announced(leaf, ca_file):
    with pop3_server(MAIL, tls="starttls", context=context_of(leaf)) as server:
        client = connect_account(at(server, ca_file=ca_file, **TLS_OR_CLEAR))
        assert client.tls is not None
        check(client)
        [session] = server.sessions
        assert [command.verb for command in session.commands[:3]] == ["CAPA", "STLS", "CAPA"]


def test_without_stls_it_goes_on_in_clear_over_the_same_connection_if_that_is_allowed():
    with Scripted({"CAPA": CAPA}) as server:
        access = at(server, **TLS_OR_CLEAR)
        with open_session(access, SecretSource(attrs.evolve(access, password=secret()))) as client:
            assert client.tls is None
    assert server.heard == ["CAPA", "USER ann", f"PASS {PASSWORD}", "CAPA", "QUIT"]


def test_where_capa_is_not_known_stls_is_tried():
    with Scripted({"CAPA": b"-ERR what?\r\n", "STLS": b"-ERR what?\r\n"}) as server:
        client = connect_account(at(server, **TLS_OR_CLEAR))
        login(client, at_any, ANN)
        client.quit()
    assert server.heard == ["CAPA", "STLS", "CAPA", "USER ann", f"PASS {PASSWORD}", "QUIT"]


def test_a_server_that_hangs_up_on_capa_is_connected_to_again():
    with Scripted({"CAPA": HangUp(b""), "STLS": b"-ERR what?\r\n"}) as server:
        client = connect_account(at(server, **TLS_OR_CLEAR))
        login(client, at_any, ANN)
        client.quit()
    assert server.heard == ["CAPA", "STLS", "USER ann", f"PASS {PASSWORD}", "QUIT"]


@pytest.mark.parametrize("answer", [b"-ERR not now\r\n", HangUp(b"+OK begin\r\n")])
def test_where_stls_is_announced_it_must_work(answer):
    with Scripted({"CAPA": CAPA_STLS, "STLS": answer}) as server, pytest.raises((CommandFailed, ConnectionLost)):
        connect_account(at(server, **TLS_OR_CLEAR))
    assert server.heard == ["CAPA", "STLS"], "nothing follows, over this connection or another"


@pytest.mark.parametrize("cleartext", ["never", "loopback"])
def test_if_clear_text_is_not_allowed_stls_must_be_there(cleartext):
    with Scripted({"CAPA": CAPA}) as server:
        access = at(server, tls="starttls", cleartext=cleartext)
        with pytest.raises(CommandFailed) as failed:
            connect_account(access)
        assert "without TLS, others on the network" in explain_failure(access, failed.value)
    assert server.heard == ["STLS"]


def test_with_pins_there_is_no_way_without_tls():
    with Scripted({"CAPA": CAPA}) as server, pytest.raises(CommandFailed):
        connect_account(at(server, **TLS_OR_CLEAR, pin=(bytes(32),)))
    assert server.heard == ["STLS"]


def secret():
    return FromCommand((sys.executable, "-c", f"print({PASSWORD!r})"))


# -------------------------------------------------------------------------------------------- the way there


class Socks:
    """A SOCKS5 server (RFC 1928, RFC 1929) that connects to what it is told, or to one port for all names.

    Args:
        port: of the server behind it.
        user: and password that it wants; None: none.
        reply: what it answers; not 0: it connects to nothing.
    """

    def __init__(self, port, user=None, reply=0):
        self.port, self.user, self.reply = port, user, reply
        self.asked = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._threads = [threading.Thread(target=self._run, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        join(*self._threads)

    def _run(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            thread = threading.Thread(target=self._talk, args=[sock], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _talk(self, sock):
        with sock, sock.makefile("rb") as octets:
            version, count = octets.read(2)
            assert version == 5
            methods = octets.read(count)
            if self.user is None:
                assert 0 in methods
                sock.sendall(b"\5\0")
            else:
                assert 2 in methods
                sock.sendall(b"\5\2")
                assert octets.read(1) == b"\1"
                given = tuple(octets.read(octets.read(1)[0]).decode() for _ in range(2))
                sock.sendall(b"\1\0" if given == self.user else b"\1\1")
                if given != self.user:
                    return
            assert octets.read(3) == b"\5\1\0"
            kind = octets.read(1)[0]
            length = {1: 4, 3: None}[kind] or octets.read(1)[0]
            host = octets.read(length)
            self.asked.append(
                (host.decode() if kind == 3 else socket.inet_ntoa(host), int.from_bytes(octets.read(2), "big"))
            )
            sock.sendall(bytes([5, self.reply, 0, 1]) + bytes(6))
            if self.reply == 0:
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as other:
                    relay(sock, other)


def relay(one, other):
    """Carry octets both ways until both ends have ended."""

    def carry(source, target):
        with contextlib.suppress(OSError):
            while octets := source.recv(65_536):
                target.sendall(octets)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=carry, args=[one, other], daemon=True)
    thread.start()
    carry(other, one)
    join(thread)


class TestProxy:
    def test_the_proxy_looks_up_the_name_and_tls_goes_to_the_server(self, leaf, served, ca_file):
        with Socks(served.port) as socks:
            access = at(served, host="localhost", port=995, ca_file=ca_file, proxy=SocksProxy(*socks.address))
            check(connect_account(access))
            assert socks.asked == [("localhost", 995)]

    def test_a_user_and_password(self, served, ca_file):
        with Socks(served.port, ("u", "p")) as socks:
            check(connect_account(at(served, ca_file=ca_file, proxy=SocksProxy(*socks.address, "u", "p"))))
            with pytest.raises(ConnectionLost, match="over the SOCKS proxy") as failed:
                connect_account(at(served, ca_file=ca_file, proxy=SocksProxy(*socks.address, "u", "Marker")))
            assert "Marker" not in str(failed.value)

    def test_it_refuses(self, served):
        refused = pytest.raises(ConnectionLost, match=r"no connection to 127\.0\.0\.1, port .*refused")
        with Socks(served.port, reply=5) as socks, refused:
            connect_account(at(served, proxy=SocksProxy(*socks.address)))

    def test_it_is_not_there(self, served):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            proxy = SocksProxy(*nobody.getsockname())
            with pytest.raises(ConnectionLost, match=f"over {proxy}: Could not connect|over {proxy}: .*refused"):
                connect_account(at(served, proxy=proxy))

    def test_it_is_silent(self, served):
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimedOut, match="in time"):
            connect_account(at(served, proxy=SocksProxy(*silent.getsockname()), timeout=0.2))

    def test_that_it_is_on_this_machine_says_nothing_of_the_server(self):
        with pop3_server(MAIL, mechanisms=(), apop=False) as server, Socks(server.port) as socks:
            access = at(server, proxy=SocksProxy(*socks.address))
            client = connect_account(access)
            with pytest.raises(LocalProtocolError, match="no usable login method"):
                login(client, access, ANN)
            client.close()
            check(connect_account(attrs.evolve(access, cleartext="always")))
            assert not any(isinstance(command, User) for command in server.sessions[0].commands)

    def test_a_login_goes_on_over_another_connection(self, leaf, ca_file):
        faults = [CloseAfter("AUTH", refused=True)]
        with ExitStack() as stack:
            server = stack.enter_context(pop3_server(MAIL, tls="implicit", context=context_of(leaf), faults=faults))
            socks = stack.enter_context(Socks(server.port))
            access = at(server, ca_file=ca_file, proxy=SocksProxy(*socks.address))
            client = connect_account(access)
            with pytest.raises(LoginFailed):
                login(client, access, Password("ann", "wrong"))
            assert len(socks.asked) > 1
            client.close()

    def test_without_the_extra_it_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "python_socks", None)
        with pytest.raises(AccountError, match=r"install pop3proto with the extra \[socks\]"):
            connect_account(attrs.evolve(at_any, proxy=SocksProxy("127.0.0.1", 1)))


NETCAT = """
import os, socket, sys, threading
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
if len(sys.argv) > 3:
    open(sys.argv[3], "a").write(f"{os.getpid()}\\n")
def up():
    while octets := os.read(0, 65536):
        sock.sendall(octets)
    sock.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while octets := sock.recv(65536):
    os.write(1, octets)
"""


def netcat(server, *more):
    return (sys.executable, "-c", NETCAT, server.host, str(server.port), *map(str, more))


def runs(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


class TestProgram:
    def test_its_standard_input_and_output_are_the_connection(self, served, ca_file, tmp_path):
        access = at(served, host="localhost", ca_file=ca_file, via=netcat(served, tmp_path / "pids"))
        check(connect_account(access))
        [pid] = (tmp_path / "pids").read_text().split()
        assert not runs(pid), "it has ended with the session"

    def test_one_that_does_not_end_is_ended(self, tmp_path, monkeypatch):
        monkeypatch.setattr("pop3proto.fetching.accounts.connections._PATIENCE", 0.2)
        code = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        code += "open(sys.argv[1], 'w').write(str(os.getpid())); print('+OK', end='\\r\\n', flush=True); time.sleep(99)"
        access = attrs.evolve(at_any, tls="none", via=(sys.executable, "-c", code, str(tmp_path / "pid")))
        client = connect_account(access)
        pid = (tmp_path / "pid").read_text()
        assert runs(pid)
        begin = time.monotonic()
        client.close()
        assert not runs(pid)
        assert time.monotonic() - begin < 60, "it was ended, and has not ended by itself"

    def test_one_that_is_not_there(self):
        with pytest.raises(ConnectionLost, match="cannot run /nowhere/ssh: No such file or directory"):
            connect_account(attrs.evolve(at_any, via=("/nowhere/ssh",)))

    def test_one_that_ends_at_once(self):
        with pytest.raises(ConnectionLost):
            connect_account(attrs.evolve(at_any, tls="none", via=(sys.executable, "-c", "")))

    def test_that_it_is_on_this_machine_says_nothing_of_the_server(self):
        with pop3_server(MAIL, mechanisms=(), apop=False) as server:
            access = at(server, via=netcat(server))
            client = connect_account(access)
            with pytest.raises(LocalProtocolError, match="no usable login method"):
                login(client, access, ANN)
            client.close()

    def test_a_login_goes_on_over_another_one(self, leaf, ca_file, tmp_path):
        faults = [CloseAfter("AUTH", refused=True)]
        with pop3_server(MAIL, tls="implicit", context=context_of(leaf), faults=faults) as server:
            access = at(server, ca_file=ca_file, via=netcat(server, tmp_path / "pids"))
            client = connect_account(access)
            with pytest.raises(LoginFailed):
                login(client, access, Password("ann", "wrong"))
            client.close()
            pids = (tmp_path / "pids").read_text().split()
            assert len(pids) > 1
            assert not any(map(runs, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_the_own_address_is_chosen():
    with pop3_server(MAIL) as server:
        check(connect_account(at(server, source_address="127.0.0.2")))
        assert server.sessions[0].info.address == "127.0.0.2"
        with pytest.raises(ConnectionLost, match=r"no connection to 127\.0\.0\.1"):
            connect_account(at(server, source_address="192.0.2.1"))


# ------------------------------------------------------------------------------------------------ logins

COUNTS = (
    "import pathlib, sys; file = pathlib.Path(sys.argv[1]); "
    "number = int(file.read_text()) + 1 if file.exists() else 1; file.write_text(str(number)); print(f'token{number}')"
)


@pytest.mark.parametrize("faults", [[], [CloseAfter("AUTH", refused=True)]], ids=["stays", "hangs up"])
def test_a_token_that_has_run_out_is_replaced(faults, tmp_path):
    with pop3_server(MAIL, tokens={"token2": "ann", "token3": "ann"}, faults=faults, apop=False) as server:
        token = FromCommand((sys.executable, "-c", COUNTS, str(tmp_path / "count")))
        access = at(server, token=token, login="XOAUTH2")
        source = SecretSource(access)
        with open_session(access, source) as client:
            assert client.stat().count == 1
        assert source.get() == Token("ann", "token2")
        with open_session(access, source):
            pass
        assert (tmp_path / "count").read_text() == "2", "the token that works is kept"


def test_a_token_that_stays_wrong_is_sent_once(tmp_path):
    file = tmp_path / "token"
    file.write_text("old")
    notes = []
    with pop3_server(MAIL, tokens={"new": "ann"}, apop=False) as server:
        access = at(server, token=FromFile(file), login="XOAUTH2")
        with pytest.raises(LoginFailed) as failed:
            open_session(access, SecretSource(access, notes.append))
        server.sessions[0].wait(timeout=PATIENCE)
        assert sum(isinstance(command, Auth) for session in server.sessions for command in session.commands) == 1
    assert notes == ["note: the token is still the one that the server has refused"]
    words = explain_failure(access, failed.value)
    assert words.startswith(f"127.0.0.1, port {server.port}, user ann: ")
    assert "check the token: it may have expired" in words


def test_a_password_that_is_wrong_is_sent_once(tmp_path):
    file = tmp_path / "password"
    file.write_text("wrong")
    with pop3_server(MAIL, mechanisms=(), apop=False) as server:
        access = at(server, provider="gmail", password=FromFile(file))
        with pytest.raises(LoginFailed) as failed:
            open_session(access, SecretSource(access))
        server.sessions[0].wait(timeout=PATIENCE)
        assert [command.verb for command in server.sessions[0].commands] == ["CAPA", "USER", "PASS"]
    assert "Gmail takes an app password" in explain_failure(access, failed.value)


@pytest.mark.parametrize("kind, answer", [("password", b"-ERR [AUTH] no\r\n"), ("token", b"-ERR [IN-USE] busy\r\n")])
def test_another_secret_is_not_asked_for_unless_a_token_was_refused(kind, answer, tmp_path):
    origin = FromCommand((sys.executable, "-c", COUNTS, str(tmp_path / "count")))
    capa = b"+OK\r\nUSER\r\nSASL XOAUTH2\r\n.\r\n"
    with Scripted({"CAPA": capa, "PASS": answer, "AUTH": answer}) as server:
        access = at(server, **{kind: origin})
        with pytest.raises(LoginFailed):
            open_session(access, SecretSource(access))
    assert (tmp_path / "count").read_text() == "1"


def test_the_login_method_of_the_account_is_used():
    with pop3_server(MAIL) as server:
        access = at(server, login="USER/PASS")
        with connect_account(access) as client:
            login(client, access, ANN)
        assert [command.verb for command in server.sessions[0].commands] == ["CAPA", "USER", "PASS", "CAPA", "QUIT"]


def test_after_a_failure_the_connection_is_closed(tmp_path):
    file = tmp_path / "password"
    file.write_text("wrong")
    with pop3_server(MAIL) as server:
        access = at(server, password=FromFile(file))
        with pytest.raises(LoginFailed):
            open_session(access, SecretSource(access))
        for session in server.sessions:
            session.wait(timeout=PATIENCE)


def test_the_secret_is_fetched_before_a_connection_is_made(tmp_path):
    with pop3_server(MAIL) as server:
        access = at(server, password=FromFile(tmp_path / "none"))
        with pytest.raises(AccountError):
            open_session(access, SecretSource(access))
        assert server.sessions == []


def test_a_program_may_observe_a_session():
    class Witness:
        heard = said = ended = lambda self, *event: events.append(event)

    events = []
    with pop3_server(MAIL) as server:
        check(connect_account(at(server), observer=Witness()))
    assert len(events) > 5


def test_a_session_is_in_step():
    with pop3_server(MAIL) as server, connect_account(at(server)) as client:
        assert client.state is State.AUTHORIZATION
