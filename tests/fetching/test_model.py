"""A fetch against a naive model: whatever arrives, breaks and is deleted, nothing is lost, and nothing comes twice.

The model knows all messages that ever were on the server, and who has deleted them. What a run leaves in the
destination and on the server must fit, whatever happened before and in it; and when nothing goes wrong any more, all
mail comes.
"""

import errno
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pop3proto.sasl.authenticator import PasswordVerifier
from pop3proto.testing import PASSWORD, Pop3Server, pop3_server
from pop3proto.testing.faults import (
    Cut,
    Fault,
    ListsAll,
    NoTerminator,
    Refuse,
    Reset,
    SplitEvery,
    Stall,
    TrailingJunk,
    Unstuffed,
    WrongSize,
)
from tests.helpers.cli_servers import stored
from tests.helpers.depth import deep
from tests.helpers.kill_points import KILL, WORKS, Mishap, Runs
from tests.helpers.maildrop_trials import ENDS, Breaks, Changing, Mail, OneMaildrop, QuitLies

pytestmark = pytest.mark.skipif(not WORKS, reason="system calls are followed on Linux on x86-64 only")

PATIENCE: Final = 60
SHORT: Final = 0.2
"""Seconds of silence that the client bears where the server falls silent."""
RUNS: Final = 6
"""When nothing goes wrong any more, so many runs must do."""
DAY: Final = 86_400

POLICIES: Final = {"keep": (), "delete": ("--delete",)}
"""What the command line says. No policy may lose anything."""


class Rig(Protocol):
    """A program that fetches mail from one server into one destination."""

    store: OneMaildrop
    fault: Changing

    def reset(self) -> None:
        """Begin with an empty destination, and nothing known."""

    def run(self, policy: Sequence[str], mishap: Mishap | None, clock: float, timeout: float) -> int | None:
        """Run it once; return its exit status; None: it was killed."""

    def contents(self) -> Counter[bytes]:
        """Return what is in the destination."""


class Ann(PasswordVerifier):
    blocks = False

    def check_password(self, user, password, session, /):
        return password == PASSWORD


@attrs.define
class OnCommandLine:
    """The program as its command line runs it.

    Args:
        program: `module:function`.
        arguments: returns its arguments, from the server, the target, the policy and the seconds of silence.
    """

    program: str
    arguments: Callable[[Pop3Server, Path, Sequence[str], float], Sequence[str]]
    place: Path
    runs: Runs
    server: Pop3Server
    store: OneMaildrop
    fault: Changing
    said: str = ""
    _numbers: Any = attrs.Factory(itertools.count)
    _folder: Path = Path()

    def reset(self) -> None:
        if self._folder != Path():
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = self.place / str(next(self._numbers))
        self._folder.mkdir()

    def run(self, policy: Sequence[str], mishap: Mishap | None, clock: float, timeout: float) -> int | None:
        arguments = self.arguments(self.server, self._folder / "mail", policy, timeout)
        before = len(self.server.sessions)
        run = self.runs.run(self.program, arguments, self._folder if mishap else None, mishap, clock=clock)
        for session in self.server.sessions[before:]:
            session.wait(PATIENCE)
        self.said = run.said
        assert "Traceback" not in run.said, run.said
        return run.status

    def contents(self) -> Counter[bytes]:
        maildir = self._folder / "mail"
        return Counter(stored(maildir) if all((maildir / name).is_dir() for name in ("new", "cur")) else ())


# -------------------------------------------------------------------------------------------- what is drawn

TEXTS: Final = {
    "plain": b"\nHello.\n",
    "no header end": b"",
    "dots": b"\n.\n..\n.two\n.\nbehind\n",
    "line ends": b"\nbare\nends\r\nand no end",
    "large": b"\n" + b"to and fro, and to and fro, and to and fro again\n" * 3_000,
    "answers": b"\n+OK\n.\n+OK 1 uid\n-ERR\n",
}


@attrs.frozen
class Culprit:
    """A message that ends the session: which one, is known when the fault begins.

    Args:
        verb: at which command.
        at: its place in the maildrop.
        how: as `Breaks` has it.
    """

    verb: str
    at: int
    how: Any

    def among(self, store: OneMaildrop) -> Breaks:
        mail = store.messages
        return Breaks(store, self.verb, mail[self.at % len(mail)].unique_id, self.how)


# What is drawn does not depend on what runs have left: that may differ from time to time.
retr = st.integers(1, 6).map(lambda number: f"RETR {number}")
dele = st.integers(1, 6).map(lambda number: f"DELE {number}")
octets = st.sampled_from([0, 2, 40, 5_000])
commands = st.sampled_from(["PASS", "UIDL", "LIST", "STAT", "RETR", "DELE", "QUIT"])

