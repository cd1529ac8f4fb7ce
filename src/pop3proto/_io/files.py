"""File helpers: regular files only, whole writes, atomic replacement, fsync."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError as error:
    raise ImportError("files are locked with flock, which only POSIX systems have") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["create", "open_regular", "replace", "rewrite", "sync_folder", "write_all"]

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe would block
_CHANGE: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600


def open_regular(path: str | Path, *, follow_links: bool = False) -> FileIO:
    """Open a regular file for reading, unbuffered.

    Args:
        path: the file.
        follow_links: a symbolic link is followed. One in a Maildir could lead out of it.

    Raises:
        OSError: it cannot be opened, or it is a folder, a pipe, or a link that is not followed.
    """
    return _open_regular(path, _READ if follow_links else _READ | os.O_NOFOLLOW)


def _open_regular(path: str | Path, flags: int) -> FileIO:
    descriptor = os.open(path, flags, _PRIVATE)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor)
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def create(path: str | Path) -> FileIO:
    """Create a file that only its owner may read, for writing and reading, unbuffered.

    Raises:
        OSError: it cannot be created, or there is something of that name.
    """
    return FileIO(os.open(path, _CREATE, _PRIVATE), "r+")


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of the data, where `FileIO.write` may write less.

    Raises:
        OSError: not all of it was written; the disk may be full.
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


def replace(path: Path, data: bytes, *, like: os.stat_result | None = None) -> None:
    """Replace a file as a whole: after a crash there is the old one or the new one.

    The caller makes sure that no other writer does the same at the same time. The folder is not synced.

    Args:
        path: the file; it need not exist.
        data: its new content.
        like: whose owner and mode it gets; None: only its owner may read it.

    Raises:
        OSError: it was not replaced.
    """
    temporary = path.with_name(f".{path.name.lstrip('.')}.new")
    temporary.unlink(missing_ok=True)  # a crash left it
    try:
        with create(temporary) as file:
            if like is not None:
                _copy_owner_and_mode(like, file)
            write_all(file, data)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _copy_owner_and_mode(status: os.stat_result, file: FileIO) -> None:
    now = os.fstat(file.fileno())
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(file.fileno(), status.st_uid, status.st_gid)
    os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))


def rewrite(path: Path, change: Callable[[bytes], bytes], *, create: bool = False) -> None:
    """Change a file that others read meanwhile. After a crash there is the old one or the new one.

    Other calls of this for the same file wait. Its owner and its mode stay; a link to it stays a link.

    Args:
        path: the file.
        change: returns the new content for the present one; what it raises, this raises, and nothing is changed.
        create: if there is no file, start with an empty one, which only its owner may read.

    Raises:
        OSError: it could not be changed.
    """
    path = Path(os.path.realpath(path))
    with _locked(path, _CHANGE | os.O_CREAT if create else _CHANGE) as file:
        before = file.readall()
        try:
            replace(path, change(before), like=os.fstat(file.fileno()))
            sync_folder(path.parent)
        except BaseException:
            if create and not before:  # an empty file is of no use
                path.unlink(missing_ok=True)
            raise


@contextmanager
def _locked(path: Path, flags: int) -> Generator[FileIO]:
    """Open a file and lock it; the lock goes with the file, so it counts only while the file has its name."""
    while True:
        with _open_regular(path, flags) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if _has_name(file, path):
                    yield file
                    return
            finally:
                # A process that was forked meanwhile has a copy of the descriptor, so to close it is not enough.
                fcntl.flock(file, fcntl.LOCK_UN)


def _has_name(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
