"""The quota of one Maildir: how much is used, and whether a message may come in."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from .counting import Counted, count, stamp_of
from .rules import Quota, Usage
from .size_file import LARGEST, Size, SizeFile, header_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = ["MaildirQuota"]

_ATTEMPTS: Final = 4  # to count a Maildir that changes all the time
_OLD: Final = 15 * 60  # seconds: a count that says "over quota" is believed for so long, by the rules of Maildir++
_DAY: Final = 24 * 3600
_BILLION: Final = 10**9


class MaildirQuota:
    """The quota of one Maildir, with its folders.

    The use is computed from the disk and kept in `maildirsize`, which other programs read and change. The disk is
    counted again, and the file written anew, if the file is missing, damaged, made for other limits, longer than 5,120
    octets, or a day old; if it is 15 minutes old, and a folder was changed after it; or if it says "over quota", unless
    that was counted within 15 minutes. A message is refused only after a count on the disk.

    Without limits the file is left as it is, except that changes are added to it.

    Args:
        maildir: the Maildir, not a folder in one.
        quota: the limits.
        follow_links: whether its `new` and `cur` may be symbolic links.
        clock: returns the time of day, in seconds.
    """

    def __init__(
        self, maildir: Path, quota: Quota, *, follow_links: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._maildir = maildir
        self._follow_links = follow_links
        self._file = SizeFile(self._maildir)
        self._clock = clock
        self.quota: Final = quota

    def usage(self) -> Usage:
        """Return what is used: as the file says, or counted if the file is not to be believed.

        Raises:
            OSError: the Maildir cannot be read.
        """
        size = self._file.read()
        if size is not None and (usage := self._believed(size)) is not None:
            return usage
        return self.recalculate()

    def recorded(self) -> Usage | None:
        """Return what the file says; None: there is none, or it cannot be read."""
        size = self._file.read()
        return None if size is None else size.usage

    def counted(self) -> Usage:
        """Return what is on the disk, and write nothing.

        Raises:
            OSError: the Maildir cannot be read.
        """
        return self._count().usage

    def _count(self) -> Counted:
        return count(self._maildir, trash=self.quota.trash, follow_links=self._follow_links)

    def recalculate(self) -> Usage:
        """Count what is on the disk, and write the file anew, if there are limits.

        A Maildir that may only be read is counted. If it changes all the time, or a folder of it cannot be read, the
        file is left alone.

        Raises:
            OSError: the Maildir cannot be read.
        """
        attempts = _ATTEMPTS if self.quota.is_limited else 0
        while True:
            identity, size = self._file.identity(), self._file.read()
            counted = self._count()
            attempts -= 1
            if attempts < 0 or not counted.whole:
                return counted.usage
            if self._stamp() == counted.stamp and self._file.read() == size:
                with suppress(OSError):
                    if not self._file.replace(self.quota, counted.usage, identity):
                        continue
                return counted.usage

    def admits(self, octets: int) -> bool:
        """Return whether a message may come in. It is refused only after a count on the disk.

        Args:
            octets: of the message; 0 if that is not known yet.

        Raises:
            OSError: the Maildir cannot be read.
        """
        if not self.quota.is_limited or self.quota.admits(self.usage(), octets):
            return True
        return self.quota.admits(self.recalculate(), octets)

    def add(self, delta: Usage) -> None:
        """Note that messages came, or went (negative numbers), after the files have changed.

        It never raises: a file that cannot be written is written anew later.
        """
        with suppress(OSError):
            if delta == Usage():
                return
            try:
                arrived = self._file.append(delta)
            except FileNotFoundError:
                arrived = not self.quota.is_limited
            if not arrived:
                self.recalculate()

    @contextmanager
    def following(self) -> Generator[None]:
        """Count again after a block that adds its changes, if the file was replaced meanwhile, or is gone."""
        with self._file.held() as before:
            yield
            after = self._file.identity()
        if before != after or (after is None and self.quota.is_limited):
            with suppress(OSError):
                self.recalculate()

    def _believed(self, size: Size) -> Usage | None:
        """Return what the file says, if it is to be believed."""
        if size.usage is None or size.octets > LARGEST or not size.lines:
            return None
        if not self.quota.is_limited or size.header != header_of(self.quota):
            return None
        age = self._clock() - size.changed
        fresh = 0 <= age < _OLD
        if self.quota.is_full(size.usage):
            return size.usage if fresh and size.lines == 1 else None
        if fresh or (0 <= age < _DAY and not self._changed_since(size.changed)):
            return size.usage
        return None

    def _changed_since(self, seconds: float) -> bool:
        try:
            return max(self._stamp(), default=0) > seconds * _BILLION
        except OSError:
            return True

    def _stamp(self) -> tuple[int, ...]:
        return stamp_of(self._maildir, follow_links=self._follow_links)
