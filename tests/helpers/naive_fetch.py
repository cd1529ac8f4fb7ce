"""Fetch mail in sixty lines: as it should be done, and with one of the defects that programs have had.

It shows that the trials find a defect, whatever program they are about.
"""

import contextlib
import functools
import hashlib
import os
import poplib
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

from pop3proto.testing import PASSWORD

DEFECTS = {
    "names by chance": "a kill between file and journal doubles the message",
    "journal first": "a kill between journal and file loses the message",
    "journal at the end": "a kill before it doubles all",
    "deletes first": "a kill behind QUIT loses all",
    "writes in place": "half a message is taken for a whole one",
    "ignores errors": "what could not be stored is deleted",
    "file not synced": "a power failure behind QUIT loses the message",
    "folder not synced": "likewise its name",
    "journal not synced": "likewise what is known of it, so that it comes twice",
}


def main(arguments: Sequence[str]) -> int:
    port, user, target, delete, defect, timeout = arguments
    mailbox = poplib.POP3("127.0.0.1", int(port), timeout=float(timeout))
    try:
        mailbox.user(user)
        mailbox.pass_(PASSWORD)
        fetch(mailbox, Path(target), delete == "delete", defect)
    except (OSError, poplib.error_proto) as error:
        print(error)  # noqa: T201 - a program
        return 1
    finally:
        mailbox.close()
    return 0


def in_a_thread(arguments: Sequence[str]) -> int:
    """As `main`, in another thread than the first."""
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(main(arguments)), daemon=True)
    thread.start()
    thread.join(60)
    return statuses[0]


def fetch(mailbox: poplib.POP3, target: Path, delete: bool, defect: str) -> None:
    for folder in (target, target / "tmp", target / "new", target / "cur"):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
    journal = target / "journal"
    text = journal.read_text() if journal.exists() else ""
    known = set(text.split("\n")[:-1])  # behind the last line end there is half a line
    if text:
        os.truncate(journal, text.rfind("\n") + 1)
    uids = [line.decode().split()[1] for line in mailbox.uidl()[1]]
    octets = {number: retrieved(mailbox, number) for number, uid in enumerate(uids, 1) if uid not in known}
    finish = functools.partial(end, mailbox, range(1, len(uids) + 1) if delete else ())
    if defect == "deletes first":
        finish()
    for number, message in octets.items():
        record = functools.partial(note, journal, uids[number - 1], defect)
        if defect == "journal first":
            record()
        with contextlib.suppress(*[OSError] * (defect == "ignores errors")):
            store(target, uids[number - 1], message, defect)
            if defect not in {"journal first", "journal at the end"}:
                record()
    for number in octets if defect == "journal at the end" else ():
        note(journal, uids[number - 1], defect)
    if defect != "deletes first":
        finish()


def retrieved(mailbox: poplib.POP3, number: int) -> bytes:
    return b"".join(line + b"\n" for line in mailbox.retr(number)[1])


def end(mailbox: poplib.POP3, numbers: Sequence[int]) -> None:
    for number in numbers:
        mailbox.dele(number)
    mailbox.quit()


def store(target: Path, uid: str, message: bytes, defect: str) -> None:
    name = secrets.token_hex(16) if defect in {"names by chance", "journal at the end"} else digest(uid)
    final = target / "new" / name
    if final.exists():
        sync(target / "new")  # a crash may have come before that
        return
    draft = final if defect == "writes in place" else target / "tmp" / name
    with draft.open("wb") as file:
        file.write(message)
        file.flush()
        if defect != "file not synced":
            os.fsync(file.fileno())
    draft.rename(final)
    if defect != "folder not synced":
        sync(target / "new")


def note(journal: Path, uid: str, defect: str) -> None:
    with journal.open("a") as file:
        file.write(f"{uid}\n")
        file.flush()
        if defect != "journal not synced":
            os.fsync(file.fileno())
    sync(journal.parent)


def digest(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
