"""How often users may log in: a token bucket for each, kept in memory, and in a file if there is one."""

from __future__ import annotations

import json
import logging
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import attrs

from pop3proto._io.files import replace, write_all

from .rules import check_type, user_patterns

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["LoginPace", "LoginTimes"]

_log: Final = logging.getLogger("pop3proto.server")

_LONGEST: Final = 10_000_000  # seconds
_LEAST_LINES: Final = 1_000  # a file with fewer is not worth writing again


@attrs.frozen(kw_only=True)
class LoginPace:
    """How often some users may log in (RFC 2449 section 6.5).

    Args:
        user: patterns of names, of which one must fit.
        every: seconds between two logins; 0: as often as they like.
        burst: logins that are free after a pause: a client that has not come for long may log in so often at once.

    Raises:
        ValueError: a number is too small, or too large; or a pattern has brackets, or there is none.
        TypeError: something is of another type.
    """

    user: tuple[str, ...] = attrs.field(
        default=("*",), converter=user_patterns, metadata={"about": 'whose logins: patterns of names, as "kiosk*"'}
    )
    every: float = attrs.field(metadata={"about": "seconds between two logins; 0 is as often as they like"})
    burst: int = attrs.field(default=1, metadata={"about": "so many logins are free after a pause"})

    def __attrs_post_init__(self) -> None:
        check_type(int | float, self.every)
        if not 0 <= self.every <= _LONGEST:
            raise ValueError(f"the time between two logins must be from 0 to {_LONGEST} seconds, not {self.every}")
        check_type(int, self.burst)
        if self.burst < 1:
            raise ValueError(f"a burst must be of 1 login at least, not {self.burst}")


class LoginTimes:
    """When users have logged in. It may be shared by several policies, one after the other, and used by many threads.

    A login writes a line. When the file has twice as many lines as users, it is written again, by the thread of that
    login: with 50,000 users that takes some tenths of a second, each time that so many have logged in.

    Args:
        path: a file that keeps it over restarts; None: it is kept in memory. What is unreadable in it is left out. It
            belongs to the user who makes this object: do so after `drop_privileges`.

    Raises:
        OSError: the file cannot be read, or not be written.
    """

    # Of each user, the moment at which no login would be missing from the bucket. A login puts it off by `every`.

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self._full_at: Final[dict[str, float]] = {}
        self._lock: Final = threading.Lock()
        self._path: Final = None if path is None else Path(path)
        self._lines = 0  # of the file
        self._most_lines = _LEAST_LINES
        self._most_users = _LEAST_LINES  # those in memory, before the next look for such that need not be kept
        self._torn = False  # the file may end within a line
        self._failed = False
        if self._path is not None:
            self._load(self._path)

    def wait(self, user: str, pace: LoginPace, now: float) -> float:
        """Return the seconds that a user has to wait before the next login; 0: none.

        After the clock was set back, it is one `every` at most.

        Args:
            user: who wants to log in.
            pace: of this user.
            now: seconds since 1970.
        """
        with self._lock:
            if (full_at := self._full_at.get(user)) is None:
                return 0
            most = now + pace.every * pace.burst
            if full_at > most:  # this cannot be, unless the clock went back, or the pace was another one
                full_at = self._full_at[user] = most
            return max(0.0, full_at - now - pace.every * (pace.burst - 1))

    def note(self, user: str, pace: LoginPace, now: float) -> None:
        """Take note of a login.

        Args:
            user: as in `wait`.
            pace: as in `wait`.
            now: as in `wait`.
        """
        if not pace.every:
            return
        with self._lock:
            full_at = self._full_at[user] = max(self._full_at.get(user, now), now) + pace.every
            if self._path is not None:
                self._write(self._path, user, full_at, now)
            elif len(self._full_at) > self._most_users:
                self._forget(now)
                self._most_users = max(_LEAST_LINES, 2 * len(self._full_at))

    def _load(self, path: Path) -> None:
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            lines = []
        unreadable = 0
        for line in filter(None, lines[:-1]):
            try:
                user, full_at = _parse(line)
            except (ValueError, RecursionError, OverflowError):
                unreadable += 1
            else:
                self._full_at[user] = full_at
        if unreadable or (lines and lines[-1]):
            _log.warning("%s: lines that cannot be read are left out: %d", path, unreadable + bool(lines[-1]))
        self._rewrite(path)

    def _write(self, path: Path, user: str, full_at: float, now: float) -> None:
        """Write a login down. A failure is logged once: users must be able to read mail on a full disk."""
        try:
            if self._lines >= self._most_lines:
                self._forget(now)
                self._rewrite(path)
            else:
                line = b"\n" * self._torn + _line(user, full_at)
                self._torn = True
                with path.open("ab", buffering=0) as file:
                    write_all(file, line)
                self._torn = False
                self._lines += 1
        except OSError as error:
            if not self._failed:
                _log.error("%s: the times of logins cannot be written: %s", path, error)
            self._failed = True
        else:
            self._failed = False

    def _rewrite(self, path: Path) -> None:
        replace(path, b"".join(_line(user, full_at) for user, full_at in self._full_at.items()))
        self._torn = False
        self._lines = len(self._full_at)
        self._most_lines = max(_LEAST_LINES, 2 * self._lines)

    def _forget(self, now: float) -> None:
        """Forget users whose bucket is full."""
        for user in [user for user, full_at in self._full_at.items() if full_at <= now]:
            del self._full_at[user]


def _line(user: str, full_at: float) -> bytes:
    return json.dumps([user, full_at]).encode("ascii") + b"\n"


def _parse(line: bytes) -> tuple[str, float]:
    """Return a user and a moment.

    Raises:
        ValueError: it is no such line.
    """
    match cast("object", json.loads(line)):
        case [str(user), (float() | int()) as full_at] if math.isfinite(full_at):
            return user, float(full_at)
        case _:
            raise ValueError
