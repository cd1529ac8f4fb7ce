"""Files with secrets that other users of this machine may read."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["exposure"]

_OTHERS: Final = 0o077


def exposure(file: int | Path, path: Path, what: str) -> str:
    """Return a note for the user, in one line, if other users may read a file; else "".

    Args:
        file: its descriptor, or its path.
        path: its path, for the note.
        what: the secret that it holds, "private key" for example.

    Raises:
        OSError: there is no such file.
    """
    if os.name != "posix":
        return ""
    mode = os.stat(file).st_mode  # noqa: PTH116 - of a descriptor, too
    if not (stat.S_ISREG(mode) and mode & _OTHERS):
        return ""
    return (
        f"note: other users of this machine may read the {what} in {path} (mode {stat.S_IMODE(mode):04o}): chmod 600 it"
    )
