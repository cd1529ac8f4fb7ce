"""Marks in names: by them a message that is stored is found again, and by the time before them the order is kept."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pop3proto.fetching.destination import Arrival

__all__ = ["Clock", "checked_mark"]

_MARK: Final = re.compile(r"[0-9a-f]{32}")


def checked_mark(arrival: Arrival) -> str:
    """Return the mark of a message.

    Raises:
        ValueError: it is not 32 hexadecimal digits, so that it would not be found again.
    """
    if _MARK.fullmatch(arrival.mark) is None:
        raise ValueError("a mark must be 32 hexadecimal digits in lower case")
    return arrival.mark


class Clock:
    """Tells the time in microseconds, each time a later one, so that names with it sort in order."""

    def __init__(self) -> None:
        self._last = 0

    def tick(self) -> tuple[int, int]:
        """Return the seconds since 1970 and the microseconds."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return divmod(self._last, 10**6)
