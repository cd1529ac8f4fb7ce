"""The files of a Maildir that are messages: listed, opened and removed, also while others rename them."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from .disk import open_regular, sync_folder
from .names import delivery_time, unique_id, unique_part

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from io import FileIO
    from pathlib import Path

    from pop3proto.core.results import UniqueId

__all__ = ["FOLDERS", "MessageFile", "MessageFiles"]

# A message moves from new to cur. Listed in this order, one that moves meanwhile is seen twice at worst, never missed.
FOLDERS: Final = ("new", "cur")


@attrs.frozen
class MessageFile:
    """A message's file, as it was when the folder was listed.

    Args:
        path: where it was; other programs may have moved it since.
        unique_id: the message's unique id, which moving does not change.
        size: octets of the file.
        modified: when the file was last changed, in nanoseconds.
    """

    path: str
    unique_id: UniqueId
    size: int
    modified: int

    @property
    def name(self) -> str:
        """The name without the folder."""
        return os.path.basename(self.path)  # noqa: PTH119 - there may be a hundred thousand


class MessageFiles:
    """The messages of a Maildir. Methods fail with `OSError`.

    Files whose names begin with a dot, folders, links and the like are none (the rule of Maildir).

    Args:
        maildir: the folder that holds `new` and `cur`.
    """

    def __init__(self, maildir: Path) -> None:
        self._maildir = maildir
        self._files: dict[UniqueId, MessageFile] = {}
        self.refresh()

    def __iter__(self) -> Iterator[MessageFile]:
        """Go through the messages in order of delivery."""
        return iter(self._files.values())

    def refresh(self) -> None:
        """List the folders again."""
        self._files = _list(self._maildir)

    def open(self, unique_id: UniqueId) -> FileIO:
        """Open a message, wherever it is now.

        Raises:
            FileNotFoundError: it is gone.
        """
        with suppress(FileNotFoundError):
            return open_regular(self._path(unique_id))
        self.refresh()
        return open_regular(self._path(unique_id))

    def remove(self, unique_ids: Iterable[UniqueId]) -> list[OSError]:
        """Remove messages, wherever they are now, and wait until that is on the disk.

        A message that is gone already is fine; one that cannot be removed does not keep the others.

        Returns:
            what went wrong; nothing, if all of them are gone for good.
        """
        failures: list[OSError] = []
        with _noted_in(failures):
            self.refresh()  # once for all that was moved, instead of once for each
        for each in unique_ids:
            with _noted_in(failures):
                self._remove(each)
        for folder in FOLDERS:
            with _noted_in(failures):
                sync_folder(self._maildir / folder)
        return failures

    def _remove(self, unique_id: UniqueId) -> None:
        if unique_id not in self._files:
            return
        with suppress(FileNotFoundError):
            os.unlink(self._path(unique_id))  # noqa: PTH108 - as above
            return
        self.refresh()
        if unique_id in self._files:
            os.unlink(self._path(unique_id))  # noqa: PTH108

    def _path(self, unique_id: UniqueId) -> str:
        file = self._files.get(unique_id)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "the message is gone", unique_id)
        return file.path


@contextmanager
def _noted_in(failures: list[OSError]) -> Generator[None]:
    try:
        yield
    except OSError as error:
        failures.append(error)


def _list(maildir: Path) -> dict[UniqueId, MessageFile]:
    """Return the messages in order of delivery."""
    # One that is moved while the folders are listed comes twice, and is the same file; the later name is the newer.
    seen: dict[tuple[str, int], tuple[os.DirEntry[str], os.stat_result]] = {}
    for folder in FOLDERS:
        for entry, status in _regular_files(maildir / folder):
            seen[unique_part(entry.name), status.st_ino] = entry, status
    sharers = Counter(unique for unique, _ in seen)
    files: dict[UniqueId, MessageFile] = {}
    for (unique, inode), (entry, status) in sorted(seen.items(), key=_delivery_order):
        # Copies that somebody made. None of them may keep the plain id: the next would inherit it when that one goes.
        marks = (inode, status.st_mtime_ns) if sharers[unique] > 1 else ()
        file = MessageFile(entry.path, unique_id(unique, *marks), status.st_size, status.st_mtime_ns)
        files[file.unique_id] = file
    return files


def _delivery_order(item: tuple[object, tuple[os.DirEntry[str], object]]) -> tuple[int, str]:
    name = item[1][0].name
    return delivery_time(name), name


def _regular_files(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # moved or removed since
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield entry, status
