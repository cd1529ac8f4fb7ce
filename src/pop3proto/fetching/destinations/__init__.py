"""Where a fetch stores mail: a Maildir, an mbox, single files, standard output, a program; and a base for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .each import DeliverEach, Delivered
    from .files import FilesDestination
    from .maildir import MaildirDestination
    from .mbox import MboxDestination, NotMbox
    from .program import ProgramDestination
    from .stdout import StdoutDestination

__all__ = [
    "DeliverEach",
    "Delivered",
    "FilesDestination",
    "MaildirDestination",
    "MboxDestination",
    "NotMbox",
    "ProgramDestination",
    "StdoutDestination",
]

export(
    globals(),
    {
        ".each": "DeliverEach Delivered",
        ".files": "FilesDestination",
        ".maildir": "MaildirDestination",
        ".mbox": "MboxDestination NotMbox",
        ".program": "ProgramDestination",
        ".stdout": "StdoutDestination",
    },
)
