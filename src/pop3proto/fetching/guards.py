"""Why nothing is fetched, or a message is not deleted: unique ids are refused or new, or it may not be whole. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted

from .events import MessageState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .history import History
    from .listing import MaildropListing
    from .plan import Step
    from .policy import Policy

__all__ = ["DIGEST_PREFIX", "PLAUSIBLE", "lost_ids", "renamed_ids", "what_is_missing"]

DIGEST_PREFIX: Final = "sha256:"
"""How identities of messages without a unique id begin. With the digest they have 71 characters, and unique ids 70."""

PLAUSIBLE: Final = 10
"""If no more messages than this were known, it is plausible that all of them are gone now."""

_TOLERABLE: Final = 4_096
"""Octets by which a message may always be smaller than LIST says, and be whole all the same: some servers guess."""


def what_is_missing(listed: int | None, octets: int | None, dots: int) -> str | None:
    """Return why a message that was received may not be whole, so that it is not deleted; None: nothing tells that.

    Args:
        listed: octets that LIST announced; None: unknown.
        octets: that were received; None: unknown.
        dots: of stuffing that were removed from it.
    """
    if listed is None or octets is None:
        return None
    missing = listed - octets
    if dots and missing == dots:
        return (
            f"it may lack {counted(dots, 'dot')} at the beginning of lines: LIST says so many octets more, as of a "
            "server that does not stuff dots"
        )
    if missing > max(_TOLERABLE, listed // 2):
        return f"{octets:,} octets came, and LIST says {listed:,}"
    return None


def lost_ids(history: History, listing: MaildropListing, policy: Policy) -> str | None:
    """Return that the server refuses to tell unique ids which it had before; None: it does not."""
    if listing.unique_ids or policy.again:
        return None
    if all(not entry.was_listed or entry.identity.unique_id.startswith(DIGEST_PREFIX) for entry in history):
        return None
    return (
        "the server refuses to tell unique ids (UIDL), which it had before: all mail would come twice. Nothing was "
        "fetched; try again later"
    )


def renamed_ids(history: History, listing: MaildropListing, policy: Policy, steps: Sequence[Step]) -> str | None:
    """Return that nothing is known of any message, although many were on the server before; None: it is not so.

    What may have been deleted by a fetch does not count as one of those that were there.
    """
    if policy.again or policy.only is not None or policy.partial_from is not None or not listing.unique_ids:
        return None
    known = sum(
        entry.stored is not None and entry.was_listed and entry.state is not MessageState.DELETE_SENT
        for entry in history
    )
    if known <= PLAUSIBLE or len(steps) < known:
        return None
    if any(step.entry is not None and step.entry.stored is not None for step in steps):
        return None
    return (
        f"the server has {counted(len(steps), 'message')}, but none of the {known:,} that the last fetch left there: "
        "its unique ids may have changed. Nothing was fetched; use --again to fetch all messages"
    )
