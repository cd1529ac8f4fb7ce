"""What was fetched before, in a file of the Maildir that it went into."""

from __future__ import annotations

import fcntl
import os
import re
from io import FileIO
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.results import UniqueId
from pop3proto.maildrops.disk import sync_folder, write_all

from .failures import Failure

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RECORD_NAME", "Identity", "Record"]

RECORD_NAME: Final = ".pop3proto-fetched"

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600
_MESSAGE: Final = re.compile(r"(?P<account>\S+) (?P<unique_id>[!-~]{1,70})(?: (?P<copy>[0-9]{1,9}))?")
_LEFT: Final = re.compile(r"(?P<account>\S+) (?P<count>[0-9]{1,9}) messages left")


@attrs.frozen
class Identity:
    """What tells a message from all others of its account.

    Args:
        unique_id: what the server calls it.
        copy: 0 if no other message has that unique id; else 1, 2, ..., in the order of their numbers (RFC 1939
            section 7 lets identical copies share one).
    """

    unique_id: UniqueId
    copy: int = 0


class Record:
    """The messages of one account that are stored in a Maildir. It is locked against other fetches while it is open.

    The file has a line for each message, for all accounts that are fetched into this Maildir:

        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7       the message with this unique id was stored
        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7 2     the second of those that share it
        ann@pop.example.org:995 12 messages left         so many that were stored are still on the server

    It only grows, by whole lines: half a line at its end is what a crash has left.

    Args:
        maildir: the Maildir.
        account: a word.

    Raises:
        Failure: another fetch has it.
        OSError: from here as from every method.
    """

    def __init__(self, maildir: Path, account: str) -> None:
        self._account = account
        self._stored: set[Identity] = set()
        self._left = 0
        self._file = FileIO(os.open(maildir / RECORD_NAME, _FLAGS, _PRIVATE), "r+")
        try:
            self._lock(maildir)
            self._read()
            sync_folder(maildir)  # the file may be new
        except BaseException:
            self._file.close()
            raise

    @property
    def left(self) -> int:
        """How many stored messages the last fetch has left on the server."""
        return self._left

    def __contains__(self, identity: Identity) -> bool:
        """Whether a message was stored. Of those that share an id now, the first is the one that had it alone."""
        return identity in self._stored or (identity.copy == 1 and Identity(identity.unique_id) in self._stored)

    def add(self, identity: Identity) -> None:
        """Note that a message is stored; when this returns, it is on the disk."""
        self._append(identity.unique_id, *([str(identity.copy)] if identity.copy else []))
        self._stored.add(identity)

    def leave(self, count: int) -> None:
        """Note how many stored messages are still on the server."""
        if count != self._left:
            self._append(str(count), "messages", "left")
            self._left = count

    def close(self) -> None:
        """Close the file, and free the lock."""
        self._file.close()

    def _lock(self, maildir: Path) -> None:
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"another fetch into {maildir} is under way") from None

    def _read(self) -> None:
        data = self._file.readall()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        for line in data[:whole].decode("ascii", "replace").split("\n"):
            self._take(line)

    def _take(self, line: str) -> None:
        if (match := _MESSAGE.fullmatch(line)) and match["account"] == self._account:
            self._stored.add(Identity(UniqueId(match["unique_id"]), int(match["copy"] or 0)))
        elif (match := _LEFT.fullmatch(line)) and match["account"] == self._account:
            self._left = int(match["count"])

    def _append(self, *words: str) -> None:
        write_all(self._file, " ".join((self._account, *words)).encode("ascii") + b"\n")
        os.fsync(self._file.fileno())
