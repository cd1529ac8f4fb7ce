"""Run groups of benchmarks and print a table for each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .groups import GROUPS
from .harness.rounds import Settings


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"one of {', '.join(GROUPS)}; default: all")
    parser.add_argument(
        "--rounds",
        type=positive,
        default=31,
        help="number of rounds (default: %(default)s); each contender runs once per round",
    )
    parser.add_argument(
        "--size", type=positive, default=1 << 20, help="size of a message in octets (default: %(default)s)"
    )
    parser.add_argument(
        "--chunk", type=positive, default=1 << 16, help="size of a chunk in octets (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    if unknown := set(given.groups).difference(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))} (choose from {', '.join(GROUPS)})")
    settings = Settings(rounds=given.rounds, size=given.size, chunk=given.chunk)
    print(settings.header())
    for name in given.groups or GROUPS:
        for table in GROUPS[name](settings):
            print(f"\n{table}", flush=True)


if __name__ == "__main__":
    main()
