"""Which addresses count as one client: an IPv4 address, or the /64 of an IPv6 address."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from pop3proto.core.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Address", "Network", "address_of", "networks_of", "origin"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2
_PREFIX: Final = 64  # a customer has a /64 at least (RFC 6177 section 2), and every address in it


def networks_of(given: str | Iterable[str]) -> tuple[Network, ...]:
    """Return networks; one address is a network, too. What lies in ::ffff:0:0/96 is a network of IPv4.

    Raises:
        LocalProtocolError: something is neither an address nor a network.
    """
    several = [given] if isinstance(given, str) else [*given]
    for each in cast("list[object]", several):
        if isinstance(each, int | bytes):  # ip_network takes 5 for 0.0.0.5
            raise LocalProtocolError(f"not an address or a network: {each!r}; they are texts, such as '10.0.0.0/8'")
    try:
        return tuple(_unmapped(ipaddress.ip_network(each)) for each in several)
    except ValueError as error:
        raise LocalProtocolError(f"not an address or a network: {error}") from error


def _unmapped(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv4Network) or not network.subnet_of(_MAPPED):
        return network
    return ipaddress.IPv4Network((network.network_address.packed[-4:], network.prefixlen - _MAPPED.prefixlen))


def address_of(text: str) -> Address | None:
    """Return an address as a number; what lies in ::ffff:0:0/96 is an address of IPv4. None: it is no address.

    Args:
        text: an address; the zone of one of IPv6 does not count.
    """
    try:
        number = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return number if isinstance(number, ipaddress.IPv4Address) else number.ipv4_mapped or number


def origin(address: str, exempt: tuple[Network, ...] = ()) -> str:
    """Return what all addresses of one client have in common; "" if no bound per address applies.

    Args:
        address: the client's; "" if it has none.
        exempt: networks to which no such bound applies.
    """
    if (number := address_of(address)) is None:
        return address
    if any(number in network for network in exempt):
        return ""
    if isinstance(number, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((number, _PREFIX), strict=False))
    return str(number)
