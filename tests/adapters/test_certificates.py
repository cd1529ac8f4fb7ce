"""Certificates of a server: one for each name, read again while it runs, and what SCRAM binds to."""

import contextlib
import hashlib
import math
import re
import socket
import ssl
import time
from pathlib import Path

import pytest
import trustme

from pop3proto import LoginFailed, blocking
from pop3proto._io.certificates import Certificates, ServerCertificate
from pop3proto._io.listener import Listener
from pop3proto._io.revocation import _parsed, faults_of_lists
from pop3proto.authenticators import CertificateNames
from pop3proto.authenticators.memory import MemoryAuthenticator
from pop3proto.core.errors import ConnectionLost, TlsAlert
from pop3proto.sasl.credentials import ClientCertificate
from tests.adapters.test_serve import PATIENCE, adapter, service  # noqa: F401 - one is a fixture
from tests.helpers.client_certificates import ClientAuthority, showing, with_subject


class Place:
    """An authority, and files of certificates that it has issued."""

    def __init__(self, folder):
        self.folder = folder
        self.authority = trustme.CA()

    def issue(self, name, file=None, *, apart=False):
        """The files of a new certificate for a name, in place of those that were there."""
        leaf = self.authority.issue_cert(name)
        path = self.folder / (file or name.strip("*."))
        if not apart:
            leaf.private_key_and_cert_chain_pem.write_to_path(path)
            return ServerCertificate(path)
        chain, key = path.with_suffix(".crt"), path.with_suffix(".key")
        leaf.private_key_pem.write_to_path(key)
        chain.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        return ServerCertificate(chain, key)

    def context(self):
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_names_are_those_that_clients_ask_for(place):
    files = place.issue("mail.example.org")
    names = ["POP.Example.ORG.", "pöp.example.org", "*.example.net", "*.exämple.net"]
    certificates = Certificates(files, names=dict.fromkeys(names, files.certificate))
    encoded = ["pop.example.org", "xn--pp-fka.example.org", "*.example.net", "*.xn--exmple-cua.net"]
    assert [*certificates._names] == encoded


@pytest.mark.parametrize("name", ["", "*", "*.", "*.*.org", "a b", "-a.org", "a..b", "a.*", "x" * 64, "a." * 130 + "a"])
def test_what_is_no_host_name(place, name):
    files = place.issue("mail.example.org")
    with pytest.raises(ValueError, match="is no host name; they are like"):
        Certificates(files, names={name: files})


def test_what_are_no_files(place):
    files = place.issue("mail.example.org")
    with pytest.raises(TypeError):
        Certificates(files, names={"pop.example.org": 5})


def test_the_file_at_fault_is_named(place):
    files = place.issue("mail.example.org", apart=True)
    both = place.issue("pop.example.com").certificate
    gone = str(place.folder / "gone")
    for certificate, key, words in (
        (gone, files.key, f"the certificate {gone} cannot be used: No such file or directory"),
        (files.certificate, gone, f"the key {gone} cannot be used: No such file or directory"),
        (
            files.key,
            files.certificate,
            f"the certificate {files.key} cannot be used: there is no certificate (PEM) in it: is it the key?",
        ),
        (
            files.certificate,
            files.certificate,
            f"the key {files.certificate} cannot be used: there is no private key (PEM) in it: is it the certificate?",
        ),
        (
            files.certificate,
            None,
            f"the key {files.certificate} cannot be used: there is no private key (PEM) in it: name its file in `key`",
        ),
        (both, files.key, f"the certificate {both} and the key {files.key} cannot be used: key values mismatch"),
    ):
        with pytest.raises(OSError, match="cannot be used") as raised:
            Certificates(ServerCertificate(certificate, key))
        assert raised.value.strerror == words


def own(files):
    """The fingerprint of a certificate in a file."""
    pem = Path(files.certificate).read_text("ascii")
    start = pem.index("-----BEGIN CERTIFICATE-----")
    end = pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[start:end])).hexdigest()


