"""Where fetched mail goes, and where a fetch records what it did: the protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from .events import Event, MessageState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence

    from .events import MessageIdentity

__all__ = ["Arrival", "Destination", "Found", "Journal", "NotTaken", "NothingStored", "Writer"]


class NotTaken(Exception):
    """A destination did not take a message. The message stays on the server; the others are still delivered.

    Args:
        text: why, in one line.
        later: trying again later may help, and the message itself is not at fault.
        perhaps: it may have taken the message all the same: a program was cut off. The message is in doubt then.
    """

    def __init__(self, text: str, *, later: bool = False, perhaps: bool = False) -> None:
        super().__init__(text)
        self.later = later
        self.perhaps = perhaps


class NothingStored(OSError):
    """A destination cannot be used now, and has not begun to store the messages that it was to commit."""


@attrs.frozen
class Arrival:
    """A message that is about to be stored.

    Args:
        identity: of the message.
        mark: 32 hexadecimal digits that are the same whenever this message of this account is fetched, so that it can
            be found again.
        number: its number in this session.
        listed: octets that LIST announces; None: unknown.
        header_only: only its header follows.
        completes: the header is stored already; all of the message follows.
    """

    identity: MessageIdentity
    mark: str
    number: int
    listed: int | None = None
    header_only: bool = False
    completes: bool = False


@attrs.frozen
class Found:
    """A message that is in a destination.

    Args:
        octets: its octets with CRLF line ends; None: unknown.
        header: digest of its header, as `header_digest` makes it; None: unknown.
        header_only: only its header is there.
    """

    octets: int | None = None
    header: str | None = None
    header_only: bool = False

    def event(self, identity: MessageIdentity, when: float, listed: int | None = None) -> Event:
        """Return the event by which the message is known as stored.

        Args:
            identity: of the message.
            when: since when it counts as stored, in seconds since 1970.
            listed: octets that LIST announced for what is stored; None: unknown.
        """
        state = MessageState.HEADERS if self.header_only else MessageState.STORED
        return Event(identity, state, when, listed, self.octets, self.header)


class Writer(Protocol):
    """Takes the octets of one message."""

    def write(self, octets: bytes, /) -> object:
        """Take the next octets: CRLF line ends, as received. They may end anywhere.

        Raises:
            OSError: they cannot be written.
        """
        ...

    def abort(self) -> object:
        """Throw away what was written. It is called once for each writer that was not committed, after a failure too.

        It must not raise.
        """
        ...


class Destination(Protocol):
    """Stores messages. Its methods are called one at a time, in worker threads under asyncio and trio.

    `begin` and `write` are called for one message after the other, then `commit` for several of them, when they are
    known to be complete.

    Attributes:
        recalls: whether `recall` can tell which messages are there. If not, a message is recorded before it is
            delivered, and is in doubt after a crash.
        name: what it is called in messages: "the Maildir Mail/work".
        batch: most messages that are committed at once.
    """

    recalls: bool
    name: str
    batch: int

    def begin(self, arrival: Arrival, /) -> Writer:
        """Begin a message.

        Raises:
            OSError: nothing can be stored.
        """
        ...

    def commit(self, writers: Sequence[Writer], /) -> Sequence[NotTaken | None] | Awaitable[Sequence[NotTaken | None]]:
        """Store the messages. When it returns, they are on disk, or in the hands of another program.

        Args:
            writers: those of `begin`, complete, in order.

        Returns:
            For each writer None, or why its message is not stored.

        Raises:
            NothingStored: none is stored.
            OSError: some may be stored and some not; `recall` tells.
        """
        ...

    def recall(self, marks: Collection[str], /, *, headers: bool = True) -> Mapping[str, Found]:
        """Return which messages are there, and synced to disk, by their marks. `recalls` says whether it is called.

        Args:
            marks: of the messages.
            headers: the digests of headers are wanted; else they may be None.

        Raises:
            OSError: it cannot be found out.
        """
        ...


class Journal(Protocol):
    """Records the events of the messages of one account. Its methods are called as those of a destination.

    Attributes:
        account: a name of the account that is the same in each run: marks are made from it.
    """

    account: str

    def read(self) -> Iterable[Event] | Awaitable[Iterable[Event]]:
        """Return all events, oldest first; called once, at the start of a run.

        Raises:
            OSError: they cannot be read.
        """
        ...

    def append(self, events: Sequence[Event], /) -> Awaitable[None] | None:
        """Add events. When it returns, they are on disk.

        Raises:
            OSError: some may be recorded and some not.
        """
        ...
