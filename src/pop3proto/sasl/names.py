"""Names and passwords: what a client may send, what a server reads, and how both are prepared."""

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

# A name with a line end in it would write lines of its own into replies and logs. Surrogates are not UTF-8.
_UNSAYABLE: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")


def check_name(name: str, what: str, *, required: bool = True) -> None:
    """Refuse a name that a client could not say.

    Args:
        name: as it will be sent; the server prepares it.
        what: what it is, for the message.
        required: it must not be empty.

    Raises:
        MechanismError: it is empty, or holds control characters or surrogates.
    """
    if required and not name:
        raise MechanismError(f"{what} must not be empty")
    if _UNSAYABLE.search(name):
        raise MechanismError(f"{what} must not hold control characters or surrogates")


def prepare_name(name: str, what: str) -> str:
    """Return a name from a client as it is compared with others (RFC 4013).

    Raises:
        MechanismError: it holds what no name may, line ends among them, or nothing is left of it.
    """
    prepared = prepare(name, stored=False)
    if not prepared:
        raise MechanismError(f"{what} must not be empty")
    return prepared


def read_name(octets: bytes, what: str, *, required: bool = True) -> str:
    """Return the name in what a client sent, prepared.

    Args:
        octets: UTF-8.
        what: what it is, for the message.
        required: it must not be empty. One that only becomes empty must never (RFC 5034 section 4).

    Raises:
        MechanismError: it is no name.
    """
    if not octets and not required:
        return ""
    return prepare_name(read_utf8(octets, what), what)


def read_utf8(octets: bytes, what: str) -> str:
    """Return the text of octets.

    Raises:
        MechanismError: they are not UTF-8. Neither it nor its context keeps them, for they may be a secret.
    """
    try:
        return octets.decode()
    except UnicodeDecodeError:
        pass  # it holds the octets, so nothing is raised while it is handled
    raise MechanismError(f"{what} is not UTF-8")


_UNESCAPED: Final = re.compile(",|=(?!2C|3D)")


def escape_name(name: str) -> str:
    """Return a name without commas, which end it: "," as "=2C", and "=" as "=3D"."""
    return name.replace("=", "=3D").replace(",", "=2C")


def unescape_name(escaped: str) -> str:
    """Return the name that `escape_name` was given.

    Raises:
        MechanismError: a "," or "=" in it is not escaped (RFC 5802 section 5.1).
    """
    if _UNESCAPED.search(escaped):
        raise MechanismError('"," and "=" in a name are escaped as =2C and =3D')
    return escaped.replace("=2C", ",").replace("=3D", "=")


# NUL separates the parts of PLAIN; no other login of POP3 could say CR and LF; surrogates are not UTF-8.
_UNSAYABLE_PASSWORD: Final = re.compile("[\0\r\n\ud800-\udfff]")

_DECOY: Final = "nobody's password"


def check_password(password: str) -> None:
    """Refuse a password that a client could not say in clear; the server prepares it.

    Raises:
        MechanismError: it is empty, or holds NUL, CR, LF or surrogates.
    """
    if not password:
        raise MechanismError("the password must not be empty")
    if _UNSAYABLE_PASSWORD.search(password):
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
