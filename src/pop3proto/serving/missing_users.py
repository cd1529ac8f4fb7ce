"""Users that their file does not name: whether it can be trusted in that."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from pop3proto._io.files import open_regular
from pop3proto.core.text import visible

from .config.users import FileUsers, HtpasswdUsers, PasswdFileUsers

if TYPE_CHECKING:
    from pathlib import Path

    from .config.main import ServeConfig

__all__ = ["doubt_of_missing", "file_of_users", "is_cut_off"]

_SETTLED: Final = 5  # seconds; what was changed more recently may still be written to


def doubt_of_missing(config: ServeConfig) -> str:
    """Return why a user whom the file of users does not name may exist all the same; "" if there is no reason.

    Programs that write the file in its place empty it first, and a full disk leaves it so: then nothing follows from
    what is missing in it. Call it after the user was looked for.

    Args:
        config: names the file.

    Raises:
        OSError: the file cannot be read.
    """
    path = file_of_users(config)
    if path is None:
        return ""
    octets, changed = _read(path)
    if not any(line.strip() and not line.lstrip().startswith(b"#") for line in octets.split(b"\n")):
        return f"{visible(str(path))} names no users"
    if not octets.endswith(b"\n"):
        return f"{visible(str(path))} ends within a line"
    if abs(time.time() - changed) < _SETTLED:
        return f"{visible(str(path))} has just been changed"
    return ""


def is_cut_off(config: ServeConfig, user: str) -> bool:
    """Return whether the line of a user is the last of the file of users, and has no end: more may belong to it.

    Raises:
        OSError: the file cannot be read.
    """
    path = file_of_users(config)
    if path is None:
        return False
    last = _read(path)[0].rpartition(b"\n")[2]
    return last.partition(b":")[0] == user.encode("utf-8", "surrogateescape")


def file_of_users(config: ServeConfig) -> Path | None:
    """Return the file that has the users; None: there is none, but a program or a database."""
    match config.users:
        case FileUsers(file=path) | PasswdFileUsers(passwd_file=path) | HtpasswdUsers(htpasswd=path):
            return path
        case _:
            return None


def _read(path: Path) -> tuple[bytes, float]:
    with open_regular(path, follow_links=True) as file:
        changed = os.fstat(file.fileno()).st_mtime
        return file.readall() or b"", changed
