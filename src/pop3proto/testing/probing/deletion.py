"""What needs leave to delete: whether a deletion waits for QUIT, and can be taken back."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import counted

from .findings import Findings
from .mailbox import Mailbox, ask, listings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.procedures.operations import Procedure

    from .logins import Logins
    from .talk import Talk

__all__ = ["SUBJECT", "TEST_MESSAGE", "delete_test_message", "find", "may_go"]

SUBJECT: Final = "pop3proto probe"
"""The subject of a message that may be deleted."""

TEST_MESSAGE: Final = (
    f"From: pop3proto probe <probe@localhost>\r\nSubject: {SUBJECT}\r\n\r\nThis message may be deleted.\r\n".encode()
)

_NEWEST: Final = 50
"""How many messages are looked at."""


@attrs.frozen
class _Test:
    """The test message: all of this must be the same before it is marked again.

    Args:
        uid: its unique id.
        size: in octets, by LIST.
        header: what TOP sends of it.
    """

    uid: str
    size: int | None
    header: bytes


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
    if (test := _mark_and_hang_up(logins, before, findings)) is None:
        return None
    if not _delete(logins, test, kept, findings):
        return None
    if (client := logins.log_in_later()) is None:
        return None
    with closing(client):
        talk = logins.talk()
        client.perform(_list(talk, after))
        again = test.uid in {*after.unique_ids.values()}
        if again and client.perform(_number_of(talk, test, after, findings)) is not None:
            findings.add("delete-fails", "The message that was deleted is there again after QUIT.")
    if again:
        return None
    if others := {*before.unique_ids.values()} - {test.uid, *after.unique_ids.values()}:
        text = f"{counted(len(others), 'other message')} went away, too."
        findings.add("others-changed", text, evidence=f"unique id {min(others)}")
        return None
    return "the test message was deleted at QUIT, not before, and no other message was touched"


def _mark_and_hang_up(logins: Logins, mailbox: Mailbox, findings: Findings) -> _Test | None:
    if (client := logins.log_in_later()) is None:
        return None
    with closing(client):
        talk = logins.talk()
        client.perform(_list(talk, mailbox))
        test = client.perform(find(talk, mailbox, findings))
        if test is None:
            text = f"Nothing was deleted: no message has the subject '{SUBJECT}', or UIDL or TOP does not work."
            findings.add("no-test-message", text)
            return None
        if not client.perform(_mark(talk, test, mailbox, findings)):
            return None
        if client.perform(_take_back(talk, mailbox, findings)):  # else it is still marked
            client.perform(_mark(talk, test, mailbox, findings))
    return test


def _delete(logins: Logins, test: _Test, mailbox: Mailbox, findings: Findings) -> bool:
    if (client := logins.log_in_later()) is None:
        return False
    with closing(client):
        talk = logins.talk()
        client.perform(_list(talk, mailbox))
        if test.uid not in {*mailbox.unique_ids.values()}:
            text = "A message that was marked with DELE is gone, although the client hung up without QUIT."
            findings.add("deleted-without-quit", text)
            return False
        if not client.perform(_mark(talk, test, mailbox, findings)):
            return False
        said = client.perform(ask(talk, "QUIT", mailbox, findings))
        if not said.positive:
            findings.add("delete-fails", "QUIT is refused after a deletion.", evidence=said.text)
    return True


def _list(talk: Talk, mailbox: Mailbox) -> Procedure[None]:
    yield from listings(talk, None, mailbox, Findings())


def find(talk: Talk, mailbox: Mailbox, findings: Findings) -> Procedure[_Test | None]:
    """Return a message that may be deleted: the newest with the subject, and an id of its own; None: there is none."""
    times = Counter(mailbox.unique_ids.values())
    for number in sorted(mailbox.unique_ids, reverse=True)[:_NEWEST]:
        said = yield from ask(talk, f"TOP {number} 0", mailbox, findings)
        if not said.positive:
            return None  # without TOP, each would have to be fetched
        answer = yield from talk.body()
        findings.check_end(answer, f"TOP {number} 0")
        header = answer.content
        uid = mailbox.unique_ids[number]
        if may_go(header) and times[uid] == 1:
            return _Test(uid, mailbox.sizes.get(number), header)
    return None


def may_go(message: bytes) -> bool:
    """Return whether a message has the subject of the test message: in its header, once, on one line."""
    subjects: list[bytes] = []
    in_subject = False
    for line in message.replace(b"\r\n", b"\n").split(b"\n"):
        folded = line.startswith((b" ", b"\t"))
        if folded and in_subject:
            return False
        if not line.strip():
            break
        if not folded:
            name, _, value = line.partition(b":")
            in_subject = name.strip().lower() == b"subject"
            subjects += [value.strip(b" \t")] if in_subject else []
    return subjects == [SUBJECT.encode()]


def _number_of(talk: Talk, test: _Test, mailbox: Mailbox, findings: Findings) -> Procedure[int | None]:
    """Return the number of the test message in this session; None: what has its id is not it for certain."""
    numbers = [number for number, uid in mailbox.unique_ids.items() if uid == test.uid]
    why = f"{counted(len(numbers), 'message')} with its unique id"
    if len(numbers) == 1:
        number, why = numbers[0], "another size in LIST"
        if mailbox.sizes.get(number) == test.size:
            said = yield from ask(talk, f"TOP {number} 0", mailbox, findings)
            why = "another header"
            if said.positive and (yield from talk.body()).content == test.header:
                return number
    text = "The unique id of the test message belongs to something else now, so no more was deleted."
    findings.add("test-message-differs", text, evidence=f"unique id {test.uid}: {why}")
    return None


def _mark(talk: Talk, test: _Test, mailbox: Mailbox, findings: Findings) -> Procedure[bool]:
    if (number := (yield from _number_of(talk, test, mailbox, findings))) is None:
        return False
    said = yield from ask(talk, f"DELE {number}", mailbox, findings)
    if not said.positive:
        findings.add("delete-fails", f"DELE {number} is refused.", evidence=said.text)
    return said.positive


def _take_back(talk: Talk, mailbox: Mailbox, findings: Findings) -> Procedure[bool]:
    said = yield from ask(talk, "RSET", mailbox, findings)
    back = yield from ask(talk, "STAT", mailbox, findings)
    if said.positive and back.text.split()[1:2] == [str(mailbox.count)]:
        return True
    text = "RSET does not bring a message back that was marked as deleted."
    findings.add("rset-fails", text, evidence=f"RSET: {said.text}; STAT: {back.text}")
    return False
