"""How a fetch fails: one line, and the exit status of the command."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Final

from pop3proto.core.errors import CertificateError

__all__ = ["FAILURE", "USAGE", "Failure", "reason", "visible", "warn"]

FAILURE: Final = 1
USAGE: Final = 2
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
    with contextlib.suppress(OSError):  # standard error is closed
        print(visible(text), file=sys.stderr, flush=True)  # noqa: T201 - a warning


def reason(error: Exception) -> str:
    """Return what an error says to a user, without its class, its number and Python's brackets."""
    if isinstance(error, CertificateError):
        return f"the certificate of {error.host} was not accepted: {error.reason}"  # without what a program can do
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    return _ERRNO.sub("", str(error))


def visible(text: str) -> str:
    r"""Return a text in which nothing moves the cursor, changes colours or turns the direction of writing.

    What does not print is escaped, `\x1b` say; so are octets that were no UTF-8 (`surrogateescape`).
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
