"""A fetch that is killed, or meets an error of the file system, at any system call: nothing is lost, nothing doubled.

Each trial has a user of its own at the server, and a folder of its own: the first run meets its mishap, and further
runs follow until one is content.

A destination that cannot tell what it has may get a message twice, but only if the journal said that this message is
being delivered, and not what came of it, when the mishap was over. With `--on-doubt hold` it gets nothing twice, and
what may not be there is told.
"""

import contextlib
import errno
import functools
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from pop3proto.core.results import UniqueId
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.file_journal import read_journal
from pop3proto.fetching.header import header_digest
from pop3proto.fetching.journal_lines import format_line
from pop3proto.sasl.authenticator import PasswordVerifier
from pop3proto.testing import PASSWORD, Pop3Server, pop3_server
from pop3proto.testing.faults import NoUid
from tests.helpers.depth import deep
from tests.helpers.durability import unsynced
from tests.helpers.fetch_targets import TARGETS, Target
from tests.helpers.kill_points import KILL, Call, Mishap, Run, Runs, works
from tests.helpers.naive_fetch import DEFECTS

pytestmark = [
    pytest.mark.ptrace,
    pytest.mark.skipif(not works(), reason="this system lets no process follow another's system calls"),
]

LARGE: Final = b"Subject: large\n\n" + b"to and fro, and to and fro, and to and fro again\n" * 1_500
MAIL: Final = [b"Subject: one\n\n1\n", b".two\n..\n.\n", LARGE, b"no header, no end\r\n\r\nno end"]
STORED: Final = Counter([*MAIL[:3], b"no header, no end\n\nno end\n"])

PATIENCE: Final = 60
RUNS: Final = 5
"""After a mishap, so many more runs must do."""
CAME_OF_IT: Final = {MessageState.STORED, MessageState.HEADERS, MessageState.SUSPECT, MessageState.SEEN}
IN_DOUBT: Final = re.compile(r"message ([0-9]+) stays on the server: it may have been delivered before a crash")


class Anyone(PasswordVerifier):
    """Each trial is a user of its own."""

    blocks = False

    def check_password(self, user, password, session, /):
        return password == PASSWORD


def without_login_delay(capabilities):
    """Announce none: the runs follow each other at once."""
    return attrs.evolve(capabilities, login_delay=None)


SERVERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ours": {"mechanisms": (), "apop": False},
    "gmail": {"persona": "gmail", "announce": without_login_delay},
    "no UIDL": {
        "mechanisms": (),
        "apop": False,
        "faults": [NoUid()],
        "announce": lambda capabilities: attrs.evolve(capabilities, uidl=False),
    },
}

MODES: Final[Mapping[str, Callable[[int], Mishap]]] = {
    "kill": Mishap,
    "ENOSPC": lambda at: Mishap(at, errno.ENOSPC, lasting=True),
    "EIO": lambda at: Mishap(at, errno.EIO),
    "EACCES": lambda at: Mishap(at, errno.EACCES),
}

_users = itertools.count()

Command = Callable[[Pop3Server, str, Target, Path, Sequence[str]], tuple[str, Sequence[str]]]
"""Returns the program and its arguments, from the server, the user, the destination, its folder, and options."""


def ours(password: Path) -> Command:
    def command(
        server: Pop3Server, user: str, target: Target, folder: Path, options: Sequence[str]
    ) -> tuple[str, Sequence[str]]:
        url = f"pop://{user}@{server.host}:{server.port}"
        if target.deliver is not None:
            config = password.with_name(f"{folder.name}.toml")  # what is read there is not followed
            config.write_text(
                f'[account.it]\nurl = "{url}"\npassword = {{ file = "{password}" }}\ncleartext = "always"\n'
                f'timeout = "20s"\ndeliver = {target.deliver(folder)}\n'
            )
            words = ["it", "--config", str(config)]
        else:
            words = [url, target.word(folder), "--allow-cleartext", "--password-file", str(password)]
            words += ["--timeout", "20", "--journal", str(folder / target.journal)]
        before = [str(folder / "stream")] if target.program.endswith(":appending") else []
        return target.program, [*before, "fetch", *words, *options]

    return command


