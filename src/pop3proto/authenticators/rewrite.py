"""A small file that is changed as a whole, by one at a time, while others read it."""

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
    raise ImportError("a file of users is locked with flock, which only POSIX systems have") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["open_regular", "rewrite"]

# A pipe would block.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_CHANGE: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600


def open_regular(path: Path, flags: int = _READ) -> FileIO:
    """Open a regular file, or what a link to one leads to.

    Raises:
        OSError: it cannot be opened, or it is a folder, a pipe or the like.
    """
    descriptor = os.open(path, flags, _PRIVATE)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor, "r")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def rewrite(path: Path, change: Callable[[bytes], bytes], *, create: bool = False) -> None:
    """Change a file. After a crash there is the old one or the new one.

    Whoever else calls this for the file waits. Its owner and its mode stay; a link to it stays one.

    Args:
        path: the file.
        change: returns what to write for what is there; what it raises, this raises, and nothing is changed.
        create: start with an empty file, which only its owner may read, if there is none.

    Raises:
        OSError: it could not be changed.
    """
    path = Path(os.path.realpath(path))
    with _locked(path, _CHANGE | os.O_CREAT if create else _CHANGE) as file:
        before = file.readall()
        try:
            _replace(path, change(before), os.fstat(file.fileno()))
        except BaseException:
            if create and not before:  # it is of no use to anybody
                path.unlink(missing_ok=True)
            raise


@contextmanager
def _locked(path: Path, flags: int) -> Generator[FileIO]:
    """Open a file and lock it; the lock goes with the file, so it counts only while the file has its name."""
    while True:
        with open_regular(path, flags) as file:
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


def _replace(path: Path, octets: bytes, before: os.stat_result) -> None:
    """Put a new file in the place of a locked one."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # a crash left it
    try:
        with FileIO(os.open(temporary, _NEW, _PRIVATE), "w") as file:
            _write_like(before, file, octets)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _write_like(before: os.stat_result, file: FileIO, octets: bytes) -> None:
    now = os.fstat(file.fileno())
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(file.fileno(), before.st_uid, before.st_gid)
    os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
    rest = memoryview(octets)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
