"""What the header of a message tells about it: a digest that it is known again by, and its date. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from typing import Final

__all__ = ["Header", "HeaderDigest", "header_digest", "received_date"]

# A line end and an empty line; CR is optional, as in a Maildir. `\r\r\n` is a line with a CR.
_HEADER_END: Final = re.compile(rb"\n\r?\n")
_EMPTY_LINE: Final = re.compile(rb"\r?\n")
_RECEIVED: Final = re.compile(rb"^received[ \t]*:(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_DATE: Final = re.compile(rb"^date[ \t]*:(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_LONGEST_DATE: Final = 256
_LONGEST_START: Final = 1 << 18


class HeaderDigest:
    """Computes the digest of a header from the octets of a message, as they arrive.

    What is digested ends with the first empty line, or with the message. Line ends count as CRLF, so that a message
    has the same digest on the wire and in a file with LF line ends.
    """

    __slots__ = ("_at_line_start", "_hash", "_held", "ended")

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=12)
        self._at_line_start = True
        self._held = b""  # a CR at the end of the octets so far: it may be part of a line end
        self.ended: bool = False
        """Whether the empty line at the end of the header was there."""

    @property
    def digest(self) -> str:
        """The digest of the octets so far: 16 characters of base64 for URLs."""
        state = self._hash.copy()
        state.update(self._held)
        return _encoded(state)

    def feed(self, octets: bytes) -> None:
        """Take the next octets of the message; they may end anywhere. What follows the header is ignored."""
        if self.ended or not octets:
            return
        data = self._held + octets
        end = self._end_of_header(data)
        if end >= 0:
            self.ended = True
            self._held = b""
            data = data[:end]
        else:
            self._held = b"\r" if data.endswith(b"\r") else b""
            data = data.removesuffix(b"\r")
            if data:
                self._at_line_start = data.endswith(b"\n")
        self._hash.update(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    def _end_of_header(self, data: bytes) -> int:
        if self._at_line_start and (match := _EMPTY_LINE.match(data)):
            return match.end()
        match = _HEADER_END.search(data)
        return -1 if match is None else match.end()


class Header:
    """A header that arrives in pieces: its digest, and its first octets. Some messages are nothing but header."""

    def __init__(self) -> None:
        self._digest: Final = HeaderDigest()
        self.start: bytes = b""
        """At most 256 KiB of it."""

    def feed(self, octets: bytes) -> None:
        """Take the next octets; they may end anywhere."""
        self._digest.feed(octets)
        if (room := _LONGEST_START - len(self.start)) > 0:
            self.start += octets[:room]

    @property
    def digest(self) -> str:
        """As `HeaderDigest.digest`."""
        return self._digest.digest


def header_digest(octets: bytes) -> str:
    """Return the digest of the header of a message, as `HeaderDigest` computes it.

    Args:
        octets: the message, its header, or its first octets with the empty line behind the header.
    """
    end = octets.find(b"\r\n\r\n") + 4
    header = octets[:end]
    if end > 4 and not header.startswith(b"\r\n") and header.count(b"\n") == header.count(b"\r\n"):  # noqa: PLR2004
        return _encoded(hashlib.blake2b(header, digest_size=12))  # as most are: there is nothing to normalize
    digest = HeaderDigest()
    digest.feed(octets)
    return digest.digest


def _encoded(digest: hashlib.blake2b) -> str:
    return base64.urlsafe_b64encode(digest.digest()).decode("ascii")


def received_date(header: bytes) -> int | None:
    """Return when a message was received by its mail system, in seconds since 1970, as far as its header tells.

    It is the date of the first `Received:` field, which the last mail system has added; without one that can be read,
    that of the first `Date:` field. None: neither can be read.

    Args:
        header: the header, or the whole message.
    """
    end = _HEADER_END.search(header)
    if end is not None:
        header = header[: end.start() + 1]
    for field, separator in ((_RECEIVED, b";"), (_DATE, b"")):
        if match := field.search(header):
            text = match[1].rpartition(separator)[2] if separator else match[1]
            if (seconds := _seconds(text)) is not None:
                return seconds
    return None


def _seconds(date: bytes) -> int | None:
    with suppress(Exception):  # the parser fails in many ways on dates that no program should have written
        parsed = parsedate_tz(date[:_LONGEST_DATE].decode("ascii", "replace"))
        return None if parsed is None else int(mktime_tz(parsed))
    return None