def naive(defect: str, program: str = "main") -> Command:
    def command(
        server: Pop3Server, user: str, target: Target, folder: Path, options: Sequence[str]
    ) -> tuple[str, Sequence[str]]:
        word = "delete" if "--delete" in options else "keep"
        return f"tests.helpers.naive_fetch:{program}", [
            str(server.port), user, target.word(folder), word, defect, "20"
        ]  # fmt: skip

    return command


@attrs.define
class Trials:
    """Trials of one program with one server, one destination, one way of running it.

    Args:
        before: options of a run without a mishap that comes first; None: there is none.
        prepare: changes the folder and is given the user, before the first run.
    """

    runs: Runs
    server: Pop3Server
    target: Target
    command: Command
    options: Sequence[str]
    place: Path
    before: Sequence[str] | None = None
    prepare: Callable[["Trials"], object] = lambda _: None
    user: str = ""
    folder: Path = Path()

    def begin(self) -> Callable[..., Run]:
        """Deliver mail to a new user; return what runs the program in a new folder."""
        self.user = f"user{next(_users)}"
        self.folder = self.place / self.user
        self.folder.mkdir()
        self.target.prepare(self.folder)
        self.prepare(self)
        for message in MAIL:
            self.server.deliver(self.user, message)
        if self.before is not None:
            run = self._run(self.before)
            assert run.status == 0, run.said
        return functools.partial(self._run, self.options)

    def _run(self, options: Sequence[str], mishap: Mishap | None = None, *, follow: bool = False) -> Run:
        before = len(self.server.sessions)
        program, arguments = self.command(self.server, self.user, self.target, self.folder, options)
        run = self.runs.run(program, arguments, self.folder if follow else None, mishap)
        # The maildrop is locked until the server has seen that the client is gone.
        for session in self.server.sessions[before:]:
            session.wait(PATIENCE)
        return run

    @property
    def deletes(self) -> bool:
        return "--delete" in self.options

    @property
    def holds(self) -> bool:
        return "hold" in self.options

    @property
    def here(self) -> Counter[bytes]:
        return Counter(self.target.contents(self.folder))

    @property
    def account(self) -> str:
        """What the journal calls the account."""
        return f"{self.user}@{self.server.host}:{self.server.port}"

    @property
    def events(self) -> Sequence[Event]:
        path = self.folder / self.target.journal
        return read_journal(path, self.account) if path.exists() else ()

    @property
    def doubt(self) -> Counter[bytes]:
        """How often the journal says that a message is being delivered, and not what came of it."""
        under_way = Counter[MessageIdentity]()
        headers: dict[MessageIdentity, str] = {}
        for event in self.events:
            if event.header is not None:
                headers[event.identity] = event.header
            under_way[event.identity] += (event.state is MessageState.SENDING) - (event.state in CAME_OF_IT)
        return Counter({BY_HEADER[headers[each]]: count for each, count in under_way.items() if count > 0})

    def clean(self) -> tuple[Call, ...]:
        """Run without a mishap; return the system calls."""
        run = self.begin()(follow=True)
        assert run.status == 0, run.said
        assert self.here == STORED
        return run.calls

    def spoiled(self, mishap: Mishap) -> Call | None:
        """Run with a mishap, and then until all is well; return the call that was spoiled."""
        fetch = self.begin()
        first = fetch(mishap, follow=True)
        what = f"{mishap} at {first.struck}: {first.said}"
        assert "Traceback" not in first.said, what
        left = Counter(map(as_stored, self.server.messages(self.user)))
        doubt = self.doubt
        assert not STORED - self.here - left, f"lost after {what}"
        assert not self.target.recalls or not doubt, f"in doubt after {what}"
        if first.status == 0:
            assert not STORED - self.here, f"status 0, and not all is here, after {what}"
            assert not self.here - STORED - doubt, f"doubled after {what}"
        held = Counter[bytes]()
        for _ in range(RUNS):
            run = fetch()
            assert "Traceback" not in run.said, run.said
            held = self.doubt if self.holds else held
            if run.status == 0 or (held and len({*IN_DOUBT.findall(run.said)}) == held.total()):
                break
        else:
            pytest.fail(f"after {what} no run succeeds: {run.said}")
        assert (run.status == 0) == (not held), f"what is held back is not told after {what}: {run.said}"
        assert not STORED - self.here - held, f"lost after {what}"
        assert not self.here - STORED - (Counter() if self.holds else doubt), f"doubled after {what}"
        if self.deletes:
            left = Counter(map(as_stored, self.server.messages(self.user)))
            assert left == held, f"not deleted after {what}"
        if mishap.what == KILL:
            assert not self.target.headers(self.folder), f"headers of whole messages are left after {what}"
        return first.struck


