"""What all adapters ask of a socket: whether something waits in it."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket
    from socket import socket

    from trio.socket import SocketType

__all__ = ["Selector", "is_readable"]

# It needs no descriptor of its own.
Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


def is_readable(sock: socket | TransportSocket | SocketType) -> bool:
    """Whether octets or the end of the stream wait in a socket; False if it is closed."""
    try:
        with Selector() as selector:
            selector.register(sock.fileno(), selectors.EVENT_READ)
            return bool(selector.select(0))
    except (OSError, ValueError):
        return False
