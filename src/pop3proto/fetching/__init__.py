"""Download what is new, once, and lose nothing: into a Maildir, an mbox, files, a program, or what you write.

    with connect("pop.example.org") as client:
        report = download_new(client, journal, destination, login=Password("ann", "tanstaaf"))

The same words work, awaited, with a client of asyncio or trio. Nothing here prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from .destination import Arrival, Destination, Found, Journal, NothingStored, NotTaken, Writer
    from .downloading import download_new, plan_download
    from .events import Event, MessageIdentity, MessageState
    from .file_journal import FileJournal, JournalInUse
    from .header import header_digest
    from .history import Entry, History
    from .login import Login
    from .memory_journal import MemoryJournal
    from .plan import Action, Plan, Step
    from .policy import Policy
    from .report import Deleted, Noted, Planned, Problem, ProblemKind, Received, Report, Stored, Tell, Telling, Waiting

__all__ = [
    "Action",
    "Arrival",
    "Deleted",
    "Destination",
    "Entry",
    "Event",
    "FileJournal",
    "Found",
    "History",
    "Journal",
    "JournalInUse",
    "Login",
    "MemoryJournal",
    "MessageIdentity",
    "MessageState",
    "NotTaken",
    "Noted",
    "NothingStored",
    "Plan",
    "Planned",
    "Policy",
    "Problem",
    "ProblemKind",
    "Received",
    "Report",
    "Step",
    "Stored",
    "Tell",
    "Telling",
    "Waiting",
    "Writer",
    "download_new",
    "header_digest",
    "plan_download",
]

export(
    globals(),
    {
        ".destination": "Arrival Destination Found Journal NothingStored NotTaken Writer",
        ".downloading": "download_new plan_download",
        ".events": "Event MessageIdentity MessageState",
        ".file_journal": "FileJournal JournalInUse",
        ".header": "header_digest",
        ".history": "Entry History",
        ".login": "Login",
        ".memory_journal": "MemoryJournal",
        ".plan": "Action Plan Step",
        ".policy": "Policy",
        ".report": "Deleted ProblemKind Noted Planned Problem Received Report Stored Tell Telling Waiting",
    },
)
