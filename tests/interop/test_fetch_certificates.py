"""`pop3proto fetch` logs in to Debian's Dovecot by a client certificate."""

import pytest

from pop3proto.cli import main
from tests.helpers.cli_servers import stored
from tests.helpers.client_certificates import ClientAuthority, with_subject
from tests.helpers.programs import dovecot_serving

pytestmark = [pytest.mark.interop, pytest.mark.deep]

MAIL = [b"Subject: 1\n\none\n", b"Subject: 2\n\n.two\n"]


@pytest.fixture(scope="module")
def authority():
    return ClientAuthority()


@pytest.fixture(scope="module")
def dovecot(require_program, authority):
    clients = authority.authority.cert_pem.bytes()
    with dovecot_serving(require_program("dovecot"), ("plain", "external"), client_ca=clients) as running:
        running.deliver("ann", MAIL)
        running.deliver("bob", [])
        yield running


@pytest.fixture
def fetch(dovecot, tmp_path, capsys):
    """Fetch with a certificate of an authority, in a name; the exit status, and what was said."""

    def fetch(authority, name, *options, user="ann", tls="pops"):
        authority.issue(tmp_path / "client.pem", with_subject(COMMON_NAME=name))
        (tmp_path / "client.pem").chmod(0o600)
        port = dovecot.tls_port if tls == "pops" else dovecot.port
        url = f"{tls}://{user}@{dovecot.host}:{port}"
        options = ("--ca-file", str(dovecot.ca_file), "--certificate", str(tmp_path / "client.pem"), *options)
        status = main(["fetch", url, str(tmp_path / "mail"), *options])
        return status, capsys.readouterr().err

    return fetch


@pytest.mark.parametrize("tls", ["pops", "pop"])
@pytest.mark.parametrize("user", ["ann", "ann;AUTH=EXTERNAL"])
def test_it_logs_in(fetch, authority, tmp_path, tls, user):
    assert fetch(authority, "ann", user=user, tls=tls) == (0, "")
    assert stored(tmp_path / "mail") == MAIL


@pytest.mark.parametrize("same_authority", [True, False])
def test_a_certificate_that_dovecot_does_not_take(fetch, authority, same_authority):
    """It announces EXTERNAL to all, and accepts any certificate in the handshake: the login is what it refuses."""
    status, said = fetch(authority if same_authority else ClientAuthority(), "bob" if same_authority else "ann")
    assert status == 77
    assert "AUTH EXTERNAL ***: [AUTH] " in said
    assert "the server does not take the client certificate for this user: its log says why" in said
