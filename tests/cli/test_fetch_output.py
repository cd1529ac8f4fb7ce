"""What people, cron and programs see of a fetch: made-up tellings go in, text comes out."""

import errno
import fcntl
import io
import itertools
import json
import os
import pty
import struct
import sys
import termios
import threading
from collections import Counter
from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from pop3proto import Greeting, Ok
from pop3proto.cli.exit_statuses import (
    CONFIGURATION,
    INTERRUPTED,
    LATER,
    OK,
    REFUSED,
    STATUSES,
    epilog,
    status_of,
    worst,
)
from pop3proto.cli.failures import FAILURE, USAGE
from pop3proto.cli.fetch_choice import choose_output, transcript
from pop3proto.cli.fetch_json import JsonOutput
from pop3proto.cli.fetch_output import MOST_OF_A_KIND, Quiet, Summaries, Verbose
from pop3proto.cli.fetch_progress import Meter, PlainPainter, Progress, plain_line
from pop3proto.cli.fetch_rich import RichPainter
from pop3proto.cli.fetch_words import columns, duration, fit, plan_lines, size, standing, status_line, summary
from pop3proto.core.commands import Pass, Retr
from pop3proto.core.events import Answer, BodyChunk, BodyEnd
from pop3proto.fetching.events import MessageState
from pop3proto.fetching.plan import Action, Plan
from pop3proto.fetching.report import Deleted, Noted, Planned, Problem, ProblemKind, Received, Report, Stored, Waiting
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.processes import join
from tests.helpers.screens import Screen
from tests.helpers.tellings import identity, known, plans, reports, step, tellings, texts

FETCHED = Report(
    stored=[identity(1), identity(2)], deleted=[identity(1)], octets=5_000_000, stored_octets=3_400_000, sessions=1
)
NOTHING = Report(here=120, sessions=1)


