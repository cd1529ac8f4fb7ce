"""The answers of a server, as a binary file: what `file` of a POP3 object is."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.text import excerpt

from .connection_file import ConnectionFile
from .errors import EndOfStream, Garbled, OutOfStep, SessionEnded, translated
from .pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import BinaryIO

    from pop3proto.core.limits import Limits

    from .borrower import Borrower

__all__ = ["AnswerFile"]

_END: Final = b"\r\n.\r\n"
_ERR: Final = b"-ERR"
_DOT: Final = ord(".")
_DOT_OF_LINE: Final = b"\r\n."
_MANY: Final = 64  # lines that begin with a dot, from which on other ways are faster
_HAVE_LINES: Final = frozenset({"RETR", "TOP", "LIST", "UIDL", "CAPA"})  # and may be shown
_MAY_HAVE_ENDED: Final = (
    ": it ended with a dot behind an LF without CR, or before one, which the author of a message could have written, "
    "so that it is not the end of one; the server is wrong if it has meant that"
)
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
        lines_behind: the command that is answered by lines behind it, if it is positive; else empty.
        crlf: the last line that was read ended with CRLF, not with LF alone; None: none was read since `expect_line`.
        strict: only CRLF ends a line of the body that is being read.
        client: the client beneath, which may have left answers unread; None: there is none.
    """

    broken: str | None

    def __init__(
        self, source: BinaryIO, sock: object, limits: Limits, receive: Callable[[int], bytes] | None = None
    ) -> None:
        super().__init__(source, sock, receive)
        self.due: int = 0
        self.expects_reply: bool = False
        self.lines_behind: str = ""
        self.crlf: bool | None = True
        self.strict: bool = False
        self._lines_due: str = ""  # what is answered by lines that were not read; until they are, it counts as broken
        self._lenient: bool = False  # LF alone parts them
        self.client: Borrower | None = None
        self._limits: Final = limits
        self._longest_reply: Final = limits.reply_line
        self._longest_line: Final = limits.body

    def check(self) -> None:
        """Refuse to go on where an answer could be taken for that to another command.

        What the client beneath has left of an answer is read first.

        Raises:
            OutOfStep: the server has said something that nothing asked for; or `broken` says why.
            SessionEnded: it has said `-ERR`, as servers do before they hang up.
            EndOfStream: it has hung up.
            Busy: the client is reading an answer.
        """
        if not self._data and self.broken is None and self.client is None and not self._waiting(0):
            return
        if self.due and self.broken is None:  # the caller pipelines by hand
            return
        if self.broken is None:
            self.settle()
        self.check_stream()

    def settle(self) -> None:
        """Read what the client beneath has left of an answer.

        Raises:
            Busy: it is being read.
            Pop3Error: it cannot be read to its end.
        """
        if self.client is not None:
            with translated():
                self.client.settle()

    def check_stream(self) -> None:
        """Raise what `check` raises for what has come, and for `broken`."""
        if self.broken is not None:
            raise OutOfStep(f"nothing was sent: {self.trouble}")
        if not self._data and self._waiting(0):
            self._look()
        if self._data:
            self._refuse_unasked()
        if self._ended:
            self.broken = "the server has closed the connection"
            error = EndOfStream("-ERR EOF")
            error.sent = False
            raise error

    def _refuse_unasked(self) -> None:
        """Raise what tells of the line that has begun to come."""
        if _ERR.startswith(self._data[self._start : self._start + len(_ERR)].upper()):
            with suppress(EndOfStream, Garbled, OSError):  # else the beginning must do
                self._rest_of_line(self._longest_reply)
        line = self._data[self._start :].splitlines()[0]
        self.broken = f"the server sent {excerpt(line)}, which nothing had asked for"
        if line[: len(_ERR)].upper() == _ERR:
            raise SessionEnded(line)
        raise OutOfStep(f"nothing was sent: {self.broken}")

    @property
    def trouble(self) -> str | None:
        """Why no command may be sent; None: one may."""
        if not self._lines_due:
            return self.broken
        command = self._lines_due if self._lines_due.partition(" ")[0].upper() in _HAVE_LINES else "a command"
        return f"the lines behind the answer to {command} were not read to their end"

    def surplus(self) -> bool:
        """Whether octets have come that were not read; it does not wait for any."""
        if not self._data and self._waiting(0):
            self._look()
        return bool(self._data)

    def take_the_place_of(self, before: AnswerFile) -> None:
        """Go on where another file for the same connection is; that one has nothing left to read."""
        for name in ("due", "broken", "expects_reply", "lines_behind", "crlf", "_lines_due", "_lenient"):
            setattr(self, name, getattr(before, name))
        waiting = self._waiting  # and what the other one reads, if this one reads by way of it
        self._waiting = lambda milliseconds: before._data or waiting(milliseconds)
        self._data, self._start, before._data, before._start = before._data, before._start, b"", 0

    @override
    def _before_reading(self) -> None:
        if self.broken is not None and not self._lines_due and not self._ended:
            raise OutOfStep(f"nothing was read: {self.broken}")
        if self.client is not None and self.client.unfinished:
            self.settle()

    def line(self) -> bytes:
        """Return the next line with its line end, which is CRLF or LF.

        Raises:
            EndOfStream: the server has closed the connection.
            OutOfStep: an earlier failure has left a part of it unread, or lost.
            Garbled: the line is longer than it may be.
            TimeoutError, OSError: it did not come in time, or the connection broke.
            Busy: the client beneath is reading an answer.
        """
        if self.client is not None or (self.broken is not None and not self._lines_due):
            self._before_reading()
        data, start = self._data, self._start
        most = self._longest_reply if self.expects_reply else self._longest_line
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
        if self.expects_reply:  # an interrupt before this leaves the answer due
            if self.lines_behind:
                self._note_lines(line)
            self.expects_reply = False
            if self.due:
                self.due -= 1
        elif self._lines_due:
            self._note_end(line)
        self.crlf = line[-2:] == b"\r\n"
        return line

    def note_reply(self, line: bytes = b"") -> None:
        """Note that a status line was read; empty: not by way of this file, nor will be what is behind it."""
        if self.lines_behind:
            self._note_lines(line)
        self.expects_reply = False
        self.due = max(0, self.due - 1)

    def _note_lines(self, reply: bytes) -> None:
        """Refuse commands until the lines behind this answer were read, up to that with a dot alone."""
        if reply[:1] == b"+" and self.broken is None:
            self._lines_due, self.broken, self._lenient = self.lines_behind, "", reply[-2:] != b"\r\n"
        self.lines_behind = ""

    def _note_end(self, line: bytes) -> None:
        if (line == b".\r\n" and self.crlf) or (self._lenient and line in {b".\r\n", b".\n"}):
            self.lines_were_read()

    def lines_were_read(self) -> None:
        """Note that the lines behind an answer were read to their end."""
        if self._lines_due:
            self._lines_due, self.broken = "", None

    @override
    def fail(self, error: BaseException) -> None:
        self.lines_were_read()  # there is more to say
        super().fail(error)

    def expect_line(self) -> None:
        """Forget how the last line ended, as the next one may be read by other ways."""
        self.crlf = None

    def _rest_of_line(self, most: int) -> int:
        """Read until there is a line end within `most` octets, and return the offset behind it."""
        until = self._deadline()
        data = bytearray(memoryview(self._data)[self._start :])
        searched = 0
        while not (end := data.find(b"\n", searched, most) + 1):
            if len(data) >= most:
                self._lines_due, self.broken = "", f"the server sent a line longer than {most:,} octets"
                raise Garbled(f"{self.broken}: {excerpt(bytes(data[:100]))}")
            searched = len(data)
            data += self._octets(until)
        self._data, self._start = bytes(data), 0
        return end

    @override
    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if self.expects_reply or (self.due == 1 and not self._lines_due and line[:1] in {b"+", b"-"}):
            self.note_reply(line)
        elif self._lines_due:
            self._note_end(line)
        self.crlf = line[-2:] == b"\r\n"
        return line

    @contextmanager
    def within_a_body(self, *, strict: bool = True) -> Generator[None]:
        """Let the limits of a body hold for all that is read in a block."""
        self._pace = Pace(self._timeout(), self._limits, len(self._data) - self._start)
        self.strict = strict
        try:
            yield
        finally:
            self._pace, self.strict = None, False

    def body(self) -> tuple[list[bytes], int]:
        """Return the lines of a body, un-stuffed and without their line ends, and how many octets they are with these.

        CRLF and a dot on a line end it. An LF alone also parts lines, as in `poplib`, but a dot between two does not
        end it: the sender of a message could have written that.

        Raises:
            EndOfStream, Garbled, TimeoutError, OSError: as `line`.
        """
        data, start = self._data, self._start
        if not data:
            data = self._data = self._octets()
        # Most come whole, with nothing behind them. To look from the end takes a fifth of the time.
        if data.endswith(_END) and data[start] != _DOT:
            dotless = data.rfind(_DOT_OF_LINE, start, -3) < 0
            octets = data[start:-3] if dotless else _unstuffed(data, start)
            if octets:
                self._data, self._start = b"", 0
                self._lines_due, self.broken = "", None
                return _split(octets)
        octets = self._rest_of_body()
        self._lines_due, self.broken = "", None
        return _lines_of(octets)

    def _rest_of_body(self) -> bytes:
        """Read to the end of a body, and return its octets, stuffed."""
        pieces: list[bytes] = []
        piece, last = self._data[self._start :], b"\r\n"  # the line end of the status line counts
        with self.within_a_body():
            while (joint := last + piece).rfind(_END) < 0:
                pieces.append(piece)
                last = joint[-_BEFORE:]
                try:
                    piece = self._octets()
                except (EndOfStream, TimeoutError) as error:
                    if last.endswith((b"\n.\r\n", b"\n.\n")):
                        raise type(error)(f"{error}{_MAY_HAVE_ENDED}") from error
                    raise
        end = joint.find(_END)
        self._data, self._start = piece, 0
        self._consume(end + len(_END) - len(last))
        left = end + 2 - len(last)  # octets of this piece in the body; negative: so many of those before are not
        if left > 0:
            pieces.append(piece[:left])
        octets = b"".join(pieces)
        return octets[:left] if left < 0 else octets


