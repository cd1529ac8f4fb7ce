"""When `pop3proto fetch --every` fetches an account next. Pure: times and chance come from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.fetching.report import ProblemKind

if TYPE_CHECKING:
    from typing import Self

    from pop3proto.fetching.report import Report

__all__ = ["Schedule", "Turn"]

_PASSES: Final = {ProblemKind.LATER, ProblemKind.STORAGE}
_MOST_DOUBLINGS: Final = 30


@attrs.frozen(kw_only=True)
class Schedule:
    """How often an account is fetched. All times are in seconds.

    Args:
        every: from the end of a run to the next one.
        floor: least time between two sessions, as the provider wants it.
        jitter: by which part of it a pause may be shorter or longer, so that many clients do not come at once.
        first_pause: after the first of several failures that pass by themselves; it doubles with each. A server that
            does not work is never asked more often than one that works: `every` is the least.
        longest_pause: the most that it becomes by doubling.
    """

    every: float
    floor: float = 0.0
    jitter: float = 0.1
    first_pause: float = 60.0
    longest_pause: float = 3_600.0

    def __attrs_post_init__(self) -> None:
        if not self.every > 0 or not 0 <= self.jitter < 1:
            raise ValueError("every must be above 0, and jitter a part")

    def pause(self, failures: int, chance: float, login_delay: float = 0.0) -> float:
        """Return how long to wait after a run.

        Args:
            failures: how many runs in a row have failed with what passes by itself.
            chance: a random number from 0 to 1.
            login_delay: least time between two logins, as the server announces it (RFC 2449 section 6.5).
        """
        pause = self.every
        if failures:
            pause = max(pause, min(self.first_pause * 2 ** min(failures - 1, _MOST_DOUBLINGS), self.longest_pause))
        return max(pause * (1 + self.jitter * (2 * chance - 1)), self.floor, login_delay)


@attrs.frozen
class Turn:
    """When an account is fetched next. The times are those of a clock that never goes back.

    Args:
        schedule: how often it is fetched.
        due: when it is fetched; None: no more, as its login was refused.
        not_before: when the server or its provider allows the next session.
        failures: how many runs in a row have failed with what passes by itself.
    """

    schedule: Schedule
    due: float | None
    not_before: float
    failures: int = 0

    @classmethod
    def first(cls, schedule: Schedule, now: float, since_last: float | None = None) -> Self:
        """Return the first turn: at once, unless an earlier process has had a session not long ago.

        The pause behind that is as long as between two runs: it is not known what pause the server has announced.

        Args:
            schedule: how often.
            now: the time.
            since_last: seconds since the end of the last session, of an earlier process; below 0: a clock was set back
                since, and it may have been just now; None: not known.
        """
        if since_last is None:
            return cls(schedule, now, now)
        ended = now - max(since_last, 0.0)
        not_before = max(now, ended + schedule.floor)
        return cls(schedule, max(not_before, ended + schedule.every), not_before)

    def after(self, report: Report, now: float, chance: float, login_delay: float = 0.0) -> Turn:
        """Return the turn after a run that has ended now.

        A refused login ends the turns: to repeat it may lock the user out.

        Args:
            report: what it did.
            now: the time.
            chance: a random number from 0 to 1.
            login_delay: least time between two logins, as the server announces it.
        """
        kinds = {problem.kind for problem in report.problems}
        failures = self.failures + 1 if kinds & _PASSES else 0
        due = None if ProblemKind.REFUSED in kinds else now + self.schedule.pause(failures, chance, login_delay)
        # Servers count from the login or from its end: from the end is right for both.
        return Turn(self.schedule, due, now + max(self.schedule.floor, login_delay), failures)

    def woken(self, now: float) -> Turn:
        """Return the turn after somebody has asked for it now: as soon as it is allowed, a refused login too."""
        return attrs.evolve(self, due=max(now, self.not_before))
