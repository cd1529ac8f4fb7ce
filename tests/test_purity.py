"""The floors below the adapters load nothing that does I/O, keeps time or makes chance.

import-linter reads the source; this sees what really happens, in fresh interpreters.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pop3proto
from tests.helpers.processes import PATIENCE

PACKAGE = Path(pop3proto.__file__).parent
FLOORS = ("core", "sasl", "procedures")

# What does I/O, keeps time or makes chance. `email` and `mailbox` bring sockets.
FORBIDDEN = frozenset(
    {
        "asyncio",
        "concurrent",
        "email",
        "http",
        "logging",
        "mailbox",
        "multiprocessing",
        "poplib",
        "random",
        "sched",
        "secrets",
        "select",
        "selectors",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "trio",
        "urllib",
        "uuid",
    }
)

# attrs and typing-extensions load what they like. The rest of the question is ours.
LOADED_BY = """
import json, sys
import attr, attrs, attr.validators, attrs.validators, attrs.converters, typing_extensions
before = set(sys.modules)
import {module}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(module: str) -> set[str]:
    """What `import module` loads beyond attrs and typing-extensions."""
    script = LOADED_BY.format(module=module)
    command = [sys.executable, "-I", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def public_modules(floor: str) -> list[str]:
    paths = sorted((PACKAGE / floor).rglob("*.py"))
    names = [path.relative_to(PACKAGE).with_suffix("").parts for path in paths]
    return [
        ".".join(("pop3proto", *(part for part in parts if part != "__init__")))
        for parts in names
        if not any(part.startswith("_") and part != "__init__" for part in parts)
    ]


def test_every_floor_is_looked_at() -> None:
    for floor in FLOORS:
        assert f"pop3proto.{floor}" in public_modules(floor)


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("module", [m for floor in FLOORS for m in public_modules(floor)])
def test_a_pure_module_loads_no_input_or_output(module: str) -> None:
    loaded = loaded_by(module)
    assert module in loaded
    assert not FORBIDDEN & {name.partition(".")[0] for name in loaded}


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_loads_none_above_it(floor: str) -> None:
    allowed = {"_exports", *FLOORS[: FLOORS.index(floor) + 1]}
    assert floors_of(loaded_by(f"pop3proto.{floor}")) <= allowed


def test_the_package_itself_is_the_core_alone_and_that_on_first_use() -> None:
    assert floors_of(loaded_by("pop3proto")) == {"_exports"}
    assert floors_of(loaded_by("pop3proto; from pop3proto import *")) == {"_exports", "core"}


def floors_of(loaded: set[str]) -> set[str]:
    return {name.split(".")[1] for name in loaded if name.startswith("pop3proto.")}


def test_this_test_would_notice() -> None:
    assert {"socket", "selectors"} <= loaded_by("socketserver")
