"""An account on a server, as a URL names it (RFC 2384)."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote, unquote

import attrs
from typing_extensions import override

from pop3proto.core.commands import User
from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.cleartext import TlsMode, default_port
from pop3proto.procedures.client.login_plan import APOP
from pop3proto.sasl.credentials import Password, Token
from pop3proto.sasl.registry import CLIENT_MECHANISMS

from .failures import USAGE, Failure

__all__ = ["Account"]

_URL: Final = re.compile(
    r"(?P<scheme>pops?)://"
    r"(?P<user>[^@:/?#;]+)(?P<auth>;[^@:/?#]*)?@"
    r"(?P<host>\[[^\]@/?#]+\]|[^\[\]@:/?#;]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"/?",  # other programs write one; nothing can follow it
    re.IGNORECASE,
)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTH: Final = ";AUTH="
_TLS: Final[dict[str, TlsMode]] = {"pop": "starttls", "pops": "implicit"}
_HIGHEST_PORT: Final = 65_535

_WAYS: Final = {
    "+APOP": APOP,
    **{name: name for name, entry in CLIENT_MECHANISMS.items() if entry.takes in {Password, Token}},
}
"""What `;AUTH=` may name, beside `*`, and what `login` calls it."""


@attrs.frozen
class Account:
    """Whose mail, and where.

    Args:
        tls: where TLS comes in.
        user: the mailbox.
        host: the server's name or address; an IPv6 address has no brackets.
        port: the server's port.
        way: the one way to log in, a mechanism or APOP; None: the best.
    """

    tls: TlsMode
    user: str
    host: str
    port: int
    way: str | None = None

    @classmethod
    def of_url(cls, url: str) -> Account:
        """Return the account that a URL names: `pops://user[;AUTH=way]@host[:port]`, or `pop://` for STLS.

        Raises:
            Failure: it is not such a URL. The text never repeats it: there may be a password in it.
        """
        match = _URL.fullmatch(url)
        if match is None or not url.isprintable():
            raise _misuse(_what_is_wrong(url))
        tls = _TLS[match["scheme"].lower()]
        return cls(
            tls,
            _user(match["user"]),
            _host(match["host"]),
            _port(match["port"], default_port(tls)),
            _way(match["auth"]),
        )

    @override
    def __str__(self) -> str:
        return f"{self.user} on {self.host}"

    @property
    def key(self) -> str:
        """What tells it from other accounts: one word of ASCII.

        How TLS comes in and how one logs in do not matter, the port does: what answers on another may be another
        server. So an account whose port in the URL changes is another one, and its mail is fetched once more.
        """
        return f"{quote(self.user, safe='')}@{quote(self.host, safe=':')}:{self.port}"

    @property
    def wants_token(self) -> bool | None:
        """Whether its way to log in takes an access token, not a password; None: whatever there is."""
        if self.way is None:
            return None
        return self.way in CLIENT_MECHANISMS and CLIENT_MECHANISMS[self.way].takes is Token


def _what_is_wrong(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _TLS:
        return "the URL must begin with pops:// (TLS) or pop:// (TLS by STLS)"
    user, at, host = rest.rpartition("@")
    if not at or not user:
        return "the URL names no user: it has the form pops://user@host[:port]"
    if ":" in user:
        return "a password does not belong in a URL, where others see it: use --password-file, or wait to be asked"
    if re.search("[/?#]", host):
        return "the URL goes on behind the host: it has the form pops://user@host[:port]"
    return "the URL does not have the form pops://user@host[:port]; an @ in the user is written as %40"


def _misuse(text: str) -> Failure:
    return Failure(text, USAGE)


def _user(octets: str) -> str:
    if _BAD_ESCAPE.search(octets):
        raise _misuse("the user in the URL has a % that no two hexadecimal digits follow; a % itself is %25")
    try:
        return User(unquote(octets, errors="strict")).name
    except (LocalProtocolError, UnicodeDecodeError) as error:
        raise _misuse("the user in the URL is no user name in UTF-8") from error


def _way(auth: str | None) -> str | None:
    if auth is None:
        return None
    name = unquote(auth[len(_AUTH) :]).upper() if auth.upper().startswith(_AUTH) else ""
    if name == "*":
        return None
    if name not in _WAYS:
        raise _misuse(f"the URL asks for a way to log in that is not known here: {_AUTH} is for *, {', '.join(_WAYS)}")
    return _WAYS[name]


def _host(host: str) -> str:
    if not host.startswith("["):
        return host.lower()
    try:
        return str(IPv6Address(unquote(host[1:-1])))  # the % of a zone is %25 (RFC 6874)
    except ValueError:
        raise _misuse("what stands in brackets in the URL is no IPv6 address") from None


def _port(digits: str | None, default: int) -> int:
    port = default if digits is None else int(digits)
    if not 0 < port <= _HIGHEST_PORT:
        raise _misuse(f"the port in the URL is not from 1 to {_HIGHEST_PORT}")
    return port
