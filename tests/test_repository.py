"""What holds for the repository as text, whoever wrote the last line of it."""

import ast
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import pop3proto
from tests.helpers.processes import PATIENCE

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"

# A module over about 350 lines asks to be two. What stays one says why, here.
LONGEST_MODULE = 350
LONGER_FOR_A_REASON: dict[str, str] = {}

# What a checkout has beside what belongs to it, where git is not there to ask.
NOT_OURS = re.compile(r"(^|/)(\.git|\.[a-z-]*venv[^/]*|\.?[a-z_]*cache(__)?|\.hypothesis|build|dist)(/|$)")


def repository_files() -> list[str]:
    """What is in the repository, or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError):  # an unpacked archive, or no git
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    else:
        names = listed.stdout.split("\0")
    ours = {name for name in names if name and not NOT_OURS.search(name)}
    return sorted(name for name in ours if (ROOT / name).is_file())


FILES = repository_files()
SOURCES = sorted(SOURCE.rglob("*.py"))
PYTHON = [ROOT / name for name in FILES if name.endswith((".py", ".pyi"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_files() -> Iterator[tuple[str, str]]:
    for name in FILES:
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            assert name.startswith(("tests/data/", "docs/")), f"{name} is not UTF-8"


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_a_module_is_one_thing() -> None:
    long = {name_of(path) for path in SOURCES if lines_of(path) > LONGEST_MODULE}
    assert long - LONGER_FOR_A_REASON.keys() == set()


def test_the_reasons_are_still_needed() -> None:
    for name in LONGER_FOR_A_REASON:
        assert lines_of(ROOT / name) > LONGEST_MODULE


# A bare one hides every error of its line, the next one to come included.
BARE_IGNORES = {
    "type: ignore": re.compile(r"#\s*type:\s*ignore(?!\[)"),
    "pyright: ignore": re.compile(r"#\s*pyright:\s*ignore(?!\[)"),
    "noqa": re.compile(r"#\s*noqa(?!:\s*[A-Z])", re.IGNORECASE),
    "mypy: ignore-errors": re.compile(r"#\s*mypy:\s*ignore-errors"),
}


@pytest.mark.parametrize("ignore", BARE_IGNORES)
def test_an_ignored_error_is_named(ignore: str) -> None:
    found = [
        f"{name_of(path)}:{number}"
        for path in PYTHON
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BARE_IGNORES[ignore].search(line)
    ]
    assert found == []


def waits_without_a_limit(path: Path) -> Iterator[int]:
    """The lines of calls that may wait for a process or a thread without end.

    Coroutines are left out: what runs them has a limit. So is the public `server.wait()`, which takes none.
    """
    suspicious = {"join", "wait", "communicate", "Popen", "run", "call", "check_call", "check_output", "Thread"}
    text = path.read_text(encoding="utf-8")
    if not any(f".{name}(" in text for name in suspicious):  # to parse it would take long
        return
    tree = ast.parse(text)
    awaited = {node.value for node in ast.walk(tree) if isinstance(node, ast.Await)}
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call in awaited:
            continue
        name = call.func.attr
        if name not in suspicious:
            continue
        owner = ast.unparse(call.func.value)
        options = {keyword.arg for keyword in call.keywords}
        if (
            (name in {"join", "wait"} and not call.args and "timeout" not in options and owner != "server")
            or (name == "communicate" and "timeout" not in options)
            or (owner == "subprocess" and name == "Popen")
            or (
                owner == "subprocess"
                and name in {"run", "call", "check_call", "check_output"}
                and "timeout" not in options
            )
            or (
                owner == "threading" and name == "Thread" and "daemon" not in options
            )  # it would keep Python from ending
        ):
            yield call.lineno


def test_no_test_waits_without_a_limit() -> None:
    starts_processes = {"kill_points.py", "processes.py", "programs.py"}  # they end what they start
    found = [
        f"{name_of(path)}:{line}"
        for path in PYTHON
        if name_of(path).startswith("tests/") and path.name not in starts_processes
        for line in waits_without_a_limit(path)
    ]
    assert found == []


def test_nothing_outside_the_repository_is_named() -> None:
    # In brackets, so that this file does not name it either.
    outside = re.compile(r"\.\./[s]hared|/[w]ork/|/[r]oot/")
    assert [name for name, text in text_files() if outside.search(text)] == []


def test_there_is_no_lock_file() -> None:
    lock = re.compile(r"(^|/)([^/]*\.lock|pylock[^/]*\.toml|package-lock\.json|Pipfile\.lock)$")
    assert [name for name in FILES if lock.search(name)] == []


@pytest.mark.parametrize("purpose", ["demo", "tests"])
def test_the_readme_has_the_command(purpose: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(rf"<!-- command: {purpose} -->\n```sh\n(.*?)\n```\n", readme, re.DOTALL)
    assert len(found) == 1
    (command,) = found
    assert "\n" not in command
    assert re.match(r"python3 -m venv \S+ && ", command)


def test_the_version_and_the_changelog_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)[0]
    assert newest == ("Unreleased" if ".dev" in project["version"] else project["version"])
    assert importlib.metadata.version("pop3proto") == project["version"]
    assert pop3proto.__version__ == project["version"]


def modules() -> Iterator[types.ModuleType]:
    for path in SOURCES:
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] == "__main__":
            continue  # importing it runs it
        name = ".".join(parts).removesuffix(".__init__")
        try:
            yield importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != "trio":  # an extra
                raise


def test_a_public_name_exists_and_is_documented() -> None:
    missing: list[str] = []
    undocumented: list[str] = []
    for module in modules():
        for name in getattr(module, "__all__", ()):
            where = f"{module.__name__}.{name}"
            if not hasattr(module, name):
                missing.append(where)
                continue
            value = getattr(module, name)
            # Constants and type aliases are documented by a comment: Python keeps none for them.
            if inspect.isroutine(value) and not value.__doc__:
                undocumented.append(where)
            # A class that has none would show its parent's.
            if inspect.isclass(value) and value.__module__.startswith("pop3proto") and not vars(value).get("__doc__"):
                undocumented.append(where)
    assert missing == []
    assert undocumented == []


def test_a_public_module_says_what_is_public() -> None:
    silent = [
        module.__name__
        for module in modules()
        if "._" not in module.__name__
        and not hasattr(module, "__all__")
        and not is_a_docstring_alone(Path(str(module.__file__)))
    ]
    assert silent == []


def is_a_docstring_alone(path: Path) -> bool:
    module = ast.parse(path.read_text(encoding="utf-8"))
    return len(module.body) == 1 and ast.get_docstring(module) is not None
