"""An mbox as a destination of a fetch."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pop3proto._io.files import sync_folder
from pop3proto.core.errors import Pop3Error
from pop3proto.fetching.header import HeaderDigest
from pop3proto.fetching.spool import Spool

from .marks import checked_mark
from .mbox_file import STUB, MboxFile, why_not_mbox
from .mbox_format import MboxEncoder, from_line
from .stubs import first_line, text_below

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Mapping, Sequence

    from pop3proto.fetching.destination import Arrival, Found, NotTaken, Writer

__all__ = ["MboxDestination", "NotMbox"]

_ENOUGH: Final = 1 << 18


class NotMbox(Pop3Error):
    """The path exists but is not an mbox. Nothing was changed."""


class MboxDestination:
    """Appends messages to a file in the format mboxrd: LF line ends, and lines that begin with `From` are quoted.

    The file is locked in both ways in use, by a lock file `PATH.lock` and with `fcntl`, while a batch of messages is
    appended, or messages are searched for. Messages wait in memory below 1 MiB, else in a file without a name in the
    folder of the mbox.

    The first line of each entry holds in place of the sender, whom a fetch does not know, what is needed to find the
    message again: its mark, its octets on the wire, and the digest of its header. So the message itself is stored as it
    was received, and mail programs keep that line when they rewrite the file:

        From pop3proto-U0f3c...-2048-mK3v0Jq_2hTQx9aB Sat Nov 28 20:49:56 2026

    An entry at the end of the file that a killed process has left incomplete is removed with the next message. Of a
    message of which only the header was fetched, there is an entry with the header and a short text; it stays when the
    whole message is stored.

    Args:
        path: the mbox; it is created with the first message. Its folder must exist, and allow the lock file.
        patience: seconds to wait while other programs have the mbox locked.
        batch: most messages that are appended at once.

    Raises:
        NotMbox: the path is a folder, a symbolic link that leads nowhere, or a file that does not begin like an mbox;
            nothing was changed.
        OSError: the file or its folder cannot be opened.
    """

    recalls: bool = True

    def __init__(self, path: Path, *, patience: float = 60, batch: int = 100) -> None:
        self.name: str = f"the mbox {path}"
        self.batch: int = batch
        self._patience = patience
        if path.is_symlink() and not path.exists():
            raise NotMbox(f"{path} is not an mbox: it is a symbolic link that leads nowhere")
        if path.is_dir():
            raise NotMbox(f"{path} is not an mbox: it is a folder")
        self._path = Path(os.path.realpath(path))  # where other programs look for the lock file
        if not self._path.exists():
            self._path.parent.stat()
            return
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if words := why_not_mbox(descriptor):
                raise NotMbox(f"{path}: {words}")
        finally:
            os.close(descriptor)

    def begin(self, arrival: Arrival, /) -> Writer:
        """Begin to gather a message."""
        checked_mark(arrival)
        return _Entry(arrival, self._path.parent)

    def commit(self, writers: Sequence[Writer], /) -> Sequence[NotTaken | None]:
        """Append the messages under the locks, and sync the file once."""
        entries = cast("Sequence[_Entry]", writers)
        if not entries:
            return []
        is_new = not self._path.exists()
        with MboxFile.locked(self._path, patience=self._patience, create=True) as (file, was_left):
            if was_left:
                file.cut_torn_entry()
            file.append(_gathered(piece for entry in entries for piece in entry.pieces()))
        if is_new:
            sync_folder(self._path.parent)
        for entry in entries:
            entry.abort()
        return [None] * len(entries)

    def recall(self, marks: Collection[str], /, *, headers: bool = True) -> Mapping[str, Found]:
        """Look for the marks in the first lines of entries, and read those entries: are they whole?"""
        del headers  # they are read anyway
        if not self._path.exists():
            return {}
        with MboxFile.locked(self._path, patience=self._patience, create=False) as (file, was_left):
            if was_left:
                file.cut_torn_entry()
            found = file.find(frozenset(marks))
        if found:
            sync_folder(self._path.parent)  # a crash may have come before the name of the file was synced
        return found


class _Entry:
    """A message that is being gathered, in the form in which it is appended."""

    __slots__ = ("_arrival", "_encoder", "_header", "_spool")

    def __init__(self, arrival: Arrival, folder: Path) -> None:
        self._arrival = arrival
        self._encoder = MboxEncoder()
        self._header = HeaderDigest()
        self._spool = Spool(folder)
        if arrival.header_only:
            self._spool.write(self._encoder.feed(first_line(arrival)))

    def write(self, octets: bytes, /) -> None:
        self._header.feed(octets)
        self._spool.write(self._encoder.feed(octets))

    def pieces(self) -> Generator[bytes]:
        """Yield the entry; once."""
        last = b""
        if self._arrival.header_only and self._header.ended:
            last = self._encoder.feed(text_below(self._arrival))
        last += self._encoder.finish()
        kind = STUB if self._arrival.header_only else "U"
        mark = f"{kind}{self._arrival.mark}-{self._encoder.octets}-{self._header.digest}"
        yield from_line(f"pop3proto-{mark}", time.time())
        yield from self._spool.pieces()
        yield last

    def abort(self) -> None:
        self._spool.close()


def _gathered(pieces: Iterable[bytes]) -> Generator[bytes]:
    """Join small pieces, so that a batch is written with few system calls."""
    waiting: list[bytes] = []
    octets = 0
    for piece in pieces:
        waiting.append(piece)
        octets += len(piece)
        if octets >= _ENOUGH:
            yield b"".join(waiting)
            waiting.clear()
            octets = 0
    yield b"".join(waiting)
