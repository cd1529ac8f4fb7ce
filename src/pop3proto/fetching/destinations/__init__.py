"""Where a fetch stores mail: a Maildir, an mbox, single files, standard output, a program; and a base for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .maildir import MaildirDestination

__all__ = ["MaildirDestination"]

export(
    globals(),
    {
        ".maildir": "MaildirDestination",
    },
)
