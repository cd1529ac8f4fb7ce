"""Maildirs and the folders in them, held open: no user can replace one by a link to another while it is used."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from pop3proto._io.files import share
from pop3proto._io.moving import sync_descriptor
from pop3proto.core.errors import Pop3Error

from .folders import HeldFolders, is_link, not_followed

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["FOLDER_MARK", "NotFolder", "held", "held_inside", "made_inside"]

FOLDER_MARK: Final = "maildirfolder"
"""The file that marks a folder of a Maildir, in Maildir++."""

_PARTS: Final = ("tmp", "new", "cur")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MARK: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o700


class NotFolder(Pop3Error):
    """There is something else where a folder of a Maildir is to be made. Nothing was changed."""


@contextmanager
def held(maildir: Path, *, follow_links: bool) -> Generator[HeldFolders]:
    """Hold a Maildir open.

    Args:
        maildir: the Maildir.
        follow_links: whether it, and folders in it, may be symbolic links.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = _opened(maildir, None, maildir, follow_links=follow_links)
    try:
        yield HeldFolders(maildir, follow_links, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held_inside(maildir: HeldFolders, name: str) -> Generator[HeldFolders | None]:
    """Hold a folder of a Maildir open, such as `.Trash`.

    Args:
        maildir: the Maildir, which is held.
        name: of the folder.

    Returns:
        It; None if there is none.

    Raises:
        OSError: it cannot be opened, or is a symbolic link that is not followed.
    """
    path = maildir.maildir / name
    descriptor = -1
    with suppress(FileNotFoundError):
        descriptor = _opened(name, maildir.held, path, follow_links=maildir.follow_links)
    if descriptor < 0:
        yield None
        return
    try:
        yield HeldFolders(path, maildir.follow_links, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def made_inside(maildir: HeldFolders, name: str) -> Generator[HeldFolders]:
    """Hold a folder of a Maildir open, as `held_inside`; make it, or what is missing in it, and sync that to disk.

    What this makes belongs to the owner of the Maildir and has its mode; what is there is not changed.

    Raises:
        NotFolder: there is something else of that name.
        OSError: it cannot be made or opened.
    """
    like = os.fstat(maildir.held)
    path = maildir.maildir / name
    made = _make(name, maildir.held, like)
    try:
        descriptor = _opened(name, maildir.held, path, follow_links=maildir.follow_links)
    except NotADirectoryError as error:
        raise NotFolder(f"{path} is not a folder") from error
    try:
        names = {*os.listdir(descriptor)}  # noqa: PTH208 - an open folder
        if names.isdisjoint({*_PARTS, FOLDER_MARK}) and names:
            raise NotFolder(f"{path} is not a Maildir and is not empty")
        changed = [part for part in _PARTS if part not in names and _make(part, descriptor, like)]
        if FOLDER_MARK not in names:
            _mark(descriptor, like)
            changed.append(FOLDER_MARK)
        if changed:
            sync_descriptor(descriptor)
        if made:
            sync_descriptor(maildir.held)
        yield HeldFolders(path, maildir.follow_links, descriptor)
    finally:
        os.close(descriptor)


def _opened(name: str | Path, folder: int | None, path: Path, *, follow_links: bool) -> int:
    try:
        return os.open(name, _FOLDER if follow_links else _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if not follow_links and is_link(name, folder):
            raise not_followed(path) from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def _make(name: str, folder: int, like: os.stat_result) -> bool:
    """Make a folder, with the owner and the mode of another; return whether it was not there."""
    try:
        os.mkdir(name, _PRIVATE, dir_fd=folder)
    except FileExistsError:
        return False
    descriptor = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid() and not os.listdir(descriptor):  # noqa: PTH208 - it is the one made here
            with suppress(PermissionError):  # it belongs to this process, which may not give it away
                os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    finally:
        os.close(descriptor)
    return True


def _mark(folder: int, like: os.stat_result) -> None:
    with suppress(FileExistsError):
        descriptor = os.open(FOLDER_MARK, _MARK, 0o600, dir_fd=folder)
        try:
            share(descriptor, like, readers=True)
        finally:
            os.close(descriptor)
