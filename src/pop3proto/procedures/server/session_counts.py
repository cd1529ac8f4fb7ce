"""What a policy may know of the other sessions of a server: how many there are of a network and of a user."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final

import attrs

from .networks import Network, address_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

__all__ = ["OtherSessions", "SessionCounts"]

_REMEMBERED: Final = 10_000  # users whose last login is known


@attrs.frozen(kw_only=True)
class OtherSessions:
    """Numbers of sessions beside one of them.

    Args:
        sessions: of the whole server.
        from_address: from the same address; 0 if no bound per address applies to it.
        by_network: from each network that is counted.
        of_user: logged in as the same user, or about to be.
        since_login: seconds since the last login of that user; None: not known.
    """

    sessions: int
    from_address: int
    by_network: Mapping[IPv4Network | IPv6Network, int]
    of_user: int
    since_login: float | None


class SessionCounts:
    """Counts the sessions of networks and of users, and remembers the last logins. Not thread-safe.

    Args:
        networks: those whose sessions are counted.
    """

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(networks)
        self._by_address: Final[Counter[str]] = Counter()
        self._by_network: Counter[Network] = Counter()
        self._by_user: Final[Counter[str]] = Counter()
        self._last_logins: Final[OrderedDict[str, float]] = OrderedDict()  # the longest ago first

    def count_networks(self, networks: Iterable[Network]) -> None:
        """Count the sessions of other networks from now on, those included that are there already."""
        self._networks = tuple(networks)
        self._by_network = Counter()
        for address, number in self._by_address.items():
            self._count(address, number)

    def enter(self, address: str) -> None:
        """Count a session from an address in."""
        self._by_address[address] += 1
        self._count(address, 1)

    def leave(self, address: str) -> None:
        """Count a session from an address out."""
        _less(self._by_address, address)
        self._count(address, -1)

    def claim(self, user: str) -> None:
        """Count a session of a user in."""
        self._by_user[user] += 1

    def unclaim(self, user: str) -> None:
        """Count a session of a user out."""
        _less(self._by_user, user)

    def note_login(self, user: str, now: float) -> None:
        """Take note of a login.

        Args:
            user: who has logged in.
            now: the time, on a clock that never goes back.
        """
        self._last_logins[user] = now
        self._last_logins.move_to_end(user)
        while len(self._last_logins) > _REMEMBERED:
            self._last_logins.popitem(last=False)

    def by_network(self, address: str) -> dict[Network, int]:
        """Return the sessions of each network beside one from an address, which has been counted in."""
        own = set(self._containing(address)) if self._by_address[address] else set[Network]()
        return {network: self._by_network[network] - (network in own) for network in self._networks}

    def of_user(self, user: str | None) -> int:
        """Return the number of sessions of a user."""
        return 0 if user is None else self._by_user[user]

    def since_login(self, user: str | None, now: float) -> float | None:
        """Return the seconds since the last login of a user; None: not known."""
        if user is None or (last := self._last_logins.get(user)) is None:
            return None
        return max(0.0, now - last)

    def _count(self, address: str, number: int) -> None:
        for network in self._containing(address):
            self._by_network[network] += number

    def _containing(self, address: str) -> list[Network]:
        if not self._networks or (number := address_of(address)) is None:
            return []
        return [network for network in self._networks if number in network]


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
