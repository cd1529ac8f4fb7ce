"""The format of an mbox, as "mboxrd": what a message looks like in it. Pure."""

from __future__ import annotations

import re
import time
from typing import Final

from pop3proto.fetching.header import HeaderDigest
from pop3proto.maildrops.line_ends import lines_with_lf

from .stubs import without_first_line

__all__ = ["EntryReader", "MboxEncoder", "UnixLines", "from_line"]

# What is quoted with one more ">" in front, so that it does not look like the first line of an entry; and the reverse.
_TO_QUOTE: Final = re.compile(rb"^(?=>*From )", re.MULTILINE)
_QUOTED: Final = re.compile(rb"^>(?=>*From )", re.MULTILINE)
# The start of a line of which more octets decide whether it is one of these.
_UNDECIDED: Final = re.compile(rb">*(?:F(?:r(?:om?)?)?)?")
# A longer start of a line is taken to be decided: nobody means more ">" than that.
_LONGEST_START: Final = 1 << 16


def from_line(sender: str, seconds: float) -> bytes:
    """Return the first line of an entry.

    Args:
        sender: what stands in place of the sender, without blanks.
        seconds: the time since 1970.
    """
    return f"From {sender} {time.asctime(time.gmtime(seconds))}\n".encode("ascii")


class UnixLines:
    """Turns the line ends of a message from CRLF to LF, as its octets arrive."""

    __slots__ = ("_ends_line", "_held")

    def __init__(self) -> None:
        self._held = b""  # a CR at the end: it may be part of a line end
        self._ends_line = True

    def feed(self, octets: bytes) -> bytes:
        """Return the next octets with LF line ends."""
        data = self._held + octets
        self._held = b"\r" if data.endswith(b"\r") else b""
        data = data.removesuffix(b"\r")
        lines = lines_with_lf(data)
        data = data.replace(b"\r\n", b"\n") if lines is None else lines
        if data:
            self._ends_line = data.endswith(b"\n")
        return data

    def finish(self) -> bytes:
        """Return the rest of a message: the last line gets a line end if it has none."""
        return self._held + (b"" if self._ends_line and not self._held else b"\n")


class _LineStarts:
    """Changes the starts of some lines, wherever the octets are cut."""

    __slots__ = ("_at_line_start", "_change", "_held", "_new")

    def __init__(self, change: re.Pattern[bytes], new: bytes) -> None:
        self._change = change
        self._new = new
        self._held = b""  # the start of the last line, while it is not decided
        self._at_line_start = True

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets
        start = data.rfind(b"\n") + 1
        open_start = bool(start) or self._at_line_start
        if open_start and len(data) - start < _LONGEST_START and _UNDECIDED.fullmatch(data, start):
            self._held = data[start:]
            return self._changed(data[:start])
        self._held = b""
        return self._changed(data)

    def finish(self) -> bytes:
        rest, self._held = self._held, b""
        return rest

    def _changed(self, data: bytes) -> bytes:
        if not data:
            return data
        at_line_start, self._at_line_start = self._at_line_start, data.endswith(b"\n")
        if b"From " not in data:
            return data
        if at_line_start:
            return self._change.sub(self._new, data)
        first, line_end, rest = data.partition(b"\n")
        return first + line_end + self._change.sub(self._new, rest)


class MboxEncoder:
    """Makes an entry from a message, as its octets arrive; the first line of the entry is the caller's."""

    __slots__ = ("_lines", "_quoting", "octets")

    def __init__(self) -> None:
        self._lines = UnixLines()
        self._quoting = _LineStarts(_TO_QUOTE, b">")
        self.octets: int = 0
        """Octets of the message on the wire so far, where each line end is CRLF and the last line has one."""

    def feed(self, octets: bytes) -> bytes:
        """Return the next octets of the entry."""
        return self._quote(self._lines.feed(octets))

    def finish(self) -> bytes:
        """Return the rest of the entry, with the empty line behind it."""
        return self._quote(self._lines.finish()) + self._quoting.finish() + b"\n"

    def _quote(self, data: bytes) -> bytes:
        self.octets += len(data) + data.count(b"\n")
        return self._quoting.feed(data)


class EntryReader:
    """Finds out what message an entry holds, as its octets are read, without the first line.

    Args:
        is_stub: it holds a header with a line on top, which is no part of the digest.
    """

    __slots__ = ("_before", "_digest", "_is_first", "_line_end", "_quoting", "_stub", "octets")

    def __init__(self, *, is_stub: bool = False) -> None:
        self._quoting = _LineStarts(_QUOTED, b"")
        self._digest = HeaderDigest()
        self._stub = is_stub
        self._is_first = True
        self._line_end = b""  # an LF at the end of the octets so far: it may be the empty line behind the entry
        self._before = b"\n"  # the octet before it
        self.octets: int = 0
        """Octets of the message on the wire."""

    @property
    def header(self) -> str:
        """The digest of its header."""
        return self._digest.digest

    @property
    def header_ended(self) -> bool:
        """Whether the header is there to its end."""
        return self._digest.ended

    def feed(self, octets: bytes) -> None:
        """Take the next octets of the entry."""
        self._take(self._quoting.feed(octets))

    def finish(self) -> None:
        """Note that the entry has ended: an empty line at its end is not part of the message."""
        self._take(self._quoting.finish())
        if self._line_end and self._before != b"\n":
            self._count(self._line_end)

    def _take(self, data: bytes) -> None:
        if not data:
            return
        data = self._line_end + data
        self._line_end = b"\n" if data.endswith(b"\n") else b""
        data = data.removesuffix(b"\n")
        if data:
            self._before = data[-1:]
            self._count(data)

    def _count(self, data: bytes) -> None:
        self.octets += len(data) + data.count(b"\n")
        header = without_first_line(data) if self._stub and self._is_first else data
        self._digest.feed(header.replace(b"\n", b"\r\n"))  # in an mbox, a CR in front of it is part of the line
        self._is_first = False
