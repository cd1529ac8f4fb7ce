"""`pop3proto fetch` logs in by a client certificate (EXTERNAL): by options, by an account, and what is said if not."""

import datetime as dt
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pop3proto.authenticators import CertificateNames, CombinedAuthenticator, MemoryAuthenticator
from pop3proto.blocking import serve
from pop3proto.cli import main
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.cleartext import TlsMode
from pop3proto.procedures.server.service import Service
from tests.helpers.cli_servers import MAIL, PASSWORD, STORED, Scripted, body, password_file, serving, stored
from tests.helpers.cli_tls import SCHEMES, Authority, both
from tests.helpers.client_certificates import ClientAuthority
from tests.helpers.snippets import DOCS

USER = "ann@example.org"
ESCAPED = "ann%40example.org"
ENDED = "2026-01-02 00:00 UTC"
OFFERED = (
    "; a server offers EXTERNAL only to clients whose certificate it asks for and accepts, and takes it for the users "
    "that the certificate names\n"
)


PAGE = (DOCS / "fetch-trouble.md").read_text("utf-8")


def error_of(capsys: pytest.CaptureFixture[str], *quoted: str) -> str:
    """What was said, which has these words, as has the page on trouble."""
    error = capsys.readouterr().err
    for words in quoted:
        assert words in error
        assert words in PAGE
    return error


