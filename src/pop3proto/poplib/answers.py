"""The answers of a server, as a binary file: what `file` of a POP3 object is."""

from __future__ import annotations

import math
import re
from time import monotonic
from typing import TYPE_CHECKING, Final

from pop3proto.core.text import excerpt

from .connection_file import ConnectionFile
from .errors import CommandRefused, EndOfStream, Garbled, OutOfStep

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from pop3proto.core.limits import Limits

__all__ = ["AnswerFile"]

_END: Final = b"\r\n.\r\n"
_DOT: Final = ord(".")
_CR: Final = ord("\r")
_DOT_OF_LINE: Final = 3  # octets of CRLF and a dot
_leading_dots: Final = re.compile(rb"\n\.").finditer
_MANY: Final = 64  # lines that begin with a dot, from which on other ways are faster
_BEFORE: Final = len(_END) - 1  # octets of one read that may begin an end which the next one continues


class AnswerFile(ConnectionFile):
    """What the server sends, as a binary file. Octets that come behind an answer stay in it, and are read next.

    Once an answer was not read to its end, `check` refuses every further command: what comes would pass for its answer.

    Args:
        source: reads the connection: what `makefile("rb")` returns, or what a program has put in its place.
        sock: its socket, whose timeout bounds each answer.
        limits: how long a status line may be, how large a body, and how slow.
        receive: reads the connection once, if nothing of it can be in a buffer of `source`.

    Attributes:
        due: how many commands have been sent whose status line was not read.
        expects_reply: the next line is a status line.
        crlf: the last line that was read ended with CRLF, not with LF alone.
    """

    broken: str | None

    def __init__(
        self, source: BinaryIO, sock: object, limits: Limits, receive: Callable[[int], bytes] | None = None
    ) -> None:
        super().__init__(source, sock, receive)
        self.due: int = 0
        self.expects_reply: bool = False
        self.crlf: bool = True
        self._limits: Final = limits
        self._longest_reply: Final = limits.reply_line
        self._longest_line: Final = limits.body

    def check(self) -> None:
        """Refuse to go on where an answer could be taken for that to another command.

        Raises:
            OutOfStep: the server has said something that nothing asked for; or `broken` says why.
            CommandRefused: it has said `-ERR`, as servers do before they hang up.
            EndOfStream: it has hung up.
        """
        if self.broken is None and not self._data and not self._waiting():
            return
        if self.broken is not None:
            raise OutOfStep(f"nothing was sent: {self.broken}")
        if self.due:  # the caller pipelines by hand
            return
        if not self._data:
            self._look()
        if self._data:
            self._refuse_unasked()
        if self._ended:
            self.broken = "the server has closed the connection"
            error = EndOfStream("-ERR EOF")
            error.sent = False
            raise error

    def _refuse_unasked(self) -> None:
        line = self._data[self._start :].splitlines()[0]
        self.broken = f"the server sent {excerpt(line)}, which nothing had asked for"
        if line[:4].upper() == b"-ERR":
            raise CommandRefused(line)
        raise OutOfStep(f"nothing was sent: {self.broken}")

    def surplus(self) -> bool:
        """Whether octets have come that were not read; it does not wait for any."""
        if not self._data and self._waiting():
            self._look()
        return bool(self._data)

    def line(self) -> bytes:
        """Return the next line with its line end, which is CRLF or LF.

        Raises:
            EndOfStream: the server has closed the connection.
            Garbled: the line is longer than it may be.
            TimeoutError, OSError: it did not come in time, or the connection broke.
        """
        data, start, most = self._data, self._start, self._longest_line
        if self.expects_reply:
            self.expects_reply = False
            if self.due:
                self.due -= 1
            most = self._longest_reply
        if not data:
            data = self._data = self._octets()
        end = data.find(b"\n", start, start + most) + 1
        if not end:
            end = self._rest_of_line(most)
            data, start = self._data, 0
        line = data[start:end]
        if end == len(data):
            self._data, self._start = b"", 0
        else:
            self._start = end
        self.crlf = line[-2:] == b"\r\n"
        return line

    def _rest_of_line(self, most: int) -> int:
        """Read until there is a line end within `most` octets, and return the offset behind it."""
        until = self._deadline()
        data = bytearray(memoryview(self._data)[self._start :])
        searched = 0
        while not (end := data.find(b"\n", searched, most) + 1):
            if len(data) >= most:
                self.broken = f"the server sent a line longer than {most:,} octets"
                raise Garbled(f"{self.broken}: {excerpt(bytes(data[:100]))}")
            searched = len(data)
            data += self._octets(until)
        self._data, self._start = bytes(data), 0
        return end

    def body(self) -> tuple[list[bytes], int]:
        """Return the lines of a body, un-stuffed and without their line ends, and how many octets they are with these.

        CRLF and a dot on a line end it. An LF alone also parts lines, as in `poplib`, but a dot between two does not
        end it: the sender of a message could have written that.

        Raises:
            EndOfStream, Garbled, TimeoutError, OSError: as `line`.
        """
        if not self._data:
            self._data = self._octets()
        data, start = self._data, self._start
        if data[start] == _DOT:  # of the first line; most messages have none there
            return _lines_of(self._rest_of_body())
        pieces: list[bytes] = []
        begin = start
        for match in _leading_dots(data, start):
            end = match.end()
            if end < start + _DOT_OF_LINE or data[end - _DOT_OF_LINE] != _CR:
                continue
            behind = data[end : end + 2]
            if behind == b"\r\n":
                if end + 2 == len(data):
                    self._data, self._start = b"", 0
                else:
                    self._start = end + 2
                pieces.append(data[begin : end - 1])
                return _split(b"".join(pieces) if begin > start else pieces[0])
            if behind[:1] == b".":
                pieces.append(data[begin:end])
                begin = end + 1
                if len(pieces) > _MANY:
                    break
        return _lines_of(self._rest_of_body())

    def _rest_of_body(self) -> bytes:
        """Read to the end of a body, and return its octets, stuffed."""
        pieces: list[bytes] = []
        piece, last, size = self._data[self._start :], b"\r\n", 0  # the line end of the status line counts
        pace = _Pace(self._timeout(), self._limits.least_rate)
        while (end := (joint := last + piece).find(_END)) < 0:
            pieces.append(piece)
            size += len(piece)
            if size > self._limits.body:
                self.broken = f"the server sent a body of more than {self._limits.body:,} octets"
                raise Garbled(self.broken)
            last = joint[-_BEFORE:]
            piece = self._octets(pace.until())
            pace.count(len(piece))
        self._data, self._start = piece, 0
        self._consume(end + len(_END) - len(last))
        return ((b"\r\n" + b"".join(pieces))[: -len(last)] + joint[: end + 2])[2:]


