"""OAUTHBEARER: an OAuth 2.0 access token (RFC 7628). Use it under TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .bearer import BearerClient, BearerServer, Claim, check_visible, format_pairs, parse_pairs
from .gs2 import escape_name, unescape_name
from .mechanism import MechanismError
from .names import check_name, prepare_name, read_utf8

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OAuthBearerClient", "OAuthBearerServer"]

_HIGHEST_PORT: Final = 65535


class OAuthBearerClient(BearerClient):
    """The client's side of OAUTHBEARER.

    Args:
        user: the mailbox; "" is that of the token.
        token: as it stands behind "Bearer".
        host: to which server the client wanted to speak.
        port: to which port.

    Raises:
        MechanismError: one of them cannot be said.
    """

    name: str = "OAUTHBEARER"

    def __init__(self, user: str, token: str, *, host: str | None = None, port: int | None = None) -> None:
        check_name(user, "the name", required=False)
        check_visible(token, "the token")
        pairs = dict[str, str]()
        if host is not None:
            check_visible(host, "the host")
            pairs["host"] = host
        if port is not None:
            if not 0 < port <= _HIGHEST_PORT:
                raise MechanismError(f"a port is 1 to {_HIGHEST_PORT}")
            pairs["port"] = f"{port:d}"
        header = f"n,a={escape_name(user)}," if user else "n,,"
        super().__init__(f"{header}\1{format_pairs(**pairs, auth=f'Bearer {token}')}", farewell=b"\1")


class OAuthBearerServer(BearerServer):
    """The server's side of OAUTHBEARER. Host and port are not looked at: nothing here knows the right ones.

    Args:
        check_token: returns whose token it is, given the mailbox ("": any) and the token; None if it is not valid.
    """

    name: str = "OAUTHBEARER"

    def __init__(self, check_token: Callable[[str, str], str | None]) -> None:
        super().__init__(check_token, no_bearer=b'{"status":"invalid_request"}', rejected=b'{"status":"invalid_token"}')

    @override
    def _parse(self, message: bytes) -> Claim:
        header, _, pairs = message.partition(b"\1")
        user = _user(read_utf8(header, "the header"))
        authorization = parse_pairs(pairs).get(b"auth")
        if authorization is None:
            raise MechanismError("the message has no auth")  # RFC 7628 section 3.1: it is required
        return Claim(user, authorization)


def _user(header: str) -> str:
    """Return the name in a header, `flag,[a=name],` (RFC 5801 section 4)."""
    match header.split(","):
        case ["n" | "y", "", ""]:
            return ""
        case ["n" | "y", field, ""] if field.startswith("a="):
            return prepare_name(unescape_name(field[2:]), "the name")
        case _:  # "p" among them: it would bind to a channel, and there is nothing to prove that with
            raise MechanismError("the message does not begin with flag,[a=name],")
