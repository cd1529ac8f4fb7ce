"""Deleted messages that are kept: in the folder `.Trash`, or hidden where they are."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto._io.moving import sync_descriptor
from pop3proto.maildrops.disposal import Disposal
from pop3proto.maildrops.folders import HeldFolders
from pop3proto.maildrops.holding import held, made_inside
from pop3proto.maildrops.ids import give
from pop3proto.maildrops.moving import move_message
from pop3proto.maildrops.names import is_trashed, unique_id as id_of, unique_part, with_flags
from pop3proto.serving.quota.counting import TRASH

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pop3proto.core.results import UniqueId
    from pop3proto.maildrops.folders import MessageFolders

__all__ = ["Hiding", "Trashing", "hiding", "trashing"]

_LONGEST_NAME: Final = 255  # octets


class Trashing(Disposal):
    """Moves messages to another folder, and records there which ids they had, where their names do not tell.

    Args:
        trash: descriptor of the folder.
        cur: descriptor of the folder `cur` in it.
    """

    def __init__(self, trash: int, cur: int) -> None:
        self._trash = trash
        self._cur = cur

    @override
    def dispose(self, name: str, folder: int, unique_id: UniqueId) -> None:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        target = with_flags(name)
        if len(os.fsencode(target)) > _LONGEST_NAME:
            target = name  # without flags

        def record(target: str) -> None:
            part = unique_part(target)
            if id_of(part) != unique_id:
                give(self._trash, [(part, status.st_ino, status.st_mtime_ns, unique_id)])

        move_message(name, folder, target, self._cur, record)

    @override
    def is_gone(self, name: str) -> bool:
        return False

    @override
    def sync(self) -> None:
        sync_descriptor(self._cur)


class Hiding(Disposal):
    """Flags messages T, in `cur`.

    Args:
        cur: its descriptor.
    """

    def __init__(self, cur: int) -> None:
        self._cur = cur

    @override
    def dispose(self, name: str, folder: int, unique_id: UniqueId) -> None:
        target = with_flags(name, add="T")
        if not is_trashed(target):  # what follows the colon is none of the flags that Maildir defines
            target = with_flags(unique_part(name), add="T")
        try:
            move_message(name, folder, target, self._cur)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            move_message(name, folder, with_flags(unique_part(name), add="T"), self._cur)

    @override
    def is_gone(self, name: str) -> bool:
        return is_trashed(name)

    @override
    def sync(self) -> None:
        sync_descriptor(self._cur)


@contextmanager
def trashing(maildir: Path, *, follow_links: bool) -> Generator[Trashing]:
    """Open the trash of a Maildir, which is made if it does not exist.

    Args:
        maildir: the Maildir, whose lock the caller holds.
        follow_links: whether the trash, and folders in it, may be symbolic links.

    Raises:
        NotFolder: there is something else of that name.
        OSError: it cannot be opened.
    """
    with held(maildir, follow_links=True) as whole:  # a session has opened it, so that it may be a link
        inner = HeldFolders(whole.maildir, follow_links, whole.held)
        with made_inside(inner, TRASH) as trash, trash.open_one("cur") as cur:
            yield Trashing(trash.held, cur)


@contextmanager
def hiding(folders: MessageFolders) -> Generator[Hiding]:
    """Open the folder in which messages are hidden.

    Raises:
        OSError: it cannot be opened.
    """
    with folders.open_one("cur") as folder:
        yield Hiding(folder)
