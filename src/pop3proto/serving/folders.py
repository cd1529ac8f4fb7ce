"""Folders of a Maildir, in Maildir++."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto._io.files import sync_folder
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.folders import not_followed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ensure_folder", "give_to_owner", "make_maildir"]

_PARTS: Final = ("tmp", "new", "cur")


def ensure_folder(maildir: Path, name: str) -> Path:
    """Make a folder in a Maildir if it does not exist, and sync it to disk; return its path.

    Args:
        maildir: the Maildir.
        name: of the folder, with its dot.

    Raises:
        NotMaildir: there is something else of that name.
        OSError: it cannot be made, or it is a symbolic link, which could lead to the mail of others.
    """
    folder = maildir / name
    if folder.is_symlink():
        raise not_followed(folder)
    if (folder / "maildirfolder").exists() and all((folder / each).is_dir() for each in _PARTS):
        return folder
    ensure_maildir(folder)
    (folder / "maildirfolder").touch(mode=0o600)
    status = maildir.stat()
    for path in (*(folder / each for each in _PARTS), folder / "maildirfolder", folder):
        with suppress(PermissionError):  # it belongs to this process, which may not give it away
            os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
            if path.name != "maildirfolder":
                path.chmod(stat.S_IMODE(status.st_mode))
    sync_folder(folder)
    return folder


def make_maildir(path: Path) -> None:
    """Make a Maildir if it does not exist; a new one belongs to the owner of its parent folder, if this is root.

    Raises:
        NotMaildir: there is something else of that name.
        OSError: it cannot be made.
    """
    new = not path.exists()
    ensure_maildir(path)
    if new:
        for each in (*(path / name for name in _PARTS), path):
            give_to_owner(each, path.parent)


def give_to_owner(file: Path | int, folder: Path) -> None:
    """Give a new file or folder the owner of a folder, if this process is root. Else it has its owner already.

    Raises:
        OSError: root may not do that.
    """
    if os.geteuid() == 0:
        status = folder.stat()
        os.chown(file, status.st_uid, status.st_gid, follow_symlinks=isinstance(file, int))
