"""File helpers: regular files only, whole writes, atomic replacement, locks, fsync."""

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
    raise ImportError("Maildirs and users files are locked with flock, which only POSIX systems have") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = [
    "NO_SYNC",
    "append",
    "create",
    "lock",
    "open_regular",
    "read_up_to",
    "replace",
    "rewrite",
    "share",
    "sync_folder",
    "unlock",
    "write_all",
]

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe would block
_CHANGE: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600

# How file systems say that they cannot sync a folder (CIFS, sshfs, gocryptfs and others) ...
NO_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
# ... and that they have no locks. Over NFS a file needs to be open for writing, else it is EBADF.
_NO_LOCKS: Final = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def open_regular(path: str | Path, *, folder: int | None = None, follow_links: bool = False) -> FileIO:
    """Open a regular file for reading, unbuffered.

    Args:
        path: the file.
        folder: descriptor of the folder that a relative path begins in; None: the working directory.
        follow_links: a symbolic link is followed. One in a Maildir could lead out of it.

    Raises:
        OSError: it cannot be opened, or it is a folder, a pipe, or a link that is not followed.
    """
    return _open_regular(path, _READ if follow_links else _READ | os.O_NOFOLLOW, folder)


def _open_regular(path: str | Path, flags: int, folder: int | None = None) -> FileIO:
    descriptor = os.open(path, flags, _PRIVATE, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor)
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_up_to(path: str | Path, most: int, *, folder: int) -> bytes:
    """Return the first octets of a file; of something else than a regular file, none or any.

    Args:
        path: the file; a symbolic link is not followed.
        most: how many octets at most.
        folder: as in `open_regular`.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, _READ | os.O_NOFOLLOW, dir_fd=folder)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def create(path: str | Path, *, folder: int | None = None) -> FileIO:
    """Create a file that only its owner may read, for writing and reading, unbuffered.

    Args:
        path: the file.
        folder: as in `open_regular`.

    Raises:
        OSError: it cannot be created, or there is something of that name.
    """
    return FileIO(os.open(path, _CREATE, _PRIVATE, dir_fd=folder), "r+")


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of the data, where `FileIO.write` may write less.

    Raises:
        OSError: not all of it was written; the disk may be full.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def append(path: str | Path, data: bytes, *, new: bool, folder: int | None = None) -> None:
    """Append to a file that others may append to as well.

    Args:
        path: the file.
        data: what is added, in one write.
        new: whether a file that does not exist is made, shared like its folder.
        folder: descriptor of the folder, if the path is the name of a file in it.

    Raises:
        OSError: it was not added, or not all of it; or the file has a second name, so that it may be another's.
    """
    descriptor = os.open(path, _APPEND | os.O_CREAT if new else _APPEND, _PRIVATE, dir_fd=folder)
    with FileIO(descriptor, "w") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(errno.EINVAL, "not a regular file with one name", str(path))
        if new and not status.st_size:
            share(descriptor, Path(path).parent.stat() if folder is None else os.fstat(folder), readers=True)
        write_all(file, data)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk.

    On a file system that cannot sync folders, this does nothing: the names get to the disk when it sees fit.

    Raises:
        OSError: they may not be on the disk; the error names the folder.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def lock(descriptor: int, path: str | Path, *, wait: bool) -> None:
    """Lock an open file or folder against other processes, and other descriptors of this one.

    Args:
        descriptor: of the file.
        path: of the file, for the error message.
        wait: whether to wait while another holds the lock.

    Raises:
        BlockingIOError: another holds the lock; only without `wait`.
        OSError: it cannot be locked; the error names the file. Where the file system has no locks, it says what to do.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        words = error.strerror
        if error.errno in _NO_LOCKS:
            words = (
                f"the file system has no lock for this file (flock: {words}); mount it with locks (over NFS, without "
                "nolock and with rpc.statd running), or use a local file system"
            )
        raise OSError(error.errno, words, str(path)) from error


def unlock(descriptor: int) -> None:
    """Release a lock.

    To close the descriptor is not enough: a forked process has a copy of it, and the lock lasts until the last copy is
    closed.
    """
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def share(descriptor: int, folder: os.stat_result, *, readers: bool) -> None:
    """Give a new file the owner of its folder, and let those change it who may write to the folder.

    A server that is started by root first and by another user later needs that, or two servers of two users.

    Args:
        descriptor: of the file.
        folder: the status of its folder.
        readers: whether those who may read the folder may read the file. Whoever can open a file can lock it.
    """
    mode = _PRIVATE | (folder.st_mode & 0o020) * 3 | (folder.st_mode & 0o002) * 3
    if readers:
        mode |= folder.st_mode & 0o044
    try:
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    except PermissionError:  # the owner of the folder has the rights of the group, or only those of others
        with suppress(PermissionError):
            os.fchown(descriptor, -1, folder.st_gid)
        mode |= 0o060
        if not folder.st_mode & stat.S_IXOTH:
            mode |= 0o006
    with suppress(PermissionError):
        os.fchmod(descriptor, mode)


def replace(path: Path, data: bytes, *, like: os.stat_result | None = None, folder: int | None = None) -> None:
    """Replace a file as a whole: after a crash there is the old one or the new one.

    The caller makes sure that no other writer does the same at the same time. The folder is not synced.

    Args:
        path: the file; it need not exist.
        data: its new content.
        like: a file whose owner and mode it gets, or the folder with whose users it is shared; None: only its owner may
            read it.
        folder: descriptor of the folder, if the path is the name of a file in it.

    Raises:
        OSError: it was not replaced.
    """
    temporary = path.with_name(f".{path.name.lstrip('.')}.new")
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)  # a crash left it
    try:
        with create(temporary, folder=folder) as file:
            if like is not None and stat.S_ISDIR(like.st_mode):
                share(file.fileno(), like, readers=True)
            elif like is not None:
                _copy_owner_and_mode(like, file)
            write_all(file, data)
            os.fsync(file.fileno())
        os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
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
            lock(file.fileno(), path, wait=True)
            try:
                if _has_name(file, path):
                    yield file
                    return
            finally:
                unlock(file.fileno())


def _has_name(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