class Terminal(io.StringIO):
    """Takes text, and says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Streams:
    """Two streams, and the outputs that write to them."""

    def __init__(self, out: io.StringIO | None = None, err: io.StringIO | None = None) -> None:
        self.out = out or io.StringIO()
        self.err = err or io.StringIO()

    def of(self, kind, *args, **options):
        return kind(self.out, self.err, *args, **options)

    def choose(self, environment=None, clock=None, **options):
        return choose_output(
            out=self.out,
            err=self.err,
            environment={"TERM": "xterm"} if environment is None else environment,
            clock=clock or itertools.count().__next__,
            now=lambda: 1_800_000_000.5,
            **options,
        )

    @property
    def told(self) -> tuple[list[str], list[str]]:
        return self.out.getvalue().splitlines(), self.err.getvalue().splitlines()


@pytest.fixture
def streams() -> Streams:
    return Streams()


# ------------------------------------------------------------------------------------------- statuses


def problem(kind: ProblemKind, number: int | None = None, text: str = "it is broken") -> Problem:
    return Problem(kind, text, None if number is None else identity(number))


@pytest.mark.parametrize(
    "kind, status",
    [
        (ProblemKind.MESSAGE, FAILURE),
        (ProblemKind.SERVER, FAILURE),
        (ProblemKind.LATER, LATER),
        (ProblemKind.STORAGE, LATER),
        (ProblemKind.REFUSED, REFUSED),
    ],
)
def test_the_status_of_one_problem(kind, status):
    assert status_of(Report(problems=[problem(kind)])) == status


def test_no_mail_is_no_failure_and_mail_that_is_left_is_one():
    assert status_of(NOTHING) == status_of(FETCHED) == OK
    assert status_of(Report(more=True)) == FAILURE


def test_the_worst_status_wins():
    numbers = [status.number for status in STATUSES]
    assert numbers == [OK, FAILURE, LATER, REFUSED, CONFIGURATION, USAGE, INTERRUPTED]
    assert (OK, LATER, REFUSED, CONFIGURATION, INTERRUPTED) == (0, 75, 77, 78, 130)
    for worse, better in itertools.combinations(reversed(numbers), 2):
        assert worst([better, worse]) == worst([worse, better]) == worse
    assert worst([]) == OK


@given(reports)
def test_the_status_of_a_report_is_0_only_if_all_went_well(report):
    assert (status_of(report) == OK) == (report.ok and not report.more)


def test_the_help_shows_every_status_in_80_columns():
    lines = epilog().splitlines()
    assert max(map(len, lines)) < 80
    assert [int(line.split()[0]) for line in lines if line[:5].strip().isdigit()] == [each.number for each in STATUSES]


# ------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    "octets, text",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (3_400_000, "3.4 MB"),
        (10**24, "1000000 EB"),
    ],
)
def test_sizes(octets, text):
    assert size(octets) == text


def test_durations():
    assert [duration(seconds) for seconds in (0, 6.6, 75, 3_723)] == ["0:00", "0:07", "1:15", "1:02:03"]


@given(texts, st.integers(0, 40))
def test_what_fits_is_printable_and_no_wider(text, width):
    shown = fit(text, width)
    assert shown.isprintable()
    assert columns(shown) <= width


def test_the_summary():
    assert summary("work", FETCHED) == "work: 2 messages fetched (3.4 MB), 1 deleted on the server"
    assert summary("work", NOTHING) == "work: no new messages"
    assert summary("a\x1b", Report(problems=[problem(ProblemKind.LATER)])) == "a\\x1b: no messages fetched"
    mixed = Report(
        headers=[identity(3)], skipped=4, octets=9, problems=[problem(ProblemKind.MESSAGE, 7, "message 7 is\x07 bad")]
    )
    assert summary("work", mixed) == "work: 1 header fetched, 4 skipped, 1 left: message 7 is\\x07 bad"
    several = Report(
        problems=[problem(ProblemKind.MESSAGE, 7), problem(ProblemKind.MESSAGE, 8), problem(ProblemKind.MESSAGE, 8)]
    )
    several.more, several.sessions = True, 1
    assert summary("work", several) == "work: no messages fetched, 2 left; more is on the server: run it again"
    several.sessions = 0  # there was no connection
    assert summary("work", several) == "work: no messages fetched, 2 left"


def test_the_status_line():
    plan = Plan(
        (
            step(1, octets=12_000),
            step(2, octets=None),
            step(3, Action.KEEP, entry=known(3, MessageState.STORED)),
            step(4, Action.DELETE, entry=known(4, MessageState.STORED)),
            step(5, Action.KEEP, entry=known(5, MessageState.HEADERS)),
            step(6, Action.SKIP),
            step(7, Action.RETRY, entry=known(7, MessageState.SUSPECT)),
        )
    )
    assert status_line("work", plan) == ("work: 2 new (12 kB), 2 fetched before, 1 headers only, 1 skipped, 1 suspect")
    assert status_line("work", Plan(())) == "work: 0 new"


@given(plans)
def test_each_message_is_in_one_list_of_the_status(plan):
    assert Counter(map(id, plan.steps)) == Counter(id(each) for steps in standing(plan).values() for each in steps)


PLAN = Plan(
    (
        step(1, octets=3_412),
        step(2, Action.SKIP, "larger than 20 MB", octets=26_214_400),
        step(10, Action.DELETE, "stored 15 days ago", entry=known(10, MessageState.STORED)),
        step(11, deletes=True, octets=None),
    ),
    notes=("this server hides read mail",),
    obstacles=("2 messages have no unique id",),
)


def test_the_plan_of_a_dry_run():
    assert list(plan_lines("work", PLAN, 80)) == [
        "work: what would be done",
        "   1       3,412  uid1   fetch   new",
        "   2  26,214,400  uid2   skip    larger than 20 MB",
        "  10       1,000  uid10  delete  stored 15 days ago",
        "  11           ?  uid11  fetch   new",
        "work: what would be deleted on the server, once it is stored",
        "  10  1,000  uid10  delete  stored 15 days ago",
        "  11      ?  uid11  fetch   new",
        "work: note: this server hides read mail",
        "work: 2 messages have no unique id",
        "work: 2 of 4 messages would be fetched (3.4 kB), 2 deleted (1.0 kB)",
    ]
    stopped = Plan((), stop="all unique ids have changed")
    assert list(plan_lines("work", stopped, 80)) == ["work: nothing would be done: all unique ids have changed"]


@given(plans, st.integers(70, 130))
def test_a_message_of_a_dry_run_is_one_line_that_fits(plan, width):
    lines = [line for line in plan_lines("work", plan, width) if line.startswith("  ")]
    doomed = sum(each.deletes or each.action is Action.DELETE for each in plan.steps)
    assert len(lines) == len(plan.steps) + doomed
    assert all(line.isprintable() and columns(line) <= width for line in lines)


def test_plans_and_states_go_to_standard_output_also_when_it_is_quiet(streams):
    output = streams.of(Quiet)
    output.show_plan("work", PLAN)
    output.show_status("work", PLAN)
    out, err = streams.told
    assert out == [*plan_lines("work", PLAN, 80), status_line("work", PLAN)]
    assert err == []


# ------------------------------------------------------------------------------------- without a terminal


def run(output, report, *happened):
    with output:
        for telling in happened:
            output.of("work")(telling)
        output.end("work", report)


@given(st.lists(tellings.filter(lambda each: not isinstance(each, Problem | Planned)), max_size=6))
def test_cron_hears_nothing_when_nothing_came_and_nothing_went_wrong(happened):
    streams = Streams()
    run(streams.choose(), NOTHING, *happened)
    assert streams.told == ([], [])


# No plans: they can have so many obstacles that not all problems are shown.
@given(st.lists(tellings.filter(lambda each: not isinstance(each, Planned)), max_size=6), reports)
def test_cron_hears_of_all_that_came_or_went_wrong(happened, report):
    streams = Streams()
    run(streams.choose(), report, *happened)
    out, err = streams.told
    something = report.stored or report.headers or report.deleted or status_of(report) != OK
    reached = report.sessions or not report.problems  # else there is nothing to sum up
    assert out == ([summary("work", report)] if something and reached else [])
    assert all(line.isprintable() for line in err)
    wrong = {fit(f"work: {each.text}", 10**6) for each in report.problems}
    assert len(wrong - set(err)) == 0


def test_notes_are_shown_with_a_summary_only(streams):
    plan = Planned(Plan((), notes=("it hides read mail",)))
    run(streams.of(Summaries), NOTHING, plan, Noted("it is slow"))
    assert streams.told == ([], [])
    run(streams.of(Summaries), FETCHED, plan, Noted("it is slow"))
    assert streams.told == ([summary("work", FETCHED)], ["work: note: it hides read mail", "work: note: it is slow"])


def test_what_is_told_twice_is_shown_once(streams):
    broken = problem(ProblemKind.MESSAGE, 1)
    again = Planned(Plan((), obstacles=("ids are shared",), stop="all have changed"))
    run(
        streams.of(Summaries),
        Report(problems=[broken]),
        broken,
        again,
        Problem(ProblemKind.SERVER, "ids are shared"),
        again,
    )
    assert streams.told[1] == ["work: it is broken", "work: ids are shared", "work: all have changed"]


def test_a_problem_with_the_words_of_a_note_is_shown(streams):
    run(streams.of(Quiet), FETCHED, Noted("it is broken"), problem(ProblemKind.LATER))
    assert streams.told[1] == ["work: it is broken"]


def test_a_next_run_tells_again(streams):
    output = streams.of(Summaries)
    for _ in range(2):
        output.tell("work", problem(ProblemKind.LATER))
        output.end("work", Report(problems=[problem(ProblemKind.LATER)]))
    assert streams.told[1] == ["work: it is broken"] * 2


@pytest.mark.parametrize("output", [Quiet, Summaries, Verbose])
def test_more_than_ten_of_a_kind_are_told_as_ten_and_the_number_of_the_rest(output, streams):
    broken = [problem(ProblemKind.MESSAGE, number, f"message {number} is broken") for number in range(5_000)]
    run(streams.of(output), Report(problems=broken), *broken, problem(ProblemKind.SERVER))
    _, err = streams.told
    assert err == [
        *(f"work: message {number} is broken" for number in range(MOST_OF_A_KIND)),
        "work: it is broken",
        "work: and 4,990 problems with a message more",
    ]


def test_notes_are_not_many_either(streams):
    run(streams.of(Summaries), FETCHED, *(Noted(f"note {number}") for number in range(12)))
    assert streams.told[1] == [*(f"work: note: note {number}" for number in range(10)), "work: and 2 notes more"]


@given(st.lists(tellings, max_size=6), reports)
def test_quiet_shows_problems_alone(happened, report):
    streams = Streams()
    run(streams.choose(quiet=True), report, *happened)
    out, err = streams.told
    assert out == []
    texts = [each.text for each in [*happened, *report.problems] if isinstance(each, Problem)]
    texts += [
        text for each in happened if isinstance(each, Planned) for text in (*each.plan.obstacles, each.plan.stop or "")
    ]
    assert set(err) <= {fit(f"work: {text}", 10**6) for text in texts}


def test_verbose_has_a_line_for_each_message(streams):
    plan = Planned(Plan((*PLAN.steps, step(12, Action.KEEP), step(13, Action.HEADERS, "too large"))))
    stored = Stored((identity(1), identity(13)), 4_412)
    run(streams.choose(verbose=True), FETCHED, plan, stored, plan, Deleted((identity(10),)), Waiting(60, "busy"))
    assert streams.told[0] == [
        "work: 1 message here already",
        "work: message 2 (26,214,400 octets, uid2) skipped: larger than 20 MB",
        "work: message 1 (3,412 octets, uid1) stored: new",
        "work: message 13 (1,000 octets, uid13) header stored: too large",
        "work: message 10 (1,000 octets, uid10) deleted on the server",
        "work: waiting 60 s: busy",
        summary("work", FETCHED),
    ]
    streams = Streams()
    run(streams.of(Verbose), FETCHED, Stored((identity(1),), 9))
    assert streams.told[0][0] == "work: uid1: stored"


class Full(io.StringIO):
    """Takes nothing."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("options", [{}, {"verbose": True}, {"log_format": "json"}], ids=str)
