"""Faults of what is said: wrong numbers, broken framing, answers too few or too many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from .dialogue import Body, ChallengeLine, End, StatusLine, names_an_answer
from .line import Fault, Octets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .dialogue import Part
    from .line import Here, Step

__all__ = [
    "BareLF",
    "DoubleAnswer",
    "LongLine",
    "LoseAnswer",
    "NoTerminator",
    "OkAsChallenge",
    "StrayDot",
    "TrailingJunk",
    "Unstuffed",
    "WrongCount",
    "WrongSize",
]

_NUMBERS: Final = re.compile(rb"([0-9]+) ([0-9]+)")


# ----------------------------------------------------------------------------------------- whole answers


@attrs.frozen
class LoseAnswer(Fault):
    """The server does what it was asked to do, and says nothing of it: `LoseAnswer(to="QUIT")`.

    Args:
        to: as `after` of `Cut`.
    """

    to: str = attrs.field(validator=names_an_answer)

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if not part.asked.is_a(self.to):
            yield part


@attrs.frozen
class DoubleAnswer(Fault):
    """A status line comes twice: `DoubleAnswer(to="NOOP")`.

    Args:
        to: as `after` of `Cut`.
    """

    to: str = attrs.field(validator=names_an_answer)

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.asked.is_a(self.to):
            part = attrs.evolve(part, octets=part.octets * 2)
        yield part


@attrs.frozen
class StrayDot(Fault):
    """A line with a dot alone follows an answer of one line: `StrayDot(after="LIST 1")`.

    Args:
        after: as in `Cut`.
    """

    after: str = attrs.field(validator=names_an_answer)

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.asked.is_a(self.after) and not part.asked.has_body:
            part = attrs.evolve(part, octets=part.octets + b".\r\n")
        yield part


@attrs.frozen
class NoTerminator(Fault):
    """The line that ends a body is missing: `NoTerminator(on="RETR 1")`.

    Args:
        on: as `after` of `Cut`.
    """

    on: str = attrs.field(default="", validator=names_an_answer)

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if not isinstance(part, End) or not part.asked.is_a(self.on):
            yield part


@attrs.frozen
class LongLine(Fault):
    """A status line has more text than a client can want.

    Args:
        on: as `after` of `Cut`.
        octets: of the text.
    """

    on: str = attrs.field(default="", validator=names_an_answer)
    octets: int = 100_000

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.asked.is_a(self.on):
            part = part.with_text(b"x" * self.octets)
        yield part


@attrs.frozen
class OkAsChallenge(Fault):
    """`+OK` stands where the `+` of a SASL challenge should."""

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, ChallengeLine):
            part = attrs.evolve(part, octets=b"+OK" + part.octets[1:])
        yield part


# ------------------------------------------------------------------------------------------ the framing


@attrs.frozen
class Unstuffed(Fault):
    """Dots at the beginning of lines are not stuffed, so that a client takes a line with a dot alone for the end.

    Args:
        on: as `after` of `Cut`.
    """

    on: str = attrs.field(default="RETR", validator=names_an_answer)

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if part.asked.is_a(self.on) and isinstance(part, Body):
            yield Octets(part.asked, part.octets)
        elif part.asked.is_a(self.on) and isinstance(part, End):
            yield Octets(part.asked, b".\r\n")
        else:
            yield part


@attrs.frozen
class BareLF(Fault):
    """Lines end with LF alone.

    Args:
        on: in which answers, as `after` of `Cut`; "": in all.
    """

    on: str = attrs.field(default="", validator=names_an_answer)

    @override
    def sent(self, octets: Octets, here: Here) -> Iterable[Step]:
        if octets.asked.is_a(self.on):
            octets = attrs.evolve(octets, octets=octets.octets.replace(b"\r\n", b"\n"))
        yield octets


@attrs.frozen
class TrailingJunk(Fault):
    """Octets that belong to nothing follow an answer.

    Args:
        after: as in `Cut`.
        octets: what follows.
        refused: only if the answer is `-ERR`.
    """

    after: str = attrs.field(validator=names_an_answer)
    octets: bytes = b"* OK still here\r\n"
    refused: bool = attrs.field(default=False, kw_only=True)

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.asked.is_a(self.after):
            ends = not part.positive or not (part.asked.has_body or self.refused)
            part = attrs.evolve(part, octets=part.octets + self.octets) if ends else part
        yield part
        if isinstance(part, End) and part.asked.is_a(self.after) and not self.refused:
            yield Octets(part.asked, self.octets)


# ------------------------------------------------------------------------------------------- the numbers


@attrs.frozen
class WrongSize(Fault):
    """Sizes in STAT, LIST and RETR are wrong.

    Args:
        by: how many octets are added to the size of each message; negative: it is too small, but not below 0.
    """

    by: int = -2

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.positive and part.asked.verb in {"STAT", "LIST", "RETR"}:
            yield attrs.evolve(part, octets=self._changed(part))
        elif isinstance(part, Body) and part.asked.verb == "LIST":
            *rows, here.own.row = (getattr(here.own, "row", b"") + part.octets).split(b"\n")  # whole rows
            yield attrs.evolve(part, octets=_NUMBERS.sub(self._of_row, b"".join(row + b"\n" for row in rows)))
        else:
            yield part

    def _changed(self, part: StatusLine) -> bytes:
        if part.asked.verb != "STAT":
            return re.sub(rb"([0-9]+)( octets)|([0-9]+ )([0-9]+)\b", self._of_status, part.octets, count=1)
        match = _NUMBERS.search(part.octets)
        if match is None:
            return part.octets
        count, octets = map(int, match.groups())
        return part.octets.replace(match[0], b"%d %d" % (count, max(octets + self.by * count, 0)), 1)

    def _of_row(self, row: re.Match[bytes]) -> bytes:
        return b"%b %d" % (row[1], max(int(row[2]) + self.by, 0))

    def _of_status(self, found: re.Match[bytes]) -> bytes:
        if found[2]:
            return b"%d%b" % (max(int(found[1]) + self.by, 0), found[2])
        return b"%b%d" % (found[3], max(int(found[4]) + self.by, 0))


@attrs.frozen
class WrongCount(Fault):
    """STAT has another number of messages than there are.

    Args:
        by: how many are added.
    """

    by: int = 1

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.positive and part.asked.verb == "STAT":
            count, _, rest = part.text.partition(b" ")
            if count.isdigit():
                part = part.with_text(b"%d %b" % (max(int(count) + self.by, 0), rest))
        yield part
