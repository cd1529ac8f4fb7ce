"""TLS: verified unless a program says otherwise, begun by STLS or from the start, and closed if it fails."""

import inspect
import socket
import ssl

import pytest

from pop3proto import CertificateError, RemoteProtocolError, poplib as ours
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import InjectAtStls, LongLine, TlsFails, TrailingJunk

MAIL = [b"Subject: one\n\none\n"]


@pytest.fixture(scope="module")
def implicit():
    with pop3_server({"ann": MAIL}, tls="implicit") as server:
        yield server


@pytest.fixture(scope="module")
def starttls():
    with pop3_server({"ann": MAIL}, tls="starttls") as server:
        yield server


def test_a_session_under_tls(implicit):
    context = implicit.client_context
    with ours.POP3_SSL(implicit.host, implicit.port, context=context) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.context is context is client.context
        assert client.sock.gettimeout() == ours.TIMEOUT
        client.user("ann")
        client.pass_(PASSWORD)
        assert client.retr(1)[1] == [b"Subject: one", b"", b"one"]
        with pytest.raises(ours.error_proto, match="-ERR TLS session already established"):
            client.stls()
        assert client.client.tls.verified


def test_the_client_under_tls_binds_its_login_to_the_channel(implicit):
    with ours.POP3_SSL(implicit.host, implicit.port, context=implicit.client_context) as client:
        client.login("ann", PASSWORD)
        assert client.client.tls.bindings
        assert len(client.messages()) == 1


def test_a_certificate_of_nobody_is_refused_and_the_error_names_the_way_out(implicit):
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        ours.POP3_SSL(implicit.host, implicit.port)
    error = caught.value
    assert isinstance(error, CertificateError)
    assert isinstance(error, ssl.CertificateError)
    assert isinstance(error, OSError)
    assert (error.host, error.port) == (implicit.host, implicit.port)
    assert error.verify_code
    assert error.verify_message
    for words in (f"certificate of {implicit.host}", "create_default_context(cafile=", "poplib.insecure()"):
        assert words in str(error)


def test_without_verification_if_the_program_says_so(implicit):
    with ours.POP3_SSL(implicit.host, implicit.port, context=ours.insecure()) as client:
        assert client.noop is not None
        assert client.client.tls is not None
        assert not client.client.tls.verified


def test_a_context_of_the_program_is_used_as_it_is(implicit):
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        ours.POP3_SSL(implicit.host, implicit.port, context=context)
    assert not isinstance(caught.value, ours.CertificateRefused)


def test_the_arguments_are_those_of_every_python():
    names = [*inspect.signature(ours.POP3_SSL).parameters]
    assert names == ["host", "port", "keyfile", "certfile", "timeout", "context"]
    for options in ({"keyfile": "x"}, {"certfile": "x"}):
        with pytest.raises(ValueError, match="mutually exclusive"):
            ours.POP3_SSL("localhost", 1, context=ssl.create_default_context(), **options)
    with pytest.raises(ValueError, match="certfile must be specified"):
        ours.POP3_SSL("localhost", 1, keyfile="x")
    with pytest.raises(FileNotFoundError):
        ours.POP3_SSL("localhost", 1, certfile="/no/such/file")


def test_stls_begins_tls(starttls):
    with ours.POP3(starttls.host, starttls.port) as client:
        before = client.client
        assert client.stls(context=starttls.client_context).startswith(b"+OK")
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.client is not before
        assert client.client.tls.verified
        assert client.client.greeting.timestamp is None  # nothing protected it
        assert "STLS" not in client.capa()
        with pytest.raises(ours.error_proto, match="-ERR TLS session already established"):
            client.stls()
        client.user("ann")
        client.pass_(PASSWORD)
        assert client.stat() == (1, 21)


def test_stls_verifies_and_closes_if_that_fails(starttls):
    client = ours.POP3(starttls.host, starttls.port)
    with pytest.raises(ours.CertificateRefused, match=r"insecure\(\)"):
        client.stls()
    assert client.sock is client.file is None
    with pytest.raises(ours.OutOfStep):
        client.user("ann")


def test_stls_of_a_server_that_has_none_goes_on_in_clear():
    with pop3_server({"ann": MAIL}) as server, ours.POP3(server.host, server.port) as client:
        with pytest.raises(ours.error_proto, match="-ERR STLS not supported by server"):
            client.stls()
        client.user("ann")
        client.pass_(PASSWORD)
        assert client.stat() == (1, 21)


def test_octets_in_clear_behind_the_answer_to_stls_are_refused():
    with pop3_server({"ann": MAIL}, tls="starttls", faults=[InjectAtStls()]) as server:
        client = ours.POP3(server.host, server.port)
        with pytest.raises(RemoteProtocolError, match="in clear behind its answer to STLS"):
            client.stls(server.client_context)
        assert client.sock is None


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_handshake_that_fails_is_an_error_of_the_system(tls):
    with pop3_server({"ann": MAIL}, tls=tls, faults=[TlsFails()]) as server:
        context = server.client_context

        def connect():
            if tls == "implicit":
                return ours.POP3_SSL(server.host, server.port, context=context)
            return ours.POP3(server.host, server.port).stls(context)

        with pytest.raises(OSError) as caught:  # noqa: PT011 - it differs by the system
            connect()
        assert not isinstance(caught.value, ours.error_proto)


def test_what_was_not_asked_for_is_seen_under_tls(implicit):
    """Under TLS 1.3 a server sends tickets unasked, which are no answer."""
    with ours.POP3_SSL(implicit.host, implicit.port, context=implicit.client_context) as client:
        for _ in range(3):
            assert "TOP" in client.capa()


@pytest.mark.parametrize("octets", [8_190, 8_191, 8_192, 8_193])
@pytest.mark.parametrize("polls", [True, False], ids=["poll", "select"])
def test_what_was_decrypted_and_not_read_is_seen(octets, polls, monkeypatch):
    """It waits in the library for TLS, and in the system no more: one read takes 8,192 octets of a record."""
    if not polls:  # as under Windows
        monkeypatch.delattr("select.poll", raising=False)
    faults = [LongLine(on="NOOP", octets=octets - len(b"+OK \r\n")), TrailingJunk(after="NOOP", octets=b"+OK 1 1\r\n")]
    with pop3_server({"ann": MAIL}, tls="implicit", faults=faults) as server:
        client = ours.POP3_SSL(server.host, server.port, context=server.client_context)
        client.user("ann")
        client.pass_(PASSWORD)
        if octets > client.limits.reply_line:
            with pytest.raises(ours.Garbled):
                client.noop()
        else:
            assert len(client.noop()) == octets - 2
        with pytest.raises(ours.OutOfStep):
            client.stat()
        client.close()


def test_a_subclass_may_wrap_its_own_socket(implicit):
    class Pinned(ours.POP3_SSL):
        def _create_socket(self, timeout):
            sock = socket.create_connection((implicit.host, self.port), timeout)
            return implicit.client_context.wrap_socket(sock, server_hostname=implicit.host)

    with Pinned("pop.example.org", implicit.port) as client:
        assert client.login("ann", PASSWORD)
        assert client.stat() == (1, 21)
