"""New inputs from old ones, for fuzzing: mutations by chance that a seed decides, and how to make an input small."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Mutator", "minimise", "pieces"]

_LONGEST: Final = 4_096  # octets of an input
_MOST_CHANGES: Final = 6  # of one input
_MOST_REPEATS: Final = 40
_MOST_INPUTS: Final = 5_000  # in a corpus; it grows no further
_MINIMISE_RUNS: Final = 3_000

# Octets that have a meaning in some grammar, or stand at an edge.
_EDGES: Final = (b"\0", b"\t", b"\n", b"\r", b"\r\n", b" ", b".", b"\x7f", b"\x80", b"\xff", b"\r\n.\r\n", b"=", b"%")
_NUMBERS: Final = (b"0", b"1", b"2", b"-1", b"255", b"256", b"4294967296", b"9" * 20, b"1" + b"0" * 20, b"007")
_NUMBER: Final = re.compile(rb"[0-9]+")


class Mutator:
    """Makes inputs: each is one of a corpus, changed in up to six places.

    The same corpus, words and seed give the same inputs.

    Args:
        corpus: inputs to begin with; none: the empty one.
        words: what may be inserted anywhere, verbs for example.
        seed: of the generator of chance.
        longest: octets that no input exceeds.
    """

    def __init__(
        self, corpus: Iterable[bytes], words: Iterable[bytes] = (), *, seed: int = 0, longest: int = _LONGEST
    ) -> None:
        self._corpus = list(dict.fromkeys(corpus)) or [b""]
        self._words = [*dict.fromkeys(words), *_EDGES, *_NUMBERS]
        self._longest = longest
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self._changes: Final[tuple[Callable[[bytes], bytes], ...]] = (
            *(self._flip, self._overwrite, self._insert, self._cut, self._truncate, self._duplicate, self._splice),
            *(self._lines, self._line_of_another, self._number, self._noise),
        )

    def next(self) -> bytes:
        """Return the next input."""
        chance = self._chance
        octets = chance.choice(self._corpus)
        for _ in range(chance.randint(1, _MOST_CHANGES)):
            octets = chance.choice(self._changes)(octets)
        return octets[: self._longest]

    def keep(self, octets: bytes) -> None:
        """Add an input to the corpus, because it led to something new."""
        if len(self._corpus) < _MOST_INPUTS:
            self._corpus.append(octets)

    def _span(self, octets: bytes) -> tuple[int, int]:
        """Return the borders of a part, short ones more often than long ones."""
        start = self._chance.randint(0, len(octets))
        return start, min(start + 2 ** self._chance.randint(0, 7), len(octets))

    def _flip(self, octets: bytes) -> bytes:
        if not octets:
            return octets
        at = self._chance.randrange(len(octets))
        return octets[:at] + bytes([octets[at] ^ 1 << self._chance.randrange(8)]) + octets[at + 1 :]

    def _overwrite(self, octets: bytes) -> bytes:
        at = self._chance.randint(0, len(octets))
        word = self._chance.choice(self._words)
        return octets[:at] + word + octets[at + len(word) :]

    def _insert(self, octets: bytes) -> bytes:
        at = self._chance.randint(0, len(octets))
        return octets[:at] + self._chance.choice(self._words) + octets[at:]

    def _cut(self, octets: bytes) -> bytes:
        start, end = self._span(octets)
        return octets[:start] + octets[end:]

    def _truncate(self, octets: bytes) -> bytes:
        return octets[: self._chance.randint(0, len(octets))]

    def _duplicate(self, octets: bytes) -> bytes:
        start, end = self._span(octets)
        return octets[:end] + octets[start:end] * self._chance.choice((1, 1, 1, 2, _MOST_REPEATS)) + octets[end:]

    def _splice(self, octets: bytes) -> bytes:
        other = self._chance.choice(self._corpus)
        return octets[: self._chance.randint(0, len(octets))] + other[self._chance.randint(0, len(other)) :]

    def _lines(self, octets: bytes) -> bytes:
        """Drop a line, have it twice, or move it."""
        lines = octets.split(b"\n")
        line = lines.pop(self._chance.randrange(len(lines)))
        for _ in range(self._chance.randint(0, 2)):
            lines.insert(self._chance.randint(0, len(lines)), line)
        return b"\n".join(lines)

    def _line_of_another(self, octets: bytes) -> bytes:
        lines = octets.split(b"\n")
        lines.insert(
            self._chance.randint(0, len(lines)), self._chance.choice(self._chance.choice(self._corpus).split(b"\n"))
        )
        return b"\n".join(lines)

    def _number(self, octets: bytes) -> bytes:
        if not (found := list(_NUMBER.finditer(octets))):
            return octets
        start, end = self._chance.choice(found).span()
        return octets[:start] + self._chance.choice(_NUMBERS) + octets[end:]

    def _noise(self, octets: bytes) -> bytes:
        at = self._chance.randint(0, len(octets))
        return octets[:at] + self._chance.randbytes(self._chance.randint(1, 8)) + octets[at:]


def minimise(octets: bytes, fails: Callable[[bytes], bool], *, runs: int = _MINIMISE_RUNS) -> bytes:
    """Return a smaller input that still fails: without any part whose removal keeps the failure.

    Args:
        octets: an input that fails.
        fails: returns whether an input fails in the same way.
        runs: how often `fails` is called at most.
    """
    size = max(len(octets) // 2, 1)
    while True:
        at, shorter = 0, False
        while at < len(octets) and runs > 0:
            runs -= 1
            less = octets[:at] + octets[at + size :]
            if fails(less):
                octets, shorter = less, True
            else:
                at += size
        if runs <= 0 or (size == 1 and not shorter):
            return octets
        if not shorter:
            size //= 2


def pieces(octets: bytes, seed: int) -> list[bytes]:
    """Cut octets at a few places, which depend on a seed; no piece is empty."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    places = {chance.randrange(len(octets)) for _ in range(chance.randint(1, 8))} if octets else set[int]()
    borders = [0, *sorted(places - {0}), len(octets)]
    return [octets[start:end] for start, end in pairwise(borders) if start < end]
