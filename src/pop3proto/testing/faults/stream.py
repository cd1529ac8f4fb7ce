"""Faults of the connection: where it ends, how long it takes, in what pieces octets come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs.validators import ge
from typing_extensions import override

from .dialogue import names_an_answer
from .line import Fault, HangUp, Hold, Octets, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .line import Here, Step

__all__ = ["Cut", "Drip", "Reset", "SplitEvery", "Stall"]


@attrs.frozen
class _Break(Fault):
    """Something happens within an answer.

    Args:
        after: to what the answer is: "RETR 3", "QUIT", "greeting"; "RETR" is the first RETR.
        octets: after so many octets of the answer, the status line included; an answer that has fewer goes by whole.
        session: in which session of the server, 1 is the first; None: in each.
    """

    after: str = attrs.field(validator=names_an_answer)
    octets: int = attrs.field(default=0, validator=ge(0))
    session: int | None = attrs.field(default=None, kw_only=True)

    @override
    def sent(self, octets: Octets, here: Here) -> Iterable[Step]:
        if self.session not in {None, here.session} or not octets.asked.is_a(self.after):
            yield octets
            return
        if getattr(here.own, "asked", octets.asked) is not octets.asked:
            yield octets  # a later one
            return
        here.own.asked = octets.asked
        passed = getattr(here.own, "passed", 0)
        here.own.passed = passed + len(octets.octets)
        if here.own.passed < self.octets:
            yield octets
            return
        if kept := octets.octets[: self.octets - passed]:
            yield attrs.evolve(octets, octets=kept)
        yield self._end()

    def _end(self) -> Step:
        raise NotImplementedError


@attrs.frozen
class Cut(_Break):
    """The connection ends within an answer: `Cut(after="RETR 3", octets=1000)`."""

    @override
    def _end(self) -> Step:
        return HangUp()


@attrs.frozen
class Reset(_Break):
    """As `Cut`, by a reset (RST) in place of the end of the stream."""

    @override
    def _end(self) -> Step:
        return HangUp(reset=True)


@attrs.frozen
class Stall(_Break):
    """The server says no more, within an answer, and keeps the connection open: `Stall(after="QUIT")`."""

    @override
    def _end(self) -> Step:
        return Hold()


@attrs.frozen
class SplitEvery(Fault):
    """All octets come in pieces of this size.

    Args:
        octets: the size of a piece.
    """

    octets: int = attrs.field(default=1, validator=ge(1))

    @override
    def sent(self, octets: Octets, here: Here) -> Iterable[Step]:
        for at in range(0, len(octets.octets), self.octets):
            yield attrs.evolve(octets, octets=octets.octets[at : at + self.octets], apart=True)


@attrs.frozen
class Drip(Fault):
    """Octets come slowly.

    Args:
        octets: so many at once.
        every: seconds before each of these pieces.
        on: of which answers, as in `Cut`; "": of all.
    """

    octets: int = attrs.field(default=1, validator=ge(1))
    every: float = attrs.field(default=0.01, validator=ge(0))
    on: str = attrs.field(default="", validator=names_an_answer)

    @override
    def sent(self, octets: Octets, here: Here) -> Iterable[Step]:
        if not octets.asked.is_a(self.on):
            yield octets
            return
        for at in range(0, len(octets.octets), self.octets):
            yield Wait(self.every)
            yield attrs.evolve(octets, octets=octets.octets[at : at + self.octets], apart=True)
