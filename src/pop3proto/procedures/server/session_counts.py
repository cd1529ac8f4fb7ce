"""What a policy may know of the other sessions of a server: how many there are of a network and of a user."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs

from .networks import Network, address_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

__all__ = ["OtherSessions", "SessionCounts"]


@attrs.frozen(kw_only=True)
class OtherSessions:
    """Numbers of sessions beside one of them.

    Args:
        sessions: of the whole server.
        from_address: from the same address; 0 if no bound per address applies to it.
        by_network: from each network that is counted.
        of_user: logged in as the same user, or about to be.
    """

    sessions: int
    from_address: int
    by_network: Mapping[IPv4Network | IPv6Network, int]
    of_user: int


class SessionCounts:
    """Counts the sessions of networks and of users. Not thread-safe.

    Args:
        networks: those whose sessions are counted.
    """

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(networks)
        self._by_address: Final[Counter[str]] = Counter()
        self._by_network: Counter[Network] = Counter()
        self._by_user: Final[Counter[str]] = Counter()

    def count_networks(self, networks: Iterable[Network]) -> None:
        """Count the sessions of other networks from now on, those included that are there already."""
        networks = tuple(networks)
        by_network: Counter[Network] = Counter()
        for address, number in self._by_address.items():
            by_network.update(dict.fromkeys(_containing(networks, address), number))
        self._networks, self._by_network = networks, by_network

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

    def by_network(self, address: str, networks: Iterable[Network]) -> dict[Network, int]:
        """Return the sessions of some networks beside one from an address, which has been counted in or not.

        Those that are not counted all the time are counted now.
        """
        itself = {address: 1} if self._by_address[address] else {}
        found: dict[Network, int] = {}
        for network in networks:
            known = network in self._networks
            number = self._by_network[network] if known else _inside(network, self._by_address)
            found[network] = number - _inside(network, itself)
        return found

    def of_user(self, user: str | None) -> int:
        """Return the number of sessions of a user."""
        return 0 if user is None else self._by_user[user]

    def _count(self, address: str, number: int) -> None:
        for network in _containing(self._networks, address):
            self._by_network[network] += number


def _containing(networks: tuple[Network, ...], address: str) -> list[Network]:
    if not networks or (number := address_of(address)) is None:
        return []
    return [network for network in networks if number in network]


def _inside(network: Network, by_address: Mapping[str, int]) -> int:
    """Return how many of some sessions a network has."""
    return sum(number for address, number in by_address.items() if _containing((network,), address))


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
