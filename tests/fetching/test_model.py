"""A fetch against a naive model: whatever arrives, breaks and is deleted, nothing is lost, and nothing comes twice.

The model knows all messages that ever were on the server, and who has deleted them. What a run leaves in the
destination and on the server must fit, whatever happened before and in it; and when nothing goes wrong any more, all
mail comes. Above all, the server deletes a message only if all of it is in the destination, or was there until the user
removed it.
"""

import errno
import itertools
import math
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
from tests.helpers.depth import deep
from tests.helpers.fetch_targets import TARGETS
from tests.helpers.kill_points import KILL, Mishap, Runs, works
from tests.helpers.maildrop_trials import ENDS, Breaks, Changing, Mail, OneMaildrop, QuitLies

pytestmark = [
    pytest.mark.ptrace,
    pytest.mark.skipif(not works(), reason="this system lets no process follow another's system calls"),
]

PATIENCE: Final = 60
SHORT: Final = 0.1
"""Seconds of silence that the client bears where the server falls silent."""
RUNS: Final = 6
"""When nothing goes wrong any more, so many runs must do."""
DAY: Final = 86_400


@attrs.frozen
class Way:
    """One way of running the program.

    Args:
        options: what the command line says.
        deletes: the server may delete messages.
        after: seconds for which a message was in the destination before that.
        when_gone: it deletes nothing but what the user has removed from the destination.
        wants: returns which messages must be in the destination if the exit status is 0.
        heads: messages of this many octets or more may come as headers alone, from now on until they are completed.
        again: the unique id of a message that comes once more.
    """

    options: Sequence[str] = ()
    deletes: bool = False
    after: float = 0
    when_gone: bool = False
    wants: Callable[[Sequence[Mail]], Sequence[Mail]] = tuple
    heads: float = math.inf
    again: str | None = None


MOST: Final = 2_000
"""Octets; one of the texts is larger."""


def small(mail: Sequence[Mail]) -> Sequence[Mail]:
    return [each for each in mail if len(each.octets) < MOST]


POLICIES: Final = {
    "keep": Way(),
    "delete": Way(["--delete"], deletes=True),
    "later": Way(["--delete-after", "3d"], deletes=True, after=3 * DAY),
    "when gone": Way(["--when-gone"], deletes=True, when_gone=True),
    "small": Way(["--max-size", str(MOST), "--delete"], deletes=True, wants=small),
    "headers": Way(["--max-size", str(MOST), "--headers-only", "--delete"], deletes=True, wants=small, heads=MOST),
    "all headers": Way(["--headers-only", "--delete"], deletes=True, wants=lambda _: (), heads=0),
    "complete": Way(["--complete", "--delete"], deletes=True),
    "newest": Way(["--newest", "2"], wants=lambda mail: mail[-2:]),
    "message": Way(["--message", "uid-2", "--delete"], deletes=True, wants=lambda _: (), again="uid-2"),
}
"""No policy may lose anything."""
LAST_WAYS: Final = {"last": Way(["--complete"]), "as told": Way(["--complete", "--again"])}
"""How all that is on the server comes in the end; the second when a run says that it fetches nothing without it."""


