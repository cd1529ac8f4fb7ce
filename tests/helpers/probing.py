"""Servers for tests of the probe: one that follows a script, and certificates that are wrong."""

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pop3proto.testing.probing import sniffing, talk as dialogue
from tests.helpers.processes import PATIENCE

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def hurry_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a probe wait less where it waits for nothing to come."""
    monkeypatch.setattr(sniffing, "_PATIENCE", 0.2)
    monkeypatch.setattr(dialogue, "_STRAY", 0.01)
    monkeypatch.setattr(dialogue, "_PAUSE", 0.2)


@contextlib.contextmanager
def scripted(talk: Callable[[socket.socket], object], host: str = "127.0.0.1") -> Generator[int]:
    """Let a function talk to each client, in a thread of its own; return the port. A failure ends its session."""
    threads: list[threading.Thread] = []
    socks: list[socket.socket] = []

    def run(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            talk(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                socks.append(sock)
                threads.append(threading.Thread(target=run, args=(sock,), daemon=True))
                threads[-1].start()

    with socket.create_server((host, 0)) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(PATIENCE)
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(PATIENCE)


def saying(first: bytes, answer: bytes = b"") -> Callable[[socket.socket], None]:
    """A server that says something first, and answers each segment alike; b"" says nothing."""

    def talk(sock: socket.socket) -> None:
        sock.sendall(first)
        while sock.recv(65_536):
            sock.sendall(answer)

    return talk


def over_tls(context: ssl.SSLContext, talk: Callable[[socket.socket], object]) -> Callable[[socket.socket], None]:
    """A server that begins TLS at once."""

    def begin(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as tls:
            talk(tls)

    return begin


def self_signed(
    folder: Path,
    name: str = "localhost",
    *,
    begins: dt.timedelta = -DAY,
    ends: dt.timedelta = 90 * DAY,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
) -> Path:
    """A PEM file with a certificate that has issued itself, and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
