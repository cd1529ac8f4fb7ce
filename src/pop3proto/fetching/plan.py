"""What to do about each message that a server lists."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from pop3proto.core.text import counted

from .journal import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from pop3proto.core.results import ScanListing, UniqueIdListing

__all__ = ["Plan"]


@attrs.frozen
class Plan:
    """Which messages to fetch, and which not.

    Args:
        wanted: messages to fetch, by number, in the order in which to do that; without an identity where the server
            has no unique ids.
        here: numbers of the messages that were stored before.
        certain: those of them whose unique id no other message has now: they may be deleted if they are the same still.
        notes: what the user should know.
        obstacles: why some of the mail cannot be fetched.
    """

    wanted: dict[int, Identity | None]
    here: tuple[int, ...] = ()
    certain: dict[int, Identity] = attrs.field(factory=dict[int, Identity])
    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()

    def without(self, left_out: Container[Identity | None]) -> Plan:
        """Return the plan that leaves some messages where they are."""
        wanted = {number: identity for number, identity in self.wanted.items() if identity not in left_out}
        return attrs.evolve(self, wanted=wanted)

    @classmethod
    def without_unique_ids(cls, listing: ScanListing) -> Plan:
        """Return the plan for a server that has no UIDL: fetch everything."""
        return cls(dict.fromkeys(sorted(listing)), obstacles=_unreadable("LIST", listing.unreadable))

    @classmethod
    def of_listing(
        cls, listing: UniqueIdListing, stored: Callable[[Identity], bool], suspect: Callable[[Identity], bool]
    ) -> Plan:
        """Return the plan for a listing.

        A row that cannot be read, or a number with two ids, says of no message what it is: it stays on the server.

        Args:
            listing: what the server has.
            stored: whether a message was stored before.
            suspect: whether a message ended early before: these come last.
        """
        doubtful = {number for number, _ in listing.duplicates}
        identities = {number: each for number, each in _identities(listing).items() if number not in doubtful}
        here = {number: identity for number, identity in identities.items() if stored(identity)}
        new = [number for number in identities if number not in here]
        return cls(
            wanted={number: identities[number] for number in sorted(new, key=lambda each: suspect(identities[each]))},
            here=tuple(here),
            certain={number: identity for number, identity in here.items() if not identity.copy},
            notes=tuple(_shared(numbers) for numbers in listing.shared.values()),
            obstacles=(
                *_unreadable("UIDL", listing.unreadable),
                *(f"left on the server: message {number}, which has several unique ids" for number in sorted(doubtful)),
            ),
        )


def _identities(listing: UniqueIdListing) -> dict[int, Identity]:
    shared = listing.shared
    copies = Counter[str]()
    identities: dict[int, Identity] = {}
    for number, unique_id in sorted(listing.items()):
        if unique_id in shared:
            copies[unique_id] += 1
        identities[number] = Identity(unique_id, copies[unique_id])
    return identities


def _shared(numbers: tuple[int, ...]) -> str:
    return f"note: {counted(len(numbers), 'message')} have the same unique id: {', '.join(map(str, sorted(numbers)))}"


def _unreadable(verb: str, rows: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(f"left on the server: what {verb} tells in a row that cannot be read: {_row(row)}" for row in rows)


def _row(octets: bytes, width: int = 60) -> str:
    text = octets[:width].decode("ascii", "backslashreplace")
    return text if len(octets) <= width else f"{text}..."
