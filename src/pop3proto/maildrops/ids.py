"""The record of unique ids that must not be given to another message of a Maildir."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto._io.files import append, open_regular, replace
from pop3proto.core.results import UniqueId

from .names import unique_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["IDS_NAME", "IdRecord", "retire"]

IDS_NAME: Final = ".pop3proto-ids"

_LIMIT: Final = 1 << 26  # octets to read: the file may have been written by another program
# A unique id; inode and modification time of a file that shares it with another, from when they were first seen.
_ROW: Final = re.compile(rb"([!-~]{1,70})(?: ([0-9]{1,20}) ([0-9]{1,20}))?")


class IdRecord:
    """The unique ids of a Maildir that depend on more than the name of a file.

    As a rule, the unique id of a message is the unique part of its file's name, and no program uses a unique part
    again. Two kinds of rows in the file `.pop3proto-ids` keep what is an exception:

        1700000000.M1P2.host 4711 1700000000123456789   one of several files with this unique part
        1700000000.M1P3.host                            the last session removed the message of this id

    Files that share a unique part have ids made of inode and modification time, now and later, whichever of them is
    left, however it is touched. A copy of a file that a session removed is such a file as well. A row of the second
    kind is dropped by the next session, unless there is such a copy.

    The caller holds the lock of the Maildir.

    Args:
        maildir: the Maildir.

    Raises:
        OSError: there is a record, and it cannot be read.
    """

    def __init__(self, maildir: Path) -> None:
        self._path = maildir / IDS_NAME
        self._known = _read(self._path)
        self._used: dict[UniqueId, dict[int, int]] = {each: files for each, files in self._known.items() if files}
        self._seen: set[tuple[UniqueId, int]] = set()  # unique parts, and inodes of files that have them
        self._changed = len(self._used) < len(self._known)

    def assign(self, unique: str, inode: int, modified: int, *, shared: bool) -> UniqueId:
        """Return the unique id of a message.

        Args:
            unique: the unique part of the name of its file.
            inode: of the file.
            modified: modification time of the file, in nanoseconds modulo 2**64.
            shared: whether another file has the same unique part.
        """
        plain = unique_id(unique)
        if not shared and plain not in self._known:
            return plain
        files = self._used.setdefault(plain, {})
        # An inode may have been that of a file that was removed.
        if inode not in files or unique_id(unique, inode, files[inode]) in self._known:
            files[inode] = modified
            self._changed = True
        self._seen.add((plain, inode))
        return unique_id(unique, inode, files[inode])

    def save(self) -> None:
        """Write the record of the files that were assigned an id, if it has changed; not in a read-only Maildir."""
        present = [(each, inode, time) for each, files in self._used.items() for inode, time in files.items()]
        rows = [f"{each} {inode} {time}\n" for each, inode, time in present if (each, inode) in self._seen]
        if not self._changed and len(rows) == len(present):
            return
        with suppress(OSError):
            if rows:
                replace(self._path, "".join(rows).encode(), like=self._path.parent.stat())
            else:
                self._path.unlink()
            self._changed = False


def retire(maildir: Path, unique_ids: Iterable[UniqueId]) -> None:
    """Record the ids of removed messages for the next session.

    Raises:
        OSError: they could not be recorded.
    """
    append(maildir / IDS_NAME, "".join(f"{each}\n" for each in unique_ids).encode(), new=True)


def _read(path: Path) -> dict[UniqueId, dict[int, int]]:
    """Return inode and modification time of the files that share an id, by id; none for a removed message."""
    known: dict[UniqueId, dict[int, int]] = {}
    try:
        with open_regular(path) as file:
            data = file.read(_LIMIT)
    except FileNotFoundError:
        return known
    for line in data.split(b"\n"):
        if match := _ROW.fullmatch(line):
            files = known.setdefault(UniqueId(match[1].decode()), {})
            if match[2]:
                files[int(match[2])] = int(match[3])
    return known
