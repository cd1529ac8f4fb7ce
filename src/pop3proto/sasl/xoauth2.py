"""XOAUTH2: what Google and Microsoft had before OAUTHBEARER (Google's "OAuth 2.0 Mechanism"). Use it under TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .bearer import BearerClient, BearerServer, Claim, check_visible, format_pairs, parse_pairs
from .mechanism import MechanismError
from .names import check_name, read_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["XOAuth2Client", "XOAuth2Server"]

_ERROR: Final = b'{"status":"400","schemes":"Bearer"}'


class XOAuth2Client(BearerClient):
    """The client's side of XOAUTH2.

    Args:
        user: the mailbox; not empty.
        token: as it stands behind "Bearer".

    Raises:
        MechanismError: one of them cannot be said.
    """

    name: str = "XOAUTH2"

    def __init__(self, user: str, token: str) -> None:
        check_name(user, "the name")
        check_visible(token, "the token")
        super().__init__(format_pairs(user=user, auth=f"Bearer {token}"), farewell=b"")


class XOAuth2Server(BearerServer):
    """The server's side of XOAUTH2.

    Args:
        check_token: returns whose token it is, given the mailbox and the token; None if it is not valid for it.
    """

    name: str = "XOAUTH2"

    def __init__(self, check_token: Callable[[str, str], str | None]) -> None:
        super().__init__(check_token, no_bearer=_ERROR, rejected=_ERROR)

    @override
    def _parse(self, message: bytes) -> Claim:
        pairs = parse_pairs(message)
        if b"user" not in pairs or b"auth" not in pairs:
            raise MechanismError("the message has no user or no auth")
        return Claim(read_name(pairs[b"user"], "the name"), pairs[b"auth"])
