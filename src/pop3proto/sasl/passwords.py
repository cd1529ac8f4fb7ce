"""Passwords: what a client may say in clear, what a server reads, and what digests are made from."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final

from .mechanism import CredentialsRejected, MechanismError
from .names import read_utf8
from .saslprep import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_password", "password_key", "proves", "read_password"]

# NUL separates the parts of PLAIN; no other login of POP3 could say CR and LF; surrogates are not UTF-8.
_UNSAYABLE: Final = re.compile("[\0\r\n\ud800-\udfff]")

_DECOY: Final = "nobody's password"


def check_password(password: str) -> None:
    """Refuse a password that a client could not say in clear; the server prepares it.

    Raises:
        MechanismError: it is empty, or holds NUL, CR, LF or surrogates.
    """
    if not password:
        raise MechanismError("the password must not be empty")
    if _UNSAYABLE.search(password):
        raise MechanismError("the password must not hold NUL, CR, LF or surrogates")


def read_password(octets: bytes) -> str:
    """Return the password in what a client sent, prepared (RFC 4616 section 2).

    Raises:
        MechanismError: it is not UTF-8.
        CredentialsRejected: it cannot be a password, so it is not that of the user.
    """
    text = read_utf8(octets, "the password")
    try:
        password = prepare(text, stored=False)
    except MechanismError:
        password = ""
    if not password:
        raise CredentialsRejected("this is no password")
    return password


def password_key(password: str, *, stored: bool) -> bytes:
    """Return the octets of a password from which digests are made.

    Args:
        password: the password; it is prepared, so that it is the one that the other mechanisms compare.
        stored: by the rules for stored strings (RFC 4013 section 2.5).

    Raises:
        MechanismError: it holds what no password may, or nothing is left of it.
    """
    prepared = prepare(password, stored=stored)
    if not prepared:
        raise MechanismError("the password must not be empty")
    return prepared.encode()


def proves(digest: str, secret: str | None, make: Callable[[str], str]) -> bool:
    """Return whether a digest was made from a secret.

    It takes the same time whether there is a secret or not, and however much of the digest is right.

    Args:
        digest: what the client said.
        secret: the password of the user; None if there is no such user.
        make: returns the digest of a password; it raises `MechanismError` for one from which there is none.
    """
    try:
        expected = make(_DECOY if secret is None else secret)
    except MechanismError:  # nobody can have made a digest from it
        secret, expected = None, make(_DECOY)
    equal = hmac.compare_digest(expected.encode("ascii"), digest.encode("ascii", "replace"))
    return equal and secret is not None
