"""Run groups of benchmarks and print a table for each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .groups import GROUPS
from .harness.report import Table, as_json, as_svg, build
from .harness.rounds import Settings


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"one of {', '.join(GROUPS)}; default: all")
    parser.add_argument("--rounds", type=positive, default=21, help="how often each contender runs (default: 21)")
    parser.add_argument("--quick", action="store_true", help="less work; check outputs and count calls, time nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios in a file (SVG)")
    given = parser.parse_args(arguments)
    if unknown := set(given.groups).difference(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))} (choose from {', '.join(GROUPS)})")
    settings = Settings(rounds=given.rounds, quick=given.quick)
    print(f"{build()}\n{settings.header()}", flush=True)
    tables: list[Table] = []
    for name in given.groups or GROUPS:
        for table in GROUPS[name](settings):
            tables.append(table)
            print(f"\n{table}", flush=True)
    if given.json is not None:
        given.json.write_text(as_json(tables), encoding="utf-8")
    if given.plot is not None:
        given.plot.write_text(as_svg(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