class Pki:
    """An authority of clients, and what it has issued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = ClientAuthority()
        self.ca = folder / "clients.pem"
        authority.authority.cert_pem.write_to_path(str(self.ca))
        self.ann = folder / "ann.pem"
        self.certificate = authority.issue_for(self.ann, USER)
        self.old = folder / "old.pem"
        authority.issue(self.old, self.certificate.subject, ends=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
        self.other = folder / "other.pem"
        ClientAuthority().issue_for(self.other, USER)
        for file in folder.iterdir():
            file.chmod(0o600)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@contextmanager
def serving_certificates(authority: Authority, tls: TlsMode, pki: Pki | None) -> Generator[int]:
    """Serve ann, by password and by certificate, and bob; the port. None: clients are not asked for certificates."""
    passwords = MemoryAuthenticator({USER: PASSWORD, "bob@example.org": PASSWORD})
    service = Service(
        store=MemoryStore({USER: MAIL, "bob@example.org": []}),
        authenticator=CombinedAuthenticator(passwords, CertificateNames("email")),
        failure_delay=0,
        login_penalty=None,
    )
    client_ca = None if pki is None else pki.ca
    with serve(service, tls=tls, certificate=authority.certificate(), client_ca=client_ca) as server:
        yield server.address[1]


def fetch(port: int, target: Path, authority: Authority, *options: str | Path, user: str = ESCAPED, tls="implicit"):
    url = f"{SCHEMES[tls]}://{user}@127.0.0.1:{port}"
    return main(["fetch", url, str(target), *authority.trusted, *map(str, options)])


@both
@pytest.mark.parametrize("user", [ESCAPED, f"{ESCAPED};AUTH=EXTERNAL", f"{ESCAPED};auth=external"])
def test_a_certificate_is_all_that_it_needs(target, authority, pki, tls, user):
    with serving_certificates(authority, tls, pki) as port:
        assert fetch(port, target, authority, "--certificate", pki.ann, user=user, tls=tls) == 0
    assert stored(target) == sorted(STORED)


def test_its_key_may_be_apart(target, authority, pki, tmp_path):
    key, mark, certificate = pki.ann.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "certificate").write_bytes(mark + certificate)
    options = ("--certificate", tmp_path / "certificate", "--certificate-key", tmp_path / "key")
    with serving_certificates(authority, "implicit", pki) as port:
        assert fetch(port, target, authority, *options) == 0
    assert stored(target) == sorted(STORED)


ACCOUNTS = {
    "url alone": 'url = "pops://ann%40example.org@127.0.0.1:{port}"',
    "url and login": 'url = "pops://ann%40example.org@127.0.0.1:{port}"\nlogin = "EXTERNAL"',
    "url with the method": 'url = "pops://ann%40example.org;AUTH=EXTERNAL@127.0.0.1:{port}"',
    "keys": 'user = "ann@example.org"\nhost = "127.0.0.1"\nport = {port}\nlogin = "external"',
    "keys alone": 'user = "ann@example.org"\nhost = "127.0.0.1"\nport = {port}',
}


def account(target: Path, authority: Authority, certificate: Path, lines: str) -> str:
    file = target.parent / "fetch.toml"
    file.write_text(
        f'[account.home]\n{lines}\nca_file = "{authority.trusted[1]}"\ncertificate = "{certificate}"\n'
        f'deliver = {{ maildir = "{target}" }}\n'
    )
    return str(file)


@pytest.mark.parametrize("name", ACCOUNTS)
def test_an_account_with_a_certificate(target, authority, pki, capsys, name):
    with serving_certificates(authority, "implicit", pki) as port:
        config = account(target, authority, pki.ann, ACCOUNTS[name].format(port=port))
        assert main(["fetch", "--config", config, "--check-config"]) == 0
        assert "  login: EXTERNAL, by the client certificate\n" in capsys.readouterr().out
        assert main(["fetch", "--config", config]) == 0
        assert capsys.readouterr() == ("home: 3 messages fetched (58 B)\n", "")
        assert main(["fetch", "--config", config, "--status"]) == 0
    assert stored(target) == sorted(STORED)


def test_state_knows_it_too(target, authority, pki, capsys):
    with serving_certificates(authority, "implicit", pki) as port:
        assert fetch(port, target, authority, "--certificate", pki.ann) == 0
        (target / ".pop3proto-fetched").unlink()
        url = f"pops://{ESCAPED}@127.0.0.1:{port}"
        options = (*authority.trusted, "--certificate", str(pki.ann))
        assert main(["state", url, str(target), "repair", *options]) == 0
    assert capsys.readouterr().out.endswith(
        "3 messages recorded as stored; 0 of 3 messages on the server are not here\n"
    )


def test_with_a_password_it_is_shown_and_the_password_logs_in(target, authority, pki, capsys):
    password = password_file(target.parent)
    with serving_certificates(authority, "implicit", pki) as port:
        options = ("--certificate", pki.ann, "--password-file", password)
        assert fetch(port, target, authority, *options, "--trace", user="bob%40example.org") == 0
        options = ("--certificate", pki.other, "--password-file", password)
        assert fetch(port, target, authority, *options) == 75
    said = capsys.readouterr().err
    assert "AUTH SCRAM" in said
    assert f"the server does not accept the client certificate {pki.other} " in said


def test_a_server_that_does_not_offer_it(target, authority, pki, capsys):
    """It is not tried unless it is named; then once, and the user reads what it would take."""
    with serving_certificates(authority, "implicit", None) as port:
        assert fetch(port, target, authority, "--certificate", pki.ann, "--trace") == 77
        plain = error_of(capsys, "EXTERNAL: the server does not announce it")
        assert (
            fetch(port, target, authority, "--certificate", pki.ann, "--trace", user=f"{ESCAPED};AUTH=EXTERNAL") == 77
        )
        named = error_of(capsys, "the mechanism EXTERNAL is not supported here")
    assert plain.count("AUTH EXTERNAL") == 0
    assert plain.endswith(
        f"127.0.0.1, port {port}: no usable login method: EXTERNAL: the server does not announce it{OFFERED}"
    )
    assert sum("C: AUTH EXTERNAL" in line for line in named.splitlines()) == 1, named
    assert named.endswith(
        f"127.0.0.1, port {port}, user {USER}: login failed (AUTH EXTERNAL ***: the mechanism EXTERNAL is not "
        f"supported here){OFFERED}"
    )


def test_of_another_method_nothing_is_said_about_certificates(target, authority, pki, capsys):
    token = target.parent / "token"
    token.write_text("token")
    with serving_certificates(authority, "implicit", pki) as port:
        options = ("--certificate", pki.ann, "--token-file", token)
        assert fetch(port, target, authority, *options) == 77
    assert capsys.readouterr().err.endswith("XOAUTH2: the server does not announce it\n")


def test_a_certificate_of_another_user(target, authority, pki, capsys):
    with serving_certificates(authority, "implicit", pki) as port:
        assert fetch(port, target, authority, "--certificate", pki.ann, user="bob%40example.org") == 77
    why = "the server does not take the client certificate for this user: its log says why"
    assert error_of(capsys, f"[AUTH] wrong name or password); {why}").endswith(f"{why}\n")


@both
def test_a_certificate_that_the_server_does_not_accept(target, authority, pki, capsys, tls):
    """It is the client's, and the alert does not say that: 'unknown ca' could be about a ca_file."""
    with serving_certificates(authority, tls, pki) as port:
        assert fetch(port, target, authority, "--certificate", pki.other, tls=tls) == 75
        error = error_of(capsys, "the server does not accept the client certificate ", "(alert 'unknown ca'): ")
        assert error.endswith(
            f"127.0.0.1, port {port}: the server does not accept the client certificate {pki.other} (alert 'unknown "
            "ca'): the server does not know its authority, or has no list of revoked certificates of that authority\n"
        )
        assert fetch(port, target, authority, "--certificate", pki.old, tls=tls) == 75
        error = error_of(capsys, "(alert 'certificate expired'): it was valid until ")
        assert error.endswith(f"certificate {pki.old} (alert 'certificate expired'): it was valid until {ENDED}\n")


