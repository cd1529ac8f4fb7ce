"""Encoding and decoding of text, numbers and base64 on a protocol line.

Text is UTF-8. Invalid octets become lone surrogates (`surrogateescape`), so that every octet is preserved.
"""

from __future__ import annotations

import binascii
import re
from operator import index
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Final

from .errors import LocalProtocolError, MalformedReply
from .limits import MAX_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ascii_lower",
    "ascii_upper",
    "check_text",
    "counted",
    "decode_base64",
    "decode_text",
    "encode_base64",
    "encode_text",
    "excerpt",
    "is_mechanism",
    "lines_of",
    "numeric",
    "read_number",
    "visible",
]

_NUMBER: Final = re.compile(rb"[0-9]{1,%d}" % MAX_DIGITS)
_MECHANISM: Final = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 section 3.1
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_UNSAFE: Final = re.compile(r"[\r\n\0]")
_EXCERPT: Final = 60


def decode_text(octets: bytes) -> str:
    """Decode octets as UTF-8 with `surrogateescape`; never fails."""
    return octets.decode("utf-8", "surrogateescape")


def encode_text(text: str) -> bytes:
    """Encode a text that `check_text` has accepted."""
    return text.encode("utf-8", "surrogateescape")


def ascii_upper(text: str) -> str:
    """Return a text in upper case if it is ASCII, otherwise unchanged.

    For keywords, which match in any case; "ß" must not become "SS".
    """
    return text.upper() if text.isascii() else text


def ascii_lower(text: str) -> str:
    """Return a text with its ASCII letters in lower case; others stay as they are."""
    return text.translate(_LOWER)


def is_mechanism(name: str) -> bool:
    """Return whether this is a valid name of a SASL mechanism, in upper case (RFC 4422 section 3.1)."""
    return _MECHANISM.fullmatch(name) is not None


def check_text(text: str, what: str) -> None:
    """Check that a text can be sent as part of a line, and is equal when it is decoded again.

    Args:
        text: the text.
        what: its name, for the error message.

    Raises:
        LocalProtocolError: it contains CR, LF or NUL, which would end or truncate the line (a password with a line end
            could inject a command); or surrogates that do not stand for octets.
    """
    if text.isprintable():
        return
    if _UNSAFE.search(text):
        raise LocalProtocolError(f"{what} must not contain CR, LF or NUL")
    try:
        survives = decode_text(encode_text(text)) == text
    except UnicodeEncodeError:
        survives = False
    if not survives:
        raise LocalProtocolError(f"{what} contains surrogates that cannot be encoded")


def numeric(what: str, *, minimum: int) -> Callable[[object, object, int], None]:
    """Return an attrs validator for integers of at least `minimum` and at most `MAX_DIGITS` digits.

    The validator raises `LocalProtocolError`; and `TypeError` for anything but an integer.
    """
    above = 10**MAX_DIGITS

    def check(_instance: object, _attribute: object, number: int) -> None:
        if not minimum <= index(number) < above:
            raise LocalProtocolError(f"{what} must be at least {minimum} and have at most {MAX_DIGITS} digits")

    return check


def read_number(octets: bytes) -> int | None:
    """Parse a decimal number; None for anything but 1 to `MAX_DIGITS` ASCII digits.

    Signs, spaces and underscores, which `int` allows, are not accepted.
    """
    return int(octets) if _NUMBER.fullmatch(octets) else None


def lines_of(body: bytes, limit: int) -> list[bytes]:
    """Split a body into lines without CRLF; the last element is what follows the last CRLF, normally empty.

    Raises:
        MalformedReply: there are more than `limit` lines.
    """
    if body.count(b"\n") > limit:
        raise MalformedReply(f"the listing has more than {limit} rows")
    return body.split(b"\r\n")


def encode_base64(octets: bytes) -> bytes:
    """Encode octets as base64 without line ends (RFC 4648 section 4)."""
    return binascii.b2a_base64(octets, newline=False)


def decode_base64(octets: bytes) -> bytes | None:
    """Decode base64; None unless it is complete, padded, and free of other characters.

    Strict, as RFC 5034 section 4 requires. Unused bits before the padding may have any value.
    """
    if len(octets) % 4 or octets.endswith(b"==="):
        return None  # Python before 3.13 ignores padding after complete data: "AAAA=", "AAAA===="
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        return None


def excerpt(octets: bytes) -> str:
    """Return the start of received octets, escaped, for an error message."""
    shown = repr(octets[:_EXCERPT])[1:]
    return shown if len(octets) <= _EXCERPT else f"{shown}..."


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: "1 message", "2 messages", "1,000 messages"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def visible(text: str) -> str:
    r"""Return a text that is safe to print or to log: without effect on cursor, colours or direction of writing.

    Characters that are not printable are escaped, for example as `\x1b`; so are octets that were not UTF-8
    (`surrogateescape`).
    """
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
