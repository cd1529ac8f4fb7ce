"""Listings of the message files in a Maildir, complete although other programs rename them meanwhile."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import attrs

from .names import delivery_time, unique_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pop3proto.core.results import UniqueId

    from .folders import MessageFolders

__all__ = ["Entry", "Ids", "Listing", "MessageFile", "Stamp", "list_files", "list_messages", "stamp"]

_ATTEMPTS: Final = 4  # listings of folders that change all the time ...
_MOST_ATTEMPTS: Final = 12  # ... and as long as each finds more
_TICK: Final = 20_000_000  # nanoseconds; on some kernels two changes within 10 ms have one modification time
_MASK: Final = (1 << 64) - 1  # any program may set a time before 1970, or one that takes more than 64 bits


Stamp: TypeAlias = tuple[int, ...]  # the modification times of the folders, in nanoseconds


@attrs.frozen
class Entry:
    """A message file in a listing.

    Args:
        folder: its folder, as index of `FOLDERS`.
        name: its name.
        inode: its inode number.
        size: its size, in octets.
        modified: its modification time, in nanoseconds modulo 2**64.
        links: how many names it has.
    """

    folder: int
    name: str
    inode: int
    size: int
    modified: int
    links: int


# By unique part and inode: moving a file changes neither.
_Entries: TypeAlias = dict[tuple[str, int], Entry]


@attrs.frozen(slots=False)
class Listing:
    """The message files in the folders.

    Args:
        entries: the files; one that has several names is there once.
        complete: whether these are all. If the folders change all the time, they are those that any of some listings
            has shown.
        stamp: when the folders were changed last; None if they may have been changed since.
    """

    entries: _Entries
    complete: bool
    stamp: Stamp | None

    @cached_property
    def names(self) -> set[tuple[int, str]]:
        """The folder and the name of each file."""
        return {(entry.folder, entry.name) for entry in self.entries.values()}

    @cached_property
    def by_inode(self) -> dict[int, Entry]:
        """A file of each inode."""
        return {entry.inode: entry for entry in self.entries.values()}

    @cached_property
    def by_unique_part(self) -> dict[str, list[Entry]]:
        """The files of each unique part."""
        files: dict[str, list[Entry]] = {}
        for (unique, _), entry in self.entries.items():
            files.setdefault(unique, []).append(entry)
        return files


@attrs.frozen
class MessageFile:
    """A message file, as it was when the folders were listed.

    Args:
        folder: its folder, as index of `FOLDERS`; another program may have moved it since.
        name: its name, likewise.
        inode: its inode number.
        size: its size, in octets.
        modified: its modification time, in nanoseconds modulo 2**64.
        unique_id: the message's unique id.
    """

    folder: int
    name: str
    inode: int
    size: int
    modified: int
    unique_id: UniqueId


class Ids(Protocol):
    """Knows the unique ids of files."""

    def assign(self, unique: str, inode: int, modified: int, *, shared: bool) -> UniqueId:
        """Return the unique id of a message; the arguments are those of `IdRecord.assign`."""
        ...


def list_messages(folders: MessageFolders, ids: Ids) -> Iterator[MessageFile]:
    """List the messages of a Maildir, in order of delivery.

    By the rules of Maildir, a file whose name begins with a dot is not a message; nor is anything but a regular file.

    Raises:
        OSError: a folder cannot be read.
    """
    entries = list_files(folders).entries
    occurrences = Counter(unique for unique, _ in entries)
    for (unique, inode), entry in sorted(entries.items(), key=_delivery_order):
        message_id = ids.assign(unique, inode, entry.modified, shared=occurrences[unique] > 1)
        yield MessageFile(entry.folder, entry.name, inode, entry.size, entry.modified, message_id)


def _delivery_order(item: tuple[object, Entry]) -> tuple[int, str]:
    name = item[1].name
    return delivery_time(name), name


def list_files(folders: MessageFolders) -> Listing:
    """List the folders, again as long as they change meanwhile: a file that is renamed can be missed."""
    every: _Entries = {}
    unchanged = False
    with folders.open() as descriptors:
        before = stamp(descriptors)
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            entries, vanished = _list_once(descriptors)
            after = stamp(descriptors)
            unchanged = after == before
            if unchanged and not _is_recent(after):
                return Listing(entries, complete=True, stamp=after)
            found = len(every)
            every |= entries
            if attempt >= _ATTEMPTS and len(every) == found and vanished <= {unique for unique, _ in every}:
                break
            before = after
    return Listing(every, complete=unchanged, stamp=None)


def stamp(descriptors: tuple[int, ...]) -> Stamp:
    """Return what changes whenever a file comes, goes or is renamed."""
    return tuple(os.fstat(descriptor).st_mtime_ns for descriptor in descriptors)


def _is_recent(stamp: Stamp) -> bool:
    """Return whether the last change is so recent that another may have the same time."""
    now = time.time_ns()
    return any(0 <= now - changed < _TICK for changed in stamp)


def _list_once(descriptors: tuple[int, ...]) -> tuple[_Entries, set[str]]:
    """Return the files, and the unique parts of those that were renamed or removed before they were looked at."""
    listing: _Entries = {}
    vanished: set[str] = set()
    for folder, descriptor in enumerate(descriptors):
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    vanished.add(unique_part(name))
                    continue
                if stat.S_ISREG(status.st_mode):
                    listing[unique_part(name), status.st_ino] = Entry(
                        folder, name, status.st_ino, status.st_size, status.st_mtime_ns & _MASK, status.st_nlink
                    )
    return listing, vanished
