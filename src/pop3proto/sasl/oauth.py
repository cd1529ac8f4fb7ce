"""SASL OAUTHBEARER (RFC 7628) and XOAUTH2, both roles: OAuth 2.0 access tokens."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
from typing_extensions import override

from pop3proto.core.text import decode_text
from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.names import check_name, escape_name, prepare_name, read_name, read_utf8, unescape_name

from .answers import answered
from .authenticator import named
from .mechanism import Dialogue, DialogueServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "BearerClient",
    "BearerServer",
    "Claim",
    "OAuthBearerClient",
    "OAuthBearerServer",
    "XOAuth2Client",
    "XOAuth2Server",
    "check_visible",
    "format_pairs",
    "parse_pairs",
]

CheckToken: TypeAlias = "Callable[[str, str], str | Awaitable[str | None] | None]"

_VISIBLE: Final = re.compile(r"[!-~]+")
_PAIR: Final = re.compile(rb"([A-Za-z]+)=([\t\n\r -~\x80-\xff]*)")  # RFC 7628, plus UTF-8 for user names in XOAUTH2
_BEARER: Final = re.compile(rb"bearer +([!-~]+)", re.IGNORECASE)  # RFC 7628 section 4: in any case


@attrs.frozen
class Claim:
    """A parsed client message of OAUTHBEARER or XOAUTH2.

    Args:
        user: the mailbox, prepared; "" for the one that the token belongs to.
        authorization: the value of "auth", which has the form of HTTP's Authorization header: "Bearer TOKEN".
    """

    user: str
    authorization: bytes = attrs.field(repr=False)


class BearerClient:
    """The base class of client mechanisms that send a bearer token.

    Args:
        message: the initial response.
        farewell: the response to the server's error message, after which the server ends the exchange.
    """

    shows_secret: bool = True
    blocks: bool = False

    def __init__(self, message: str, farewell: bytes) -> None:
        self.initial_response: Final = message.encode()
        self._farewell: Final = farewell
        self.complete: bool = True
        self.failure: str = ""

    def respond(self, challenge: bytes) -> bytes:
        """Store the server's error message in `failure`, and return the final response (RFC 7628 section 3.2.3).

        Raises:
            MechanismError: it is the second challenge.
        """
        if not self.complete:
            raise MechanismError("the server sent a second error message")
        self.complete = False  # +OK after an error message is not accepted
        self.failure = decode_text(challenge).strip()
        return self._farewell


class BearerServer(DialogueServer):
    """The base class of server mechanisms that accept a bearer token.

    Args:
        check_token: takes the mailbox ("" for any) and the token, and returns the user that the token belongs to; None
            if it is not valid.
        no_bearer: the error message, JSON, if there is no bearer token.
        rejected: the error message, JSON, if the token is not valid.
    """

    def __init__(self, check_token: CheckToken, *, no_bearer: bytes, rejected: bytes) -> None:
        super().__init__()
        self._check_token: Final = check_token
        self._no_bearer: Final = no_bearer
        self._error: Final = rejected

    @override
    def deny(self) -> bytes:
        """Return the error message for a token that is not valid."""
        self.rejected = True
        return self._error

    @abstractmethod
    def _parse(self, message: bytes) -> Claim:
        """Parse a client's message; raises `MechanismError`."""

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        claim = self._parse((yield b"") if initial is None else initial)
        self._claim(claim.user)
        bearer = _BEARER.fullmatch(claim.authorization)
        owner = None
        if bearer:
            owner = named((yield from answered(self._check_token(claim.user, bearer[1].decode("ascii")))))
        if owner is None:
            self.rejected: bool = True
            yield self._error if bearer else self._no_bearer
            # Any response is accepted: some clients send 0x01 in XOAUTH2 too, and it makes no difference.
            raise CredentialsRejected("the token is not valid")
        return Identity(owner, claim.user)


def check_visible(text: str, what: str) -> None:
    """Check that a text is visible ASCII (0x21 to 0x7E) and not empty.

    RFC 6750 section 2.1 allows only base64 characters in tokens; real tokens contain any visible ASCII.

    Raises:
        MechanismError: the text is empty or contains other characters.
    """
    if not _VISIBLE.fullmatch(text):
        raise MechanismError(f"{what} must be visible ASCII without spaces, and not empty")


def format_pairs(**pairs: str) -> str:
    """Format key=value pairs, each followed by 0x01, and the 0x01 that ends the message (RFC 7628 section 3.1)."""
    return "".join(f"{key}={value}\1" for key, value in pairs.items()) + "\1"


