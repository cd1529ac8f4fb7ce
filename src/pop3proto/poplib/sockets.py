"""What programs take for a socket, how it is read, and whether something has come."""

from __future__ import annotations

import io
import select
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from pop3proto._io.sockets import is_readable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = ["as_socket", "reader_of", "reads_as_its_file", "waiting"]

_OF_SOCKETS: Final = (socket.socket, ssl.SSLSocket)


def reads_as_its_file(sock: object) -> bool:
    """Whether `recv` of a socket reads what the file reads that its `makefile` makes.

    A program may have overridden either: that method counts which `poplib` uses, by way of the file.
    """
    if not isinstance(sock, socket.SocketType):  # `socket.socket` may be another class by now
        return False
    return _definer(sock, "makefile") in _OF_SOCKETS and issubclass(_definer(sock, "recv"), _definer(sock, "recv_into"))


def _definer(sock: object, name: str) -> type:
    return next(kind for kind in type(sock).__mro__ if name in vars(kind))


def as_socket(sock: object) -> socket.socket | None:
    """Return what can be used as a socket, of whatever class, as that of gevent, or one around another; else None."""
    try:
        methods = [getattr(sock, name) for name in ("fileno", "gettimeout", "settimeout", "recv")]
        descriptor: object = methods[0]()
    except (AttributeError, OSError, ValueError):
        return None
    is_socket = isinstance(descriptor, int) and all(map(callable, methods))  # a mock has everything
    return cast("socket.socket", sock) if is_socket else None


def reader_of(source: BinaryIO, sock: socket.socket | None) -> Callable[[int], bytes]:
    """Return what reads a file once.

    What is no socket may hold the answers to commands that were not sent yet, as a test has written them down: a line
    at a time is never too much. Nor has a file that a program has made more than `readline`, perhaps.
    """
    if sock is not None and isinstance(source, io.BufferedIOBase):
        return source.read1
    return lambda _size: source.readline()


def waiting(source: BinaryIO, sock: socket.socket | None) -> Callable[[int], object]:
    """Return what tells whether octets, or the end of the stream, wait in a connection, within some milliseconds."""
    if sock is None:
        return _never
    try:
        descriptor = source.fileno()
    except AttributeError:  # a program has made it, and it reads this socket
        descriptor = sock.fileno()
    except (OSError, ValueError):  # it is no file of the system
        return _never
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        comes: Callable[[int], object] = poll.poll
    else:
        comes = partial(_readable, sock)
    pending = getattr(sock, "pending", None)
    if pending is None:
        return comes
    return lambda milliseconds: pending() or comes(milliseconds)  # what TLS has decrypted has left the system


def _readable(sock: socket.socket, _milliseconds: int) -> bool:
    return is_readable(sock)


def _never(_milliseconds: int) -> bool:
    return False
