"""Delivery of messages into a Maildir: a message is stored completely or not at all."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import time
from typing import TYPE_CHECKING, Final, Self

from pop3proto._io.files import sync_folder
from pop3proto.core.errors import Pop3Error

from .folders import complete, is_maildir, not_followed
from .message_file import MaildirTarget, MessageFile

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Buffer

__all__ = ["Delivery", "NotMaildir", "ensure_maildir", "unique_name"]

_serial: Final = itertools.count(1)


class NotMaildir(Pop3Error):
    """The path exists but is not a Maildir. Nothing was changed."""


def ensure_maildir(path: Path, *, follow_links: bool = True) -> None:
    """Create a Maildir if it does not exist.

    A folder that is empty, or that holds only some of `tmp`, `new` and `cur`, is completed; so is one that holds some
    of them and a file of a mail program, `dovecot-uidlist` for example. Parent folders are not created, so that a
    mistyped path does not become a folder. New folders are synced to disk before this returns.

    Args:
        path: the Maildir, the folder that holds `tmp`, `new` and `cur`. If root makes it, it belongs to the owner of
            the folder around it.
        follow_links: whether it may be a symbolic link.

    Raises:
        NotMaildir: the path is a file, a symbolic link that leads nowhere, or a folder with other content;
            nothing was changed.
        OSError: the Maildir cannot be created.
    """
    if not follow_links and path.is_symlink():
        raise not_followed(path)
    if path.is_symlink() and not path.exists():
        raise NotMaildir(f"{path} is not a Maildir: it is a symbolic link that leads nowhere")
    if not path.exists():
        path.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            around = path.parent.stat()
            os.chown(path, around.st_uid, around.st_gid, follow_symlinks=False)
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

    The file is written as `MessageFile` says. If there is a file `maildirsize` of a mail program, the message is added
    to it.

    Args:
        maildir: the target; call `ensure_maildir` for it first.
        unique: the unique part of the file name in `new`; it must differ from that of every other message. None makes
            a new one.

    Raises:
        OSError: a file cannot be created, written or moved. Every method may raise it.
    """

    def __init__(self, maildir: Path, unique: str | None = None) -> None:
        self._target = MaildirTarget(maildir)
        self._message = MessageFile(self._target.tmp, unique or unique_name())

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
        self._message.write(chunk)

    def commit(self) -> Path:
        """Finish the message: sync it to disk and move it to `new`.

        Returns:
            The path of the message's file.

        Raises:
            LocalProtocolError: the message is already committed; nothing has changed.
            OSError: the message may or may not be in `new`. Deliver it again: a duplicate is better than a loss.
        """
        [name] = self._target.commit([self._message])
        return self._target.folder.path / name

    def abort(self) -> None:
        """Remove the unfinished message; do nothing after `commit`."""
        self._message.abort()
        self._target.close()


def unique_name() -> str:
    """Return a globally unique file name: time, process id, serial number, random octets and host name."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    # In a file name slash, colon and comma have a meaning; in a unique id blanks and octets above 127 are not valid.
    host = re.sub(r"[^A-Za-z0-9.-]", "_", os.uname().nodename)
    unique = f"M{nanoseconds // 1000:06}P{os.getpid()}Q{next(_serial)}R{secrets.token_hex(4)}"
    return f"{seconds}.{unique}.{host}"
