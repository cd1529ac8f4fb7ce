"""Failures of a fetch: a one-line message for the user, and the exit status of the command."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Final

from pop3proto.core.errors import CertificateError
from pop3proto.core.text import visible

__all__ = ["FAILURE", "USAGE", "Failure", "reason", "warn"]

FAILURE: Final = 1
USAGE: Final = 2
_ERRNO: Final = re.compile(r"\[Errno -?[0-9]+\] ")  # Python's prefix to the system's message


class Failure(Exception):
    """A command failed and cannot go on.

    Args:
        text: the reason, in one line.
        status: the exit status of the command.
    """

    def __init__(self, text: str, status: int = FAILURE) -> None:
        super().__init__(text)
        self.status = status


def warn(text: str) -> None:
    """Print one line to standard error, with control characters escaped."""
    with contextlib.suppress(OSError):  # standard error may be closed
        print(visible(text), file=sys.stderr, flush=True)  # noqa: T201 - a warning


def reason(error: Exception) -> str:
    """Return the message of an error for a user, without exception class, errno and brackets."""
    if isinstance(error, CertificateError):
        # Without the advice, which is for programmers.
        return f"the certificate of {error.host}, port {error.port}, was not accepted: {error.reason}"
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    return _ERRNO.sub("", str(error))
