"""Checks of DELE, RSET and QUIT, which change the maildrop."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import List, Stat, Uidl
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.steps import enter
from pop3proto.testing.checks.verdicts import expect, skip

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["TABLE"]

TABLE: Final = CheckTable("transaction")

_MOST: Final = 200  # messages that are marked


def _need(talk: Conversation, count: int) -> Procedure[dict[int, int]]:
    """Return the sizes of the messages by number, of which there must be some."""
    listing = dict((yield from talk.call(List())))
    if len(listing) < count:
        skip(f"the maildrop has {len(listing)} messages, and {count} are needed")
    return listing


def _first(talk: Conversation, count: int = 1) -> Procedure[int]:
    """Return the number of a message; there must be so many of them."""
    return min((yield from _need(talk, count)))


def _contents(talk: Conversation) -> Procedure[list[str]]:
    """Return what tells the messages: unique ids, or sizes where there are none."""
    if talk.facts.uidl:
        return sorted((yield from talk.call(Uidl())).values())
    return sorted(map(str, (yield from talk.call(List())).values()))


def _keeps(talk: Conversation, before: list[str]) -> Procedure[list[str]]:
    """Expect that what was in the maildrop is there still; there may be new mail. Return all that there is."""
    after = yield from _contents(talk)
    gone = Counter(before) - Counter(after)
    expect(not gone, f"{gone.total()} of the {len(before)} messages that were to be kept are not there")
    return after


@TABLE.must("A message that is marked as deleted is refused by LIST and RETR.", "1939 5", Need.DELETING)
def dele_hides_message(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk)
    yield from talk.accepted(b"DELE %d" % number)
    for line in (b"LIST %d" % number, b"RETR %d" % number):
        yield from talk.refused(line)


@TABLE.must("A message that is marked as deleted is refused by UIDL.", "1939 7", Need.DELETING, Need.UIDL)
def dele_hides_unique_id(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk)
    yield from talk.accepted(b"DELE %d" % number)
    yield from talk.refused(b"UIDL %d" % number)
    expect(number not in (yield from talk.call(Uidl())), "UIDL still has it")


@TABLE.must("A message that is marked as deleted is refused by TOP.", "1939 7", Need.DELETING, Need.TOP)
def dele_hides_top(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk)
    yield from talk.accepted(b"DELE %d" % number)
    yield from talk.refused(b"TOP %d 0" % number)


@TABLE.must("DELE of a message that is marked already is refused.", "1939 5", Need.DELETING)
def dele_twice(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk)
    yield from talk.accepted(b"DELE %d" % number)
    yield from talk.refused(b"DELE %d" % number)


@TABLE.must("DELE without a number marks nothing, nor does one with two.", "1939 3", Need.DELETING)
def dele_argument(talk: Conversation) -> Procedure[None]:
    count = len((yield from _need(talk, 1)))
    for line in (b"DELE", b"DELE 0", b"DELE -1"):
        yield from talk.refused(line)
    expect((yield from talk.call(Stat())).count == count, "a message was marked all the same")


@TABLE.must("After DELE, LIST leaves the message out, and the others keep their numbers.", "1939 4", Need.DELETING)
def list_after_dele_keeps_numbers(talk: Conversation) -> Procedure[None]:
    before = yield from _need(talk, 2)
    number = min(before)
    yield from talk.accepted(b"DELE %d" % number)
    after = dict((yield from talk.call(List())))
    del before[number]
    expect(after == before, f"LIST has {after}, and should have {before}"[:300])


@TABLE.must("After DELE, STAT does not count the message.", "1939 5", Need.DELETING)
def stat_after_dele(talk: Conversation) -> Procedure[None]:
    sizes = yield from _need(talk, 1)
    number = min(sizes)
    before = yield from talk.call(Stat())
    yield from talk.accepted(b"DELE %d" % number)
    after = yield from talk.call(Stat())
    expect(after.count == before.count - 1, f"it counted {before.count}, and now {after.count}")
    expect(after.octets == before.octets - sizes[number], f"it had {before.octets} octets, and now {after.octets}")


@TABLE.must("RSET takes the marks away.", "1939 5", Need.DELETING)
def rset_unmarks(talk: Conversation) -> Procedure[None]:
    before = yield from _need(talk, 1)
    number = min(before)
    yield from talk.accepted(b"DELE %d" % number)
    yield from talk.accepted(b"RSET")
    after = dict((yield from talk.call(List())))
    expect(after == before, f"LIST has {len(after)} messages, and had {len(before)}")


@TABLE.must("LIST of an empty maildrop is accepted, and empty.", "1939 5", Need.DELETING)
def list_when_empty(talk: Conversation) -> Procedure[None]:
    yield from _mark_all(talk)
    body = yield from talk.ask_for_body(b"LIST")
    expect(not body, f"it has {len(body)} octets")
    status = yield from talk.call(Stat())
    expect(status.count == status.octets == 0, f"STAT counts {status.count} messages of {status.octets} octets")


@TABLE.must("UIDL of an empty maildrop is accepted, and empty.", "1939 7", Need.DELETING, Need.UIDL)
def uidl_when_empty(talk: Conversation) -> Procedure[None]:
    yield from _mark_all(talk)
    body = yield from talk.ask_for_body(b"UIDL")
    expect(not body, f"it has {len(body)} octets")


def _mark_all(talk: Conversation) -> Procedure[None]:
    numbers = yield from _need(talk, 0)
    if len(numbers) > _MOST:
        skip(f"the maildrop has more than {_MOST} messages")
    for number in numbers:
        yield from talk.accepted(b"DELE %d" % number)


@TABLE.must("A queued command sees what those before it have done.", "2449 6.6", Need.PIPELINING, Need.DELETING)
def pipelined_effects(talk: Conversation) -> Procedure[None]:
    listing = yield from _need(talk, 1)
    count = len(listing)
    yield from talk.send(b"DELE %d\r\nSTAT\r\n" % min(listing))
    yield from talk.reply()
    status = Stat().parse((yield from talk.positive()))
    expect(status.count == count - 1, f"STAT counts {status.count} messages behind DELE, and {count} before it")


@TABLE.must("A hang-up without QUIT removes nothing.", "1939 6", Need.DELETING)
def hang_up_keeps(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk)
    before = yield from _contents(talk)
    yield from talk.accepted(b"DELE %d" % number)
    yield from talk.hang_up()
    talk = yield from enter("transaction", talk.target, talk.facts)
    yield from _keeps(talk, before)


@TABLE.must("What RSET has unmarked is there after QUIT.", "1939 5", Need.DELETING)
def rset_keeps(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk)
    before = yield from _contents(talk)
    for line in (b"DELE %d" % number, b"RSET", b"QUIT"):
        yield from talk.accepted(line)
    talk = yield from enter("transaction", talk.target, talk.facts)
    yield from _keeps(talk, before)


@TABLE.must("QUIT removes what is marked, and nothing else, and the server hangs up.", "1939 6", Need.DELETING)
def quit_removes_marked(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk, 2)
    before = yield from _contents(talk)
    marked: str | None
    if talk.facts.uidl:
        marked = (yield from talk.call(Uidl())).get(number)
    else:
        marked = str((yield from talk.call(List())).get(number))
    if marked is None or marked not in before:
        skip(f"UIDL lacks message {number}, which LIST has")
    yield from talk.accepted(b"DELE %d" % number)
    yield from talk.accepted(b"QUIT")
    yield from talk.ends()
    talk = yield from enter("transaction", talk.target, talk.facts)
    before.remove(marked)
    after = yield from _keeps(talk, before)
    if not talk.facts.uidl and len(after) > len(before) + 1:
        skip("there are new messages, and no unique ids that would tell them from the one that was marked")
    expect(after.count(marked) <= before.count(marked), "the message that was marked is still there")


@TABLE.must(
    "A message that was retrieved, and not deleted, stays, unless EXPIRE 0 is announced.", "1939 6", Need.DELETING
)
def retr_keeps(talk: Conversation) -> Procedure[None]:
    number = yield from _first(talk)
    known = talk.facts.logged_in or talk.facts.capabilities
    if known is not None and known.expire is not None and known.expire.days == 0:
        skip("the server announces EXPIRE 0")
    before = yield from _contents(talk)
    yield from talk.ask_for_body(b"RETR %d" % number)
    yield from talk.accepted(b"QUIT")
    talk = yield from enter("transaction", talk.target, talk.facts)
    yield from _keeps(talk, before)


@TABLE.should("A unique id is not used again for another message.", "1939 7", Need.DELETING, Need.DELIVERY, Need.UIDL)
def uidl_not_used_again(talk: Conversation) -> Procedure[None]:
    yield from _need(talk, 1)
    listing = yield from talk.call(Uidl())
    if not listing:
        skip("UIDL has no message")
    last = max(listing)
    yield from talk.accepted(b"DELE %d" % last)
    yield from talk.accepted(b"QUIT")
    yield from talk.deliver(b"Subject: another message\r\n\r\nAnother one.\r\n")
    talk = yield from enter("transaction", talk.target, talk.facts)
    now = list((yield from talk.call(Uidl())).values())
    expect(listing[last] not in now, f"{listing[last]} is used again")
