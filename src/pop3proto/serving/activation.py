"""What a service manager hands to a server: sockets that listen already (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["inherited_sockets"]

_FIRST: Final = 3  # behind standard input, output and error
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_MOST: Final = 4_096


def inherited_sockets(
    environment: MutableMapping[str, str] | None = None, *, process: int | None = None, first: int = _FIRST
) -> dict[str, list[socket.socket]]:
    """Return the sockets that systemd has opened for this process, by their names; none if there are none.

    Give them to `Listener(sockets=...)`. Call it once, before any process is started: it takes the variables out of the
    environment, so that no child process takes the sockets for its own, and no child inherits them.

    Args:
        environment: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, as systemd sets them, which are removed; None: that of
            this process.
        process: number of this process, for which they must be meant; None: asks for it.
        first: the descriptor of the first socket.

    Returns:
        The sockets, in their order. Their names are those of `FileDescriptorName=`, by default the name of the unit;
        "unknown" for one that has no name.

    Raises:
        ValueError: a number cannot be one; there are not as many names as sockets; or what is inherited is not a stream
            socket that listens (`Accept=no`). The variables are removed even then.
    """
    environment = os.environ if environment is None else environment
    meant, number, names = (environment.pop(name, None) for name in _VARIABLES)
    if meant is None or number is None:
        return {}
    if not meant.isdecimal() or not number.isdecimal() or int(number) > _MOST:
        raise ValueError(f"LISTEN_PID={meant} and LISTEN_FDS={number}: these are not numbers that systemd sets")
    if int(meant) != (os.getpid() if process is None else process):
        return {}
    count = int(number)
    each = names.split(":") if names else ["unknown"] * count
    if len(each) != count:
        raise ValueError(f"LISTEN_FDNAMES={names} does not name {number} sockets")
    found: dict[str, list[socket.socket]] = {}
    try:
        for descriptor, name in enumerate(each, first):
            found.setdefault(name, []).append(_listening(descriptor, name))
    except BaseException:
        for sock in (sock for sockets in found.values() for sock in sockets):
            sock.detach()  # they are as they were
        raise
    return found


def _listening(descriptor: int, name: str) -> socket.socket:
    """Return the socket of a descriptor.

    Raises:
        ValueError: it is none, or does not listen.
    """
    what = f"the socket {name!r} of systemd, descriptor {descriptor},"
    try:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - its own way
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ValueError(f"{what} is not a socket: {error.strerror}") from error
    try:
        listens = sock.type == socket.SOCK_STREAM and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        listens = False
    if not listens:
        sock.detach()
        raise ValueError(f"{what} does not listen for connections: the unit needs ListenStream= and Accept=no")
    return sock
