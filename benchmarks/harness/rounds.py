"""Contenders, and the rounds in which they are compared.

Speed drifts: other programs run, clocks change, and what ran before has filled the caches. So every round times every
contender once, each round in another order, ratios are taken within a round, and their median is printed, with the
ratio of the best times beside it.
"""

from __future__ import annotations

import gc
import importlib
import platform
import random
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from types import ModuleType

from attrs import frozen


@frozen
class Settings:
    """What the command line asked for."""

    rounds: int
    size: int
    chunk: int

    def header(self) -> str:
        python = f"{platform.python_implementation()} {platform.python_version()}"
        return (
            f"{python}, chunks of {self.chunk} octets, messages of {self.size}, {self.rounds} rounds\n"
            "A figure says how many times as long as the first row something takes: the median of the\n"
            "rounds, and the best time of all rounds against the best of the first row."
        )


class GivesUp(Exception):
    """A contender cannot do this work; why not."""


def library(name: str) -> ModuleType:
    """Import what need not be installed.

    Raises:
        GivesUp: it is not.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise GivesUp("not installed") from None


def joined(pieces: Sequence[bytes]) -> bytes:
    return b"".join(pieces)


@frozen
class Contender:
    """Somebody who does the work.

    Args:
        name: for the table.
        run: does it once.
        output: makes comparable octets of what `run` returned; None for a yardstick, whose output is not compared.
        known_wrong: why its output may differ from that of the first contender; "" if it must not.
    """

    name: str
    run: Callable[[], Sequence[bytes]]
    output: Callable[[Sequence[bytes]], bytes] | None = joined
    known_wrong: str = ""


@frozen
class Row:
    """How a contender did; without figures if it gave up."""

    name: str
    note: str = ""
    median: float | None = None
    best: float | None = None


def compare(contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Check the outputs against that of the first contender, then measure.

    Raises:
        AssertionError: an output differs, and nobody knew that it would.
    """
    expected = joined(contenders[0].run())
    notes = {each.name: check(each, expected) for each in contenders}
    able = [each for each in contenders if not notes[each.name].startswith(GIVES_UP)]
    times = measure(able, rounds)
    ours = times[contenders[0].name]
    rows: list[Row] = []
    for each in contenders:
        theirs = times.get(each.name)
        if theirs is None:
            rows.append(Row(each.name, notes[each.name]))
        else:
            ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
            rows.append(Row(each.name, notes[each.name], median(ratios), min(theirs) / min(ours)))
    return rows


GIVES_UP = "gives up: "


def check(contender: Contender, expected: bytes) -> str:
    """Return a note on its output: empty if there is nothing to say."""
    try:
        result = contender.run()
    except GivesUp as reason:
        return f"{GIVES_UP}{reason}"
    if contender.output is None or contender.output(result) == expected:
        return ""
    if not contender.known_wrong:
        raise AssertionError(f"{contender.name}: the output is wrong")
    return f"wrong: {contender.known_wrong}"


def measure(contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contender, by round."""
    times: dict[str, list[float]] = {each.name: [] for each in contenders}
    chance = random.Random(rounds)
    gc.collect()
    gc.disable()  # else one pays for the garbage of another
    try:
        for _ in range(rounds):
            for each in chance.sample(contenders, len(contenders)):  # rotation would keep the neighbours
                start = perf_counter()
                each.run()
                times[each.name].append(perf_counter() - start)
    finally:
        gc.enable()
    return times


def table(title: str, rows: Sequence[Row]) -> str:
    """Format one comparison as plain text."""
    width = max(len(row.name) for row in rows)
    lines = [f"{title:<{width + 2}}{'median':>9}{'best':>9}"]
    for row in rows:
        line = f"  {row.name:<{width}}{figure(row.median)}{figure(row.best)}  {row.note}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def figure(ratio: float | None) -> str:
    return f"{'-':>9}" if ratio is None else f"{ratio:>9.2f}"
