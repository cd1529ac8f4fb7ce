"""Why a backup cannot be written, read or restored."""

from __future__ import annotations

from pop3proto.core.errors import Pop3Error

__all__ = ["BackupConflict", "BadBackup", "NothingToBackUp"]


class BadBackup(Pop3Error):
    """A file is no backup, or is damaged, cut off, or made to do harm. Nothing was changed."""


class BackupConflict(Pop3Error):
    """A unique id of the backup is that of another message in the maildrop. Nothing was changed."""


class NothingToBackUp(Pop3Error):
    """There are no maildrops where they should be. No backup was written, and the old one is there."""
