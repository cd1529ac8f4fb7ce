"""Check that each module of the core is covered by its own test file.

A large test that touches everything proves little. So `lines.py` must be covered completely, branches
included, by `tests/core/test_lines.py` alone. All these test files together must cover the whole core.
Usage, from any directory; with names, only these modules are checked:

    python tools/maxi_cov.py [NAME ...]

The tests run with few examples first, which is enough to cover everything as a rule. If something is left out, they run
again with all examples (`POP3PROTO_DEEP=1`), and what is left out then is missing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "pop3proto" / "core"
TESTS = ROOT / "tests" / "core"

# The modules that each test file must cover alone. The other modules of the core are data that these
# modules use; it is enough if all tests of the core cover them together.
ALONE = {
    "lines": ("lines",),
    "dots": ("dots",),
    "commands": ("commands", "command", "authorization", "transaction"),
    "replies": ("replies",),
    "results": ("results",),
    "client": ("client",),
    "server": ("server",),
    "whole_answers": ("whole_answers",),
}


def python(*arguments: str, deep: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `python *arguments` in the repository; the caller checks the exit status."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "POP3PROTO_DEEP": "1" if deep else ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def measure(test: Path, data: Path, *, deep: bool) -> subprocess.CompletedProcess[str]:
    """Run one test file under coverage, and write the results to `data`."""
    return python(
        *("-m", "coverage", "run", f"--data-file={data}", "--source=pop3proto.core"),
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)),
        deep=deep,
    )


def report(data: Path, include: str) -> subprocess.CompletedProcess[str]:
    """Report the lines that `data` lacks of the files that match `include`; exit status 0 if complete."""
    return python(
        *("-m", "coverage", "report", f"--data-file={data}", "--precision=2"),
        *("--fail-under=100", f"--include={include}"),
    )


def check_alone(name: str, data: Path, *, deep: bool) -> tuple[bool, str]:
    """Return whether `tests/core/test_NAME.py` passes and covers `NAME.py`, and the text to print."""
    test = TESTS / f"test_{name}.py"
    if not test.exists():
        return False, f"FAILED {name}: {test.relative_to(ROOT)} does not exist"
    tests = measure(test, data, deep=deep)
    if tests.returncode != 0:
        return False, f"FAILED {name}: {test.relative_to(ROOT)} failed\n{tests.stdout}"
    if name not in ALONE:
        return True, f"{name}: passed; counted in the total below"
    covered = report(data, ",".join(f"*/pop3proto/core/{module}.py" for module in ALONE[name]))
    if covered.returncode != 0:
        return False, f"FAILED {name}: not completely covered by its own tests\n{covered.stdout}"
    return True, f"{name}: 100 %, branches included"


def check_together(folder: Path, pieces: list[Path]) -> tuple[bool, str]:
    """Return whether these test files together cover the whole core, and the text to print."""
    together = folder / "core"
    combined = python(
        *("-m", "coverage", "combine", "-q", "--keep", f"--data-file={together}"),
        *(str(piece) for piece in pieces if piece.exists()),
    )
    if combined.returncode != 0:
        return False, f"FAILED core: the coverage data could not be combined\n{combined.stdout}"
    covered = report(together, "*/pop3proto/core/*")
    outcome = "" if covered.returncode == 0 else "FAILED "
    return not outcome, f"{outcome}core, all test files together\n{covered.stdout}"


def check(names: list[str], *, together: bool, deep: bool) -> bool:
    """Print the missing coverage of each module; return whether none is missing."""
    complete = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pieces = [folder / f"alone-{name}" for name in names]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for passed, text in pool.map(partial(check_alone, deep=deep), names, pieces):
                print(text, flush=True)
                complete &= passed
        if together:
            passed, text = check_together(folder, pieces)
            print(text, flush=True)
            complete &= passed
    return complete


def main() -> int:
    """Print the missing coverage of each module; return exit status 1 if any is missing."""
    modules = sorted(path.stem for path in CORE.glob("*.py") if path.stem != "__init__")
    own_tests = [name for name in modules if (TESTS / f"test_{name}.py").exists()]
    parser = argparse.ArgumentParser(description="Check that each module of the core is covered by its own test file.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="module of the core (default: all)")
    chosen: list[str] = parser.parse_args().names
    names = chosen or sorted({*ALONE, *own_tests})
    if check(names, together=not chosen, deep=False):
        return 0
    print("\nnot complete with few examples; again, with all of them", flush=True)
    return 0 if check(names, together=not chosen, deep=True) else 1


if __name__ == "__main__":
    sys.exit(main())