faults = st.one_of(
    st.builds(Culprit, st.sampled_from(["RETR", "DELE"]), st.integers(0, 5), st.sampled_from(ENDS)),
    st.builds(Cut, retr, octets),
    st.builds(Cut, commands, octets),
    st.builds(Reset, commands, octets),
    st.builds(Stall, st.sampled_from(["RETR 2", "DELE 1", "QUIT", "UIDL"]), octets),
    st.builds(Refuse, retr | dele | st.just("QUIT")),
    st.builds(Refuse, st.just("PASS"), st.sampled_from(["IN-USE", "SYS/TEMP", "LOGIN-DELAY", "AUTH"])),
    st.builds(WrongSize, st.sampled_from([-2, 1, 700])),
    st.builds(TrailingJunk, retr),
    st.builds(NoTerminator, retr),
    st.sampled_from([QuitLies(), Unstuffed(), ListsAll("UIDL"), SplitEvery(7)]),
)
"""What goes wrong in one run."""


def is_silent(fault: Fault) -> bool:
    return isinstance(fault, Stall | NoTerminator | Breaks | Unstuffed)


calls = st.integers(1, 45)
mishaps = st.builds(Mishap, calls) | st.builds(Mishap, calls, st.sampled_from([errno.ENOSPC, errno.EIO]), st.booleans())
policies = st.sampled_from([*POLICIES])
arrivals = st.lists(st.sampled_from([*TEXTS]), min_size=1, max_size=3)

# ------------------------------------------------------------------------------------------------ the model


class Model(RuleBasedStateMachine):
    """The rules that every program must bear which calls itself robust.

    Attributes:
        rig: the program.
        knows: which of the harder things it can bear.
    """

    rig: ClassVar[Rig]
    knows: ClassVar[frozenset[str]] = frozenset()

    @initialize(count=st.integers(0, 4))
    def begin(self, count: int) -> None:
        self.rig.reset()
        self.store = self.rig.store
        self.store.messages, self.store.removed = [], []
        self.store.on_removal = self._check_removal
        self.rig.fault.now = None
        self.ever: dict[bytes, Mail] = {}  # by how it is stored
        self.serial = itertools.count(1)
        self.next_uid = itertools.count(1)
        self.may_double = False
        self.clock = 0.0
        self.wrong: list[str] = []  # seen while a session ended
        self._deliver(*["plain"] * count)

    @rule(at=st.integers(0, 5))
    def another_client_deletes(self, at: int) -> None:
        if self.store.messages:
            self.store.messages.pop(at % len(self.store.messages))

    @rule(days=st.sampled_from([0.01, 2, 40]))
    def time_passes(self, days: float) -> None:
        self.clock += days * DAY

    @precondition(lambda self: "ids that begin again" in self.knows)
    @rule(count=st.integers(1, 4))
    def the_server_is_set_up_anew(self, count: int) -> None:
        """The maildrop is empty, and then new mail comes, with the unique ids of the first."""
        self.store.messages = []
        self.next_uid = itertools.count(1)
        self._deliver(*["plain"] * count)

    @precondition(lambda self: "ids that change" in self.knows)
    @rule()
    def the_server_moves(self) -> None:
        """The messages stay, and get new unique ids: they may come again."""
        self.may_double = True
        self.store.messages = [Mail(f"moved-{next(self.next_uid)}", each.octets) for each in self.store.messages]

    @rule(policy=policies, arrive=arrivals)
    def run(self, policy: str, arrive: Sequence[str] = ()) -> None:
        self._deliver(*arrive)
        before = list(self.store.messages)
        status = self._run(policy, None, 20)
        if status == 0:
            here = self.rig.contents()
            for each in before:
                assert here[as_stored(each.octets)], f"lost: status 0, and {each.unique_id} is not here"

    @rule(policy=policies, arrive=arrivals, drawn=faults)
    def run_with_a_fault(self, policy: str, arrive: Sequence[str], drawn: Fault | Culprit) -> None:
        self._deliver(*arrive)
        fault = drawn.among(self.store) if isinstance(drawn, Culprit) else drawn
        self.rig.fault.now = fault
        self._run(policy, None, SHORT if is_silent(fault) else 20)
        self.rig.fault.now = None

    @rule(policy=policies, arrive=arrivals, mishap=mishaps)
    def run_with_a_mishap(self, policy: str, arrive: Sequence[str], mishap: Mishap) -> None:
        self._deliver(*arrive)
        self.spoil(policy, mishap)

    def spoil(self, policy: str, mishap: Mishap) -> None:
        status = self._run(policy, mishap, 20)
        assert status is not None or mishap.what == KILL

    def teardown(self) -> None:
        """When nothing goes wrong any more, all that is still on the server comes."""
        if not hasattr(self, "store"):
            return
        for _ in range(RUNS):
            self.clock += 2 * DAY  # what has failed is tried again after a while
            if self._run("keep", None, 20) == 0:
                break
        else:
            pytest.fail(f"no run succeeds: {getattr(self.rig, 'said', '')}")
        here = self.rig.contents()
        for each in self.store.messages:
            assert here[as_stored(each.octets)], f"lost: {each.unique_id} is still not here"

    def _deliver(self, *texts: str) -> None:
        for text in texts:
            octets = b"Subject: no %d\n%b" % (next(self.serial), TEXTS[text])
            each = Mail(f"uid-{next(self.next_uid)}", octets)
            self.ever[as_stored(octets)] = each
            self.store.messages.append(each)

    def _run(self, policy: str, mishap: Mishap | None, timeout: float) -> int | None:
        status = self.rig.run(POLICIES[policy], mishap, self.clock, timeout)
        here = self.rig.contents()
        assert not self.wrong, f"lost: {self.wrong}"
        for each in self.store.removed:
            assert here[as_stored(each.octets)], f"lost: {each.unique_id} was deleted, and is not here"
        for octets, count in here.items():
            assert octets in self.ever, f"not a whole message: {octets[:200]!r}"
            assert count == 1 or self.may_double, f"twice: {self.ever[octets].unique_id}"
        if policy == "keep":
            assert not self.store.removed, "deleted without being asked to"
        self.store.removed.clear()
        return status

    def _check_removal(self, mail: Iterable[Mail]) -> None:
        here = self.rig.contents()
        self.wrong += [each.unique_id for each in mail if not here[as_stored(each.octets)]]


