"""`pop3proto fetch --every`: fetch again and again, until a signal ends it.

POP3 has no way to wait for mail. SIGUSR1 fetches now; SIGTERM, SIGINT and SIGHUP end it after the work in hand, or at
once if they come twice.
"""

from __future__ import annotations

import random
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import counted

from .exit_statuses import INTERRUPTED, OK, REFUSED
from .schedule import Turn
from .several import JOBS, Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pop3proto.fetching.report import Report
    from pop3proto.serving.notifier import Notifier

    from .alarm import Alarm
    from .schedule import Schedule
    from .several import Cancel

__all__ = ["SIGNALS", "Ran", "Repeat"]

_WAKE: Final = getattr(signal, "SIGUSR1", None)
_ENDS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
SIGNALS: Final = _ENDS if _WAKE is None else (*_ENDS, _WAKE)
"""The signals that mean something here: for the alarm."""

GRACE: Final = 20.0
"""Seconds for the work in hand when a signal ends it; systemd waits for 90."""


@attrs.frozen
class Ran:
    """The result of a run.

    Args:
        report: what it did.
        login_delay: seconds that the server wants between two logins, as it announces.
    """

    report: Report
    login_delay: float = 0.0


@attrs.define(kw_only=True)
class Repeat:
    """Fetches accounts again and again.

    Args:
        schedules: how often, by account.
        fetch: fetches an account, in a thread; it looks at its `Cancel` between batches.
        failed: makes a result of an exception of `fetch`.
        say: shows a line about an account, or about none (None), such as `Output.say`.
        alarm: waits for `SIGNALS`.
        notifier: tells systemd.
        since_last: seconds since the last session of accounts, as far as known from an earlier process.
        jobs: how many accounts are fetched at once.
        grace: seconds for the work in hand at the end.
        clock: returns seconds, and never goes back.
        now: returns the seconds since 1970.
        chance: returns random numbers from 0 to 1.
    """

    schedules: Mapping[str, Schedule]
    fetch: Callable[[str, Cancel], Ran]
    failed: Callable[[str, Exception], Ran]
    say: Callable[[str | None, str], object]
    alarm: Alarm
    notifier: Notifier
    since_last: Mapping[str, float] = attrs.field(factory=dict[str, float])
    jobs: int = JOBS
    grace: float = GRACE
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    _turns: dict[str, Turn] = attrs.field(factory=dict[str, Turn], init=False)
    _again: set[str] = attrs.field(factory=set[str], init=False)

    def run(self) -> int:
        """Fetch until a signal ends it, or all logins are refused; return the exit status."""
        start = self.clock()
        self._turns = {
            name: Turn.first(schedule, start, self.since_last.get(name)) for name, schedule in self.schedules.items()
        }
        for name, turn in self._turns.items():
            if turn.due is not None and turn.due > start:
                self.say(name, f"first at {self._time(turn.due)}: the last session was not long ago")
        self.notifier.tell(READY=1)
        with Crew(self.jobs, self.failed, self.alarm.ring) as crew:
            while True:
                self._start(crew)
                if not crew.busy and all(turn.due is None for turn in self._turns.values()):
                    return REFUSED
                ends = [number for number in self._wait(crew) if number in _ENDS]
                if ends:
                    self._end(crew, at_once=len(ends) > 1)
                    return INTERRUPTED if signal.SIGINT in ends else OK

    def _start(self, crew: Crew[Ran]) -> None:
        """Start what is due."""
        now = self.clock()
        for name, turn in self._turns.items():
            if name not in crew.busy and turn.due is not None and turn.due <= now:
                crew.start(name, partial(self.fetch, name))

    def _wait(self, crew: Crew[Ran]) -> list[int]:
        """Wait until something happens, take results, and return the signals that came."""
        waiting = {name: turn.due for name, turn in self._turns.items() if name not in crew.busy}
        next_due = min((due for due in waiting.values() if due is not None), default=None)
        self._tell_status(crew, next_due)
        signals = self.alarm.wait(self._watched(None if next_due is None else max(next_due - self.clock(), 0.0)))
        for name, ran in crew.results():
            turn = self._turns[name] = self._turns[name].after(ran.report, self.clock(), self.chance(), ran.login_delay)
            if name in self._again:
                self._again.remove(name)
                self._wake(name)
            elif turn.due is None:
                self.say(name, "the login was refused: not tried again until SIGUSR1, or a new start")
        if _WAKE in signals:
            self._again |= crew.busy  # it may have listed the maildrop before the new mail came
            for name in self._turns:
                if name not in crew.busy:
                    self._wake(name)
        return signals

    def _watched(self, seconds: float | None) -> float | None:
        """Return how long to wait at most: the watchdog wants to hear something twice in its time."""
        if self.notifier.watchdog is None:
            return seconds
        self.notifier.tell(WATCHDOG=1)
        half = self.notifier.watchdog / 2
        return half if seconds is None else min(seconds, half)

    def _wake(self, name: str) -> None:
        now = self.clock()
        woken = self._turns[name] = self._turns[name].woken(now)
        if woken.not_before > now:
            self.say(name, f"not before {self._time(woken.not_before)}: the server wants a pause between logins")

    def _end(self, crew: Crew[Ran], *, at_once: bool) -> None:
        """Let the work in hand end, or at once: when a second signal comes, or the time is over."""
        self.notifier.tell(STOPPING=1, STATUS="ending")
        crew.ask()
        until = self.clock() + self.grace
        while crew.busy and not at_once and self.clock() < until:
            at_once = any(number in _ENDS for number in self.alarm.wait(self._watched(until - self.clock())))
            crew.results()

    def _tell_status(self, crew: Crew[Ran], next_due: float | None) -> None:
        parts = [f"fetching {', '.join(sorted(crew.busy))}"] if crew.busy else []
        if next_due is not None:
            parts.append(f"next at {self._time(next_due)}")
        if refused := sum(turn.due is None for turn in self._turns.values()):
            parts.append(f"{counted(refused, 'login')} refused")
        self.notifier.tell(STATUS="; ".join(parts))

    def _time(self, moment: float) -> str:
        """Return the time of day of a moment of the clock."""
        return time.strftime("%H:%M:%S", time.localtime(self.now() + moment - self.clock()))
