"""The log and the audit of a server as its configuration wants them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pop3proto._io.listening import FEW_DESCRIPTORS

from .audit import AUDIT
from .fields import JsonFormatter, TextFormatter
from .handlers import FileLines, JournalLines, LineHandler, SyslogLines
from .stderr import StderrLines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pop3proto.serving.config.reporting import Log, LogTarget

__all__ = ["ServerLog"]


class ServerLog:
    """Writes the library's log records, and those of the audit, where the configuration says, until it is closed.

    Args:
        log: the configuration.

    Raises:
        OSError: a file or the system's log cannot be opened. Nothing was changed.
    """

    def __init__(self, log: Log) -> None:
        self._handlers: Final[dict[str, LineHandler]] = {}
        try:
            self._handlers["pop3proto"] = _handler(log.to, log)
            if log.audit is not None:
                self._handlers[AUDIT] = _handler(log.audit, log)
        except BaseException:
            for handler in self._handlers.values():
                handler.close()
            raise
        self._handlers["pop3proto"].addFilter(_wanted)
        self._levels: Final[Mapping[str, int]] = {
            "pop3proto": logging.WARNING,
            "pop3proto.serving": logging.INFO,
            "pop3proto.server": logging.INFO,
            "pop3proto.sessions": logging.DEBUG if log.dialogue else logging.WARNING,
            AUDIT: logging.INFO if log.audit is not None else logging.CRITICAL,
        }
        for name, handler in self._handlers.items():
            logging.getLogger(name).addHandler(handler)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        logging.getLogger(AUDIT).propagate = False  # it has a place of its own

    def reopen(self) -> Iterator[str]:
        """Open the files again, and yield what went wrong. Standard error gets it too: the log may be what is lost."""
        for handler in self._handlers.values():
            try:
                handler.reopen()
            except OSError as error:
                problem = f"cannot open the log {error.filename} again: {error.strerror}"
                if not isinstance(self._handlers["pop3proto"], StderrLines):
                    _to_stderr(problem)
                yield problem

    def close(self) -> None:
        """Write nothing more."""
        for name, handler in self._handlers.items():
            logging.getLogger(name).removeHandler(handler)
            handler.close()
        for name in self._levels:
            logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(AUDIT).propagate = True


def _to_stderr(text: str) -> None:
    lines = StderrLines()
    lines.setFormatter(TextFormatter())
    lines.handle(logging.LogRecord("pop3proto", logging.ERROR, __file__, 0, "%s", (text,), None))
    lines.close()


def _wanted(record: logging.LogRecord) -> bool:
    return record.msg != FEW_DESCRIPTORS  # the command says it by itself


def _handler(target: LogTarget, log: Log) -> LineHandler:
    """Return where lines go.

    Raises:
        OSError: it cannot be opened.
    """
    match target:
        case "stderr":
            handler: LineHandler = StderrLines()
        case "syslog":
            handler = SyslogLines(log.facility)
            handler.setFormatter(JsonFormatter() if log.format == "json" else TextFormatter("", timed=False))
            return handler
        case "journal":
            return JournalLines()
        case _:
            handler = FileLines(target, _to_stderr)
    handler.setFormatter(JsonFormatter() if log.format == "json" else TextFormatter())
    return handler