def as_stored(octets: bytes) -> bytes:
    return b"".join(line + b"\n" for line in octets.splitlines())


def on_the_wire(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


BY_HEADER: Final = {header_digest(on_the_wire(text)): text for text in STORED}
assert len(BY_HEADER) == len(STORED)


@pytest.fixture(scope="module")
def runs() -> Generator[Runs]:
    with Runs("pop3proto.cli.fetch", "tests.helpers.naive_fetch", "tests.helpers.fetch_targets") as runs:
        yield runs


@pytest.fixture(scope="module")
def start(runs, tmp_path_factory) -> Generator[Callable[..., Trials]]:
    """A function that begins trials; the servers are kept."""
    servers: dict[str, Pop3Server] = {}
    warm: set[str] = set()
    stack = contextlib.ExitStack()
    folder = tmp_path_factory.mktemp("crash")
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)

    def start(server: str, name: str, *options: str, command: Command | None = None, **more: Any) -> Trials:
        target = TARGETS[name]
        if server not in servers:
            servers[server] = stack.enter_context(pop3_server(authenticator=Anyone(), **SERVERS[server]))
        if name not in warm:
            warm.add(name)
            place = tmp_path_factory.mktemp("warm")
            target.prepare(place)
            servers[server].deliver("nobody", LARGE)  # else what is needed for a message would be imported in each run
            assert runs.warm_up(*ours(password)(servers[server], "nobody", target, place, ["--delete"])).status == 0
        place = tmp_path_factory.mktemp("trials")
        return Trials(runs, servers[server], target, command or ours(password), options, place, **more)

    with stack:
        yield start


def points(calls: Sequence[Call], mishap: Mishap, name: str) -> Sequence[int]:
    """Return at which calls something happens: at those that differ; or at a few of them, which differ by name.

    Of calls that are alike, and follow calls that are alike, the first two and the last are taken.
    """
    seen: dict[object, list[int]] = {}
    before = None
    for at, call in enumerate(filter(mishap.concerns, calls), 1):
        like = call.name, tuple(re.sub(r"[0-9a-f]{16,}|[0-9]+", "#", path) for path in call.paths), call.sent[:4]
        seen.setdefault((before, like), []).append(at)
        before = like
    chosen = sorted({at for those in seen.values() for at in (*those[:2], those[-1])})
    few = deep(len(chosen), 2)
    if few >= len(chosen):
        return chosen
    step = len(chosen) // few
    return chosen[zlib.crc32(name.encode()) % step :: step]


def spoil_all(request, trials: Trials, mode: str, calls: Sequence[Call], since: bytes | str | None = None) -> None:
    """Spoil calls, each at most once.

    Args:
        since: what comes before a call that sends this, or that is about such a file, is left out.
    """
    mishap = MODES[mode]
    first = next((at for at, call in enumerate(calls) if _is_like(call, since)), 0)
    before = sum(map(mishap(1).concerns, calls[:first]))
    chosen = [at for at in points(calls, mishap(1), request.node.name) if at > before]
    assert chosen
    for at in chosen:
        struck = trials.spoiled(mishap(at))
        # What is sent in one piece, and what in two, is not the same each time.
        assert struck is not None or at >= chosen[-1] - 2, f"there is no call {at}"


def _is_like(call: Call, what: bytes | str | None) -> bool:
    if isinstance(what, bytes):
        return what in call.sent
    return what is not None and any(path.endswith(what) for path in call.paths)


def options_of(server: str, name: str) -> Sequence[tuple[str, ...]]:
    ways = [("--delete",)]
    if server == "ours":
        ways.append(())
    if not TARGETS[name].recalls:
        ways.append(("--delete", "--on-doubt", "hold"))
    return ways


def modes_of(server: str, options: Sequence[str]) -> Sequence[str]:
    """Leave out what differs nowhere from what "ours" with --delete tries."""
    if server == "ours" and "--delete" in options:
        return tuple(MODES)
    return ("kill", "EIO") if server != "gmail" else ("kill", "ENOSPC")


