"""What is known of the messages of an account: the sum of all events. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .events import Event, MessageIdentity, MessageState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pop3proto.core.results import UniqueId

__all__ = ["MOST_FAILURES", "Entry", "History", "was_under_way"]

MOST_FAILURES: Final = 100
"""So many failures of a message are counted: each is a line of the journal."""

_HERE: Final = (MessageState.STORED, MessageState.JUNK)
_STORES: Final = (*_HERE, MessageState.HEADERS)
_FAILURES: Final = (MessageState.SUSPECT, MessageState.HELD)
_NO_LONGER_LISTED: Final = (MessageState.DELETED, MessageState.GONE)


@attrs.frozen
class Entry:
    """What is known of one message.

    Args:
        last: its latest event, with the facts of earlier ones where it has none.
        stored: the event that stored all of it, or its header, with the facts of this message; None: it is not stored.
        failures: how many times fetching or deleting it has failed since it was last stored or forgotten,
            `MOST_FAILURES` or more being the same.
    """

    last: Event
    stored: Event | None = None
    failures: int = 0

    @property
    def identity(self) -> MessageIdentity:
        """The message's."""
        return self.last.identity

    @property
    def state(self) -> MessageState:
        """What happened last."""
        return self.last.state

    @property
    def is_here(self) -> bool:
        """Whether all of the message is stored."""
        return self.stored is not None and self.stored.state in _HERE

    @property
    def has_header(self) -> bool:
        """Whether only the header of the message is stored."""
        return self.stored is not None and self.stored.state is MessageState.HEADERS

    @property
    def was_listed(self) -> bool:
        """Whether the message was on the server at the end of the latest session, as far as is known."""
        return self.state not in _NO_LONGER_LISTED

    @classmethod
    def first(cls, event: Event) -> Entry:
        """Return what is known after the first event."""
        return cls(event, event if event.state in _STORES else None, int(event.state in _FAILURES))

    def after(self, event: Event) -> Entry:
        """Return what is known after another event."""
        if event.state is MessageState.FORGOTTEN:
            return Entry(event)
        if event.state in _STORES:
            return Entry(event, event)
        last = _completed(event, self.last)
        failures = self.failures
        if event.state in _FAILURES and failures < MOST_FAILURES:
            failures += 1
        return Entry(last, self.stored, failures)


def _completed(event: Event, before: Event) -> Event:
    """Return an event with the facts of an earlier one where it has none."""
    return Event(
        event.identity,
        event.state,
        event.when,
        before.listed if event.listed is None else event.listed,
        before.octets if event.octets is None else event.octets,
        before.header if event.header is None else event.header,
        before.dated if event.dated is None else event.dated,
        event.why,
        event.dots or before.dots,
    )


def was_under_way(state: MessageState) -> bool:
    """Return whether a message in this state may have been stored, and a crash came before that was recorded."""
    return state in {MessageState.SEEN, MessageState.SKIPPED, MessageState.SENDING, MessageState.SUSPECT}


class History:
    """What is known of the messages of one account.

    Args:
        events: all events, oldest first.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._entries: dict[tuple[UniqueId, int], Entry] = {}  # tuples are hashed faster than identities
        self._copies: dict[UniqueId, int] = {}
        for event in events:
            self.apply(event)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over what is known of each message, in the order in which they were first heard of."""
        return iter(self._entries.values())

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._entries)

    def get(self, identity: MessageIdentity) -> Entry | None:
        """Return what is known of a message; None: nothing."""
        return self._entries.get((identity.unique_id, identity.copy))

    def copies(self, unique_id: UniqueId) -> int:
        """Return how many messages have shared a unique id; 0: it was never shared."""
        return self._copies.get(unique_id, 0)

    def apply(self, event: Event) -> None:
        """Add an event, later than all others."""
        identity = event.identity
        key = (identity.unique_id, identity.copy)
        entry = self._entries.get(key)
        self._entries[key] = Entry.first(event) if entry is None else entry.after(event)
        if identity.copy and identity.copy > self.copies(identity.unique_id):
            self._copies[identity.unique_id] = identity.copy

    def compacted(self, *, forget_before: float) -> list[Event]:
        """Return the fewest events from which an equal history can be made.

        Args:
            forget_before: messages that are gone from the server since before this moment, in seconds since 1970, are
                left out. Gone without a date counts as before.
        """
        events: list[Event] = []
        for entry in self:
            if not entry.was_listed and (entry.last.when is None or entry.last.when < forget_before):
                continue
            if entry.stored is not None and entry.stored is not entry.last:
                events.append(entry.stored)
            if failures := entry.failures - (entry.state is MessageState.HELD):
                events += [attrs.evolve(entry.last, state=MessageState.SUSPECT)] * failures
            if entry.state is not MessageState.SUSPECT:
                events.append(entry.last)
        return events