def parse_pairs(octets: bytes) -> dict[bytes, bytes]:
    """Parse the key=value pairs of a message.

    Raises:
        MechanismError: the message does not have the form that `format_pairs` makes, or repeats a key.
    """
    body = octets.removesuffix(b"\1\1")
    pairs = [_PAIR.fullmatch(field) for field in body.split(b"\1")]
    values = {pair[1]: pair[2] for pair in pairs if pair}
    if body == octets or len(values) < len(pairs):
        raise MechanismError("the message must be unique key=value pairs, each followed by 0x01, and 0x01 at the end")
    return values


_HIGHEST_PORT: Final = 65535


class OAuthBearerClient(BearerClient):
    """The client side of OAUTHBEARER.

    Args:
        user: the mailbox, or "" for the one that the token belongs to.
        token: the access token, without "Bearer".
        host: name of the server that the client connected to; None to leave it out.
        port: port of the server; None to leave it out.

    Raises:
        MechanismError: an argument contains characters that cannot be sent, or the port is out of range.
    """

    name: str = "OAUTHBEARER"

    def __init__(self, user: str, token: str, *, host: str | None = None, port: int | None = None) -> None:
        check_name(user, "the user name", required=False)
        check_visible(token, "the token")
        pairs = dict[str, str]()
        if host is not None:
            check_visible(host, "the host")
            pairs["host"] = host
        if port is not None:
            if not 0 < port <= _HIGHEST_PORT:
                raise MechanismError(f"the port must be from 1 to {_HIGHEST_PORT}")
            pairs["port"] = f"{port:d}"
        header = f"n,a={escape_name(user)}," if user else "n,,"
        super().__init__(f"{header}\1{format_pairs(**pairs, auth=f'Bearer {token}')}", farewell=b"\1")


class OAuthBearerServer(BearerServer):
    """The server side of OAUTHBEARER. Host and port are ignored: the mechanism does not know the right ones.

    Args:
        check_token: takes the mailbox ("" for any) and the token, and returns the user that the token belongs to; None
            if it is not valid.
    """

    name: str = "OAUTHBEARER"

    def __init__(self, check_token: CheckToken) -> None:
        super().__init__(check_token, no_bearer=b'{"status":"invalid_request"}', rejected=b'{"status":"invalid_token"}')

    @override
    def _parse(self, message: bytes) -> Claim:
        header, _, pairs = message.partition(b"\1")
        user = _user(read_utf8(header, "the header"))
        authorization = parse_pairs(pairs).get(b"auth")
        if authorization is None:
            raise MechanismError("the message has no auth key")  # RFC 7628 section 3.1: it is required
        return Claim(user, authorization)


def _user(header: str) -> str:
    """Return the user name in a GS2 header, `flag,[a=name],` (RFC 5801 section 4)."""
    match header.split(","):
        case ["n" | "y", "", ""]:
            return ""
        case ["n" | "y", field, ""] if field.startswith("a="):
            return prepare_name(unescape_name(field[2:]), "the user name")
        case _:  # including "p": channel binding, which a bearer token cannot prove
            raise MechanismError("the message must begin with 'n,' or 'y,', then [a=name] and a comma")


_ERROR: Final = b'{"status":"400","schemes":"Bearer"}'


class XOAuth2Client(BearerClient):
    """The client side of XOAUTH2.

    Args:
        user: the mailbox, not empty.
        token: the access token, without "Bearer".

    Raises:
        MechanismError: an argument is empty or contains characters that cannot be sent.
    """

    name: str = "XOAUTH2"

    def __init__(self, user: str, token: str) -> None:
        check_name(user, "the user name")
        check_visible(token, "the token")
        super().__init__(format_pairs(user=user, auth=f"Bearer {token}"), farewell=b"")


class XOAuth2Server(BearerServer):
    """The server side of XOAUTH2.

    Args:
        check_token: takes the mailbox and the token, and returns the user that the token belongs to; None if it is not
            valid for this mailbox.
    """

    name: str = "XOAUTH2"

    def __init__(self, check_token: CheckToken) -> None:
        super().__init__(check_token, no_bearer=_ERROR, rejected=_ERROR)

    @override
    def _parse(self, message: bytes) -> Claim:
        pairs = parse_pairs(message)
        if b"user" not in pairs or b"auth" not in pairs:
            raise MechanismError("the message must have the keys user and auth")
        return Claim(read_name(pairs[b"user"], "the user name"), pairs[b"auth"])
