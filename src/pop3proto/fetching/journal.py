"""The journal of a fetch: a file in the target Maildir that lists which messages are stored."""

from __future__ import annotations

import os
import re
from io import FileIO
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import lock, sync_folder, write_all
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
    """The identity of a message within its account.

    Args:
        unique_id: its unique id (UIDL).
        copy: 0 if no other message has this unique id. Otherwise 1, 2, ... in order of message number: RFC 1939
            section 7 allows identical messages to share a unique id.
    """

    unique_id: UniqueId
    copy: int = 0


class FetchJournal:
    """The journal of the messages of one account that are stored in a Maildir.

    The file is locked against other fetches while it is open. It has lines for all accounts that are fetched into this
    Maildir:

        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7 1234 octets     the message with this unique id is stored
        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7 2 1234 octets   the second message with this unique id is stored
        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x8 ended early     not stored, the message ended early: try it last
        ann@pop.example.org:995 QhdPYR:00WBw1Ph7x7 2 copies        at most 2 messages shared this unique id
        ann@pop.example.org:995 12 messages left                   12 stored messages are still on the server

    Sizes are on the wire; a line without a size was written by an earlier version. The file is only appended to, in
    whole lines. An incomplete line at the end is left by a crash and is dropped.

    Args:
        maildir: path of the Maildir.
        account: key of the account, one word.

    Raises:
        Failure: another fetch into the Maildir is running.
        OSError: the file cannot be read or written. Every method may raise it.
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
            sync_folder(maildir)  # the journal file may be new
        except BaseException:
            self._file.close()
            raise

    @property
    def left(self) -> int:
        """Number of stored messages that the last fetch left on the server."""
        return self._left

    def __contains__(self, identity: Identity) -> bool:
        """Return whether a message is stored.

        If several messages share a unique id now and one message had it before, that one is taken to be the first.
        If one message has a unique id now that several shared before, it may be any of them: it counts as stored only
        if all of them are.
        """
        if identity in self._stored:
            return True
        if identity.copy:
            return identity.copy == 1 and Identity(identity.unique_id) in self._stored
        copies = self._copies.get(identity.unique_id, 0)
        return copies > 0 and all(Identity(identity.unique_id, each) in self for each in range(1, copies + 1))

    def octets(self, identity: Identity) -> int | None:
        """Return the wire size of a stored message in octets, or None if it is unknown."""
        return self._stored.get(identity)

    def add(self, identity: Identity, octets: int | None) -> None:
        """Record that a message is stored, with its wire size in octets; sync the journal to disk."""
        self._append(*_words(identity), *([] if octets is None else [str(octets), "octets"]))
        self._stored[identity] = octets

    def see(self, unique_id: UniqueId, copies: int) -> None:
        """Record how many messages share a unique id."""
        if copies > self._copies.get(unique_id, 0):
            self._append(unique_id, str(copies), "copies")
            self._copies[unique_id] = copies

    def is_suspect(self, identity: Identity) -> bool:
        """Return whether a message ended early in an earlier fetch."""
        return identity in self._suspects

    def suspect(self, identity: Identity) -> None:
        """Record that a message ended early. It is tried last from now on, so that it cannot block the others."""
        if identity not in self._suspects:
            self._append(*_words(identity), "ended", "early")
            self._suspects.add(identity)

    def leave(self, count: int) -> None:
        """Record how many stored messages are still on the server."""
        if count != self._left:
            self._append(str(count), "messages", "left")
            self._left = count

    def close(self) -> None:
        """Close the file and release the lock."""
        self._file.close()

    def _lock(self, maildir: Path) -> None:
        try:
            lock(self._file.fileno(), maildir / JOURNAL_NAME, wait=False)
        except BlockingIOError:
            raise Failure(f"another fetch into {maildir} is running; wait for it to end") from None

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
