"""What every test file may rely on.

`POP3PROTO_REQUIRE` holds markers, separated by commas. A test that carries one of them fails where
it would be skipped: `POP3PROTO_REQUIRE=interop` says that the programs the tests talk to are there.
"""

import os
import shutil
from collections.abc import Callable, Generator, Set as AbstractSet

import pytest
from hypothesis import HealthCheck, settings

REQUIRED = frozenset(filter(None, os.environ.get("POP3PROTO_REQUIRE", "").split(",")))

# No time is ever asserted: machines are slow and busy. "ci" draws the same examples every time, so
# that a failure there is one of the change at hand; chance has its turn on developers' machines.
settings.register_profile(
    "default",
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
