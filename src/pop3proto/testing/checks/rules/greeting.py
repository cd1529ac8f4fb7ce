"""Checks of the greeting, of what may be said before login, and of QUIT there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.replies import Err, Greeting
from pop3proto.core.text import excerpt
from pop3proto.testing.checks.check import CheckTable, Need
from pop3proto.testing.checks.verdicts import CheckFailed, expect

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure
    from pop3proto.testing.checks.conversation import Conversation

__all__ = ["AFTER", "CONNECTED"]

CONNECTED: Final = CheckTable("connection")
AFTER: Final = CheckTable("authorization")

LONGEST_REPLY: Final = 512  # octets with CRLF
_TLS_1_2: Final = {"TLSv1.2", "TLSv1.3"}


@CONNECTED.must("The server greets with +OK.", "1939 4")
def greeting_positive(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()


@CONNECTED.must("The greeting is one line, ended by CRLF, of at most 512 octets.", "1939 3")
def greeting_line(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
    expect(talk.greeting.endswith(b"\r\n"), f"the greeting ends with LF alone: {excerpt(talk.greeting)}")
    expect(len(talk.greeting) <= LONGEST_REPLY, f"the greeting has {len(talk.greeting)} octets")


@CONNECTED.must("The greeting has no '<' but that of the timestamp for APOP.", "2449 3")
def greeting_one_timestamp(talk: Conversation) -> Procedure[None]:
    greeting = Greeting((yield from talk.greet()))
    text = greeting.reply.text.replace(greeting.timestamp or "", "")
    expect("<" not in text, f"there is another '<' in {excerpt(talk.greeting)}")


@CONNECTED.must("The timestamp for APOP is another in each greeting.", "1939 7", Need.APOP)
def greeting_timestamp_differs(talk: Conversation) -> Procedure[None]:
    first = Greeting((yield from talk.greet())).timestamp
    second = Greeting((yield from (yield from talk.another()).greet())).timestamp
    expect(first != second, f"two greetings have the same timestamp, {first}")


@CONNECTED.must("TLS 1.2 or later is used.", "8314 4.1", Need.TLS)
def tls_version(talk: Conversation) -> Procedure[None]:
    if talk.tls is None:
        yield from talk.greet()
        yield from talk.stls()
    version = talk.tls.version if talk.tls is not None else ""
    expect(version in _TLS_1_2, f"the handshake has led to {version}")


@AFTER.must("QUIT before login is answered +OK, and the server hangs up.", "1939 4")
def quit_before_login(talk: Conversation) -> Procedure[None]:
    yield from talk.accepted(b"QUIT")
    yield from talk.ends()


@AFTER.must("QUIT with an argument is refused.", "1939 3")
def quit_argument(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"QUIT now")


@AFTER.must("An unknown command is refused, and the session goes on.", "1939 3")
def unknown_command(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"XYZZ")
    yield from talk.accepted(b"QUIT")


@AFTER.must("A keyword of two letters or of five is refused.", "1939 3")
def keyword_length(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"QU")
    yield from talk.refused(b"QUITT")


@AFTER.must("An empty line is refused.", "1939 3")
def empty_line(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"")


@AFTER.must("The case of keywords does not matter.", "1939 3")
def keyword_case(talk: Conversation) -> Procedure[None]:
    yield from talk.accepted(b"qUiT")


@AFTER.must("+OK and -ERR are sent in capitals.", "1939 3")
def status_in_capitals(talk: Conversation) -> Procedure[None]:
    for line, status in ((b"XYZZ", b"-ERR"), (b"QUIT", b"+OK")):
        yield from talk.send(line + b"\r\n")
        answer = yield from talk.line()
        expect(answer.startswith(status), f"{status.decode()} is written otherwise: {excerpt(answer)}")


@AFTER.must("Lines end with CRLF.", "1939 3")
def lines_end_with_crlf(talk: Conversation) -> Procedure[None]:
    for line in (b"XYZZ", b"QUIT"):
        yield from talk.send(line + b"\r\n")
        answer = yield from talk.line()
        expect(answer.endswith(b"\r\n"), f"a line ends with LF alone: {excerpt(answer)}")


@AFTER.must("A reply has at most 512 octets, whatever the command was.", "1939 3")
def reply_length(talk: Conversation) -> Procedure[None]:
    for line in (b"XYZZ " + 200 * b"x", b"USER " + 200 * b"x"):
        yield from talk.send(line + b"\r\n")
        answer = yield from talk.line()
        expect(len(answer) <= LONGEST_REPLY, f"a reply has {len(answer)} octets")


@AFTER.practice("A space and some text follow +OK and -ERR, as old clients need them.", "1957 1")
def reply_text(talk: Conversation) -> Procedure[None]:
    for line in (b"XYZZ", b"QUIT"):
        reply = yield from talk.ask(line)
        expect(reply.text.strip(), f"the answer to {line.decode()} has no text")


@AFTER.must("Commands that need a login are refused before it.", "1939 3")
def login_needed(talk: Conversation) -> Procedure[None]:
    lines = [b"STAT", b"LIST", b"RETR 1", b"DELE 1", b"NOOP", b"RSET", b"TOP 1 0", b"UIDL"]
    current: Conversation = talk
    for index, line in enumerate(lines):
        if index and index % 2 == 0:  # a server may hang up on too many bad commands
            current = yield from talk.another()
            yield from current.begin()
        yield from current.refused(line)


@AFTER.must("A command line may have 255 octets.", "2449 4", Need.CAPA)
def line_of_255_octets(talk: Conversation) -> Procedure[None]:
    yield from talk.ask(b"USER " + 248 * b"x")
    yield from talk.accepted(b"QUIT")


@AFTER.practice("A line that is too long is answered once, and skipped.", "2449 4")
def line_too_long(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"XYZZ " + 2_000 * b"x")
    yield from talk.accepted(b"QUIT")
    yield from talk.ends()


@AFTER.practice("A bare LF does not end a command.", "1939 3")
def bare_lf(talk: Conversation) -> Procedure[None]:
    yield from talk.send(b"QUIT\nXYZZ\r\n")
    reply = yield from talk.reply()
    expect(isinstance(reply, Err), f"it was taken for one: +OK {reply.text}")


@AFTER.practice("A CR or a NUL within a command is refused.", "2449 3")
def cr_or_nul(talk: Conversation) -> Procedure[None]:
    yield from talk.refused(b"QU\rIT")
    yield from talk.refused(b"QUIT\0")


@AFTER.practice("Two commands in one segment are both answered, in order.", "1939 3")
def two_commands_at_once(talk: Conversation) -> Procedure[None]:
    yield from talk.send(b"XYZZ\r\nQUIT\r\n")
    replies = [(yield from talk.line())[:1], (yield from talk.line())[:1]]
    expect(replies == [b"-", b"+"], "-ERR and +OK were to come, in this order")


@AFTER.practice("Many bad commands make the server hang up.", "")
def bad_commands_limited(talk: Conversation) -> Procedure[None]:
    for _ in range(50):
        try:
            yield from talk.send(b"XYZZ\r\n")
        except CheckFailed:
            return  # it has hung up
        if not (yield from talk.read()):
            return
    raise CheckFailed("50 bad commands were answered, and the session goes on")
