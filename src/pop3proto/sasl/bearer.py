"""Bearer tokens (RFC 6750), and the messages in which the OAuth mechanisms carry them (RFC 7628 section 3.1)."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.core.text import decode_text

from .dialogue import Dialogue, DialogueServer
from .mechanism import CredentialsRejected, Identity, MechanismError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BearerClient", "BearerServer", "Claim", "check_visible", "format_pairs", "parse_pairs"]

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

    def __init__(self, check_token: Callable[[str, str], str | None], *, no_bearer: bytes, rejected: bytes) -> None:
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
        owner = self._check_token(claim.user, bearer[1].decode("ascii")) if bearer else None
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
