"""Ways to cut octets, and comparing what comes of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from fuzz.target import Choices, Violation
from pop3proto import Quirk
from pop3proto.testing.mutation import pieces

_SHORT = 700


def chosen_quirks(choices: Choices) -> frozenset[Quirk]:
    """Return no deviations to tolerate, all of them, or one."""
    every = list(Quirk)
    match choices.number(4):
        case 2:
            return frozenset(every)
        case 3:
            return frozenset({every[choices.number(len(every))]})
        case _:
            return frozenset()


def cuttings(octets: bytes) -> list[list[bytes]]:
    """Return the octets whole, at places that depend on them, and, if they are few, one by one."""
    whole = [octets] if octets else []
    found = [whole, pieces(octets, zlib.crc32(octets))]
    if len(octets) <= _SHORT:
        found.append([octets[at : at + 1] for at in range(len(octets))])
    return found


def check_same(whole: Sequence[object], cut: Sequence[object], *, only_beginning: bool = False) -> None:
    """Check that two cuttings gave the same.

    Args:
        whole: what came of all octets at once.
        cut: what came of pieces.
        only_beginning: one of them may have ended early.
    """
    if only_beginning:
        length = min(len(whole), len(cut))
        whole, cut = whole[:length], cut[:length]
    if whole != cut:
        at = next(
            (at for at, (one, other) in enumerate(zip(whole, cut, strict=False)) if one != other),
            min(len(whole), len(cut)),
        )
        raise Violation(f"whole and cut differ at {at}: {whole[at : at + 2]!r:.300} for {cut[at : at + 2]!r:.300}")
