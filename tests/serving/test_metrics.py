"""Figures for Prometheus: what they count, and that its own parser reads them."""

import asyncio
import logging
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pop3proto import CommandFailed, LoginFailed
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import connect, serve
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service, Unavailable
from pop3proto.serving import ServerMetrics
from pop3proto.serving.config import MissingExtra
from pop3proto.serving.metrics.http import MetricsServer
from tests.helpers.processes import PATIENCE


def figures(metrics):
    """The samples by name and labels, as Prometheus reads them."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


class Failing(MemoryStore):
    """A store whose maildrops cannot delete."""

    def open(self, user, session):
        maildrop = super().open(user, session)

        def commit(*_):
            raise Unavailable("the disk is full")

        maildrop.commit = commit
        return maildrop


@pytest.fixture
def metrics():
    return ServerMetrics()


def served(metrics, store=None, **options):
    store = store or MemoryStore({"ann": [b"one\n", b"two\n"]})
    users = MemoryAuthenticator({"ann": "tanstaaf"})
    service = Service(
        store=store, authenticator=users, failure_delay=0, login_penalty=None, observer=metrics, **options
    )
    return serve(service)


def test_what_a_session_does_is_counted(metrics):
    with served(metrics) as server:
        with connect(*server.address, tls="none") as client, pytest.raises(LoginFailed):
            client.login("Marker", "wrong", only=["PLAIN"])
        with connect(*server.address, tls="none") as client:
            client.login("ann", "tanstaaf", only=["PLAIN"])
            assert figures(metrics)["pop3_sessions_open",] == 1
            with connect(*server.address, tls="none") as other, pytest.raises(LoginFailed):
                other.login("ann", "tanstaaf", only=["USER/PASS"])
            client.fetch(1)
            client.fetch(2)
            client.dele(2)
    told = figures(metrics)
    assert told["pop3_sessions_total", "no"] == 3
    assert told["pop3_sessions_open",] == 0
    assert told["pop3_sessions_ended_total", "quit"] == 3
    assert told["pop3_session_seconds_count",] == 3
    assert told["pop3_logins_total", "PLAIN", "ok"] == 1
    assert told["pop3_logins_total", "PLAIN", "credentials"] == 1
    assert told["pop3_logins_total", "USER/PASS", "maildrop"] == 1
    assert told["pop3_maildrop_in_use_total",] == 1
    assert told["pop3_commands_total", "RETR"] == 2
    assert told["pop3_commands_total", "QUIT"] == 3
    assert told["pop3_retrieved_messages_total",] == 2
    assert told["pop3_deleted_messages_total",] == 1
    assert told["pop3_sent_octets_total",] > 500
    assert told["pop3_commit_failures_total",] == 0
    page = metrics.page().decode()
    for secret in ("Marker", "ann", "tanstaaf", "127.0.0.1", "wrong"):
        assert secret not in page


def test_a_commit_that_fails_is_counted(metrics):
    with served(metrics, Failing({"ann": [b"one\n"]})) as server:
        client = connect(*server.address, tls="none")
        client.login("ann", "tanstaaf")
        client.dele(1)
        with pytest.raises(CommandFailed):
            client.quit()
        client.close()
    told = figures(metrics)
    assert told["pop3_commit_failures_total",] == 1
    assert told["pop3_deleted_messages_total",] == 0


def test_a_session_that_is_cut_off_is_counted(metrics):
    with served(metrics) as server:
        connect(*server.address, tls="none").close()
        with suppress(OSError):
            import socket

            with socket.create_connection(server.address, timeout=PATIENCE) as sock:
                sock.recv(100)
                sock.sendall(b"NONSENSE\r\n")
                sock.recv(100)
    told = figures(metrics)
    assert told["pop3_sessions_open",] == 0
    assert told["pop3_commands_total", "bad"] == 1
    assert told["pop3_sessions_total", "no"] == 2


def test_sessions_without_a_place_are_counted(metrics):
    handler = metrics.counting_refusals()
    logger = logging.getLogger("pop3proto.server")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with served(metrics, max_sessions=1) as server, connect(*server.address, tls="none"), suppress(Exception):
            connect(*server.address, tls="none")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert figures(metrics)["pop3_sessions_refused_total",] == 1


def test_purges_and_quotas(metrics):
    metrics.purged(3, 4_000)
    metrics.purge_failed()
    metrics.fill(ok=5, warned=2, full=1)
    metrics.opened("warn")
    told = figures(metrics)
    assert told["pop3_logins_by_quota_total", "warn"] == 1
    assert told["pop3_purges_total", "ok"] == told["pop3_purges_total", "failed"] == 1
    assert (told["pop3_purged_messages_total",], told["pop3_purged_octets_total",]) == (3, 4_000)
    assert told["pop3_last_purge_timestamp_seconds",] > 0
    assert [told["pop3_maildrops", name] for name in ("ok", "warn", "full")] == [5, 2, 1]


def test_two_servers_have_figures_of_their_own(metrics):
    ServerMetrics().purged(1, 1)
    assert figures(metrics)["pop3_purged_messages_total",] == 0


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"metrics needs more packages: .* the extra \[metrics\] for"):
        ServerMetrics()


def test_a_python_that_the_user_cannot_read_is_no_missing_extra(monkeypatch):
    class Unreadable:
        def find_spec(self, name, path=None, target=None):
            if name == "prometheus_client":
                raise ModuleNotFoundError("No module named 'gzip'", name="gzip")

    monkeypatch.delitem(sys.modules, "prometheus_client", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Unreadable(), *sys.meta_path])
    with pytest.raises(MissingExtra, match="metrics cannot be used: No module named 'gzip'; can this user read all"):
        ServerMetrics()


# ---------------------------------------------------------------------------------------- over HTTP


def asked(path, metrics, *, well=True, method="GET"):
    """Ask once over HTTP; return status, headers and body."""

    def ask(url):
        request = urllib.request.Request(url, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    async def main():
        server = MetricsServer(metrics, lambda: well)
        host, port = await server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(ask, f"http://{host}:{port}{path}")
        finally:
            await server.close()

    return asyncio.run(main())


def test_the_figures_over_http(metrics):
    status, headers, body = asked("/metrics?x=1", metrics)
    assert (status, body) == (200, metrics.page())
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Content-Length"] == str(len(body))
    assert [*text_string_to_metric_families(body.decode())]


@pytest.mark.parametrize(
    "request_, well, status, body",
    [
        ("GET /healthz", True, 200, b"ok\n"),
        ("GET /healthz", False, 503, b"not serving\n"),
        ("HEAD /healthz", True, 200, b""),
        ("GET /", True, 404, b"there are /metrics and /healthz\n"),
        ("POST /metrics", True, 405, b"GET only\n"),
    ],
)
def test_other_answers(metrics, request_, well, status, body):
    method, path = request_.split()
    answer = asked(path, metrics, well=well, method=method)
    assert (answer[0], answer[2]) == (status, body)


def test_connections_that_say_nothing_keep_nobody_out(metrics):
    """The oldest of them makes room."""

    async def main():
        server = MetricsServer(metrics, lambda: True)
        host, port = await server.start("127.0.0.1", 0)
        try:
            idle = [await asyncio.open_connection(host, port) for _ in range(40)]
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), PATIENCE)
            for each, _ in idle[:9]:  # of 41, 32 are left
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(each.read(), PATIENCE) == b""
            for _, each in (*idle, (reader, writer)):
                each.close()
                with suppress(ConnectionError):
                    await each.wait_closed()
            return answer
        finally:
            await server.close()

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("request_", [b"", b"GET /metrics", b"x" * 20_000, b"\r\n\r\n", b"\xff \xff\r\n\r\n"])
def test_nonsense_ends_the_connection_and_nothing_else(metrics, request_):
    async def main():
        server = MetricsServer(metrics, lambda: True)
        host, port = await server.start("127.0.0.1", 0)
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request_)
            writer.write_eof()
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()
            await writer.wait_closed()
            return answer
        finally:
            await server.close()

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200 OK\r\n")
