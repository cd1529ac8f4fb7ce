"""The pytest plugin: the fixture `start_pop3_server`, and `pytest --pop3-server URL`, which checks a POP3 server.

pytest loads it wherever this package is installed, so it imports the library only when something of it is used.
"""

from __future__ import annotations

import math
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from os import PathLike

    from typing_extensions import override

    from .checks import Check, Checker, Outcome, Target
    from .fixtures import StartPop3Server
    from .server import Pop3Server
else:

    def override(method: Any) -> Any:  # noqa: ANN401 - that of typing_extensions takes long to import
        return method


__all__ = ["CheckFailure", "CheckItem", "start_pop3_server"]

_PASSWORD: Final = "POP3_PASSWORD"  # noqa: S105 - the name of a variable
_TIMEOUT: Final = 20.0
_SUPPORTED: Final = tuple(map(int, pytest.__version__.split(".")[:2])) >= (7, 2)  # else there are no options
_target: Any = pytest.StashKey["Target"]() if _SUPPORTED else None
_OPTIONS: Final = ("--pop3-may-delete", "--pop3-slow", "--pop3-strict", "--pop3-timeout", "--pop3-ca-file")
_MARKS: Final = {
    "MUST": "an RFC demands it",
    "SHOULD": "an RFC recommends it",
    "PRACTICE": "clients get on better with it",
}


@pytest.fixture
def start_pop3_server() -> Iterator[StartPop3Server]:
    """Return a function that starts a test server; it has the arguments of `pop3_server`. Servers end with the test."""
    from .server import pop3_server  # noqa: PLC0415

    with ExitStack() as servers:

        def start(*arguments: Any, **options: Any) -> Pop3Server:  # noqa: ANN401 - they are those of the protocol
            return servers.enter_context(pop3_server(*arguments, **options))

        yield start


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    if not _SUPPORTED:
        return
    group = parser.getgroup("pop3proto", "to check a POP3 server (pop3proto)")
    group.addoption(
        "--pop3-server",
        metavar="URL",
        help=(
            "check this server: pops://user@host[:port] (implicit TLS), pop:// (STLS) or pop3:// (no TLS); the "
            f"environment variable {_PASSWORD} has the password. Some checks give wrong passwords for this user, about "
            "ten in a run: a server may lock the account, or the address, for a while"
        ),
    )
    group.addoption("--pop3-may-delete", action="store_true", help="the account is for tests: delete messages, too")
    group.addoption("--pop3-slow", action="store_true", help="run checks that wait for ten minutes, too")
    group.addoption("--pop3-strict", action="store_true", help="let SHOULD and PRACTICE fail as MUST does")
    group.addoption("--pop3-timeout", type=_seconds, metavar="SECONDS", help=f"for each answer; default: {_TIMEOUT:g}")
    group.addoption("--pop3-ca-file", metavar="PEM", help="trust these authorities, in place of those of the system")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError(text)
    return seconds


def pytest_configure(config: pytest.Config) -> None:
    """See what is to be checked, if anything; collect nothing else, unless paths of tests were given."""
    if not _SUPPORTED:
        return
    if (url := config.getoption("--pop3-server")) is None:
        if unused := [option for option in _OPTIONS if config.getoption(option)]:
            raise pytest.UsageError(f"{unused[0]} is of no use without --pop3-server")
        return
    if _is_distributed(config):
        raise pytest.UsageError(
            "--pop3-server: the checks share one maildrop, and cannot be distributed: run them with -n 0 (pytest-xdist)"
        )
    config.stash[_target] = _target_of(config, url)
    for level, meaning in _MARKS.items():
        config.addinivalue_line("markers", f"{level}: a check of a POP3 server: {meaning}")
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


def _is_distributed(config: pytest.Config) -> bool:
    """Return whether pytest-xdist runs the tests in several processes, or this is one of them."""
    distributed = config.getoption("numprocesses", None) or config.getoption("dist", "no") != "no"
    return bool(distributed) or hasattr(config, "workerinput")


