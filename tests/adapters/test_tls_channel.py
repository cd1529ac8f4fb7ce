"""The TLS channel over memory buffers: names, pieces, and what both sides have to say while they read."""

import contextlib
import re
import select
import socket
import ssl
import threading

import pytest
import trustme

from pop3proto import blocking
from pop3proto._io.sockets import is_readable
from pop3proto._io.tls import client_context, handshake_failure, words_of
from pop3proto._io.tls_channel import TlsChannel
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.testing import pop3_server
from tests.helpers.processes import PATIENCE, join


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority):
    ours, theirs = client_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("localhost").configure_cert(theirs)
    return ours, theirs


def pair(contexts, hostname="localhost"):
    """Both ends of a channel, after the handshake."""
    client = TlsChannel(contexts[0], hostname=hostname)
    server = TlsChannel(contexts[1], server_side=True)
    done = [False, False]
    while not all(done):
        for index, (one, other) in enumerate([(client, server), (server, client)]):
            done[index] = done[index] or one.handshake()
            if octets := one.take():
                other.feed(octets)
    while octets := server.take():  # tickets
        client.feed(octets)
    return client, server


def test_a_channel_with_a_name_is_verified(contexts):
    client, server = pair(contexts)
    assert client.info().verified
    client.feed(server.write(b"+OK\r\n"))
    assert client.read() == b"+OK\r\n"


