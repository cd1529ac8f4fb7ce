"""A folder of single files as a destination of a fetch."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from pop3proto._io.files import open_regular, sync_folder
from pop3proto._io.new_files import NewFile, OpenFolder, publish
from pop3proto.fetching.destination import Found
from pop3proto.fetching.header import HeaderDigest
from pop3proto.maildrops.folders import remove_abandoned

from .marks import Clock, checked_mark

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from pop3proto.fetching.destination import Arrival, NotTaken, Writer

__all__ = ["FilesDestination"]

_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9]{6}-([0-9a-f]{32})(\.header)?\.eml")
_UNFINISHED: Final = ".eml.part"
_CHUNK: Final = 1 << 16


class FilesDestination:
    """Stores each message in a file of its own, octet for octet as it was received.

    The names are `20261128T204956-123456-MARK.eml`: the time of arrival in UTC with microseconds, and the mark of the
    message. They sort in order of arrival. A message is found again as long as its file keeps its name.

    Of a message of which only the header was fetched, there is a file `.header.eml` with it. It is removed when the
    whole message is stored.

    Args:
        folder: where the files are; it is created if it does not exist. Its parent folder must exist.
        batch: most messages that are committed at once. Each of them needs an open file.

    Raises:
        OSError: the folder cannot be used.
    """

    recalls: bool = True

    def __init__(self, folder: Path, *, batch: int = 100) -> None:
        self.name: str = f"the folder {folder}"
        self.batch: int = batch
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
        self._folder = OpenFolder(folder)
        with suppress(OSError):
            remove_abandoned(self._folder.descriptor, _UNFINISHED)
        self._clock = Clock()

    def begin(self, arrival: Arrival, /) -> Writer:
        """Create a file with a name of its own."""
        seconds, microseconds = self._clock.tick()
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
        kind = ".header" if arrival.header_only else ""
        return _Message(self._folder, f"{moment}-{microseconds:06}-{checked_mark(arrival)}{kind}.eml", arrival)

    def commit(self, writers: Sequence[Writer], /) -> Sequence[NotTaken | None]:
        """Sync the files, give them their names, and sync the folder once."""
        messages = cast("Sequence[_Message]", writers)
        publish([message.file for message in messages], self._folder, [message.name for message in messages])
        self._remove_headers({message.arrival.mark for message in messages if message.arrival.completes})
        return [None] * len(messages)

    def recall(self, marks: Collection[str], /, *, headers: bool = True) -> Mapping[str, Found]:
        """Look for the marks in the names of files."""
        wanted = frozenset(marks)
        whole: dict[str, str] = {}
        partial: dict[str, str] = {}
        for name in os.listdir(self._folder.path):  # noqa: PTH208 - there may be 100,000, and Path is slow
            if (match := _NAME.fullmatch(name)) and match[1] in wanted:
                those = partial if match[2] else whole
                those[match[1]] = max(name, those.get(match[1], ""))  # the latest, if there are several
        completed = {mark for mark, name in partial.items() if mark in whole and name < whole[mark]}
        self._remove_headers(completed)  # a crash came before they were removed
        for mark in [*partial]:
            (partial if mark in completed else whole).pop(mark, None)
        if whole or partial:
            self._folder.sync()  # a crash may have come before the names were synced
        if not headers:
            return {**dict.fromkeys(partial, Found(header_only=True)), **dict.fromkeys(whole, Found())}
        return {
            **{mark: self._found(name, header_only=True) for mark, name in partial.items()},
            **{mark: self._found(name, header_only=False) for mark, name in whole.items()},
        }

    def close(self) -> None:
        """Close the folder. Without that it is closed when nothing refers to the destination any more."""
        self._folder.close()

    def _found(self, name: str, *, header_only: bool) -> Found:
        digest = HeaderDigest()
        octets = None
        header = None
        with suppress(OSError), open_regular(name, folder=self._folder.descriptor) as file:
            octets = None if header_only else os.fstat(file.fileno()).st_size
            while not digest.ended and (chunk := file.read(_CHUNK)):
                digest.feed(chunk)
            header = digest.digest
        return Found(octets, header, header_only)

    def _remove_headers(self, marks: Collection[str]) -> None:
        """Remove the headers of messages that are there as a whole. One that cannot be removed is left."""
        if not marks:
            return
        with suppress(OSError):
            for name in os.listdir(self._folder.path):  # noqa: PTH208 - as above
                if (match := _NAME.fullmatch(name)) and match[2] and match[1] in marks:
                    os.unlink(name, dir_fd=self._folder.descriptor)


class _Message:
    """A message that is being written."""

    __slots__ = ("arrival", "file", "name")

    def __init__(self, folder: OpenFolder, name: str, arrival: Arrival) -> None:
        self.arrival: Final = arrival
        self.name: Final = name
        self.file: Final = NewFile(folder, f"{name.removesuffix('.eml')}{_UNFINISHED}")

    def write(self, octets: bytes, /) -> None:
        self.file.write(octets)

    def abort(self) -> None:
        self.file.discard()
