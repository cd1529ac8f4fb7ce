"""The folders of a Maildir: made again where they are missing, opened, cleaned; and the file of its quota."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import append, sync_folder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = [
    "FOLDERS",
    "HeldFolders",
    "MessageFolders",
    "add_to_quota",
    "clean_tmp",
    "complete",
    "is_link",
    "is_maildir",
    "missing",
    "not_followed",
    "remove_abandoned",
]

# Messages move from new to cur. In this order, a message that moves during the listing is seen twice, but never missed.
FOLDERS: Final = ("new", "cur")
_ALL: Final = ("tmp", *FOLDERS)
_ABANDONED: Final = 36 * 3600  # seconds without access after which a file in tmp may go, by the rules of Maildir
_READ_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# Files that programs for Maildirs put beside `cur`: Dovecot, Courier and Maildir++, mbsync, Exim, this library.
_SIGNS: Final = (".mbsyncstate", ".pop3proto-", ".uidvalidity", "courier", "dovecot", "maildir", "subscriptions")


def missing(maildir: Path) -> list[str]:
    """Return which of `tmp`, `new` and `cur` are missing."""
    return [name for name in _ALL if not (maildir / name).is_dir()]


def is_maildir(path: Path) -> bool:
    """Return whether a folder is a Maildir, or what is left of one.

    Backup programs and git leave out empty folders. Some of `tmp`, `new` and `cur` will do if there is nothing else, or
    if there is a file of a mail program as well.
    """
    absent = missing(path)
    if not absent:
        return True
    names = [entry.name for entry in path.iterdir()]
    return len(absent) < len(_ALL) and (
        len(names) == len(_ALL) - len(absent) or any(name.startswith(_SIGNS) for name in names)
    )


def complete(maildir: Path) -> None:
    """Make those of `tmp`, `new` and `cur` that are missing, with the owner and the mode of one that is there.

    If none is there, root makes them for the owner of the Maildir.

    Raises:
        OSError: they cannot be made.
    """
    absent = missing(maildir)
    there = [name for name in _ALL if name not in absent]
    for name in absent:
        folder = maildir / name
        folder.mkdir(mode=0o700, exist_ok=True)
        if there:
            _make_like(folder, (maildir / there[-1]).stat())
        elif os.geteuid() == 0:
            around = maildir.stat()
            os.chown(folder, around.st_uid, around.st_gid, follow_symlinks=False)
    if absent:
        sync_folder(maildir)


def _make_like(folder: Path, status: os.stat_result) -> None:
    with suppress(PermissionError):
        os.chown(folder, status.st_uid, status.st_gid, follow_symlinks=False)
    descriptor = os.open(folder, _READ_FOLDER | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    finally:
        os.close(descriptor)


@attrs.frozen
class MessageFolders:
    """The folders of a Maildir that hold messages, `new` and `cur`.

    Args:
        maildir: the folder that holds them.
        follow_links: whether they may be symbolic links. Whoever may write to a Maildir could make it lead to another.
        held: descriptor of the folder, which the caller holds open; None: it is opened by its path each time.
    """

    maildir: Path
    follow_links: bool = False
    held: int | None = None

    @contextmanager
    def open(self) -> Generator[tuple[int, ...]]:
        """Open the folders, so that nobody can put others in their place meanwhile.

        Returns:
            Their descriptors, in the order of `FOLDERS`; they are closed at the end of the block.

        Raises:
            OSError: one of them cannot be opened.
        """
        with ExitStack() as stack:
            yield tuple(stack.enter_context(self.open_one(name)) for name in FOLDERS)

    @contextmanager
    def open_one(self, name: str) -> Generator[int]:
        """Open one of the folders, as `open`."""
        descriptor = self.open_descriptor(name)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open_descriptor(self, name: str) -> int:
        """Return a descriptor of one of the folders, as `open_one`; the caller closes it."""
        try:
            flags = _READ_FOLDER if self.follow_links else _READ_FOLDER | os.O_NOFOLLOW
            if self.held is not None:
                return os.open(name, flags, dir_fd=self.held)
            return os.open(f"{self.maildir}/{name}", flags)  # to join paths costs as much as to open the folder
        except OSError as error:
            path = self.maildir / name
            if not self.follow_links and is_link(name if self.held is not None else path, self.held):
                raise not_followed(path) from error
            raise OSError(error.errno, error.strerror, str(path)) from error


@attrs.frozen
class HeldFolders(MessageFolders):
    """The folders of a Maildir that the caller holds open.

    Args:
        maildir: as of `MessageFolders`.
        follow_links: likewise.
        held: descriptor of the Maildir.
    """

    held: int = -1


def is_link(path: str | Path, folder: int | None = None) -> bool:
    """Return whether a path, in a folder if that is given, is a symbolic link."""
    try:
        return stat.S_ISLNK(os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def not_followed(path: Path) -> OSError:
    """Return the error for a folder that is a symbolic link."""
    words = "it is a symbolic link; links are followed only with follow_links, or --follow-links"
    return OSError(errno.ELOOP, words, str(path))


def clean_tmp(maildir: Path | MessageFolders) -> None:
    """Remove files from `tmp` that nobody has used for 36 hours: a program that was killed has left them."""
    folders = maildir if isinstance(maildir, MessageFolders) else MessageFolders(maildir)
    with suppress(OSError), folders.open_one("tmp") as folder:
        remove_abandoned(folder)


def remove_abandoned(folder: int, suffix: str = "") -> None:
    """Remove files that nobody has used for 36 hours.

    Args:
        folder: descriptor of the folder that they are in.
        suffix: only those whose names end so.

    Raises:
        OSError: the folder cannot be read. A file that cannot be removed is left there.
    """
    before = time.time() - _ABANDONED
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(suffix):
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                used = max(status.st_atime, status.st_mtime, status.st_ctime)
                if stat.S_ISREG(status.st_mode) and used < before:
                    os.unlink(entry.name, dir_fd=folder)


def add_to_quota(maildir: Path, octets: int, messages: int) -> None:
    """Note in `maildirsize`, if there is one, that messages came (or went, with negative numbers).

    Programs that keep to Maildir++ take the quota from this file. They count again from time to time, so that an entry
    that cannot be written does not matter for long: it is no error.

    Args:
        maildir: the Maildir, or a folder of one in Maildir++, whose quota is that of the Maildir around it.
        octets: by how many octets the files have grown.
        messages: by how many messages.
    """
    if (maildir / "maildirfolder").exists():
        maildir = maildir.parent
    with suppress(OSError):
        append(maildir / "maildirsize", b"%d %d\n" % (octets, messages), new=False)
