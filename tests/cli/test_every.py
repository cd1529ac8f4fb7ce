"""`pop3proto fetch --every`: when it fetches next, what ends it, and what systemd hears of it."""

import os
import signal
import socket
import threading
import time
from collections import deque

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.cli import every
from pop3proto.cli.alarm import Alarm
from pop3proto.cli.every import SIGNALS, Ran, Repeat
from pop3proto.cli.exit_statuses import INTERRUPTED, OK, REFUSED
from pop3proto.cli.schedule import Schedule, Turn
from pop3proto.cli.several import Crew
from pop3proto.fetching.report import Problem, ProblemKind, Report
from pop3proto.serving.notifier import Notifier
from tests.helpers.processes import PATIENCE, join

FINE = Report()
SECONDS = st.floats(0.001, 1e6)
CHANCE = st.floats(0, 1)
schedules = st.builds(Schedule, every=SECONDS, floor=st.floats(0, 1e6))


def failed(kind: ProblemKind) -> Report:
    return Report(problems=[Problem(kind, "it is broken")])


reports = st.sampled_from([FINE, *map(failed, ProblemKind)])

# -------------------------------------------------------------------------------------------- the schedule


def test_pauses_double_up_to_an_hour_and_are_never_shorter_than_every():
    def pauses(every: float) -> list[float]:
        return [Schedule(every=every).pause(failures, 0.5) / 60 for failures in range(9)]

    assert pauses(60) == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pauses(600) == [10, 10, 10, 10, 10, 16, 32, 60, 60]
    assert pauses(7_200) == [120] * 9
    assert Schedule(every=60).pause(10**9, 0.5) == 3_600


def test_jitter():
    schedule = Schedule(every=600)
    assert [schedule.pause(0, chance) for chance in (0, 0.5, 1)] == [540, 600, 660]
    assert schedule.pause(0, 0.0, login_delay=570) == 570
    assert Schedule(every=600, floor=599).pause(0, 0.0) == 599


@given(schedules, st.lists(st.tuples(SECONDS, reports, CHANCE, st.floats(0, 1e6)), max_size=20))
def test_no_turn_comes_before_what_server_and_provider_allow(schedule, runs):
    now = 0.0
    turn = Turn.first(schedule, now)
    assert turn.due == 0
    for took, report, chance, login_delay in runs:
        now += took
        turn = turn.after(report, now, chance, login_delay)
        floor = now + max(schedule.floor, login_delay)
        assert turn.not_before == floor
        assert (turn.due is None) == any(problem.kind is ProblemKind.REFUSED for problem in report.problems)
        assert turn.due is None or turn.due >= max(floor, now + 0.89 * schedule.every)
        for later in (now, now + schedule.every / 2, floor + 1):
            assert turn.woken(later).due == max(later, floor), "a wake-up is obeyed, but not under the floor"


@given(schedules, st.floats(-1e6, 1e6))
def test_a_new_process_minds_the_session_of_the_last(schedule, since):
    turn = Turn.first(schedule, 100.0, since)
    pause, ended = max(schedule.floor, schedule.every), 100 - max(since, 0)
    assert turn.due == pytest.approx(max(100, ended + pause))
    assert turn.not_before == pytest.approx(max(100, ended + schedule.floor))
    assert turn.due - 100 <= pause + 1e-6, "a clock that was set back costs one pause"


@pytest.mark.parametrize(
    "kind, failures",
    [
        (ProblemKind.LATER, 3),
        (ProblemKind.STORAGE, 3),
        (ProblemKind.MESSAGE, 0),
        (ProblemKind.SERVER, 0),
        (ProblemKind.REFUSED, 0),
    ],
)
def test_only_what_passes_by_itself_makes_pauses_longer(kind, failures):
    turn = attrs.evolve(Turn.first(Schedule(every=60), 0.0), failures=2)
    assert turn.after(failed(kind), 0.0, 0.5).failures == failures
    assert turn.after(FINE, 0.0, 0.5).failures == 0


