"""The job that removes expired messages again and again; a server announces EXPIRE only while it runs."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from .purge import PurgeReport

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = ["PurgeJob"]

_YEAR: Final = 366 * 86_400
_SLACK: Final = 2.0  # periods after which a job that does not show up is taken for dead


class PurgeJob:
    """Runs a purge at intervals, and tells whether it really does.

        job = PurgeJob(purge_all, every=3600)
        threading.Thread(target=job.run, args=(stop,), daemon=True).start()

    Args:
        purge: removes what has expired, in all maildrops. What it raises goes to `failed`, and the job tries again
            after the next interval; so it does if it returns False, or a report with failures: not all that has
            expired could be removed.
        every: seconds between the end of one purge and the begin of the next, at most a year.
        failed: is called with what a purge raised.
        clock: returns a time in seconds that never goes back.

    Raises:
        ValueError: the interval is not above 0, or is longer than a year.
    """

    def __init__(
        self,
        purge: Callable[[], object],
        *,
        every: float,
        failed: Callable[[Exception], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < every <= _YEAR:
            raise ValueError("the interval of the purge job must be above 0 seconds, and at most a year")
        self.every: Final = every
        self._purge = purge
        self._failed = failed
        self._clock = clock
        self._seen: float | None = None  # when it was seen at work last; None: no purge has ended well

    @property
    def runs(self) -> bool:
        """Whether the job runs: the last purge ended well, and the job was at work within two intervals."""
        return self._seen is not None and self._clock() - self._seen <= _SLACK * self.every

    def beat(self) -> None:
        """Show that the purge goes on; a purge that takes long calls it after each maildrop."""
        if self._seen is not None:
            self._seen = self._clock()

    def run_once(self) -> None:
        """Purge once; what the purge raises goes to `failed`."""
        try:
            done = self._purge()
            well = done is not False and not (isinstance(done, PurgeReport) and done.failures)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next purge may succeed
            self._seen = None
            if self._failed is not None:
                with suppress(Exception):  # a log that cannot be written does not end the job
                    self._failed(error)
        else:
            self._seen = self._clock() if well else None

    def run(self, stop: threading.Event) -> None:
        """Purge at once and again and again, until the event is set; then the job does not run any more."""
        try:
            while not stop.is_set():
                self.run_once()
                stop.wait(self.every)
        finally:
            self._seen = None
