"""Turns: how many logins of one address are under way at once, and in which order the others wait."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from pop3proto.procedures.operations import Turn

__all__ = ["LoginTurns"]


class LoginTurns:
    """Counts the logins under way for each address; the others wait, first come, first served. Not thread-safe.

    Args:
        most: logins under way for one address.
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._under_way: Final[Counter[str]] = Counter()
        self._waiting: Final[dict[str, deque[Turn]]] = {}

    def take(self, address: str, until: float) -> Turn:
        """Return a turn, which has come if there is room. It must be given back in any case.

        Args:
            address: the client's.
            until: how long it waits, as `Read`.
        """
        turn = Turn(until)
        if self._under_way[address] < self._most:
            self._under_way[address] += 1
            turn.come()
        else:
            self._waiting.setdefault(address, deque()).append(turn)
        return turn

    def give_back(self, address: str, turn: Turn) -> None:
        """End a login, or its waiting: the next one has its turn."""
        waiting = self._waiting.get(address)
        if not turn.has_come:
            if waiting is not None:
                waiting.remove(turn)
        elif waiting:
            waiting.popleft().come()
        else:
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]
        if waiting is not None and not waiting:
            del self._waiting[address]
