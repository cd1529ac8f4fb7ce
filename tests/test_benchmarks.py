"""The benchmarks run, every output is right, and the calls that work takes have a bound. Times are not looked at."""

import json
import re
import sys
import threading
import tracemalloc
from functools import partial
from xml.etree import ElementTree as ET

import pytest

from benchmarks.__main__ import main
from benchmarks.corpora import cut, typical, wire
from benchmarks.groups import GROUPS
from benchmarks.harness import rounds
from benchmarks.harness.report import Row, Table, as_svg
from benchmarks.harness.rounds import Contender, GivesUp, Settings, compare
from benchmarks.messages import asking, events
from tests.helpers.processes import join

QUICK = Settings(quick=True)

CALLS = {
    "messages": {
        "call_all": 52,
        "retrieve": 66,
        "stream": 92,
        "retr, one by one": 183,
        "fetch, one by one": 122,
        "ClientConnection.events()": 65,
        "ClientConnection.next_event()": 60,
    },
    "commands: STAT": {
        "both connections": 95,
        "procedures.call(session, Stat())": 92,
        "client.call(Stat())": 128,
    },
    "commands: DELE": {
        "call_all, pipelined": 45,
        "client.dele, one by one": 130,
    },
    "poplib: stat, from": {
        "pop3proto.poplib": 30,
    },
    "poplib: retr of 4096 octets, from": {
        "pop3proto.poplib": 40,
    },
    "listings": {
        "client": 0.5,
    },
    # Over a network, the number of reads differs a little from run to run.
    "client: 50 x 2048": {
        "stream": 155,
        "retr, one by one": 260,
    },
    "client: 50 x 4096": {
        "blocking, retrieve": 120,
        "blocking, call_all": 105,
        "asyncio, retrieve": 150,
        "trio, retrieve": 195,
    },
    "fetch: 100 x": {  # round trips
        "pop3proto": 4,
    },
    "import": {  # modules
        "import pop3proto": 40,
        "import pop3proto.blocking": 40,
        "import pop3proto.asyncio": 40,
        "pop3proto --help": 80,
    },
    "server": {
        "sequential": 300,
        "pipelined": 150,
    },
}
"""How many calls, of Python and of C functions, one message or command may take, and how many modules an import loads.
Lower a bound when the work takes fewer: raise none without a reason."""


@pytest.fixture(scope="module")
def tables():
    """The tables of a group in a quick run; each group runs once."""
    made = {}

    def of(group):
        if group not in made:
            made[group] = list(GROUPS[group](QUICK))
        return made[group]

    return of


def marks(group):
    return [pytest.mark.deep] * (
        group.partition(":")[0] in {"client", "fetch", "fetch-large", "load", "memory", "poplib", "sessions"}
    )


@pytest.mark.parametrize("group", [pytest.param(name, marks=marks(name)) for name in GROUPS])
def test_each_group_makes_tables(group, tables):
    for table in tables(group):
        assert table.title.startswith(f"{group}: ") or table.title == group
        assert len(table.rows) > 1
        assert all(row.figures or row.note for row in table.rows)


@pytest.mark.parametrize(
    "title, name", [pytest.param(title, name, marks=marks(title)) for title, names in CALLS.items() for name in names]
)
def test_calls_have_a_bound(title, name, tables):
    found = [table for table in tables(title.partition(":")[0]) if table.title.startswith(title)]
    assert found
    for table in found:
        (row,) = [row for row in table.rows if row.name == name]
        assert row.figures[0] <= CALLS[title][name]


@pytest.mark.deep
def test_a_session_waits_for_few_round_trips(tables):
    ours, poplib = tables("client")[0].rows
    assert ours.figures <= (7, 1)
    assert poplib.figures == (204, 200)


@pytest.mark.deep
def test_memory_does_not_grow_with_a_body(tables):
    for row in tables("memory")[0].rows:
        if row.figures and row.name != "poplib":
            assert row.figures[0] < 2  # MiB, of 16


@pytest.mark.deep
@pytest.mark.parametrize("group", ["sessions", "load"])
def test_no_session_is_lost(group, tables):
    for row in tables(group)[0].rows:
        if row.figures:
            assert row.figures[0] == 0


def test_memory_of_the_core_does_not_grow_with_a_body():
    block = wire(typical(10_000)).removesuffix(b".\r\n")

    def peak(blocks):
        connection = asking(1)
        connection.receive_data(b"+OK\r\n")
        connection.next_event()
        tracemalloc.start()
        try:
            for _ in range(blocks):
                connection.receive_data(block)
                assert sum(len(event.data) for event in connection.events()) > 9_000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3)
    assert peak(100) < peak(10) + 20_000


