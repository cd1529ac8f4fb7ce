"""Checks of STAT, LIST, UIDL, RETR, TOP and NOOP: what changes nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import List, Stat, Uidl
from pop3proto.core.dots import BodyDecoder
from pop3proto.core.replies import Ok
from pop3proto.core.text import excerpt
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.verdicts import expect, skip

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["TABLE"]

TABLE: Final = CheckTable("transaction")

_DROP_LISTING: Final = re.compile(rb"\+OK [0-9]+ [0-9]+(?: .*)?\r\n", re.DOTALL)
_BARE_DROP_LISTING: Final = re.compile(rb"\+OK [0-9]+ [0-9]+\r\n")
_SCAN_LISTING: Final = re.compile(rb"[1-9][0-9]* [0-9]+(?: .*)?", re.DOTALL)
_UNIQUE_ID: Final = re.compile(rb"[1-9][0-9]* [!-~]{1,70}")
_MOST: Final = 20  # messages that are looked at
_LARGEST: Final = 2_000_000  # octets of a message that is read
_BAD_NUMBERS: Final = (b"0", b"-1", b"+1", b"1a", b"1.0", b"123456789012345678901234567890")


def _few(talk: Conversation) -> Procedure[dict[int, int]]:
    """Return the sizes of the first messages that are not too large, by number."""
    listing = yield from talk.call(List())
    few = dict([(number, size) for number, size in listing.items() if size < _LARGEST][:_MOST])
    if not few:
        skip("there is no message that is small enough")
    return few


def _missing(talk: Conversation) -> Procedure[bytes]:
    """Return a number that no message has."""
    return b"%d" % ((yield from talk.call(Stat())).count + 1)


def _line_for(talk: Conversation, line: bytes) -> Procedure[bytes]:
    yield from talk.send(line + b"\r\n")
    return (yield from talk.line())


@TABLE.must("The minimal commands are there: STAT, LIST, NOOP, RSET.", "1939 3")
def minimal_commands(talk: Conversation) -> Procedure[None]:
    for line in (b"STAT", b"NOOP", b"RSET"):
        yield from talk.accepted(line)
    yield from talk.ask_for_body(b"LIST")


@TABLE.must("NOOP with an argument is refused.", "1939 3")
def noop_argument(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"NOOP now")


@TABLE.must("STAT with an argument is refused.", "1939 3")
def stat_argument(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"STAT 1")


@TABLE.must("RSET with an argument is refused.", "1939 3")
def rset_argument(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"RSET 1")


@TABLE.must("An unknown command is refused after login, too.", "1939 3")
def unknown_command_after_login(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"XYZZ")
    yield from talk.accepted(b"NOOP")


@TABLE.must("The case of keywords does not matter after login either.", "1939 3")
def keyword_case_after_login(talk: Conversation) -> Procedure[None]:
    yield from talk.accepted(b"noop")
    yield from talk.accepted(b"StAt")


@TABLE.must("STAT is answered by a count, one space and a size.", "1939 5")
def stat_form(talk: Conversation) -> Procedure[None]:
    line = yield from _line_for(talk, b"STAT")
    expect(_DROP_LISTING.fullmatch(line), f"it is {excerpt(line)}")


@TABLE.should("Nothing follows the size in the answer to STAT.", "1939 5")
def stat_nothing_follows(talk: Conversation) -> Procedure[None]:
    line = yield from _line_for(talk, b"STAT")
    expect(_BARE_DROP_LISTING.fullmatch(line), f"it is {excerpt(line)}")


@TABLE.must("STAT counts the messages that LIST has.", "1939 5")
def stat_counts_messages(talk: Conversation) -> Procedure[None]:
    status, listing = (yield from talk.call(Stat())), (yield from talk.call(List()))
    expect(status.count == len(listing), f"STAT has {status.count}, LIST {len(listing)}")


@TABLE.must("STAT adds up the sizes that LIST has.", "1939 5")
def stat_adds_up_sizes(talk: Conversation) -> Procedure[None]:
    status, listing = (yield from talk.call(Stat())), (yield from talk.call(List()))
    octets = sum(listing.values())
    expect(status.octets == octets, f"STAT has {status.octets} octets, LIST {octets}")


@TABLE.must("After login the messages have the numbers from 1 up.", "1939 4")
def numbers_from_one(talk: Conversation) -> Procedure[None]:
    numbers = list((yield from talk.call(List())))
    expect(sorted(numbers) == list(range(1, len(numbers) + 1)), f"they are {numbers[:_MOST]}")


@TABLE.must("A row of LIST is a number, one space and a size.", "1939 5", Need.MESSAGES)
def list_form(talk: Conversation) -> Procedure[None]:
    for row in (yield from talk.ask_for_body(b"LIST")).split(b"\r\n")[:-1]:
        expect(_SCAN_LISTING.fullmatch(row), f"a row is {excerpt(row)}")


@TABLE.must("LIST with a number is answered by the one row, on one line.", "1939 5", Need.MESSAGES)
def list_one(talk: Conversation) -> Procedure[None]:
    number, size = next(iter((yield from _few(talk)).items()))
    line = yield from _line_for(talk, b"LIST %d" % number)
    row = re.fullmatch(rb"\+OK %d %d(?: .*)?\r\n" % (number, size), line, re.DOTALL)
    expect(row, f"{excerpt(line)} came; in LIST message {number} has {size} octets")
    yield from talk.accepted(b"NOOP")


@TABLE.must("RETR sends as many octets as LIST says.", "1939 11", Need.MESSAGES)
def size_is_exact(talk: Conversation) -> Procedure[None]:
    wrong: list[str] = []
    few = yield from _few(talk)
    for number, size in few.items():
        octets = len((yield from talk.ask_for_body(b"RETR %d" % number)))
        if octets != size:
            wrong.append(f"message {number} has {octets} octets, not {size}")
    expect(not wrong, f"{'; '.join(wrong[:3])}: {len(wrong)} of {len(few)}")


@TABLE.must("A message that is not there is refused.", "1939 5")
def no_such_message(talk: Conversation) -> Procedure[None]:
    missing = yield from _missing(talk)
    for line in (b"LIST ", b"RETR "):
        yield from talk.refused(line + missing)


@TABLE.must("DELE of a message that is not there is refused.", "1939 5")
def dele_no_such_message(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"DELE " + (yield from _missing(talk)))


@TABLE.must("TOP of a message that is not there is refused.", "1939 7", Need.TOP)
def top_no_such_message(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"TOP %b 0" % (yield from _missing(talk)))


@TABLE.must("UIDL of a message that is not there is refused.", "1939 7", Need.UIDL)
def uidl_no_such_message(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"UIDL " + (yield from _missing(talk)))


@TABLE.must("-ERR is one line, also to commands whose +OK has a body.", "1939 3")
def refusal_is_one_line(talk: Conversation) -> Procedure[None]:
    missing = yield from _missing(talk)
    yield from talk.send(b"RETR %b\r\n" % missing)
    yield from talk.reply()
    yield from talk.accepted(b"NOOP")


@TABLE.must("RETR takes nothing but a message number.", "1939 3", Need.MESSAGES)
def retr_bad_number(talk: Conversation) -> Procedure[None]:
    for number in _BAD_NUMBERS:
        yield from talk.refused(b"RETR " + number)


@TABLE.must("LIST takes nothing but a message number.", "1939 3", Need.MESSAGES)
def list_bad_number(talk: Conversation) -> Procedure[None]:
    for number in _BAD_NUMBERS:
        yield from talk.refused(b"LIST " + number)


@TABLE.must("RETR, DELE and TOP without their arguments are refused.", "1939 3")
def argument_missing(talk: Conversation) -> Procedure[None]:
    for line in (b"RETR", b"DELE", b"TOP"):
        yield from talk.refused(line)


@TABLE.must("Exactly one space stands before an argument.", "1939 3", Need.MESSAGES)
def two_spaces(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"LIST  1")


@TABLE.must("RETR with the number of a message is answered by a body.", "1939 5", Need.MESSAGES)
def retr_sends_message(talk: Conversation) -> Procedure[None]:
    number = next(iter((yield from _few(talk))))
    yield from talk.ask_for_body(b"RETR %d" % number)
    yield from talk.accepted(b"NOOP")


@TABLE.must("RETR may be repeated, and sends the same.", "1939 5", Need.MESSAGES)
def retr_again(talk: Conversation) -> Procedure[None]:
    number = next(iter((yield from _few(talk))))
    first = yield from talk.ask_for_body(b"RETR %d" % number)
    second = yield from talk.ask_for_body(b"RETR %d" % number)
    expect(first == second, f"message {number} was another one the second time")


@TABLE.must("No line of a body begins with a single dot, but the last.", "1939 3", Need.MESSAGES)
def dots_are_doubled(talk: Conversation) -> Procedure[None]:
    for number in (yield from _few(talk)):
        yield from talk.accepted(b"RETR %d" % number)
        for line in (yield from talk.raw_body()).split(b"\r\n")[:-2]:
            expect(not line.startswith(b".") or line.startswith(b".."), f"message {number} has {excerpt(line)}")


def _whole(talk: Conversation) -> Procedure[tuple[int, bytes, bytes]]:
    """Return the number of a message with a blank line, its header with that line, and its body."""
    for number in (yield from _few(talk)):
        header, blank, body = (yield from talk.ask_for_body(b"RETR %d" % number)).partition(b"\r\n\r\n")
        if blank:
            return number, header + blank, body
    skip("no message has a blank line")


@TABLE.must("TOP with no lines sends the header and the blank line.", "1939 7", Need.TOP, Need.MESSAGES)
def top_of_no_lines(talk: Conversation) -> Procedure[None]:
    number, header, _ = yield from _whole(talk)
    top = yield from talk.ask_for_body(b"TOP %d 0" % number)
    expect(top == header, f"{len(top)} octets came, the header and the blank line have {len(header)}")


@TABLE.must("TOP sends as many lines of the body as were asked for.", "1939 7", Need.TOP, Need.MESSAGES)
def top_of_one_line(talk: Conversation) -> Procedure[None]:
    number, header, body = yield from _whole(talk)
    top = yield from talk.ask_for_body(b"TOP %d 1" % number)
    first, end, _ = body.partition(b"\r\n")  # a CR alone ends no line
    expect(top == header + first + end, f"{excerpt(top[len(header) :])} came behind the header")


@TABLE.must("TOP with more lines than there are sends the whole message.", "1939 7", Need.TOP, Need.MESSAGES)
def top_of_all_lines(talk: Conversation) -> Procedure[None]:
    number = next(iter((yield from _few(talk))))
    whole = yield from talk.ask_for_body(b"RETR %d" % number)
    top = yield from talk.ask_for_body(b"TOP %d 999999" % number)
    expect(top == whole, f"{len(top)} octets came, RETR sends {len(whole)}")


@TABLE.must("TOP takes two numbers, and nothing else.", "1939 7", Need.TOP, Need.MESSAGES)
def top_bad_arguments(talk: Conversation) -> Procedure[None]:
    for line in (b"TOP 1", b"TOP 1 -1", b"TOP 1 x", b"TOP 1 2 3", b"TOP 0 0"):
        yield from talk.refused(line)


@TABLE.must(
    "A row of UIDL is a number, one space, and 1 to 70 octets in 0x21-0x7E.", "1939 7", Need.UIDL, Need.MESSAGES
)
def uidl_form(talk: Conversation) -> Procedure[None]:
    for row in (yield from talk.ask_for_body(b"UIDL")).split(b"\r\n")[:-1]:
        expect(_UNIQUE_ID.fullmatch(row), f"a row is {excerpt(row)}")


@TABLE.must("UIDL with a number is answered by the one row, on one line.", "1939 7", Need.UIDL, Need.MESSAGES)
def uidl_one(talk: Conversation) -> Procedure[None]:
    listing = yield from talk.call(Uidl())
    number = next(iter(listing), None)
    if number is None:
        skip("UIDL has no message")
    line = yield from _line_for(talk, b"UIDL %d" % number)
    expect(line == f"+OK {number} {listing[number]}\r\n".encode(), f"{excerpt(line)} came; UIDL has {listing[number]}")
    yield from talk.accepted(b"NOOP")


@TABLE.must("UIDL has the messages that LIST has.", "1939 7", Need.UIDL)
def uidl_has_all(talk: Conversation) -> Procedure[None]:
    listing, sizes = (yield from talk.call(Uidl())), (yield from talk.call(List()))
    expect(not listing.duplicates and set(listing) == set(sizes), f"LIST has {len(sizes)}, UIDL {len(listing)}")


@TABLE.should("Messages have different unique ids, unless they are copies.", "1939 7", Need.UIDL, Need.MESSAGES)
def uidl_differ(talk: Conversation) -> Procedure[None]:
    listing = yield from talk.call(Uidl())
    numbers: dict[str, list[int]] = {}
    for number, unique_id in listing.items():
        numbers.setdefault(unique_id, []).append(number)
    for first, second, *_ in (each for each in numbers.values() if len(each) > 1):
        one = yield from talk.ask_for_body(b"RETR %d" % first)
        other = yield from talk.ask_for_body(b"RETR %d" % second)
        expect(one == other, f"messages {first} and {second} have the same unique id")


@TABLE.must("Queued commands are answered one after the other.", "2449 6.6", Need.PIPELINING)
def pipelined_in_order(talk: Conversation) -> Procedure[None]:
    yield from talk.send(b"STAT\r\nLIST\r\nXYZZ\r\nNOOP\r\nCAPA\r\n")
    status = Stat().parse((yield from talk.positive()))
    listing = List().parse((yield from talk.positive()), (yield from talk.body()))
    expect(status.count == len(listing), "STAT and LIST do not fit together")
    expect(not isinstance((yield from talk.reply()), Ok), "XYZZ was accepted")
    yield from talk.positive()
    yield from talk.positive()
    yield from talk.body()


@TABLE.practice("Sixty queued commands are all answered.", "2449 6.6", Need.PIPELINING)
def pipelined_many(talk: Conversation) -> Procedure[None]:
    yield from talk.send(60 * b"NOOP\r\n")
    for _ in range(60):
        yield from talk.positive()


@TABLE.must("Queued RETRs are answered whole and in order.", "2449 6.6", Need.PIPELINING, Need.MESSAGES)
def pipelined_retr(talk: Conversation) -> Procedure[None]:
    numbers = list((yield from _few(talk)))[:5]
    alone: list[bytes] = []
    for number in numbers:
        alone.append((yield from talk.ask_for_body(b"RETR %d" % number)))  # noqa: PERF401 - there is no `yield` there
    yield from talk.send(b"".join(b"RETR %d\r\n" % number for number in numbers))
    for number, message in zip(numbers, alone, strict=True):
        yield from talk.positive()
        queued = BodyDecoder().feed((yield from talk.raw_body()))
        expect(queued == message, f"message {number} is another one if it is queued")
