"""Tokens that an authorization server is asked about."""

import json
import logging
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pop3proto.authenticators import TokenIntrospection
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.channel import SessionInfo
from pop3proto.testing.certificates import authority, certificate_file
from pop3proto.testing.identity import identity_provider
from tests.helpers.processes import PATIENCE, join

HERE = SessionInfo()


@pytest.fixture
def provider():
    with identity_provider(clients={"pop": "s3cret /+", "other": None}) as provider:
        yield provider


def asking(provider, **options):
    clock = options.pop("clock", lambda: provider.now)
    return TokenIntrospection(
        provider.introspection_endpoint, "pop", options.pop("secret", "s3cret /+"), clock=clock, **options
    )


def test_a_token_is_asked_about(provider):
    tokens = asking(provider)
    assert tokens.blocks
    token = provider.issue("ann").access_token
    assert tokens.check_token("ann", token, HERE) == "ann"
    assert tokens.check_token("", token, HERE) == "ann"
    assert tokens.check_token("bob", token, HERE) is None
    assert tokens.check_token("ann", "unknown", HERE) is None
    assert tokens.check_token("ann", "\udc80é\r\n&token=x", HERE) is None


def test_the_owner_of_a_token_has_the_domain_of_the_listener(provider):
    tokens, there = asking(provider), SessionInfo(domain="example.org")
    for owner, user in (("ann", "ann@example.org"), ("ann@example.org", "ann@example.org"), ("ann@b.org", "ann@b.org")):
        token = provider.issue(owner).access_token
        assert tokens.check_token(user, token, there) == user
        assert tokens.check_token("", token, there) == user
        assert tokens.check_token("ann@other.example", token, there) is None
    token = provider.issue("ann").access_token
    assert tokens.check_token("ann", token, HERE) == "ann"
    assert tokens.check_token("ann@example.org", token, HERE) is None


def test_a_valid_token_is_remembered_until_its_end_at_most(provider):
    tokens = asking(provider, cache=7200)
    token = provider.issue("ann").access_token
    for _ in range(3):
        assert tokens.check_token("ann", token, HERE) == "ann"
    assert len(provider.requests) == 1
    provider.pass_time(3_599)
    assert tokens.check_token("ann", token, HERE) == "ann"
    assert len(provider.requests) == 1
    provider.pass_time(1)
    assert tokens.check_token("ann", token, HERE) is None
    assert len(provider.requests) == 2


def test_a_token_that_is_revoked_is_good_for_the_time_of_the_cache(provider):
    tokens = asking(provider, cache=60)
    token = provider.issue("ann").access_token
    assert tokens.check_token("ann", token, HERE) == "ann"
    provider.revoke(token)
    provider.pass_time(59)
    assert tokens.check_token("ann", token, HERE) == "ann"
    provider.pass_time(1)
    assert tokens.check_token("ann", token, HERE) is None


def test_what_is_not_valid_is_asked_about_again(provider):
    tokens = asking(provider)
    for _ in range(2):
        assert tokens.check_token("ann", "unknown", HERE) is None
    assert len(provider.requests) == 2
    always = asking(provider, cache=0)
    token = provider.issue("ann").access_token
    for _ in range(2):
        assert always.check_token("ann", token, HERE) == "ann"
    assert len(provider.requests) == 4


def test_scope(provider):
    tokens = asking(provider, scope="mail")
    assert tokens.check_token("", provider.issue("ann", scope="x mail").access_token, HERE) == "ann"
    for scope in ("", "email", "mail2"):
        assert tokens.check_token("", provider.issue("ann", scope=scope).access_token, HERE) is None


@pytest.mark.parametrize(
    "options, failure, why",
    [
        ({"secret": "wrong"}, None, "the server refuses this client (401): check client_id and its secret"),
        ({}, 503, "the server answers with status 503"),
        ({"username": "email"}, None, "the answer for a valid token has no member email"),
    ],
)
def test_what_cannot_be_asked_is_no_wrong_token(provider, caplog, options, failure, why):
    tokens = asking(provider, **options)
    token = provider.issue("ann").access_token
    if failure is not None:
        provider.fail_next(failure)
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        tokens.check_token("ann", token, HERE)
    assert f"tokens cannot be checked: 127.0.0.1: {why}" in caplog.text
    assert token not in caplog.text
    assert "s3cret" not in caplog.text


def test_a_server_that_does_not_answer_is_given_up(provider, caplog):
    provider.fail_next("hang")
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        asking(provider, timeout=0.05).check_token("ann", "x", HERE)
    assert "timed out" in caplog.text


def test_a_server_that_is_not_there_is_said(caplog):
    with identity_provider() as gone:
        pass
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        asking(gone).check_token("ann", "x", HERE)
    assert "refused" in caplog.text


# -------------------------------------------------------------------------------- answers of all kinds


