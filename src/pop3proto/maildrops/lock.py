"""An exclusive lock on a folder, released by the kernel when the process ends."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto._io import files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LOCK_NAME", "FolderLock"]

LOCK_NAME: Final = ".pop3proto-lock"

_CHANGE: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE: Final = _CHANGE | os.O_CREAT | os.O_EXCL
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_READ_FOLDER: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
_PRIVATE: Final = 0o600
_READ_ONLY: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class FolderLock:
    """An exclusive lock on a folder, against other `FolderLock`s in this process and in others.

    It is a `flock` on the file `.pop3proto-lock` in the folder. Those who may write to the folder may use the file. It
    is never deleted: otherwise one process could lock the deleted file and another process a new file of the same name.

    In a folder that this process may only read, the folder itself is locked if there is no such file that it may open.
    That is a lock against others who may only read.

    Args:
        folder: the folder to lock.
        make: whether the file is made if it does not exist. Without it, the folder itself is locked, which is no lock
            against a session that begins meanwhile: enough to look, and too little to change anything.

    Raises:
        BlockingIOError: the folder is already locked.
        OSError: the folder cannot be locked.
    """

    def __init__(self, folder: Path, *, make: bool = True) -> None:
        descriptor = _open(folder, make=make)
        try:
            files.lock(descriptor, folder / LOCK_NAME, wait=False)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Unlock the folder. Call it once."""
        try:
            files.unlock(self._descriptor)
        finally:
            os.close(self._descriptor)


def _open(folder: Path, *, make: bool) -> int:
    path = folder / LOCK_NAME
    try:
        return _open_or_create(path) if make else os.open(path, _CHANGE)
    except FileNotFoundError:
        if make:
            raise
        return os.open(folder, _READ_FOLDER)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        with suppress(OSError):
            return os.open(path, _READ)
        if _is_writable(folder):  # others may hold the lock of the file
            raise
        return os.open(folder, _READ_FOLDER)


def _open_or_create(path: Path) -> int:
    while True:
        try:
            return os.open(path, _CHANGE)
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, _CREATE, _PRIVATE)
        except FileExistsError:  # another process was faster
            continue
        files.share(descriptor, path.parent.stat(), readers=False)
        return descriptor


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
