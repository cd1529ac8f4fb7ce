"""What type checkers say to those who use the library.

The programs of README.md, docs and examples must pass both checkers, strict, as they stand there.

The files in `tests/typing` are programs of users. A line that must not pass ends with `# error`, or
with `# error: mypy` or `# error: pyright` where only one of them can tell. Each checker must report
exactly the lines that are marked for it: what passes is shown as much as what fails.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.processes import PATIENCE
from tests.helpers.snippets import PAGES, README, snippets

pytestmark = pytest.mark.typing

ROOT = Path(__file__).parent.parent
CASES = sorted((ROOT / "tests" / "typing").glob("*.py"))
MARK = re.compile(r"# error(?:: (mypy|pyright))?$")

Lines = set[tuple[str, int]]


def mypy() -> Iterator[tuple[str, int, str]]:
    # No cache: what mypy says about a module that it knows may lack a note.
    options = ["--config-file=pyproject.toml", "--cache-dir=/dev/null", "--output=json"]
    for line in run("mypy", *options, *map(str, CASES)).splitlines():
        report = json.loads(line)
        if report["severity"] == "error":
            yield report["file"], report["line"], report["message"]


def pyright() -> Iterator[tuple[str, int, str]]:
    options = ["--project=tests/typing", f"--pythonpath={sys.executable}", "--outputjson"]
    for report in json.loads(run("pyright", *options))["generalDiagnostics"]:
        # A warning that nobody marked is a surprise as well.
        yield report["file"], report["range"]["start"]["line"] + 1, report["message"]


def run(module: str, *arguments: str, folder: Path = ROOT) -> str:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE * 4)
    assert result.returncode in {0, 1}, result.stdout + result.stderr  # 1: it found something
    return result.stdout


CHECKERS = {"mypy": mypy, "pyright": pyright}


def marked(checker: str) -> Lines:
    return {
        (path.name, number)
        for path in CASES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (mark := MARK.search(line)) and mark[1] in {None, checker}
    }


@pytest.mark.parametrize("checker", CHECKERS)
def test_users_are_told_what_is_wrong_and_nothing_else(checker: str) -> None:
    reports = list(CHECKERS[checker]())
    reported = {(Path(file).name, line) for file, line, _ in reports}
    expected = marked(checker)
    assert expected
    surprises = [
        f"{Path(file).name}:{line}: {message}"
        for file, line, message in reports
        if (Path(file).name, line) not in expected
    ]
    assert surprises == []
    assert sorted(expected - reported) == []


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each example of the README and the pages, and for each program in examples."""
    folder = tmp_path_factory.mktemp("programs")
    for snippet in snippets(README, *PAGES):
        name = re.sub(r"\W", "_", str(snippet))
        (folder / f"{name}.py").write_text(f"# {snippet}\n{snippet.code}", encoding="utf-8")
    for program in (ROOT / "examples").glob("*.py"):
        shutil.copy(program, folder)
    config = {"typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_mypy_takes_what_the_documentation_shows(programs: Path) -> None:
    said = run("mypy", "--strict", "--no-error-summary", "--cache-dir=.mypy_cache", ".", folder=programs)
    assert said.splitlines() == []


def test_pyright_takes_what_the_documentation_shows(programs: Path) -> None:
    said = run("pyright", f"--pythonpath={sys.executable}", "--outputjson", folder=programs)
    report = json.loads(said)
    assert report["summary"]["filesAnalyzed"] == len([*programs.glob("*.py")])
    assert [(Path(each["file"]).name, each["message"]) for each in report["generalDiagnostics"]] == []