@pytest.mark.parametrize("options", [{"every": 0}, {"every": float("nan")}, {"every": 1, "jitter": 1}])
def test_a_schedule_that_cannot_be(options):
    with pytest.raises(ValueError, match="above 0"):
        Schedule(**options)


# -------------------------------------------------------------------------------------------- the loop


NOBODY = Notifier()


class Day:
    """A clock that moves when all wait, and signals that come at given times: no test waits for time to pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        self.signals: deque[tuple[float, signal.Signals]] = deque()
        self.rings = threading.Semaphore(0)
        self.unheard = 0  # jobs that were started, and whose ring was not waited for
        self.fetched: list[tuple[float, str]] = []
        self.said: list[tuple[str | None, str]] = []
        day = self

        class Counting(Crew):
            def start(self, name, job):
                day.unheard += 1
                super().start(name, job)

        monkeypatch.setattr(every, "Crew", Counting)

    def clock(self) -> float:
        return self.time

    def ring(self) -> None:
        self.rings.release()

    def wait(self, seconds: float | None) -> list[int]:
        if self.unheard:
            assert self.rings.acquire(timeout=PATIENCE)
            self.unheard -= 1
            return []
        until = float("inf") if seconds is None else self.time + seconds
        if self.signals and self.signals[0][0] <= until:
            self.time, number = self.signals.popleft()
            return [number]
        assert until < float("inf"), "it waits for ever"
        self.time = until
        return []

    def repeat(self, schedules, *signals, notifier=NOBODY, since_last=None, **results) -> int:
        """Run the loop. The results of each account are given; the last one is repeated."""
        self.signals.extend(signals)
        left = {name: deque(each) for name, each in results.items()}

        def fetch(name: str, _cancel: object) -> Ran:
            self.fetched.append((self.time, name))
            result = left[name].popleft() if len(left[name]) > 1 else left[name][0]
            if isinstance(result, Exception):
                raise result
            return result

        return Repeat(
            schedules=schedules,
            fetch=fetch,
            failed=lambda *_: Ran(failed(ProblemKind.LATER)),
            say=lambda account, text: self.said.append((account, text)),
            alarm=self,
            notifier=notifier,
            since_last=since_last or {},
            clock=self.clock,
            now=lambda: self.time + 1_800_000_000,
            chance=lambda: 0.5,
        ).run()

    def times(self, name: str) -> list[float]:
        return [when for when, who in self.fetched if who == name]


@pytest.fixture
def day(monkeypatch) -> Day:
    return Day(monkeypatch)


TEN = Schedule(every=600)
WORKS = [Ran(FINE)]
REFUSES = Ran(failed(ProblemKind.REFUSED))


def test_each_account_is_fetched_at_its_times(day):
    schedules = {"work": TEN, "home": Schedule(every=1_000)}
    assert day.repeat(schedules, (2_100, signal.SIGTERM), work=WORKS, home=WORKS) == OK
    assert day.times("work") == [0, 600, 1_200, 1_800]
    assert day.times("home") == [0, 1_000, 2_000]
    assert day.said == []


def test_a_failure_of_an_account_delays_that_one_alone(day):
    broken = [Ran(failed(ProblemKind.LATER)), OSError("no network"), Ran(failed(ProblemKind.LATER)), Ran(FINE)]
    schedules = {"work": Schedule(every=60), "home": TEN}
    day.repeat(schedules, (700, signal.SIGTERM), work=broken, home=WORKS)
    assert day.times("work") == [0, 60, 180, 420, 480, 540, 600, 660]
    assert day.times("home") == [0, 600]


def test_a_refused_login_stops_its_account_and_is_said(day):
    schedules = {"work": TEN, "home": TEN}
    day.repeat(schedules, (1_300, signal.SIGTERM), work=[REFUSES], home=WORKS)
    assert day.times("work") == [0]
    assert day.times("home") == [0, 600, 1_200]
    assert day.said == [("work", "the login was refused: not tried again until SIGUSR1, or a new start")]


def test_when_all_logins_are_refused_it_ends(day):
    assert day.repeat({"work": TEN, "home": TEN}, work=[REFUSES], home=[Ran(FINE), REFUSES]) == REFUSED
    assert day.times("home") == [0, 600]


def test_sigusr1_fetches_now_and_tries_refused_logins_again(day):
    schedules = {"work": TEN, "home": TEN}
    signals = [(50, signal.SIGUSR1), (700, signal.SIGINT)]
    assert day.repeat(schedules, *signals, work=WORKS, home=[REFUSES, Ran(FINE)]) == INTERRUPTED
    assert day.times("work") == day.times("home") == [0, 50, 650]


def test_sigusr1_is_not_obeyed_under_login_delay_and_it_says_when(day, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    schedules = {"work": TEN, "home": Schedule(every=600, floor=720)}
    signals = [(50, signal.SIGUSR1), (1_000, signal.SIGTERM)]
    day.repeat(schedules, *signals, work=[Ran(FINE, login_delay=300)], home=WORKS)
    monkeypatch.undo()
    time.tzset()
    assert day.times("work") == [0, 300, 900]
    assert day.times("home") == [0, 720]
    pause = "the server wants a pause between logins"
    assert day.said == [("work", f"not before 08:05:00: {pause}"), ("home", f"not before 08:12:00: {pause}")]


def test_a_new_start_minds_the_last_session(day):
    schedules = {"work": Schedule(every=600, floor=720), "home": TEN}
    since_last = {"work": 20.0, "home": 20.0, "old": 601.0}
    signals = [(100, signal.SIGUSR1), (800, signal.SIGTERM)]
    day.repeat({**schedules, "old": TEN}, *signals, work=WORKS, home=WORKS, old=WORKS, since_last=since_last)
    assert day.times("work") == [700]
    assert day.times("home") == [100, 700]
    assert day.times("old") == [0, 100, 700]
    assert [name for name, text in day.said if text.startswith("first at ")] == ["work", "home"]


@pytest.mark.parametrize("second", [True, False])
def test_a_signal_ends_it_after_the_work_in_hand_or_at_once(second):
    """In earnest: with signals of this process, and a job that takes its time."""
    begun, batch, told = threading.Event(), threading.Event(), []

    def fetch(_name: str, cancel) -> Ran:
        with cancel.calls(lambda: told.append("closed") or batch.set()):
            begun.set()
            assert cancel.pause(PATIENCE)  # a signal came
            if second:
                os.kill(os.getpid(), signal.SIGTERM)
                assert batch.wait(PATIENCE)
            told.append("ended")
        return Ran(FINE)

    def interrupt() -> None:
        assert begun.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=interrupt, daemon=True)
    with Alarm(SIGNALS) as alarm:
        thread.start()
        status = Repeat(
            schedules={"work": TEN},
            fetch=fetch,
            failed=lambda *_: pytest.fail("it failed"),
            say=lambda *_: None,
            alarm=alarm,
            notifier=NOBODY,
            grace=PATIENCE,
        ).run()
    join(thread)
    assert status == OK
    assert told == (["closed", "ended"] if second else ["ended"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_sigusr1_while_a_fetch_is_under_way_fetches_once_more():
    """Mail may have come after that fetch had listed the maildrop."""
    runs = []

    def fetch(_name: str, cancel) -> Ran:
        runs.append(len(runs))
        if len(runs) == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
            heard.wait(PATIENCE)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        return Ran(FINE)

    heard = threading.Event()

    class Hears(Alarm):
        def wait(self, seconds):
            signals = super().wait(seconds)
            if signal.SIGUSR1 in signals:
                heard.set()
            return signals

    watchdog = threading.Timer(PATIENCE, os.kill, [os.getpid(), signal.SIGTERM])
    with Hears(SIGNALS) as alarm:
        watchdog.start()
        Repeat(
            schedules={"work": Schedule(every=86_400)},
            fetch=fetch,
            failed=lambda *_: pytest.fail("it failed"),
            say=lambda *_: None,
            alarm=alarm,
            notifier=NOBODY,
            grace=PATIENCE,
        ).run()
        watchdog.cancel()
    join(watchdog)
    assert runs == [0, 1]


def test_work_that_does_not_end_in_time_is_ended():
    closed = threading.Event()

    def fetch(_name: str, cancel) -> Ran:
        with cancel.calls(closed.set):
            os.kill(os.getpid(), signal.SIGTERM)
            assert closed.wait(PATIENCE)
        return Ran(FINE)

    with Alarm(SIGNALS) as alarm:
        status = Repeat(
            schedules={"work": TEN},
            fetch=fetch,
            failed=lambda *_: pytest.fail("it failed"),
            say=lambda *_: None,
            alarm=alarm,
            notifier=NOBODY,
            grace=0,
        ).run()
    assert status == OK
    assert closed.is_set()


# -------------------------------------------------------------------------------------------- the alarm


def test_the_alarm_hears_signals_and_threads_and_leaves_all_as_it_was():
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with Alarm(SIGNALS) as alarm:
        assert alarm.wait(0) == []
        for each in (signal.SIGUSR1, signal.SIGINT):
            signal.raise_signal(each)
        assert alarm.wait(None) == [signal.SIGUSR1, signal.SIGINT]
        thread = threading.Thread(target=alarm.ring, daemon=True)
        thread.start()
        assert alarm.wait(None) == []
        join(thread)
        for _ in range(100_000):  # more than a socket holds
            alarm.ring()
        assert alarm.wait(None) == []
    assert {each: signal.getsignal(each) for each in SIGNALS} == before
    assert signal.set_wakeup_fd(-1) == -1
    alarm.ring()


# -------------------------------------------------------------------------------------------- systemd


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """A socket as that of systemd, and its name in the environment."""
    if request.param == "abstract":
        name = f"@pop3proto-{os.getpid()}"
        address = f"\0{name[1:]}"
    else:
        monkeypatch.chdir(tmp_path)
        name = address = str(tmp_path / "notify")
        if len(name) > 100:
            pytest.skip("the temporary folder has too long a name for a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.settimeout(PATIENCE)
        ours.bind(address)
        yield ours, {"NOTIFY_SOCKET": name}


def heard(ours: socket.socket, number: int) -> list[str]:
    return [ours.recv(4_096).decode() for _ in range(number)]


def test_systemd_hears_that_it_is_ready_what_it_does_and_that_it_ends(day, manager, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    ours, environment = manager
    notifier = Notifier.of_environment(environment, os.getpid())
    day.repeat({"work": TEN}, (700, signal.SIGTERM), notifier=notifier, work=WORKS)
    monkeypatch.undo()
    time.tzset()
    assert heard(ours, 6) == [
        "READY=1",
        "STATUS=fetching work",
        "STATUS=next at 08:10:00",
        "STATUS=fetching work",
        "STATUS=next at 08:20:00",
        "STOPPING=1\nSTATUS=ending",
    ]


def test_the_watchdog_hears_it_twice_in_its_time(day, manager):
    ours, environment = manager
    environment |= {"WATCHDOG_USEC": "400000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier.of_environment(environment, os.getpid())
    assert notifier.watchdog == 400
    day.repeat({"work": TEN}, (599, signal.SIGTERM), notifier=notifier, work=WORKS)
    told = heard(ours, 10)
    assert day.fetched == [(0, "work")]
    assert told.count("WATCHDOG=1") == 4, "with the work, then at 0, 200 and 400"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"NOTIFY_SOCKET": "/nowhere/at/all"},
        {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
    ],
    ids=str,
)
def test_where_nobody_listens_nothing_happens(environment):
    notifier = Notifier.of_environment(environment, os.getpid())
    notifier.tell(READY=1)
    assert notifier.watchdog is None


def test_a_status_is_one_line(manager):
    ours, environment = manager
    Notifier.of_environment(environment, os.getpid()).tell(STATUS="a\nREADY=1\udcff")
    assert heard(ours, 1) == ["STATUS=a\\nREADY=1\\xff"]
