"""What an import loads: modules are counted, as times differ. A program pays for what it uses, and for nothing else."""

import pytest

import pop3proto
from tests.test_exports import run

NOTHING_YET = {"pop3proto", "pop3proto._exports"}
CORE = {
    "authorization",
    "capabilities",
    "client",
    "client_errors",
    "command",
    "commands",
    "connection",
    "dots",
    "errors",
    "events",
    "limits",
    "lines",
    "quirks",
    "refusals",
    "replies",
    "results",
    "server",
    "session_state",
    "states",
    "text",
    "transaction",
    "whole_answers",
}

# Slow to import, and seldom needed.
SELDOM = {
    "concurrent",
    "difflib",
    "email",
    "http",
    "importlib.metadata",
    "ipaddress",
    "multiprocessing",
    "pathlib",
    "subprocess",
    "tempfile",
    "urllib",
}


# Of the standard library, what is needed: later Pythons load more for it.
NEEDED = "import attrs, typing_extensions, logging, secrets, selectors, socket, ssl, threading"

QUIETLY = """
import contextlib, io
def quietly(function, arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            function(arguments)
"""
PARSED = """
import argparse
parser = argparse.ArgumentParser()
parser.add_subparsers(required=True).add_parser("command")
for arguments in (["--help"], ["--no-such-option"], ["no-such-command"], []):
    quietly(parser.parse_args, arguments)
"""


def loaded_by(code: str, *, beyond: str = "import attrs, typing_extensions") -> set[str]:
    """What some code loads beyond what other code, and the interpreter, have loaded."""
    return set(
        run(f"import sys\n{beyond}\nbefore = {{*sys.modules}}\n{code}\nprint(*{{*sys.modules}} - before)").split()
    )


def ours(loaded: set[str]) -> set[str]:
    return {name for name in loaded if name.startswith("pop3proto")}


def seldom(loaded: set[str]) -> set[str]:
    return {name for name in loaded if name in SELDOM or name.partition(".")[0] in SELDOM}


def below(loaded: set[str], *packages: str) -> set[str]:
    return {name for name in loaded if name.startswith(tuple(f"pop3proto.{package}" for package in packages))}


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("adapter", ["asyncio", "blocking", "trio"])
def test_a_package_loads_nothing_before_a_name_is_used(adapter):
    assert ours(loaded_by(f"import pop3proto.{adapter}")) == NOTHING_YET | {f"pop3proto.{adapter}"}


def test_the_package_itself_does_not_even_load_attrs():
    loaded = set(run("import sys, pop3proto; print(*sys.modules)").split())
    assert ours(loaded) == NOTHING_YET
    assert not {"attr", "typing_extensions", "inspect", "socket", "ssl"} & loaded


@pytest.mark.parametrize(
    "side, other", [("client", {"server"}), ("server", {"client", "client_errors", "whole_answers"})]
)
def test_one_side_of_the_core_does_not_load_the_other(side, other):
    loaded = ours(loaded_by(f"from pop3proto import {side.capitalize()}Connection"))
    of_core = {name.removeprefix("pop3proto.core.") for name in loaded - NOTHING_YET - {"pop3proto.core"}}
    assert of_core <= CORE - other


def test_all_names_of_the_package_are_the_core():
    loaded = ours(loaded_by("from pop3proto import *"))
    assert loaded == NOTHING_YET | {"pop3proto.core"} | {f"pop3proto.core.{module}" for module in CORE}


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("adapter", ["asyncio", "blocking", "trio"])
def test_a_client_loads_no_server(adapter):
    loaded = loaded_by(f"from pop3proto.{adapter} import connect")
    assert not below(loaded, "procedures.server", f"{adapter}.server", "_aio.server", "_io.listening", "_io.sessions")
    assert not below(loaded, "maildrops", "authenticators", "logs", "fetching", "testing", "cli")


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("adapter", ["asyncio", "blocking", "trio"])
def test_a_server_loads_no_client(adapter):
    loaded = loaded_by(f"from pop3proto.{adapter} import serve")
    assert not below(loaded, "procedures.client", f"{adapter}.client", "_aio.client", f"{adapter}.connecting")
    assert not below(loaded, "maildrops", "authenticators", "logs", "fetching", "testing", "cli")


def test_over_blocking_sockets_nothing_is_loaded_that_is_seldom_needed():
    assert seldom(loaded_by("from pop3proto.blocking import connect", beyond=NEEDED)) == set()
    assert seldom(loaded_by("from pop3proto.blocking import serve", beyond=NEEDED)) <= {"ipaddress"}


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--no-such-option"], ["no-such-command"], []])
def test_the_command_line_loads_no_command_before_one_is_run(arguments):
    code = f"from pop3proto.cli import main\nquietly(main, {arguments})"
    loaded = loaded_by(code, beyond=QUIETLY + PARSED)
    assert ours(loaded) == NOTHING_YET | {
        "pop3proto.cli",
        "pop3proto.cli.failures",
        "pop3proto.core",
        "pop3proto.core.errors",
        "pop3proto.fetching",
        "pop3proto.fetching.wording",
    }
    assert not {"attr", "typing_extensions", "inspect", "socket", "ssl", "threading", "logging", "asyncio"} & loaded
    assert seldom(loaded) == set()


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("command", ["demo", "fetch", "passwd", "serve", "state"])
def test_a_command_loads_no_other(command):
    """The module of `passwd` asks for passwords, also for others."""
    others = {f"pop3proto.cli.{each}" for each in ("demo", "fetch", "serve", "state") if each != command}
    assert not others & loaded_by(f"import pop3proto.cli.{command}")


def test_this_test_would_notice():
    assert seldom(loaded_by("import urllib.request")) >= {"email", "http", "urllib"}
    assert below(loaded_by(f"import {pop3proto.__name__}.blocking.server"), "procedures.server")
