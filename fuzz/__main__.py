"""Fuzz the library: inputs that are changed by chance, and laws that must hold for each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from .engine import Outcome, attempt, fuzz, fuzz_guided, has_atheris, made_small, replay
from .registry import TARGETS
from .target import Target

_PLANT_SECONDS = 60.0
_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        for name, target in TARGETS.items():
            print(f"{name:<18} {target.about}")
        return 0
    targets = list(TARGETS.values()) if given.target == "all" else [TARGETS[given.target]]
    if given.repeat is not None:
        if given.target == "all":
            parser.error("--repeat needs the target")
        return _repeat(targets[0], given.repeat.read_bytes())
    if given.plant:
        return _plant(targets, given.seed)
    if given.replay:
        return _show(targets, replay)
    seconds = given.seconds if given.seconds is not None or given.runs is not None else _SECONDS
    guided = given.engine == "atheris" or (given.engine == "auto" and has_atheris())
    print(f"engine: {'atheris' if guided else 'ours'}, seed {given.seed}", flush=True)
    play = partial(fuzz_guided if guided else fuzz, runs=given.runs, seconds=seconds, seed=given.seed)
    return _show(targets, play)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", default="all", choices=["all", *TARGETS], metavar="TARGET")
    parser.add_argument("--list", action="store_true", help="print the targets")
    parser.add_argument(
        "--seconds", type=float, help=f"of the processor, for each target (default: {_SECONDS:.0f}, without --runs)"
    )
    parser.add_argument("--runs", type=int, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs (default: %(default)s)")
    parser.add_argument(
        "--engine", choices=["auto", "ours", "atheris"], default="auto", help="auto: atheris if it is installed"
    )
    parser.add_argument("--replay", action="store_true", help="play the seeds alone")
    parser.add_argument("--plant", action="store_true", help="put a fault into the library, which must be found")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="play one input")
    return parser


def _show(targets: Iterable[Target], play: Callable[[Target], Outcome]) -> int:
    """Play targets and print what came of each; the exit status is 1 if something was found."""
    status = 0
    for target in targets:
        began = perf_counter()
        outcome = play(target)
        found = "" if outcome.finding is None else "FOUND"
        took = f"{outcome.runs:>9} inputs  {outcome.ways:>6} ways  {perf_counter() - began:6.1f} s"
        print(f"{target.name:<18} {took}  {found}".rstrip(), flush=True)
        if outcome.finding is not None:
            outcome.finding.write()
            print(outcome.finding.report(), flush=True)
            status = 1
    return status


def _repeat(target: Target, octets: bytes) -> int:
    way, error = attempt(target, octets)
    if error is None:
        print(f"nothing is wrong: {way!r:.500}")
        return 0
    print(made_small(target, octets, error, runs=0).report())
    return 1


def _plant(targets: Iterable[Target], seed: int) -> int:
    """Show that each target finds the fault that is made for it."""
    status = 0
    for target in targets:
        began = perf_counter()
        with target.plant():
            outcome = fuzz(target, seconds=_PLANT_SECONDS, seed=seed)
        finding = outcome.finding
        found = "NOT FOUND" if finding is None else f"found by {finding.octets!r:.60}: {finding.error!r:.90}"
        print(f"{target.name:<18} {outcome.runs:>9} inputs  {perf_counter() - began:6.1f} s  {found}", flush=True)
        status |= finding is None
    return status


if __name__ == "__main__":
    sys.exit(main())
