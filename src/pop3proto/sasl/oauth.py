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
_PAIR: Final = re.compile(rb"([A-Za-z]+)=([\t\n\r -~\x80-\xff]*)")  # as RFC 7628, and UTF-8 for the names of XOAUTH2
_BEARER: Final = re.compile(rb"bearer +([!-~]+)", re.IGNORECASE)  # RFC 7628 section 4: case does not matter


@attrs.frozen
class Claim:
    """What a client says.

    Args:
        user: the mailbox, prepared; "" for that of the token.
        authorization: what HTTP would have in the header of this name.
    """

    user: str
    authorization: bytes = attrs.field(repr=False)


class BearerClient:
    """The client's side of a mechanism with a bearer token.

    Args:
        message: the initial response.
        farewell: what answers the server's reason to refuse, so that it can end the exchange.
    """

    shows_secret: bool = True
    blocks: bool = False

    def __init__(self, message: str, farewell: bytes) -> None:
        self.initial_response: Final = message.encode()
        self._farewell: Final = farewell
        self.complete = True
        self.failure = ""

    def respond(self, challenge: bytes) -> bytes:
        """Keep why the server refuses, and return what lets it end the exchange (RFC 7628 section 3.2.3).

        Raises:
            MechanismError: it has refused before.
        """
        if not self.complete:
            raise MechanismError("the server refuses a second time")
        self.complete = False  # a server that says no, and then yes, is not believed
        self.failure = decode_text(challenge).strip()
        return self._farewell


class BearerServer(DialogueServer):
    """The server's side of a mechanism with a bearer token.

    Args:
        check_token: returns whose token it is, given the mailbox ("": any) and the token; None if it is not valid.
        no_bearer: the error, JSON, if there is no bearer token.
        rejected: the error, JSON, if it is not valid.
    """

    def __init__(self, check_token: CheckToken, *, no_bearer: bytes, rejected: bytes) -> None:
        super().__init__()
        self._check_token: Final = check_token
        self._no_bearer: Final = no_bearer
        self._rejected: Final = rejected

    @abstractmethod
    def _parse(self, message: bytes) -> Claim:
        """Read a client's message; raises `MechanismError`."""

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        claim = self._parse((yield b"") if initial is None else initial)
        bearer = _BEARER.fullmatch(claim.authorization)
        owner = None
        if bearer:
            owner = named((yield from answered(self._check_token(claim.user, bearer[1].decode("ascii")))))
        if owner is None:
            yield self._rejected if bearer else self._no_bearer
            # Whatever the answer: some clients say 0x01 to XOAUTH2 too, and it changes nothing.
            raise CredentialsRejected("the token is not valid here")
        return Identity(owner, claim.user)


def check_visible(text: str, what: str) -> None:
    """Refuse what is not ASCII that one can see.

    Tokens are base64 by RFC 6750 section 2.1, and anything visible in practice.

    Raises:
        MechanismError: it is empty, or holds anything else.
    """
    if not _VISIBLE.fullmatch(text):
        raise MechanismError(f"{what} must be visible ASCII, without blanks")


def format_pairs(**pairs: str) -> str:
    """Return keys and values as they stand in a message, with its end."""
    return "".join(f"{key}={value}\1" for key, value in pairs.items()) + "\1"


def parse_pairs(octets: bytes) -> dict[bytes, bytes]:
    """Return the keys and values that make a message.

    Raises:
        MechanismError: it is not what `format_pairs` makes, or has a key twice.
    """
    body = octets.removesuffix(b"\1\1")
    pairs = [_PAIR.fullmatch(field) for field in body.split(b"\1")]
    values = {pair[1]: pair[2] for pair in pairs if pair}
    if body == octets or len(values) < len(pairs):
        raise MechanismError("the message is not made of key=value, each once, with 0x01 behind each and at the end")
    return values


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

    def __init__(self, check_token: CheckToken) -> None:
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

    def __init__(self, check_token: CheckToken) -> None:
        super().__init__(check_token, no_bearer=_ERROR, rejected=_ERROR)

    @override
    def _parse(self, message: bytes) -> Claim:
        pairs = parse_pairs(message)
        if b"user" not in pairs or b"auth" not in pairs:
            raise MechanismError("the message has no user or no auth")
        return Claim(read_name(pairs[b"user"], "the name"), pairs[b"auth"])