def test_a_fetch_goes_on_although_nothing_can_be_written(options):
    streams = Streams(Full(), Full())
    output = streams.choose(**options)
    output.tell("work", problem(ProblemKind.LATER))
    output.tell("work", Stored((identity(1),), 9))
    output.end("work", FETCHED)
    if options.get("log_format") == "json":
        output.show_status("work", PLAN)
    with pytest.raises(OSError, match="No space"):
        output.close()
    output.close()


# ------------------------------------------------------------------------------------------------- JSON

NAMES = {
    Planned: "planned",
    Received: "received",
    Stored: "stored",
    Deleted: "deleted",
    Waiting: "waiting",
    Noted: "noted",
    Problem: "problem",
}


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def events(stream: io.StringIO) -> list[dict[str, object]]:
    text = stream.getvalue()
    assert text.isascii()
    assert not text or text.endswith("\n")
    return [json.loads(line, parse_constant=no_constant) for line in text.split("\n")[:-1]]


@given(st.lists(tellings, max_size=8), st.data())
def test_every_telling_becomes_one_json_object(happened, data):
    told = [each for each in happened if isinstance(each, Problem)]
    report = Report(problems=data.draw(st.permutations(told)))
    streams = Streams()
    run(streams.choose(log_format="json"), report, *happened)
    lines = events(streams.err)
    assert streams.out.getvalue() == ""
    assert [line["event"] for line in lines] == [*(NAMES[type(each)] for each in happened), "ended"]
    for line in lines:
        assert list(line)[:3] == ["time", "account", "event"]
        assert line["account"] == "work"
        assert datetime.fromisoformat(str(line["time"])).timestamp() == 1_800_000_000.5
        "".join(map(str, line.values())).encode()  # no lone surrogates


