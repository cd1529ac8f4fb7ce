"""Search for messages of a fetch in a Maildir and its folders, by their names."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import open_regular
from pop3proto.fetching.header import HeaderDigest
from pop3proto.maildrops.names import is_trashed, is_unpacked, stored_size, wire_octets

from .stubs import without_first_line

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["STUB", "StoredFile", "find", "read_mark"]

STUB: Final = "H"
"""The letter before the mark of a message of which there is only the header."""

_MARK: Final = re.compile(r"[0-9]+\.M[0-9]+([UH])([0-9a-f]{32})\.pop3proto(?![^,:;!])")
_TRASH: Final = ".Trash"
_CHUNK: Final = 1 << 14


@attrs.frozen
class StoredFile:
    """A message of a fetch in a Maildir.

    Args:
        path: its file.
        mark: of the message.
        is_stub: only its header is there.
    """

    path: str
    mark: str
    is_stub: bool

    @property
    def name(self) -> str:
        """The file's name. Those of later messages come later in order."""
        return os.path.basename(self.path)  # noqa: PTH119 - there may be many

    @property
    def octets(self) -> int | None:
        """The message's octets on the wire, as the name says; None: unknown."""
        name = self.name
        size = stored_size(name)
        return None if self.is_stub or size is None else wire_octets(name, size)

    def header_digest(self) -> str | None:
        """Return the digest of its header; None: the file cannot be read, or is compressed."""
        digest = HeaderDigest()
        with suppress(OSError), open_regular(self.path) as file:
            if not is_unpacked(self.name, os.fstat(file.fileno()).st_size):
                return None
            chunk = file.read(_CHUNK)
            digest.feed(without_first_line(chunk) if self.is_stub else chunk)
            while chunk and not digest.ended:
                chunk = file.read(_CHUNK)
                digest.feed(chunk)
            return digest.digest
        return None


def read_mark(name: str) -> tuple[str, str] | None:
    """Return "U" or `STUB`, and the mark, from the name of a file; None: it is not of a fetch."""
    match = _MARK.match(name)
    return None if match is None else (match[1], match[2])


def find(root: Path, maildir: Path, marks: frozenset[str]) -> Generator[StoredFile]:
    """Yield the files of messages in all folders of a Maildir but Trash, without those that are marked as deleted.

    Args:
        root: the Maildir.
        maildir: it, or the folder of it that is searched in any case.
        marks: of the messages.

    Raises:
        OSError: a folder cannot be read.
    """
    for folder in _folders(root, maildir):
        for place in ("new", "cur"):  # messages move from new to cur: in this order none is missed
            path = f"{folder}/{place}"
            try:
                names = os.listdir(path)  # noqa: PTH208 - there may be 100,000, and Path is slow
            except (FileNotFoundError, NotADirectoryError):
                if folder in (root, maildir):
                    raise
                continue  # no folder of Maildir++, or it is deleted meanwhile
            for name in names:
                match = _MARK.match(name)
                if match is not None and match[2] in marks and not is_trashed(name):
                    yield StoredFile(f"{path}/{name}", match[2], match[1] == STUB)


def _folders(root: Path, maildir: Path) -> list[Path]:
    names = (name for name in os.listdir(root) if name.startswith("."))  # noqa: PTH208 - as below
    others = [Path(root, name) for name in names if name != _TRASH and not name.startswith(f"{_TRASH}.")]
    return [root, *others] if maildir == root or maildir in others else [root, maildir, *others]
