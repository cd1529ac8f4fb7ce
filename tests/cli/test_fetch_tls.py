"""`pop3proto fetch`: nothing is said to a server that TLS does not vouch for."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import pytest

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.maildrops import MemoryStore
from tests.helpers import cli_servers
from tests.helpers.cli_servers import (
    MAIL,
    PASSWORD,
    STORED,
    HangUp,
    Scripted,
    at,
    body,
    fetch_in_clear as fetch,
    name_of,
    serving,
    stored,
)
from tests.helpers.cli_tls import both, fetch_tls, serving_tls
from tests.helpers.processes import PATIENCE, join


@both
def test_tls_with_an_authority_of_ones_own(target, authority, tls, capsys):
    with serving_tls(MemoryStore({"ann": MAIL}), authority.certificate(), tls) as port:
        assert fetch_tls(tls, port, target, *authority.trusted) == 0
    assert stored(target) == sorted(STORED)
    assert capsys.readouterr() == (f"{name_of(port)}: 3 messages fetched (58 B)\n", "")


@both
@pytest.mark.parametrize("options", [(), ("--allow-cleartext",)])
def test_an_unknown_authority_is_refused(target, authority, capsys, tls, options):
    with serving_tls(MemoryStore(), authority.certificate(), tls) as port:
        assert fetch_tls(tls, port, target, *options) == 77
    error = capsys.readouterr().err
    assert error.startswith(f"{name_of(port)}: the certificate of 127.0.0.1, port {port}, was not accepted: ")
    assert error.endswith("; to trust its issuer, use --ca-file FILE\n")


@both
@pytest.mark.parametrize("options", [(), ("--allow-cleartext",)])
def test_a_certificate_for_another_name_is_refused(target, authority, capsys, tls, options):
    with serving_tls(MemoryStore(), authority.certificate("pop.example.org"), tls) as port:
        assert fetch_tls(tls, port, target, *authority.trusted, *options) == 77
    error = capsys.readouterr().err
    assert "IP address mismatch" in error
    assert error.endswith("; connect to a name that the certificate is for\n")


@pytest.mark.parametrize("options", [(), ("--allow-cleartext",)])
def test_tls_to_a_server_without(target, capsys, options):
    with serving(MemoryStore()) as server:
        assert fetch_tls("implicit", server.address[1], target, *options) == 75
    error = capsys.readouterr().err
    why = "the server does not begin TLS at once on this port: it sent '+OK POP3 server ready"
    assert error.startswith(f"{at(server)}the TLS handshake failed: {why}")
    assert error.endswith("; use a pop:// URL, or another port\n")


def test_stls_is_taken_even_where_clear_text_is_allowed(target, authority):
    heard: list[str] = []

    class Spy(MemoryAuthenticator):
        def scram_keys(self, user, algorithm, session, /):
            heard.append(session.tls.version)
            return super().scram_keys(user, algorithm, session)

    certificate = authority.certificate()
    with serving_tls(MemoryStore({"ann": MAIL}), certificate, "starttls", Spy({"ann": PASSWORD})) as port:
        assert fetch_tls("starttls", port, target, *authority.trusted, "--allow-cleartext") == 0
    assert heard
    assert stored(target) == sorted(STORED)


STRIPPED = (
    "; without TLS, others on the network between here and there could read password and mail: "
    "use TLS at once (pops://), or allow cleartext if you accept that"
)


def test_without_stls_it_goes_no_further(target, capsys):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch_tls("starttls", server.address[1], target) == 77
    assert capsys.readouterr().err == (f"{at(server)}the server refused STLS: STLS is not supported here{STRIPPED}\n")
    assert stored(target) == []


@pytest.mark.parametrize(
    "answers, status",
    [
        ({}, 77),
        ({"STLS": b"-ERR\r\n"}, 77),
        ({"STLS": HangUp(b"-ERR [SYS/TEMP] no TLS today\r\n")}, 75),
        ({"STLS": HangUp(b"")}, 75),
        ({"STLS": HangUp(b"+OK\r\n")}, 75),
        ({"STLS": b"+OK begin\r\n+OK and what is this?\r\n"}, 75),
        ({"STLS": b"+OK begin\r\n-ERR in clear\r\n"}, 75),
        ({"STLS": b"what?\r\n"}, 75),
        ({"CAPA": body("USER", "UIDL", "SASL PLAIN"), "STLS": b"-ERR what?\r\n"}, 77),
    ],
)
def test_a_man_in_the_middle_who_strips_stls_gets_nothing(target, capsys, answers, status):
    with Scripted(answers) as server:
        assert cli_servers.fetch(server, target) == status
    # What he may have heard of a handshake was no line of POP3.
    assert server.heard[0] == "STLS"
    assert not any(word in line for line in server.heard[1:] for word in ("USER", "PASS", "AUTH", "ann", PASSWORD))
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert PASSWORD not in err
    if b"-ERR" in answers.get("STLS", b"-ERR") and b"+OK" not in answers.get("STLS", b""):
        assert STRIPPED in err


def test_where_clear_text_is_allowed_the_refusal_of_stls_is_no_hindrance(target):
    with Scripted({"UIDL": body()}) as server:
        assert fetch(server, target) == 0
        assert server.heard[:5] == ["CAPA", "STLS", "CAPA", "USER ann", f"PASS {PASSWORD}"]


@pytest.mark.parametrize("answer", [HangUp(b"+OK\r\n"), b"+OK\r\n+OK\r\n", HangUp(b"")])
def test_where_clear_text_is_allowed_a_handshake_that_fails_is_still_a_failure(target, answer):
    with Scripted({"STLS": answer, "UIDL": body()}) as server:
        assert fetch(server, target) == 75
    assert server.heard[1] == "STLS"
    assert not any(line.startswith(("USER", "PASS")) for line in server.heard)


@contextmanager
def in_the_middle(port: int, change: Callable[[bytes], bytes]) -> Generator[tuple[int, list[bytes]]]:
    """Somebody between one client and a server, who changes what the server says; its port, and what the client said.

    Args:
        port: of the server.
        change: returns what to say in place of some octets.
    """
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(change(data))
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def note(data: bytes) -> bytes:
        heard.append(data)
        return data

    def run() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", port), PATIENCE) as server:
            answers = threading.Thread(target=pump, args=(server, client, change), daemon=True)
            answers.start()
            pump(client, server, note)
            answers.join(PATIENCE)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        join(thread)
        listener.close()


@pytest.mark.parametrize(
    "change, status",
    [
        (lambda data: data.replace(b"+OK begin TLS", b"-ERR no TLS here"), 77),
        (lambda data: data.replace(b"+OK begin TLS\r\n", b"+OK begin TLS\r\n+OK injected\r\n"), 75),
        (lambda data: data if data.startswith(b"+OK") else b"+OK in clear\r\n", 75),  # in place of the handshake
    ],
    ids=["refused", "injected", "no handshake"],
)
def test_the_password_never_passes_somebody_between_client_and_server(target, authority, change, status):
    with (
        serving_tls(MemoryStore({"ann": MAIL}), authority.certificate(), "starttls") as port,
        in_the_middle(port, change) as (middle, heard),
    ):
        assert fetch_tls("starttls", middle, target, *authority.trusted) == status
    said = b"".join(heard)
    assert said.startswith(b"STLS\r\n")
    assert not any(word in said for word in (b"USER", b"PASS", b"AUTH", PASSWORD.encode()))
    assert stored(target) == []
