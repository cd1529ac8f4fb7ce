"""The Maildir that mail is fetched into: stores each message once, also after a crash."""

from __future__ import annotations

import hashlib
import os
import re
import time
from typing import TYPE_CHECKING, Final, Self

from pop3proto._io.files import sync_folder
from pop3proto.maildrops.delivery import Delivery, ensure_maildir
from pop3proto.maildrops.folders import clean_tmp

from .journal import FetchJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from .journal import Identity

__all__ = ["Inbox"]

_FOLDERS: Final = ("new", "cur")
_MARK: Final = re.compile(r"[0-9]+\.M[0-9]+U([0-9a-f]{32})\.pop3proto\b(?:.*?,W=([0-9]{1,18})\b)?")


class Inbox:
    """The target of a fetch: a Maildir and the journal of the messages that one account has stored there.

    A message is synced to disk before the journal has it. After a crash between the two, the message is found by its
    file name, which holds a digest of account and identity. File names are checked before a message counts as new.

    Args:
        maildir: path of the Maildir; it is created if it does not exist.
        account: key of the account, one word.

    Raises:
        NotMaildir: the path exists but is not a Maildir.
        Failure: another fetch into the Maildir is running.
        OSError: the Maildir cannot be used.
    """

    def __init__(self, maildir: Path, account: str) -> None:
        self.maildir: Final = maildir
        ensure_maildir(maildir)
        self.journal: Final = FetchJournal(maildir, account)
        clean_tmp(maildir)  # a fetch that was killed has left its file there
        self._account = account
        self._marks: dict[str, int | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.journal.close()

    def has(self, identity: Identity) -> bool:
        """Return whether a message is stored and synced to disk."""
        if identity not in self.journal and (mark := self._mark(identity)) in (marks := self._marks_in_folders()):
            self.journal.add(identity, marks[mark])  # a crash came after the file and before the journal
        return identity in self.journal

    def store(self, octets: Iterable[bytes], identity: Identity | None, prove: Callable[[], None]) -> None:
        """Store a message, sync it to disk and add it to the journal.

        Args:
            octets: the message in chunks. If iterating over it raises, nothing is stored.
            identity: the message's identity; None on a server without unique ids: it is not added to the journal.
            prove: called when all octets are received. If it raises, nothing is stored.
        """
        octets_received = 0
        with Delivery(self.maildir, None if identity is None else _name(self._mark(identity))) as delivery:
            for piece in octets:
                delivery.write(piece)
                octets_received += len(piece)
            prove()
            delivery.commit()
        if identity is not None:
            self.journal.add(identity, octets_received)

    def _mark(self, identity: Identity) -> str:
        words = f"{self._account} {identity.unique_id} {identity.copy}"
        return hashlib.sha256(words.encode()).hexdigest()[:32]

    def _marks_in_folders(self) -> dict[str, int | None]:
        """Return the messages stored by a fetch: their wire size by the mark in their file name."""
        if self._marks is None:
            self._marks = {
                match[1]: int(match[2]) if match[2] else None
                for folder in _FOLDERS
                for name in os.listdir(self.maildir / folder)  # noqa: PTH208 - there may be 100,000, and Path is slow
                if (match := _MARK.match(name))
            }
            for folder in _FOLDERS:  # a crash may have come before the file names were synced
                sync_folder(self.maildir / folder)
        return self._marks


def _name(mark: str) -> str:
    """Return a unique file name that holds a mark. Names sort by time, so the order of messages is kept."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{seconds}.M{nanoseconds // 1000:06}U{mark}.pop3proto"
