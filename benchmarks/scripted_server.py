"""A POP3 server that does nothing but send octets made beforehand, so that clients are what limits.

Run as `python -m benchmarks.scripted_server OCTETS [CERTIFICATE]`: every message has so many octets; with a
certificate, it speaks TLS from the start.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading

from .corpora import typical, wire
from .memory_server import ANSWERS, GREETING
from .processes import HOST, until_input_ends

BLOCK = 1 << 20


def message(size: int) -> bytes:
    """Return a message of about this size: long ones repeat a block."""
    return typical(size) if size <= BLOCK else typical(BLOCK) * (size // BLOCK)


def pieces(size: int) -> list[bytes]:
    """Return the answer to RETR for a message of this size: the same block may come many times."""
    if size <= BLOCK:
        return [b"+OK\r\n" + wire(typical(size))]
    block = wire(typical(BLOCK)).removesuffix(b".\r\n")
    return [b"+OK\r\n", *[block] * (size // BLOCK), b".\r\n"]


def serve(sock: socket.socket, answers: dict[bytes, list[bytes]]) -> None:
    with contextlib.suppress(OSError), sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(GREETING)
        rest = b""
        while received := sock.recv(65_536):
            *lines, rest = (rest + received).split(b"\r\n")
            octets: list[bytes] = []
            for line in lines:
                octets += answers[line.partition(b" ")[0]]
                if len(octets) >= 16:
                    send(sock, octets)
            send(sock, octets)
            if b"QUIT" in lines:
                break


def send(sock: socket.socket, octets: list[bytes]) -> None:
    """Send, small ones together."""
    for at in range(0, len(octets), 16):
        sock.sendall(b"".join(octets[at : at + 16]))
    octets.clear()


def main() -> None:
    size, *certificate = sys.argv[1:]
    answers = {verb: [answer] for verb, answer in ANSWERS.items()} | {b"RETR": pieces(int(size))}
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[0])
    listener = socket.create_server((HOST, 0), backlog=128)

    def session(sock: socket.socket) -> None:
        try:
            serve(sock if context is None else context.wrap_socket(sock, server_side=True), answers)
        except OSError:
            sock.close()

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=session, args=[sock], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    until_input_ends()


if __name__ == "__main__":
    main()