def test_without_a_name_nothing_is_verified(contexts, authority):
    """`wrap_bio` does not ask for the name that `check_hostname` needs."""
    with pytest.raises(LocalProtocolError, match="pass host="):
        TlsChannel(contexts[0])
    careless = client_context()
    careless.check_hostname = False
    authority.configure_trust(careless)
    client, _ = pair((careless, contexts[1]), hostname=None)
    assert not client.info().verified


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_no_session_begins_without_the_name(authority, tls, tmp_path):
    authority.issue_cert("evil.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    context = client_context()
    authority.configure_trust(context)
    with pop3_server({"ann": []}, tls=tls, certificate=tmp_path / "pem") as server:
        stream = socket.create_connection((server.host, server.port), PATIENCE)
        with pytest.raises(LocalProtocolError, match="pass host="):
            blocking.connect_over(stream, tls=tls, context=context)
        assert stream.fileno() == -1, "it is closed"


@pytest.mark.parametrize("together", [True, False])
def test_what_came_before_a_bad_record_counts(contexts, together):
    client, server = pair(contexts)
    good, bad = server.write(b"+OK bye\r\n"), b"no TLS record at all"
    if together:
        client.feed(good + bad)
        assert client.read() == b"+OK bye\r\n"
    else:
        client.feed(good)
        assert client.read() == b"+OK bye\r\n"
        client.feed(bad)
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            client.read()


def test_a_certificate_is_shown_when_it_is_asked_for_later(contexts, authority):
    """TLS 1.3, RFC 8446 section 4.6.2: the answer is to be sent while nothing is written."""
    ours = client_context()
    authority.configure_trust(ours)
    authority.issue_cert("ann@example.org").configure_cert(ours)
    ours.post_handshake_auth = True
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)
    authority.configure_trust(theirs)
    theirs.verify_mode, theirs.post_handshake_auth = ssl.CERT_OPTIONAL, True
    theirs.minimum_version = ssl.TLSVersion.TLSv1_3
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), PATIENCE)
        accepted, _ = listener.accept()
    asked: list[bytes | None] = []

    def serve():
        with theirs.wrap_socket(accepted, server_side=True) as tls:
            tls.settimeout(PATIENCE)
            tls.sendall(b"+OK ready\r\n")
            assert tls.recv(100) == b"CAPA\r\n"
            tls.verify_client_post_handshake()
            tls.write(b"-ERR ")  # with it the request goes out
            tls.setblocking(False)
            while tls.getpeercert(binary_form=True) is None:
                assert select.select([tls], [], [], PATIENCE)[0]
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.read(1)
            tls.settimeout(PATIENCE)
            asked.append(tls.getpeercert(binary_form=True))
            tls.sendall(b"no\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with blocking.connect_over(client, host="localhost", context=ours) as session:
        assert session.capa() is None
        session.close()
    join(thread)
    assert asked[0] is not None


@pytest.mark.parametrize("error", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
def test_a_stream_that_ends_in_the_handshake_is_told_alike_by_every_python(error):
    failure = handshake_failure(error(6, "as OpenSSL says it"))
    assert str(failure) == "the TLS handshake failed: the peer closed the connection"


GREETING = b"+OK ready\r\n"


@pytest.mark.parametrize(
    "first, message",
    [
        (
            GREETING,
            r"server does not begin TLS at once .*: it sent '\+OK ready'; use another port, or .*greeting$",
        ),
        (b"+", r"does not begin TLS at once on this port: it sent '\+'; use another port, or .*greeting$"),
        (b"+OK one\n-ERR two\n", r"it sent '\+OK one'; use another port, or .*greeting$"),
        (b"\r\n", r"it sent ''; use another port, or .*greeting$"),
        (
            b"220-a.example ESMTP\r\n220 b",
            r"the server sent '220-a.example ESMTP' \(.*like SMTP.*\); use another port$",
        ),
        (b"HTTP/1.1 400 x\r\nServer: y\r\n", r"the server sent 'HTTP/1.1 400 x' \(.*like HTTP.*\); use another port$"),
        (
            b"\x15\x03\x03\x00\x02\x02\x28",
            r"the TLS handshake failed: the peer sent the alert 'handshake failure': the",
        ),
        (
            b"\x15\x03\x03\x00\x02\x02\x46",
            r"sent the alert 'protocol version': the two have no version of TLS in common$",
        ),
        (b"\x15\x03\x03\x00\x02\x02\x50", r"the TLS handshake failed: the peer sent the alert 'internal error'$"),
        (b"\x15\x03\x03\x00\x02\x02\x70", r"sent the alert 'unrecognized name': it does not know the host name$"),
        (b"\x15\x03\x03\x00\x02\x02\x74", r"sent the alert 'certificate required': it wants a certificate of the"),
        (b"\x15\x03\x03\x00\x02\x02\x78", r"sent the alert 'no application protocol': it does not offer POP3"),
        (b"\x16\x03\x03\x00\x05abcde", r"the TLS handshake failed: [a-z ]+$"),
    ],
)
def test_a_client_names_what_came_in_place_of_tls(contexts, first, message):
    client = TlsChannel(contexts[0], hostname="localhost")
    client.handshake()
    client.feed(first + b"x" * 10)
    with pytest.raises(ssl.SSLError) as failure:
        client.handshake()
    assert re.search(message, str(client.failure(failure.value, first)))


def test_where_tls_was_announced_it_is_not_the_port_that_is_wrong(contexts):
    client = TlsChannel(contexts[0], hostname="localhost")
    client.handshake()
    client.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as failure:
        client.handshake()
    message = "the TLS handshake failed: the server sent 'HTTP/1.1 400 x' in clear where the TLS handshake was due"
    assert str(client.failure(failure.value, b"HTTP/1.1 400 x\r\n", announced=True)) == message


@pytest.mark.parametrize(
    "first, what",
    [
        (GREETING, "the server sent '+OK ready' in clear where the TLS handshake was due"),
        (
            b"220-a.example ESMTP\r\n220 b",
            "the server sent '220-a.example ESMTP' in clear where the TLS handshake was due",
        ),
        (b"", "the peer closed the connection"),
    ],
)
def test_where_tls_was_spoken_before_it_is_not_the_port_that_is_wrong(contexts, first, what):
    """To go on without TLS is what an attacker would advise."""
    client = TlsChannel(contexts[0], hostname="localhost")
    failure = client.failure(ssl.SSLEOFError(8, "as OpenSSL says it"), first, before=True)
    between = "; TLS worked there before, so somebody may be intercepting the connection"
    assert str(failure) == f"the TLS handshake failed: {what}{between}"


NOT_HERE = ", and may not use TLS on this port: use another port, or begin TLS after the greeting"


@pytest.mark.parametrize(
    "server_side, first, announced, hint",
    [
        (False, b"", False, NOT_HERE),
        (False, b"", True, ""),
        (False, b"\x16\x03\x03", False, ""),
        (True, b"", False, ""),
    ],
)
def test_a_peer_that_hangs_up_or_says_nothing(contexts, server_side, first, announced, hint):
    channel = TlsChannel(contexts[server_side], server_side=server_side, hostname=None if server_side else "localhost")
    ended = channel.failure(ssl.SSLEOFError(8, "as OpenSSL says it"), first, announced=announced)
    assert (type(ended), str(ended)) == (
        ConnectionLost,
        f"the TLS handshake failed: the peer closed the connection{hint}",
    )
    late = channel.failure(TimedOut("the peer sent nothing in time"), first, announced=announced)
    silent = "" if first else f": the peer has sent nothing{hint}"
    assert (type(late), str(late)) == (TimedOut, f"the TLS handshake was not done in time{silent}")


NOT_ACCEPTED = "it does not accept the certificate that it was shown, or cannot verify it now"


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "[SSL: SSLV3_ALERT_BAD_RECORD_MAC] sslv3 alert bad record mac (_ssl.c:1006)",
            "the peer sent the alert 'bad record mac'",
        ),
        (
            "[SSL: SSL/TLS_ALERT_X] ssl/tls alert unknown ca (_ssl.c:1032)",
            f"the peer sent the alert 'unknown ca': {NOT_ACCEPTED}",
        ),
        ("[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol (_ssl.c:1006)", "unsupported protocol"),
        ("[SSL] record layer failure (_ssl.c:2580)", "record layer failure"),
        ("The operation did not complete", "The operation did not complete"),
    ],
)
def test_what_openssl_says_without_its_files_and_lines(text, words):
    assert words_of(ssl.SSLError(1, text)) == words


def test_a_server_names_a_client_that_speaks_in_clear(contexts):
    server = TlsChannel(contexts[1], server_side=True)
    server.feed(b"USER ann\r\n")
    with pytest.raises(ssl.SSLError) as failure:
        server.handshake()
    message = "the TLS handshake failed: the client sent octets in clear"
    assert str(server.failure(failure.value, b"USER ann\r\n")) == message


def test_what_waits_in_a_socket():
    left, right = socket.socketpair()
    assert not is_readable(left)
    right.send(b"x")
    assert is_readable(left)
    left.recv(1)
    right.close()
    assert is_readable(left), "the end of the stream is news"
    left.close()
    assert not is_readable(left)
