"""Names of users: what a client may say, and what a server reads."""

from __future__ import annotations

import re
from typing import Final

from .mechanism import MechanismError
from .saslprep import prepare

__all__ = ["check_name", "prepare_name", "read_name", "read_utf8"]

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
