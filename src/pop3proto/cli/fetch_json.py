"""What `pop3proto fetch` tells programs: one JSON object in each line, for each event.

Each object has `time` (UTC, RFC 3339), `account` (null: none) and `event`; the other fields are those of the event:

- planned: count (number of messages), octets, actions (number by action), notes, obstacles, stop
- received: octets, since the last time
- stored: messages, octets
- deleted: messages
- waiting: seconds, why
- noted: text
- problem: kind, text, and the message if it is about one; before any account is looked at, kind is configuration or
  usage
- said: text (`--trace`, `--every`)
- step: number, octets, action, reason, deletes, and the message (`--dry-run`)
- status: new, new_octets, before, headers, skipped, suspect (`--status`)
- ended: status, stored, headers, deleted, here, skipped, octets, sessions, problems, more

The lines are a log, and go to standard error; those of `--dry-run` and `--status` are what was asked for, and go to
standard output. A message is `unique_id` and, if several share that, `copy` (1, 2, ...).
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Final, TextIO, assert_never, cast

from typing_extensions import override

from pop3proto.core.text import visible
from pop3proto.fetching.report import Deleted, Noted, Planned, Problem, Received, Stored, Waiting

from .exit_statuses import CONFIGURATION, LATER, status_of
from .fetch_output import Output
from .fetch_words import is_doomed, standing, total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pop3proto.fetching.events import MessageIdentity
    from pop3proto.fetching.plan import Plan, Step
    from pop3proto.fetching.report import Report, Telling

    from .failures import Failure

__all__ = ["JsonOutput", "log_failure"]

_KINDS: Final = {CONFIGURATION: "configuration", LATER: "later"}


class JsonOutput(Output):
    """`--log-format json`: a line for each event.

    Args:
        out: for plans and states that were asked for.
        err: for the log.
        now: returns the time, in seconds since 1970.
        quiet: log problems alone.
    """

    def __init__(self, out: TextIO, err: TextIO, now: Callable[[], float], *, quiet: bool = False) -> None:
        super().__init__(out, err)
        self._now = now
        self._quiet = quiet
        self._told: Counter[tuple[str, Problem]] = Counter()

    @override
    def tell(self, account: str, telling: Telling) -> None:
        with self._lock:
            if isinstance(telling, Problem):
                self._told[account, telling] += 1
            self._log(account, *_event(telling))

    @override
    def end(self, account: str, report: Report) -> None:
        with self._lock:
            for problem in report.problems:
                if self._told[account, problem] > 0:
                    self._told[account, problem] -= 1
                else:
                    self._log(account, *_event(problem))
            self._told = Counter({key: number for key, number in self._told.items() if key[0] != account})
            self._log(account, "ended", _ended(report))

    @override
    def say(self, account: str | None, text: str) -> None:
        with self._lock:
            self._log(account, "said", {"text": text})

    @override
    def show_plan(self, account: str, plan: Plan) -> None:
        with self._lock:
            for step in plan.steps:
                self._write(self._out, self._line(account, "step", _step(step)))
            self._write(self._out, self._line(account, *_event(Planned(plan))))

    @override
    def show_status(self, account: str, plan: Plan) -> None:
        lists = standing(plan)
        counts = {key: len(steps) for key, steps in lists.items()}
        with self._lock:
            fields = {**counts, "new_octets": total(lists["new"])}
            self._write(self._out, self._line(account, "status", fields))

    def fail(self, failure: Failure) -> None:
        """Log what has ended the command before an account was looked at."""
        with self._lock:
            for text in failure.details or (str(failure),):
                self._log(None, "problem", {"kind": _KINDS.get(failure.status, "usage"), "text": text})

    def _log(self, account: str | None, event: str, fields: dict[str, object]) -> None:
        if event == "problem" or not self._quiet:
            self._write(self._err, self._line(account, event, fields))

    def _line(self, account: str | None, event: str, fields: Mapping[str, object]) -> str:
        time = dt.datetime.fromtimestamp(self._now(), dt.UTC).isoformat(timespec="milliseconds")
        line = {"time": time.replace("+00:00", "Z"), "account": account, "event": event, **fields}
        return json.dumps(_printable(line))


def log_failure(failure: Failure, err: TextIO, now: Callable[[], float]) -> None:
    """Log what has ended the command before there was an output.

    Args:
        failure: it.
        err: for the log.
        now: as of `JsonOutput`.
    """
    JsonOutput(err, err, now).fail(failure)


def _event(telling: Telling) -> tuple[str, dict[str, object]]:
    match telling:
        case Planned(plan):
            return "planned", {
                "count": len(plan.steps),
                "octets": total(plan.steps),
                "actions": dict(Counter(step.action.value for step in plan.steps)),
                "notes": plan.notes,
                "obstacles": plan.obstacles,
                "stop": plan.stop,
            }
        case Received(octets):
            return "received", {"octets": octets}
        case Stored(identities, octets):
            return "stored", {"messages": [_message(each) for each in identities], "octets": octets}
        case Deleted(identities):
            return "deleted", {"messages": [_message(each) for each in identities]}
        case Waiting(seconds, why):
            return "waiting", {"seconds": seconds, "why": why}
        case Noted(text):
            return "noted", {"text": text}
        case Problem(kind, text, identity):
            about = {} if identity is None else _message(identity)
            return "problem", {"kind": kind.value, "text": text, **about}
        case _ as never:
            assert_never(never)


def _step(step: Step) -> dict[str, object]:
    return {
        "number": step.number,
        **({} if step.identity is None else _message(step.identity)),
        "octets": step.octets,
        "action": step.action.value,
        "reason": step.reason,
        "deletes": is_doomed(step),
    }


def _ended(report: Report) -> dict[str, object]:
    return {
        "status": status_of(report),
        "stored": len(report.stored),
        "headers": len(report.headers),
        "deleted": len(report.deleted),
        "here": report.here,
        "skipped": report.skipped,
        "octets": report.octets,
        "sessions": report.sessions,
        "problems": len(report.problems),
        "more": report.more,
    }


def _message(identity: MessageIdentity) -> dict[str, object]:
    return {"unique_id": identity.unique_id, **({"copy": identity.copy} if identity.copy else {})}


def _printable(value: object) -> object:
    """Escape what is not printable; JSON has no lone surrogates, and no infinity."""
    match value:
        case str():
            return visible(value)
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _printable(each) for key, each in cast("dict[str, object]", value).items()}
        case list() | tuple():
            return [_printable(each) for each in cast("Sequence[object]", value)]
        case _:
            return value
