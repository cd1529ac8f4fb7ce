"""How long to wait for the octets of a body."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

from pop3proto.core.errors import TimedOut
from pop3proto.core.text import counted
from pop3proto.procedures.operations import NOW

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure

    from .session import Session

__all__ = ["Pace"]


class Pace:
    """Reads a body, and gives up a server that sends it too slowly.

    Every `timeout` seconds that are spent waiting must bring `timeout * limits.least_rate` octets: an octet now and
    then would hold a client for years. What the caller does between two reads does not count.

    Args:
        session: whose body it is.
    """

    def __init__(self, session: Session) -> None:
        self._session: Final = session
        self._left = 0.0  # seconds
        self._came = 0

    def begin(self) -> None:
        """Begin another body."""
        self._left, self._came = self._session.timeout or 0.0, 0

    def receive(self) -> Procedure[None]:
        """Read once.

        Raises:
            TimedOut: nothing came, or too little.
        """
        timeout = self._session.timeout
        if timeout is None:
            yield from self._session.receive(None)
            return
        least = max(math.ceil(self._session.connection.limits.least_rate * timeout), 1)
        before = cast("float", (yield NOW))
        overall = self._session.overall_deadline
        until = before + self._left if overall is None else min(overall, before + self._left)
        try:
            self._came += yield from self._session.receive(until)
        except TimedOut as error:
            if not self._came:
                raise
            raise TimedOut(
                f"the peer was too slow: {counted(self._came, 'octet')} of a body in {timeout:g} seconds, "
                f"and {least:,} are the least: waited for {self._session.connection.awaited}"
            ) from error
        self._left -= cast("float", (yield NOW)) - before
        if self._came >= least:
            self.begin()