def test_calls_grow_no_faster_than_messages():
    def calls(count):
        chunks = cut((b"+OK\r\n" + wire(typical(2_048))) * count, 65_536)
        return rounds.calls(Contender("events", partial(events, chunks, count)))

    assert calls(400) < 4.1 * calls(100)


def test_what_cannot_be_done_and_what_is_wrong_is_said(tables):
    pytest.importorskip("twisted")
    notes = {
        (table.title, row.name): row.note
        for group in ("decode", "encode")
        for table in tables(group)
        for row in table.rows
    }
    assert "gives up: lines are limited to" in notes["decode: one long line in chunks of 65536", "Twisted"]
    assert "wrong: CRLF becomes CR CRLF" in notes["encode: base64, CRLF, in chunks of 65536", "Twisted"]


@pytest.mark.parametrize("group, module", [("encode", "twisted.mail.pop3"), ("commands", "h11")])
def test_what_is_not_installed_is_left_out(group, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    for table in list(GROUPS[group](QUICK))[:1]:
        assert "gives up: not installed" in {row.note for row in table.rows}


def test_figures_are_printed_and_written(capsys, tmp_path):
    data, plot = tmp_path / "data.json", tmp_path / "plot.svg"
    main(["commands", "--rounds", "1", "--json", str(data), "--plot", str(plot)])
    printed = capsys.readouterr().out
    assert re.search(r"CPython 3\.\d+.*\n1 rounds", printed)
    assert re.search(r"commands: STAT.*us a command +wall +x ", printed)
    written = json.loads(data.read_text())
    assert [table["title"].partition(",")[0] for table in written["tables"]] == [
        "commands: STAT",
        "commands: DELE of each message",
    ]
    assert ET.parse(plot).getroot().tag.endswith("svg")


@pytest.mark.parametrize("arguments", [["brew"], ["decode", "--rounds", "0"], ["decode", "--rounds", "x"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error" in capsys.readouterr().err


def test_a_contender_must_do_the_same_work():
    contenders = [Contender("ours", lambda: [b"body"]), Contender("hasty", lambda: [b""])]
    with pytest.raises(AssertionError, match="hasty: the output differs from that of the first contender"):
        compare("title", contenders, QUICK, against=[])


def test_every_contender_runs_once_a_round_and_those_who_give_up_never_again(monkeypatch):
    runs = {"ours": 0, "wrong": 0, "able": 0}
    ticks = iter(range(1000))
    monkeypatch.setattr(rounds, "perf_counter", lambda: next(ticks))

    def contender(name, octets, **options):
        def run():
            runs[name] += 1
            return [octets]

        cpu = iter(range(0, 1000, 1 + len(runs) - list(runs).index(name)))
        return Contender(name, run, cpu=lambda: next(cpu), **options)

    def unable():
        raise GivesUp("too much")

    table = compare(
        "title",
        [
            contender("ours", b"x"),
            contender("wrong", b"y", known_wrong="as ever"),
            contender("able", b"z", output=None, note="does more"),
            Contender("unable", unable),
        ],
        Settings(rounds=5),
        against=["able", "unable"],
        items=1_000_000,
        item="piece",
    )
    assert runs == {"ours": 6, "wrong": 6, "able": 6}
    assert str(table).split("\n") == [
        "title     us a piece  wall  x able               wall",
        "  ours             4     1    0.50  (0.50-0.50)     1",
        "  wrong            3     1    0.67  (0.67-0.67)     1  wrong: as ever",
        "  able             2     1       1  (1.00-1.00)     1  does more",
        "  unable           -     -       -            -     -  gives up: too much",
    ]


def test_calls_are_counted_in_other_threads_too():
    def work():
        thread = threading.Thread(target=lambda: [len("") for _ in range(100)], daemon=True)
        thread.start()
        join(thread)

    assert rounds.calls(Contender("threaded", work)) > 100


def test_only_what_compares_is_drawn():
    tables = [
        Table("drawn", ("us", "x poplib"), (Row("one & only", (1, 4.0)), Row("cannot", note="gives up: why"))),
        Table("not drawn", ("MiB",), (Row("two", (2.0,)),)),
    ]
    drawn = as_svg(tables)
    ET.fromstring(drawn)
    assert "one &amp; only" in drawn
    assert "4.00" in drawn
    assert "cannot" not in drawn
    assert "not drawn" not in drawn