def shown(server, place, name="mail.example.org"):
    """The fingerprint of the certificate that a server shows to who asks for a name."""
    with client(server, place, name) as connected:
        assert connected.tls is not None
        assert connected.tls.certificate is not None
        return hashlib.sha256(connected.tls.certificate).hexdigest()


@contextlib.contextmanager
def client(server, place, name="mail.example.org", context=None, tls="implicit"):
    sock = socket.create_connection(server.address[:2], PATIENCE)
    context = context or place.context()
    with blocking.connect_over(sock, host=name, tls=tls, context=context, timeout=PATIENCE) as connected:
        yield connected


SERVED = {"listeners": [Listener(tls="implicit")]}


def test_each_name_has_its_certificate(adapter, place):  # noqa: F811
    default, other, wild = (place.issue(name) for name in ("mail.example.org", "pop.example.com", "*.example.net"))
    names = {"POP.example.com.": other, "*.example.net": wild}
    with adapter.entered(service(), **SERVED, certificates=Certificates(default, names=names)) as server:
        assert shown(server, place) == own(default)
        assert shown(server, place, "pop.example.com") == own(other)
        assert shown(server, place, "a.example.net") == own(wild)
        with pytest.raises(ConnectionLost):
            shown(server, place, "a.b.example.net")  # the default is not for that name


def test_scram_binds_to_the_certificate_that_was_shown(adapter, place):  # noqa: F811
    """Also after a reload, in a session that began before it, and for each name."""
    default, other = place.issue("mail.example.org"), place.issue("pop.example.com")
    certificates = Certificates(default, names={"pop.example.com": other})
    mechanism = "SCRAM-SHA-256-PLUS"
    served = service(authenticator=MemoryAuthenticator({"ann": "tanstaaf"}), mechanisms=[mechanism])
    with adapter.entered(served, **SERVED, certificates=certificates) as server:
        with client(server, place) as first, client(server, place, "pop.example.com") as second:
            place.issue("mail.example.org")
            place.issue("pop.example.com")
            certificates.reload()
            for before in (first, second):
                before.login("ann", "tanstaaf", only=[mechanism])
                before.quit()
        for name in ("mail.example.org", "pop.example.com"):
            with client(server, place, name) as after:
                assert after.tls is not None
                assert [binding.type for binding in after.tls.bindings] == ["tls-server-end-point"]
                after.login("ann", "tanstaaf", only=[mechanism])


def test_a_reload_is_for_the_handshakes_to_come(adapter, place):  # noqa: F811
    files = place.issue("mail.example.org")
    before = own(files)
    certificates = Certificates(files)
    with adapter.entered(service(), **SERVED, certificates=certificates) as server, client(server, place) as living:
        assert shown(server, place) == before
        place.issue("mail.example.org")
        assert shown(server, place) == before
        certificates.reload()
        assert shown(server, place) == own(files) != before
        living.login("ann", "tanstaaf")
        assert living.stat().count == 1


def halves(place):
    """What a file may hold while it is written, or after a mistake."""
    files = place.issue("mail.example.org", "new")
    whole = Path(files.certificate).read_bytes()
    return {
        "empty": b"",
        "half a key": whole[:100],
        "no certificate": whole[: whole.index(b"-----BEGIN CERTIFICATE-----")],
        "half a certificate": whole[: whole.index(b"-----END CERTIFICATE-----")],
        "junk": b"junk",
    }


@pytest.mark.parametrize("what", ["empty", "half a key", "no certificate", "half a certificate", "junk", "gone"])
@pytest.mark.parametrize("whose", ["mail.example.org", "pop.example.com"])
def test_a_file_that_is_half_written_keeps_all_that_was(place, what, whose):
    default, other = place.issue("mail.example.org"), place.issue("pop.example.com")
    certificates = Certificates(default, names={"pop.example.com": other})
    before = certificates._current
    broken, whole = (default, other) if whose == "mail.example.org" else (other, default)
    place.issue("pop.example.com" if broken is default else "mail.example.org")  # the other one is new
    Path(broken.certificate).write_bytes(halves(place).get(what, b""))
    if what == "gone":
        (place.folder / whose).unlink()
    with pytest.raises(OSError, match=whose):
        certificates.reload()
    assert certificates._current is before
    place.issue(whose)
    certificates.reload()
    assert certificates._current is not before
    assert whole is not broken


