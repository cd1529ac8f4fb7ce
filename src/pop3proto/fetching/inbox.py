"""The Maildir that mail is fetched into: each message is stored once, whatever breaks when."""

from __future__ import annotations

import hashlib
import os
import re
import time
from typing import TYPE_CHECKING, Final, Self

from pop3proto._io.files import sync_folder
from pop3proto.maildrops.delivery import Delivery, ensure_maildir

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
    """A Maildir and the record of what one account has sent there.

    A message is on the disk before the record says so. If a crash comes between the two, the name of the message's
    file tells: it has a digest of account and identity in it, and is looked for before a message counts as new.

    Args:
        maildir: it is created if it is not there.
        account: a word that names the account.

    Raises:
        NotMaildir: there is something else.
        Failure: another fetch into it is under way.
        OSError: it cannot be used.
    """

    def __init__(self, maildir: Path, account: str) -> None:
        ensure_maildir(maildir)
        self.record: Final = FetchJournal(maildir, account)
        self._maildir = maildir
        self._account = account
        self._marks: dict[str, int | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.record.close()

    def has(self, identity: Identity) -> bool:
        """Return whether a message is stored, safely."""
        if identity not in self.record and (mark := self._mark(identity)) in (marks := self._marks_in_folders()):
            self.record.add(identity, marks[mark])  # a crash had come between
        return identity in self.record

    def store(self, octets: Iterable[bytes], identity: Identity | None, prove: Callable[[], None]) -> None:
        """Store a message; when this returns, it is on the disk and recorded.

        Args:
            octets: the message, in pieces. If they end in an error, nothing of it stays.
            identity: None: it has none, and is not recorded.
            prove: is called when all octets are there; if it raises, nothing of them stays.
        """
        count = 0
        with Delivery(self._maildir, None if identity is None else _name(self._mark(identity))) as delivery:
            for piece in octets:
                delivery.write(piece)
                count += len(piece)
            prove()
            delivery.commit()
        if identity is not None:
            self.record.add(identity, count)

    def _mark(self, identity: Identity) -> str:
        words = f"{self._account} {identity.unique_id} {identity.copy}"
        return hashlib.sha256(words.encode()).hexdigest()[:32]

    def _marks_in_folders(self) -> dict[str, int | None]:
        """Return what can be found again: the octets on the wire by mark, as the names of the files tell them."""
        if self._marks is None:
            self._marks = {
                match[1]: int(match[2]) if match[2] else None
                for folder in _FOLDERS
                for name in os.listdir(self._maildir / folder)  # noqa: PTH208 - there may be a hundred thousand
                if (match := _MARK.match(name))
            }
            for folder in _FOLDERS:  # the crash may have come before the names were on the disk
                sync_folder(self._maildir / folder)
        return self._marks


def _name(mark: str) -> str:
    """Return the name of a file that can be found again. Names sort by time: the order of the mail is kept."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{seconds}.M{nanoseconds // 1000:06}U{mark}.pop3proto"