def test_the_fields_of_events(streams):
    output = streams.of(JsonOutput, lambda: 0.0)
    bad = Problem(ProblemKind.MESSAGE, "it is \x1b bad", identity(2))
    run(
        output,
        Report(problems=[bad, bad], stored=[identity(1)], octets=5),
        Planned(PLAN),
        Stored((identity(1),), 5),
        bad,
    )
    output.say(None, "bye")
    planned, stored, told, more, ended, said = events(streams.err)
    start = {"time": "1970-01-01T00:00:00.000Z", "account": "work"}
    assert planned == start | {
        "event": "planned",
        "count": 4,
        "octets": 26_218_812,
        "actions": {"fetch": 2, "skip": 1, "delete": 1},
        "notes": ["this server hides read mail"],
        "obstacles": ["2 messages have no unique id"],
        "stop": None,
    }
    assert stored == start | {"event": "stored", "messages": [{"unique_id": "uid1"}], "octets": 5}
    assert (
        told == more == start | {"event": "problem", "kind": "message", "text": "it is \\x1b bad", "unique_id": "uid2"}
    )
    assert ended == start | {
        "event": "ended",
        "status": 1,
        "stored": 1,
        "headers": 0,
        "deleted": 0,
        "here": 0,
        "skipped": 0,
        "octets": 5,
        "sessions": 0,
        "problems": 2,
        "more": False,
    }
    assert said == start | {"account": None, "event": "said", "text": "bye"}


