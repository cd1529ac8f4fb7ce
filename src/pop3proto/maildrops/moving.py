"""Message files that get other names, in another folder or in their own."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from pop3proto._io.moving import move_file

from .names import unique_part

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["fresh_name", "move_message"]


def fresh_name(name: str) -> str:
    """Return a name with another unique part, which no file has, and the same flags and sizes."""
    unique = unique_part(name)
    return f"{unique}R{secrets.token_hex(4)}{name[len(unique) :]}"


def move_message(name: str, folder: int, target: str, to: int, before: Callable[[str], object] = lambda _: None) -> str:
    """Give a message file another name; if another file has that, one like it.

    Args:
        name: the file's name.
        folder: descriptor of its folder.
        target: the name that it is to get.
        to: descriptor of the folder that it gets it in.
        before: is called with each name that is tried, before the file gets it.

    Returns:
        The name that it has got.

    Raises:
        FileNotFoundError: the file is not there, or another program has just moved it.
        OSError: it cannot be moved; it has the old name.
    """
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    while True:
        try:
            other = os.stat(target, dir_fd=to, follow_symlinks=False)
        except FileNotFoundError:
            taken = False
        else:
            taken = not os.path.samestat(other, status)
        if not taken:
            before(target)
            try:
                move_file(name, folder, target, to)
            except FileExistsError:  # another program was faster
                pass
            else:
                return target
        target = fresh_name(target)
