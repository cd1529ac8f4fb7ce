"""Limits on the number of concurrent sessions, in total and per address."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .service import Service

__all__ = ["SessionLimiter"]


class SessionLimiter:
    """Counts the sessions of one server against its limits. Not thread-safe.

    Args:
        service: has the limits.
    """

    def __init__(self, service: Service) -> None:
        self._service: Final = service
        self._sessions = 0
        self._by_address: Counter[str] = Counter()

    def enter(self, address: str) -> str | None:
        """Count a session in, if there is room.

        Args:
            address: the client's address; "" for a client that has none, to which no limit per address applies.

        Returns:
            None; or the reason for `refuse`. A refused session is not counted and must not `leave`.
        """
        if self._sessions >= self._service.max_sessions:
            return "too many sessions"
        most = self._service.max_sessions_per_address
        if address and most is not None and self._by_address[address] >= most:
            return "too many sessions from your address"
        self._sessions += 1
        self._by_address[address] += 1
        return None

    def leave(self, address: str) -> None:
        """Count a session out that `enter` has counted in."""
        self._sessions -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