def _unstuffed(data: bytes, start: int) -> bytes:
    """Return the octets of a body that does not begin with a dot, un-stuffed; none, if other ways are needed.

    Args:
        data: ends with the line that ends a body.
        start: where the body begins; it may end before.
    """
    pieces: list[bytes] = []
    at = end = len(data) - 3
    while (at := data.rfind(_DOT_OF_LINE, start, at)) >= 0:
        behind = data[at + 3 : at + 5]
        if behind == b"\r\n" or len(pieces) == _MANY:
            return b""
        if behind[:1] == b".":
            pieces.append(data[at + 3 : end])
            end = at + 2
    pieces.append(data[start:end])
    return b"".join(reversed(pieces))


def _lines_of(octets: bytes) -> tuple[list[bytes], int]:
    """Return the lines of a body as it came, and its octets without the dots that were stuffed."""
    if octets.startswith(b"..") or octets.rfind(b"\r\n..") >= 0:
        octets = (b"\r\n" + octets).replace(b"\r\n..", b"\r\n.")[2:]
    return _split(octets)


def _split(octets: bytes) -> tuple[list[bytes], int]:
    """Return the lines of a body that ends with CRLF, un-stuffed, and its octets."""
    lines, size = octets.splitlines(), len(octets)
    # To split at CR and LF as well, and to check, takes half the time of splitting at CRLF.
    if len(b"\r\n".join(lines)) + 2 != size:  # a CR or an LF stands alone, or there is no line
        lines = octets.replace(b"\r\n", b"\n").split(b"\n")
        lines.pop()  # what is behind the last line end
    return lines, size
