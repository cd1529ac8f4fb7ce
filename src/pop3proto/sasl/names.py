"""Checking, decoding and preparing user names and passwords for SASL mechanisms."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final

from pop3proto.sasl.mechanism import CredentialsRejected, MechanismError
from pop3proto.sasl.saslprep import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "check_name",
    "check_password",
    "escape_name",
    "password_key",
    "prepare_name",
    "proves",
    "read_name",
    "read_password",
    "read_utf8",
    "unescape_name",
]

# A name that contains a line end could inject lines into replies and logs. Surrogates are not UTF-8.
_FORBIDDEN_IN_NAME: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")


def check_name(name: str, what: str, *, required: bool = True) -> None:
    """Check that a client can send a name.

    Args:
        name: the name as it will be sent; the server prepares it.
        what: what the name is, for the error message.
        required: whether an empty name is an error.

    Raises:
        MechanismError: the name is empty, or contains control characters or surrogates.
    """
    if required and not name:
        raise MechanismError(f"{what} must not be empty")
    if _FORBIDDEN_IN_NAME.search(name):
        raise MechanismError(f"{what} must not contain control characters or surrogates")


def prepare_name(name: str, what: str) -> str:
    """Prepare a name from a client for comparison (SASLprep, RFC 4013).

    Args:
        name: the name.
        what: what the name is, for the error message.

    Raises:
        MechanismError: the name contains prohibited characters such as line ends, or is empty once it is prepared.
    """
    prepared = prepare(name, stored=False)
    if not prepared:
        raise MechanismError(f"{what} must not be empty")
    return prepared


def read_name(octets: bytes, what: str, *, required: bool = True) -> str:
    """Decode and prepare a name that a client sent.

    Args:
        octets: the name in UTF-8.
        what: what the name is, for the error message.
        required: whether an empty name is an error. A name that becomes empty when it is prepared always is (RFC 5034
            section 4).

    Raises:
        MechanismError: the octets are not a valid name.
    """
    if not octets and not required:
        return ""
    return prepare_name(read_utf8(octets, what), what)


def read_utf8(octets: bytes, what: str) -> str:
    """Decode UTF-8.

    Args:
        octets: the text in UTF-8.
        what: what the text is, for the error message.

    Raises:
        MechanismError: the octets are not UTF-8. Neither the error nor its context holds them: they may be a secret.
    """
    try:
        return octets.decode()
    except UnicodeDecodeError:
        pass  # this error holds the octets: leave the handler before raising another
    raise MechanismError(f"{what} is not UTF-8")


_UNESCAPED: Final = re.compile(",|=(?!2C|3D)")


def escape_name(name: str) -> str:
    """Escape a name for SCRAM and GS2 headers: "," becomes "=2C", "=" becomes "=3D" (RFC 5802 section 5.1)."""
    return name.replace("=", "=3D").replace(",", "=2C")


def unescape_name(escaped: str) -> str:
    """Reverse `escape_name`.

    Raises:
        MechanismError: a "," or "=" is not escaped (RFC 5802 section 5.1).
    """
    if _UNESCAPED.search(escaped):
        raise MechanismError('"," and "=" in a name must be escaped as =2C and =3D')
    return escaped.replace("=2C", ",").replace("=3D", "=")


# NUL separates the parts of PLAIN; CR and LF cannot be sent in other logins of POP3; surrogates are not UTF-8.
_FORBIDDEN_IN_PASSWORD: Final = re.compile("[\0\r\n\ud800-\udfff]")

_DECOY: Final = "decoy password"


def check_password(password: str) -> None:
    """Check that a client can send a password in clear; the server prepares it.

    Raises:
        MechanismError: the password is empty, or contains NUL, CR, LF or surrogates.
    """
    if not password:
        raise MechanismError("the password must not be empty")
    if _FORBIDDEN_IN_PASSWORD.search(password):
        raise MechanismError("the password must not contain NUL, CR, LF or surrogates")


def read_password(octets: bytes) -> str:
    """Decode and prepare a password that a client sent (RFC 4616 section 2).

    Raises:
        MechanismError: the octets are not UTF-8.
        CredentialsRejected: it is empty or contains prohibited characters, so it cannot be the user's password.
    """
    text = read_utf8(octets, "the password")
    try:
        password = prepare(text, stored=False)
    except MechanismError:
        password = ""
    if not password:
        raise CredentialsRejected("the password is empty or contains characters that a password cannot have")
    return password


def password_key(password: str, *, stored: bool) -> bytes:
    """Return the octets of a password for digests: prepared (RFC 4013) and encoded in UTF-8.

    Args:
        password: the password; it is prepared, so that all mechanisms use the same form.
        stored: whether to use the rules for stored strings (RFC 4013 section 2.5).

    Raises:
        MechanismError: the password contains prohibited characters, or is empty once it is prepared.
    """
    prepared = prepare(password, stored=stored)
    if not prepared:
        raise MechanismError("the password must not be empty")
    return prepared.encode()


def proves(digest: str, secret: str | None, make: Callable[[str], str]) -> bool:
    """Return whether a digest was made from a secret, in constant time.

    The time depends neither on whether there is a secret nor on how much of the digest is right.

    Args:
        digest: the digest that the client sent.
        secret: the password of the user; None if there is no such user.
        make: takes a password and returns its digest; raises `MechanismError` if the password cannot be prepared.
    """
    try:
        expected = make(_DECOY if secret is None else secret)
    except MechanismError:  # no client can have made a digest from it
        secret, expected = None, make(_DECOY)
    equal = hmac.compare_digest(expected.encode("ascii"), digest.encode("ascii", "replace"))
    return equal and secret is not None
