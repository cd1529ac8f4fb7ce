"""How long the mail of a user is kept, and what becomes of what the user deletes."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

from pop3proto._config.keys import about
from pop3proto._config.units import Seconds
from pop3proto.serving.quota.rules import Quota

__all__ = ["MaildropRules", "OnDelete", "Retain"]

_DAY: Final = 86_400
_LONGEST: Final = 366 * _DAY
_WEEK: Final = 7 * _DAY


def _duration(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"{attribute.name} must be a duration above 0")


def _interval(_instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 < value <= _LONGEST:
        raise ValueError(f"{attribute.name} must be a duration above 0, and at most a year")


@attrs.frozen
class Retain:
    """How long messages are kept, counted from their arrival.

    Args:
        unread: seconds for messages that were never retrieved; None: for any time.
        read: seconds for messages that were retrieved, or read by another program (flag S); None: for any time.
        every: seconds between two runs of the server's job that removes what has expired.

    Raises:
        ValueError: a duration is not above 0.
    """

    unread: float | None = attrs.field(
        default=None,
        validator=_duration,
        metadata=about("how long messages are kept that were never retrieved", Seconds),
    )
    read: float | None = attrs.field(
        default=None, validator=_duration, metadata=about("how long messages are kept that were retrieved", Seconds)
    )
    every: float = attrs.field(
        default=3600.0,
        validator=_interval,
        metadata=about("how often the server removes what has expired, and what was deleted and kept", Seconds),
    )

    @property
    def shortest(self) -> float | None:
        """How many seconds any message is kept at least; None: for any time."""
        return min((each for each in (self.unread, self.read) if each is not None), default=None)

    @property
    def days(self) -> int | None:
        """The value of EXPIRE (RFC 2449 section 6.7): whole days that any message is kept at least; None: any time."""
        shortest = self.shortest
        return None if shortest is None else int(shortest // _DAY)

    def limit(self, *, read: bool) -> float | None:
        """Return how many seconds a message is kept; None: for any time."""
        return self.read if read else self.unread


@attrs.frozen
class OnDelete:
    """What becomes of a message that the user deletes by POP3.

    Args:
        to: "remove": it is removed at QUIT; "trash": it is moved to the folder `.Trash` (Maildir++); "hide": it stays
            where it is, flagged T, and POP3 never shows it again.
        keep: seconds until the purge job removes what is in the trash, or hidden; None: it stays there.

    Raises:
        ValueError: a value has no meaning.
    """

    to: Literal["remove", "trash", "hide"] = attrs.field(
        default="remove",
        validator=attrs.validators.in_(("remove", "trash", "hide")),
        metadata=about(
            "what becomes of a message that is deleted by POP3: remove, trash or hide. Messages flagged T are never "
            "shown; with trash or hide, they are removed after `keep`, whatever program has flagged them"
        ),
    )
    keep: float | None = attrs.field(
        default=float(_WEEK),
        validator=_duration,
        metadata=about("how long deleted messages are kept in the trash, or hidden", Seconds),
    )


@attrs.frozen
class MaildropRules:
    """What holds for the maildrop of a user.

    Args:
        quota: how much it may hold.
        retain: how long mail is kept.
        on_delete: what becomes of what the user deletes.
    """

    quota: Quota = attrs.field(default=Quota())
    retain: Retain = attrs.field(default=Retain())
    on_delete: OnDelete = attrs.field(default=OnDelete())
