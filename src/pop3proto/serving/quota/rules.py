"""The limits of a maildrop, and how much of them is used."""

from __future__ import annotations

from typing import Final, Literal

import attrs

from pop3proto._config.keys import about
from pop3proto._config.units import Octets
from pop3proto.core.text import counted

__all__ = ["Quota", "Usage"]

_MOST: Final = 10  # times a limit that are told as a number
_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


@attrs.frozen
class Usage:
    """What a maildrop holds.

    Args:
        octets: size of all message files, before compression.
        messages: how many there are.
    """

    octets: int = 0
    messages: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.octets + other.octets, self.messages + other.messages)

    def __neg__(self) -> Usage:
        return Usage(-self.octets, -self.messages)


def _limit(_instance: object, attribute: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"the quota's {attribute.name} must be above 0; without a limit, leave it out")


def _share(_instance: object, _attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError("the quota's warn must be above 0 and at most 1: 0.9 is 90 %")


@attrs.frozen
class Quota:
    """How much a maildrop may hold, with all its folders.

    Args:
        octets: the largest size of all messages; None: any.
        messages: the largest number of messages; None: any.
        warn: the part of a limit from which on there is a warning.
        grace: a message is taken as long as a limit is not reached, even if it goes beyond.
        when_full: whether a message for a full maildrop is to be delivered later, or is refused.
        trash: what was deleted and is kept counts, too: the folder `.Trash`, and messages flagged T.

    Raises:
        ValueError: a value has no meaning.
    """

    octets: int | None = attrs.field(
        default=None,
        validator=_limit,
        metadata=about("the largest size of all messages of a user; without it, there is no limit", Octets),
    )
    messages: int | None = attrs.field(
        default=None,
        validator=_limit,
        metadata=about("the largest number of messages of a user; without it, there is no limit"),
    )
    warn: float = attrs.field(
        default=0.9,
        validator=_share,
        metadata=about("the part of a limit from which on there is a warning, 0 to 1"),
    )
    grace: bool = attrs.field(
        default=True,
        metadata=about("a message is taken as long as no limit is reached, even if this message goes beyond it"),
    )
    when_full: Literal["later", "refuse"] = attrs.field(
        default="later",
        validator=attrs.validators.in_(("later", "refuse")),
        metadata=about("a message for a full maildrop: the mail server tries again later, or returns it to its sender"),
    )
    trash: bool = attrs.field(
        default=False, metadata=about("deleted messages that are kept (in `.Trash`, or hidden) count, too")
    )

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self.octets is not None or self.messages is not None

    def level(self, usage: Usage) -> float:
        """Return the used part of the limit that is nearest: 1 is full; 0 without limits."""
        return max((part for part, _ in self._parts(usage)), default=0.0)

    def is_full(self, usage: Usage) -> bool:
        """Return whether a limit is reached: no further message is taken."""
        return self.level(usage) >= 1

    def warns(self, usage: Usage) -> bool:
        """Return whether the warning level is reached."""
        return self.is_limited and self.level(usage) >= self.warn

    def admits(self, usage: Usage, octets: int) -> bool:
        """Return whether a message may be added.

        Args:
            usage: of the maildrop, without the message.
            octets: size of the message.
        """
        if self.grace:
            return not self.is_full(usage)
        return self.level(usage + Usage(octets, 1)) <= 1

    def describe(self, usage: Usage) -> str:
        """Return the use of the nearest limit in words: "81 % of 1 GB used"; "" without limits."""
        parts = self._parts(usage)
        if not parts:
            return ""
        part, limit = max(parts)
        return f"{int(part * 100) if part < _MOST else f'over {_MOST * 100}'} % of {limit} used"

    def _parts(self, usage: Usage) -> list[tuple[float, str]]:
        parts: list[tuple[float, str]] = []
        if self.messages is not None:
            parts.append((max(usage.messages, 0) / self.messages, counted(self.messages, "message")))
        if self.octets is not None:
            parts.append((max(usage.octets, 0) / self.octets, _size(self.octets)))
        return parts


def _size(octets: int) -> str:
    for factor, unit in _UNITS:
        if octets >= factor:
            return f"{octets / factor:.4g} {unit}"
    return counted(octets, "octet")
