"""Checks with two sessions, of messages that are delivered for them, of languages, and of waiting."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import Stat, Uidl
from pop3proto.core.replies import Ok, ResponseCode
from pop3proto.core.text import excerpt
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.steps import LoginRefused, enter, log_in
from pop3proto.testing.checks.verdicts import CheckFailed, expect, skip

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["BEFORE_LOGIN", "LOGGED_IN"]

BEFORE_LOGIN: Final = CheckTable("authorization")
LOGGED_IN: Final = CheckTable("transaction")

_LOOKED_AT: Final = 30  # messages among which a delivered one is looked for
_TAGGED: Final = re.compile(rb"\+OK [A-Za-z0-9-]{1,40}(?: .*)?\r\n", re.DOTALL)
_LANGUAGE: Final = re.compile(rb"[A-Za-z0-9-]{1,40}(?: .+)?", re.DOTALL)
_LONGEST_DELAY: Final = 30  # seconds that a LOGIN-DELAY is waited for
_IDLE: Final = 600  # seconds
_NEARLY: Final = 400


def _login_while_locked(talk: Conversation) -> Procedure[LoginRefused | None]:
    """As `_second_login`, but later than a LOGIN-DELAY, which would be another reason to refuse it."""
    known = talk.facts.logged_in or talk.facts.capabilities
    delay = known.login_delay.seconds if known is not None and known.login_delay is not None else 0
    if delay > _LONGEST_DELAY:
        skip(f"a second login is refused for {delay} seconds in any case: LOGIN-DELAY")
    if delay:
        yield from talk.pause(delay)
    refusal = yield from _second_login(talk)
    if refusal is not None and refusal.code == ResponseCode.LOGIN_DELAY:
        skip(f"it was refused because it came too early: {refusal}")
    return refusal


def _second_login(talk: Conversation) -> Procedure[LoginRefused | None]:
    """Log in a second time; return how that was refused; None: it was not."""
    other = yield from talk.another()
    yield from other.begin()
    try:
        yield from log_in(other)
    except LoginRefused as error:
        return error
    return None


@LOGGED_IN.must("The maildrop is locked: a second login is refused meanwhile.", "1939 4")
def maildrop_locked(talk: Conversation) -> Procedure[None]:
    refusal = yield from _login_while_locked(talk)
    expect(refusal is not None, "both sessions have the maildrop")
    yield from talk.accepted(b"NOOP")


@LOGGED_IN.must("With RESP-CODES, that refusal has [IN-USE].", "2449 8.1.2", Need.RESP_CODES)
def in_use_code(talk: Conversation) -> Procedure[None]:
    refusal = yield from _login_while_locked(talk)
    if refusal is None:
        skip("a second login is not refused")
    expect(f"[{ResponseCode.IN_USE}]" in str(refusal).upper(), str(refusal))


@LOGGED_IN.must("After a hang-up the maildrop can be opened again.", "1939 6")
def lock_ends_with_session(talk: Conversation) -> Procedure[None]:
    yield from talk.hang_up()
    try:
        yield from enter("transaction", talk.target, talk.facts)
    except LoginRefused as error:
        raise CheckFailed(f"it cannot be, seconds later: {error}") from error


@LOGGED_IN.must("Unique ids are the same in the next session.", "1939 7", Need.UIDL, Need.MESSAGES)
def uidl_stable(talk: Conversation) -> Procedure[None]:
    before = dict((yield from talk.call(Uidl())))
    yield from talk.hang_up()
    talk = yield from enter("transaction", talk.target, talk.facts)
    after = dict((yield from talk.call(Uidl())))
    changed = [number for number, unique_id in before.items() if after.get(number) != unique_id]
    expect(not changed, f"those of {len(changed)} messages of {len(before)} have changed")


@LOGGED_IN.must("A message that is delivered meanwhile is not seen by an open session.", "1939 4", Need.DELIVERY)
def new_mail_not_seen(talk: Conversation) -> Procedure[None]:
    before = yield from talk.call(Stat())
    yield from talk.deliver(b"Subject: delivered meanwhile\r\n\r\nIt belongs to the next session.\r\n")
    after = yield from talk.call(Stat())
    expect(after == before, f"there were {before.count} messages, and now there are {after.count}")


def _delivered(talk: Conversation, name: bytes, body: bytes) -> Procedure[tuple[bytes, int]]:
    """Deliver a message, log in, and return what comes of its body, and the size that LIST has."""
    mark = b"X-Pop3proto-Check: " + name
    yield from talk.deliver(b"Subject: a message of a check\r\n" + mark + b"\r\n\r\n" + body)
    try:
        talk = yield from enter("transaction", talk.target, talk.facts)
    except LoginRefused as error:
        raise CheckFailed(f"with this message in the maildrop nobody can log in: {error}") from error
    count = (yield from talk.call(Stat())).count
    for number in range(count, max(count - _LOOKED_AT, 0), -1):
        message = yield from talk.ask_for_body(b"RETR %d" % number)
        header, _, rest = message.partition(b"\r\n\r\n")
        if mark in header:
            listing = yield from talk.accepted(b"LIST %d" % number)
            size = re.match(r"[0-9]+ ([0-9]+)", listing.text)
            expect(size, f"LIST tells no size: {listing.text}")
            return rest, int(size[1] if size else 0) - len(header) - 4
    skip("the message that was delivered is not there")


@BEFORE_LOGIN.must("Lines that begin with dots come as they were delivered.", "1939 3", Need.LOGIN, Need.DELIVERY)
def dots_kept(talk: Conversation) -> Procedure[None]:
    body = b".\r\n..\r\n.a\r\nb.c\r\n. \r\n...\r\nend\r\n"
    came, _ = yield from _delivered(talk, b"dots", body)
    expect(came.rstrip() == body.rstrip(), f"{came!r} came")


@BEFORE_LOGIN.practice("Octets above 127 come as they were delivered.", "6856 2.1", Need.LOGIN, Need.DELIVERY)
def eight_bit_kept(talk: Conversation) -> Procedure[None]:
    body = bytes(range(0x80, 0x100)) + b"\r\nend\r\n"
    came, _ = yield from _delivered(talk, b"octets", body)
    expect(came.rstrip() == body.rstrip(), f"{excerpt(came)} came")


@BEFORE_LOGIN.practice("A line of 20,000 octets comes as it was delivered.", "5322 2.1.1", Need.LOGIN, Need.DELIVERY)
def long_line_kept(talk: Conversation) -> Procedure[None]:
    body = 20_000 * b"x" + b"\r\nend\r\n"
    came, _ = yield from _delivered(talk, b"long", body)
    expect(came.rstrip() == body.rstrip(), f"{len(came)} octets came")


@BEFORE_LOGIN.practice(
    "A message without a line end at its end gets one, and its size counts it.", "1939 11", Need.LOGIN, Need.DELIVERY
)
def last_line_end(talk: Conversation) -> Procedure[None]:
    came, size = yield from _delivered(talk, b"end", b"first\r\nlast")
    expect(came == b"first\r\nlast\r\n", f"{came!r} came")
    expect(size == len(came), f"the size has {size} octets for the {len(came)} of the body")


@BEFORE_LOGIN.practice(
    "Lines that are stored with LF alone come with CRLF, and their size counts it.",
    "1939 11",
    Need.LOGIN,
    Need.DELIVERY,
)
def bare_lf_stored(talk: Conversation) -> Procedure[None]:
    came, size = yield from _delivered(talk, b"lf", b"one\n.\ntwo\n")
    expect(came == b"one\r\n.\r\ntwo\r\n", f"{came!r} came")
    expect(size == len(came), f"the size has {size} octets for the {len(came)} of the body")


@BEFORE_LOGIN.must("UTF8 with an argument is refused.", "6856 2.1", Need.UTF8)
def utf8_argument(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"UTF8 USER")


@BEFORE_LOGIN.must("UTF8 is answered, and the session goes on before login.", "6856 2.1", Need.UTF8)
def utf8_answered(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"UTF8")
    yield from talk.ask_for_body(b"CAPA")


@BEFORE_LOGIN.must("LANG lists languages, each by its tag.", "6856 3.2", Need.LANG)
def lang_lists(talk: Conversation) -> Procedure[None]:
    if not isinstance((yield from talk.ask(b"LANG")), Ok):
        return  # it may be refused
    for row in (yield from talk.body()).split(b"\r\n")[:-1]:
        expect(_LANGUAGE.fullmatch(row), f"a row is {excerpt(row)}")


@BEFORE_LOGIN.must("LANG with a language is answered by its tag, on one line.", "6856 3.2", Need.LANG)
def lang_answers_tag(talk: Conversation) -> Procedure[None]:
    yield from talk.send(b"LANG *\r\n")
    line = yield from talk.line()
    expect(line.startswith(b"-ERR") or _TAGGED.fullmatch(line), f"{excerpt(line)} came")
    yield from talk.ask_for_body(b"CAPA")


@BEFORE_LOGIN.must("LANG with a language that is not there is refused.", "6856 3.2", Need.LANG)
def lang_unknown(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"LANG x-none-such")


@BEFORE_LOGIN.must(
    "A header that is not ASCII is not sent as it is without UTF8.", "6856 2.1", Need.UTF8, Need.LOGIN, Need.DELIVERY
)
def utf8_header_needs_mode(talk: Conversation) -> Procedure[None]:
    mark = b"Subject: \xc3\xbcber UTF-8"
    yield from talk.deliver(mark + b"\r\n\r\nIts subject is not ASCII.\r\n")
    talk = yield from enter("transaction", talk.target, talk.facts)
    count = (yield from talk.call(Stat())).count
    if isinstance((yield from talk.ask(b"RETR %d" % count)), Ok):
        header, _, _ = (yield from talk.body()).partition(b"\r\n\r\n")
        expect(mark not in header, "it was sent as it is")


@LOGGED_IN.must("The LOGIN-DELAY before login is the largest of all users.", "2449 6.5", Need.LOGIN_DELAY)
def login_delay_largest(talk: Conversation) -> Procedure[None]:
    before, after = talk.facts.capabilities, (yield from talk.capabilities())
    first, own = (known.login_delay if known is not None else None for known in (before, after))
    if first is None or own is None:
        skip("it is not announced both before and after login")
    expect(own.seconds <= first.seconds, f"{first.seconds} seconds before login, {own.seconds} after it")


@LOGGED_IN.must("The EXPIRE before login is the smallest of all users.", "2449 6.7", Need.EXPIRE)
def expire_smallest(talk: Conversation) -> Procedure[None]:
    before, after = talk.facts.capabilities, (yield from talk.capabilities())
    first, own = (known.expire if known is not None else None for known in (before, after))
    if first is None or own is None:
        skip("it is not announced both before and after login")
    days = [math.inf if each.days is None else each.days for each in (first, own)]
    expect(days[0] <= days[1], f"{first.days} days before login, {own.days} after it"[:80])


@BEFORE_LOGIN.should("A login within the LOGIN-DELAY is refused.", "2449 6.5", Need.LOGIN_DELAY, Need.LOGIN)
def login_delay_enforced(talk: Conversation) -> Procedure[None]:
    known = talk.facts.logged_in or talk.facts.capabilities
    if known is None or known.login_delay is None or known.login_delay.seconds == 0:
        skip("the delay is 0")
    first = yield from enter("transaction", talk.target, talk.facts)
    yield from first.ask(b"QUIT")
    expect((yield from _second_login(talk)) is not None, "the second of two logins was accepted at once")


def _needs_time(talk: Conversation) -> None:
    if talk.target.in_memory is not None:
        skip("no time passes in memory")


@LOGGED_IN.must("A session may be silent for ten minutes.", "1939 3", Need.SLOW)
def idle_for_ten_minutes(talk: Conversation) -> Procedure[None]:
    _needs_time(talk)
    yield from talk.pause(_IDLE)
    yield from talk.accepted(b"NOOP")


@LOGGED_IN.should("Any command begins the ten minutes again.", "1939 3", Need.SLOW)
def command_resets_timer(talk: Conversation) -> Procedure[None]:
    _needs_time(talk)
    for _ in range(2):
        yield from talk.pause(_NEARLY)
        yield from talk.accepted(b"NOOP")
