"""Storing a message in a Maildir, so that it is there whole or not at all."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, Final, Self

from pop3proto._io.files import create, sync_folder, write_all
from pop3proto.core.dots import BodyEncoder
from pop3proto.core.errors import Pop3Error

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Buffer

__all__ = ["Delivery", "NotMaildir", "ensure_maildir"]

_FOLDERS: Final = ("tmp", "new", "cur")
_CHUNK: Final = 1 << 18
_serial: Final = itertools.count(1)


class NotMaildir(Pop3Error):
    """A path is something else than a Maildir. Nothing was changed."""


def ensure_maildir(path: Path) -> None:
    """Create a Maildir, unless it is there.

    A folder that is empty, or holds no more than a part of a Maildir, is completed. Parents are not created: a
    mistyped path should not become a folder. What was created is on the disk.

    Raises:
        NotMaildir: the path is a file, or a folder with other things in it.
        OSError: it cannot be created.
    """
    if path.exists() and not path.is_dir():
        raise NotMaildir(f"{path} is not a folder, so it is no Maildir")
    if all((path / folder).is_dir() for folder in _FOLDERS):
        return
    if path.exists() and not _is_part_of_maildir(path):
        raise NotMaildir(f"{path} is no Maildir and is not empty")
    for folder in (path, *(path / name for name in _FOLDERS)):
        folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path)
    sync_folder(path.parent)


def _is_part_of_maildir(path: Path) -> bool:
    return all(entry.name in _FOLDERS and entry.is_dir() for entry in path.iterdir())


class Delivery:
    r"""One message on its way into a Maildir.

    It grows in `tmp` and is moved to `new` by `commit` when it is on the disk. A `with` block that is left without a
    commit leaves nothing behind.

    Line ends are stored as LF, as is usual in a Maildir, if the message is the same again when each LF is made CRLF.
    It is not if it has a bare LF, or a CR before a CRLF (`\r\r\n` would come back as `\r\n`): then it is stored as it
    came. The name tells the size of the file and the size on the wire, `,S=` and `,W=`.

    Args:
        maildir: where to; `ensure_maildir` has been called for it.
        unique: the unique part of the name in `new`, if the caller has one that no other message has.

    Raises:
        OSError: from here as from every method: a file cannot be created, written or moved.
    """

    def __init__(self, maildir: Path, unique: str | None = None) -> None:
        name = _unique_name()
        self._maildir = maildir
        self._unique = unique or name
        self._temporary = maildir / "tmp" / name
        self._file = create(self._temporary)
        self._counter = BodyEncoder()
        self._unix = True
        # The CRs that the message so far ends with, two at most: what follows says whether they are part of a line end.
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, chunk: Buffer) -> None:
        """Store the next octets of the message, as they came off the wire, un-stuffed.

        Raises:
            LocalProtocolError: the message was committed; nothing has changed.
        """
        self._counter.feed(chunk)
        data = self._held + bytes(chunk)
        if self._unix and not _survives_unix(data):
            self._restore()
        self._held = _trailing_crs(data)
        self._store(data[: len(data) - len(self._held)])

    def commit(self) -> Path:
        """Finish the message: it is on the disk, and in `new`, when this returns.

        If it raises, the message may or may not be there; a copy too many is better than one that is lost.

        Returns:
            The message's file.

        Raises:
            LocalProtocolError: the message was committed before; nothing has changed.
        """
        self._counter.finish()
        self._store(self._held)
        os.fsync(self._file.fileno())
        size = os.fstat(self._file.fileno()).st_size
        self._file.close()
        new = self._maildir / "new"
        # The name is unique, so nothing is replaced.
        path = self._temporary.rename(new / f"{self._unique},S={size},W={self._counter.octets}")
        sync_folder(new)
        return path

    def abort(self) -> None:
        """Take everything back, unless it was committed."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _store(self, data: bytes) -> None:
        write_all(self._file, data.replace(b"\r\n", b"\n") if self._unix else data)

    def _restore(self) -> None:
        """Bring the line ends back that were taken away so far, and store as it comes from now on."""
        self._unix = False
        self._temporary.unlink()  # it is open, so it can still be read
        with self._file as unix:
            self._file = create(self._temporary)
            unix.seek(0)
            while chunk := unix.read(_CHUNK):
                write_all(self._file, chunk.replace(b"\n", b"\r\n"))


def _survives_unix(data: bytes) -> bool:
    return data.count(b"\n") == data.count(b"\r\n") and b"\r\r\n" not in data


def _trailing_crs(data: bytes) -> bytes:
    end = data[-2:]
    return end[len(end.rstrip(b"\r")) :]


def _unique_name() -> str:
    """Return a name that no message in any Maildir has: time, process, count, chance and host."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    # Blanks, slashes, colons and commas mean something in a name, and octets above 127 nothing in a unique id.
    host = re.sub(r"[^A-Za-z0-9.-]", "_", os.uname().nodename)
    unique = f"M{nanoseconds // 1000:06}P{os.getpid()}Q{next(_serial)}R{secrets.token_hex(4)}"
    return f"{seconds}.{unique}.{host}"
