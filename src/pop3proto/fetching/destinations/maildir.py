"""A Maildir, or a folder of one, as a destination of a fetch."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from pop3proto._io.files import create, sync_folder
from pop3proto._io.new_files import OpenFolder
from pop3proto.fetching.destination import Found
from pop3proto.fetching.header import HeaderDigest
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.folders import add_to_quota, clean_tmp
from pop3proto.maildrops.message_file import MaildirTarget, MessageFile
from pop3proto.maildrops.names import stored_size

from .maildir_search import STUB, StoredFile, find, read_mark
from .marks import Clock, checked_mark
from .stubs import first_line, text_below

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Buffer

    from pop3proto.fetching.destination import Arrival, NotTaken, Writer

__all__ = ["MaildirDestination"]

_FLAGS: Final = frozenset("DFPRS")
_TO_ENCODE: Final = re.compile(r"&|[^\x20-\x7e]+")


class MaildirDestination:
    """Stores messages in a Maildir, each in a file.

    The file's name holds the mark of the message. A message is found by it in each folder of the Maildir but Trash,
    wherever a mail program has moved it, unless it is marked as deleted.

    Of a message of which only the header was fetched, there is a file with the header and a short text. It is removed
    when the whole message is stored, if it is still in the same folder.

    Args:
        path: the Maildir; it is created if it does not exist. Its parent folder must exist.
        folder: name of a folder in it, as in Maildir++: "Lists.python"; it is created if it does not exist. None: the
            inbox.
        flags: flags of new messages, of D, F, P, R and S (draft, flagged, passed, replied, seen).
        batch: most messages that are committed at once. Each of them needs an open file.

    Raises:
        ValueError: the folder has no valid name, or there are other flags.
        NotMaildir: the path exists but is not a Maildir. Nothing was changed.
        OSError: the Maildir cannot be used.
    """

    recalls: bool = True

    def __init__(self, path: Path, *, folder: str | None = None, flags: str = "", batch: int = 100) -> None:
        if not _FLAGS.issuperset(flags):
            raise ValueError(f"flags must be of {', '.join(sorted(_FLAGS))}: {flags!r}")
        subfolder = None if folder is None else _folder_name(folder)
        self.name: str = f"the Maildir {path}" if folder is None else f"the folder {folder} of the Maildir {path}"
        self.batch: int = batch
        self._root = path
        ensure_maildir(path)
        if subfolder is None:
            self._maildir = path
        else:
            self._maildir = path / subfolder
            _ensure_subfolder(self._maildir)
        clean_tmp(self._maildir)  # a fetch that was killed has left its files there
        self._target = MaildirTarget(self._maildir, "".join(sorted(set(flags))))
        self._clock = Clock()

    def begin(self, arrival: Arrival, /) -> Writer:
        """Create a file in `tmp`."""
        seconds, microseconds = self._clock.tick()
        kind = STUB if arrival.header_only else "U"
        unique = f"{seconds}.M{microseconds:06}{kind}{checked_mark(arrival)}.pop3proto"
        return (_Stub if arrival.header_only else _Message)(self._target.tmp, unique, arrival)

    def commit(self, writers: Sequence[Writer], /) -> Sequence[NotTaken | None]:
        """Sync the files, move them to where they are read, and sync that folder once."""
        messages = cast("Sequence[_Message]", writers)
        self._target.commit(messages)
        self._remove_stubs(message.arrival.mark for message in messages if message.arrival.completes)
        return [None] * len(messages)

    def recall(self, marks: Collection[str], /, *, headers: bool = True) -> Mapping[str, Found]:
        """Look for the marks in the names of files."""
        whole: dict[str, StoredFile] = {}
        stubs: dict[str, StoredFile] = {}
        for file in find(self._root, self._maildir, frozenset(marks)):
            those = stubs if file.is_stub else whole
            if file.mark not in those or those[file.mark].name < file.name:  # the latest, if there are several
                those[file.mark] = file
        completed = [mark for mark, stub in stubs.items() if mark in whole and stub.name < whole[mark].name]
        self._remove_stubs(completed)  # a crash came before they were removed
        found = {**whole, **{mark: stub for mark, stub in stubs.items() if mark not in completed}}
        if found:  # a crash may have come before the names were synced
            for name in ("new", "cur"):
                sync_folder(self._maildir / name)
        return {
            mark: Found(file.octets, file.header_digest() if headers else None, file.is_stub)
            for mark, file in found.items()
        }

    def close(self) -> None:
        """Close the folders. Without that they are closed when nothing refers to the destination any more."""
        self._target.close()

    def _remove_stubs(self, marks: Iterable[str]) -> None:
        """Remove the headers of messages that are there as a whole. One that cannot be removed is left."""
        wanted = set(marks)
        if not wanted:
            return
        octets = count = 0
        for place in ("new", "cur"):
            with suppress(OSError):
                folder = OpenFolder(self._maildir / place)
                for name in os.listdir(folder.descriptor):  # noqa: PTH208 - Path knows no descriptors
                    if (read := read_mark(name)) and read[0] == STUB and read[1] in wanted:
                        os.unlink(name, dir_fd=folder.descriptor)
                        octets += stored_size(name) or 0
                        count += 1
        if count:
            add_to_quota(self._maildir, -octets, -count)


class _Message(MessageFile):
    """A message that is being written."""

    __slots__ = ("arrival",)

    def __init__(self, tmp: OpenFolder, unique: str, arrival: Arrival) -> None:
        self.arrival: Final = arrival
        super().__init__(tmp, unique)


class _Stub(_Message):
    """The header of a message that is being written, with a line on top and a text below."""

    __slots__ = ("_header",)

    def __init__(self, tmp: OpenFolder, unique: str, arrival: Arrival) -> None:
        super().__init__(tmp, unique, arrival)
        self._header = HeaderDigest()

    @override
    def write(self, chunk: Buffer, /) -> None:
        if not self.octets:
            super().write(first_line(self.arrival))
        self._header.feed(bytes(chunk))
        super().write(chunk)

    @override
    def finish(self) -> str:
        self.write(text_below(self.arrival) if self._header.ended else b"")
        return super().finish()


def _folder_name(folder: str) -> str:
    """Return the name of the folder's own folder: ".Lists.python"; in modified UTF-7 (RFC 3501 section 5.1.3).

    Raises:
        ValueError: there can be none.
    """
    if not all(folder.split(".")) or "/" in folder or not folder.isprintable():
        raise ValueError(f"a folder of a Maildir has a name like Lists or Lists.python, not {folder!r}")
    return "." + _TO_ENCODE.sub(_encode, folder)


def _encode(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    return "&" + match[0].encode("utf-7").decode("ascii")[1:].replace("/", ",")


def _ensure_subfolder(path: Path) -> None:
    ensure_maildir(path)
    if not (path / "maildirfolder").exists():
        with suppress(FileExistsError):
            create(path / "maildirfolder").close()
        sync_folder(path)
