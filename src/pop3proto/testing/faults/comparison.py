"""Whether what a fault gives out is what it got: only then it has not struck. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.dots import BodyEncoder

from .dialogue import Body, ChallengeLine, End, Query, StatusLine
from .line import Octets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .dialogue import Part
    from .line import Step

__all__ = ["AnswerComparison", "PartEncoder", "are_same"]


class PartEncoder:
    """Makes octets of the parts of answers."""

    def __init__(self) -> None:
        self._body = BodyEncoder(trusted_crlf=True)

    def encode(self, part: Part) -> bytes:
        """Return the octets of the next part, as they are on the wire."""
        match part:
            case StatusLine(_, octets):
                self._body = BodyEncoder(trusted_crlf=True)
                return octets
            case ChallengeLine(_, octets):
                return octets
            case Body(_, octets):
                return self._body.feed(octets)
            case End():
                return self._body.finish()


def are_same(came: Sequence[Step], went: Sequence[Step]) -> bool:
    """Return whether these are the same steps, but for questions of faults, and pieces that are sent apart."""
    one, other = ([step for step in steps if not isinstance(step, Query)] for steps in (came, went))
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Step, other: Step) -> bool:
    if isinstance(one, Octets) and isinstance(other, Octets):
        return one.octets == other.octets
    return one is other or (one == other and getattr(one, "answer", None) is getattr(other, "answer", None))


class _Side:
    """What came, or what went: octets that the other side does not have yet."""

    def __init__(self) -> None:
        self.octets: bytearray = bytearray()
        self._encoder: Final = PartEncoder()

    def take(self, steps: Sequence[Step]) -> list[Step]:
        """Take octets of steps, and return the steps that have none."""
        others: list[Step] = []
        for step in steps:
            match step:
                case Octets(_, octets):
                    self.octets += octets
                case StatusLine() | ChallengeLine() | Body() | End():
                    if not isinstance(step.asked, Query):  # its answer is for a fault
                        self.octets += self._encoder.encode(step)
                case _:
                    others.append(step)
        return others


@attrs.define
class AnswerComparison:
    """Compares whole answers: a fault may hold a body back, and give it out at its end."""

    _came: _Side = attrs.field(factory=_Side, init=False)
    _went: _Side = attrs.field(factory=_Side, init=False)

    def differs(self, came: Sequence[Step], went: Sequence[Step]) -> bool:
        """Take what came and what went for one part of an answer; return whether a difference is certain.

        Args:
            came: to the fault.
            went: from it.
        """
        same = are_same(self._came.take(came), self._went.take(went))
        one, other = self._came.octets, self._went.octets
        common = min(len(one), len(other))
        same = same and one[:common] == other[:common]
        del one[:common], other[:common]
        if same and not any(isinstance(step, StatusLine | ChallengeLine | End) for step in came):
            return False  # the rest may follow
        same = same and not one and not other
        one.clear()
        other.clear()
        return not same
