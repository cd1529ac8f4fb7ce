"""Deleted messages that are kept: in the folder `.Trash`, or hidden where they are."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from typing_extensions import override

from pop3proto._io.files import NO_SYNC
from pop3proto.maildrops.disposal import Disposal
from pop3proto.maildrops.folders import MessageFolders
from pop3proto.maildrops.names import is_trashed, unique_part, with_flags
from pop3proto.serving.folders import ensure_folder
from pop3proto.serving.quota.counting import TRASH

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["Hiding", "Trashing", "free_name", "hiding", "sync_descriptor", "trashing"]


class Trashing(Disposal):
    """Moves messages to another folder.

    Args:
        folder: its descriptor.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder

    @override
    def dispose(self, name: str, folder: int) -> None:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = free_name(with_flags(name), self._folder, status)
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=self._folder)
        if status.st_nlink > 1:  # two names of one file are not renamed to each other
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)

    @override
    def is_gone(self, name: str) -> bool:
        return False

    @override
    def sync(self) -> None:
        sync_descriptor(self._folder)


class Hiding(Disposal):
    """Flags messages T, in `cur`.

    Args:
        cur: its descriptor.
    """

    def __init__(self, cur: int) -> None:
        self._cur = cur

    @override
    def dispose(self, name: str, folder: int) -> None:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = free_name(with_flags(name, add="T"), self._cur, status)
        os.rename(name, target, src_dir_fd=folder, dst_dir_fd=self._cur)
        if status.st_nlink > 1 and (target != name or not os.path.samestat(os.fstat(folder), os.fstat(self._cur))):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)

    @override
    def is_gone(self, name: str) -> bool:
        return is_trashed(name)

    @override
    def sync(self) -> None:
        sync_descriptor(self._cur)


@contextmanager
def trashing(maildir: Path) -> Generator[Trashing]:
    """Open the trash of a Maildir, which is made if it does not exist.

    Raises:
        NotMaildir: there is something else of that name.
        OSError: it cannot be opened.
    """
    ensure_folder(maildir, TRASH)
    with MessageFolders(maildir / TRASH).open_one("cur") as folder:
        yield Trashing(folder)


@contextmanager
def hiding(folders: MessageFolders) -> Generator[Hiding]:
    """Open the folder in which messages are hidden.

    Raises:
        OSError: it cannot be opened.
    """
    with folders.open_one("cur") as folder:
        yield Hiding(folder)


def free_name(name: str, folder: int, file: os.stat_result) -> str:
    """Return a name that no other file has; the name itself, if it can be.

    Args:
        name: the name.
        folder: descriptor of the folder.
        file: the file that is to get the name, or has it.
    """
    while True:
        try:
            other = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return name
        if os.path.samestat(other, file):
            return name
        unique = unique_part(name)
        name = f"{unique}R{secrets.token_hex(4)}{name[len(unique) :]}"


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
