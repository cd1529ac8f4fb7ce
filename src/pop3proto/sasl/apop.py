"""APOP: the digest of the greeting's timestamp and the password (RFC 1939 section 7). POP3's own, no SASL."""

from __future__ import annotations

import hashlib
from functools import partial

from .mechanism import MechanismError
from .passwords import password_key, proves

__all__ = ["apop_digest", "apop_matches"]


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
