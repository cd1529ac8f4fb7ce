"""The receive buffer: octets in, CRLF lines out.

It searches each octet once, however the stream was cut, and copies a chunk only when a line lies across its border.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import LocalProtocolError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LineTooLong", "ReceiveBuffer"]


class LineTooLong(Exception):
    """No CRLF within the first `limit` octets."""


class ReceiveBuffer:
    """Octets that have arrived and are not yet consumed."""

    __slots__ = ("_data", "_searched", "_start", "ended")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""  # bytes as they came; a bytearray once something had to be joined
        self._start = 0  # before it, all is consumed
        self._searched = 0  # before it, and behind start, no CRLF begins
        self.ended = False  # end of stream was seen

    def __len__(self) -> int:
        """Return how many octets wait."""
        return len(self._data) - self._start

    def feed(self, data: Buffer) -> None:
        """Take in what arrived; an empty buffer is end of stream.

        Raises:
            LocalProtocolError: octets after end of stream.
        """
        octets = data if type(data) is bytes else memoryview(data).tobytes()
        if not octets:
            self.ended = True
        elif self.ended:
            raise LocalProtocolError("octets were received after end of stream")
        elif self._start == len(self._data):
            self._data = octets
            self._start = self._searched = 0
        else:
            self._join(octets)

    def _join(self, octets: bytes) -> None:
        # A bytearray grows in place, and loses its beginning without a copy of the rest: a line that arrives octet by
        # octet costs linear time, and what is consumed goes even if the stream is never cut at the end of a line.
        if isinstance(self._data, bytes):
            self._data = bytearray(memoryview(self._data)[self._start :])
        else:
            del self._data[: self._start]
        self._searched -= self._start
        self._start = 0
        self._data += octets

    def next_line(self, limit: int) -> bytes | None:
        """Return the next line without its CRLF, or None if it has not arrived.

        Args:
            limit: the most octets that the line may have, CRLF included.

        Raises:
            LineTooLong: it has more. Nothing is consumed.
        """
        start = self._start
        end = self._data.find(b"\r\n", self._searched, start + limit)
        if end < 0:
            if len(self) >= limit:
                raise LineTooLong
            self._searched = max(start, len(self._data) - 1)  # the last octet may be the CR
            return None
        line = bytes(self._data[start:end])
        self.consume(end + 2)
        return line

    def skip_line(self) -> bool:
        """Drop octets up to the end of the line, its CRLF included; return whether the end has arrived."""
        end = self._data.find(b"\r\n", self._searched)
        if end >= 0:
            self._start = self._searched = end + 2
            return True
        self._data = b"\r" if self._data.endswith(b"\r") and len(self) else b""
        self._start = self._searched = 0
        return False

    def peek(self) -> tuple[bytes, int]:
        """Return (data, offset): what waits is `data[offset:]`. Follow with `consume`."""
        if isinstance(self._data, bytearray):
            self._data = bytes(memoryview(self._data)[self._start :])
            self._start = self._searched = 0
        return self._data, self._start

    def consume(self, offset: int) -> None:
        """Drop the octets before `offset` of the data that `peek` returned."""
        if offset == len(self._data):  # let go of it: a password may be in it, and it may be large
            self._data, offset = b"", 0
        self._start = self._searched = offset
