"""The manual pages and the page of statuses: made from the parsers and the table of statuses, and no other."""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess

import pytest

from pop3proto.cli import fetch_json
from pop3proto.cli.every import GRACE
from pop3proto.cli.exit_statuses import STATUSES
from pop3proto.cli.fetch_output import MOST_OF_A_KIND
from tests.helpers.processes import PATIENCE
from tests.helpers.snippets import DOCS, ROOT


@pytest.fixture(scope="module")
def tool():
    """tools/man_page.py, which is no package."""
    spec = importlib.util.spec_from_file_location("man_page", ROOT / "tools" / "man_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    """A parser with a bit of everything."""
    parser = argparse.ArgumentParser(
        prog="pop3proto try", description="Try -x.\n\n.Not 'a' request: %(prog)s \\fB, ü.", epilog="The end."
    )
    parser.add_argument("url", metavar="URL", help="where; 100%% of it")
    parser.add_argument("more", nargs="*", help="and more")
    parser.add_argument("-v", "--verbose", action="store_true", help="say\n\nmore")
    parser.add_argument("--secret", help=argparse.SUPPRESS)
    parser.add_argument("--must", required=True, choices=["a-b", "c"])
    parser.add_argument("--pair", nargs=2, metavar=("X", "Y"), default=3, help="two (default: %(default)g)")
    parser.add_argument("--twice", nargs=2)
    parser.add_argument("--maybe", nargs="?", metavar="N")
    parser.add_argument("--some", nargs="+", metavar="N")
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--this", action="store_true")
    either.add_argument("--that", action="store_true")
    group = parser.add_argument_group("dangerous", "Do not use.")
    group.add_argument("--now", action=argparse.BooleanOptionalAction, help="at once")
    parser.add_argument_group("empty")
    return parser


@pytest.fixture(scope="module")
def pages(tool):
    return tool.pages()


def test_the_pages_are_those_of_the_parsers(tool, pages):
    there = {path.name: path.read_text(encoding="utf-8") for path in tool.FOLDER.iterdir()}
    assert there == pages, "run python tools/man_page.py"


def test_the_first_page_names_all_commands(tool, pages):
    section = pages["pop3proto.1"].partition(".SH COMMANDS\n")[2].partition(".SH ")[0]
    named = re.findall(r"^\.B (.+)$", section, re.MULTILINE)
    assert named == [*tool._COMMANDS]
    assert {*pages} == {"pop3proto.1", *(f"pop3proto-{name}.1" for name in named)}


def test_any_parser_has_a_page(tool, parser):
    page = tool.man_page(parser, "try it").splitlines()
    assert page[1:21] == [
        r'.TH POP3PROTO\-TRY 1 "" pop3proto',
        ".SH NAME",
        r"pop3proto\-try \- try it",
        ".SH SYNOPSIS",
        ".B pop3proto try",
        r"[\fB\-h\fR]",
        r"[\fB\-v\fR]",
        r"\fB\-\-must\fR {\fBa\-b\fR|\fBc\fR}",
        r"[\fB\-\-pair\fR \fIX\fR \fIY\fR]",
        r"[\fB\-\-twice\fR \fITWICE\fR \fITWICE\fR]",
        r"[\fB\-\-maybe\fR [\fIN\fR]]",
        r"[\fB\-\-some\fR \fIN\fR [\fIN\fR ...]]",
        r"{\fB\-\-this\fR | \fB\-\-that\fR}",
        r"[\fB\-\-now\fR]",
        r"\fIURL\fR",
        r"[\fImore\fR ...]",
        ".SH DESCRIPTION",
        r"Try \-x.",
        ".PP",
        r"\&.Not \(aqa\(aq request: pop3proto try \(rsfB, \[u00FC].",
    ]
    text = "\n".join(page)
    assert "where; 100% of it" in text
    assert "two (default: 3)" in text
    assert ".TP\n\\fB\\-v\\fR, \\fB\\-\\-verbose\\fR\nsay\n.IP\nmore\n" in text
    assert ".SH DANGEROUS\nDo not use.\n" in text
    assert ".SH NOTES\nThe end." in text
    assert "secret" not in text
    assert "EMPTY" not in text
    assert "The end" not in tool.man_page(parser, "try it", STATUSES)


def test_a_page_has_every_option_and_status(tool, pages):
    for name in tool._COMMANDS:
        page, parser = pages[f"pop3proto-{name}.1"], tool._parser_of(name, tool._import(name))
        for action in parser._actions:
            for option in action.option_strings if action.help != argparse.SUPPRESS else ():
                assert tool._bold(option) in page
        told = re.findall(r"^\.B (\d+)$", page.partition(".SH EXIT STATUS")[2], re.MULTILINE)
        table = re.findall(r"^ +(\d+)  ", parser.epilog or "", re.MULTILINE)
        assert told == ([str(status.number) for status in STATUSES] if name == "fetch" else table)


def test_the_text_below_the_options_is_a_table_and_notes(tool):
    parser = argparse.ArgumentParser(
        prog="x y", epilog="exit status:\n    0  it is done\n   75  not yet:\n       later\n\nAll is well."
    )
    below = tool.man_page(parser, "try").partition(".SH EXIT STATUS\n")[2]
    assert below.splitlines()[:8] == [
        ".TP",
        ".B 0",
        "It is done.",
        ".TP",
        ".B 75",
        "Not yet: later.",
        ".SH NOTES",
        "All is well.",
    ]


@pytest.mark.parametrize("program", ["man", "groff", "mandoc"])
def test_it_is_rendered_without_a_warning(program, tool, pages, parser, tmp_path):
    if shutil.which(program) is None:
        pytest.skip(f"the program {program} is not installed")
    page = tmp_path / "page.1"
    for text in (*pages.values(), tool.man_page(parser, "try it")):
        page.write_text(text)
        command = {
            "man": ["man", "--warnings", "-P", "cat", "-l", page],
            "groff": ["groff", "-man", "-ww", "-b", "-Tutf8", "-P-cbou", page],
            "mandoc": ["mandoc", "-T", "utf8", "-W", "warning", page],
        }[program]
        environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=PATIENCE)
        assert done.stderr == ""
        if program != "mandoc":  # that one prints each bold letter twice
            assert all(title in done.stdout for title in ("NAME", "SYNOPSIS", "SEE ALSO"))
    if program == "groff":
        assert ".Not 'a' request: pop3proto try \\fB, ü." in " ".join(done.stdout.split())


# ------------------------------------------------------------------------------------ the page of statuses

PAGE = (DOCS / "fetch-statuses.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2]
    [table, *_] = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def test_the_page_of_statuses_has_the_table_of_the_code():
    assert rows("Exit statuses") == [[str(each.number), each.meaning, each.advice] for each in STATUSES]


def test_the_page_knows_the_events_and_their_fields():
    told = {
        name.strip("`"): re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", fields))
        for name, fields in rows("Events as JSON")
    }
    assert fetch_json.__doc__ is not None
    listed = dict(re.findall(r"^- (\w+): (.*(?:\n  .*)*)", fetch_json.__doc__, re.MULTILINE))
    assert set(told) == set(listed)
    for event, fields in told.items():
        names = set(re.findall(r"\w+", re.sub(r"\(.*?\)", "", listed[event])))
        assert set(fields) - {"unique_id"} <= names, event


def test_the_page_knows_the_numbers():
    assert MOST_OF_A_KIND == 10
    assert "told as ten" in PAGE
    assert f"After {GRACE:.0f} seconds" in PAGE


def test_the_example_of_an_event_is_one():
    [example] = re.findall(r"^```json\n(.*)\n```", PAGE, re.MULTILINE)
    assert json.loads(example)["event"] in fetch_json.__doc__


UNITS = re.findall(r"^```ini\n# [^\n]*/(fetch\.\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name, text", UNITS, ids=[f"{number}-{name}" for number, (name, _) in enumerate(UNITS)])
def test_the_units_are_ones_that_systemd_takes(name, text, tmp_path, tmp_path_factory, monkeypatch):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("the program systemd-analyze is not installed")
    for each, unit in (*UNITS, (name, text)):
        (tmp_path / each).write_text(unit)
    program = tmp_path / ".local" / "bin" / "pop3proto"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("s")))  # short: the units of others name sockets
    command = ["systemd-analyze", "--user", "verify", tmp_path / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_units():
    assert [name for name, _ in UNITS] == ["fetch.service", "fetch.timer", "fetch.service"]
