"""Contenders, and their comparison in rounds.

Speed drifts: other programs run, clock rates change, caches are warm or cold. So each round times every contender
once, in a random order. Ratios are computed within a round. The table shows their median, and the ratio of the best
times.
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
    """The options of the command line."""

    rounds: int
    size: int
    chunk: int

    def header(self) -> str:
        python = f"{platform.python_implementation()} {platform.python_version()}"
        return (
            f"{python}, chunks of {self.chunk} octets, messages of {self.size}, {self.rounds} rounds\n"
            "Times are relative to the first row: the median of the ratios of all rounds, and the\n"
            "ratio of the best times."
        )


class GivesUp(Exception):
    """Raised by a contender that cannot do this work; the message says why."""


def library(name: str) -> ModuleType:
    """Import an optional library.

    Raises:
        GivesUp: the library is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise GivesUp("not installed") from None


def joined(pieces: Sequence[bytes]) -> bytes:
    return b"".join(pieces)


@frozen
class Contender:
    """An implementation to measure.

    Args:
        name: the name of the row in the table.
        run: does the work once.
        output: converts the result of `run` to octets for comparison; None for a yardstick, which is not compared.
        known_wrong: why its output may differ from that of the first contender; "" if it must not.
    """

    name: str
    run: Callable[[], Sequence[bytes]]
    output: Callable[[Sequence[bytes]], bytes] | None = joined
    known_wrong: str = ""


@frozen
class Row:
    """The result of a contender; without ratios if it gave up."""

    name: str
    note: str = ""
    median: float | None = None
    best: float | None = None


def compare(contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Compare all outputs with that of the first contender, then measure.

    Raises:
        AssertionError: an output differs, and the contender is not marked `known_wrong`.
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
    """Check the output of a contender; return a note for its row, or ""."""
    try:
        result = contender.run()
    except GivesUp as reason:
        return f"{GIVES_UP}{reason}"
    if contender.output is None or contender.output(result) == expected:
        return ""
    if not contender.known_wrong:
        raise AssertionError(f"{contender.name}: the output differs from that of the first contender")
    return f"wrong: {contender.known_wrong}"


def measure(contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Return the times of each contender in seconds, one per round."""
    times: dict[str, list[float]] = {each.name: [] for each in contenders}
    chance = random.Random(rounds)
    gc.collect()
    gc.disable()  # or one contender pays for the garbage of another
    try:
        for _ in range(rounds):
            for each in chance.sample(
                contenders, len(contenders)
            ):  # with a rotation, each would always follow the same one
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
