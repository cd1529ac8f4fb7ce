"""What a fetch tells while it runs, and what it reports at its end."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from .events import MessageIdentity
    from .plan import Plan

__all__ = [
    "Deleted",
    "Noted",
    "Planned",
    "Problem",
    "ProblemKind",
    "Received",
    "Report",
    "Stored",
    "Tell",
    "Telling",
    "Waiting",
]


class ProblemKind(Enum):
    """What kind of problem there is, for a program that decides what to do next."""

    MESSAGE = "message"
    """Some message could not be fetched, stored or deleted, and stays on the server."""
    LATER = "later"
    """The server or the network does not work now."""
    REFUSED = "refused"
    """The server has refused the login, or the client the server: its certificate, for example."""
    CONFIGURATION = "configuration"
    """The account cannot be used as it is configured. Nothing was sent."""
    STORAGE = "storage"
    """The destination or the journal cannot be used."""
    SERVER = "server"
    """The server does something that keeps mail from being fetched; the user has to look."""


@attrs.frozen
class Problem:
    """Something went wrong. What was stored and recorded before is kept.

    Args:
        kind: what kind of problem.
        text: what happened, to what, and what to do, in one line.
        identity: of the message that it is about; None: it is about no single message.
    """

    kind: ProblemKind
    text: str
    identity: MessageIdentity | None = None


@attrs.frozen
class Planned:
    """A session has begun, and this is to be done in it."""

    plan: Plan


@attrs.frozen
class Received:
    """Octets of messages have arrived: so many since the last time."""

    octets: int


@attrs.frozen
class Stored:
    """Messages are stored and recorded."""

    identities: tuple[MessageIdentity, ...]
    octets: int


@attrs.frozen
class Deleted:
    """The server has deleted messages."""

    identities: tuple[MessageIdentity, ...]


@attrs.frozen
class Waiting:
    """Nothing happens for some seconds.

    Args:
        seconds: how long.
        why: in words.
    """

    seconds: float
    why: str


@attrs.frozen
class Noted:
    """Something that the user should know, and that is no problem.

    Args:
        text: what, in one line.
        new: it is told once, and not by each run.
    """

    text: str
    new: bool = False


Telling: TypeAlias = Planned | Received | Stored | Deleted | Waiting | Noted | Problem
Tell: TypeAlias = Callable[[Telling], object]
"""Called while a fetch runs, in the thread or the event loop of the client. It must not block."""


@attrs.define(kw_only=True)
class Report:
    """What a fetch did.

    Attributes:
        stored: messages that were stored in this run.
        headers: messages of which the header alone was stored.
        deleted: messages that the server has deleted.
        here: how many messages of the maildrop were stored earlier.
        skipped: how many messages were left on the server by the policy.
        octets: how many octets of messages were received.
        stored_octets: how many octets the messages have that were stored whole.
        sessions: how many sessions there were.
        problems: what went wrong, in order.
        more: messages that should have been fetched are still on the server, and another run may fetch them.
    """

    stored: list[MessageIdentity] = attrs.field(factory=list["MessageIdentity"])
    headers: list[MessageIdentity] = attrs.field(factory=list["MessageIdentity"])
    deleted: list[MessageIdentity] = attrs.field(factory=list["MessageIdentity"])
    here: int = 0
    skipped: int = 0
    octets: int = 0
    stored_octets: int = 0
    sessions: int = 0
    problems: list[Problem] = attrs.field(factory=list[Problem])
    more: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong."""
        return not self.problems
