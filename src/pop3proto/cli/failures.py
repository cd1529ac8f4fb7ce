"""How a command fails: one line on standard error, and an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import Pop3Error
from pop3proto.fetching.failures import FAILURE, Failure, reason, warn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["guard"]

_INTERRUPTED: Final = 130  # 128 and the number of SIGINT, as shells say it


def guard(name: str, command: Callable[[], int]) -> int:
    """Run a command, turn its failure into a line, and return the exit status.

    Args:
        name: what the line begins with.
        command: returns the exit status if nothing fails.
    """
    _let_everything_print(sys.stdout)
    try:
        status = command()
        _flush(sys.stdout)
    except Failure as failure:
        text, status = str(failure), failure.status
    except KeyboardInterrupt:
        text, status = "interrupted", _INTERRUPTED
    except BrokenPipeError:  # a socket's is a ConnectionLost
        text, status = "standard output was closed", FAILURE
    except (Pop3Error, OSError) as error:
        text, status = reason(error), FAILURE
    else:
        return status
    _abandon_stdout()
    warn(f"{name}: {text}")
    return status


def _flush(stream: object) -> None:
    if isinstance(stream, io.TextIOBase):  # None if standard output was closed before Python began
        stream.flush()


def _let_everything_print(stream: object) -> None:
    """Escape what the encoding of an output does not have, instead of failing: names of files, say."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _abandon_stdout() -> None:
    """Throw away what is still to be written, if it cannot be: else Python complains once more at its end."""
    try:
        _flush(sys.stdout)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
