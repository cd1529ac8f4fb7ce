"""The record of unique ids that must not be given to another message of a Maildir."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from pop3proto._io.files import append, open_regular, replace
from pop3proto._io.moving import sync_descriptor
from pop3proto.core.results import UniqueId

from .names import unique_id

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["IDS_NAME", "GivenIds", "IdRecord", "give", "retire"]

IDS_NAME: Final = ".pop3proto-ids"

_MASK: Final = (1 << 64) - 1  # as in listings
_LIMIT: Final = 1 << 26  # octets to read: the file may have been written by another program
# A unique id; inode and modification time of a file that shares it with another, from when they were first seen; the id
# that a file has in place of it.
_ROW: Final = re.compile(rb"([!-~]{1,70})(?: ([0-9]{1,20}) ([0-9]{1,20})(?: ([!-~]{1,70}))?)?")


class IdRecord:
    """The unique ids of a Maildir that depend on more than the name of a file.

    As a rule, the unique id of a message is the unique part of its file's name, and no program uses a unique part
    again. Three kinds of rows in the file `.pop3proto-ids` keep what is an exception:

        1700000000.M1P2.host 4711 1700000000123456789   one of several files with this unique part
        1700000000.M1P3.host                            the last session removed the message of this id
        1700000000.M1P4.host 4713 1700000000123456 x7   the file of this inode has the id x7: it was restored

    Files that share a unique part have ids made of inode and modification time, now and later, whichever of them is
    left, however it is touched. A copy of a file that a session removed is such a file as well. A row of the second
    kind is dropped by the next session, and by nothing else, unless there is such a copy. A row of the third kind
    counts for the file of its inode, and is dropped with it.

    The caller holds the lock of the Maildir.

    Args:
        maildir: the Maildir.

    Raises:
        OSError: there is a record, and it cannot be read.
    """

    def __init__(self, maildir: Path) -> None:
        self._path = maildir / IDS_NAME
        self._known, self._given = _read(self._path)
        self._used: dict[UniqueId, dict[int, int]] = {each: files for each, files in self._known.items() if files}
        self._seen: set[tuple[UniqueId, int]] = set()  # unique parts, and inodes of files that have them
        self._known_retired = len(self._used) < len(self._known)
        self._changed = False

    def assign(self, unique: str, inode: int, modified: int, *, shared: bool) -> UniqueId:
        """Return the unique id of a message.

        Args:
            unique: the unique part of the name of its file.
            inode: of the file.
            modified: modification time of the file, in nanoseconds modulo 2**64.
            shared: whether another file has the same unique part.
        """
        plain = unique_id(unique)
        if self._given and (given := self._given.get((plain, inode))) is not None:
            self._seen.add((plain, inode))
            return given[1]
        if not shared and plain not in self._known:
            return plain
        files = self._used.setdefault(plain, {})
        # An inode may have been that of a file that was removed.
        if inode not in files or unique_id(unique, inode, files[inode]) in self._known:
            files[inode] = modified
            self._changed = True
        self._seen.add((plain, inode))
        return unique_id(unique, inode, files[inode])

    def is_reserved(self, unique: str) -> bool:
        """Return whether a file of this unique part may not have its id from its name alone.

        The last session removed the message of that name, or several files have the unique part.
        """
        plain = unique_id(unique)
        return plain in self._known or plain in self._used

    def save(self, *, session: bool) -> None:
        """Write the record of the files that were assigned an id, if it has changed; not in a read-only Maildir.

        Args:
            session: rows that count no more are dropped. Only a session may do that: clients know its ids.
        """
        present = [(each, inode, time) for each, files in self._used.items() for inode, time in files.items()]
        rows = [
            f"{each} {inode} {time}\n" for each, inode, time in present if not session or (each, inode) in self._seen
        ]
        given = {key: row for key, row in self._given.items() if not session or key in self._seen}
        rows += [f"{plain} {inode} {time} {id_}\n" for (plain, inode), (time, id_) in given.items()]
        if not session:
            rows += [f"{each}\n" for each, files in self._known.items() if not files]
            if not self._changed:
                return
        elif not (self._changed or self._known_retired) and len(rows) == len(present) + len(self._given):
            return
        with suppress(OSError):
            if rows:
                replace(self._path, "".join(rows).encode(), like=self._path.parent.stat())
            else:
                self._path.unlink()
            self._changed = self._known_retired = False


def retire(maildir: Path, unique_ids: Iterable[UniqueId]) -> None:
    """Record the ids of removed messages for the next session.

    Raises:
        OSError: they could not be recorded.
    """
    append(maildir / IDS_NAME, "".join(f"{each}\n" for each in unique_ids).encode(), new=True)


def give(folder: int, rows: Iterable[tuple[str, int, int, UniqueId]]) -> None:
    """Record which ids files have from now on, and sync that to disk. Call it before a file gets its name.

    Args:
        folder: descriptor of the Maildir, whose lock the caller holds.
        rows: for each file its unique part, inode, modification time in nanoseconds, and id.

    Raises:
        OSError: they could not be recorded.
    """
    lines = [f"{unique_id(unique)} {inode} {modified & _MASK} {id_}\n" for unique, inode, modified, id_ in rows]
    if lines:
        append(IDS_NAME, "".join(lines).encode(), new=True, folder=folder)
        with open_regular(IDS_NAME, folder=folder) as file:
            os.fsync(file.fileno())
        sync_descriptor(folder)


class GivenIds:
    """The ids of the messages in a folder that is no maildrop, such as the trash: those that they had, or were given.

    Args:
        folder: descriptor of the folder. The caller holds the lock of the Maildir.

    Raises:
        OSError: there is a record, and it cannot be read.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder
        self._given = _read(IDS_NAME, folder)[1]
        self._seen: set[tuple[UniqueId, int]] = set()

    def assign(self, unique: str, inode: int, modified: int, *, shared: bool) -> UniqueId:  # noqa: ARG002 - as IdRecord
        """Return the unique id of a message."""
        plain = unique_id(unique)
        given = self._given.get((plain, inode))
        if given is None or given[0] != modified:  # another file may have the inode by now
            return plain
        self._seen.add((plain, inode))
        return given[1]

    def save(self) -> None:
        """Drop the rows of files that are gone."""
        if len(self._seen) == len(self._given):
            return
        kept = {key: row for key, row in self._given.items() if key in self._seen}
        rows = [f"{plain} {inode} {time} {id_}\n" for (plain, inode), (time, id_) in kept.items()]
        with suppress(OSError):
            replace(Path(IDS_NAME), "".join(rows).encode(), like=os.fstat(self._folder), folder=self._folder)


_Given: TypeAlias = dict[tuple[UniqueId, int], tuple[int, UniqueId]]


def _read(path: str | Path, folder: int | None = None) -> tuple[dict[UniqueId, dict[int, int]], _Given]:
    """Read the record.

    Returns:
        Inode and modification time of the files that share an id, by id, none for a removed message; and the
        modification time and the id of each file that was given one, by unique part and inode.
    """
    known: dict[UniqueId, dict[int, int]] = {}
    given: _Given = {}
    try:
        with open_regular(path, folder=folder) as file:
            data = file.read(_LIMIT)
    except FileNotFoundError:
        return known, given
    for line in data.split(b"\n"):
        if match := _ROW.fullmatch(line):
            plain = UniqueId(match[1].decode())
            if match[4]:
                given[plain, int(match[2])] = int(match[3]), UniqueId(match[4].decode())
                continue
            files = known.setdefault(plain, {})
            if match[2]:
                files[int(match[2])] = int(match[3])
    return known, given