def test_a_plan_and_a_state_as_json(streams):
    output = streams.choose(log_format="json", quiet=True)
    output.show_plan("work", PLAN)
    output.show_status("work", PLAN)
    output.tell("work", Noted("never mind"))
    output.tell("work", problem(ProblemKind.LATER))
    *each, whole, status = events(streams.out)
    assert [line["event"] for line in each] == ["step"] * 4
    assert {
        "number": 11,
        "unique_id": "uid11",
        "octets": None,
        "action": "fetch",
        "reason": "new",
        "deletes": True,
    }.items() <= each[-1].items()
    assert whole["event"] == "planned"
    assert {
        "new": 2,
        "new_octets": 3_412,
        "before": 1,
        "headers": 0,
        "skipped": 1,
        "suspect": 0,
    }.items() <= status.items()
    assert [line["event"] for line in events(streams.err)] == ["problem"]


# ---------------------------------------------------------------------------------------------- the trace


def test_the_trace_has_no_secrets_and_no_mail(streams):
    output = streams.choose(bar=False)
    session = SessionInfo()
    for account, begin in {"work": "work: ", None: ""}.items():
        observer = transcript(output, account)
        observer.heard(session, Greeting(Ok("\x1b[2J hello")))
        observer.said(session, Pass("tanstaaf"))
        retr = Retr(1)
        observer.heard(session, Answer(retr, Ok("follows")))
        observer.heard(session, BodyChunk(b"Subject: secret plans\r\n\r\nattack\r\n"))
        observer.heard(session, BodyEnd())
        assert streams.told[1][-5:] == [
            f"{begin}S: +OK \\x1b[2J hello",
            f"{begin}C: PASS ***",
            f"{begin}S: +OK follows",
            f"{begin}S: ... (33 octets in all)",
            f"{begin}S: .",
        ]
    assert len(streams.told[1]) == 10
    assert streams.told[0] == []


# ------------------------------------------------------------------------------------------------- the bar


def meter(*happened) -> Meter:
    """A meter after tellings, a second apart."""
    made = Meter("work")
    for now, telling in enumerate(happened):
        made.tell(telling, float(now))
    return made


WORK = Planned(Plan((step(1, octets=6_000_000), step(2, octets=4_000_000), step(3, Action.KEEP), step(4, Action.SKIP))))


def test_a_meter_counts_messages_and_octets_and_knows_rate_and_time_left():
    assert meter().text() == "looking for new mail"
    assert meter(WORK).text() == "0/2  0 B of 10 MB"
    half = meter(WORK, Received(2_000_000), Received(4_000_000), Stored((identity(1),), 6_000_000), Received(2_000_000))
    assert half.text() == "1/2  8.0 MB of 10 MB  2.0 MB/s  0:01 left"
    assert half.fraction == 0.8
    assert meter(WORK, Waiting(75, "the server is busy")).text() == "waiting 1:15: the server is busy"
    assert meter(WORK, Waiting(75, "x"), Received(1_000_000)).text() == "0/2  1.0 MB of 10 MB  500 kB/s  0:18 left"


def test_a_meter_goes_on_in_the_next_session():
    later = meter(WORK, Received(6_000_000), Stored((identity(1),), 6_000_000), Received(1_000_000), WORK)
    assert (later.messages, later.all_messages) == (1, 2)
    assert (later.octets, later.all_octets) == (7_000_000, 11_000_000), "message 2 comes again, from its start"


def test_the_rate_is_that_of_the_latest_seconds():
    made = meter(WORK, *[Received(1_000)] * 20, *[Received(50)] * 20)
    assert made.rate == 50


