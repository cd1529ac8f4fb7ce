"""Lock files beside mailboxes, `mbox.lock`, as delivery agents and mail programs make them."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from pop3proto._io.new_files import named

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["PAUSE", "dotlock", "in_use"]

PAUSE: Final = 0.05
"""Seconds between two tries to get a lock."""

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# How systems say that they have no files without a name, or cannot give them one: no /proc, for example.
_NO_UNNAMED_FILES: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EPERM, errno.ENOSYS}
_READABLE: Final = 0o644  # others see which process has it
_HOLDER: Final = re.compile(rb"\s*([1-9][0-9]{0,9})(?::(\S+))?\s*")
_OLD: Final = 300.0  # seconds without change after which a lock file of which nobody knows the holder is stale
_UNSURE: Final = 60.0  # seconds by which the clock of a file server may differ from that of this host


def in_use(path: Path) -> TimeoutError:
    """Return the error for a mailbox that another program has locked for too long."""
    return TimeoutError(errno.ETIMEDOUT, "another program has locked it for too long", str(path))


@contextmanager
def dotlock(mailbox: Path, until: float) -> Generator[bool]:
    """Hold the lock file of a mailbox. It says who holds it: `PID:HOST`.

    A lock file is stale, and is removed, if it names a process of this host that does not run, or that began after the
    lock was made: then it has the number of an earlier one. So it is if it names none that could be looked for, and is
    five minutes old.

    Args:
        mailbox: the mailbox; a symbolic link is resolved already.
        until: a time of `time.monotonic`: how long to wait for another holder.

    Returns:
        Whether a stale lock was removed: its holder may have been killed in the middle of its work.

    Raises:
        TimeoutError: another holds the lock.
        OSError: it cannot be made.
    """
    path = mailbox.with_name(f"{mailbox.name}.lock")
    was_stale = False
    while not _create(path):
        if _remove_if_stale(path):
            was_stale = True
        elif time.monotonic() >= until:
            raise in_use(path)
        else:
            time.sleep(PAUSE)
    try:
        yield was_stale
    finally:
        _release(path)


def _release(path: Path) -> None:
    """Remove the lock file; if that fails, once more: a lock that stays would hold up this process, too."""
    try:
        os.unlink(path)  # noqa: PTH108 - as all of the system calls here
    except OSError:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108


def _create(path: Path) -> bool:
    """Create the lock file; return False if it exists. It says who holds it from its first moment on."""
    holder = f"{os.getpid()}:{os.uname().nodename}\n".encode()
    try:
        return _create_whole(path, holder)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_UNNAMED_FILES:
            raise named(error, path) from error
    try:
        descriptor = os.open(path, _CREATE, _READABLE)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, holder)
    except OSError as error:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        raise named(error, path) from error
    finally:
        os.close(descriptor)
    return True


def _create_whole(path: Path, content: bytes) -> bool:
    """Create the lock file with its content at once: a file without a name gets its name."""
    if not hasattr(os, "O_TMPFILE"):
        raise OSError(errno.EOPNOTSUPP, "there are no files without a name")
    descriptor = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, _READABLE)
    try:
        os.write(descriptor, content)
        # The descriptor of a folder lets Python follow the link of the system to the file.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
    except OSError:
        if os.fstat(descriptor).st_nlink:  # it has its name: over NFS the answer may be lost
            return True
        raise
    finally:
        os.close(descriptor)
    return True


def _remove_if_stale(path: Path) -> bool:
    """Remove a lock file if it is stale. Of two processes that do so at once, none removes the new one of the other."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return False  # it was released
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            return False  # another's: wait for it
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if not _is_stale(os.read(descriptor, 256), status.st_mtime) or not os.path.samestat(status, os.lstat(path)):
            return False
        os.unlink(path)  # noqa: PTH108
    except (BlockingIOError, FileNotFoundError):  # another process does the same
        return False
    except OSError as error:
        raise named(error, path) from error
    else:
        return True
    finally:
        os.close(descriptor)


def _is_stale(content: bytes, changed: float) -> bool:
    match = _HOLDER.fullmatch(content)
    here = os.uname().nodename.encode()
    if match is not None and match[2] == here:
        return not _runs(int(match[1]), changed)
    old = time.time() - changed > _OLD
    if match is not None and match[2] is None:  # some programs write the process alone
        return old and not _runs(int(match[1]), changed)
    return old


def _runs(process: int, moment: float) -> bool:
    """Return whether a process runs that may have run at a moment, in seconds since 1970."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    began = _began(process)
    return began is None or began <= moment + _UNSURE


def _began(process: int) -> float | None:
    """Return when a process began, in seconds since 1970; None: the system does not tell."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123 - as above
            # The name of the program may hold anything, blanks and parentheses too; the field is the 22nd.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return booted + ticks / os.sysconf("SC_CLK_TCK")
    except (AttributeError, IndexError, OSError, ValueError):
        return None
