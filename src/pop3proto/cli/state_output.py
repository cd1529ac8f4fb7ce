"""How `pop3proto state` shows what is recorded."""

from __future__ import annotations

import json
import textwrap
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted, visible
from pop3proto.fetching.events import MessageState

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from pop3proto.fetching.history import Entry, History

__all__ = ["json_lines", "table"]

_WIDTH: Final = 80
_INDENT: Final = " " * 4
_ROW: Final = "{:<11}  {:<16}  {:>11}  {}"
_UNKNOWN: Final = "-"
_STORED_IS_NO_NEWS: Final = (MessageState.SEEN, MessageState.SKIPPED)
"""States that a message may pass through after it was stored, and that say less than that."""
_IN_WORDS: Final = {MessageState.HEADERS: "headers only"}


def table(history: History, account: str) -> Generator[str]:
    """Yield the lines of a table for people, in columns of at most 80 characters; then how many there are."""
    if history:
        yield _ROW.format("STATE", "DATE", "OCTETS", "UNIQUE ID")
    for entry in history:
        yield from _rows(entry)
    yield _summary(history, account)


def json_lines(history: Iterable[Entry]) -> Generator[str]:
    """Yield a JSON object for each message: times in UTC, null for what is not known."""
    for entry in history:
        last = entry.last
        yield json.dumps(
            {
                "unique_id": last.identity.unique_id,
                "copy": last.identity.copy,
                "state": last.state.value,
                "date": _utc(last.when),
                "stored": None if entry.stored is None else entry.stored.state.value,
                "stored_date": None if entry.stored is None else _utc(entry.stored.when),
                "listed": last.listed,
                "octets": last.octets,
                "header": last.header,
                "dated": _utc(last.dated),
                "failures": entry.failures,
                "why": last.why,
            }
        )


def _rows(entry: Entry) -> Generator[str]:
    last = entry.last
    octets = last.listed if last.octets is None else last.octets
    size = _UNKNOWN if octets is None else f"{octets:,}"
    name = visible(last.identity.unique_id)
    if last.identity.copy:
        name += f" ({last.identity.copy})"
    row = _ROW.format(_state(entry).value, _local(last.when), size, name)
    if len(row) <= _WIDTH:
        yield row
    else:  # it is not cut: `forget` takes the whole of it
        yield row.removesuffix(name).rstrip()
        yield _INDENT + name
    if last.why:
        yield from textwrap.wrap(visible(last.why), _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)


def _state(entry: Entry) -> MessageState:
    return entry.stored.state if entry.stored is not None and entry.state in _STORED_IS_NO_NEWS else entry.state


def _summary(history: History, account: str) -> str:
    counts = Counter(map(_state, history))
    parts = [f"{counts[state]:,} {_IN_WORDS.get(state, state.value)}" for state in MessageState if counts[state]]
    return f"{account}: {counted(len(history), 'message')}{': ' if parts else ''}{', '.join(parts)}"


def _local(when: float | None) -> str:
    return _UNKNOWN if when is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def _utc(when: float | None) -> str | None:
    if when is None:
        return None
    try:
        return datetime.fromtimestamp(when, UTC).isoformat()
    except (OverflowError, ValueError, OSError):  # a header may claim any date
        return None
