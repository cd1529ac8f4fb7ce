"""The folder around a Maildir, which the administrator makes: what to say if it is not there."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from pop3proto.core.text import visible

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["lacking_folder"]


def lacking_folder(maildir: Path, owner: str | None) -> str:
    """Return which folder around a Maildir does not exist, and how it is made; "" if there is nothing to say.

    Args:
        maildir: the Maildir, which may not exist, either.
        owner: the user as whom the server runs; None: the configuration names none.
    """
    folder = maildir.absolute().parent
    with suppress(OSError):
        if folder.exists():
            return ""
        missing = next(each for each in reversed((folder, *folder.parents)) if not each.exists())
        text = f"the folder {visible(str(missing))} does not exist"
        if missing != folder:  # more than the folder of one user
            return f"{text}: is a disk not mounted?"
        of = "" if owner is None else f"-o {shlex.quote(owner)} "
        return f"{text}; make it: install -d {of}-m 0700 {shlex.quote(str(missing))}"
    return ""
