"""Contenders, and their comparison in rounds.

Speed drifts: other programs run, clock rates change, caches are warm or cold. So each round runs every contender once,
in a random order. The table compares the best rounds, and shows between which quartiles the ratios of single rounds
lie.
"""

from __future__ import annotations

import gc
import importlib
import random
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from statistics import quantiles
from time import perf_counter, process_time
from types import FrameType, ModuleType
from typing import Any, Self

from attrs import frozen

from .report import Row, Table


@frozen
class Settings:
    """The options of the command line."""

    rounds: int = 21
    quick: bool = False

    def size(self, whole: int, part: int) -> int:
        """Return how much work there is: a part of the whole in a quick run."""
        return part if self.quick else whole

    def header(self) -> str:
        if self.quick:
            return "Outputs are checked, and calls are counted, of Python and of C functions; nothing is timed."
        return (
            f"{self.rounds} rounds, or a quarter of it where one takes long. First CPU time and elapsed time of the\n"
            "best round; then x NAME: how many times as fast as NAME: by the CPU time of the best rounds, in brackets\n"
            "the quartiles of all rounds, and by the elapsed time of the best rounds."
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


def joined(pieces: Iterable[bytes]) -> bytes:
    return b"".join(pieces)


@frozen
class Contender:
    """An implementation to measure.

    Args:
        name: the name of the row in the table.
        run: does the work once.
        output: makes of the result what is compared; None for a yardstick, which is not compared.
        proof: does the same work once, to be compared; None: `run` does.
        known_wrong: why its output may differ from that of the first contender; "" if it must not.
        prepare: is called before each run, and not measured.
        cpu: the clock of CPU seconds: that of a server's process, if that is what is measured.
        note: what it does besides.
    """

    name: str
    run: Callable[[], Any]
    output: Callable[[Any], Any] | None = joined
    proof: Callable[[], Any] | None = None
    known_wrong: str = ""
    prepare: Callable[[], object] = lambda: None
    cpu: Callable[[], float] = process_time
    note: str = ""


@frozen
class Times:
    """The seconds of one contender, one of each for each round."""

    cpu: list[float]
    wall: list[float]


def compare(  # noqa: PLR0913 - each has its name
    title: str,
    contenders: Sequence[Contender],
    settings: Settings,
    *,
    against: Sequence[str],
    items: int = 1,
    item: str = "run",
    heavy: bool = False,
) -> Table:
    """Compare all outputs with that of the first contender, then measure.

    Args:
        title: what the work is.
        contenders: who does it; the first is right.
        settings: the options.
        against: names of those to which the others are compared.
        items: how many things one run works on.
        item: what one of them is.
        heavy: a run takes long, so that there are fewer rounds.

    Raises:
        AssertionError: an output differs, and the contender is not marked `known_wrong`.
    """
    notes = checked(contenders)
    able = [each for each in contenders if not notes[each.name].startswith(GIVES_UP)]
    if settings.quick:
        # Those of a server in another process cannot be counted.
        counted = {each.name: (calls(each) / items,) for each in able if each.cpu is process_time}
        rows = [
            Row(each.name, counted.get(each.name, ()), notes[each.name] or ("" if each.name in counted else "checked"))
            for each in contenders
        ]
        return Table(title, (f"calls a {item}",), tuple(rows))
    times = measure(able, max(3, settings.rounds // 4) if heavy else settings.rounds)
    known = [reference for reference in against if reference in times]
    unit, scale = ("ms", 1e3) if items == 1 else ("us", 1e6 / items)
    columns = [f"{unit} a {item}", "wall", *(column for name in known for column in (f"x {name}", "", "wall"))]
    rows = []
    for each in contenders:
        if (its := times.get(each.name)) is None:
            rows.append(Row(each.name, note=notes[each.name]))
            continue
        figures: list[float | str] = [min(its.cpu) * scale, min(its.wall) * scale]
        for reference in known:
            figures += ratios(its, times[reference])
        rows.append(Row(each.name, tuple(figures), notes[each.name], {"cpu": its.cpu, "wall": its.wall}))
    return Table(title, tuple(columns), tuple(rows))


def ratios(its: Times, reference: Times) -> list[float | str]:
    rounds = [theirs / ours for ours, theirs in zip(its.cpu, reference.cpu, strict=True)]
    low, _, high = quantiles(rounds, n=4) if len(rounds) > 1 else rounds * 3
    return [min(reference.cpu) / min(its.cpu), f"({low:.2f}-{high:.2f})", min(reference.wall) / min(its.wall)]


GIVES_UP = "gives up: "


def checked(contenders: Sequence[Contender]) -> dict[str, str]:
    """Compare all outputs with that of the first contender, and return the note for each row."""
    notes: dict[str, str] = {}
    expected: Any = None
    for each in contenders:
        try:
            each.prepare()
            result = (each.proof or each.run)()
        except GivesUp as reason:
            notes[each.name] = f"{GIVES_UP}{reason}"
            continue
        notes[each.name] = each.note
        if each.output is None:
            continue
        output = each.output(result)
        if expected is None:
            expected = output
        if output != expected:
            if not each.known_wrong:
                raise AssertionError(f"{each.name}: the output differs from that of the first contender")
            notes[each.name] = f"wrong: {each.known_wrong}"
    return notes


def measure(contenders: Sequence[Contender], rounds: int) -> dict[str, Times]:
    """Return the times of each contender."""
    times = {each.name: Times([], []) for each in contenders}
    chance = random.Random(rounds)
    gc.collect()
    gc.disable()  # or one contender pays for the garbage of another
    try:
        for _ in range(rounds):
            # In a rotation, each would always follow the same one.
            for each in chance.sample(contenders, len(contenders)):
                each.prepare()
                cpu, wall = each.cpu(), perf_counter()
                each.run()
                times[each.name].wall.append(perf_counter() - wall)
                times[each.name].cpu.append(max(each.cpu() - cpu, 1e-9))
            gc.collect()
    finally:
        gc.enable()
    return times


class CallCounter:
    """Counts calls, of Python and of C functions, in this thread and in those that it starts, in a `with` block."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def _note(self, _frame: FrameType, event: str, _argument: object) -> None:
        if event in {"call", "c_call"}:
            with self._lock:
                self.count += 1

    def __enter__(self) -> Self:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def calls(contender: Contender) -> int:
    """Count the calls that one run takes."""
    contender.prepare()
    with CallCounter() as counter:
        contender.run()
    return counter.count
