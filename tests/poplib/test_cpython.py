"""CPython's own tests of `poplib`, of the interpreters on this machine that have them, run on ours.

Two things are meant to differ, and nothing else; `docs/poplib.md` gives the reasons:

- A status line may have 8,192 octets, so that `test_too_long_lines`, with a few more than 2,048, raises nothing.
- TLS is verified. The tests connect to a server with a self-signed certificate, most of them without a context.
  So they run with `--insecure`, and one without it.
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


def python(minor):
    """An interpreter of a version that has the tests."""
    asked = f"import sys, test.test_poplib; sys.exit(sys.version_info[1] != {minor})"
    for each in pythons(minor):
        command = [each, "-W", "ignore", "-c", asked]
        if not subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode:
            return each
    pytest.skip(f"no Python 3.{minor} on this machine has test.test_poplib")


def run(interpreter, packages, *words):
    """Run tests; return how many there were, the names of those that failed, and all that was said."""
    command = [interpreter, "-W", "ignore", "-m", "pop3proto.poplib", *words]
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False)
    [number] = re.findall(r"^Ran (\d+) tests? in", ended.stderr, re.MULTILINE) or pytest.fail(ended.stderr)
    failed = re.findall(r"^(?:FAIL|ERROR): (\w+)", ended.stderr, re.MULTILINE)
    return int(number), set(failed), ended.stderr


def check(minor, packages, classes):
    tests = [f"test.test_poplib.{each}" for each in classes]
    number, failed, said = run(python(minor), packages, "--insecure", "-m", "unittest", *tests)
    assert failed == MEANT, said
    assert number >= (70 if len(classes) > 1 else 20)


def test_the_tests_of_this_python_pass(packages):
    check(OWN, packages, CLASSES if DEEP or OWN >= NEWEST else CLASSES[:1])


@pytest.mark.deep
@pytest.mark.parametrize("minor", [minor for minor in range(11, 16) if minor != OWN])
def test_the_tests_of_other_pythons_pass(minor, packages):
    check(minor, packages, CLASSES)


def test_without_insecure_a_certificate_that_nobody_has_signed_is_refused(packages):
    _, failed, said = run(python(OWN), packages, "-m", "unittest", "test.test_poplib.TestPOP3Class.test_stls")
    assert failed == {"test_stls"}
    assert "CertificateRefused" in said
    assert "insecure" in said
