"""Marks: the names by which fetched messages are found again in a destination."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import Identity

__all__ = ["mark_of"]


def mark_of(account: str, identity: Identity) -> str:
    """Return the mark of a message: 32 hexadecimal digits that are the same in each run.

    Args:
        account: the account, as its journal names it.
        identity: of the message.
    """
    words = f"{account} {identity.unique_id} {identity.copy}"
    return hashlib.sha256(words.encode()).hexdigest()[:32]
