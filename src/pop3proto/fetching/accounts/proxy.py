"""The SOCKS5 proxy of an account (RFC 1928)."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import attrs
from typing_extensions import override

from .errors import AccountError

__all__ = ["SocksProxy"]


@attrs.frozen
class SocksProxy:
    """A SOCKS5 proxy. It looks up the server's name.

    Args:
        host: its name or address.
        port: its port.
        user: the user name for it; None: it wants none.
        password: the password for it.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def of_url(cls, url: str) -> SocksProxy:
        """Parse `socks5://[user:password@]host:port`.

        Raises:
            AccountError: the URL is not valid. The message does not quote it: it may hold a password.
        """
        try:
            parts = urlsplit(url)
            host, port, user, password = parts.hostname, parts.port, parts.username, parts.password
            bare = not parts.path.strip("/") and not parts.query and not parts.fragment
        except ValueError:
            host, port, user, password, bare = None, None, None, None, False
        scheme = url.partition("://")[0].lower()
        if (
            scheme not in {"socks5", "socks5h"}
            or not bare
            or not host
            or not port
            or (user is None) != (password is None)
        ):
            raise AccountError("a proxy is socks5://host:port or socks5://user:password@host:port")
        return cls(host, port, None if user is None else unquote(user), None if password is None else unquote(password))

    @override
    def __str__(self) -> str:
        return f"the SOCKS proxy {self.host}, port {self.port}"
