"""What was fetched before, in a file of the Maildir that it went into."""

from __future__ import annotations

import fcntl
import os
import re
from io import FileIO
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import sync_folder, write_all
from pop3proto.core.results import UniqueId

from .failures import Failure

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["JOURNAL_NAME", "FetchJournal", "Identity"]

JOURNAL_NAME: Final = ".pop3proto-fetched"

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600
_MESSAGE: Final = re.compile(
    r"(?P<account>\S+) (?P<unique_id>[!-~]{1,70})(?: (?P<copy>[0-9]{1,9}))?"
    r"(?: (?:(?P<octets>[0-9]{1,18}) octets|(?P<suspect>ended early)))?"
)
_COPIES: Final = re.compile(r"(?P<account>\S+) (?P<unique_id>[!-~]{1,70}) (?P<count>[0-9]{1,9}) copies")
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


class FetchJournal:
    """The messages of one account that are stored in a Maildir. It is locked against other fetches while it is open.

    The file has a line for each message, for all accounts that are fetched into this Maildir:

        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7 1234 octets     the message with this unique id was stored
        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7 2 1234 octets   the second of those that share it
        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x8 ended early     this one was not: it is tried last
        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7 2 copies        so many shared this one, at most
        ann@pop.example.org:995 12 messages left                   so many that were stored are still on the server

    The octets are those on the wire; a line without them is from a version that did not note them. The file only grows,
    by whole lines: half a line at its end is what a crash has left.

    Args:
        maildir: the Maildir.
        account: a word.

    Raises:
        Failure: another fetch has it.
        OSError: from here as from every method.
    """

    def __init__(self, maildir: Path, account: str) -> None:
        self._account = account
        self._stored: dict[Identity, int | None] = {}
        self._suspects: set[Identity] = set()
        self._copies: dict[UniqueId, int] = {}
        self._left = 0
        self._file = FileIO(os.open(maildir / JOURNAL_NAME, _FLAGS, _PRIVATE), "r+")
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
        """Whether a message was stored.

        Of those that share an id now, the first is the one that had it alone. One that has alone an id that was shared
        may be any of the copies: it was stored if all of them were.
        """
        if identity in self._stored:
            return True
        if identity.copy:
            return identity.copy == 1 and Identity(identity.unique_id) in self._stored
        copies = self._copies.get(identity.unique_id, 0)
        return copies > 0 and all(Identity(identity.unique_id, each) in self for each in range(1, copies + 1))

    def octets(self, identity: Identity) -> int | None:
        """Return how many octets a stored message had on the wire; None if that is not known."""
        return self._stored.get(identity)

    def add(self, identity: Identity, octets: int | None) -> None:
        """Note that a message is stored, and its octets on the wire; when this returns, it is on the disk."""
        self._append(*_words(identity), *([] if octets is None else [str(octets), "octets"]))
        self._stored[identity] = octets

    def see(self, unique_id: UniqueId, copies: int) -> None:
        """Note how many messages share a unique id."""
        if copies > self._copies.get(unique_id, 0):
            self._append(unique_id, str(copies), "copies")
            self._copies[unique_id] = copies

    def is_suspect(self, identity: Identity) -> bool:
        """Return whether a message ended early when it was fetched last."""
        return identity in self._suspects

    def suspect(self, identity: Identity) -> None:
        """Note that a message ended early: it is tried last from now on, or those behind it might never be reached."""
        if identity not in self._suspects:
            self._append(*_words(identity), "ended", "early")
            self._suspects.add(identity)

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
            identity = Identity(UniqueId(match["unique_id"]), int(match["copy"] or 0))
            if match["suspect"]:
                self._suspects.add(identity)
            else:
                self._stored[identity] = int(match["octets"]) if match["octets"] else None
        elif (match := _COPIES.fullmatch(line)) and match["account"] == self._account:
            self._copies[UniqueId(match["unique_id"])] = int(match["count"])
        elif (match := _LEFT.fullmatch(line)) and match["account"] == self._account:
            self._left = int(match["count"])

    def _append(self, *words: str) -> None:
        write_all(self._file, " ".join((self._account, *words)).encode("ascii") + b"\n")
        os.fsync(self._file.fileno())


def _words(identity: Identity) -> tuple[str, ...]:
    return (identity.unique_id, str(identity.copy)) if identity.copy else (identity.unique_id,)