class Rig(Protocol):
    """A program that fetches mail from one server into one destination."""

    store: OneMaildrop
    fault: Changing
    said: str
    """What its last run printed."""

    def reset(self) -> None:
        """Begin with an empty destination, and nothing known."""

    def run(self, policy: Sequence[str], mishap: Mishap | None, clock: float, timeout: float) -> int | None:
        """Run it once; return its exit status; None: it was killed."""

    def contents(self) -> Counter[bytes]:
        """Return what is in the destination, without headers alone."""

    def remove(self, at: int) -> bytes | None:
        """Remove a message from the destination, as its user does; return it, or None: there is none."""

    def read(self) -> None:
        """Move all messages in the destination, as a program that shows them does."""


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
        return Counter(TARGETS["Maildir"].contents(self._folder))

    def remove(self, at: int) -> bytes | None:
        files = self._files("*/*U*.pop3proto,*")
        if not files:
            return None
        path = files[at % len(files)]
        octets = path.read_bytes()
        path.unlink()
        return as_stored(octets)

    def read(self) -> None:
        for path in self._files("new/*.pop3proto,*"):
            path.rename(path.parent.parent / "cur" / f"{path.name}:2,S")

    def _files(self, pattern: str) -> list[Path]:
        return sorted((self._folder / "mail").glob(pattern), key=lambda path: path.name)


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
        ways: which policies it knows.
    """

    rig: ClassVar[Rig]
    knows: ClassVar[frozenset[str]] = frozenset()
    ways: ClassVar[Sequence[str]] = tuple(POLICIES)

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
        self.may_hide = False  # a message whose unique id and size are those of another
        self.again: Counter[bytes] = Counter()  # how often messages came once more, because that was asked for
        self.by_user: set[bytes] = set()  # what was here, until the user removed it
        self.since: dict[bytes, float] = {}  # when it was not yet here, at the latest
        self.heads: set[bytes] = set()  # of what there may be headers alone
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

    @rule(at=st.integers(0, 5))
    def the_user_removes(self, at: int) -> None:
        octets = self.rig.remove(at)
        if octets is not None:
            self.by_user.add(octets)

    @rule()
    def the_user_reads(self) -> None:
        self.rig.read()

    @precondition(lambda self: self.knows & {"ids that begin again", "ids and sizes that begin again"})
    @rule(count=st.integers(1, 4))
    def the_server_is_set_up_anew(self, count: int) -> None:
        """The maildrop is empty, and then new mail comes, with the unique ids of the first."""
        self.may_hide = self.alike
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
            self._check_that_all_is_here(POLICIES[policy].wants(before))

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
        policy = "last"
        for _ in range(RUNS):
            self.clock += 2 * DAY  # what has failed is tried again after a while
            if self._run(policy, None, 20) == 0:
                break
            policy = "as told" if self.may_double and "--again" in self.rig.said else "last"
        else:
            pytest.fail(f"no run succeeds: {self.rig.said}")
        self.heads.clear()
        self._check_that_all_is_here(self.store.messages)

    def _check_that_all_is_here(self, mail: Iterable[Mail]) -> None:
        here = self.rig.contents()
        for each in mail:
            octets = as_stored(each.octets)
            lacks = not here[octets] and octets not in self.by_user | self.heads
            assert not lacks or self.may_hide, f"lost: status 0, and {each.unique_id} is not here"

    @property
    def alike(self) -> bool:
        return "ids and sizes that begin again" in self.knows

    def _deliver(self, *texts: str) -> None:
        for text in texts:
            serial = next(self.serial)
            # No two of them have the same size, unless that is what is tried. A size that is wrong is none of another.
            octets = b"Subject: no %04d%b\n%b" % (serial, b"..." * serial * (not self.alike), TEXTS[text])
            each = Mail(f"uid-{next(self.next_uid)}", octets)
            self.ever[as_stored(octets)] = each
            self.store.messages.append(each)

    def _run(self, policy: str, mishap: Mishap | None, timeout: float) -> int | None:
        way = {**POLICIES, **LAST_WAYS}[policy]
        before = list(self.store.messages)
        self.way = way
        if way.again is not None:
            self.again.update(as_stored(each.octets) for each in before if each.unique_id == way.again)
        self.heads.update(as_stored(each.octets) for each in before if len(each.octets) >= way.heads)
        for each in before:
            self.since.setdefault(as_stored(each.octets), self.clock)
        status = self.rig.run(way.options, mishap, self.clock, timeout)
        here = self.rig.contents()
        assert not self.wrong, f"lost: {self.wrong}"
        for octets, count in here.items():
            assert octets in self.ever, f"not a whole message: {octets[:200]!r}"
            most = 1 + self.again[octets]
            assert count <= most or self.may_double, f"{count} times: {self.ever[octets].unique_id}"
        for octets in {as_stored(each.octets) for each in before} - self.by_user:  # which was here before
            if not here[octets]:
                del self.since[octets]
        assert way.deletes or not self.store.removed, "deleted without being asked to"
        self.store.removed.clear()
        return status

    def _check_removal(self, mail: Iterable[Mail]) -> None:
        """See what the server is about to delete."""
        here = self.rig.contents()
        for each in mail:
            octets = as_stored(each.octets)
            if not here[octets] and octets not in self.by_user:
                self.wrong.append(f"{each.unique_id} is deleted, and is not here")
            elif self.way.when_gone and octets not in self.by_user:
                self.wrong.append(f"{each.unique_id} is deleted, and is not gone from here")
            elif self.way.after and self.clock - self.since[octets] < self.way.after:
                self.wrong.append(f"{each.unique_id} is deleted too early")


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
        Runs("pop3proto.cli.fetch", "tests.helpers.naive_fetch", "tests.helpers.fetch_targets") as runs,
        pop3_server(store=store, authenticator=Ann(), faults=[fault], mechanisms=(), apop=False) as server,
    ):
        own = ours(password)
        assert runs.warm_up("tests.helpers.fetch_targets:hurried", own(server, place / "warm", (), 20)).status == 0

        def rig(program: str = "tests.helpers.fetch_targets:hurried", arguments: Any = own) -> OnCommandLine:
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
            **{"max_examples": deep(40, 4), **options},
        ),
    )


def test_nothing_is_lost_and_nothing_comes_twice(rig):
    try_out(rig())


@pytest.mark.parametrize(
    "what",
    [
        "ids that begin again",
        "ids and sizes that begin again",
        "ids that change",
    ],
)
def test_nothing_is_lost_when_unique_ids_do_not_stay(rig, what):
    try_out(rig(), [what], **ONE_IS_ENOUGH)


@pytest.mark.deep
@pytest.mark.parametrize("defect", ["deletes first", "writes in place", "names by chance", "ignores errors"])
def test_the_model_finds_a_defect(rig, defect):
    model = machine(rig("tests.helpers.naive_fetch:main", naive(defect)))()
    what = errno.ENOSPC if defect == "ignores errors" else KILL
    with pytest.raises(AssertionError, match=r"lost|times|not a whole message"):  # noqa: PT012 - at one of them
        for at in range(30, 0, -1):
            model.begin(2)
            model.spoil("delete", Mishap(at, what, lasting=True))
            model.run("delete")