class _Pace:
    """Until when to wait for the next octets of a body: every timeout must bring a least number of them."""

    def __init__(self, timeout: float | None, least_rate: int) -> None:
        self._timeout = timeout
        self._least = math.ceil(least_rate * (timeout or 0))
        self._came = 0
        self._end = None if timeout is None else monotonic() + timeout

    def until(self) -> float | None:
        return self._end

    def count(self, octets: int) -> None:
        self._came += octets
        if self._timeout is not None and self._came >= self._least:
            self._came, self._end = 0, monotonic() + self._timeout


def _lines_of(octets: bytes) -> tuple[list[bytes], int]:
    """Return the lines of a body as it came, and its octets without the dots that were stuffed."""
    if octets.startswith(b"..") or b"\r\n.." in octets:
        octets = (b"\r\n" + octets).replace(b"\r\n..", b"\r\n.")[2:]
    return _split(octets)


def _split(octets: bytes) -> tuple[list[bytes], int]:
    """Return the lines of a body that ends with CRLF, un-stuffed, and its octets."""
    # Two steps that look for one octet each, and a check, take half the time of looking for CRLF and for others.
    lines = octets.replace(b"\r", b"").split(b"\n")
    if b"\r\n".join(lines) != octets:  # a CR or an LF stands alone
        lines = octets.replace(b"\r\n", b"\n").split(b"\n")
    lines.pop()  # what is behind the last line end
    return lines, len(octets)
