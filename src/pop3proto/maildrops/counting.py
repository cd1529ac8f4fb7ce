"""What is in the message files of a Maildir: opened for a client, and counted for STAT and LIST."""

from __future__ import annotations

import os
from contextlib import closing
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from pop3proto.procedures.maildrop import wire_size, wire_size_of

from .compressed import may_be_compressed, unpacked
from .names import is_unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import FileIO

    from .compressed import Unpacked
    from .files import MessageFiles

__all__ = ["count_all", "open_message"]

_SMALL: Final = 1 << 16  # octets of a file that is read as a whole to count it ...
_BATCH: Final = 32  # ... with so many others


def open_message(files: MessageFiles, index: int) -> FileIO | Unpacked:
    """Open a message; unpack it, unless its name proves that it is not compressed."""
    source = files.open(index)
    try:
        # Of what was opened: another program may have put a compressed file in its place since the listing.
        size = os.fstat(source.fileno()).st_size
    except OSError:
        source.close()
        raise
    return source if is_unpacked(files.name(index), size) else unpacked(source)


def count_all(files: MessageFiles, indices: Sequence[int]) -> Iterator[tuple[int, int | OSError]]:
    """Count messages, and yield the size of each, or why it cannot be read. Small files take three system calls."""
    at = 0
    while at < len(indices):
        batch = indices[at : at + _BATCH]
        contents = files.read_as_listed(takewhile(lambda index: files.size(index) <= _SMALL, batch))
        for index, octets in zip(batch, contents, strict=False):
            packed = may_be_compressed(octets) and not is_unpacked(files.name(index), len(octets))
            yield index, _count(files, index) if packed else wire_size_of(octets)
        other = batch[len(contents) :][:1]  # it is large, or not as it was listed
        for index in other:
            yield index, _count(files, index)
        at += len(contents) + len(other)


def _count(files: MessageFiles, index: int) -> int | OSError:
    try:
        with closing(open_message(files, index)) as source:
            return wire_size(source)
    except OSError as error:
        return error
