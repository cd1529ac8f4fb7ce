"""The listening sockets of a server."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from typing import TYPE_CHECKING, Final, cast

from .open_files import most_open_files
from .peers import listener_name

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .listener import Listener

__all__ = ["FEW_DESCRIPTORS", "Listeners", "accepted", "keep_alive", "warn_of_few_descriptors"]

_log: Final = logging.getLogger("pop3proto")

_BACKLOG: Final = 4_096  # the system has a bound of its own (on Linux net.core.somaxconn)
_AT_ONCE: Final = 256  # connections accepted before other tasks run
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, times
_PORT_ATTEMPTS: Final = 10
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class Listeners:
    """Where a server listens. The sockets are opened by `open`, not before.

    Args:
        listeners: what each is; bound sockets of theirs are closed with the server.

    Raises:
        ValueError: there is no address and no socket, or there is a port and sockets; there is no such port; a host
            cannot be one; or a socket is closed, connected, not bound, not a stream socket, or there twice.
        TypeError: a host is not a string, or a socket not a socket.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners: Final = tuple(listeners)
        self._given: Final = [sock for listener in listeners for sock in listener.sockets or ()]
        self.sockets: list[socket.socket] = []
        self._originals: Final[dict[socket.socket, socket.socket]] = {}  # of those, what was given
        self._of: Final[dict[socket.socket, Listener]] = {}
        if not listeners:
            raise ValueError("there is nothing to listen on: give at least one listener")
        for listener in listeners:
            if listener.sockets and listener.port:
                raise ValueError("give either a port or sockets=, not both")
            if not (listener.address if listener.sockets is None else listener.sockets):
                raise ValueError("there is nothing to listen on: give at least one address or one socket")
            for each in listener.address:
                _check_host(each)
        for sock in self._given:
            _check_bound(sock)
        if len({sock.fileno() for sock in self._given}) < len(self._given):
            raise ValueError("sockets= has the same socket twice")
        given_only = all(listener.sockets is not None for listener in listeners)
        self.addresses: tuple[tuple[str, int], ...] = tuple(map(_address, self._given)) if given_only else ()

    def of(self, sock: socket.socket) -> tuple[Listener, str]:
        """Return the listener of a socket that `open` has returned, and its name."""
        listener = self._of[sock]
        return listener, listener.name or listener_name(sock.getsockname())

    def open(self) -> list[socket.socket]:
        """Listen, without blocking; return the sockets.

        Raises:
            OSError: it is not possible there. Nothing is left open.
        """
        try:
            for listener in self._listeners:
                for sock in _bind(listener) if listener.sockets is None else map(self._copy, listener.sockets):
                    self.sockets.append(sock)
                    self._of[sock] = listener
            for sock in self.sockets:
                sock.listen(_BACKLOG)
                sock.setblocking(False)  # noqa: FBT003 - its own way
        except BaseException:
            self.close()
            raise
        self.addresses = tuple(map(_address, self.sockets))
        return self.sockets

    def is_withdrawn(self, sock: socket.socket) -> bool:
        """Return whether the owner of a socket has closed it; say so. Nothing is to be accepted from it any more."""
        original = self._originals.get(sock, sock)
        if original.fileno() >= 0:
            return False
        _log.warning("nothing is accepted on %s any more: its socket was closed", listener_name(sock.getsockname()))
        return True

    def release(self, sock: socket.socket) -> None:
        """Close a socket that `open` has returned."""
        sock.close()
        self._originals.get(sock, sock).close()

    def close(self) -> None:
        """Close all sockets, those that were given as well."""
        for sock in (*self.sockets, *self._given):
            sock.close()

    def _copy(self, original: socket.socket) -> socket.socket:
        # If an owner closed its socket, the selector would wait for whatever has its descriptor next.
        sock = original.dup()
        self._originals[sock] = original
        return sock


def _bind(listener: Listener) -> list[socket.socket]:
    """Return a socket for each address of a listener, all on one port.

    Raises:
        OSError: it is not possible there. Nothing is left open.
    """
    attempt = 0
    while True:
        attempt += 1
        port, sockets = listener.port, list[socket.socket]()
        try:
            for host in listener.address:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                sockets.append(socket.create_server((host, port), family=family, backlog=_BACKLOG))
                port = _address(sockets[0])[1]
        except OSError as error:
            for sock in sockets:
                sock.close()
            # The port that was free on the first address may be taken on another one.
            if listener.port or port == 0 or error.errno != errno.EADDRINUSE or attempt == _PORT_ATTEMPTS:
                raise
        else:
            return sockets


def accepted(listener: socket.socket) -> Generator[socket.socket]:
    """Yield the connections that wait to be accepted, some hundreds at most; none if there are none.

    Args:
        listener: non-blocking.

    Raises:
        OSError: accepting failed: most likely there are no descriptors left. The connections stay where they are.
    """
    for _ in range(_AT_ONCE):
        try:
            sock, _address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the latter: that client has gone; more may wait
            return
        keep_alive(sock)
        yield sock


def keep_alive(sock: socket.socket) -> None:
    """Let the system find out within two minutes that the other end is dead; else a session would keep its lock."""
    with contextlib.suppress(OSError):  # a Unix socket, for example
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if (option := getattr(socket, name, None)) is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


FEW_DESCRIPTORS: Final = (
    "max_sessions is %d, and this process may open %d files only: raise its limit, or lower max_sessions"
)


def warn_of_few_descriptors(sessions: int) -> None:
    """Log a warning if this process may not open as many files as there may be sessions."""
    soft, _ = most_open_files()
    if soft < sessions:
        _log.warning(FEW_DESCRIPTORS, sessions, soft)


def _check_host(host: object) -> None:
    if not isinstance(host, str):
        raise TypeError(f"host must be a string, or several, not of type {type(host).__name__}")
    try:
        possible = "\0" not in host and (host.isascii() or bool(host.encode("idna")))
    except UnicodeError:
        possible = False
    if not possible:
        raise ValueError(f"{host!r} is not a host name or address")
    if not host:
        raise ValueError('the host is empty; "0.0.0.0" and "::" are all interfaces')


def _check_bound(sock: object) -> None:
    if not isinstance(sock, socket.socket):
        raise TypeError(f"sockets= takes bound stream sockets, not objects of type {type(sock).__name__}")
    if fault := _fault(sock):
        raise ValueError(f"sockets= takes bound stream sockets; this one is {fault}: {sock}")


def _fault(sock: socket.socket) -> str | None:
    """Return why a server cannot listen on a socket."""
    if sock.fileno() < 0:
        return "closed"
    if sock.type != socket.SOCK_STREAM:
        return "not a stream socket"
    name, port = _address(sock)
    if not (port if sock.family in _INTERNET else name):
        return "not bound"
    with contextlib.suppress(OSError):
        sock.getpeername()
        return "connected"
    return None


def _address(sock: socket.socket) -> tuple[str, int]:
    """Return address and port; of a Unix socket, path and 0."""
    name = sock.getsockname()
    if sock.family not in _INTERNET:
        return (name if isinstance(name, str) else name.decode(errors="replace")), 0
    host, port, *_ = cast("tuple[str, int]", name)
    return host, port
