"""Files as a mail store needs them: never something else in disguise, and whole after a crash."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["create", "open_regular", "replace", "sync_folder", "write_all"]

# A link could lead out of the Maildir; a pipe would block, and what is no regular file holds no message.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600


def open_regular(path: str | Path) -> FileIO:
    """Open a regular file for reading, unbuffered.

    Raises:
        OSError: it cannot be opened, or it is a link, a pipe or the like.
    """
    file = FileIO(os.open(path, _READ))
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def create(path: str | Path) -> FileIO:
    """Create a file that only its owner may read, for writing and reading, unbuffered.

    Raises:
        OSError: it cannot be created, or there is something of that name.
    """
    return FileIO(os.open(path, _CREATE, _PRIVATE), "r+")


def replace(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a crash there is the old one or the new one.

    The caller makes sure that nobody else does the same now.

    Raises:
        OSError: it was not replaced.
    """
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)  # a crash left it
    try:
        with create(temporary) as file:
            write_all(file, data)
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of the data, where `FileIO.write` may write less.

    Raises:
        OSError: the disk is full, say.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises:
        OSError: they may not be.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
