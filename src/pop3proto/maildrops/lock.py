"""The lock of a folder, which the kernel frees when its owner ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError as error:
    raise ImportError("a Maildir is locked with flock, which only POSIX systems have") from error

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LOCK_NAME", "FolderLock"]

LOCK_NAME: Final = ".pop3proto-lock"

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600


class FolderLock:
    """A folder, locked against everybody else who does the same, in this process and in others.

    The file that carries the lock is never deleted: two processes could each lock a file of this name, one of which
    is gone from the folder.

    Args:
        folder: what to lock.

    Raises:
        BlockingIOError: it is locked.
        OSError: it cannot be locked.
    """

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / LOCK_NAME, _FLAGS, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Unlock the folder; once.

        To close the descriptor is not enough: a process that was forked meanwhile has a copy of it, and the lock
        lasts as long as any.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)
