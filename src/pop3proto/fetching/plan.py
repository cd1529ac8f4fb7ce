"""The plan of a fetch: which of the listed messages to fetch, and which are already stored."""

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
    """Which messages to fetch, and which are already stored.

    Args:
        wanted: identities of the messages to fetch, by message number, in the order to fetch them; None where the
            server has no unique ids.
        here: numbers of the messages stored by an earlier fetch.
        certain: identities of those in `here` whose unique id no other message has now, by message number. They may be
            deleted if they are unchanged.
        notes: notes for the user, one line each.
        obstacles: reasons why some messages cannot be fetched, one line each.
    """

    wanted: dict[int, Identity | None]
    here: tuple[int, ...] = ()
    certain: dict[int, Identity] = attrs.field(factory=dict[int, Identity])
    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()

    def without(self, left_out: Container[Identity | None]) -> Plan:
        """Return a copy of the plan that does not fetch some messages."""
        wanted = {number: identity for number, identity in self.wanted.items() if identity not in left_out}
        return attrs.evolve(self, wanted=wanted)

    @classmethod
    def without_unique_ids(cls, listing: ScanListing) -> Plan:
        """Return the plan for a server without UIDL: fetch all messages."""
        return cls(dict.fromkeys(sorted(listing)), obstacles=_unreadable("LIST", listing.unreadable))

    @classmethod
    def of_listing(
        cls, listing: UniqueIdListing, stored: Callable[[Identity], bool], suspect: Callable[[Identity], bool]
    ) -> Plan:
        """Return the plan for a UIDL listing.

        Messages in unreadable rows, and messages with several unique ids, have no certain identity: they are not
        fetched and stay on the server.

        Args:
            listing: the UIDL listing.
            stored: returns whether a message is already stored.
            suspect: returns whether a message ended early before; these are fetched last.
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
                *(f"message {number} was left on the server: it has several unique ids" for number in sorted(doubtful)),
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
    return f"note: {counted(len(numbers), 'message')} share one unique id: {', '.join(map(str, sorted(numbers)))}"


def _unreadable(verb: str, rows: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(f"a message was left on the server: its row in {verb} cannot be read: {_row(row)}" for row in rows)


def _row(octets: bytes, width: int = 60) -> str:
    text = octets[:width].decode("ascii", "backslashreplace")
    return text if len(octets) <= width else f"{text}..."
