"""How a command fails: one line on standard error, and an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import re
import ssl
import sys
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import Pop3Error

from .terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAILURE", "USAGE", "Failure", "guard", "reason", "warn"]

FAILURE: Final = 1
USAGE: Final = 2
_INTERRUPTED: Final = 130  # 128 and the number of SIGINT, as shells say it
_ERRNO: Final = re.compile(r"\[Errno -?[0-9]+\] ")  # as Python writes it before what the system says


class Failure(Exception):
    """A command cannot go on.

    Args:
        text: why, in one line.
        status: the exit status.
    """

    def __init__(self, text: str, status: int = FAILURE) -> None:
        super().__init__(text)
        self.status = status


def warn(text: str) -> None:
    """Tell the user something on standard error that is no result."""
    with contextlib.suppress(OSError):  # nobody listens there
        print(visible(text), file=sys.stderr, flush=True)


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


def reason(error: Exception) -> str:
    """Return what an error says to a user, without its class, its number and Python's brackets."""
    cause = error.__cause__
    if isinstance(error, Pop3Error) and isinstance(cause, ssl.SSLError):
        return _tls_reason(error, cause)
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    return _ERRNO.sub("", str(error))


def _tls_reason(error: Pop3Error, cause: ssl.SSLError) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the server's certificate is not to be trusted: {cause.verify_message}"
    if cause.reason == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS on this port"
    return str(error)


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