@pytest.hookimpl(hookwrapper=True)  # pytest 7 knows no other wrappers
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    """Add the server to what a session collects."""
    report: pytest.CollectReport = (yield).get_result()
    if _SUPPORTED and isinstance(collector, pytest.Session) and _target in collector.config.stash and report.passed:
        make = cast("Callable[..., CheckedServer]", CheckedServer.from_parent)  # pyright: ignore[reportUnknownMemberType]
        report.result.append(make(collector, name="pop3", nodeid="pop3"))


def _target_of(config: pytest.Config, url: str) -> Target:
    import ssl  # noqa: PLC0415

    import attrs  # noqa: PLC0415

    from .checks import Target  # noqa: PLC0415

    ca_file = config.getoption("--pop3-ca-file")
    try:
        context = None if ca_file is None else ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # that of ssl is one, too
        raise pytest.UsageError(f"--pop3-ca-file: {ca_file}: {error.strerror or error}") from None
    try:
        target = Target.of_url(url, password=os.environ.get(_PASSWORD))
        return attrs.evolve(
            target,
            context=context,
            may_delete=config.getoption("--pop3-may-delete"),
            slow=config.getoption("--pop3-slow"),
            timeout=config.getoption("--pop3-timeout") or _TIMEOUT,
        )
    except ValueError as error:
        hint = f": set {_PASSWORD}" if "no password" in str(error) else ""
        raise pytest.UsageError(f"--pop3-server: {error}{hint}") from None


def _for_options(why: str) -> str:
    """Return a reason, with the options that help in place of the arguments."""
    from pop3proto._io.tls import TLS_LATER, TRUST_ISSUER  # noqa: PLC0415

    why = why.replace(TRUST_ISSUER, "to trust its issuer, give its certificate with --pop3-ca-file")
    return why.replace(TLS_LATER, "use another port, or pop:// (STLS) or pop3:// (no TLS) in place of pops://")


class CheckFailure(Exception):
    """A check has failed.

    Attributes:
        outcome: what it has found.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.why)
        self.outcome: Final = outcome


class CheckedServer(pytest.Collector):
    """The server whose checks are the tests."""

    @override
    def collect(self) -> list[CheckItem]:
        """Return the checks."""
        from .checks import CHECKS, Checker  # noqa: PLC0415

        checker = Checker(self.config.stash[_target])
        make = cast("Callable[..., CheckItem]", CheckItem.from_parent)  # pyright: ignore[reportUnknownMemberType]
        return [make(self, name=check.id, check=check, checker=checker) for check in CHECKS]


class CheckItem(pytest.Item):
    """A check, as a test.

    Args:
        check: what is checked.
        checker: runs it.
        options: those of `pytest.Item`.
    """

    def __init__(self, *, check: Check, checker: Checker, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self._check: Final = check
        self._checker: Final = checker
        self.add_marker(check.level.value)

    @override
    def runtest(self) -> None:
        """Run the check."""
        from attrs import evolve  # noqa: PLC0415

        outcome = self._checker.run(self._check)
        outcome = evolve(outcome, why=_for_options(outcome.why))
        if outcome.result == "skipped":
            pytest.skip(outcome.why)
        if outcome.result == "failed":
            # Without a transcript it has not begun, and pytest must not say that all is well.
            lenient = bool(outcome.transcript) and not self.config.getoption("--pop3-strict")
            if lenient and self._check.level.value != "MUST":
                pytest.xfail(f"{self._check.level.value}: {outcome.why}")
            raise CheckFailure(outcome)

    @override
    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        """Return what the check has found, and the transcript."""
        if not isinstance(error := excinfo.value, CheckFailure):
            return super().repr_failure(excinfo, style)
        check, outcome = self._check, error.outcome
        rule = f"The rule ({check.level.value}, {check.source}): {check.title}"
        return f"{outcome.why}\n\n{rule}\n\n{outcome.transcript}"

    @override
    def reportinfo(self) -> tuple[PathLike[str] | str, int | None, str]:
        """Return the name that reports show."""
        return "pop3", None, self.name
