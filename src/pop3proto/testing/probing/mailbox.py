"""What is asked after login: counts, sizes, unique ids, messages, pipelining. Nothing is changed by it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.limits import Quirk
from pop3proto.core.results import ScanListing, UniqueIdListing
from pop3proto.core.text import counted

from .talk import OutOfStep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.procedures.operations import Procedure

    from .findings import Findings
    from .talk import Said, Talk

__all__ = ["Mailbox", "ask", "check_silence", "compare_with_capa", "listings", "sample_of", "unique_ids"]

_STATUS: Final = re.compile(r"\+OK ([0-9]{1,19}) ([0-9]{1,19})\b", re.IGNORECASE)
_STATUS_WITHOUT: Final = re.compile(r"\+OK ([0-9]{1,19})\b", re.IGNORECASE)
_ENTRIES: Final = 1_000_000
_SHOWN: Final = 5  # numbers in the evidence
_LARGEST: Final = 1_048_576  # octets of a message that is fetched as a sample
_ALL: Final = 8_388_608  # octets of all samples


@attrs.define
class Mailbox:
    """What is known of the maildrop, and of how the server talks about it.

    Args:
        count: messages, by STAT; None: it was not understood.
        octets: by STAT.
        sizes: octets by LIST, by message number.
        unique_ids: by message number; empty without UIDL.
        works: commands that were tried, and whether they work.
        sampled: the messages that were fetched, with the octets that came.
        headers: of some of these, as TOP sends them.
        answer_times: of NOOP, in seconds.
        pipelining: it works; None: it was not tried.
        lock: "exclusive", "shared" or None: it was not tried.
        quirks: those that a client needs for this server.
    """

    count: int | None = None
    octets: int | None = None
    sizes: dict[int, int] = attrs.field(factory=dict[int, int])
    unique_ids: dict[int, str] = attrs.field(factory=dict[int, str])
    works: dict[str, bool] = attrs.field(factory=dict[str, bool])
    sampled: dict[int, int] = attrs.field(factory=dict[int, int])
    headers: dict[int, bytes] = attrs.field(factory=dict[int, bytes])
    answer_times: list[float] = attrs.field(factory=list[float])
    pipelining: bool | None = None
    lock: str | None = None
    quirks: set[Quirk] = attrs.field(factory=set[Quirk])

    @property
    def answer_seconds(self) -> float | None:
        """The median of the answer times; None: there are none."""
        times = sorted(self.answer_times)
        return times[len(times) // 2] if times else None


def ask(talk: Talk, command: str, mailbox: Mailbox, findings: Findings) -> Procedure[Said]:
    """Send a command and return the status line that answers it.

    Raises:
        OutOfStep: what came is no status line, or more than one answer came.
    """
    said = yield from talk.ask(command)
    if said.octets == b".":
        mailbox.quirks.add(Quirk.STRAY_DOT)
        findings.add("stray-dot", f"A line with a dot alone comes before the answer to {command}.")
        said = yield from talk.hear()
    if not (said.positive or said.negative):
        raise OutOfStep(f"the answer to {command} is no status line: {said.text[:60]}")
    return said


def listings(talk: Talk, announced: Capabilities | None, mailbox: Mailbox, findings: Findings) -> Procedure[None]:
    """Ask for counts, sizes and unique ids, and compare them.

    Raises:
        OutOfStep: as `ask`.
    """
    yield from _status(talk, mailbox, findings)
    said = yield from ask(talk, "LIST", mailbox, findings)
    if said.positive:
        body = yield from _whole(talk, "LIST", mailbox, findings)
        mailbox.sizes = _sizes(body, findings)
    else:
        findings.add("listing-unreadable", "LIST is refused.", evidence=said.text)
    _compare_counts(mailbox, findings)
    said = yield from ask(talk, "UIDL", mailbox, findings)
    mailbox.works["UIDL"] = said.positive
    if said.positive:
        mailbox.unique_ids = unique_ids((yield from _whole(talk, "UIDL", mailbox, findings)), mailbox, findings)
        missing = sorted(mailbox.sizes.keys() - mailbox.unique_ids.keys())
        if missing:
            text = f"UIDL has no valid unique id for {counted(len(missing), 'message')}."
            findings.add("uid-invalid", text, evidence=_some(missing))
    else:
        text = "The server has no UIDL." if announced is None or not announced.uidl else "UIDL is announced, and fails."
        findings.add("no-uidl", text, evidence=said.text)
    if mailbox.sizes:
        yield from _single_answers(talk, max(mailbox.sizes), mailbox, findings)
    for _ in range(5):
        said = yield from ask(talk, "NOOP", mailbox, findings)
        mailbox.answer_times.append(said.seconds)
    if talk.bare_lf:
        mailbox.quirks.add(Quirk.BARE_LF)
        findings.add("bare-lf", "Its status lines end with LF alone, not with CRLF.")
    yield from check_silence(talk)


def check_silence(talk: Talk) -> Procedure[None]:
    """Check that nothing comes that was not asked for.

    Raises:
        OutOfStep: something came.
    """
    if stray := (yield from talk.stray()):
        raise OutOfStep(f"more came than was asked for: {stray[:60]!r}")


def _status(talk: Talk, mailbox: Mailbox, findings: Findings) -> Procedure[None]:
    said = yield from ask(talk, "STAT", mailbox, findings)
    if match := _STATUS.match(said.text):
        mailbox.count, mailbox.octets = int(match[1]), int(match[2])
        return
    if match := _STATUS_WITHOUT.match(said.text):
        mailbox.count = int(match[1])
    mailbox.quirks.add(Quirk.STAT_WITHOUT_OCTETS)
    findings.add("stat-malformed", "The answer to STAT lacks a number.", evidence=said.text)


def _compare_counts(mailbox: Mailbox, findings: Findings) -> None:
    count, octets = len(mailbox.sizes), sum(mailbox.sizes.values())
    if mailbox.count not in {None, count}:
        text = f"STAT tells of {counted(mailbox.count or 0, 'message')}, LIST of {count:,}."
        findings.add("stat-differs", text)
    elif mailbox.octets not in {None, octets}:
        findings.add(
            "stat-differs", f"STAT tells of {mailbox.octets:,} octets, and the sizes of LIST add up to {octets:,}."
        )


def _whole(talk: Talk, command: str, mailbox: Mailbox, findings: Findings) -> Procedure[bytes]:
    """Return the body of an answer, its lines with CRLF.

    Raises:
        OutOfStep: it did not end.
    """
    body = yield from talk.body()
    findings.check_end(body, command)
    if body.ended == "LF" or body.bare_lf:
        mailbox.quirks.add(Quirk.BARE_LF)
        findings.add("bare-lf", f"Lines of the answer to {command} end with LF alone, not with CRLF.")
    return body.content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _sizes(body: bytes, findings: Findings) -> dict[int, int]:
    listing = ScanListing.parse(body, entries=_ENTRIES)
    if wrong := [*listing.unreadable[:1], *(f"{number} {value}".encode() for number, value in listing.duplicates[:1])]:
        rows = len(listing.unreadable) + len(listing.duplicates)
        text = f"{counted(rows, 'row')} of LIST cannot be read, or tell of a message twice."
        findings.add("listing-unreadable", text, evidence=repr(wrong[0][:80]))
    return dict(listing)


def unique_ids(body: bytes, mailbox: Mailbox, findings: Findings) -> dict[int, str]:
    """Return the unique ids of a listing, and note what is wrong with them."""
    listing = UniqueIdListing.parse(body, entries=_ENTRIES)
    for quirk, name, text in (
        (Quirk.UIDL_PREFIXED_ROWS, "uid-prefixed", "Rows of UIDL begin with +OK."),
        (
            Quirk.UIDL_ANY_UNIQUE_ID,
            "uid-invalid",
            "Unique ids are longer than 70 octets, or have octets beyond ! to ~.",
        ),
    ):
        if listing.unreadable:
            better = UniqueIdListing.parse(body, entries=_ENTRIES, quirks=mailbox.quirks | {quirk})
            if len(better) > len(listing):
                findings.add(name, text, evidence=repr(listing.unreadable[0][:90]))
                mailbox.quirks.add(quirk)
                listing = better
    if listing.shared:
        uid, numbers = next(iter(listing.shared.items()))
        text = f"{counted(sum(map(len, listing.shared.values())), 'message')} share unique ids."
        findings.add("uid-duplicate", text, evidence=f"{uid}: {_some(numbers)}")
    return dict(listing)


def _single_answers(talk: Talk, number: int, mailbox: Mailbox, findings: Findings) -> Procedure[None]:
    """Compare LIST and UIDL of one message with those of all."""
    said = yield from ask(talk, f"LIST {number}", mailbox, findings)
    if said.text.split()[:3] != ["+OK", str(number), str(mailbox.sizes[number])]:
        text = f"LIST {number} is not answered as its row in LIST reads."
        findings.add("size-wrong", text, evidence=f"{said.text}; LIST: {mailbox.sizes[number]}")
    if number in mailbox.unique_ids and Quirk.UIDL_ANY_UNIQUE_ID not in mailbox.quirks:
        said = yield from ask(talk, f"UIDL {number}", mailbox, findings)
        uid = mailbox.unique_ids[number]
        if said.text.split()[:3] != ["+OK", str(number), uid]:
            findings.add(
                "uid-differs",
                f"UIDL {number} is not answered as its row in UIDL reads.",
                evidence=f"{said.text}; UIDL: {uid}",
            )


def compare_with_capa(announced: Capabilities | None, mailbox: Mailbox, findings: Findings) -> None:
    """Compare what works with what CAPA announces after login."""
    if announced is None:
        return
    for command, is_announced in (("UIDL", announced.uidl), ("TOP", announced.top)):
        works = mailbox.works.get(command)
        if works and not is_announced:
            findings.add("command-unannounced", f"{command} works, and is not announced.")
        elif works is False and is_announced:
            findings.add("command-fails", f"{command} is announced, and fails.")
    if mailbox.works.get("TOP") is False and not announced.top:
        findings.add("no-top", "The server has no TOP.")


def sample_of(sizes: dict[int, int], most: int) -> list[int]:
    """Return which messages to fetch: spread over the maildrop, the first and the last among them, none too large."""
    small = sorted(number for number, size in sizes.items() if size <= _LARGEST)
    count = min(most, len(small))
    chosen = [small[round(index * (len(small) - 1) / max(count - 1, 1))] for index in range(count)]
    left, sample = _ALL, list[int]()
    for number in dict.fromkeys(chosen):
        if sizes[number] <= left:
            left -= sizes[number]
            sample.append(number)
    return sample


def _some(numbers: Iterable[object]) -> str:
    words = [str(number) for number in numbers]
    return ", ".join(words[:_SHOWN]) + (" ..." if len(words) > _SHOWN else "")
