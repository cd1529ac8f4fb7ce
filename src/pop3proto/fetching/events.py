"""What a fetch records of each message: its identity, and the events of its life."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pop3proto.core.results import UniqueId

__all__ = ["Event", "MessageIdentity", "MessageState"]


@attrs.frozen(cache_hash=True)
class MessageIdentity:
    """The identity of a message within its account.

    Args:
        unique_id: its unique id (UIDL). On a server without unique ids it is `sha256:` and a digest of the message.
        copy: 0 if no other message has this unique id. Otherwise 1, 2, ... in order of message number: RFC 1939
            section 7 allows identical messages to share a unique id.
    """

    unique_id: UniqueId
    copy: int = 0


class MessageState(Enum):
    """What happened to a message. The values are the words of the journal."""

    SEEN = "seen"
    """It was listed, together with others of the same unique id. Nothing else is known of it."""
    SKIPPED = "skipped"
    """It was left on the server, because the policy says so."""
    SENDING = "sending"
    """It is being handed to a destination that cannot say later whether it has the message."""
    SUSPECT = "suspect"
    """It could not be fetched or stored, and may have broken the session. It is tried last."""
    HEADERS = "headers"
    """Its header is stored, the rest is not."""
    STORED = "stored"
    """All of it is stored, and synced to disk where the destination can do that."""
    JUNK = "junk"
    """As STORED, in a place for junk."""
    HELD = "held"
    """The server refused to delete it, or hung up instead. The deletion is tried last."""
    DELETE_SENT = "delete-sent"
    """DELE was accepted, and QUIT is sent next: it may be gone."""
    DELETED = "deleted"
    """QUIT was accepted after DELE: it is gone."""
    GONE = "gone"
    """The server lists it no more."""
    FORGOTTEN = "forgotten"
    """The user wants it fetched again."""

    if not TYPE_CHECKING:
        __hash__ = object.__hash__  # that of Enum is written in Python


@attrs.frozen
class Event:
    """One event of one message.

    Args:
        identity: of the message.
        state: what happened.
        when: seconds since 1970; None: unknown, recorded by an earlier version.
        listed: octets that LIST announced; None: unknown.
        octets: octets that were received, with CRLF line ends and without the dots of the transfer; None: unknown.
        header: a digest of the header, as `header_digest` makes it; None: unknown.
        dated: when the message was received by its mail system, as its header says, in seconds since 1970; None:
            unknown.
        why: the reason, in words, for states that need one.
        dots: how many dots were removed at the beginnings of lines, if as many octets are missing that LIST announced:
            the server may not have stuffed them, so that they were part of the message; else 0.
    """

    identity: MessageIdentity
    state: MessageState
    when: float | None = None
    listed: int | None = None
    octets: int | None = None
    header: str | None = None
    dated: int | None = None
    why: str = ""
    dots: int = 0
