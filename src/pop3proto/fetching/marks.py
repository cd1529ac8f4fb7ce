"""The mark of a message: by it a destination finds the message again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import MessageIdentity

__all__ = ["mark_of"]


def mark_of(account: str, identity: MessageIdentity) -> str:
    """Return 32 hexadecimal digits that are the same whenever this message is fetched from this account.

    Args:
        account: the account's name in the journal.
        identity: the message's.
    """
    words = f"{account} {identity.unique_id} {identity.copy}"
    return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:32]
