"""How text, numbers and SASL data stand on a line, and how they are read back.

Text is UTF-8; octets that are not become lone surrogates (`surrogateescape`), so that every octet survives.
"""

from __future__ import annotations

import binascii
import re
from operator import index
from typing import TYPE_CHECKING, Final

from .errors import LocalProtocolError, MalformedReply
from .limits import MAX_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
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
]

_NUMBER: Final = re.compile(rb"[0-9]{1,%d}" % MAX_DIGITS)
_MECHANISM: Final = re.compile(r"[A-Z0-9_-]{1,20}")  # RFC 4422 section 3.1
_UNSAFE: Final = re.compile(r"[\r\n\0]")
_EXCERPT: Final = 60


def decode_text(octets: bytes) -> str:
    """Return the text of octets; never fails."""
    return octets.decode("utf-8", "surrogateescape")


def encode_text(text: str) -> bytes:
    """Return the octets of a text that `check_text` has passed."""
    return text.encode("utf-8", "surrogateescape")


def ascii_upper(text: str) -> str:
    """Return a text in upper case if it is ASCII, else as it is: keywords match without case, but "ß" is no "SS"."""
    return text.upper() if text.isascii() else text


def is_mechanism(name: str) -> bool:
    """Return whether this is the name of a SASL mechanism, in upper case."""
    return _MECHANISM.fullmatch(name) is not None


def check_text(text: str, what: str) -> None:
    """Refuse a text that could not cross the wire as one part of a line and come back equal.

    Raises:
        LocalProtocolError: it holds CR, LF or NUL, which would end the line or cut it short (a password with a line
            end in it could carry a command), or surrogates that are no octets.
    """
    if text.isprintable():
        return
    if _UNSAFE.search(text):
        raise LocalProtocolError(f"{what} must not hold CR, LF or NUL")
    try:
        survives = decode_text(encode_text(text)) == text
    except UnicodeEncodeError:
        survives = False
    if not survives:
        raise LocalProtocolError(f"{what} holds surrogates that would not be read back as they are")


def numeric(what: str, *, minimum: int) -> Callable[[object, object, int], None]:
    """Return an attrs validator that refuses a number which is too small, or too long for `MAX_DIGITS`.

    It raises `LocalProtocolError`, and `TypeError` for what is no integer.
    """

    def check(_instance: object, _attribute: object, number: int) -> None:
        if not minimum <= index(number) < 10**MAX_DIGITS:
            raise LocalProtocolError(f"{what} must be at least {minimum} and have at most {MAX_DIGITS} digits")

    return check


def read_number(octets: bytes) -> int | None:
    """Return a decimal number; None for anything but 1 to `MAX_DIGITS` ASCII digits (no sign, blank, underscore)."""
    return int(octets) if _NUMBER.fullmatch(octets) else None


def lines_of(body: bytes, limit: int) -> list[bytes]:
    """Return the lines of a body, without their CRLF; an empty one is behind the last.

    Raises:
        MalformedReply: there are more than `limit`.
    """
    if body.count(b"\n") > limit:
        raise MalformedReply(f"the listing has more than {limit} rows")
    return body.split(b"\r\n")


def encode_base64(octets: bytes) -> bytes:
    """Return base64 without line ends (RFC 4648 section 4)."""
    return binascii.b2a_base64(octets, newline=False)


def decode_base64(octets: bytes) -> bytes | None:
    """Return the octets behind base64; None unless it is complete, padded, and free of other characters.

    Strict, because RFC 5034 section 4 says so. Bits that the padding leaves over may have any value.
    """
    if len(octets) % 4 or octets.endswith(b"==="):
        return None  # Python before 3.13 overlooks padding behind complete data: "AAAA=", "AAAA===="
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        return None


def excerpt(octets: bytes) -> str:
    """Return the start of what a peer sent, escaped, for an error message."""
    shown = repr(octets[:_EXCERPT])[1:]
    return shown if len(octets) <= _EXCERPT else f"{shown}..."


def counted(number: int, noun: str) -> str:
    """Return "1 message", "2 messages", "1,000 messages"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