@given(st.lists(tellings, max_size=10), st.lists(st.floats(0, 100), min_size=10, max_size=10), st.integers(20, 120))
def test_a_line_fits_into_its_width_whatever_is_told(happened, pauses, width):
    made = Meter("имя\x1b的名字")
    for telling, now in zip(happened, itertools.accumulate(pauses), strict=False):
        made.tell(telling, now)
    assert 0 <= made.fraction <= 1
    line = plain_line(made, width)
    assert line.isprintable()
    assert columns(line) <= width


PAINTERS = ["plain", "rich"]


def progress(streams: Streams, painter: str, clock, width: int = 80, environment=None) -> Progress:
    environment = {"TERM": "xterm"} if environment is None else environment
    if painter == "rich":
        pytest.importorskip("rich", reason="rich is not installed")
        made = RichPainter(streams.err, lambda: width, environment)
    else:
        made = PlainPainter(streams.err, lambda: width)
    return Progress(streams.out, streams.err, made, clock)


def shown(stream: io.StringIO, width: int = 80) -> Screen:
    screen = Screen(width)
    screen.feed(stream.getvalue().replace("\n", "\r\n"))
    return screen


@pytest.fixture
def terminal() -> Streams:
    """Both streams are the same terminal."""
    both = Terminal()
    return Streams(both, both)


@pytest.mark.parametrize("painter", PAINTERS)
def test_a_bar_stands_below_the_lines_and_is_gone_in_the_end(painter, terminal):
    output = progress(terminal, painter, itertools.count().__next__)
    with output:
        output.tell("work", WORK)
        output.tell("home", Planned(Plan((), notes=("it is slow",))))
        output.tell("work", Received(5_000_000))
        output.tell("work", Stored((identity(1),), 6_000_000))
        output.tell("work", problem(ProblemKind.MESSAGE, 2, "message 2 is \x1b[31mbad"))
        note, bad, work, home = shown(terminal.err).shown
        assert note == "home: note: it is slow"
        assert bad == r"work: message 2 is \x1b[31mbad"
        assert work.startswith("work")
        assert "1/2  5.0 MB of 10 MB" in work
        assert home.startswith("home")
        assert home.endswith("looking for new mail")
        output.end("home", NOTHING)
        *_, work = shown(terminal.err).shown
        assert "1/2" in work
        output.end("work", FETCHED)
    screen = shown(terminal.err)
    assert screen.shown == [note, bad, summary("home", NOTHING), summary("work", FETCHED)]
    assert screen.cursor
    assert screen.column == 0


@pytest.mark.parametrize("painter", PAINTERS)
def test_a_bar_leaves_the_cursor_visible_as_a_signal_may_end_the_process(painter, terminal):
    with progress(terminal, painter, itertools.count().__next__) as output:
        output.tell("work", WORK)
        screen = shown(terminal.err)
        assert screen.shown
        assert screen.cursor


@pytest.mark.parametrize("painter", PAINTERS)
def test_a_bar_is_gone_when_the_fetch_breaks_off(painter, terminal):
    output = progress(terminal, painter, itertools.count().__next__)

    def fetch() -> None:
        with output:
            output.tell("work", WORK)
            output.tell("home", WORK)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch()
    screen = shown(terminal.err)
    assert screen.shown == []
    assert screen.cursor
    assert screen.column == screen.row == 0


@pytest.mark.parametrize("painter", PAINTERS)
@given(st.lists(st.tuples(st.sampled_from(["work", "home"]), tellings), max_size=8))
def test_a_bar_never_wraps(painter, happened):
    both = Terminal()
    output = progress(Streams(both, both), painter, itertools.count().__next__)
    with output:
        for account, telling in happened:
            output.tell(account, telling)
    bars = [line for line in shown(both).wrapped if not line.startswith(("work: ", "home: "))]
    assert bars == []


@pytest.mark.parametrize("painter", PAINTERS)
def test_colours_are_left_out_where_they_are_not_wanted(painter):
    for environment, coloured in [({"TERM": "xterm"}, painter == "rich"), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]:
        both = Terminal()
        with progress(Streams(both, both), painter, itertools.count().__next__, environment=environment) as output:
            output.tell("work", WORK)
            output.tell("work", Received(5_000_000))
        assert shown(both).coloured is coloured


