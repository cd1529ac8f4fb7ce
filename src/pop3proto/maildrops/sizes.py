"""The sizes of messages on the wire, remembered in a file so that they need not be counted again."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto._io.files import open_regular, replace
from pop3proto.core.results import UniqueId

from .files import wire_octets

if TYPE_CHECKING:
    from pathlib import Path

    from .files import MessageFile

__all__ = ["CACHE_NAME", "SizeCache"]

CACHE_NAME: Final = ".pop3proto-sizes"

# Unique id, time of change, octets of the file, octets on the wire.
_ROW: Final = re.compile(rb"([!-~]{1,70}) (-?[0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,19})")
_LIMIT: Final = 1 << 26  # octets that are read, some half a million rows: somebody else may have written the file

_Row = tuple[int, int, int]


class SizeCache:
    """What is known of the sizes of messages without opening them.

    A remembered size counts for a file only as long as its time and its size are the same. Nothing here fails: what
    cannot be read is counted again, and so is, next time, what cannot be written. The caller holds the folder's lock.

    Args:
        folder: where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / CACHE_NAME
        self._saved = _read(self._path)
        self._rows: dict[UniqueId, _Row] = {}

    def get(self, file: MessageFile) -> int | None:
        """Return the octets of a message: as remembered, else as its name says, else None.

        What is remembered comes first, so that a name that lies can be mended (`put`).
        """
        row = self._saved.get(file.unique_id)
        if row is not None and row[:2] == (file.modified, file.size) and _possible(row[2], file.size):
            self._rows[file.unique_id] = row
            return row[2]
        named = wire_octets(file.name)
        return named if named is not None and _possible(named, file.size) else None

    def put(self, file: MessageFile, octets: int) -> None:
        """Remember the octets of a message."""
        self._rows[file.unique_id] = file.modified, file.size, octets

    def save(self) -> None:
        """Write what `get` found and what `put` learnt, if that is not what the file holds already."""
        if self._rows == self._saved:
            return
        rows = [f"{unique_id} {time} {size} {octets}\n" for unique_id, (time, size, octets) in self._rows.items()]
        with suppress(OSError):  # a Maildir that cannot be written to can still be read
            replace(self._path, "".join(rows).encode())
            self._saved = self._rows.copy()


def _read(path: Path) -> dict[UniqueId, _Row]:
    try:
        with open_regular(path) as file:
            data = file.read(_LIMIT)
    except OSError:
        return {}
    rows: dict[UniqueId, _Row] = {}
    *lines, _cut_off = data.split(b"\n")
    for line in lines:
        match = _ROW.fullmatch(line)
        if match is None:
            return {}  # the file is always replaced as a whole: somebody else wrote this one
        rows[UniqueId(match[1].decode())] = int(match[2]), int(match[3]), int(match[4])
    return rows


def _possible(octets: int, size: int) -> bool:
    """Whether a file of this size can be that long on the wire: each octet may be a LF, and the last line lack one."""
    return size <= octets <= 2 * size + 1
