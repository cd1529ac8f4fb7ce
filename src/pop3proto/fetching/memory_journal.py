"""A journal in memory, for programs that keep their records elsewhere, and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .events import Event

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Records events in memory. Unless the program saves them, all mail is new to the next one.

    Args:
        account: a name of the account.
        events: what was recorded before, oldest first.

    Attributes:
        account: as given.
        events: all events, oldest first.
    """

    def __init__(self, account: str, events: Iterable[Event] = ()) -> None:
        self.account = account
        self.events: list[Event] = list(events)

    def read(self) -> list[Event]:
        """Return all events, oldest first."""
        return list(self.events)

    def append(self, events: Sequence[Event], /) -> None:
        """Add events."""
        self.events.extend(events)
