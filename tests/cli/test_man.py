"""The manual pages and the page of statuses: made from the parsers and the table of statuses, and no other."""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess

import pytest

from pop3proto import __version__
from pop3proto._config.units import parse_octets, parse_seconds
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
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")  # where it finds its tables
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
    parser.add_argument("what", metavar="THIS | THAT", help="THIS: one %(dest)s.\n\nthat X ...: two. Or more.")
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
    named = re.findall(r"^\\fBpop3proto\\-(.+)\\fR\(1\)$", section, re.MULTILINE)
    assert named == [*tool._COMMANDS]
    assert {*pages} == {"pop3proto.1", *(f"pop3proto-{name}.1" for name in named)}


def test_the_pages_refer_to_others_that_exist_and_to_the_documentation(tool, pages):
    for file, page in pages.items():
        below = page.partition(".SH SEE ALSO\n")[2].replace("\\-", "-")
        others = re.findall(r"^\.BR (.+) \(1\),?$", below, re.MULTILINE)
        assert others == sorted(others)
        assert {f"{other}.1" for other in others} <= {*pages} - {file}
        assert ("pop3proto" in others) is (file != "pop3proto.1")
        told = re.findall(r"docs/[\w.-]+\.md", below)
        assert told
        assert all((ROOT / path).is_file() for path in told)
    assert "docs/serve-configuration.md has all keys" in _plain(pages["pop3proto-serve.1"])
    assert "docs/fetch-configuration.md has all keys" in _plain(pages["pop3proto-fetch.1"])


def _plain(page: str) -> str:
    """A page without escapes and line ends."""
    return " ".join(re.sub(r"\\f[BIR]|\\&", "", page).replace("\\-", "-").split())


def test_the_files_that_commands_read_and_write_are_listed(pages):
    for name, path in {
        "serve": "/etc/pop3proto/serve.toml",
        "quota": "/etc/pop3proto/serve.toml",
        "fetch": "~/.config/pop3proto/fetch.toml",
        "state": ".pop3proto-fetched",
    }.items():
        section = pages[f"pop3proto-{name}.1"].partition(".SH FILES\n")[2].partition(".SH ")[0]
        assert path in section.replace("\\-", "-").replace("\\(ti", "~")


def test_sizes_and_times_are_explained_where_an_option_has_one(tool, pages):
    for name, parse in {"SIZE": parse_octets, "TIME": parse_seconds}.items():
        examples = tool.man_tables.UNITS[name].rpartition(": ")[2].rstrip(".").split(", ")
        assert len(examples) > 2
        assert all(parse(example) > 0 for example in examples)
        entry = f".TP\n\\fI{name}\\fR\nA number"
        having = {file for file, page in pages.items() if entry in page}
        assert having == {
            file for file, page in pages.items() if re.search(rf"^\\fB.*\\fI{name}\\fR$", page, re.MULTILINE)
        }
        assert {"pop3proto-deliver.1", "pop3proto-fetch.1"} <= having


def test_a_page_has_the_version_and_no_date(pages):
    version = __version__.replace("-", r"\-")
    for file, page in pages.items():
        title = file.removesuffix(".1").upper().replace("-", r"\-")
        assert f'.TH {title} 1 "" "pop3proto {version}"\n' in page


def test_a_usage_of_the_parser_is_the_synopsis(pages):
    def synopsis(name: str) -> list[str]:
        section = pages[f"pop3proto-{name}.1"].partition(".SH SYNOPSIS\n")[2].partition(".SH ")[0]
        return [_plain(block.partition("\n.YS")[0]) for block in section.split(".SY ")[1:]]

    assert synopsis("fetch") == [
        '"pop3proto fetch" [OPTION ...] [ACCOUNT ...]',
        '"pop3proto fetch" [OPTION ...] URL TARGET',
    ]
    assert synopsis("passwd")[1:] == ['"pop3proto passwd" --delete FILE USER', '"pop3proto passwd" --list FILE']
    assert synopsis("serve")[0] == '"pop3proto serve" --config FILE [--check-config]'
    assert synopsis("state") == [
        f'"pop3proto state" [OPTION ...] {{ACCOUNT | URL TARGET}} {action}'
        for action in ("list", "forget [ID ...]", "repair", "compact")
    ]


def test_any_parser_has_a_page(tool, parser):
    page = tool.man_page(parser, "try it").splitlines()
    assert page[1:27] == [
        f'.TH POP3PROTO\\-TRY 1 "" "pop3proto {tool._text(__version__)}"',
        ".nh",
        ".ad l",
        ".SH NAME",
        r"pop3proto\-try \- try it",
        ".SH SYNOPSIS",
        '.SY "pop3proto try"',
        r"[\fB\-h\fR]",
        r"[\fB\-v\fR]",
        r"\fB\-\-must\fR\~{\fBa\-b\fR|\fBc\fR}",
        r"[\fB\-\-pair\fR\~\fIX\fR\~\fIY\fR]",
        r"[\fB\-\-twice\fR\~\fITWICE\fR\~\fITWICE\fR]",
        r"[\fB\-\-maybe\fR\~[\fIN\fR]]",
        r"[\fB\-\-some\fR\~\fIN\fR\~[\fIN\fR\~...]]",
        r"{\fB\-\-this\fR | \fB\-\-that\fR}",
        r"[\fB\-\-now\fR]",
        r"\fIURL\fR",
        r"[\fImore\fR ...]",
        r"\fITHIS | THAT\fR",
        ".YS",
        ".nh",
        ".SH DESCRIPTION",
        r"Try \-x.",
        ".PP",
        r"\&.Not \(aqa\(aq request: pop3proto try \(rsfB, \[u00FC].",
        ".SH ARGUMENTS",
    ]
    text = "\n".join(page)
    assert ".TP\n\\fIURL\\fR\nwhere; 100% of it\n" in text
    assert ".TP\n\\fImore\\fR ...\nand more\n" in text
    assert ".TP\n\\fITHIS\\fR\none what\n.TP\n\\fBthat\\fR \\fIX\\fR ...\ntwo.\nOr more\n" in text
    assert "two (default: 3)" in text
    assert ".TP\n\\fB\\-v\\fR, \\fB\\-\\-verbose\\fR\nsay\n.IP\nmore\n" in text
    assert ".SS Dangerous\nDo not use.\n" in text
    assert ".SH NOTES\nThe end." in text
    assert "secret" not in text
    assert "Empty" not in text
    assert "The end" not in tool.man_page(parser, "try it", STATUSES)


