"""What TOP sends of a message: the header, the blank line, and the first lines of the body (RFC 1939 section 7)."""

from __future__ import annotations

from typing import Final

__all__ = ["Excerpt"]

_LONGEST_BLANK: Final = 2  # octets of a line that may be the blank one: CR LF


class Excerpt:
    """Cuts a message that comes in chunks. Lines end with LF, or CRLF, as they are stored.

    Args:
        lines: how many lines of the body to let pass; more than it has is the whole message.
    """

    def __init__(self, lines: int) -> None:
        self.complete = False  # all that TOP sends has passed
        self._lines = lines
        self._in_header = True
        self._line = b""  # the start of the header line that the last chunk has left open

    def feed(self, chunk: bytes) -> bytes:
        """Return the part of a chunk that belongs to the excerpt."""
        end = self._end_of_header(chunk) if self._in_header else 0
        while not self._in_header and not self.complete:
            if self._lines == 0:
                self.complete = True
                break
            newline = chunk.find(b"\n", end)
            if newline < 0:
                return chunk
            self._lines -= 1
            end = newline + 1
        return chunk[:end] if self.complete else chunk

    def _end_of_header(self, chunk: bytes) -> int:
        """Return the offset behind the blank line, and note that the body begins; or the length of the chunk."""
        start = 0
        while (newline := chunk.find(b"\n", start)) >= 0:
            line = self._line + chunk[start : min(newline, start + _LONGEST_BLANK)]
            self._line = b""
            start = newline + 1
            if line in (b"", b"\r"):
                self._in_header = False
                return start
        self._line = (self._line + chunk[start : start + _LONGEST_BLANK])[:_LONGEST_BLANK]
        return len(chunk)