CASES: Final = [
    pytest.param(
        server, name, options, id=", ".join((server, name, *(each.strip("-") for each in options or ["keep"])))
    )
    for name in TARGETS
    for server in SERVERS
    if server == "ours" or "folder" not in name  # it differs from the Maildir in nothing that a server sees
    for options in options_of(server, name)
]
SPOILED: Final = [
    pytest.param(*case.values, mode, id=f"{case.id}, {mode}") for case in CASES for mode in modes_of(*case.values[::2])
]


@pytest.mark.deep(keep=6)
@pytest.mark.parametrize("server, name, options, mode", SPOILED)
def test_a_mishap_at_any_call_loses_nothing_and_doubles_nothing(request, start, server, name, options, mode):  # noqa: PLR0917 - as above
    trials = start(server, name, *options)
    is_first = server == "ours" and options == ("--delete",)
    spoil_all(request, trials, mode, trials.clean(), None if is_first else b"RETR")


COMPLETED: Final = [
    (name, mode)
    for name, target in TARGETS.items()
    if target.recalls
    for mode in MODES
    if mode == "kill" or "folder" not in name  # a folder of a Maildir is written as the Maildir is
]


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("name, mode", COMPLETED)
def test_a_mishap_while_headers_are_completed(request, start, name, mode):
    trials = start("ours", name, "--complete", "--delete", before=["--headers-only"])
    # An error before that is one of a run that has fetched no header.
    spoil_all(request, trials, mode, trials.clean(), None if mode == "kill" else b"RETR")


def nearly_full(trials: Trials) -> None:
    """Fill the journal, so that the run that follows writes it anew, with the fewest lines."""
    path = trials.folder / trials.target.journal
    path.parent.mkdir(exist_ok=True)
    gone = [Event(MessageIdentity(UniqueId(f"old{number}")), MessageState.GONE, number) for number in range(998)]
    path.write_text("".join(f"{format_line(trials.account, event)}\n" for event in gone))


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["mbox", "program"])
def test_a_mishap_while_the_journal_is_compacted(request, start, mode, name):
    trials = start("ours", name, prepare=nearly_full)
    calls = trials.clean()
    assert len(trials.events) < 10
    spoil_all(request, trials, mode, calls, ".new")
    assert len(trials.events) in {len(MAIL), 998 + len(MAIL)} or not trials.target.recalls


@pytest.mark.parametrize("server, name, options", [case for case in CASES if "program" not in str(case.values)])
@pytest.mark.deep(keep=4)
def test_what_is_deleted_elsewhere_is_on_the_disk(start, server, name, options):
    trials = start(server, name, *options)
    sent = list(unsynced(trials.clean(), trials.target.is_temporary))
    assert sent
    assert [(octets, paths) for octets, paths in sent if paths] == []


# ------------------------------------------------------------------------------ do these find what is wrong?


def test_a_fetch_without_a_defect_passes(request, start):
    for options in ((), ("--delete",)):
        trials = start("ours", "Maildir", *options, command=naive("none"))
        spoil_all(request, trials, "kill", trials.clean())
        assert not any(paths for _, paths in unsynced(trials.clean(), trials.target.is_temporary))


def test_the_calls_of_another_thread_are_followed(start):
    trials = start("ours", "Maildir", "--delete", command=naive("deletes first", "in_a_thread"))
    calls = [call for call in trials.clean() if call.changes]
    same = start("ours", "Maildir", "--delete", command=naive("deletes first")).clean()
    assert [call.name for call in calls] == [call.name for call in same if call.changes]
    (quits,) = (number for number, call in enumerate(calls, 1) if call.sent == b"QUIT\r\n")
    with pytest.raises(AssertionError, match="lost"):
        trials.spoiled(Mishap(quits + 1))


@pytest.mark.deep
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(start, defect):
    trials = start("ours", "Maildir", "--delete", command=naive(defect))
    calls = trials.clean()
    if "synced" in defect:
        assert any(paths for _, paths in unsynced(calls, trials.target.is_temporary))
        return
    mishap = MODES["ENOSPC" if "errors" in defect else "kill"]
    # Kills that matter come late: with the first of them, nothing has been fetched.
    count = sum(map(mishap(1).concerns, calls))
    with pytest.raises(AssertionError, match=r"lost|doubled|not all is here"):  # noqa: PT012 - at one of them
        for at in range(count, 0, -1):
            trials.spoiled(mishap(at))
