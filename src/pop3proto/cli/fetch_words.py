"""The words in which `pop3proto fetch` tells of sizes, times, plans and reports. Pure: data in, text out."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted, visible
from pop3proto.fetching.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pop3proto.fetching.plan import Plan, Step
    from pop3proto.fetching.report import Report

__all__ = [
    "DONE",
    "columns",
    "duration",
    "fit",
    "is_doomed",
    "plan_lines",
    "size",
    "standing",
    "status_line",
    "summary",
    "total",
]

DONE: Final = {
    Action.FETCH: "stored",
    Action.HEADERS: "header stored",
    Action.CHECK: "stored again",
    Action.RETRY: "stored",
    Action.DELETE: "stored",
    Action.KEEP: "kept",
    Action.SKIP: "skipped",
}
"""What was done with a message, by what was planned."""

_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")
_LEAST_ID: Final = 16
"""Columns of a unique id, at least; the reason has the others."""


# ---------------------------------------------------------------------------------------------- small things


def size(octets: float) -> str:
    """Return a size in three digits, in units of 1000: "999 B", "3.4 MB", "120 kB"."""
    if octets < 1_000:  # noqa: PLR2004 - the units are of 1000
        return f"{octets:.0f} B"
    for unit in _UNITS:
        octets /= 1_000
        if octets < 9.95:  # noqa: PLR2004 - it is rounded to 9.9
            return f"{octets:.1f} {unit}"
        if octets < 999.5:  # noqa: PLR2004 - it is rounded to 999
            return f"{octets:.0f} {unit}"
    return f"{octets:.0f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Return a time in whole seconds: "0:07", "12:34", "1:02:03"."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def fit(text: str, width: int) -> str:
    """Return a text without control characters, cut to `width` columns, with "..." in place of the rest.

    East Asian wide characters take two columns, combining ones none.
    """
    text = visible(text)
    if columns(text) <= width:
        return text
    dots = "..."[: max(width, 0)]
    left = width - len(dots)
    shown = ""
    for character in text:
        left -= columns(character)
        if left < 0:
            break
        shown += character
    return shown + dots


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) != 0 for character in text)


def total(steps: Iterable[Step]) -> int:
    """Return the octets of messages, of those of which the size is known."""
    return sum(step.octets or 0 for step in steps)


# ------------------------------------------------------------------------------------------------ the report


def summary(account: str, report: Report) -> str:
    """Return what a run did, in one line: "work: 12 messages fetched (3.4 MB), 2 deleted on the server"."""
    parts: list[str] = []
    if report.stored:
        parts.append(f"{counted(len(report.stored), 'message')} fetched ({size(report.stored_octets)})")
    if report.headers:
        parts.append(f"{counted(len(report.headers), 'header')} fetched")
    if not parts:
        parts.append("no messages fetched" if report.problems or report.more else "no new messages")
    if report.deleted:
        parts.append(f"{len(report.deleted):,} deleted on the server")
    if report.skipped:
        parts.append(f"{report.skipped:,} skipped")
    failed = {problem.identity for problem in report.problems if problem.identity is not None}
    line = f"{visible(account)}: {', '.join(parts)}"
    if failed:
        [*_, last] = (problem.text for problem in report.problems if problem.identity is not None)
        line += f", {len(failed):,} left: {visible(last)}" if len(failed) == 1 else f", {len(failed):,} left"
    # Without a session it is not known what is on the server.
    return f"{line}; more is on the server: run it again" if report.more and report.sessions else line


# -------------------------------------------------------------------------------------------------- the plan


def standing(plan: Plan) -> dict[str, list[Step]]:
    """Return the messages of a maildrop by what is known of them. Each is in one list, and all lists are there."""
    sorted_out: dict[str, list[Step]] = {name: [] for name in ("new", "before", "headers", "skipped", "suspect")}
    for step in plan.steps:
        sorted_out[_standing(step)].append(step)
    return sorted_out


def _standing(step: Step) -> str:
    if step.action is Action.RETRY:
        return "suspect"
    if step.entry is not None and step.entry.is_here:
        return "before"
    if step.entry is not None and step.entry.has_header:
        return "headers"
    return "skipped" if step.action in {Action.SKIP, Action.KEEP} else "new"


def status_line(account: str, plan: Plan) -> str:
    """Return what is on the server: "work: 3 new (12 kB), 120 fetched before, 1 skipped"."""
    lists = standing(plan)
    new = lists["new"]
    parts = [f"{len(new):,} new ({size(total(new))})" if new else "0 new"]
    names = {"before": "fetched before", "headers": "headers only", "skipped": "skipped", "suspect": "suspect"}
    parts += [f"{len(lists[key]):,} {name}" for key, name in names.items() if lists[key]]
    return f"{visible(account)}: {', '.join(parts)}"


def is_doomed(step: Step) -> bool:
    """Return whether a message is deleted on the server, once it is stored."""
    return step.deletes or step.action is Action.DELETE


def plan_lines(account: str, plan: Plan, width: int) -> Iterator[str]:
    """Yield what would be done: a line for each message, then what would be deleted, and the totals.

    Args:
        account: its name.
        plan: the plan.
        width: columns of a line; unique ids and reasons are cut to fit.
    """
    name = visible(account)
    if plan.steps:
        yield f"{name}: what would be done"
        yield from _table(plan.steps, width)
    doomed = [step for step in plan.steps if is_doomed(step)]
    if doomed:
        yield f"{name}: what would be deleted on the server, once it is stored"
        yield from _table(doomed, width)
    for text in plan.notes:
        yield f"{name}: note: {visible(text)}"
    for text in plan.obstacles:
        yield f"{name}: {visible(text)}"
    if plan.stop is not None:
        yield f"{name}: nothing would be done: {visible(plan.stop)}"
        return
    fetched = plan.of(Action.FETCH, Action.RETRY)
    parts = [f"{len(fetched):,} of {counted(len(plan.steps), 'message')} would be fetched ({size(total(fetched))})"]
    if headers := plan.of(Action.HEADERS):
        parts.append(f"{counted(len(headers), 'header')}")
    if checked := plan.of(Action.CHECK):
        parts.append(f"{len(checked):,} compared with what is stored")
    parts.append(f"{len(doomed):,} deleted ({size(total(doomed))})" if doomed else "none deleted")
    yield f"{name}: {', '.join(parts)}"


def _table(steps: Sequence[Step], width: int) -> Iterator[str]:
    rows = [
        (
            str(step.number),
            "?" if step.octets is None else f"{step.octets:,}",
            _id(step),
            step.action.value,
            step.reason,
        )
        for step in steps
    ]
    number, octets, unique_id, action, reason = (max(len(row[column]) for row in rows) for column in range(5))
    free = width - (2 + number + 2 + octets + 2 + 2 + action + 2)
    unique_id = min(unique_id, max(free - reason, _LEAST_ID))
    for row in rows:
        head = f"  {row[0]:>{number}}  {row[1]:>{octets}}  {fit(row[2], unique_id):<{unique_id}}  {row[3]:<{action}}  "
        yield (head + fit(row[4], max(width - len(head), 0))).rstrip()


def _id(step: Step) -> str:
    if step.identity is None:
        return "-"
    return step.identity.unique_id + (f" ({step.identity.copy})" if step.identity.copy else "")
