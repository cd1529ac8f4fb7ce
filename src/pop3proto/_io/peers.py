"""Who is at the other end of a connection."""

from __future__ import annotations

import ipaddress
import itertools
import socket
from typing import Final, cast

import attrs

__all__ = ["SESSION_IDS", "UNKNOWN_PEER", "Peer", "unreachable"]

_UNIX: Final = getattr(socket, "AF_UNIX", None)  # not everywhere
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


@attrs.frozen
class Peer:
    """The other end.

    Args:
        address: without its port; "" if it has none.
        loopback: it is on this machine.
        port: 0 if it has none.
    """

    address: str
    loopback: bool
    port: int = 0

    @classmethod
    def of(cls, family: int, name: object) -> Peer:
        """Return what the name of a socket's peer says.

        Args:
            family: the socket's.
            name: of that family; anything else is an unknown peer.
        """
        if family == _UNIX:
            return cls("", loopback=True)
        if family not in _INTERNET:
            return UNKNOWN_PEER
        if not isinstance(name, tuple) or not name:
            return UNKNOWN_PEER
        address, port, *_ = cast("tuple[str, int]", name)
        return cls(address, loopback=_is_loopback(address), port=port)


SESSION_IDS: Final = itertools.count(1)
"""The numbers of sessions, unique in the process: of clients and servers."""

UNKNOWN_PEER: Final = Peer("", loopback=False)
"""A peer of whom nothing is known."""


def _is_loopback(address: str) -> bool:
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return bool((mapped or number).is_loopback)


def unreachable(host: str, port: int, error: Exception) -> str:
    """Return the words for a connection that could not be made."""
    return f"no connection to {host}, port {port}: {getattr(error, 'strerror', None) or error}"
