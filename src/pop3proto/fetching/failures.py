"""Failures of a fetch: a one-line message for the user, and the exit status of the command."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    from pop3proto.core.text import visible  # noqa: PLC0415 - the command line imports this module before it knows why

    with contextlib.suppress(OSError):  # standard error may be closed
        print(visible(text), file=sys.stderr, flush=True)  # noqa: T201 - a warning


def reason(error: Exception) -> str:
    """Return the message of an error for a user, without exception class, errno and brackets.

    Advice that names arguments of the library names URLs and options instead.
    """
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = _ERRNO.sub("", str(error))
    for advice, ours in _advice():
        text = text.replace(advice, ours)
    return text


def _advice() -> Iterator[tuple[str, str]]:
    """Yield what the library advises to programs, with what does the same on the command line."""
    from pop3proto._io.tls import TLS_LATER, TRUST_ISSUER  # noqa: PLC0415 - as above
    from pop3proto.core.replies import IMPLICIT_TLS  # noqa: PLC0415 - as above

    yield TRUST_ISSUER, "to trust its issuer, use --ca-file FILE"
    yield TLS_LATER, "use a pop:// URL, or another port"
    yield IMPLICIT_TLS, "use a pops:// URL"
