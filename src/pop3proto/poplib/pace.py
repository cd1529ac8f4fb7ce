"""How fast a body comes, and how large it becomes."""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING

from .errors import Garbled

if TYPE_CHECKING:
    from pop3proto.core.limits import Limits

__all__ = ["Pace"]


class Pace:
    """The bounds of a body that is being read: every timeout must bring a least number of octets, all not too many.

    Args:
        timeout: seconds; None: there is none.
        limits: `least_rate` and `body` count.
        octets: how many have come.
    """

    def __init__(self, timeout: float | None, limits: Limits, octets: int) -> None:
        self._timeout = timeout
        self._least = math.ceil(limits.least_rate * (timeout or 0))
        self._most = limits.body
        self._octets = octets
        self._came = 0
        self._end = None if timeout is None else monotonic() + timeout

    def until(self) -> float | None:
        """Return until when to wait for the next octets; None: there is no limit.

        Raises:
            Garbled: there were too many before.
        """
        if self._octets > self._most:
            raise Garbled(f"the server sent a body of more than {self._most:,} octets")
        return self._end

    def count(self, octets: int) -> None:
        """Note that so many have come."""
        self._octets += octets
        self._came += octets
        if self._timeout is not None and self._came >= self._least:
            self._came, self._end = 0, monotonic() + self._timeout
