"""Files that get other names, and never take the name of another file."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Final

from .files import NO_SYNC

__all__ = ["move_file", "sync_descriptor"]

# Where a file cannot have two names: file systems without links; Linux for files of others (fs.protected_hardlinks).
_NO_LINKS: Final = {errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def move_file(name: str, folder: int, target: str, to: int) -> None:
    """Give a file another name, unless another file has it.

    The file is never without a name: it has both for a moment. Where the file system has no links, it is looked whether
    the name is free.

    Args:
        name: the file's name.
        folder: descriptor of its folder.
        target: the name that it gets.
        to: descriptor of the folder that it gets it in.

    Raises:
        FileExistsError: another file has that name; nothing has changed.
        FileNotFoundError: the file is not there, or another program has just moved it; it has not got the name.
        OSError: it cannot be moved; it has the old name.
    """
    if name == target and os.path.samestat(os.fstat(folder), os.fstat(to)):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return
    made = True
    try:
        os.link(name, target, src_dir_fd=folder, dst_dir_fd=to, follow_symlinks=False)
    except FileExistsError:
        made = False
        if not _is_same(name, folder, target, to):
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename(name, folder, target, to)
        return
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        # Another program has moved it, and it has a third name; or it cannot be moved. If the new name is the only one,
        # it stays, whatever has become of the other: to keep a message is better than to lose it.
        with suppress(OSError):
            if os.stat(target, dir_fd=to, follow_symlinks=False).st_nlink == 1:
                return
            if made:
                os.unlink(target, dir_fd=to)
        raise


def _rename(name: str, folder: int, target: str, to: int) -> None:
    try:
        os.stat(target, dir_fd=to, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=to)
        return
    if not _is_same(name, folder, target, to):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.unlink(name, dir_fd=folder)


def _is_same(name: str, folder: int, target: str, to: int) -> bool:
    """Return whether two names are those of one file, and not one name (where letters count without their case)."""
    one = os.stat(name, dir_fd=folder, follow_symlinks=False)
    try:
        other = os.stat(target, dir_fd=to, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(one, other) and one.st_nlink > 1


def sync_descriptor(folder: int) -> None:
    """Wait until the names in a folder are on the disk, where the file system can do that.

    Raises:
        OSError: they may not be on the disk.
    """
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
