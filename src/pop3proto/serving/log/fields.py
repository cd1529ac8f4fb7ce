"""What a line of the log says, in text and in JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from pop3proto.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JsonFormatter", "TextFormatter", "fields_of", "text_of"]

_LONGEST: Final = 128  # characters of a name
_OF_SESSION: Final = ("event", "session", "address", "listener")


def fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    """Return what a record of a session has beside its text; of another record nothing."""
    return cast("Mapping[str, object]", getattr(record, "pop3proto", {}))


def text_of(record: logging.LogRecord) -> str:
    """Return the text of a record, in one line.

    At the end of a session, and for a deleted message, it has all fields. No peer can forge a line or a field.
    """
    fields = fields_of(record)
    if fields.get("event") not in {"ended", "deleted"}:
        error = record.exc_info[1] if record.exc_info else None
        return visible(record.getMessage() + ("" if error is None else f": {type(error).__name__}: {error}"))
    reason = fields.get("reason")
    columns = " ".join(
        f"{name}={_column(value)}" for name, value in fields.items() if name not in _OF_SESSION and name != "reason"
    )
    where = f"session {fields['session']} from {_column(fields['address'])}: {fields['event']}: "
    return where + columns + (f": {visible(str(reason))}" if reason else "")


class TextFormatter(logging.Formatter):
    """Formats a record as one line of text with its time.

    Args:
        program: what stands before the text.
        timed: the time stands before it.
    """

    def __init__(self, program: str = "pop3proto serve: ", *, timed: bool = True) -> None:
        super().__init__()
        self._program: Final = program
        self._timed: Final = timed

    @override
    def format(self, record: logging.LogRecord) -> str:
        time = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S%z')} " if self._timed else ""
        return f"{time}{self._program}{text_of(record)}"


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object in one line: its time, its level, its event and what belongs to that."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": moment, "level": record.levelname.lower()}
        if fields := fields_of(record):
            line |= fields
        else:
            line |= {"event": "message", "text": text_of(record)}
        return json.dumps(line)


def _column(value: object) -> str:
    """Return a value without spaces, line ends and control characters."""
    text = "" if value is None else str(value)
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return shown.encode("unicode_escape").decode("ascii").replace(" ", r"\x20") or "-"
