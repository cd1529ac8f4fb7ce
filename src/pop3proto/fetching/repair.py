"""Make a journal again that was lost, from what is in the destination and on the server."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from pop3proto._io.files import sync_folder

from .destination import Found
from .events import Event, Identity, State
from .marks import mark_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pop3proto.core.results import UniqueIdListing

    from .history import History

__all__ = ["find_marks", "identities_of", "repaired"]

_MARK: Final = re.compile(r"[0-9]+\.M[0-9]+([UH])([0-9a-f]{32})\.pop3proto\b(?:.*?,W=([0-9]{1,18})\b)?")
_HEADER: Final = "H"


def repaired(
    history: History, account: str, identities: Iterable[Identity], found: Mapping[str, Found], now: float
) -> list[Event]:
    """Return events for the messages that are in the destination, and that the history does not know as stored.

    The size that LIST announces is not recorded: this message may be another than the one that is stored, if the server
    has given its unique id again. So it is looked at before anything is deleted.

    Messages that the user has forgotten on purpose stay forgotten.

    Args:
        history: what the journal knows.
        account: as the journal names it.
        identities: of the messages on the server.
        found: messages in the destination, by their marks.
        now: seconds since 1970: as long as that they count as stored.
    """
    events: list[Event] = []
    for identity in identities:
        what = found.get(mark_of(account, identity))
        entry = history.get(identity)
        if what is None or (entry is not None and entry.state is State.FORGOTTEN):
            continue
        if entry is None or not (entry.is_here or (entry.has_header and what.header_only)):
            state = State.HEADERS if what.header_only else State.STORED
            events.append(Event(identity, state, now, octets=what.octets, header=what.header))
    return events


def identities_of(listing: UniqueIdListing) -> list[Identity]:
    """Return the identities of the messages in a UIDL listing, without those that have several unique ids."""
    doubtful = {number for number, _ in listing.duplicates}
    shared = listing.shared
    copies = Counter[str]()
    identities: list[Identity] = []
    for number, unique_id in sorted(listing.items()):
        if unique_id in shared:
            copies[unique_id] += 1
        if number not in doubtful:
            identities.append(Identity(unique_id, copies[unique_id]))
    return identities


def find_marks(maildir: Path) -> dict[str, Found]:
    """Return the messages of fetches in a Maildir, by the marks in the names of their files.

    Raises:
        OSError: a folder cannot be read.
    """
    found: dict[str, Found] = {}
    for folder in (maildir / "new", maildir / "cur"):  # messages move from new to cur: in this order none is missed
        for name in os.listdir(folder):  # noqa: PTH208 - there may be 100,000, and Path is slow
            if match := _MARK.match(name):
                kind, mark, octets = match.groups()
                if kind != _HEADER:
                    found[mark] = Found(int(octets) if octets else None)
                else:
                    found.setdefault(mark, Found(header_only=True))
        sync_folder(folder)  # a crash may have come before the names were synced
    return found
