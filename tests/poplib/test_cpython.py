"""CPython's own tests of `poplib`, of the interpreters on this machine that have them, run on ours.

Two things are meant to differ, and nothing else; `docs/poplib.md` gives the reasons:

- A status line may have 8,192 octets, so that `test_too_long_lines`, with a few more than 2,048, raises nothing.
- TLS is verified. The tests connect to a server with a self-signed certificate, most of them without a context.
  So they run with `--insecure`, and one without it.

Of a version without an interpreter here, a copy of its tests runs under an older one, from sources that lie in a folder
of `POP3PROTO_PYTHON_SOURCES`, in /usr/src or /usr/lib, where pyenv keeps them, or in the tree of `tools/unstable.sh`.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.depth import DEEP
from tests.helpers.processes import PATIENCE
from tests.helpers.snippets import DOCS

NEEDED = ("attr", "attrs", "pop3proto", "typing_extensions")
MEANT = {"test_too_long_lines"}
CLASSES = ("TestPOP3Class", "TestPOP3_SSLClass", "TestPOP3_TLSClass", "TestTimeouts")
OWN = sys.version_info[1]
NEWEST = 14  # those from here on run in Debian unstable alone, and never deep


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with what is needed, for interpreters that have nothing installed."""
    folder = tmp_path_factory.mktemp("packages")
    for name in NEEDED:
        file = Path(importlib.import_module(name).__file__)
        source = file.parent if file.name == "__init__.py" else file
        (folder / source.name).symlink_to(source)
    return folder


def pythons(minor):
    """Interpreters of a version: this one, those on the PATH, and those of pyenv."""
    if minor == OWN:
        yield sys.executable
    if found := shutil.which(f"python3.{minor}"):
        yield found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, root.glob(f"versions/3.{minor}.*/bin/python"))


def python(minor, module="test.test_poplib"):
    """An interpreter of a version that has the tests, or a module of theirs; None: there is none."""
    asked = f"import sys, {module}; sys.exit(sys.version_info[1] != {minor})"
    for each in pythons(minor):
        command = [each, "-W", "ignore", "-c", asked]
        if not subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode:
            return each
    return None


def sources(minor):
    """Folders in which the tests of a version lie, without an interpreter that belongs to them."""
    named = os.environ.get("POP3PROTO_PYTHON_SOURCES", "").split(os.pathsep)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    tree = DOCS.parent / ".cache" / "unstable" / "usr" / "lib"
    for folder in (*map(Path, filter(None, named)), Path("/usr/src"), Path("/usr/lib"), root / "sources", tree):
        for pattern in (
            "python{}/test",
            "[Pp]ython-{}*/Lib/test",
            "cpython-{}*/Lib/test",
            "{}*/[Pp]ython-{}*/Lib/test",
        ):
            for test in folder.glob(pattern.replace("{}", f"3.{minor}")):
                if (test / "test_poplib.py").is_file():
                    yield test


COPY = "poplib_of_another_python"
PRELUDE = """
import test.support
import unittest
if not hasattr(test.support, "control_characters_c0"):  # since 3.15
    test.support.control_characters_c0 = lambda: [*map(chr, range(0x20)), "\\x7f"]
if not hasattr(unittest.TestCase, "assertStartsWith"):  # since 3.14
    unittest.TestCase.assertStartsWith = lambda self, each, start: self.assertTrue(each.startswith(start))
    unittest.TestCase.assertEndsWith = lambda self, each, end: self.assertTrue(each.endswith(end))
"""


def copied(minor, folder):
    """An interpreter of an older version that can run a copy of the tests of a version, which is made in a folder."""
    source = next(sources(minor), None)
    if source is None:
        pytest.skip(
            f"nothing was tested: no Python 3.{minor} on this machine has test.test_poplib, and "
            "POP3PROTO_PYTHON_SOURCES names no sources of it (tools/unstable.sh makes a tree with 3.14 and 3.15)"
        )
    older = (python(each, "test.support.asyncore, test.support.asynchat") for each in range(minor - 1, 11, -1))
    interpreter = next(filter(None, older), None)
    if interpreter is None:
        pytest.skip(f"nothing was tested: no Python here can run the tests of 3.{minor} that are in {source}")
    (folder / f"{COPY}.py").write_text(PRELUDE + (source / "test_poplib.py").read_text("utf-8"), "utf-8")
    shutil.copytree(source / "certdata", folder / "certdata")
    return interpreter


def run(interpreter, packages, *words, folder=None):
    """Run tests; return how many there were, the names of those that failed, and all that was said."""
    command = [interpreter, "-W", "ignore", "-m", "pop3proto.poplib", *words]
    paths = [str(packages)] if folder is None else [str(packages), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False)
    [number] = re.findall(r"^Ran (\d+) tests? in", ended.stderr, re.MULTILINE) or pytest.fail(ended.stderr)
    failed = re.findall(r"^(?:FAIL|ERROR): (\w+)", ended.stderr, re.MULTILINE)
    return int(number), set(failed), ended.stderr


def check(minor, packages, classes, folder):
    module, interpreter = "test.test_poplib", python(minor)
    if interpreter is None:
        module, interpreter = COPY, copied(minor, folder)
    tests = [f"{module}.{each}" for each in classes]
    number, failed, said = run(interpreter, packages, "--insecure", "-m", "unittest", *tests, folder=folder)
    assert failed == MEANT, said
    assert number >= (70 if len(classes) > 1 else 20)


def test_the_tests_of_this_python_pass(packages, tmp_path):
    check(OWN, packages, CLASSES if DEEP or OWN >= NEWEST else CLASSES[:1], tmp_path)


@pytest.mark.deep
@pytest.mark.parametrize("minor", [minor for minor in range(11, 16) if minor != OWN])
def test_the_tests_of_other_pythons_pass(minor, packages, tmp_path):
    check(minor, packages, CLASSES, tmp_path)


@pytest.mark.deep
def test_a_copy_of_the_tests_runs_under_another_python(packages, tmp_path, monkeypatch):
    """Those of 3.13, as if there were no interpreter of it."""
    here = python(13)
    if here is None:
        pytest.skip("nothing was tested: there is no Python 3.13 whose tests could be copied")
    where = subprocess.run(
        [here, "-c", "import test; print(*test.__path__)"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    monkeypatch.setenv("POP3PROTO_PYTHON_SOURCES", str(Path(where.stdout.strip()).parents[1]))
    interpreter = copied(13, tmp_path)
    assert interpreter != here
    words = ("--insecure", "-m", "unittest", f"{COPY}.{CLASSES[0]}")
    number, failed, said = run(interpreter, packages, *words, folder=tmp_path)
    assert (number >= 20, failed) == (True, MEANT), said


def test_without_insecure_a_certificate_that_nobody_has_signed_is_refused(packages):
    interpreter = python(OWN) or pytest.skip(f"nothing was tested: this Python 3.{OWN} has no test.test_poplib")
    _, failed, said = run(interpreter, packages, "-m", "unittest", "test.test_poplib.TestPOP3Class.test_stls")
    assert failed == {"test_stls"}
    assert "CertificateRefused" in said
    assert "insecure" in said
