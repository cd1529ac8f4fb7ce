"""The pytest plugin: `pytest --pop3-server URL`, and the fixture."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.checks import CHECKS
from pop3proto.testing.faults import Fault, WrongSize
from tests.helpers.processes import PATIENCE

from .sabotage import MAIL, Instead

pytest_plugins = ["pytester"]

PLUGIN = "pop3proto.testing.pytest_plugin"


@pytest.fixture
def check(pytester, monkeypatch):
    """Run pytest at a server with faults, in a folder with a test of its own."""
    pytester.makepyfile(test_of_mine="def test_mine(): pass")
    monkeypatch.setenv("POP3_PASSWORD", PASSWORD)

    def run(*arguments: str, faults: tuple[Fault, ...] = ()) -> pytest.RunResult:
        with pop3_server({"ann": MAIL}, faults=faults) as server:
            url = f"pop3://ann@{server.host}:{server.port}"
            options = ("--disable-plugin-autoload", "-p", PLUGIN, "-p", "no:cacheprovider", "--pop3-server", url)
            return pytester.runpytest_subprocess(*options, *arguments, timeout=PATIENCE)

    return run


@pytest.mark.deep
def test_checks_are_tests(check):
    result = check("--pop3-may-delete", "-rs", "--strict-markers", "-W", "error")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed", "skipped"}
    assert sum(outcomes.values()) == len(CHECKS)
    result.stdout.fnmatch_lines(['SKIPPED * it needs tls="starttls"'])


@pytest.mark.deep
def test_some_of_them(check):
    result = check("-v", "-m", "MUST", "-k", "stat-form or capa-known or test_mine")
    result.assert_outcomes(passed=1, deselected=len(CHECKS) - 1)
    result.stdout.fnmatch_lines(["pop3::stat-form PASSED*"])


@pytest.mark.deep
def test_tests_whose_path_is_given_are_run_as_well(check):
    check("test_of_mine.py", "-k", "stat-form or test_mine").assert_outcomes(passed=2, deselected=len(CHECKS) - 1)


@pytest.mark.deep
def test_a_must_that_fails(check):
    result = check("-k", "size-is-exact", faults=(WrongSize(by=-2),))
    result.assert_outcomes(failed=1, deselected=len(CHECKS) - 1)
    result.stdout.fnmatch_lines(
        [
            "message 1 has 29 octets, not 27*",
            "The rule (MUST, RFC 1939 section 11): RETR sends as many octets as LIST says.",
            "C: RETR 1",
            "FAILED pop3::size-is-exact - message 1 has *",
        ]
    )
    assert PASSWORD not in result.stdout.str()
    assert result.ret == 1


@pytest.mark.deep
def test_a_run_in_which_nobody_has_logged_in_is_no_good_one(check, monkeypatch):
    monkeypatch.setenv("POP3_PASSWORD", "wrong")
    result = check("-k", "stat-form or top-and-uidl-announced or auth-long-response or stat-nothing-follows")
    outcomes = result.parseoutcomes()
    assert result.ret == 1
    assert outcomes["failed"] >= 2  # a SHOULD as well
    result.stdout.fnmatch_lines(["*could not be found out: the login was refused*"])


@pytest.mark.deep
def test_what_can_be_done_is_told_in_terms_of_the_options(pytester):
    options = ("--disable-plugin-autoload", "-p", PLUGIN, "-p", "no:cacheprovider", "-k", "greeting-positive")
    for tls, message in (("none", "*or pop:// (STLS) or pop3:// (no TLS)*"), ("implicit", "*--pop3-ca-file*")):
        with pop3_server({"ann": MAIL}, tls=tls) as server:
            url = f"pops://{server.host}:{server.port}"
            result = pytester.runpytest_subprocess(*options, "--pop3-server", url, timeout=PATIENCE)
        assert result.ret == 1
        result.stdout.fnmatch_lines([message])


@pytest.mark.deep
def test_the_help_says_that_wrong_passwords_are_tried(pytester):
    result = pytester.runpytest_subprocess("--disable-plugin-autoload", "-p", PLUGIN, "--help", timeout=PATIENCE)
    assert "give wrong passwords for this user" in " ".join(result.stdout.str().split())


@pytest.mark.deep
def test_a_practice_that_fails(check):
    faults = (Instead("XYZZ", b"-ERR"),)
    result = check("-rx", "-k", "reply-text", faults=faults)
    result.assert_outcomes(xfailed=1, deselected=len(CHECKS) - 1)
    result.stdout.fnmatch_lines(["XFAIL pop3::reply-text - *PRACTICE: the answer to XYZZ has no text"])
    assert result.ret == 0
    check("--pop3-strict", "-k", "reply-text", faults=faults).assert_outcomes(failed=1, deselected=len(CHECKS) - 1)


FORM = "*--pop3-server: the URL of a server has the form pops://user@host*"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--pop3-server", "http://h"], f"{FORM}, and the scheme of this one is another*"),
        (["--pop3-server", "h"], f"{FORM}, and this one has no '://'*"),
        (["--pop3-server", "pops://h:99999"], f"{FORM}, and the port of this one is no number*"),
        (["--pop3-server", "pops://h/inbox"], f"{FORM}, and something follows the host*"),
        (["--pop3-server", "pops://::1"], f"{FORM}, and an address with colons is to be in brackets*"),
        (["--pop3-server", "pops://a@b:c@h"], f"{FORM}, and this one has a character in the name*"),
        (["--pop3-server", "pop3://ann@127.0.0.1"], "*--pop3-server: there is no password for the user*POP3_PASSWORD*"),
        (["--pop3-server", "pop3://h", "--pop3-ca-file", "none.pem"], "*--pop3-ca-file: none.pem: No such file*"),
        (["--pop3-server", "pop3://h", "--pop3-timeout", "0"], "*--pop3-timeout*"),
        (["--pop3-server", "pop3://h", "--pop3-timeout", "-5"], "*--pop3-timeout*"),
        (["--pop3-server", "pop3://h", "--pop3-timeout", "nan"], "*--pop3-timeout*"),
        (["--pop3-strict"], "*--pop3-strict is of no use without --pop3-server*"),
        (["--pop3-may-delete"], "*--pop3-may-delete is of no use without --pop3-server*"),
        (["--pop3-timeout", "3"], "*--pop3-timeout is of no use without --pop3-server*"),
        (["-p", "distributing", "--pop3-server", "pop3://h", "--numprocesses", "2"], "*cannot be distributed*"),
        (["-p", "working", "--pop3-server", "pop3://h"], "*cannot be distributed*"),
    ],
)
def test_wrong_arguments(pytester, monkeypatch, arguments, message):
    monkeypatch.setenv("POP3_PASSWORD", "")  # as if it were not set
    monkeypatch.syspath_prepend(pytester.path)
    pytester.makepyfile(
        distributing="def pytest_addoption(parser): parser.addoption('--numprocesses', type=int)",
        working="import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_configure(config): config.workerinput = {}",
    )
    options = ("--disable-plugin-autoload", "-p", PLUGIN)
    result = pytester.runpytest_inprocess(*options, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.deep
def test_the_plugin_is_there_once_however_it_is_named(pytester):
    pytester.makeconftest('pytest_plugins = ["pop3proto.testing.fixtures"]')
    pytester.makepyfile("def test_it(start_pop3_server): assert start_pop3_server({'ann': []}).messages('ann') == []")
    options = ("--disable-plugin-autoload", "-p", PLUGIN, "-p", "pop3proto.testing.fixtures", "-W", "error")
    pytester.runpytest_subprocess(*options, timeout=PATIENCE).assert_outcomes(passed=1)


def test_the_entry_point_has_the_name_of_the_module():
    """So that pytest does not load it twice, where `-p` names it as well."""
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert pyproject["project"]["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}


def test_loading_it_loads_nothing_else():
    """Pytest loads it in every project where this package is installed."""
    code = (
        "import sys, pytest; before = set(sys.modules); "
        f"import {PLUGIN}; print(*sorted(set(sys.modules) - before), sep='\\n')"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout.split()
    assert set(loaded) == {"pop3proto", "pop3proto._exports", "pop3proto.testing", PLUGIN}
