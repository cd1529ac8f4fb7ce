"""Delivery of messages into a Maildir: a message is stored completely or not at all."""

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

from .folders import add_to_quota, complete, is_maildir

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Buffer

__all__ = ["Delivery", "NotMaildir", "ensure_maildir"]

_CHUNK: Final = 1 << 18
_serial: Final = itertools.count(1)


class NotMaildir(Pop3Error):
    """The path exists but is not a Maildir. Nothing was changed."""


def ensure_maildir(path: Path) -> None:
    """Create a Maildir if it does not exist.

    A folder that is empty, or that holds only some of `tmp`, `new` and `cur`, is completed; so is one that holds some
    of them and a file of a mail program, `dovecot-uidlist` for example. Parent folders are not created, so that a
    mistyped path does not become a folder. New folders are synced to disk before this returns.

    Args:
        path: the Maildir, the folder that holds `tmp`, `new` and `cur`.

    Raises:
        NotMaildir: the path is a file, a symbolic link that leads nowhere, or a folder with other content;
            nothing was changed.
        OSError: the Maildir cannot be created.
    """
    if path.is_symlink() and not path.exists():
        raise NotMaildir(f"{path} is not a Maildir: it is a symbolic link that leads nowhere")
    if not path.exists():
        path.mkdir(mode=0o700)
        sync_folder(path.parent)
    elif not path.is_dir():
        raise NotMaildir(f"{path} is not a Maildir: it is not a folder")
    elif any(path.iterdir()) and not is_maildir(path):
        raise NotMaildir(f"{path} is not a Maildir and is not empty")
    complete(path)


class Delivery:
    r"""Delivers one message into a Maildir: `write` its octets, then `commit`.

    The message is written to a file in `tmp`. `commit` syncs the file and moves it to `new`. Leaving the `with` block
    without `commit` removes the file.

        with Delivery(maildir) as delivery:
            delivery.write(b"Subject: hello\r\n\r\nHi, Ann.\r\n")
            path = delivery.commit()

    Line ends are stored as LF, as is usual in a Maildir, if turning each LF into CRLF gives the same message again.
    A message with a bare LF, or with a CR before a CRLF (`\r\r\n` would come back as `\r\n`), is stored unchanged.
    The file name holds the size of the file and the size on the wire, as `,S=` and `,W=`. If there is a file
    `maildirsize` of a mail program, the message is added to it.

    Args:
        maildir: the target; call `ensure_maildir` for it first.
        unique: the unique part of the file name in `new`; it must differ from that of every other message. None makes
            a new one.

    Raises:
        OSError: a file cannot be created, written or moved. Every method may raise it.
    """

    def __init__(self, maildir: Path, unique: str | None = None) -> None:
        name = _unique_name()
        self._maildir = maildir
        self._unique = unique or name
        self._temporary = maildir / "tmp" / name
        self._file = create(self._temporary)
        self._counter = BodyEncoder()
        self._unix = True
        # CRs at the end of the octets so far, at most two: the next octets decide whether they are part of a line end.
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, chunk: Buffer) -> None:
        """Write the next octets of the message.

        Args:
            chunk: octets as received, after dot-unstuffing; it may end anywhere, in a line end too.

        Raises:
            LocalProtocolError: the message is already committed; nothing has changed.
        """
        self._counter.feed(chunk)
        data = self._held + bytes(chunk)
        if self._unix and not _survives_lf(data):
            self._restore_crlf()
        self._held = _trailing_crs(data)
        self._store(data[: len(data) - len(self._held)])

    def commit(self) -> Path:
        """Finish the message: sync it to disk and move it to `new`.

        Returns:
            The path of the message's file.

        Raises:
            LocalProtocolError: the message is already committed; nothing has changed.
            OSError: the message may or may not be in `new`. Deliver it again: a duplicate is better than a loss.
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
        add_to_quota(self._maildir, size, 1)
        return path

    def abort(self) -> None:
        """Remove the unfinished message; do nothing after `commit`."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _store(self, data: bytes) -> None:
        write_all(self._file, data.replace(b"\r\n", b"\n") if self._unix else data)

    def _restore_crlf(self) -> None:
        """Rewrite what is stored so far with CRLF line ends, and store the rest unchanged."""
        self._unix = False
        self._temporary.unlink()  # the file is open, so it can still be read
        with self._file as unix:
            self._file = create(self._temporary)
            unix.seek(0)
            while chunk := unix.read(_CHUNK):
                write_all(self._file, chunk.replace(b"\n", b"\r\n"))


def _survives_lf(data: bytes) -> bool:
    return data.count(b"\n") == data.count(b"\r\n") and b"\r\r\n" not in data


def _trailing_crs(data: bytes) -> bytes:
    end = data[-2:]
    return end[len(end.rstrip(b"\r")) :]


def _unique_name() -> str:
    """Return a globally unique file name: time, process id, serial number, random octets and host name."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    # In a file name slash, colon and comma have a meaning; in a unique id blanks and octets above 127 are not valid.
    host = re.sub(r"[^A-Za-z0-9.-]", "_", os.uname().nodename)
    unique = f"M{nanoseconds // 1000:06}P{os.getpid()}Q{next(_serial)}R{secrets.token_hex(4)}"
    return f"{seconds}.{unique}.{host}"
