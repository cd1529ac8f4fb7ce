"""An exclusive lock on a folder, released by the kernel when the process ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError as _error:
    raise ImportError("Maildirs need flock, which only POSIX systems have") from _error

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LOCK_NAME", "FolderLock"]

LOCK_NAME: Final = ".pop3proto-lock"

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600


class FolderLock:
    """An exclusive lock on a folder, against other `FolderLock`s in this process and in others.

    It is a `flock` on the file `.pop3proto-lock` in the folder. The file is never deleted: otherwise one process could
    lock the deleted file and another process a new file of the same name.

    Args:
        folder: the folder to lock.

    Raises:
        BlockingIOError: the folder is already locked.
        OSError: the folder cannot be locked.
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
        """Unlock the folder. Call it once.

        Closing the descriptor is not enough: a forked process has a copy of the descriptor, and the lock lasts until
        the last copy is closed.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)
