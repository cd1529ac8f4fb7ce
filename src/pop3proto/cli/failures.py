"""Failures of a command: report one line on standard error and return an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import Pop3Error
from pop3proto.fetching.wording import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FAILURE", "USAGE", "Failure", "guard", "warn"]

FAILURE: Final = 1
USAGE: Final = 2

_INTERRUPTED: Final = 130  # 128 + SIGINT, the convention of shells


class Failure(Exception):
    """A command failed and cannot go on.

    Args:
        text: the reason, in one line.
        status: the exit status of the command.
        details: what the text sums up, a line each: they are told before it.
    """

    def __init__(self, text: str, status: int = FAILURE, details: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.details = details


def warn(text: str) -> None:
    """Print one line to standard error, with control characters escaped."""
    from pop3proto.core.text import visible  # noqa: PLC0415 - `--help` imports this module, and needs none of it

    with contextlib.suppress(OSError):  # standard error may be closed
        print(visible(text), file=sys.stderr, flush=True)


def guard(name: str, command: Callable[[], int]) -> int:
    """Run a command, report a failure on standard error, and return the exit status.

    Args:
        name: name of the command, the prefix of each line.
        command: the command; returns its exit status.
    """
    _escape_unencodable(sys.stdout)
    details: Sequence[str] = ()
    try:
        status = command()
        _flush(sys.stdout)
    except Failure as failure:
        text, status, details = str(failure), failure.status, failure.details
    except KeyboardInterrupt:
        text, status = "interrupted", _INTERRUPTED
    except BrokenPipeError:  # standard output; a lost socket is a ConnectionLost
        text, status = "standard output was closed", FAILURE
    except (Pop3Error, OSError) as error:
        text, status = reason(error), FAILURE
    else:
        return status
    _discard_stdout()
    for line in (*details, text):
        warn(f"{name}: {line}")
    return status


def _flush(stream: object) -> None:
    if isinstance(stream, io.TextIOBase):  # it is None if standard output was closed before Python started
        stream.flush()


def _escape_unencodable(stream: object) -> None:
    """Escape characters that a stream's encoding lacks instead of failing; for example, in file names."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _discard_stdout() -> None:
    """Discard buffered output that cannot be written; otherwise Python prints another error when it exits."""
    try:
        _flush(sys.stdout)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
