"""Who is at the other end of a connection."""

from __future__ import annotations

import errno
import itertools
import socket
from typing import Final, Protocol, cast

import attrs

from pop3proto.core.errors import ConnectionLost
from pop3proto.sasl.channel import SessionInfo, TlsInfo

__all__ = [
    "UNKNOWN_PEER",
    "Peer",
    "check_connected",
    "check_stream_socket",
    "is_loopback",
    "listener_name",
    "new_session_info",
    "unreachable",
]

_numbers: Final = itertools.count(1)  # of the sessions of this process


_UNIX: Final = getattr(socket, "AF_UNIX", None)  # not everywhere
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


@attrs.frozen
class Peer:
    """The other end.

    Args:
        address: without its port; "" if it has none.
        loopback: it is on this machine.
        port: 0 if it has none.
        local: address and port of this end; None if it has none.
        unix: the connection is over a Unix socket. A peer of which nothing is known has no address either.
    """

    address: str
    loopback: bool
    port: int = 0
    local: tuple[str, int] | None = None
    unix: bool = attrs.field(default=False, kw_only=True)

    @classmethod
    def of(cls, family: int, name: object, local: object = None) -> Peer:
        """Return what the name of a socket's peer says.

        Args:
            family: the socket's.
            name: of that family; anything else is an unknown peer.
            local: the name of this end, of that family; None if it is not known.
        """
        if family == _UNIX:
            return cls("", loopback=True, unix=True)
        if family not in _INTERNET:
            return UNKNOWN_PEER
        if not isinstance(name, tuple) or not name:
            return UNKNOWN_PEER
        address, port, *_ = cast("tuple[str, int]", name)
        return cls(address, is_loopback(address), port, _address_and_port(local))


UNKNOWN_PEER: Final = Peer("", loopback=False)
"""A peer of whom nothing is known."""


def new_session_info(peer: Peer, listener: str = "", domain: str = "", tls: TlsInfo | None = None) -> SessionInfo:
    """Return what is known of a session that begins, of either role. Its number is one more than that of the last.

    Args:
        peer: the other end.
        listener: which listener took the connection; "" on the client's side.
        domain: the default domain of the listener.
        tls: what a trusted proxy says of the TLS of its client.
    """
    return SessionInfo(peer.address, tls, id=next(_numbers), listener=listener, local=peer.local, domain=domain)


def _address_and_port(name: object) -> tuple[str, int] | None:
    if not isinstance(name, tuple):
        return None
    match cast("tuple[object, ...]", name)[:2]:
        case (str(address), int(port)):
            return address, port
        case _:
            return None


def listener_name(name: object) -> str:
    """Return the name of a listening socket as text: "127.0.0.1:110", "[::1]:110", or the path of a Unix socket."""
    if (pair := _address_and_port(name)) is None:
        return str(name)
    host, port = pair
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: str) -> bool:
    """Return whether an address is of this machine."""
    import ipaddress  # noqa: PLC0415 - slow to import, and a client that uses TLS needs none

    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return bool((mapped or number).is_loopback)


class _Socket(Protocol):
    """What asyncio, trio and the standard library call a socket."""

    @property
    def type(self) -> int: ...

    def fileno(self) -> int: ...

    def getpeername(self) -> object: ...


def check_stream_socket(sock: object) -> None:
    """Refuse what no session can ever go over.

    Raises:
        TypeError: it is not a socket.
        ValueError: it is not a stream socket.
    """
    if not isinstance(sock, socket.socket):
        raise TypeError(f"stream must be a connected socket, not of type {type(sock).__name__}")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"stream must be a stream socket, not {sock}")


def check_connected(sock: _Socket) -> None:
    """Refuse a socket that is not connected.

    Raises:
        ConnectionLost: it is closed, or not connected, or not any more.
    """
    if sock.fileno() < 0:
        raise ConnectionLost("the socket is closed")
    try:
        sock.getpeername()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise ConnectionLost("the socket is not connected") from error


def unreachable(host: str, port: int, error: Exception) -> str:
    """Return the words for a connection that could not be made."""
    why = "this is not a host name" if isinstance(error, UnicodeError) else getattr(error, "strerror", None) or error
    return f"no connection to {host}, port {port}: {why}"
