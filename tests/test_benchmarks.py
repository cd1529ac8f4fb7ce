"""The benchmarks run, and nobody is left out. What they measure is not looked at."""

import re
import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.groups import GROUPS
from benchmarks.harness import rounds
from benchmarks.harness.rounds import Contender, GivesUp, Row, compare, table

YARDSTICKS = {'one count(b"\\r\\n.")', "a memory copy"}
CONTENDERS = {
    "decode": {"BodyDecoder", *YARDSTICKS, "poplib", "Twisted", "StreamReader.readuntil"},
    "encode": {"BodyEncoder", *YARDSTICKS, "Twisted", "smtplib, whole and as str"},
}


def printed(capsys, *arguments):
    """Return the header and, by title, the rows that were printed: by name, the rest of the line."""
    main([*arguments, "--rounds", "1", "--size", "20000", "--chunk", "777"])
    header, *tables = capsys.readouterr().out.split("\n\n")
    found = {}
    for text in tables:
        title, *rows = text.rstrip("\n").split("\n")
        split = [re.split(r"(?<=\S) +(?=[\d.]+ +[\d.]+|- +- )", row.strip(), maxsplit=1) for row in rows]
        found[re.split("  +", title)[0]] = dict(split)
    return header, found


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("group", GROUPS)
def test_each_group_prints_tables_of_ratios(group, capsys):
    header, tables = printed(capsys, group)
    assert re.search(r"Python \d.*chunks of 777 octets.*messages of 20000.*1 rounds", header)
    assert tables
    for title, rows in tables.items():
        assert title.startswith(f"{group}: ")
        assert len(rows) > 1
        first, *others = rows.values()
        assert first.split() == ["1.00", "1.00"]
        for row in others:
            assert re.match(r"[\d.]+ +[\d.]+|- +-  gives up: .", row)


@pytest.mark.parametrize("group", CONTENDERS)
def test_each_contender_has_a_row(group, capsys):
    _, tables = printed(capsys, group)
    for rows in tables.values():
        assert set(rows) - {"BodyEncoder(trusted_crlf)"} == CONTENDERS[group]


def test_what_cannot_be_done_and_what_is_wrong_is_said(capsys):
    pytest.importorskip("twisted")
    _, tables = printed(capsys, "decode", "encode")
    assert "gives up: line too long" in tables["decode: one long line"]["poplib"]
    assert "gives up: lines are limited to" in tables["decode: one long line"]["Twisted"]
    assert "wrong: CRLF becomes CR CRLF" in tables["encode: base64, CRLF"]["Twisted"]


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("group", CONTENDERS)
def test_without_twisted_its_row_says_so(group, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "twisted.mail.pop3", None)
    _, tables = printed(capsys, group)
    for rows in tables.values():
        assert "gives up: not installed" in rows["Twisted"]


@pytest.mark.deep
def test_all_groups_run_if_none_is_named(capsys):
    _, tables = printed(capsys)
    assert {title.split(":")[0] for title in tables} == set(GROUPS)


@pytest.mark.parametrize("arguments", [["brew"], ["decode", "--rounds", "0"], ["decode", "--size", "x"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error" in capsys.readouterr().err


def test_a_contender_must_do_the_same_work():
    with pytest.raises(AssertionError, match="hasty: the output differs from that of the first contender"):
        compare([Contender("ours", lambda: [b"body"]), Contender("hasty", lambda: [b""])], rounds=1)


def test_every_contender_runs_once_a_round_and_those_who_give_up_never_again(monkeypatch):
    runs = {"ours": 0, "wrong": 0, "able": 0}
    ticks = iter(range(1000))
    monkeypatch.setattr(rounds, "perf_counter", lambda: next(ticks))

    def contender(name, octets):
        def run():
            runs[name] += 1
            return [octets]

        return run

    def unable():
        raise GivesUp("too much")

    rows = compare(
        [
            Contender("ours", contender("ours", b"x")),
            Contender("wrong", contender("wrong", b"y"), known_wrong="as ever"),
            Contender("able", contender("able", b"z"), output=None),
            Contender("unable", unable),
        ],
        rounds=5,
    )
    assert runs == {"ours": 7, "wrong": 6, "able": 6}
    assert rows == [
        Row("ours", "", 1, 1),
        Row("wrong", "wrong: as ever", 1, 1),
        Row("able", "", 1, 1),
        Row("unable", "gives up: too much"),
    ]
    assert table("title", rows).split("\n") == [
        "title      median     best",
        "  ours       1.00     1.00",
        "  wrong      1.00     1.00  wrong: as ever",
        "  able       1.00     1.00",
        "  unable        -        -  gives up: too much",
    ]
