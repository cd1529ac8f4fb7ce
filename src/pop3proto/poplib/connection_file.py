"""A connection as a binary file, of which nothing that was received and not read is lost."""

from __future__ import annotations

import io
import math
import ssl
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from pop3proto.core.errors import TimedOut

from .errors import EndOfStream
from .sockets import as_socket, reader_of, waiting

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from typing_extensions import Buffer

    from .pace import Pace

__all__ = ["LONG", "SHORT", "ConnectionFile"]

SHORT: Final = 8_192
"""Octets of one read where a line is expected."""
LONG: Final = 122_880
"""Octets of one read where more is expected: most messages come at once. For 128 KiB or more, the C library asks the
system for memory each time, which takes longer than reading."""


class ConnectionFile:
    """What comes over a connection, as a binary file, which counts as an `io.BufferedIOBase`.

    It does not inherit from it, as attributes are found slowly then. It has the methods that read; no `seek`, `tell`,
    `detach` and `raw`.

    Args:
        source: reads the connection: what `makefile("rb")` returns, or what a program has put in its place.
        sock: its socket, whose timeout bounds each read.
        receive: reads the connection once, if nothing of it can be in a buffer of `source`.

    Attributes:
        broken: why nothing can be made of what comes; None: nothing is wrong.
        read_size: octets to ask for at once.
        sock: as it was given; or another one that a program has put in its place, for the same connection.
    """

    def __init__(self, source: BinaryIO, sock: object, receive: Callable[[int], bytes] | None = None) -> None:
        self.broken: str | None = None
        self.read_size: int = SHORT
        self.sock: object = sock
        self._source: Final = source
        self._sock: Final = as_socket(sock)
        self._receive: Final = receive or reader_of(source, self._sock)
        self._data = b""
        self._start = 0  # octets before this offset were read
        self._ended: bool = False
        self._closed: bool = False
        self._pace: Pace | None = None  # of the body that is being read
        self._waiting: Callable[[int], object] = waiting(source, self._sock)

    @property
    def socket(self) -> socket.socket | None:
        """The socket whose timeout counts; None: there is none, as of a file that is not read from one."""
        return self._sock

    def fail(self, error: BaseException) -> None:
        """Note that an answer, or a command, was not finished."""
        if self.broken is None:
            self.broken = f"an earlier failure, {type(error).__name__}: {error}".removesuffix(": ")

    def _octets(self, until: float | None = None) -> bytes:
        """Read once; at least one octet.

        Args:
            until: when to give up; None: the socket's own timeout counts. Within a body its pace counts.
        """
        pace = self._pace
        try:
            if pace is not None:
                until = pace.until()
            octets = self._receive(self.read_size) if until is None else self._read_until(until)
        except BaseException as error:
            self.fail(error)
            raise
        if not octets:
            end = EndOfStream("-ERR EOF")
            self.fail(end)
            self._ended, self.broken = True, "the server has closed the connection"
            raise end
        if pace is not None:
            pace.count(len(octets))
        return octets

    def receive(self, size: int) -> bytes:
        """Return some of the next octets, as `recv` of a socket does; none at the end of the stream."""
        return self._take(size) if self._fill(max(size, SHORT)) else b""

    def _take(self, size: int) -> bytes:
        end = len(self._data) if size < 0 else min(self._start + size, len(self._data))
        octets = self._data[self._start : end]
        self._consume(end)
        return octets

    def _read_until(self, until: float) -> bytes:
        sock, before = self._sock, self._timeout()
        left = until - monotonic()
        if left <= 0:
            raise TimedOut("the server was too slow")
        if sock is None or before is None:
            return self._receive(self.read_size)
        sock.settimeout(left)
        try:
            return self._receive(self.read_size)
        finally:
            with suppress(OSError):
                sock.settimeout(before)

    def _look(self) -> None:
        """Read what has come, without waiting."""
        sock = self._sock
        if sock is None:
            return
        before = sock.gettimeout()
        sock.settimeout(0)
        try:
            octets = self._receive(self.read_size)
        except (BlockingIOError, ssl.SSLWantReadError):  # of TLS something has come, and nothing that it carries
            return
        except OSError:  # the next read says so
            return
        finally:
            with suppress(OSError):
                sock.settimeout(before)
        self._ended = not octets
        self._data, self._start = octets, 0

    def _deadline(self) -> float | None:
        timeout = self._timeout()
        return None if timeout is None else monotonic() + timeout

    def _timeout(self) -> float | None:
        return None if self._sock is None else self._sock.gettimeout()

    def _consume(self, offset: int) -> None:
        if offset == len(self._data):
            self._data, self._start = b"", 0
        else:
            self._start = offset

    # A file.

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def writable(self) -> bool:
        """Return that nothing can be written to it."""
        return False

    def seekable(self) -> bool:
        """Return that there is no way back."""
        return False

    def isatty(self) -> bool:
        """Return that it is no terminal."""
        return False

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def fileno(self) -> int:
        """Return the descriptor of what it reads from."""
        return self._source.fileno()

    def close(self) -> None:
        """Close it, and what it reads from."""
        self._closed = True
        self._source.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines that are left, as `readline` returns them."""
        return iter(self.readline, b"")

    def __next__(self) -> bytes:
        """Return the next line."""
        if line := self.readline():
            return line
        raise StopIteration

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return the lines that are left; or, once they have `hint` octets, no more of them."""
        lines: list[bytes] = []
        left = math.inf if hint is None or hint <= 0 else hint
        while left > 0 and (line := self.readline()):
            lines.append(line)
            left -= len(line)
        return lines

    def read1(self, size: int = -1, /) -> bytes:
        """Return some of the next octets: what is there, or else what one read brings; none at the end."""
        self._before_reading()
        return self.receive(size)

    def _before_reading(self) -> None:
        """Do what must be done before a program takes octets."""

    def _fill(self, size: int = SHORT) -> bool:
        """Read so many octets at most, unless something is there; return whether something is there now."""
        if not self._data and not self._ended:
            self.read_size = size
            with suppress(EndOfStream):
                self._data = self._octets()
            self.read_size = SHORT
        return bool(self._data)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return so many octets, fewer only at the end of the stream; negative: all up to there."""
        left = math.inf if size is None or size < 0 else size
        pieces: list[bytes] = []
        while left and (piece := self.read1(-1 if left == math.inf else int(left))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next octets up to an LF, `size` at most; fewer at the end of the stream."""
        self._before_reading()
        left = math.inf if size is None or size < 0 else size
        pieces: list[bytes] = []
        while left > 0 and self._fill():
            start = self._start
            end = int(min(self._data.find(b"\n", start) + 1 or len(self._data), start + left))
            pieces.append(self._data[start:end])
            self._consume(end)
            left -= end - start
            if pieces[-1].endswith(b"\n"):
                break
        return b"".join(pieces)

    def peek(self, size: int = 0, /) -> bytes:  # noqa: ARG002 - as that of any buffered file
        """Return the next octets without reading them: as many as are there, or else as one read brings."""
        self._before_reading()
        self._fill()
        return self._data[self._start :]

    def _into(self, buffer: Buffer, read: Callable[[int], bytes]) -> int:
        view = memoryview(buffer).cast("B")
        octets = read(len(view))
        view[: len(octets)] = octets
        return len(octets)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer, and return how many octets there are; fewer than it holds only at the end of the stream."""
        return self._into(buffer, self.read)

    def readinto1(self, buffer: Buffer, /) -> int:
        """As `read1`, into a buffer; return how many octets."""
        return self._into(buffer, self.read1)


io.BufferedIOBase.register(ConnectionFile)
