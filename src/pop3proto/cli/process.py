"""What commands set for their process, and a warning about files with secrets that others can read."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final

from pop3proto._io.open_files import allow_open_files, most_open_files

from .failures import warn

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["disable_core_dumps", "keep_free_memory", "raise_descriptor_limit", "warn_if_readable"]

_PER_SESSION: Final = 2  # descriptors: the connection, and the lock or a message
_SPARE: Final = 64
_LARGE: Final = 1 << 21


def disable_core_dumps() -> None:
    """Keep the system from writing core files: passwords are in memory."""
    try:
        import resource  # noqa: PLC0415 - POSIX systems alone have it
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def keep_free_memory() -> None:
    """Let the allocator keep a few MiB of free memory, where it is glibc's.

    It keeps twice the largest block that was ever freed. At first that is less than what a large message takes on its
    way: each of its chunks would be given back to the system and asked for again, page by page, which takes as long as
    all the work on it.
    """
    block = bytes(_LARGE)  # no page of it is touched
    del block


def raise_descriptor_limit(sessions: int) -> None:
    """Raise the soft limit of open files to what the sessions need, or warn that they do not fit.

    Args:
        sessions: how many there may be at once.
    """
    needed = sessions * _PER_SESSION + _SPARE
    soft, hard = most_open_files()
    if soft >= needed:
        return
    allow_open_files(int(min(needed, hard)))
    most, _ = most_open_files()
    if most < needed:
        warn(
            f"note: {sessions} sessions need {needed} open files, and the limit is {most:.0f}: raise it (ulimit -n) or "
            "lower --max-sessions"
        )


def warn_if_readable(file: int | Path, name: Path, what: str) -> None:
    """Warn if all users of this machine can read a file that holds a secret.

    Args:
        file: its descriptor, or its path.
        name: its path, for the warning.
        what: what it is.
    """
    if os.name != "posix":
        return
    mode = os.stat(file).st_mode  # noqa: PTH116 - of a descriptor, too
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        warn(f"note: all users of this machine can read the {what} file {name}: chmod o-rwx it")
