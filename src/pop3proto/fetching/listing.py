"""What a server says of its maildrop in one session: the answers to UIDL, LIST and STAT, put together. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from pop3proto.core.text import counted

from .events import MessageIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pop3proto.core.results import MaildropStatus, ScanListing, UniqueIdListing

__all__ = ["MaildropListing", "Row"]

_EXCERPT = 60


@attrs.frozen
class Row:
    """One message of a maildrop.

    Args:
        number: its number in this session.
        identity: its identity; None: the server has no unique ids.
        octets: as LIST announces; None: unknown.
    """

    number: int
    identity: MessageIdentity | None
    octets: int | None


@attrs.frozen
class MaildropListing:
    """The messages of a maildrop.

    Args:
        rows: those that can be fetched, in order of number.
        obstacles: why others cannot be fetched, a line each.
        notes: what the user should know, a line each.
        complete: a message that is not in `rows` is not on the server.
        unique_ids: the server has unique ids.
    """

    rows: tuple[Row, ...]
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True
    unique_ids: bool = True

    @classmethod
    def of(
        cls, unique_ids: UniqueIdListing | None, sizes: ScanListing | None, status: MaildropStatus
    ) -> MaildropListing:
        """Return what the answers say together.

        Messages in unreadable rows, and messages with several unique ids, have no certain identity: they are not
        fetched and stay on the server.

        Args:
            unique_ids: the answer to UIDL; None: the server has none.
            sizes: the answer to LIST; None: it makes no sense, or was refused.
            status: the answer to STAT.
        """
        octets: Mapping[int, int] = {} if sizes is None else sizes
        if unique_ids is None:
            rows = tuple(Row(number, None, octets[number]) for number in sorted(octets))
            unreadable = () if sizes is None else sizes.unreadable
            obstacles = [*_unreadable("LIST", unreadable), *_missing("LIST", len(rows) + len(unreadable), status)]
            return cls(rows, tuple(obstacles), complete=not obstacles, unique_ids=False)
        doubtful = {number for number, _ in unique_ids.duplicates}
        identities = _identities(unique_ids)
        seen = len(unique_ids) + len(unique_ids.unreadable)
        obstacles = [
            *_unreadable("UIDL", unique_ids.unreadable),
            *(f"message {number} was left on the server: it has several unique ids" for number in sorted(doubtful)),
            *_missing("UIDL", seen, status, missing=sorted(set(octets) - set(unique_ids))),
        ]
        rows = tuple(
            Row(number, identity, octets.get(number))
            for number, identity in identities.items()
            if number not in doubtful
        )
        return cls(rows, tuple(obstacles), tuple(map(_shared, unique_ids.shared.values())), complete=not obstacles)


def _identities(listing: UniqueIdListing) -> dict[int, MessageIdentity]:
    shared = listing.shared
    copies = Counter[str]()
    identities: dict[int, MessageIdentity] = {}
    for number, unique_id in sorted(listing.items()):
        if unique_id in shared:
            copies[unique_id] += 1
        identities[number] = MessageIdentity(unique_id, copies[unique_id])
    return identities


def _missing(verb: str, seen: int, status: MaildropStatus, missing: Iterable[int] = ()) -> list[str]:
    """Return the obstacle that a listing shows fewer messages than STAT counts."""
    if seen >= status.count:
        return []
    shown = [str(number) for number in missing]
    which = f" (among them {', '.join(shown[:10])})" if shown else ""
    left = counted(status.count - seen, "message")
    return [f"{left} left on the server: {verb} shows {seen:,} messages, but STAT counts {status.count:,}{which}"]


def _shared(numbers: tuple[int, ...]) -> str:
    return f"{counted(len(numbers), 'message')} share one unique id: {', '.join(map(str, sorted(numbers)))}"


def _unreadable(verb: str, rows: Iterable[bytes]) -> list[str]:
    return [f"a message was left on the server: its row in {verb} cannot be read: {_row(row)}" for row in rows]


def _row(octets: bytes) -> str:
    text = octets[:_EXCERPT].decode("ascii", "backslashreplace")
    return text if len(octets) <= _EXCERPT else f"{text}..."
