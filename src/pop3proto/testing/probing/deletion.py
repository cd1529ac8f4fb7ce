"""What needs leave to delete: whether a deletion waits for QUIT, and can be taken back."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Final

from pop3proto.core.text import counted

from .findings import Findings
from .mailbox import Mailbox, ask, listings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.procedures.operations import Procedure

    from .logins import Logins
    from .talk import Talk

__all__ = ["SUBJECT", "TEST_MESSAGE", "delete_test_message"]

SUBJECT: Final = "pop3proto probe"
"""The subject of a message that may be deleted."""

TEST_MESSAGE: Final = (
    f"From: pop3proto probe <probe@localhost>\r\nSubject: {SUBJECT}\r\n\r\nThis message may be deleted.\r\n".encode()
)

_SUBJECT: Final = re.compile(rb"(?im)^Subject:[ \t]*%b[ \t]*\r?$" % SUBJECT.encode())
_NEWEST: Final = 50
"""How many messages are looked at."""


def delete_test_message(logins: Logins, findings: Findings, deliver: Callable[[bytes], object] | None) -> str | None:
    """Mark the test message and take that back, mark it and hang up, mark it and say QUIT; look each time.

    Args:
        logins: to begin sessions.
        findings: what is found.
        deliver: puts a message into the maildrop; None: there is one already.

    Returns:
        In words what was done; None if nothing was deleted.
    """
    if deliver is not None:
        deliver(TEST_MESSAGE)
    before, kept, after = Mailbox(), Mailbox(), Mailbox()
    if (uid := _mark_and_hang_up(logins, before, findings)) is None:
        return None
    if not _delete(logins, uid, kept, findings):
        return None
    if (client := logins.log_in_later()) is None:
        return None
    with closing(client):
        client.perform(_list(logins.talk(), after))
    if _number_of(uid, after) is not None:
        findings.add("delete-fails", "The message that was deleted is there again after QUIT.")
    if others := {*before.unique_ids.values()} - {uid, *after.unique_ids.values()}:
        text = f"{counted(len(others), 'other message')} went away, too."
        findings.add("others-changed", text, evidence=f"unique id {min(others)}")
        return None
    return "the test message was deleted at QUIT, not before, and no other message was touched"


def _mark_and_hang_up(logins: Logins, mailbox: Mailbox, findings: Findings) -> str | None:
    if (client := logins.log_in_later()) is None:
        return None
    with closing(client):
        talk = logins.talk()
        client.perform(_list(talk, mailbox))
        uid = client.perform(_find(talk, mailbox, findings))
        if uid is None or (number := _number_of(uid, mailbox)) is None:
            text = f"Nothing was deleted: no message has the subject '{SUBJECT}', or UIDL or TOP does not work."
            findings.add("no-test-message", text)
            return None
        client.perform(_mark_and_take_back(talk, number, mailbox, findings))
        client.perform(_mark(talk, number, mailbox, findings))
    return uid


def _delete(logins: Logins, uid: str, mailbox: Mailbox, findings: Findings) -> bool:
    if (client := logins.log_in_later()) is None:
        return False
    with closing(client):
        talk = logins.talk()
        client.perform(_list(talk, mailbox))
        if (number := _number_of(uid, mailbox)) is None:
            text = "A message that was marked with DELE is gone, although the client hung up without QUIT."
            findings.add("deleted-without-quit", text)
            return False
        if not client.perform(_mark(talk, number, mailbox, findings)):
            return False
        said = client.perform(ask(talk, "QUIT", mailbox, findings))
        if not said.positive:
            findings.add("delete-fails", "QUIT is refused after a deletion.", evidence=said.text)
    return True


def _list(talk: Talk, mailbox: Mailbox) -> Procedure[None]:
    yield from listings(talk, None, mailbox, Findings())


def _find(talk: Talk, mailbox: Mailbox, findings: Findings) -> Procedure[str | None]:
    """Return the unique id of a message that may be deleted: of the newest with the subject; None: there is none."""
    for number in sorted(mailbox.unique_ids, reverse=True)[:_NEWEST]:
        said = yield from ask(talk, f"TOP {number} 0", mailbox, findings)
        if not said.positive:
            return None  # without TOP, each would have to be fetched
        head, _, _ = (yield from talk.body()).content.partition(b"\r\n\r\n")
        uid = mailbox.unique_ids[number]
        if _SUBJECT.search(head) and [*mailbox.unique_ids.values()].count(uid) == 1:
            return uid
    return None


def _number_of(uid: str, mailbox: Mailbox) -> int | None:
    return next((number for number, each in mailbox.unique_ids.items() if each == uid), None)


def _mark(talk: Talk, number: int, mailbox: Mailbox, findings: Findings) -> Procedure[bool]:
    said = yield from ask(talk, f"DELE {number}", mailbox, findings)
    if not said.positive:
        findings.add("delete-fails", f"DELE {number} is refused.", evidence=said.text)
    return said.positive


def _mark_and_take_back(talk: Talk, number: int, mailbox: Mailbox, findings: Findings) -> Procedure[None]:
    if not (yield from _mark(talk, number, mailbox, findings)):
        return
    said = yield from ask(talk, "RSET", mailbox, findings)
    back = yield from ask(talk, "STAT", mailbox, findings)
    if not said.positive or back.text.split()[1:2] != [str(mailbox.count)]:
        text = "RSET does not bring a message back that was marked as deleted."
        findings.add("rset-fails", text, evidence=f"RSET: {said.text}; STAT: {back.text}")
