"""Packages import what they export when it is first used, and everything looks as if it were there from the start."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pop3proto
from tests.helpers.processes import PATIENCE

SOURCE = Path(pop3proto.__file__).parent
PACKAGES = {
    ".".join(("pop3proto", *path.parent.relative_to(SOURCE).parts)): ast.parse(text)
    for path in sorted(SOURCE.rglob("__init__.py"))
    if "\nexport(\n" in (text := path.read_text("utf-8"))
}


def run(code: str) -> str:
    command = [sys.executable, "-I", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert result.returncode == 0, result.stderr
    return result.stdout


def imported(tree: ast.Module) -> dict[str, str]:
    """Where each name comes from, as type checkers see it."""
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    return {alias.name: "." * node.level + str(node.module) for node in imports for alias in node.names}


def exported(tree: ast.Module) -> dict[str, str]:
    """Where each name comes from when a program runs."""
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    [names] = [ast.literal_eval(call.args[1]) for call in calls]
    return {name: module for module, several in names.items() for name in several.split()}


def test_all_packages_with_public_names_are_looked_at():
    assert set(PACKAGES) == {
        "pop3proto",
        "pop3proto.asyncio",
        "pop3proto.authenticators",
        "pop3proto.blocking",
        "pop3proto.fetching",
        "pop3proto.fetching.accounts",
        "pop3proto.fetching.destinations",
        "pop3proto.maildrops",
        "pop3proto.procedures",
        "pop3proto.sasl",
        "pop3proto.serving",
        "pop3proto.serving.config",
        "pop3proto.testing",
        "pop3proto.trio",
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_and_programs_see_the_same(package):
    module = importlib.import_module(package)
    assert imported(PACKAGES[package]) == exported(PACKAGES[package])
    assert {*exported(PACKAGES[package])} == {*module.__all__} - {"__version__"}
    for name, home in exported(PACKAGES[package]).items():
        assert getattr(module, name) is getattr(importlib.import_module(home, package), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_that_of_a_module(package):
    """Importing the module would put it in the place of what is exported."""
    modules = {module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)}
    assert not modules & {*exported(PACKAGES[package])}


def test_a_package_lists_its_names_before_they_are_imported():
    assert run("import pop3proto; print({*pop3proto.__all__} - {*dir(pop3proto)})") == "set()\n"
    assert run("from pop3proto.sasl import *; print(ScramKeys.__name__)") == "ScramKeys\n"


def test_a_name_is_looked_up_once():
    before = "'Retr' in vars(pop3proto)"
    assert run(f"import pop3proto; print({before}, pop3proto.Retr.__module__, {before})") == (
        "False pop3proto.core.transaction True\n"
    )


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match=r"^module 'pop3proto' has no attribute 'Rert'$") as caught:
        pop3proto.Rert  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("Rert", pop3proto)
    with pytest.raises(ImportError, match=r"^cannot import name 'Rert' from 'pop3proto'"):
        from pop3proto import Rert  # noqa: F401


def test_a_module_that_is_not_installed():
    code = (
        "import sys; sys.modules['trio'] = None\ntry: import pop3proto.trio\nexcept ImportError as error: print(error)"
    )
    assert run(code) == "import of trio halted; None in sys.modules\n"
