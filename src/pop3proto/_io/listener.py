"""What one listener of a server is: where it listens, where TLS begins, and whether a proxy stands in front of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.procedures.cleartext import TlsMode, check_port, default_port
from pop3proto.procedures.server.networks import address_of, networks_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from ipaddress import IPv4Network, IPv6Network

__all__ = ["Listener", "ProxyProtocol"]

_DOMAIN: Final = re.compile(r"[A-Za-z0-9.-]*")
_LONGEST: Final = 60  # seconds


def _about(text: str) -> dict[str, str]:
    return {"about": text}


@attrs.frozen(kw_only=True)
class ProxyProtocol:
    """How a listener takes the PROXY protocol, version 1 or 2, by which a proxy says who its client is.

    Each connection must begin with such a header; what it announces counts for everything: for `cleartext="loopback"`,
    for the policy, the limits and the penalty, and in logs. A connection that is the proxy's own (LOCAL) counts as
    from the proxy. A client whose address the proxy does not know (UNKNOWN) has none, and is not on this machine.

    Args:
        networks: the proxies, as addresses or networks; a connection from elsewhere is closed. Over a Unix socket all
            are taken: the permissions of its file decide.
        trust_tls: what the proxy says of TLS counts: a session whose client has TLS with the proxy is then protected
            by TLS, and else is not. Only where the network between proxy and server is safe. The lowest version
            of TLS is a setting of the proxy then.
        timeout: seconds within which the header must be there.

    Raises:
        LocalProtocolError: something is neither an address nor a network.
        ValueError: there is no network, or the timeout is not from 0 to 60 seconds.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = attrs.field(
        converter=networks_of, metadata=_about("the proxies, as addresses or networks; from elsewhere none is taken")
    )
    trust_tls: bool = attrs.field(
        default=False, metadata=_about("a client that has TLS with the proxy counts as protected by TLS")
    )
    timeout: float = attrs.field(default=3.0, metadata=_about("seconds within which the header must be there"))

    def __attrs_post_init__(self) -> None:
        if not self.networks:
            raise ValueError("a listener with the PROXY protocol needs the networks of its proxies")
        if not 0 < self.timeout <= _LONGEST:
            raise ValueError(f"the timeout of a PROXY header must be from 0 to {_LONGEST} seconds, not {self.timeout}")

    def takes(self, address: str) -> bool:
        """Return whether a header is taken from this address. None is taken from a peer without one, over TCP."""
        number = address_of(address)
        return number is not None and any(number in network for network in self.networks)


def _addresses(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _sockets(given: Iterable[socket.socket] | None) -> tuple[socket.socket, ...] | None:
    return None if given is None else tuple(given)


@attrs.frozen(kw_only=True)
class Listener:
    """One listener of a server; `serve` takes several.

    Args:
        address: the address to listen on, or several; "0.0.0.0" is all of IPv4, "::" all of IPv6.
        port: the port of each address; 0 is any free one.
        sockets: bound stream sockets in place of address and port, as `serve` takes them.
        tls: where TLS comes in: "implicit", "starttls" or "none". The certificate is that of the server.
        proxy_protocol: which proxies stand in front of it; None: none.
        name: what `SessionInfo.listener`, and so the policy, calls it; "": by its address and port.
        domain: the domain of users who log in without one: "ann" is "ann@" with this behind, to the authenticator, too;
            "": none is added.

    Raises:
        ValueError, TypeError: as `serve`; or the domain is not valid.
    """

    address: tuple[str, ...] = attrs.field(
        default=("127.0.0.1",), converter=_addresses, metadata=_about("the address to listen on, or several")
    )
    port: int = attrs.field(default=0, metadata=_about("the port of each address; 0 is any free one"))
    sockets: tuple[socket.socket, ...] | None = attrs.field(
        default=None, converter=_sockets, metadata=_about("bound sockets in place of address and port")
    )
    tls: TlsMode = attrs.field(default="none", metadata=_about('where TLS comes in: "implicit", "starttls" or "none"'))
    proxy_protocol: ProxyProtocol | None = attrs.field(
        default=None, metadata=_about("the proxies that stand in front of it and announce their clients")
    )
    name: str = attrs.field(default="", metadata=_about("its name in logs and rules; else its address and port"))
    domain: str = attrs.field(default="", metadata=_about("the domain of users who log in without one"))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.proxy_protocol, ProxyProtocol | None):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may do without a checker
            raise TypeError(f"proxy_protocol takes ProxyProtocol(networks=...), not {self.proxy_protocol!r}")
        default_port(self.tls)  # raises if there is no such mode
        check_port(self.port, least=0)
        if not _DOMAIN.fullmatch(self.domain):
            raise ValueError(f"a domain has letters, digits, dots and hyphens, not {self.domain!r}")
