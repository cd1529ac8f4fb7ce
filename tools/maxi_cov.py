"""Check that every module of the core is covered by its own test file alone.

One big test that touches everything pins nothing: `lines.py` is to be covered, every branch of it,
by `tests/core/test_lines.py` and nothing else. What all these files cover together must be all of the
core. Usage, from anywhere, with any of the names to look at these alone:

    python tools/maxi_cov.py [NAME ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "pop3proto" / "core"
TESTS = ROOT / "tests" / "core"

# What each of these files of tests covers alone. The rest of the core are words and tables that
# these modules speak and use; it is enough that all tests of the core reach all of it together.
ALONE = {
    "lines": ("lines",),
    "dots": ("dots",),
    "commands": ("commands", "command", "authorization", "transaction"),
    "replies": ("replies",),
    "results": ("results",),
    "client": ("client",),
    "server": ("server",),
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python *arguments` in the repository; the caller looks at how it ended."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "POP3PROTO_DEEP": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def measure(test: Path, data: Path) -> subprocess.CompletedProcess[str]:
    """Run one test file under coverage, leaving what it found in `data`."""
    return python(
        *("-m", "coverage", "run", f"--data-file={data}", "--source=pop3proto.core"),
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)),
    )


def report(data: Path, include: str) -> subprocess.CompletedProcess[str]:
    """Say what `data` lacks of the files that match `include`; the exit status is 0 for nothing."""
    return python(
        *("-m", "coverage", "report", f"--data-file={data}", "--precision=2"),
        *("--fail-under=100", f"--include={include}"),
    )


def check_alone(name: str, data: Path) -> tuple[bool, str]:
    """Whether `tests/core/test_NAME.py` passes and covers `NAME.py`, and what to print."""
    test = TESTS / f"test_{name}.py"
    if not test.exists():
        return False, f"{name}: there is no {test.relative_to(ROOT)}"
    tests = measure(test, data)
    if tests.returncode != 0:
        return False, f"{name}: {test.relative_to(ROOT)} failed\n{tests.stdout}"
    if name not in ALONE:
        return True, f"{name}: passed, and counts below"
    covered = report(data, ",".join(f"*/pop3proto/core/{module}.py" for module in ALONE[name]))
    if covered.returncode != 0:
        return False, f"{name}: not covered by its own tests\n{covered.stdout}"
    return True, f"{name}: 100 %, every branch"


def check_together(folder: Path, pieces: list[Path]) -> tuple[bool, str]:
    """Whether all these test files together cover all of the core, and what to print."""
    together = folder / "core"
    combined = python(
        *("-m", "coverage", "combine", "-q", "--keep", f"--data-file={together}"),
        *(str(piece) for piece in pieces if piece.exists()),
    )
    if combined.returncode != 0:
        return False, f"core: nothing to combine\n{combined.stdout}"
    covered = report(together, "*/pop3proto/core/*")
    return covered.returncode == 0, f"core, all of it together\n{covered.stdout}"


def main() -> int:
    """Print what every module lacks; the exit status is 1 if one does."""
    modules = sorted(path.stem for path in CORE.glob("*.py") if path.stem != "__init__")
    own_tests = [name for name in modules if (TESTS / f"test_{name}.py").exists()]
    parser = argparse.ArgumentParser(description="Check what the tests of the core cover.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a module of the core")
    chosen: list[str] = parser.parse_args().names
    names = chosen or sorted({*ALONE, *own_tests})

    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pieces = [folder / f"alone-{name}" for name in names]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for passed, text in pool.map(check_alone, names, pieces):
                print(text, flush=True)
                failures += not passed
        if not chosen:
            passed, text = check_together(folder, pieces)
            print(text, flush=True)
            failures += not passed
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
