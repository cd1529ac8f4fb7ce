"""Standard output, or any other stream, as a destination of a fetch."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, BinaryIO, Final

from typing_extensions import override

from pop3proto._io.new_files import named
from pop3proto.fetching.destination import NotTaken

from .each import DeliverEach, Delivered
from .mbox_format import MboxEncoder, from_line

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["StdoutDestination"]

_CHUNK: Final = 1 << 16


class StdoutDestination(DeliverEach):
    """Writes messages to a stream, as an mbox, or one message alone as it is.

    A message counts as delivered when the stream has been flushed, and, if it is a file, synced to disk.

    Args:
        stream: `sys.stdout.buffer`, or another.
        bare: write one message as it was received, octet for octet. Further messages are not taken.
        name: what the stream is called in messages.
    """

    def __init__(self, stream: BinaryIO, *, bare: bool = False, name: str = "standard output") -> None:
        self.name = name
        self._stream = stream
        self._bare = bare
        self._written = False

    @override
    def deliver(self, message: Delivered, /) -> None:
        if self._bare and self._written:
            raise NotTaken(f"{self.name} takes one message only")
        self._written = True
        try:
            with message.open() as file:
                pieces = iter(lambda: file.read(_CHUNK), b"")
                for piece in pieces if self._bare else _entry(pieces):
                    self._write(piece)
            self._stream.flush()
            self._sync()
        except BrokenPipeError:
            raise NotTaken(f"{self.name} was closed by its reader", later=True) from None
        except OSError as error:
            raise named(error, self.name) from error

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) or 0 :]  # one without a buffer may write less

    def _sync(self) -> None:
        try:
            descriptor = self._stream.fileno()
        except (OSError, AttributeError):  # one in memory
            return
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)


def _entry(pieces: Iterator[bytes]) -> Iterator[bytes]:
    encoder = MboxEncoder()
    yield from_line("pop3proto", time.time())
    for piece in pieces:
        yield encoder.feed(piece)
    yield encoder.finish()
