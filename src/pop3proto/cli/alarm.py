"""Waiting for signals, for other threads, and for the time, all at once and without polling."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import FrameType

__all__ = ["Alarm"]


class Alarm:
    """Collects signals within a block, in place of what they do otherwise. For the main thread.

    Args:
        signals: which.
    """

    def __init__(self, signals: Collection[signal.Signals]) -> None:
        self._signals = signals
        self._ours, self._theirs = socket.socketpair()

    def __enter__(self) -> Self:
        for each in (self._ours, self._theirs):
            each.settimeout(0)
        # Python writes the number of each signal that has a handler to this descriptor.
        self._before = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._handlers = {each: signal.signal(each, _nothing) for each in self._signals}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._before)
        self._ours.close()
        self._theirs.close()

    def ring(self) -> None:
        """End the waiting, from any thread."""
        with contextlib.suppress(OSError):  # full: an earlier octet ends the waiting; closed: nobody waits
            self._theirs.send(b"\0")

    def wait(self, seconds: float | None) -> list[int]:
        """Wait for a signal, for `ring`, or so long; None: without a limit. Return the signals that came, in order."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._ours, selectors.EVENT_READ)
            selector.select(seconds)
        with contextlib.suppress(BlockingIOError):
            return [number for number in self._ours.recv(4_096) if number in self._signals]
        return []


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal: that it came is written to the descriptor already."""
