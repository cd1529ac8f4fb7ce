"""Turns: how many logins of one address are under way at once, and in which order the others wait."""

from __future__ import annotations

from collections import Counter
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
        self._waiting: Final[dict[str, dict[Turn, int]]] = {}  # with the room that each needs, in order

    def take(self, address: str, until: float, *, alone: bool = False) -> Turn:
        """Return a turn, which has come if there is room. It must be given back in any case.

        Args:
            address: the client's.
            until: how long it waits, as `Read`.
            alone: it comes when no other login of the address is under way.
        """
        turn = Turn(until)
        self._waiting.setdefault(address, {})[turn] = 1 if alone else self._most
        self._let_come(address)
        return turn

    def give_back(self, address: str, turn: Turn) -> None:
        """End a login, or its waiting: the next one has its turn."""
        if turn.has_come:
            self._under_way[address] -= 1
        else:
            del self._waiting[address][turn]
        self._let_come(address)

    def _let_come(self, address: str) -> None:
        waiting = self._waiting.get(address, {})
        while waiting and self._under_way[address] < waiting[turn := next(iter(waiting))]:
            del waiting[turn]
            self._under_way[address] += 1
            turn.come()
        if not waiting:
            self._waiting.pop(address, None)
        if not self._under_way[address]:
            del self._under_way[address]