EXPIRED, REVOKED, BAD, UNKNOWN = b"\x2d", b"\x2c", b"\x2a", b"\x2e"


def test_an_alert_about_a_certificate_that_is_good(target, pki, capsys):
    """A server whose list of revoked certificates has run out has no other alert than this."""
    until = f"{pki.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    outdated = "but the server's list of revoked certificates may be out of date"
    for alert, whole, quoted in (
        (EXPIRED, f"(alert 'certificate expired'): it is valid until {until}, {outdated}", outdated),
        (REVOKED, *["(alert 'certificate revoked'): its authority has revoked it"] * 2),
        (BAD, "(alert 'bad certificate'): it cannot be verified, or the server's list of revoked certificates is", ""),
        (UNKNOWN, "(alert 'certificate unknown'): its log says why\n", ""),
    ):
        with Scripted({}, b"\x15\x03\x03\x00\x02\x02" + alert) as server:
            url = f"pops://ann@127.0.0.1:{server.address[1]}"
            assert main(["fetch", url, str(target), "--certificate", str(pki.ann)]) == 75
        assert f": the server does not accept the client certificate {pki.ann} {whole}" in error_of(capsys, quoted)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere modes say nothing")
def test_a_key_that_others_may_read_is_told(target, authority, pki, tmp_path, capsys):
    file = tmp_path / "ann.pem"
    file.write_bytes(pki.ann.read_bytes())
    file.chmod(0o644)
    with serving_certificates(authority, "implicit", pki) as port:
        assert fetch(port, target, authority, "--certificate", file) == 0
    told = f"other users of this machine may read the private key in {file} (mode 0644): chmod 600 it\n"
    assert capsys.readouterr().err.count(told) == 1


def test_files_that_cannot_be_used_end_with_78(target, pki, tmp_path, capsys):
    nowhere = tmp_path / "nowhere"
    for certificate, why in (
        (nowhere, f"cannot read the client certificate {nowhere}: No such file or directory\n"),
        (pki.ca, f"there is no private key (PEM) in {pki.ca}; put it there, or name its file by certificate_key "),
    ):
        assert main(["fetch", "pops://ann@127.0.0.1:9", str(target), "--certificate", str(certificate)]) == 78
        assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, why",
    [
        (
            ["fetch", "pops://ann;AUTH=EXTERNAL@127.0.0.1:9", "m", "--certificate", "c", "--password-file", "p"],
            "EXTERNAL logs in by the certificate, and needs no password: leave it out\n",
        ),
        (
            ["fetch", "pops://ann;AUTH=EXTERNAL@127.0.0.1:9", "m", "--certificate", "c", "--token-file", "p"],
            "EXTERNAL logs in by the certificate, and needs no token: leave it out\n",
        ),
        (["fetch", "pops://ann@127.0.0.1:9", "m", "--certificate-key", "k"], "certificate_key needs certificate\n"),
        (["fetch", "home", "--certificate", "c"], "--certificate goes with a URL; for accounts it is set in the "),
        (["fetch", "home", "--certificate-key", "c"], "--certificate-key goes with a URL; for accounts it is set in "),
        (
            ["probe", "pops://ann;AUTH=EXTERNAL@127.0.0.1:9"],
            "EXTERNAL logs in by a certificate of the client, and this command shows none: name another one, or none\n",
        ),
    ],
)
def test_what_does_not_go_together(words, why, capsys):
    assert main(words) == 2
    assert why in capsys.readouterr().err


def test_without_tls_there_is_no_way(target, pki, capsys):
    """Also where cleartext is allowed: a certificate is nothing without TLS."""
    with serving(MemoryStore({"ann": MAIL})) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--certificate", str(pki.ann), "--allow-cleartext"]) == 77
    assert "the server refused STLS" in capsys.readouterr().err
    with Scripted({"CAPA": body("USER", "UIDL")}) as server:
        url = f"pop://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(target), "--certificate", str(pki.ann), "--allow-cleartext"]) == 77
    assert not any(line.startswith(("AUTH", "USER")) for line in server.heard)