def as_stored(octets: bytes) -> bytes:
    """Return a message as a Maildir has it: with LF at the end of each line."""
    octets = octets.replace(b"\r\n", b"\n")
    return octets if octets.endswith(b"\n") else octets + b"\n"


# ------------------------------------------------------------------------------------------------- the runs


def ours(password: Path) -> Callable[[Pop3Server, Path, Sequence[str], float], Sequence[str]]:
    def arguments(server: Pop3Server, target: Path, policy: Sequence[str], timeout: float) -> Sequence[str]:
        url = f"pop://ann@{server.host}:{server.port}"
        options = ["--allow-cleartext", "--password-file", str(password), "--timeout", str(timeout)]
        return ["fetch", url, str(target), *options, *policy]

    return arguments


def naive(defect: str) -> Callable[[Pop3Server, Path, Sequence[str], float], Sequence[str]]:
    def arguments(server: Pop3Server, target: Path, policy: Sequence[str], timeout: float) -> Sequence[str]:
        return [str(server.port), "ann", str(target), "delete" if policy else "keep", defect, str(timeout)]

    return arguments


@pytest.fixture(scope="module")
def rig(tmp_path_factory) -> Generator[Callable[..., OnCommandLine]]:
    """A function that makes a rig from a program and what returns its arguments."""
    place = tmp_path_factory.mktemp("model")
    password = place / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    store, fault = OneMaildrop(), Changing()
    with (
        Runs("pop3proto.cli.fetch", "tests.helpers.naive_fetch") as runs,
        pop3_server(store=store, authenticator=Ann(), faults=[fault], mechanisms=(), apop=False) as server,
    ):
        own = ours(password)
        assert runs.warm_up("pop3proto.cli:main", own(server, place / "warm", (), 20)).status == 0

        def rig(program: str = "pop3proto.cli:main", arguments: Any = own) -> OnCommandLine:
            folder = tmp_path_factory.mktemp("rig")
            return OnCommandLine(program, arguments, folder, runs, server, store, fault)

        yield rig


def machine(rig: Rig, knows: Iterable[str] = ()) -> type[Model]:
    return type("Machine", (Model,), {"rig": rig, "knows": frozenset(knows)})


ONE_IS_ENOUGH: Final[dict[str, Any]] = {"phases": [Phase.generate], "report_multiple_bugs": False}
"""Where an example is expected that fails, it need not be a small one."""


def try_out(rig: Rig, knows: Iterable[str] = (), **options: Any) -> None:
    run_state_machine_as_test(
        machine(rig, knows),
        settings=settings(
            stateful_step_count=deep(25, 12),
            suppress_health_check=[*HealthCheck],
            **{"max_examples": deep(60, 6), **options},
        ),
    )


def test_nothing_is_lost_and_nothing_comes_twice(rig):
    try_out(rig())


@pytest.mark.parametrize(
    "what",
    [
        "ids that begin again",
        "ids that change",
    ],
)
def test_nothing_is_lost_when_unique_ids_do_not_stay(rig, what):
    try_out(rig(), [what], **ONE_IS_ENOUGH)


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("defect", ["deletes first", "writes in place", "names by chance", "ignores errors"])
def test_the_model_finds_a_defect(rig, defect):
    model = machine(rig("tests.helpers.naive_fetch:main", naive(defect)))()
    what = errno.ENOSPC if defect == "ignores errors" else KILL
    with pytest.raises(AssertionError, match=r"lost|twice|not a whole message"):  # noqa: PT012 - at one of them
        for at in range(30, 0, -1):
            model.begin(2)
            model.spoil("delete", Mishap(at, what, lasting=True))
            model.run("delete")
