"""POP URLs (RFC 2384): which server they name, which user, and how to log in."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final, Self
from urllib.parse import quote, unquote

import attrs
from typing_extensions import override

from pop3proto.core.commands import User
from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.cleartext import TlsMode, default_port
from pop3proto.procedures.client.login_plan import APOP
from pop3proto.sasl.credentials import ClientCertificate, Password, Token
from pop3proto.sasl.registry import CLIENT_MECHANISMS

from .errors import AccountError

__all__ = ["EXTERNAL", "Address", "takes_token"]

_URL: Final = re.compile(
    r"(?P<scheme>pops?)://"
    r"(?P<user>[^@:/?#;]+)(?P<auth>;[^@:/?#]*)?@"
    r"(?P<host>\[[^\]@/?#]+\]|[^\[\]@:/?#;]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"/?",  # some programs write a slash at the end; nothing may follow it
    re.IGNORECASE,
)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AUTH: Final = ";AUTH="
_TLS: Final[dict[str, TlsMode]] = {"pop": "starttls", "pops": "implicit"}
_HIGHEST_PORT: Final = 65_535

EXTERNAL: Final = "EXTERNAL"
"""The login method by the certificate that the client has shown."""

_LOGIN_METHODS: Final = {
    "+APOP": APOP,
    **{name: name for name, entry in CLIENT_MECHANISMS.items() if entry.takes in {Password, Token, ClientCertificate}},
}
"""Values of `;AUTH=`, beside `*`, with the name that `login` has for each."""


@attrs.frozen
class Address:
    """Where an account is, and how to log in.

        Address.of_url("pops://ann@pop.example.org")

    Args:
        tls: how TLS starts.
        user: the user name.
        host: the server's host name or IP address; an IPv6 address has no brackets.
        port: the server's port.
        way: the only login method to use, a SASL mechanism or APOP; None uses the best available.
    """

    tls: TlsMode
    user: str
    host: str
    port: int
    way: str | None = None

    @classmethod
    def of_url(cls, url: str) -> Self:
        """Parse a URL: `pops://user[;AUTH=method]@host[:port]` for implicit TLS, or `pop://...` for STLS.

        Raises:
            AccountError: the URL is not valid. The message never quotes it, because it may hold a password.
        """
        match = _URL.fullmatch(url)
        if match is None or not url.isprintable():
            raise AccountError(_explain_bad_url(url))
        tls = _TLS[match["scheme"].lower()]
        return cls(
            tls,
            _user(match["user"]),
            _host(match["host"]),
            _port(match["port"], default_port(tls)),
            _login_method(match["auth"]),
        )

    @override
    def __str__(self) -> str:
        return f"{self.user} on {self.host}"

    @property
    def server(self) -> str:
        """The server's host and port, for messages."""
        return f"{self.host}, port {self.port}"

    @property
    def key(self) -> str:
        """A key that identifies the account in the journal: one word of ASCII.

        It holds user, host and port, but neither the kind of TLS nor the login method. Another port may be another
        server, so if the port in the URL changes, all mail is fetched again.
        """
        return f"{quote(self.user, safe='')}@{quote(self.host, safe=':')}:{self.port}"

    @property
    def wants_token(self) -> bool | None:
        """Whether the login method takes an access token (True) or a password (False); None if either will do."""
        return takes_token(self.way)


def takes_token(way: str | None) -> bool | None:
    """Return whether a login method takes an access token (True) or a password (False); None: either will do."""
    if way is None:
        return None
    return way in CLIENT_MECHANISMS and CLIENT_MECHANISMS[way].takes is Token


def _explain_bad_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _TLS:
        return "the URL must begin with pops:// (TLS from the start) or pop:// (TLS by STLS)"
    user, at, host = rest.rpartition("@")
    if not at or not user:
        return "the URL has no user name: write it as pops://user@host[:port]"
    if ":" in user:
        return (
            "a password does not belong in a URL, where other users can see it: leave it out, and type it when asked, "
            "or name a file (--password-file) or another place (password = in the configuration)"
        )
    if not host.partition(":")[0]:
        return "the URL has no host: write it as pops://user@host[:port]"
    if re.search("[/?#]", host):
        return "nothing may follow the host and port in the URL: write it as pops://user@host[:port]"
    if re.search(r"(?:^[^:]+|\]):[^:]*$", host):
        return f"the port in the URL must be a number from 1 to {_HIGHEST_PORT}"
    return "the URL does not have the form pops://user@host[:port]; write an @ in the user name as %40"


def _user(octets: str) -> str:
    if _BAD_ESCAPE.search(octets):
        raise AccountError("the user name in the URL has a % without two hexadecimal digits after it; write % as %25")
    try:
        return User(unquote(octets, errors="strict")).name
    except (LocalProtocolError, UnicodeDecodeError) as error:
        raise AccountError("the user name in the URL is not a valid user name in UTF-8") from error


def _login_method(auth: str | None) -> str | None:
    if auth is None:
        return None
    name = unquote(auth[len(_AUTH) :]).upper() if auth.upper().startswith(_AUTH) else ""
    if name == "*":
        return None
    if name not in _LOGIN_METHODS:
        raise AccountError(
            f"the login method in the URL is not supported; {_AUTH} takes one of *, {', '.join(_LOGIN_METHODS)}"
        )
    return _LOGIN_METHODS[name]


def _host(host: str) -> str:
    if not host.startswith("["):
        return host.lower()
    try:
        return str(IPv6Address(unquote(host[1:-1])))  # the % of a zone is %25 (RFC 6874)
    except ValueError:
        raise AccountError("the host in brackets in the URL is not an IPv6 address") from None


def _port(digits: str | None, default: int) -> int:
    port = default if digits is None else int(digits)
    if not 0 < port <= _HIGHEST_PORT:
        raise AccountError(f"the port in the URL must be from 1 to {_HIGHEST_PORT}")
    return port
