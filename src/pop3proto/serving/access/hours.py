"""Hours of the week, in a time zone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Hours"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_MINUTES: Final = 24 * 60  # of a day


def _days(given: str) -> frozenset[int]:
    days: set[int] = set()
    for part in given.split(","):
        first, dash, last = part.strip().partition("-")
        start, end = _day(first), _day(last if dash else first)
        days.update((start + offset) % len(_DAYS) for offset in range((end - start) % len(_DAYS) + 1))
    return frozenset(days)


def _day(name: str) -> int:
    shortened = name.strip().lower()
    if shortened not in _DAYS:
        raise ValueError(f"{name.strip()!r} is not a day: Mon, Tue, Wed, Thu, Fri, Sat, Sun; as Mon-Fri or Sat,Sun")
    return _DAYS.index(shortened)


def _minute(time: str) -> int:
    match = _TIME.fullmatch(time)
    minute = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else _MINUTES + 1  # noqa: PLR2004 - minutes
    if minute > _MINUTES:
        raise ValueError(f"{time!r} is not a time of the day: from 00:00 to 24:00")
    return minute


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"there is no time zone {name!r} on this system: its name is like Europe/Berlin; if all are missing, "
            "install the package tzdata"
        ) from error


@attrs.frozen(kw_only=True)
class Hours:
    """Hours on some days of the week, by the clocks of a time zone.

    Where clocks are put forward, hours that they skip do not come; where they are put back, those come twice.

    Args:
        days: on which the hours begin: "Mon-Fri", "Sat,Sun", "Fri-Mon".
        start: the first minute, "08:00".
        end: the first minute behind them, "18:00"; up to "24:00". If it comes before the start, the hours go on past
            midnight, into the next day: from 22:00 to 06:00 on Fri is Friday night, and the morning of Saturday.
        zone: the name of a time zone, as "Europe/Berlin".

    Raises:
        ValueError: there is no such day, time or zone; or the hours have no length.
    """

    days: str = attrs.field(
        default="Mon-Sun", metadata={"about": 'on which days the hours begin: "Mon-Fri", "Sat,Sun", "Fri-Mon"'}
    )
    start: str = attrs.field(default="00:00", metadata={"about": 'the first minute: "08:00"'})
    end: str = attrs.field(
        default="24:00",
        metadata={"about": 'the first minute behind them: "18:00"; if it is before the start, they go past midnight'},
    )
    zone: str = attrs.field(default="UTC", metadata={"about": 'the time zone: "Europe/Berlin"'})
    _on: frozenset[int] = attrs.field(init=False, repr=False, eq=False)
    _from: int = attrs.field(init=False, repr=False, eq=False)
    _to: int = attrs.field(init=False, repr=False, eq=False)
    _clock: ZoneInfo = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_on", _days(self.days))
        object.__setattr__(self, "_from", _minute(self.start))
        object.__setattr__(self, "_to", _minute(self.end))
        object.__setattr__(self, "_clock", _zone(self.zone))
        if self._from in (self._to, _MINUTES):
            raise ValueError(f"from {self.start} to {self.end} there is no time; all day is from 00:00 to 24:00")

    def contains(self, now: datetime) -> bool:
        """Return whether a moment is within these hours.

        Args:
            now: aware, in any time zone.
        """
        local = now.astimezone(self._clock)
        day, minute = local.weekday(), local.hour * 60 + local.minute
        if self._from < self._to:
            return day in self._on and self._from <= minute < self._to
        began_yesterday = (day - 1) % len(_DAYS) in self._on and minute < self._to
        return began_yesterday or (day in self._on and minute >= self._from)
