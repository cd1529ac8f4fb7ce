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
    """Return the HMAC-MD5 of data (RFC 2104): 32 hexadecimal digits, lower case."""
    # Without the flag, Python in FIPS mode has no MD5. `Strength.DIGEST` ranks it accordingly.
    return hmac.new(key, data, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


class CramMd5Client:
    """The client side of CRAM-MD5.

    Args:
        user: the user name, not empty.
        password: the password, not empty. It is prepared here (RFC 4013), because the server sees only a digest.

    Raises:
        MechanismError: the user name contains control characters or surrogates, or the password contains prohibited
            characters; or one of them is empty.
    """

    name: str = "CRAM-MD5"
    shows_secret: bool = False
    blocks: bool = False
    initial_response: bytes | None = None
    failure: str = ""

    def __init__(self, user: str, password: str) -> None:
        check_name(user, "the user name")
        self._user: Final = user
        self._key: Final = password_key(password, stored=False)
        self.complete: bool = False

    def respond(self, challenge: bytes) -> bytes:
        """Return the user name and the digest.

        Raises:
            MechanismError: the challenge is empty, or it is the second one.
        """
        if self.complete:
            raise MechanismError("CRAM-MD5 has no second challenge")
        if not challenge:
            raise MechanismError("the CRAM-MD5 challenge is empty")
        self.complete = True
        return f"{self._user} {hmac_md5(self._key, challenge)}".encode()


class CramMd5Server(DialogueServer):
    """The server side of CRAM-MD5. The server speaks first: there is no initial response (RFC 5034 section 4).

    Args:
        secret: takes a user name and returns the password; None if there is no such user.
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
        name, _, digest = (yield self._challenge).rpartition(b" ")  # at the last space: names may contain spaces
        if not _DIGEST.fullmatch(digest):
            raise MechanismError("a CRAM-MD5 response must end with 32 hexadecimal digits in lower case")
        user = self.claimed_user = read_name(name, "the user name")
        secret = named((yield from answered(self._secret(user))))
        if not proves(digest.decode("ascii"), secret, self._digest):
            raise CredentialsRejected("the user name or the password is wrong")
        return Identity(user)

    def _digest(self, secret: str) -> str:
        return hmac_md5(password_key(secret, stored=False), self._challenge)


def apop_digest(timestamp: str, secret: str) -> str:
    """Return the digest that a client sends in APOP: 32 hexadecimal digits, lower case (RFC 1939 section 7).

    Args:
        timestamp: the timestamp of the greeting, with its angle brackets.
        secret: the password; it is prepared as a stored string (RFC 6856 section 2.2).

    Raises:
        MechanismError: the timestamp is not ASCII; or the secret is empty or contains prohibited characters.
    """
    if not timestamp.isascii():
        raise MechanismError("the APOP timestamp of the greeting is not ASCII (RFC 1939 section 7)")
    octets = timestamp.encode("ascii") + password_key(secret, stored=True)
    # Without the flag, Python in FIPS mode has no MD5. `Strength.DIGEST` ranks it accordingly.
    return hashlib.md5(octets, usedforsecurity=False).hexdigest()


def apop_matches(timestamp: str, secret: str | None, digest: str) -> bool:
    """Return whether an APOP digest is right. The time does not depend on whether the user exists.

    Args:
        timestamp: the timestamp of the greeting, with its angle brackets.
        secret: the password of the user; None if there is no such user.
        digest: the digest that the client sent, in lower case.

    Raises:
        MechanismError: the timestamp is not ASCII.
    """
    return proves(digest, secret, partial(apop_digest, timestamp))
