"""Running targets: inputs from mutations, findings, their minimising."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Final, cast

from attrs import frozen

from pop3proto.testing.mutation import Mutator, minimise

from .corpus import ROOT, WORDS
from .target import Target

FINDINGS: Final = ROOT / "findings"
_SLOW: Final = 20.0  # seconds for one input, which no input of 4 KiB may need


@frozen
class Finding:
    """An input for which something does not hold.

    Args:
        target: the target's name.
        octets: the input, made small.
        error: what was raised.
    """

    target: str
    octets: bytes
    error: BaseException

    @property
    def path(self) -> Path:
        return FINDINGS / f"{self.target}-{hashlib.sha256(self.octets).hexdigest()[:12]}"

    @property
    def command(self) -> str:
        inside = self.path.is_relative_to(ROOT.parent)
        return f"python -m fuzz {self.target} --repeat {self.path.relative_to(ROOT.parent) if inside else self.path}"

    def write(self) -> None:
        """Write the input, and how to repeat it."""
        FINDINGS.mkdir(exist_ok=True)
        self.path.write_bytes(self.octets)
        self.path.with_suffix(".txt").write_text(f"{self.report()}\n", "utf-8")

    def report(self) -> str:
        shown = "".join(traceback.format_exception(self.error)).encode("utf-8", "backslashreplace").decode()
        return f"{shown}\ninput: {self.octets!r:.2000}\nrepeat: {self.command}"


@frozen
class Outcome:
    """What came of fuzzing one target.

    Args:
        runs: how many inputs were played.
        ways: how many different ways they took.
        finding: None: nothing was found.
    """

    runs: int
    ways: int
    finding: Finding | None = None


def attempt(target: Target, octets: bytes) -> tuple[object, Exception | None]:
    """Play one input; return its way, and the error."""
    began = process_time()  # not that of a clock on the wall: a machine that is busy is no finding
    try:
        way = target.run(octets)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return None, error
    if (seconds := process_time() - began) > _SLOW:
        return None, TimeoutError(f"this input took {seconds:.0f} s")
    return way, None


def place(error: BaseException) -> tuple[object, ...]:
    """Return what tells one fault from another: the kind of error, and where it was raised."""
    if isinstance(error, TimeoutError):
        return (TimeoutError,)
    frames = traceback.extract_tb(error.__traceback__)
    return type(error), frames[-1].filename, frames[-1].lineno, *((frames[-2].lineno,) if len(frames) > 1 else ())


def made_small(target: Target, octets: bytes, error: Exception, *, runs: int = 1_500) -> Finding:
    """Return a finding with an input that is as small as it can be made."""
    where = place(error)
    last = error

    def fails(less: bytes) -> bool:
        nonlocal last
        _, raised = attempt(target, less)
        if raised is None or place(raised) != where:
            return False
        last = raised
        return True

    return Finding(target.name, minimise(octets, fails, runs=runs), last)


def inputs(target: Target, seed: int) -> Iterator[tuple[bytes, Callable[[bytes], None]]]:
    """Yield the seeds of a target, and then mutations without end; with each, a function that keeps it."""
    corpus = list(dict.fromkeys(target.seeds()))
    mutator = Mutator(corpus, WORDS, seed=seed)
    for octets in corpus:
        yield octets, _drop
    while True:
        yield mutator.next(), mutator.keep


def _drop(_octets: bytes) -> None:
    """Keep nothing: it is in the corpus."""


def replay(target: Target) -> Outcome:
    """Play the seeds alone."""
    return fuzz(target, runs=len(set(target.seeds())))


def fuzz(target: Target, *, runs: int | None = None, seconds: float | None = None, seed: int = 0) -> Outcome:
    """Play inputs until one fails, or there were so many, or they took so many seconds of the processor."""
    ways: set[object] = set()
    until = None if seconds is None else process_time() + seconds
    done = 0
    for octets, keep in inputs(target, seed):
        if (runs is not None and done >= runs) or (until is not None and process_time() >= until):
            break
        done += 1
        way, error = attempt(target, octets)
        if error is not None:
            return Outcome(done, len(ways), made_small(target, octets, error))
        if way not in ways:
            ways.add(way)
            keep(octets)
    return Outcome(done, len(ways))


def has_atheris() -> bool:
    return find_spec("atheris") is not None


def fuzz_guided(target: Target, *, runs: int | None, seconds: float | None, seed: int) -> Outcome:
    """Let atheris choose the inputs, by the coverage of the library; in a process of its own, which it ends."""
    command = [sys.executable, "-m", "fuzz.guided", target.name, "--seed", str(seed)]
    command += [] if runs is None else ["--runs", str(runs)]
    command += [] if seconds is None else ["--seconds", str(max(int(seconds), 1))]
    limit = None if seconds is None else seconds + 120
    done = subprocess.run(
        command, cwd=ROOT.parent, capture_output=True, text=True, errors="replace", timeout=limit, check=False
    )
    for line in reversed(done.stdout.splitlines()):
        with suppress(json.JSONDecodeError):
            told = cast("dict[str, object]", json.loads(line))
            octets = told.get("octets")
            runs_done, ways = int(str(told["runs"])), int(str(told["ways"]))
            if octets is None:
                return Outcome(runs_done, ways)
            found = bytes.fromhex(str(octets))
            _, error = attempt(target, found)
            return Outcome(runs_done, ways, Finding(target.name, found, error or RuntimeError(str(told["error"]))))
    raise RuntimeError(f"atheris ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
