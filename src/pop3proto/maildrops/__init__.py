"""Maildrop stores for a server: `MemoryStore` keeps mail in memory, `MaildirStore` serves Maildirs.

`MaildirStore` needs a POSIX system and is imported on first use. `MemoryStore` works on every system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memory import MemoryStore

if TYPE_CHECKING:
    from .maildir import Maildirs, MaildirStore

__all__ = ["MaildirStore", "Maildirs", "MemoryStore"]


def __getattr__(name: str) -> object:
    if name in ("MaildirStore", "Maildirs"):
        try:
            from . import maildir  # noqa: PLC0415 - see above
        except ImportError as error:
            raise ImportError(f"{name} needs a POSIX system: {error}; MemoryStore works on every system") from error
        return getattr(maildir, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