def test_a_new_certificate_whose_key_is_still_the_old_one(place):
    files = place.issue("mail.example.org", apart=True)
    certificates = Certificates(files)
    before = certificates._current
    assert files.key is not None
    old_key = Path(files.key).read_bytes()
    place.issue("mail.example.org", apart=True)
    Path(files.key).write_bytes(old_key)
    with pytest.raises(OSError, match=r"mail\.example\.crt and the key .* cannot be used"):
        certificates.reload()
    assert certificates._current is before


def test_other_certificates_while_the_server_runs(adapter, place):  # noqa: F811
    """What was read into another object is used, and read again by later reloads."""
    certificates = Certificates(place.issue("mail.example.org", "old"))
    with adapter.entered(service(), **SERVED, certificates=certificates) as server, client(server, place) as living:
        default, other = place.issue("mail.example.org"), place.issue("pop.example.com")
        certificates.use(Certificates(default, names={"pop.example.com": other}))
        for name, files in (("mail.example.org", default), ("pop.example.com", other)):
            assert shown(server, place, name) == own(files)
        place.issue("pop.example.com")
        certificates.reload()
        assert shown(server, place, "pop.example.com") == own(other)
        living.login("ann", "tanstaaf")


@pytest.mark.parametrize("changes", [1, 2, 10])
def test_a_certificate_that_changes_while_it_is_read(place, monkeypatch, changes):
    """What SCRAM binds to must be what the handshake shows."""
    files = place.issue("mail.example.org")
    certificates = Certificates(files)
    before, load = certificates._current, ssl.SSLContext.load_cert_chain
    left = [None] * changes

    def load_and_change(context, *arguments):
        load(context, *arguments)
        if left:
            left.pop()
            place.issue("mail.example.org")

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_and_change)
    if changes > 2:
        with pytest.raises(OSError, match=r"example\.org cannot be used: it was written while it was read; try again"):
            certificates.reload()
        assert certificates._current is before
    else:
        certificates.reload()
        assert certificates._current.certificate is not None
        assert hashlib.sha256(certificates._current.certificate).hexdigest() == own(files)


def test_an_encrypted_key_asks_nobody(place):
    from cryptography.hazmat.primitives import serialization

    files = place.issue("mail.example.org", apart=True)
    assert files.key is not None
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    Path(files.key).write_bytes(key.private_bytes(serialization.Encoding.PEM, traditional, encryption))
    with pytest.raises(OSError, match="its key is encrypted, and a server cannot ask for the password"):
        Certificates(files)


def test_the_lowest_version_of_tls(adapter, place):  # noqa: F811
    files = place.issue("mail.example.org")
    old = place.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for lowest, works in (("TLSv1.2", True), ("TLSv1.3", False)):
        names = {"mail.example.org": place.issue("mail.example.org", "named")}
        certificates = Certificates(files, names=names, minimum_version=lowest)
        with adapter.entered(service(), **SERVED, certificates=certificates) as server:
            try:
                with client(server, place, context=old):
                    assert works
            except ConnectionLost:
                assert not works
    with pytest.raises(ValueError, match=r"one of 'TLSv1\.2', 'TLSv1\.3'"):
        Certificates(files, minimum_version="TLSv1.1")


class ByCertificate:
    """Any certificate is that of one user; and what names were in the last one."""

    blocks = False

    def __init__(self, user="ann"):
        self.user, self.names = user, None

    def check_certificate(self, _certificate, _authzid, session):
        self.names = session.tls.names
        return self.user


