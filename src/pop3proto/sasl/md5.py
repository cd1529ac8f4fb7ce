"""SASL CRAM-MD5 (RFC 2195), both roles, and the digest of APOP (RFC 1939 section 7)."""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import partial
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.names import check_name, read_name

from .answers import answered
from .authenticator import named
from .mechanism import Dialogue, DialogueServer
from .names import password_key, proves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["CramMd5Client", "CramMd5Server", "apop_digest", "apop_matches", "hmac_md5"]

_DIGEST: Final = re.compile(rb"[0-9a-f]{32}")


def hmac_md5(key: bytes, data: bytes) -> str:
    """Return the keyed digest of data (RFC 2104), 32 hexadecimal digits, lower case."""
    # Without the flag, a Python that follows FIPS 140 has no MD5. What it is worth, the strength says.
    return hmac.new(key, data, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


class CramMd5Client:
    """The client's side of CRAM-MD5.

    Args:
        user: not empty.
        password: not empty; it is prepared (RFC 4013), for the server cannot do it behind a digest.

    Raises:
        MechanismError: the name cannot be said, or the password holds what no password may.
    """

    name: str = "CRAM-MD5"
    shows_secret: bool = False
    blocks: bool = False
    initial_response: bytes | None = None
    failure: str = ""

    def __init__(self, user: str, password: str) -> None:
        check_name(user, "the name")
        self._user: Final = user
        self._key: Final = password_key(password, stored=False)
        self.complete = False

    def respond(self, challenge: bytes) -> bytes:
        """Return the name and the digest.

        Raises:
            MechanismError: the challenge is empty, or the second one.
        """
        if self.complete:
            raise MechanismError("CRAM-MD5 has no second challenge")
        if not challenge:
            raise MechanismError("the challenge is empty")
        self.complete = True
        return f"{self._user} {hmac_md5(self._key, challenge)}".encode()


class CramMd5Server(DialogueServer):
    """The server's side of CRAM-MD5. It begins: there is no initial response (RFC 5034 section 4).

    Args:
        secret: returns the password of a user; None if there is no such user.
        challenge: `<digits.time@host>`, never used before (RFC 2195 section 2).
    """

    name: str = "CRAM-MD5"

    def __init__(self, secret: Callable[[str], str | Awaitable[str | None] | None], challenge: bytes) -> None:
        super().__init__()
        self._secret: Final = secret
        self._challenge: Final = challenge

    @override
    def _begin(self, initial: bytes | None) -> Dialogue:
        if initial is not None:
            raise MechanismError("CRAM-MD5 has no initial response")
        name, _, digest = (yield self._challenge).rpartition(b" ")  # the last blank: names may hold some
        if not _DIGEST.fullmatch(digest):
            raise MechanismError("a CRAM-MD5 response ends with a digest, 32 hexadecimal digits in lower case")
        user = read_name(name, "the name")
        secret = named((yield from answered(self._secret(user))))
        if not proves(digest.decode("ascii"), secret, self._digest):
            raise CredentialsRejected("the name or the password is wrong")
        return Identity(user)

    def _digest(self, secret: str) -> str:
        return hmac_md5(password_key(secret, stored=False), self._challenge)


def apop_digest(timestamp: str, secret: str) -> str:
    """Return what a client says in APOP: 32 hexadecimal digits, lower case.

    Args:
        timestamp: of the greeting, with its angle brackets.
        secret: the password; it is prepared as a stored string (RFC 6856 section 2.2).

    Raises:
        MechanismError: the timestamp is not ASCII, or the secret is empty or holds what no password may.
    """
    if not timestamp.isascii():
        raise MechanismError("a timestamp is ASCII (RFC 1939 section 7)")
    octets = timestamp.encode("ascii") + password_key(secret, stored=True)
    # Without the flag, a Python that follows FIPS 140 has no MD5. What it is worth, the strength says.
    return hashlib.md5(octets, usedforsecurity=False).hexdigest()


def apop_matches(timestamp: str, secret: str | None, digest: str) -> bool:
    """Return whether a client knows the secret, in the same time whether there is one or not.

    Args:
        timestamp: of the greeting, with its angle brackets.
        secret: the password of the user; None if there is no such user.
        digest: what the client said, in lower case.

    Raises:
        MechanismError: the timestamp is not ASCII.
    """
    return proves(digest, secret, partial(apop_digest, timestamp))