def test_a_bar_is_not_drawn_for_every_octet_and_message(terminal):
    now = itertools.count()
    output = progress(terminal, "plain", lambda: next(now) / 2_000)
    output.tell("work", WORK)
    before = len(terminal.err.getvalue())
    for _ in range(1_000):  # a second
        output.tell("work", Received(100))
        output.tell("work", Stored((identity(1),), 100))
    assert len(terminal.err.getvalue()) - before <= 11 * 82
    output.close()


@pytest.mark.parametrize("painter", PAINTERS)
def test_accounts_tell_from_threads_of_their_own(painter, terminal):
    ticks = itertools.count()
    output = progress(terminal, painter, lambda: next(ticks))
    names = [f"account{number}" for number in range(4)]

    def fetch(name: str) -> None:
        output.tell(name, WORK)
        for number in range(20):
            output.tell(name, Received(100))
            output.tell(name, Noted(f"note {number % 5} of {name}"))
        output.end(name, FETCHED)

    threads = [threading.Thread(target=fetch, args=[name], daemon=True) for name in names]
    for thread in threads:
        thread.start()
    join(*threads)
    output.close()
    expected = [f"{name}: note: note {number} of {name}" for name in names for number in range(5)]
    assert sorted(shown(terminal.err).shown) == sorted([*expected, *(summary(name, FETCHED) for name in names)])


# ---------------------------------------------------------------------------------------------- the choice


@pytest.mark.parametrize(
    "environment, options, kind",
    [
        ({"TERM": "xterm"}, {}, Progress),
        ({"TERM": "dumb"}, {}, Summaries),
        ({}, {}, Summaries),
        ({"TERM": "xterm"}, {"bar": False}, Summaries),
        ({"TERM": "xterm"}, {"verbose": True}, Verbose),
        ({"TERM": "xterm"}, {"quiet": True}, Quiet),
        ({"TERM": "xterm"}, {"log_format": "json", "verbose": True}, JsonOutput),
    ],
)
def test_the_output_on_a_terminal(environment, options, kind, terminal):
    output = terminal.choose(environment, **options)
    assert type(output) is kind
    output.end("work", NOTHING)
    silent = kind in {Quiet, JsonOutput}
    assert (summary("work", NOTHING) in shown(terminal.out).shown) is not silent


def test_without_rich_the_bar_is_plain(monkeypatch, terminal):
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    with terminal.choose() as output:
        output.tell("work", WORK)
        assert shown(terminal.err).shown[0].startswith("work: [-----")


@pytest.mark.parametrize("rich", [True, False])
def test_on_a_real_terminal(rich, monkeypatch):
    if rich:
        pytest.importorskip("rich", reason="rich is not installed")
    else:
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setitem(sys.modules, "rich.console", None)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w", encoding="utf-8") as stream:
        output = Streams(stream, stream).choose({"TERM": "xterm-256color"})
        with output:
            output.tell("work", WORK)
            output.tell("work", Received(5_000_000))
            output.end("work", FETCHED)
        os.write(theirs, b"END")
        written = b""
        while not written.endswith(b"END"):
            written += screen.read(4_096)
    made = Screen(100)
    made.feed(written.decode().removesuffix("END"))
    assert made.shown == [summary("work", FETCHED)]
    assert made.wrapped == []
    assert made.cursor
    assert ("━" in written.decode()) is rich


def test_widths():
    plan = Plan((step(1, reason="because " * 30),))
    terminal = Terminal()
    for environment, out, width in [
        ({"COLUMNS": "60"}, None, 60),
        ({"COLUMNS": "60"}, terminal, 60),
        ({"COLUMNS": "0"}, terminal, 80),
        ({"COLUMNS": "x"}, terminal, 80),
        ({}, terminal, 80),
    ]:
        streams = Streams(out)
        streams.choose(environment).show_plan("work", plan)
        assert len(streams.told[0][-2]) == width
    streams = Streams()
    streams.choose({}).show_plan("work", plan)
    assert ("because " * 30).strip() in streams.told[0][1], "nothing is cut where there is no terminal"
