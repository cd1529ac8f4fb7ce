"""The header of a message: a digest of it, and the date at which the message was received."""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import parsedate_to_datetime

__all__ = ["HeaderDigest", "header_digest", "received_date"]


class HeaderDigest:
    """A digest of the header of a message that comes in chunks: 16 characters of base64url."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=12)
        self._tail = b"\r\n"
        self._ended = False

    def feed(self, octets: bytes) -> None:
        """Take the next octets, with CRLF line ends."""
        if self._ended:
            return
        data = self._tail + octets
        if (end := data.find(b"\r\n\r\n")) >= 0:
            self._ended = True
            octets = octets[: end + 4 - len(self._tail)]
        self._hash.update(octets)
        self._tail = data[-3:]

    @property
    def digest(self) -> str:
        """The digest, of all octets if there was no empty line."""
        return base64.urlsafe_b64encode(self._hash.digest()).decode()


def header_digest(octets: bytes) -> str:
    """Return the digest of the header of a message, up to and including the first empty line."""
    end = 0 if octets.startswith(b"\r\n") else octets.find(b"\r\n\r\n") + 2
    header = octets if end == 1 else octets[: end + 2]
    return base64.urlsafe_b64encode(hashlib.blake2b(header, digest_size=12).digest()).decode()


def received_date(header: bytes) -> int | None:
    """Return when a message was received, in seconds since 1970; None: its header does not say."""
    parsed = BytesHeaderParser(policy=compat32).parsebytes(header)
    for field in (*parsed.get_all("Received", [])[:1], *parsed.get_all("Date", [])[:1]):
        with suppress(ValueError, TypeError, OverflowError, IndexError):
            return int(parsedate_to_datetime(str(field).rpartition(";")[2].strip()).timestamp())
    return None
