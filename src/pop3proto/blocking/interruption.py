"""Connecting a socket so that another thread can interrupt it, which `socket.create_connection` does not allow."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

from typing_extensions import override

from pop3proto._io.sockets import Selector
from pop3proto._io.stream import GIVEN_UP
from pop3proto.core.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Interruption", "connected_socket"]

# Of `socket.getaddrinfo`: family, type, protocol, and the address itself.
_Address: TypeAlias = tuple[int, int, int, "tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]"]


class Interruption(threading.Event):
    """An event that one thread sets to end what another one waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._wake: Callable[[], object] | None = None

    @override
    def set(self) -> None:
        """Set the event, and wake the thread that waits inside a block of `waking`."""
        super().set()
        if (wake := self._wake) is not None:
            wake()

    @contextlib.contextmanager
    def waking(self, wake: Callable[[], object]) -> Generator[None]:
        """Have a function called by `set`, until a block ends; and at once if the event is set.

        Args:
            wake: it may be called twice, and just after the block has ended.
        """
        self._wake = wake
        try:
            if self.is_set():
                wake()
            yield
        finally:
            self._wake = None


def connected_socket(where: tuple[str, int], seconds: float | None, interruption: Interruption) -> socket.socket:
    """Return a socket that is connected to a server: to the first of its addresses that answers.

    Args:
        where: host and port.
        seconds: in which it must be done, the lookup of the name included. Each address has an equal part of what is
            left; None: no limit.
        interruption: ends it.

    Raises:
        ConnectionLost: it was interrupted. No socket is left.
        TimeoutError: it took too long.
        OSError, ValueError: as `socket.create_connection`.
    """
    until = None if seconds is None else time.monotonic() + seconds
    addresses = _look_up(where, until, interruption)
    failure: OSError = OSError(f"no address is known for {where[0]}")
    for number, address in enumerate(addresses):
        left = None if until is None else max(until - time.monotonic(), 0) / (len(addresses) - number)
        try:
            return _connected(address, left, interruption)
        except ConnectionLost:
            raise
        except OSError as error:
            failure = error
    raise failure


def _look_up(where: tuple[str, int], until: float | None, interruption: Interruption) -> list[_Address]:
    """Return the addresses of a server.

    The lookup cannot be interrupted, so a thread does it: one that is not waited for any more holds no descriptor.
    """
    found: list[list[_Address] | Exception] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)
            found.append([(family, kind, protocol, address) for family, kind, protocol, _, address in entries])
        except Exception as error:  # noqa: BLE001 - it is raised in the other thread
            found.append(error)
        done.set()

    with interruption.waking(done.set):
        try:
            threading.Thread(target=look_up, name="pop3proto-lookup", daemon=True).start()
        except RuntimeError:  # there can be no more threads
            look_up()
        done.wait(None if until is None else max(until - time.monotonic(), 0))
    if interruption.is_set():
        raise ConnectionLost(GIVEN_UP)
    if not found:
        raise TimeoutError
    if isinstance(result := found[0], Exception):
        raise result
    return result


def _connected(address: _Address, seconds: float | None, interruption: Interruption) -> socket.socket:
    """Return a socket that is connected to one address."""
    family, kind, protocol, name = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            sock.connect(name)
        _await_connection(sock, seconds, interruption)
    except BaseException:
        sock.close()
        raise
    return sock


def _await_connection(sock: socket.socket, seconds: float | None, interruption: Interruption) -> None:
    waker, woken = socket.socketpair()

    def wake() -> None:
        with contextlib.suppress(OSError):  # the block below has just ended
            waker.send(b"\0")

    with waker, woken, interruption.waking(wake), Selector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        selector.register(woken, selectors.EVENT_READ)
        ready = selector.select(seconds)
    if interruption.is_set():
        raise ConnectionLost(GIVEN_UP)
    if not ready:
        raise TimeoutError
    if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))