@pytest.mark.parametrize("name", ["mail.example.org", "pop.example.com"])
def test_the_certificates_of_clients(adapter, place, name):  # noqa: F811
    """EXTERNAL works by them, whichever name was asked for; after a reload those of another authority count."""

    others = trustme.CA()
    for number, each in enumerate((place.authority, others)):
        each.cert_pem.write_to_path(place.folder / f"ca-{number}")
    ca = place.folder / "ca"
    ca.write_bytes((place.folder / "ca-0").read_bytes())
    files = place.issue("mail.example.org")
    certificates = Certificates(files, names={"pop.example.com": place.issue("pop.example.com")}, client_ca=ca)
    context = place.context()
    place.authority.issue_cert("ann@example.org").configure_cert(context)
    served = service(authenticator=ByCertificate())
    with adapter.entered(served, **SERVED, certificates=certificates) as server:
        with client(server, place, name, context) as connected:
            connected.login(ClientCertificate())
        ca.write_bytes((place.folder / "ca-1").read_bytes())
        certificates.reload()
        with pytest.raises(ConnectionLost), client(server, place, name, context) as connected:
            connected.login(ClientCertificate())


def test_the_names_in_a_certificate_of_a_client(adapter, place):  # noqa: F811
    """They are in what the authenticator knows of the session."""
    from cryptography import x509

    authority, asked = ClientAuthority(), ByCertificate()
    authority.authority.cert_pem.write_to_path(place.folder / "ca")
    subject = with_subject(COMMON_NAME="Änn", USER_ID="ann", EMAIL_ADDRESS="old@example.org")
    names = (x509.RFC822Name("ann@example.org"), x509.DNSName("a.example"), x509.DirectoryName(subject))
    authority.issue(place.folder / "ann", subject, names)
    certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca")
    with adapter.entered(service(authenticator=asked), **SERVED, certificates=certificates) as server:
        context = showing(place.context(), place.folder / "ann")
        with client(server, place, context=context) as connected:
            connected.login(ClientCertificate())
            assert connected.tls.names == ()  # a client has no use for those of the server
    assert asked.names == (
        ("email", "ann@example.org"),
        ("DNS", "a.example"),
        ("commonName", "Änn"),
        ("userId", "ann"),
        ("emailAddress", "old@example.org"),
    )


def test_a_name_that_is_not_in_its_encoding_counts_for_nothing(adapter, place):  # noqa: F811
    """It is as if there were none, and no fault of the session."""
    from cryptography import x509

    authority, asked = ClientAuthority(), ByCertificate(None)
    authority.authority.cert_pem.write_to_path(place.folder / "ca")
    name = b"\xff@example.org"
    octets = bytes((0x30, len(name) + 2, 0x81, len(name))) + name
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, octets)
    authority.issue(place.folder / "ann", with_subject(COMMON_NAME="ann"), broken)
    certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca")
    with adapter.entered(service(authenticator=asked), **SERVED, certificates=certificates) as server:
        context = showing(place.context(), place.folder / "ann")
        with client(server, place, context=context) as connected, pytest.raises(LoginFailed):
            connected.login(ClientCertificate())
    assert asked.names == ()


def test_revoked_certificates(adapter, place):  # noqa: F811
    """Those of a list are refused; so are all, where the list is out of date, or is another authority's."""

    authority = ClientAuthority()
    authority.authority.cert_pem.write_to_path(place.folder / "ca")
    stolen, good = place.folder / "stolen", place.folder / "good"
    revoked = authority.issue_for(stolen, "ann@example.org")
    authority.issue_for(good, "ann@example.org")
    crl = place.folder / "crl"
    certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca")
    lists = {
        "none is revoked": (authority.revoke, [], {}, [True, True]),
        "one is revoked": (authority.revoke, [revoked], {}, [False, True]),
        "out of date": (authority.revoke, [revoked], {"days": 0}, [False, False]),
        "of another authority": (ClientAuthority().revoke, [], {}, [False, False]),
    }

    def logs_in(server, file):
        try:
            with client(server, place, context=showing(place.context(), file)) as connected:
                connected.login(ClientCertificate())
        except ConnectionLost:
            return False
        return True

    with adapter.entered(service(authenticator=ByCertificate()), **SERVED, certificates=certificates) as server:
        assert [logs_in(server, file) for file in (stolen, good)] == [True, True]
        for name, (revoke, listed, options, expected) in lists.items():
            revoke(crl, *listed, **options)
            with_list = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca", client_crl=crl)
            certificates.use(with_list)
            assert [logs_in(server, file) for file in (stolen, good)] == expected, name
        authority.revoke(crl, revoked)
        certificates.reload()
        assert [logs_in(server, file) for file in (stolen, good)] == [False, True]
        with client(server, place):
            pass  # who shows no certificate gets in


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_a_client_is_told_that_its_certificate_is_revoked(adapter, place, mode):  # noqa: F811
    """With TLS 1.3 it is told behind its own handshake, which looks as if the server hung up on CAPA."""
    authority, crl = ClientAuthority(), place.folder / "crl"
    authority.authority.cert_pem.write_to_path(place.folder / "ca")
    authority.revoke(crl, authority.issue_for(place.folder / "ann", "ann@example.org"))
    certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca", client_crl=crl)
    context = showing(place.context(), place.folder / "ann")
    served = service(authenticator=CertificateNames("email"))
    with adapter.entered(served, listeners=[Listener(tls=mode)], certificates=certificates) as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.maximum_version = version
            with (
                pytest.raises(TlsAlert, match="the peer sent the alert 'certificate revoked'") as told,
                client(server, place, context=context, tls=mode) as connected,
            ):
                connected.login(ClientCertificate())
            assert told.value.about_certificate
            assert told.value.alert == "certificate revoked"


