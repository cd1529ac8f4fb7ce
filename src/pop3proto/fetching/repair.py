"""Make a journal again that was lost, from what is in the destination and on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import MessageState
from .marks import mark_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .destination import Found
    from .events import Event, MessageIdentity
    from .history import History

__all__ = ["repaired"]


def repaired(
    history: History, account: str, identities: Iterable[MessageIdentity], found: Mapping[str, Found], now: float
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
        if what is None or (entry is not None and entry.state is MessageState.FORGOTTEN):
            continue
        if entry is None or not (entry.is_here or (entry.has_header and what.header_only)):
            events.append(what.event(identity, now))
    return events
