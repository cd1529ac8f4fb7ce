"""A cache file for the wire sizes of messages, so that a message is counted only once."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pop3proto._io.files import open_regular, replace
from pop3proto.core.results import UniqueId

from .names import wire_octets

if TYPE_CHECKING:
    from pathlib import Path

    from .listing import MessageFile

__all__ = ["CACHE_NAME", "SizeCache"]

CACHE_NAME: Final = ".pop3proto-sizes"

# Unique id, modification time (see MessageFile), size of the file, size on the wire.
_ROW: Final = re.compile(rb"([!-~]{1,70}) ([0-9]{1,20}) ([0-9]{1,19}) ([0-9]{1,19})")
_LIMIT: Final = 1 << 26  # octets to read, about 500,000 rows: the file may have been written by another program

_Row = tuple[int, int, int]


class SizeCache:
    """A cache of the wire sizes of messages, kept in the file `.pop3proto-sizes`.

    A cached size is used only if the modification time and the size of the file are unchanged. No method raises
    `OSError`: if the cache cannot be read or written, messages are counted again. The caller holds the folder's lock.

    Args:
        folder: the folder that holds the cache file.
        keep: whether `save` keeps all that is cached; otherwise what neither `get` nor `put` used is forgotten.
    """

    def __init__(self, folder: Path, *, keep: bool = False) -> None:
        self._path = folder / CACHE_NAME
        self._saved = _read(self._path)
        self._rows: dict[UniqueId, _Row] = self._saved.copy() if keep else {}

    def get(self, file: MessageFile) -> int | None:
        """Return the wire size of a message in octets: from the cache, else from its file name, else None.

        The cache comes first, so that `put` can correct a wrong size in a file name.
        """
        row = self._saved.get(file.unique_id)
        if row is not None and row[:2] == (file.modified, file.size):
            self._rows[file.unique_id] = row
            return row[2]
        return wire_octets(file.name, file.size)

    def put(self, file: MessageFile, octets: int) -> None:
        """Cache the wire size of a message, in octets."""
        self._rows[file.unique_id] = file.modified, file.size, octets

    def save(self) -> None:
        """Write the sizes to the cache file, if they differ from what is in it."""
        if self._rows == self._saved:
            return
        rows = [f"{unique_id} {time} {size} {octets}\n" for unique_id, (time, size, octets) in self._rows.items()]
        with suppress(OSError):  # a read-only Maildir can still be read
            replace(self._path, "".join(rows).encode(), like=self._path.parent.stat())


def _read(path: Path) -> dict[UniqueId, _Row]:
    try:
        with open_regular(path) as file:
            data = file.read(_LIMIT)
    except OSError:
        return {}
    rows: dict[UniqueId, _Row] = {}
    *lines, _incomplete = data.split(b"\n")
    for line in lines:
        match = _ROW.fullmatch(line)
        if match is None:
            return {}  # not written by this class, which always replaces the whole file
        rows[UniqueId(match[1].decode())] = int(match[2]), int(match[3]), int(match[4])
    return rows
