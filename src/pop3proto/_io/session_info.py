"""Numbers the sessions of this process."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from pop3proto.sasl.channel import SessionInfo

if TYPE_CHECKING:
    from .peers import Peer

__all__ = ["new_session_info"]

_numbers: Final = itertools.count(1)


def new_session_info(peer: Peer, listener: str = "") -> SessionInfo:
    """Return what is known of a session that begins, of either role. Its number is one more than that of the last.

    Args:
        peer: the other end.
        listener: which listener took the connection; "" on the client's side.
    """
    return SessionInfo(peer.address, id=next(_numbers), listener=listener, local=peer.local)
