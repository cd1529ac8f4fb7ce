"""Connections to filters, which end at a deadline whatever the filter does."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from .verdicts import FilterFailed

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Place", "connected", "parse_place", "read_answer", "until"]

_ANSWER: Final = 1 << 16  # octets of an answer that has a line or some
_LARGEST_PORT: Final = 65_535


@attrs.frozen
class Place:
    """Where a filter listens.

    Args:
        host: its name or address; None: a Unix socket.
        port: its port.
        path: of the Unix socket.
    """

    host: str | None
    port: int
    path: str = ""

    @override
    def __str__(self) -> str:
        if self.host is None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_place(text: str) -> Place:
    """Return the place that `/run/filter.sock`, `host:port` or `[::1]:port` names.

    Raises:
        ValueError: it names none.
    """
    if text.startswith("/"):
        return Place(None, 0, text)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= _LARGEST_PORT):
        raise ValueError(f'a filter listens on "host:port" or on a socket "/path", not on {text!r}')
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"no host is named {host!r}") from error
    return Place(host, int(port))


@contextmanager
def until(connection: socket.socket, seconds: float, name: str) -> Generator[None]:
    """Shut a connection down at a deadline, so that whatever waits for it ends.

    Raises:
        FilterFailed: the deadline has passed, or the connection has failed.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, FilterFailed) as error:
        if late.is_set() or isinstance(error, TimeoutError):
            raise FilterFailed(f"{name} gave no verdict within {seconds:g} seconds") from error
        if isinstance(error, FilterFailed):
            raise
        raise FilterFailed(f"{name}: {error.strerror or error}") from error
    finally:
        timer.cancel()


@contextmanager
def connected(place: Place, seconds: float, name: str) -> Generator[socket.socket]:
    """Connect to a filter; the connection ends at the deadline, and with the block.

    Raises:
        FilterFailed: as `until`.
    """
    try:
        if place.host is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(seconds)
            try:
                connection.connect(place.path)
            except BaseException:
                connection.close()
                raise
        else:
            connection = socket.create_connection((place.host, place.port), seconds)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or error
        raise FilterFailed(f"{name} cannot be reached: {words}") from error
    with connection, until(connection, seconds, name):
        connection.settimeout(seconds)
        yield connection


def read_answer(connection: socket.socket, name: str) -> bytes:
    """Return all that a filter answers, up to the end of the connection.

    Raises:
        FilterFailed: it is too long.
        OSError: the connection fails.
    """
    answer = b""
    while octets := connection.recv(4096):
        answer += octets
        if len(answer) > _ANSWER:
            raise FilterFailed(f"{name} answers with more than {_ANSWER} octets")
    return answer