def joined(file, *parts):
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    return file


def test_what_an_authority_below_has_issued_is_refused_with_it(place):
    """An authority that was revoked lets nobody in, whom its own list does not name."""
    root = ClientAuthority()
    below = ClientAuthority(root)
    root.authority.cert_pem.write_to_path(place.folder / "ca")
    below.issue_for(place.folder / "ann", "ann@example.org")
    below.revoke(place.folder / "crl-below")
    results = {}
    for revoked in (False, True):
        root.revoke(place.folder / "crl-root", *([below.certificate] if revoked else []))
        crl = joined(place.folder / "crl", place.folder / "crl-root", place.folder / "crl-below")
        certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca", client_crl=crl)
        with blocking.serve(service(authenticator=ByCertificate()), **SERVED, certificates=certificates) as server:
            try:
                with client(server, place, context=showing(place.context(), place.folder / "ann")) as connected:
                    connected.login(ClientCertificate())
                results[revoked] = "in"
            except TlsAlert as alert:
                results[revoked] = alert.alert
    assert results == {False: "in", True: "certificate revoked"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_user_logs_in_by_a_session_that_is_resumed(place, version):
    """Its certificate was not verified again. There are no tickets; TLS 1.2 resumes without them."""
    authority = ClientAuthority()
    authority.authority.cert_pem.write_to_path(place.folder / "ca")
    authority.issue_for(place.folder / "ann", "ann@example.org")
    certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca")
    context = showing(place.context(), place.folder / "ann")
    context.maximum_version = version
    address = ("127.0.0.1", 0)
    with blocking.serve(service(authenticator=ByCertificate()), **SERVED, certificates=certificates) as server:
        address, session, told = server.address[:2], None, []
        for _ in range(2):
            with (
                socket.create_connection(address, PATIENCE) as plain,
                context.wrap_socket(plain, server_hostname="mail.example.org", session=session) as sock,
                sock.makefile("rwb") as file,
            ):
                file.readline()
                file.write(b"CAPA\r\n")
                file.flush()
                capabilities = iter(file.readline, b".\r\n")
                told.append((sock.session_reused, b"EXTERNAL" in b"".join(capabilities)))
                session = sock.session
                file.write(b"QUIT\r\n")
                file.flush()
                assert file.readline().startswith(b"+OK")
                with contextlib.suppress(OSError):
                    sock.unwrap()  # a session that was not ended in order is not resumed
    resumed = version is ssl.TLSVersion.TLSv1_2
    assert told == [(False, True), (resumed, not resumed)]


PEM = "-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n"


@pytest.mark.parametrize(
    "content, why",
    [
        ("no", r"there is no list \(X509 CRL, PEM\) in it; `openssl crl -inform DER` makes PEM of DER"),
        ("", "there is no list"),
        ("ca", r"it holds a certificate: only lists \(X509 CRL\) belong there"),
        ("list and ca", "it holds a certificate"),
        ("half a list", "the last list in it has no end: it may be half written"),
        ("list and half a list", "the last list in it has no end"),
        (PEM.format("AAAA"), "a list in it is damaged"),
        (PEM.format("A"), "a list in it is damaged"),
        (PEM.format("MAMwAQ=="), "a list in it is damaged"),
    ],
)
def test_what_is_no_file_of_revoked_certificates(place, content, why):
    """Above all no certificate: that would become an authority whose clients are let in."""
    files, authority, file = place.issue("mail.example.org"), ClientAuthority(), place.folder / "crl"
    authority.authority.cert_pem.write_to_path(place.folder / "ca")
    authority.revoke(place.folder / "list")
    whole, ca = (place.folder / "list").read_text(), (place.folder / "ca").read_text()
    texts = {
        "ca": ca,
        "list and ca": whole + ca,
        "half a list": whole[:200],
        "list and half a list": whole + whole[:200],
    }
    file.write_text(texts.get(content, content))
    with pytest.raises(OSError, match=f"the file of revoked certificates {file} cannot be used: {why}"):
        Certificates(files, client_ca=place.folder / "ca", client_crl=file)


def test_what_is_no_file_of_authorities(place):
    files = place.issue("mail.example.org")
    ClientAuthority().revoke(place.folder / "crl")
    (place.folder / "no").write_text("no")
    for name, why in (
        ("crl", "it holds a list of revoked certificates, which belongs in client_crl"),
        ("no", "no certificate or crl found"),
    ):
        with pytest.raises(OSError, match=f"the file of authorities .*/{name} cannot be used: {why}"):
            Certificates(files, client_ca=place.folder / name)
    with pytest.raises(ValueError, match="client_crl needs client_ca"):
        Certificates(files, client_crl=place.folder / "crl")


def test_an_authority_is_trusted_without_those_above_it(place):
    """Only what it has issued is: not what its root has issued, nor another authority of that."""
    root = ClientAuthority()
    below, beside = ClientAuthority(root), ClientAuthority(root)
    below.authority.cert_pem.write_to_path(place.folder / "ca")
    for name, authority in (("below", below), ("beside", beside), ("root", root)):
        authority.issue_for(place.folder / name, "ann@example.org")
    certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca")
    came_in = set()
    with blocking.serve(service(authenticator=ByCertificate()), **SERVED, certificates=certificates) as server:
        for name in ("below", "beside", "root"):
            with contextlib.suppress(TlsAlert):
                with client(server, place, context=showing(place.context(), place.folder / name)) as connected:
                    connected.login(ClientCertificate())
                came_in.add(name)
    assert came_in == {"below"}


def test_lists_that_are_out_of_date_are_told(place):
    """Those of each authority, with the moment; and a day or a tenth of its time before a list ends."""
    now, day = time.time(), 86_400
    names = ("no list", "ended", "not begun", "good", "ends soon", "ended, and another")
    made = {name: ClientAuthority() for name in names}
    for name, authority in made.items():
        authority.authority.cert_pem.write_to_path(place.folder / f"{name}.ca")
    made["ended"].revoke(place.folder / "1.crl", days=0)
    made["not begun"].revoke(place.folder / "2.crl", begins=2, days=3)
    made["good"].revoke(place.folder / "3.crl", days=30)
    made["ends soon"].revoke(place.folder / "4.crl", begins=-28, days=28.5)
    made["ended, and another"].revoke(place.folder / "5.crl", days=0)
    made["ended, and another"].revoke(place.folder / "6.crl", days=30)
    ca = joined(place.folder / "ca", *(place.folder / f"{name}.ca" for name in names))
    crl = joined(place.folder / "crl", *(place.folder / f"{number}.crl" for number in range(1, 7)))
    certificates = Certificates(place.issue("mail.example.org"), client_ca=ca, client_crl=crl)
    refused = "all its certificates are refused"
    moment = r"20\d\d-\d\d-\d\d \d\d:\d\d UTC"
    patterns = [
        f"there is no list of .+: {refused}",
        f"the list of .+ ended on {moment}: {refused}",
        f"the list of .+ begins on {moment}: {refused} before",
    ]
    faults = certificates.faults(now)
    assert len(faults) == len(patterns)
    for pattern in patterns:
        assert len([fault for fault in faults if re.fullmatch(f"{crl}: {pattern}", fault)]) == 1
    [soon] = certificates.ending(now)
    assert re.fullmatch(f"{crl}: the list of .+ ends on {moment}: {refused} from then on", soon)
    assert len(certificates.faults(now + 40 * day)) == 6
    assert certificates.ending(now + 40 * day) == ()
    assert Certificates(place.issue("mail.example.org"), client_ca=ca).faults(now) == ()
    before = certificates.faults(now)
    crl.write_text("half")
    with pytest.raises(OSError, match="there is no list"):
        certificates.reload()
    assert certificates.faults(now) == before, "what was not taken is not told"


def test_a_list_of_an_authority_that_clients_send_is_told_too(place):
    root = ClientAuthority()
    below = ClientAuthority(root)
    root.authority.cert_pem.write_to_path(place.folder / "ca")
    root.revoke(place.folder / "1.crl", days=30)
    below.revoke(place.folder / "2.crl", days=0)
    crl = joined(place.folder / "crl", place.folder / "1.crl", place.folder / "2.crl")
    certificates = Certificates(place.issue("mail.example.org"), client_ca=place.folder / "ca", client_crl=crl)
    [fault] = certificates.faults(time.time())
    assert "ended on" in fault


def tlv(tag, *parts):
    contents = b"".join(parts)
    assert len(contents) < 128
    return bytes((tag, len(contents))) + contents


def crl_of(name, *times, version=True):
    """A list with these times, and nothing in it; nobody has signed it."""
    algorithm, head = tlv(0x30, tlv(0x06, b"\x2a")), [tlv(0x02, b"\x01")] if version else []
    return tlv(0x30, tlv(0x30, *head, algorithm, tlv(0x30, name), *times), algorithm, tlv(0x03, b"\x00"))


def a_name(text, tag=0x0C):
    return tlv(0x31, tlv(0x30, tlv(0x06, b"\x55\x04\x03"), tlv(tag, text)))


@pytest.mark.parametrize("version", [True, False])
@pytest.mark.parametrize(
    "times, begin, end",
    [
        ([tlv(0x17, b"700101000000Z")], 0, math.inf),
        ([tlv(0x17, b"491231235959Z"), tlv(0x17, b"491231235959Z")], 2524607999, 2524607999),
        ([tlv(0x18, b"20500101000000Z"), tlv(0x18, b"20500101000001Z")], 2524608000, 2524608001),
    ],
)
def test_the_times_of_a_list(times, begin, end, version):
    """RFC 5280 section 5.1.2.4: of two digits of a year, those from 50 on are of the last century."""
    parsed = _parsed(crl_of(a_name(b"A"), *times, version=version))
    assert (parsed.begin, parsed.end) == (begin, end)


def test_names_are_compared_as_people_read_them():
    """Whatever kind of string they are (RFC 5280 section 7.1)."""
    lists = [_parsed(crl_of(a_name("Mail  CA".encode("utf-16-be"), 0x1E), tlv(0x17, b"700101000000Z")))]
    assert [*faults_of_lists(lists, [a_name(b"mail ca", 0x13)], 0)] == []
    told = [*faults_of_lists([], [a_name(b"Mail CA", 0x13)], 0)]
    assert told == ["there is no list of Mail CA: all its certificates are refused"]
    assert [*faults_of_lists([], [b"\x00"], 0)] == [
        "there is no list of an authority without a name: all its certificates are refused"
    ]


@pytest.mark.parametrize("more", ["certificate", "context"])
def test_certificates_and_something_else(adapter, place, more):  # noqa: F811
    files = place.issue("mail.example.org")
    given = {"certificate": files.certificate, "context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}[more]
    with pytest.raises(ValueError, match="give either certificates="):
        adapter.serve(service(), tls="implicit", certificates=Certificates(files), **{more: given})
    with pytest.raises(ValueError, match="needs tls="):
        adapter.serve(service(), certificates=Certificates(files))
