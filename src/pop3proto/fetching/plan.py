"""A plan: what is done with each message of a maildrop. Pure data."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from .events import MessageIdentity
    from .history import Entry

__all__ = ["Action", "Plan", "Step"]


class Action(Enum):
    """What is done with a message."""

    FETCH = "fetch"
    """All of it is fetched and stored."""
    HEADERS = "headers"
    """Its header is fetched and stored."""
    DATE = "date"
    """Its header is looked at for its date, which decides."""
    CHECK = "check"
    """It may be another message than the one that is stored under its unique id: look, and fetch it if so."""
    DELETE = "delete"
    """It is stored: make sure that it is the same message, and delete it on the server."""
    RETRY = "retry"
    """It broke an earlier session, or could not be stored: fetch it last, and by itself."""
    KEEP = "keep"
    """It is stored, and stays on the server."""
    SKIP = "skip"
    """It is not stored, and stays on the server."""

    if not TYPE_CHECKING:
        __hash__ = object.__hash__  # that of Enum is written in Python


@attrs.frozen
class Step:
    """What is done with one message.

    Args:
        number: its number in this session.
        identity: its identity; None: it has no unique id, so that only its octets can tell.
        octets: as LIST announces; None: unknown.
        action: what is done.
        reason: why, in words for a user.
        deletes: it is deleted on the server in this session, once it is stored.
        entry: what is known of it; None: nothing.
    """

    number: int
    identity: MessageIdentity | None
    octets: int | None
    action: Action
    reason: str
    deletes: bool = False
    entry: Entry | None = None


@attrs.frozen
class Plan:
    """What is done with the messages of a maildrop in one session.

    Args:
        steps: one for each message that can be fetched, in order of number.
        notes: what the user should know, a line each.
        obstacles: why some messages can be neither fetched nor deleted, a line each.
        stop: why nothing is done at all; None: it is done.
        temporary: what `stop` says may be otherwise soon.
        renamed: what `stop` says is that unique ids seem to have changed. Headers may show that the messages are new.
    """

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    stop: str | None = None
    temporary: bool = False
    renamed: bool = False

    def of(self, *actions: Action) -> list[Step]:
        """Return the steps with one of these actions, in order."""
        return [step for step in self.steps if step.action in actions]
