"""`pop3proto serve --config` among programs of the system: HAProxy, systemd's activation, curl, Prometheus' parser."""

import contextlib
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pop3proto import CommandFailed, LoginFailed
from pop3proto.blocking import connect
from pop3proto.testing.certificates import authority, certificate_file
from tests.adapters.test_listeners import REMOTE
from tests.helpers.processes import started, wait_until
from tests.helpers.programs import PATIENCE, free_ports, run
from tests.interop.test_haproxy import client, haproxy

pytestmark = [pytest.mark.interop, pytest.mark.deep]


@pytest.fixture
def site(tmp_path):
    """Writes a configuration, and returns its path."""
    (tmp_path / "users").write_text("ann:{PLAIN}tanstaaf\n")
    for folder in ("new", "cur", "tmp"):
        (tmp_path / "ann" / folder).mkdir(parents=True)
    (tmp_path / "ann" / "new" / "1700000000.M1P1.host").write_bytes(b"Subject: hello\n\nhello\n")

    def write(listen, text=""):
        file = tmp_path / "serve.toml"
        file.write_text(
            f'listen = {listen}\nusers = {{ passwd_file = "{tmp_path}/users" }}\n'
            f'maildrops = {{ maildir = "{tmp_path}/{{user}}" }}\nlog = {{ to = "{tmp_path}/log" }}\n{text}'
        )
        return file

    return write


@contextlib.contextmanager
def serving(file, *before):
    """Run the server, maybe by another program; yield the ports that it names."""
    command = (*before, sys.executable, "-m", "pop3proto", "serve", "--config", str(file))
    with started(*command, stdout=subprocess.PIPE, text=True) as process:
        if before:
            yield []
        else:
            yield [int(port) for port in re.findall(r"port (\d+)", process.stdout.readline())]
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_the_address_that_haproxy_announces_counts(site, tmp_path, require_program):
    """HAProxy is on this machine, and clear passwords are taken from this machine: not from who is behind it."""
    program = require_program("haproxy")
    file = site('{ address = "127.0.0.1:0", proxy_protocol = { from = "127.0.0.1" } }')
    with serving(file) as [port]:
        server = SimpleNamespace(address=("127.0.0.1", port))
        with haproxy(program, tmp_path, server, "send-proxy-v2") as front:
            far = client(front, REMOTE, tls="none", cleartext="always")
            with far, pytest.raises((CommandFailed, LoginFailed), match="TLS"):
                far.login("ann", "tanstaaf", only=["USER/PASS"])
            with client(front, "127.0.0.1", tls="none", cleartext="always") as near:
                near.login("ann", "tanstaaf")
    assert f"from {REMOTE}: ended: user=- " in (tmp_path / "log").read_text()


def test_systemd_opens_its_socket(site, require_program):
    program = require_program("systemd-socket-activate")
    port, _ = free_ports()
    file = site('{ systemd = "pop3", tls = "none" }')
    paths = {name: os.environ[name] for name in ("PYTHONPATH", "PATH") if name in os.environ}
    passed = [f"--setenv={name}={value}" for name, value in paths.items()]
    with serving(file, program, f"--listen=127.0.0.1:{port}", "--fdname=pop3", *passed):

        def logged_in():
            with (
                contextlib.suppress(OSError),
                connect("127.0.0.1", port, tls="none", timeout=PATIENCE) as session,
            ):
                session.login("ann", "tanstaaf")
                return session.stat().count == 1

        wait_until(logged_in, "the server does not answer")


def test_curl_fetches_over_tls_and_prometheus_reads_the_figures(site, tmp_path, require_program):
    curl = require_program("curl")
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    with certificate_file() as pem:
        text = f'metrics = {{ address = "127.0.0.1:0" }}\n[tls]\ncertificate = "{pem}"\n'
        file = site('[{ address = "127.0.0.1:0", tls = "implicit" }, { address = "127.0.0.1:0" }]', text)
        with serving(file) as [implicit, starttls, metrics]:
            common = ("--silent", "--show-error", "--cacert", tmp_path / "ca.pem", "--user", "ann:tanstaaf")
            for url, more in (
                (f"pop3s://localhost:{implicit}/1", ()),
                (f"pop3://localhost:{starttls}/1", ("--ssl-reqd",)),
            ):
                assert run(curl, *common, *more, url).stdout.endswith("\nhello\n")
            page = run(curl, "--silent", f"http://127.0.0.1:{metrics}/metrics").stdout
            assert run(curl, "--silent", f"http://127.0.0.1:{metrics}/healthz").stdout == "ok\n"
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["pop3_sessions_total", "yes"] == samples["pop3_sessions_total", "no"] == 1
    assert samples["pop3_retrieved_messages_total",] == 2
    assert "tls=TLSv1.3" in (tmp_path / "log").read_text()
