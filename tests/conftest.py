"""What every test file may rely on.

`POP3PROTO_REQUIRE` holds markers, separated by commas. A test that carries one of them fails where
it would be skipped: `POP3PROTO_REQUIRE=interop` says that the programs the tests talk to are there.

`POP3PROTO_DEEP=1` runs the tests that are marked with `deep`, too: see `depth.py`.
"""

import asyncio.constants
import functools
import gc
import os
import shutil
import signal
import zlib
from collections.abc import Callable, Generator, Set as AbstractSet
from types import SimpleNamespace

import pytest
import trustme
from hypothesis import HealthCheck, settings

from pop3proto.authenticators import memory
from pop3proto.sasl.scram.keys import ScramKeys
from tests.helpers.depth import DEEP, deep

REQUIRED = frozenset(filter(None, os.environ.get("POP3PROTO_REQUIRE", "").split(",")))

# No time is ever asserted: machines are slow and busy. "ci" draws the same examples every time, so
# that a failure there is one of the change at hand; chance has its turn on developers' machines.
settings.register_profile(
    "default",
    max_examples=deep(100, 10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "ci",
    settings.get_profile("default"),
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session", autouse=True)
def signals_that_are_not_ignored() -> Generator[None]:
    """Let children start with the default action of each signal, as from a terminal.

    A run under `nohup`, or in the background of a script, ignores signals, and children inherit that. A handler they
    do not inherit. This process still survives a hang-up of its terminal.
    """
    handlers = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):  # Windows has none
        handlers[signal.SIGHUP] = lambda *_: None
    ignored = [number for number in handlers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, handlers[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Outside a deep run, leave out the tests that are marked with `deep`, but for the sample that each keeps."""
    if DEEP:
        return
    cases: dict[tuple[str, int], list[pytest.Item]] = {}
    for item in items:
        if mark := item.get_closest_marker("deep"):
            cases.setdefault((item.nodeid.partition("[")[0], mark.kwargs.get("keep", 0)), []).append(item)
    left_out: set[pytest.Item] = set()
    for (_, keep), same in cases.items():
        # By a checksum of their names: the same in each run, and with no regard to the order of the parameters.
        same.sort(key=lambda item: zlib.crc32(item.name.encode()))
        left_out.update(same[keep:])
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def bytecode_for_children(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Keep the bytecode of children in a temporary folder where it may not be kept beside the sources.

    Else each of them, and there are hundreds, compiles the library again.
    """
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_is_trusted(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Trust no authority of this machine: all that tests connect to is their own, and to read them all takes long."""
    authority = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority))
        patch.setenv("SSL_CERT_DIR", str(authority.parent / "none"))
        yield


@functools.cache
def _scram_keys(algorithm: str, password: str, iterations: int) -> ScramKeys:
    return ScramKeys.derive(algorithm, password, b"salt of all tests", iterations)


@pytest.fixture(scope="module", autouse=True)
def scram_keys_are_kept() -> Generator[None]:
    """Derive the SCRAM keys of a password once for all tests, which make thousands of authenticators in memory."""

    def derive(algorithm: str, password: str, _salt: bytes, iterations: int) -> ScramKeys:
        return _scram_keys(algorithm, password, iterations)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "ScramKeys", SimpleNamespace(derive=derive, decoy=ScramKeys.decoy))
        yield


@pytest.fixture(scope="session", autouse=True)
def short_origins_of_callbacks() -> Generator[None]:
    """Let asyncio keep where a callback was made, in debug mode, by its line alone: whole stacks take long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.constants, "DEBUG_STACK_DEPTH", 1)
        yield


@pytest.fixture(scope="module", autouse=True)
def what_was_there_before() -> None:
    """Spare the collector what is there when a file begins: some tests collect each time, to see what was left."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """A function from the name of a program to its path; without the program, the test is skipped.

    For tests that are marked with `interop`: where that is required, the skip is a failure.
    """
    # Daemons live where the path of an ordinary user does not lead.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin:/usr/sbin:/sbin"])

    def require(name: str) -> str:
        program = shutil.which(name, path=path)
        if program is None:
            pytest.skip(f"the program {name} is not installed")
        return program

    return require


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a required test into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _refuse(report, REQUIRED.intersection(mark.name for mark in item.iter_markers()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole file that has required tests into a failure."""
    report = yield
    if report.skipped and REQUIRED and isinstance(collector, pytest.File):
        # It was not imported to its end, so only its text can tell.
        text = collector.path.read_text(encoding="utf-8")
        _refuse(report, {mark for mark in REQUIRED if f"mark.{mark}" in text})
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport, marks: AbstractSet[str]) -> None:
    if marks:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        why = f"POP3PROTO_REQUIRE={','.join(sorted(marks))} lets nothing be skipped"
        report.outcome = "failed"
        report.longrepr = f"{reason} ({why})"
