"""Maildrop stores for a server: `MemoryStore` keeps mail in memory, `MaildirStore` serves Maildirs.

`MaildirStore` needs a POSIX system. `MemoryStore` works on every system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .maildir import Maildirs, MaildirStore
    from .memory import MemoryStore

__all__ = ["MaildirStore", "Maildirs", "MemoryStore"]

export(
    globals(),
    {
        ".maildir": "Maildirs MaildirStore",
        ".memory": "MemoryStore",
    },
)
