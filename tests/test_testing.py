"""The server for people who test their own mail code."""

import poplib
import ssl

import pytest
import trustme

from pop3proto.blocking import connect
from pop3proto.core.refusals import LoginFailed
from pop3proto.testing import PASSWORD, pop3_server
from tests.helpers.processes import PATIENCE

pytest_plugins = ["pytester"]


def test_poplib_fetches_and_deletes():
    with pop3_server({"ann": [b"Subject: one\n\n.\n", b"Subject: two\n"]}) as server:
        mailbox = poplib.POP3(server.host, server.port, timeout=60)
        mailbox.user("ann")
        mailbox.pass_(PASSWORD)
        assert mailbox.retr(1)[1] == [b"Subject: one", b"", b"."]
        mailbox.dele(1)
        mailbox.quit()
        assert server.messages("ann") == [b"Subject: two\n"]
        server.deliver("ann", b"Subject: three\n")
        with connect(server.host, server.port, tls="none") as client:
            client.login("ann", PASSWORD)
            assert client.stat().count == 2


def test_passwords_and_tokens_of_ones_own():
    with pop3_server({"ann": []}, passwords={"bob": "secret"}, tokens={"access": "ann"}) as server:
        for credentials in ({"password": PASSWORD}, {"token": "access"}):
            with connect(server.host, server.port, tls="none") as client:
                client.login("ann", **credentials)
        with connect(server.host, server.port, tls="none") as client:
            with pytest.raises(LoginFailed):
                client.login("bob", PASSWORD)
            client.login("bob", "secret")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_tls(tls, tmp_path):
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with pop3_server({"ann": [b"x"]}, tls=tls, certificate=tmp_path / "server.pem") as server:
        client = connect(server.host, server.port, tls=tls, context=trusting)
        with client:
            client.login("ann", PASSWORD)
            assert client.session.tls is not None
            assert client.session.tls.verified


def test_the_fixture(pytester):
    pytester.makeconftest('pytest_plugins = ["pop3proto.testing.fixtures"]')
    pytester.makepyfile(
        """
        import poplib, socket
        servers = []

        def test_a_client(start_pop3_server):
            server = start_pop3_server({"ann": [b"Subject: hello"]})
            servers.append(server)
            mailbox = poplib.POP3(server.host, server.port)
            mailbox.user("ann")
            mailbox.pass_("tanstaaf")
            assert mailbox.stat() == (1, 16)
            mailbox.quit()

        def test_it_is_gone_afterwards():
            with socket.socket() as sock:
                assert sock.connect_ex((servers[0].host, servers[0].port)) != 0
        """
    )
    pytester.runpytest_subprocess(
        "--disable-plugin-autoload", "-p", "no:cacheprovider", timeout=PATIENCE
    ).assert_outcomes(passed=2)
