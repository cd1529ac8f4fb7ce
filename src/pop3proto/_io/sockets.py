"""What all adapters ask of a socket: whether something waits in it, and that it sends at once."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

    from trio.socket import SocketType

__all__ = ["Selector", "is_readable", "reset_at_close", "send_at_once"]

# It needs no descriptor of its own.
Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


def is_readable(sock: socket.socket | TransportSocket | SocketType) -> bool:
    """Whether octets or the end of the stream wait in a socket; False if it is closed."""
    try:
        with Selector() as selector:
            selector.register(sock.fileno(), selectors.EVENT_READ)
            return bool(selector.select(0))
    except (OSError, ValueError):
        return False


def reset_at_close(sock: socket.socket | TransportSocket | SocketType | None) -> None:
    """Let the peer get a reset when this socket is closed, in place of the end of the stream; None: there is none."""
    if sock is None:
        return
    with contextlib.suppress(OSError):  # it is gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def send_at_once(sock: socket.socket | TransportSocket) -> None:
    """Send what is written at once, without waiting for more or for an acknowledgement, which takes 40 ms.

    asyncio does this itself, but only for sockets that were made with TCP as their protocol: those of
    `socket.create_server`, and of most programs, have none named.
    """
    with contextlib.suppress(OSError):  # a Unix socket, for example
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
