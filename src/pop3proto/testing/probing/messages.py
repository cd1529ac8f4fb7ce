"""What is asked about messages: whether they come whole, as large as LIST says, dot-stuffed and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.limits import Quirk
from pop3proto.core.text import counted

from .mailbox import ask, check_silence
from .talk import OutOfStep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pop3proto.procedures.operations import Procedure

    from .findings import Findings
    from .mailbox import Mailbox
    from .talk import Body, Talk

__all__ = ["burst", "compare_sessions", "fetch_all"]

_BURST: Final = 20
_TOP_LINES: Final = 3
_TOPS: Final = 3
"""How many messages TOP is tried on."""
_SHOWN: Final = 5
_NEW: Final = 50
"""How many messages with new unique ids are looked at."""


def fetch_all(talk: Talk, numbers: Sequence[int], mailbox: Mailbox, findings: Findings) -> Procedure[None]:
    """Fetch messages by RETR, and some by TOP, and compare what comes with what was announced.

    Raises:
        OutOfStep: a message has ended where it should not, or not at all.
    """
    wrong: list[str] = []
    refused: list[str] = []
    for index, number in enumerate(numbers):
        said = yield from ask(talk, f"RETR {number}", mailbox, findings)
        if said.negative:
            refused.append(f"{number}: {said.text}")
            continue
        body = yield from talk.body()
        _check_framing(body, number, mailbox, findings)
        content = body.content
        mailbox.sampled[number] = len(content)
        yield from _check_step(talk, number, findings)
        if mailbox.sizes[number] != len(content):
            wrong.append(f"{number}: LIST {mailbox.sizes[number]}, RETR {len(content)}")
        if index < _TOPS and mailbox.works.get("TOP", True):
            yield from _compare_top(talk, number, content, mailbox, findings)
    if refused:
        text = f"{len(refused)} of {counted(len(numbers), 'message')} cannot be fetched."
        findings.add("retr-fails", text, evidence="; ".join(refused[:_SHOWN]))
    if wrong:
        text = f"{len(wrong)} of {counted(len(numbers), 'message')} fetched: another size than LIST says."
        findings.add("size-wrong", text, evidence="; ".join(wrong[:_SHOWN]))


def _check_framing(body: Body, number: int, mailbox: Mailbox, findings: Findings) -> None:
    if body.unstuffed:
        text = f"Lines of message {number} begin with a dot that is not doubled."
        findings.add("dot-unstuffed", text, evidence=counted(body.unstuffed, "line"))
    if body.ended in {"silence", "closed"}:
        what = "falls silent" if body.ended == "silence" else "hangs up"
        text = f"Message {number} does not end: the server {what} before the line with a dot alone."
        findings.add("no-terminator", text, evidence=counted(len(body.raw), "octet"))
        raise OutOfStep(f"message {number} did not end")
    if body.ended == "LF":
        mailbox.quirks.add(Quirk.BARE_LF)
        findings.add("bare-lf", f"The line that ends message {number} has LF alone, not CRLF.")
    elif body.bare_lf:
        text = f"{counted(body.bare_lf, 'line')} of message {number} end with LF alone, not with CRLF."
        findings.add("bare-lf-in-message", text)


def _check_step(talk: Talk, number: int, findings: Findings) -> Procedure[None]:
    """Check that the answer to the next command is one: else the message went on behind what looked like its end."""
    rest = talk.unread
    said = yield from talk.ask(f"LIST {number}")
    words = said.text.split()
    if not rest and (said.negative or (said.positive and words[1:2] == [str(number)])):
        if said.negative:
            text = f"Message {number} is gone from the session after RETR, although no DELE was sent."
            findings.add("gone-after-retr", text, evidence=said.text)
        return
    text = f"Message {number} goes on behind a line with a dot alone: that dot was not doubled."
    findings.add("body-ends-early", text, evidence=repr(rest[:60]) if rest else said.text[:80])
    raise OutOfStep(f"message {number} ended early")


def _compare_top(talk: Talk, number: int, content: bytes, mailbox: Mailbox, findings: Findings) -> Procedure[None]:
    header, body = _parts(content)
    for lines in (0, _TOP_LINES):
        said = yield from ask(talk, f"TOP {number} {lines}", mailbox, findings)
        mailbox.works["TOP"] = said.positive
        if not said.positive:
            return
        answer = yield from talk.body()
        findings.check_end(answer, f"TOP {number} {lines}")
        got, got_body = _parts(answer.content)
        mailbox.headers[number] = got
        if got != header:
            findings.add("top-differs", f"The header of message {number} differs between TOP and RETR.")
            continue
        have, want = len(got_body), min(lines, len(body))
        if have != want:
            text = f"TOP {number} {lines} brings {counted(have, 'line')} of the body, where {want} were due."
            findings.add("top-lines", text)


def _parts(message: bytes) -> tuple[bytes, list[bytes]]:
    """Return the header and the lines of the body. Lines end with CRLF; with LF only where none has CRLF."""
    if b"\r\n" not in message:
        message = message.replace(b"\n", b"\r\n")
    header, _, body = (b"\r\n" + message).partition(b"\r\n\r\n")
    lines = body.split(b"\r\n")
    return header.strip(b"\r\n"), lines if lines[-1] else lines[:-1]


def compare_sessions(talk: Talk, before: Mailbox, again: Mailbox, findings: Findings) -> Procedure[None]:
    """Compare the unique ids of two sessions: is each message known by the same one?

    Args:
        talk: the later session.
        before: what the earlier session has shown.
        again: what the later one has listed.
        findings: what is found.
    """
    if not (before.works.get("UIDL") and again.works.get("UIDL")):
        return
    earlier, later = {*before.unique_ids.values()}, {*again.unique_ids.values()}
    gone = [uid for uid in before.unique_ids.values() if uid not in later]
    if not gone:
        return
    if len(gone) == len(before.unique_ids) and len(again.sizes) >= len(before.sizes):
        renamed: str | None = gone[0]
    else:
        known = {
            (before.sizes.get(number), header): before.unique_ids[number]
            for number, header in before.headers.items()
            if header and before.unique_ids.get(number, "") not in {"", *later}
        }
        new = [number for number, uid in again.unique_ids.items() if uid not in earlier]
        renamed = yield from _find_renamed(talk, new[-_NEW:], known, again, findings)
    if renamed is not None:
        number = f"{len(gone)} of {counted(len(before.unique_ids), 'unique id')}"
        findings.add("uid-unstable", f"{number} changed from one session to the next.", evidence=renamed)
    else:
        text = f"{counted(len(gone), 'message')} went away between two sessions; no DELE was sent."
        findings.add("others-changed", text, evidence=f"unique id {gone[0]}")


def _find_renamed(
    talk: Talk,
    new: Sequence[int],
    known: Mapping[tuple[int | None, bytes], str],
    again: Mailbox,
    findings: Findings,
) -> Procedure[str | None]:
    """Return the earlier unique id of a message that has another one now; None: no message is known to have one.

    Args:
        talk: the later session.
        new: the numbers of messages with new ids.
        known: earlier ids that are gone, by size and header of their messages.
        again: what the later session has listed.
        findings: what is found.
    """
    sizes = {size for size, _ in known}
    for number in new:
        if (size := again.sizes.get(number)) in sizes:
            said = yield from ask(talk, f"TOP {number} 0", again, findings)
            if not said.positive:
                return None
            header, _ = _parts((yield from talk.body()).content)
            if (size, header) in known:
                return known[size, header]
    return None


def burst(talk: Talk, mailbox: Mailbox, findings: Findings, *, announced: bool) -> Procedure[None]:
    """Send 20 NOOPs at once, and then different commands; note whether each is answered, in order.

    Nothing can be asked behind a failure.
    """
    number = min(mailbox.sampled, key=lambda each: mailbox.sampled[each], default=None)
    if findings.has("gone-after-retr"):
        number = None
    commands = ["STAT", "NOOP", "LIST", "NOOP"]
    if number is not None:
        commands = ["STAT", f"RETR {number}", "NOOP", f"LIST {number}", f"RETR {number}", "STAT"]
    try:
        yield from talk.say(b"NOOP\r\n" * _BURST)
        for _ in range(_BURST):
            yield from _answered(talk, "NOOP", mailbox)
        yield from talk.say("".join(f"{command}\r\n" for command in commands).encode())
        for command in commands:
            yield from _answered(talk, command, mailbox)
        yield from check_silence(talk)
    except (ConnectionLost, TimedOut, OutOfStep) as error:
        mailbox.pipelining = False
        if announced:
            mailbox.quirks.add(Quirk.NO_PIPELINING)
            findings.add("pipelining-broken", "PIPELINING is announced and does not work.", evidence=str(error))
        return
    mailbox.pipelining = True
    if not announced:
        findings.add("pipelining-unannounced", "Pipelining works, and is not announced.")


def _answered(talk: Talk, command: str, mailbox: Mailbox) -> Procedure[None]:
    said = yield from talk.hear()
    if said.octets == b"." and Quirk.STRAY_DOT in mailbox.quirks:
        said = yield from talk.hear()
    verb, _, argument = command.partition(" ")
    fits = said.positive
    if fits and verb == "STAT" and mailbox.count is not None:
        fits = said.text.split()[1:2] == [str(mailbox.count)]
    elif fits and verb == "LIST" and argument:
        fits = said.text.split()[1:2] == [argument]
    elif fits and (verb == "RETR" or command == "LIST"):
        body = yield from talk.body()
        fits = body.ended in {"CRLF", "LF"} and (verb == "LIST" or len(body.content) == mailbox.sampled[int(argument)])
    if not fits:
        raise OutOfStep(f"the answer to {command} is that to another command: {said.text[:60]}")