def test_lines_are_short_and_none_is_a_request_by_chance(tool):
    words = " ".join(["sh", ".sh", "'sh"] * 60)
    page = tool.man_page(argparse.ArgumentParser(prog="x y", description=words), "try").splitlines()
    assert all(len(line) <= 80 for line in page)
    text = page[page.index(".SH DESCRIPTION") + 1 : page.index(".SH OPTIONS")]
    assert len(text) > 3
    assert not [line for line in text if line.startswith((".", "'"))]
    assert " ".join(line.removeprefix(r"\&") for line in text).replace(r"\(aq", "'") == words


def test_headings_keep_the_case_of_options(pages):
    for page in pages.values():
        for heading in re.findall(r"^\.S[HS] (.+)$", page, re.MULTILINE):
            assert r"\-\-" not in heading or heading != heading.upper()
    assert ".SH OPTIONS\n" in pages["pop3proto-purge.1"].partition(".SS With \\-\\-maildir\n")[0]


def test_a_page_has_every_option_and_status(tool, pages):
    for name in tool._COMMANDS:
        page, parser = pages[f"pop3proto-{name}.1"], tool._parser_of(name, tool._import(name))
        for action in parser._actions:
            for option in action.option_strings if action.help != argparse.SUPPRESS else ():
                assert tool._bold(option) in page
        section = page.partition(".SH EXIT STATUS\n")[2].partition(".SH ")[0]
        told = [int(number) for number in re.findall(r"^\\fB(\d+)\\fR$", section, re.MULTILINE)]
        table = [int(number) for number in re.findall(r"^ +(\d+)  ", parser.epilog, re.MULTILINE)]
        assert told == table
        assert told[0] == 0
        assert len(told) > 3


def test_the_text_below_the_options_is_a_table_and_notes(tool):
    parser = argparse.ArgumentParser(
        prog="x y", epilog="exit status:\n    0  it is done\n   75  not yet:\n       later\n\nAll is well."
    )
    below = tool.man_page(parser, "try").partition(".SH EXIT STATUS\n")[2]
    assert below.splitlines()[:8] == [
        ".TP",
        r"\fB0\fR",
        "It is done.",
        ".TP",
        r"\fB75\fR",
        "Not yet: later.",
        ".PP",
        "All is well.",
    ]


RENDERERS = {
    "man": ["man", "--warnings", "-P", "cat", "-l"],
    "groff": ["groff", "-man", "-ww", "-b", "-Tutf8", "-P-cbou"],
    "mandoc": ["mandoc", "-T", "utf8", "-O", "width=78", "-W", "style"],
}
ACCEPTED = re.compile(
    r'mandoc: \S+ WARNING: missing date, using "": TH'  # the same source makes the same page
    r"|mandoc: \S+ STYLE: input text line longer than 80 bytes: pop3proto\\-\w+ \\- .*"  # NAME is a line, for whatis
    r"|mandoc: see above the output for \w+ messages"
)


def _run(command, page):
    """Run a program on a page, and return what it writes, without bold and italics, and its complaints."""
    program = command[0]
    if shutil.which(program) is None:
        pytest.skip(f"the program {program} is not installed")
    environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        [*command, page], capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE
    )
    if program != "mandoc":  # its status says how bad its complaints are
        assert done.returncode == 0
    complaints = [line for line in done.stderr.splitlines() if ACCEPTED.fullmatch(line) is None]
    return re.sub(r".\x08", "", done.stdout), complaints


@pytest.mark.parametrize("program", RENDERERS)
def test_it_is_rendered_without_a_warning(program, tool, pages, parser, tmp_path):
    page = tmp_path / "page.1"
    for text in (*pages.values(), tool.man_page(parser, "try it")):
        page.write_text(text)
        shown, complaints = _run(RENDERERS[program], page)
        assert complaints == []
        assert all(title in shown for title in ("NAME", "SYNOPSIS", "SEE ALSO"))
        assert all(len(line) <= 80 for line in shown.splitlines())
        assert "\u2010\n" not in shown  # a word or an option that is broken in two
        words = {word.strip("[]{},.:;()|") for word in shown.split()}
        for option in re.findall(r"\\fB(\\-\\-[\w\\-]+)\\fR", text):
            assert option.replace("\\-", "-") in words
    assert ".Not 'a' request: pop3proto try \\fB, ü." in " ".join(shown.split())


def test_the_index_of_pages_knows_what_each_is_about(tool, pages, tmp_path):
    for file, text in pages.items():
        page = tmp_path / file
        page.write_text(text)
        shown, _ = _run(["lexgrog"], page)
        about = tool._COMMANDS.get(file.removeprefix("pop3proto-").removesuffix(".1"), "serve and fetch mail by POP3")
        assert f'"{file.removesuffix(".1")} - {about}' in shown


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
