"""Standard error as a place for the lines of a log. It stops no session, whether or not anything reads it."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .handlers import LineHandler

if TYPE_CHECKING:
    import logging

__all__ = ["StderrLines"]

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_PATIENCE: Final = 200  # milliseconds that a reader has, until a line is lost; then none, until one is written again


class StderrLines(LineHandler):
    """Writes to standard error as it is when this is made. What cannot be written soon is lost."""

    def __init__(self) -> None:
        self._descriptor: Final = _own_descriptor()
        self._torn = False  # the last line was written in part
        super().__init__()

    @override
    def close(self) -> None:
        """Close the descriptor, which is not that of the process."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        super().close()

    @override
    def _write(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        if self._descriptor is None:
            with suppress(ValueError):  # it was closed
                sys.stderr.write(line)
                sys.stderr.flush()
            return
        octets = (b"\n" if self._torn else b"") + line.encode("utf-8", "backslashreplace")
        done = 0
        while done < len(octets):
            self._torn = self._torn or done > 0
            self._wait(self._descriptor)
            # No more than a pipe takes at once without waiting.
            done += os.write(self._descriptor, octets[done : done + select.PIPE_BUF])
        self._torn = False

    def _wait(self, descriptor: int) -> None:
        """Wait for a reader, for a while.

        Raises:
            BlockingIOError: nothing reads.
        """
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if not poll.poll(0 if self.lost else _PATIENCE):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _own_descriptor() -> int | None:
    """Return a descriptor for standard error; None: it has none.

    That of the process is shared with other programs, so it cannot be set to "do not wait". A pipe and a terminal can
    be opened anew. A file has to be shared for its offset; a socket, or what is another user's, cannot be opened.
    """
    try:
        shared = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    mode = os.fstat(shared).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):
            return os.open(f"/proc/self/fd/{shared}", _FLAGS)
    return os.dup(shared)
