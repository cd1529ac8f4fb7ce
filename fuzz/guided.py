"""One target under atheris, in a process that ends with it: `fuzz.engine.fuzz_guided` starts it.

What came of it is the last line of standard output, as JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    atheris: Any = importlib.import_module("atheris")  # it has no types, and there is not one for every Python
    with atheris.instrument_imports(include=["pop3proto"]):
        from .registry import TARGETS  # noqa: PLC0415 - so that the library is instrumented
    from .corpus import WORDS  # noqa: PLC0415 - as above
    from .engine import attempt, made_small  # noqa: PLC0415 - as above

    target = TARGETS[given.target]
    runs = 0
    ways: set[object] = set()
    until = None if given.seconds is None else process_time() + given.seconds

    def end(**found: object) -> None:
        print("\n" + json.dumps({"runs": runs, "ways": len(ways), **found}), flush=True)
        os._exit(0)  # libFuzzer has no other end than that of the process

    def play(octets: bytes) -> None:
        nonlocal runs
        runs += 1
        way, error = attempt(target, octets)
        if error is not None:
            finding = made_small(target, octets, error)
            end(octets=finding.octets.hex(), error=repr(finding.error))
        ways.add(way)
        if runs == given.runs or (until is not None and process_time() >= until):
            end()

    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        for number, octets in enumerate(dict.fromkeys(target.seeds())):
            (seeds / str(number)).write_bytes(octets)
        words = Path(folder, "words")
        escaped = ["".join(rf"\x{octet:02x}" for octet in word) for word in WORDS]
        words.write_text("".join(f'"{word}"\n' for word in escaped), "ascii")
        options = [f"-dict={words}", f"-seed={given.seed + 1}", "-max_len=4096", "-timeout=60", "-print_final_stats=0"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(seeds)], play)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
