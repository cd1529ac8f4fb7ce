"""HAProxy in front of our server: what it announces counts, and a clear password from far away is refused."""

import contextlib
import socket

import attrs
import pytest

from pop3proto import blocking
from pop3proto._io.listener import Listener, ProxyProtocol
from pop3proto.core.refusals import CommandFailed, LoginFailed
from pop3proto.testing.certificates import certificate_file, client_context
from tests.adapters.test_listeners import REMOTE, Whoever, talk
from tests.adapters.test_serve import PATIENCE, adapter, service  # noqa: F401 - one is a fixture
from tests.helpers.processes import started, wait_until
from tests.helpers.proxy_headers import line

pytestmark = [pytest.mark.interop, pytest.mark.deep]

HERE = ProxyProtocol(networks=["127.0.0.1"])
WAYS = ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl proxy-v2-options authority,crc32c")

CONFIGURATION = """
global
  maxconn 100
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen pop3
  bind fd@{front} {accepts}
  server pop3 127.0.0.1:{back} {way}
"""


@contextlib.contextmanager
def haproxy(program, folder, server, way, *, pem=None, check=""):
    """HAProxy between the address that is yielded and a server; whom it is to announce, clients say by a header."""
    with socket.create_server(("127.0.0.1", 0)) as front:
        accepts = f"accept-proxy ssl crt {pem}" if pem else "accept-proxy"
        file = folder / "haproxy.cfg"
        file.write_text(
            CONFIGURATION.format(
                front=front.fileno(), accepts=accepts, back=server.address[1], way=f"{way} {check}".strip()
            )
        )
        command = (program, "-db", "-f", file)
        with started(*command, pass_fds=[front.fileno()]):
            yield front.getsockname()


def client(address, announced, **arguments):
    sock = socket.create_connection(address, PATIENCE)
    sock.sendall(line(announced, "2001:db8::1" if ":" in announced else "127.0.0.1"))
    return blocking.connect_over(sock, host="localhost", timeout=PATIENCE, **arguments)


@pytest.fixture(scope="module")
def pem():
    with certificate_file() as path:
        yield path


@pytest.mark.parametrize("way", WAYS)
def test_a_clear_password_from_far_away_is_refused(adapter, require_program, tmp_path, way):  # noqa: F811
    """HAProxy is on this machine, and the default takes clear passwords from this machine."""
    program, whoever = require_program("haproxy"), Whoever()
    with (
        adapter.entered(service(authenticator=whoever), listeners=[Listener(proxy_protocol=HERE)]) as server,
        haproxy(program, tmp_path, server, way) as front,
    ):
        far = client(front, REMOTE, tls="none", cleartext="always")
        with far, pytest.raises((CommandFailed, LoginFailed), match="TLS"):
            far.login("ann", "tanstaaf", only=["USER/PASS"])
        with client(front, "127.0.0.1", tls="none", cleartext="always") as near:
            near.login("ann", "tanstaaf")
    assert [session.address for session in whoever.sessions] == ["127.0.0.1"]


@pytest.mark.parametrize("announced", ["2001:db8::7", "198.51.100.8"])
@pytest.mark.parametrize("way", WAYS)
def test_what_it_announces(adapter, require_program, tmp_path, way, announced):  # noqa: F811
    program, whoever = require_program("haproxy"), Whoever()
    served = service(authenticator=whoever, cleartext="always")
    with (
        adapter.entered(served, listeners=[Listener(proxy_protocol=HERE)]) as server,
        haproxy(program, tmp_path, server, way) as front,
        client(front, announced, tls="none", cleartext="always") as far,
    ):
        far.login("ann", "tanstaaf")
        assert far.stat().count == 1
    [session] = whoever.sessions
    assert session.address == announced


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_tls_that_ends_at_haproxy(adapter, require_program, tmp_path, pem, way, trusted):  # noqa: F811, PLR0917
    """It counts if HAProxy is trusted, and says that there is TLS."""
    program, whoever = require_program("haproxy"), Whoever()
    proxies = attrs.evolve(HERE, trust_tls=trusted)
    with (
        adapter.entered(service(authenticator=whoever), listeners=[Listener(proxy_protocol=proxies)]) as server,
        haproxy(program, tmp_path, server, way, pem=pem) as front,
        client(front, REMOTE, tls="implicit", context=client_context()) as far,
    ):
        if trusted and "ssl" in way:
            far.login("ann", "tanstaaf")
        else:
            with pytest.raises(LoginFailed, match="TLS"):
                far.login("ann", "tanstaaf", only=["USER/PASS"])
    for session in whoever.sessions:
        assert session.tls is not None
        assert session.tls.version.startswith("TLSv1.")
        assert session.server_name == ("localhost" if "authority" in way else None)


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
def test_tls_that_haproxy_passes_on(adapter, require_program, tmp_path, pem, mode):  # noqa: F811
    program, whoever = require_program("haproxy"), Whoever()
    listener = Listener(proxy_protocol=HERE, tls=mode)
    with (
        adapter.entered(service(authenticator=whoever), listeners=[listener], certificate=pem) as server,
        haproxy(program, tmp_path, server, "send-proxy-v2") as front,
        client(front, REMOTE, tls=mode, context=client_context()) as far,
    ):
        far.login("ann", "tanstaaf")
    assert [(session.address, session.server_name) for session in whoever.sessions] == [(REMOTE, "localhost")]


@pytest.mark.parametrize("way", ["send-proxy", "send-proxy-v2"])
def test_its_own_checks_are_served(adapter, require_program, tmp_path, caplog, way):  # noqa: F811
    """They come without a client: LOCAL, or HAProxy's own address."""
    caplog.set_level("INFO", "pop3proto.server")
    program = require_program("haproxy")
    with (
        adapter.entered(service(), listeners=[Listener(proxy_protocol=HERE)]) as server,
        haproxy(program, tmp_path, server, way, check="check check-send-proxy inter 100ms") as front,
    ):
        assert talk(front, line("127.0.0.1", "127.0.0.1"), b"QUIT\r\n").count(b"+OK") == 2
        wait_until(lambda: caplog.text.count("from 127.0.0.1: ended") > 1, "no check has come")
    assert "PROXY" not in caplog.text