@contextmanager
def answering(status=200, body=b"{}", headers=(), context=None):
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(HTTPServer):
        def handle_error(self, *_):
            """A client that does not trust the certificate is gone."""

    with Server(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if context is not None:
            scheme = "https"
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{server.server_port}/introspect?x=1"
        finally:
            server.shutdown()
            join(thread)


def verdict(answer, **options):
    with answering(body=json.dumps(answer).encode()) as url:
        return TokenIntrospection(url, "pop", "s", clock=lambda: 100.0, **options).check_token("", "t", HERE)


@pytest.mark.parametrize(
    "change, options, owner",
    [
        ({}, {}, "ann"),
        ({"active": False}, {}, None),
        ({"active": "true"}, {}, None),
        ({"active": 1}, {}, None),
        ({"exp": 100}, {}, None),
        ({"exp": 101}, {}, "ann"),
        ({"exp": "101"}, {}, None),
        ({"nbf": 101}, {}, None),
        ({"nbf": 100}, {}, "ann"),
        ({"nbf": "x"}, {}, None),
        ({"cnf": {"jkt": "x"}}, {}, None),
        ({}, {"audience": "pop"}, None),
        ({"aud": "pop"}, {"audience": "pop"}, "ann"),
        ({"aud": ["x", "pop"]}, {"audience": "pop"}, "ann"),
        ({"aud": ["x"]}, {"audience": "pop"}, None),
        ({"aud": "popx"}, {"audience": "pop"}, None),
        ({"scope": ["mail"]}, {"scope": "mail"}, None),
        ({"email": "bob@x.org"}, {"username": "email"}, "bob@x.org"),
        ({"username": "a\x01"}, {}, None),
    ],
)
def test_what_makes_a_token_valid(change, options, owner):
    assert verdict({"active": True, "username": "ann", **change}, **options) == owner


@pytest.mark.parametrize(
    "arguments",
    [
        {"body": b"[]"},
        {"body": b"x"},
        {"body": b"\xff"},
        {"body": b"[" * 60_000},
        {"body": b'{"active": false, "username": "ann", "active": true}'},
        {"body": b'{"a":' * 10_000},
        {"body": b" " * 70_000},
        {"status": 302, "headers": [("Location", "https://elsewhere.example/")]},
        {"status": 204},
        {"status": 403},
    ],
)
def test_an_answer_that_makes_no_sense_is_no_wrong_token(arguments):
    with answering(**arguments) as url, pytest.raises(Unavailable):
        TokenIntrospection(url, "pop", "s").check_token("", "t", HERE)


@pytest.mark.parametrize("url", ["http://id.example.org/x", "https:///x", "ftp://127.0.0.1/", "id.example.org"])
def test_tokens_are_not_sent_in_clear(url):
    with pytest.raises(ValueError, match="the URL must begin with https://"):
        TokenIntrospection(url, "pop", "s")


@pytest.mark.parametrize(
    "url, why",
    [
        ("https://h.example/é", "percent-encoded"),
        ("https://h.example/a b", "no blanks"),
        ("https://h.example/?a=ü", "percent-encoded"),
        ("https://a..b/", "no host name"),
        ("https://a b/", "no host name"),
        ("https://" + "a" * 70 + "/", "no host name"),
        ("https://h.example:99999/", "Port out of range"),
        ("https://ann:pw@h.example/", "must not hold a user name"),
    ],
)
def test_a_url_that_nothing_can_be_sent_to_is_refused_at_once(url, why):
    with pytest.raises(ValueError, match=why) as failed:
        TokenIntrospection(url, "pop", "s")
    assert "pw" not in str(failed.value)


@contextmanager
def sending(beginning, again):
    """A server that sends something, and then something else for as long as it is let."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.settimeout(PATIENCE)
                connection.recv(65_536)
                connection.sendall(beginning)
                while True:
                    connection.sendall(again)
                    time.sleep(0.001)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        join(thread)


@pytest.mark.parametrize(
    "beginning, again",
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" "),
    ],
)
def test_an_answer_that_never_ends_is_given_up(caplog, beginning, again):
    with sending(beginning, again) as url, caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        TokenIntrospection(url, "pop", "s", timeout=0.2).check_token("", "t", HERE)
    # Newer Pythons bear so many answers of 100 only.
    assert "timed out" in caplog.text or "interim responses" in caplog.text


def test_a_certificate_that_is_not_trusted_gets_no_token(tmp_path, caplog):
    body = b'{"active": true, "username": "ann"}'
    with certificate_file() as file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        with answering(body=body, context=context) as url:
            with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
                TokenIntrospection(url, "pop", "s").check_token("", "t", HERE)
            assert "certificate verify failed" in caplog.text
            (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
            trusting = TokenIntrospection(url, "pop", "s", ca=tmp_path / "ca.pem")
            assert trusting.check_token("", "t", HERE) == "ann"
