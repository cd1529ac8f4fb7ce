"""Stand-ins for filters: what one says, and how it behaves, is up to the test."""

import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from pathlib import Path

from tests.helpers.processes import join

Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(talk: Talk, path: Path | None = None) -> Generator[str]:
    """Listen on loopback, or on a Unix socket, for one connection; yield where, as a filter is named."""
    listener = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
    listener.bind(("127.0.0.1", 0) if path is None else str(path))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(60)
                talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}" if path is None else str(path)
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        join(thread)


def read_until(connection: socket.socket, complete: Callable[[bytes], bool]) -> bytes:
    seen = b""
    while not complete(seen) and (octets := connection.recv(1 << 16)):
        seen += octets
    return seen


class Clamd:
    """Answers INSTREAM; keeps the message that it was given."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.message = answer, b""

    def __call__(self, connection: socket.socket) -> None:
        seen = read_until(connection, lambda seen: seen.endswith(bytes(4)))
        assert seen.startswith(b"zINSTREAM\0")
        at = len(b"zINSTREAM\0")
        while size := int.from_bytes(seen[at : at + 4]):
            self.message += seen[at + 4 : at + 4 + size]
            at += 4 + size
        connection.sendall(self.answer)


class Http:
    """Answers one request; keeps its head and its body."""

    def __init__(self, answer: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n") -> None:
        self.answer, self.head, self.body = head + answer, b"", b""

    def __call__(self, connection: socket.socket) -> None:
        seen = read_until(connection, self._is_whole)
        self.head, _, self.body = seen.partition(b"\r\n\r\n")
        connection.sendall(self.answer)

    @staticmethod
    def _is_whole(seen: bytes) -> bool:
        head, end, body = seen.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return bool(end) and len(body) >= int(lengths[0].split(b":")[1])


def silent(connection: socket.socket) -> None:
    """Take everything, and never answer."""
    while connection.recv(1 << 16):
        pass


def dripping(connection: socket.socket) -> None:
    """Answer so slowly that each octet is in time and the whole never is."""
    pause = threading.Event()
    while True:
        connection.sendall(b"x")
        pause.wait(0.02)
