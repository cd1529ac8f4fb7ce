"""Values of the server's configuration file: addresses, networks, domains, times of day, patterns, login methods."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NewType

import attrs
from typing_extensions import override

from pop3proto.core.commands import Apop, Pass, User
from pop3proto.procedures.server.networks import networks_of
from pop3proto.sasl.registry import SERVER_MECHANISMS

__all__ = [
    "APOP",
    "USER_PASS",
    "DomainName",
    "MethodName",
    "NetworkName",
    "SocketAddress",
    "UserPattern",
    "parse_domain",
    "parse_login_method",
    "parse_network",
    "parse_pattern",
]

NetworkName = NewType("NetworkName", str)
"""An address or a network: "192.0.2.7", "10.0.0.0/8", "2001:db8::/32"."""
DomainName = NewType("DomainName", str)
"""The domain of a mail address, in lower case."""
UserPattern = NewType("UserPattern", str)
"""The name of a user or listener, in which `*` stands for any characters and `?` for one."""
MethodName = NewType("MethodName", str)
"""A SASL mechanism, "USER/PASS" or "APOP"."""

USER_PASS: Final = f"{User.verb}/{Pass.verb}"
APOP: Final = Apop.verb

_HIGHEST_PORT: Final = 65_535
_DOMAIN: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*")
_LONGEST_DOMAIN: Final = 253


@attrs.frozen
class SocketAddress:
    """An address and a port to listen on.

    Args:
        host: an IPv4 or IPv6 address, without brackets.
        port: 0 is any free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> SocketAddress:
        """Read "ADDRESS:PORT"; an address of IPv6 is in brackets.

        Raises:
            ValueError: it is none.
        """
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        try:
            address = ipaddress.ip_address(bare.partition("%")[0])
        except ValueError:
            address = None
        bracketed = host != bare
        if (
            not colon
            or address is None
            or bracketed is not (address.version == 6)  # noqa: PLR2004 - IPv6
            or not port.isdecimal()
            or int(port) > _HIGHEST_PORT
        ):
            raise ValueError('an address and a port are expected, such as "0.0.0.0:110" or "[::]:995"')
        return cls(bare, int(port))

    @property
    def is_loopback(self) -> bool:
        """Only programs on this machine can connect."""
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_network(text: str) -> NetworkName:
    """Check an address or a network.

    Raises:
        LocalProtocolError: it is none.
    """
    networks_of(text)
    return NetworkName(text)


def parse_domain(text: str) -> DomainName:
    """Return a domain in lower case.

    Raises:
        ValueError: it is none.
    """
    domain = text.lower()
    if len(domain) > _LONGEST_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise ValueError('a domain is expected, such as "example.org"')
    return DomainName(domain)


def parse_pattern(text: str) -> UserPattern:
    """Check a pattern of names; `Rule` refuses brackets in those of users.

    Raises:
        ValueError: it is empty, or cannot be a name.
    """
    if not text or "\0" in text:
        raise ValueError("a pattern of names is expected, such as 'kiosk*'")
    return UserPattern(text)


def parse_login_method(text: str) -> MethodName:
    """Return a login method in upper case.

    Raises:
        ValueError: there is no such method.
    """
    methods = (*SERVER_MECHANISMS, USER_PASS, APOP)
    if text.upper() not in methods:
        from pop3proto._config.nearest import did_you_mean  # noqa: PLC0415 - for an error

        near = did_you_mean(text, [each.lower() for each in methods])
        raise ValueError(f'there is no login method "{text}"{near or "; there are " + ", ".join(methods)}')
    return MethodName(text.upper())
