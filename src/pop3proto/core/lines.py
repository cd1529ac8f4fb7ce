"""The receive buffer of a connection: octets in, CRLF lines out.

It searches each octet once, whatever the chunk sizes, and copies a chunk only if a line continues in the next one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .errors import LocalProtocolError
from .limits import Quirk

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BareLf", "CommandBuffer", "Deviation", "LenientBuffer", "LineTooLong", "ReceiveBuffer"]

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class LineTooLong(Exception):
    """There is no CRLF within the first `limit` octets of the buffer."""


class BareLf(Exception):
    """A line ended with LF alone. It is consumed.

    Attributes:
        line: the line without its LF.
    """

    def __init__(self, line: bytes) -> None:
        super().__init__()
        self.line = line


class Deviation(Exception):
    """A deviation was met that is tolerated.

    Attributes:
        quirk: the deviation.
    """

    def __init__(self, quirk: Quirk) -> None:
        super().__init__()
        self.quirk = quirk


class ReceiveBuffer:
    """Octets that were received and not yet consumed.

    Attributes:
        ended: end of stream was received.
        filled: there are unconsumed octets. Reading it is faster than `len`.
        deviating: `next_line` will raise `Deviation`, at this line or a later one.
    """

    __slots__ = ("_data", "_searched", "_start", "deviating", "ended", "filled")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""  # bytes as received; a bytearray once chunks were joined
        self._start = 0  # octets before this offset are consumed
        self._searched = 0  # no CRLF begins between _start and this offset
        self.ended: bool = False
        self.filled: bool = False
        self.deviating: bool = False

    def __len__(self) -> int:
        """Return the number of unconsumed octets."""
        return len(self._data) - self._start

    def feed(self, data: Buffer) -> None:
        """Append received octets; an empty buffer means end of stream.

        Raises:
            LocalProtocolError: the stream has ended already. Nothing has changed.
        """
        octets = data if type(data) is bytes else memoryview(data).tobytes()
        if not octets:
            self.ended = True
        elif self.ended:
            raise LocalProtocolError("data received after end of stream")
        elif self.filled:
            self._join(octets)
        else:
            self._data = octets
            self._start = self._searched = 0
            self.filled = True

    def _join(self, octets: bytes) -> None:
        # A bytearray grows in place, and its start is deleted without a copy of the rest. So a line that arrives octet
        # by octet costs linear time, and consumed octets are freed even if no chunk ends at the end of a line.
        if isinstance(self._data, bytes):
            self._data = bytearray(memoryview(self._data)[self._start :])
        else:
            del self._data[: self._start]
        self._searched -= self._start
        self._start = 0
        self._data += octets

    def next_line(self, limit: int) -> bytes | None:
        """Return the next line without its CRLF, or None if it is not complete.

        Args:
            limit: the maximum length of the line in octets, including CRLF.

        Raises:
            LineTooLong: the line is longer. Nothing is consumed.
        """
        data, start = self._data, self._start
        end = data.find(b"\r\n", self._searched, start + limit)
        if end < 0:
            if len(data) - start >= limit:
                raise LineTooLong
            self._searched = max(start, len(data) - 1)  # the last octet may be the CR
            return None
        self.consume(end + 2)
        return bytes(data[start:end])

    def skip_line(self) -> bool:
        """Drop octets up to and including the next CRLF; return whether a CRLF was found."""
        end = self._data.find(b"\r\n", self._searched)
        if end >= 0:
            self.consume(end + 2)
            return True
        self._data = b"\r" if self._data.endswith(b"\r") else b""
        self._start = self._searched = 0
        self.filled = bool(self._data)
        return False

    def peek(self) -> tuple[bytes, int]:
        """Return (data, offset), where `data[offset:]` are the unconsumed octets. Call `consume` afterwards."""
        if isinstance(self._data, bytearray):
            self._data = bytes(memoryview(self._data)[self._start :])
            self._start = self._searched = 0
        return self._data, self._start

    def consume(self, offset: int) -> None:
        """Drop the octets before `offset` of the data that `peek` returned."""
        if offset == len(self._data):  # free it: it may be large, and may contain a password
            self._data, offset = b"", 0
            self.filled = False
        self._start = self._searched = offset


class CommandBuffer(ReceiveBuffer):
    """The receive buffer of a server: a line that ends with LF alone is known at once, not when a CRLF follows."""

    __slots__ = ()

    @override
    def next_line(self, limit: int) -> bytes | None:
        """Return the next line without its CRLF, or None if it is not complete.

        Raises:
            LineTooLong: as the base class.
            BareLf: the line ends with LF alone. It is consumed.
        """
        start = self._start
        end = self._data.find(b"\n", self._searched, start + limit)
        if end < 0:
            if len(self) >= limit:
                raise LineTooLong
            self._searched = len(self._data)
            return None
        line = bytes(self._data[start:end])
        self.consume(end + 1)
        if line.endswith(b"\r"):
            return line[:-1]
        raise BareLf(line)

    @override
    def skip_line(self) -> bool:
        """Drop octets up to and including the next LF; return whether one was found."""
        end = self._data.find(b"\n", self._searched)
        self.consume(len(self._data) if end < 0 else end + 1)
        return end >= 0


class LenientBuffer(ReceiveBuffer):
    """A receive buffer in which LF alone counts as CRLF: it becomes CRLF when it is received."""

    __slots__ = ("_after_cr", "_fed", "_first")

    def __init__(self) -> None:
        super().__init__()
        self._after_cr = False  # the last octet received is CR
        self._fed = 0  # octets that were ever buffered
        self._first: int | None = None  # how many of these come before the first LF that counted as CRLF

    @override
    def feed(self, data: Buffer) -> None:
        octets = memoryview(data).tobytes()
        rest = octets[1:] if self._after_cr and octets.startswith(b"\n") else octets
        lines = octets
        if rest.count(b"\n") != rest.count(b"\r\n"):  # to find which one takes thirty times as long
            lines = octets[: len(octets) - len(rest)] + _BARE_LF.sub(b"\r\n", rest)
        super().feed(lines)
        if self._first is None and len(lines) > len(octets):
            first = _BARE_LF.search(rest)
            assert first is not None  # noqa: S101 - something was replaced
            self._first = self._fed + len(octets) - len(rest) + first.start()
            self.deviating: bool = True
        self._fed += len(lines)
        self._after_cr = octets.endswith(b"\r")

    @override
    def next_line(self, limit: int) -> bytes | None:
        """Return the next line without its CRLF, or None if it is not complete.

        Raises:
            LineTooLong: as the base class.
            Deviation: once, when an LF has counted as CRLF in this line or before it. Nothing is consumed.
        """
        data, start = self._data, self._start
        line = super().next_line(limit)
        if self.deviating and line is not None and self._first is not None and self._first < self._fed - len(self):
            self._data, self._start, self._searched = data, start, start
            self.filled = True
            self.deviating = False
            raise Deviation(Quirk.BARE_LF)
        return line
