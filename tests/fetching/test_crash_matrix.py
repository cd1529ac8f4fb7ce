"""A fetch that is killed, or meets an error of the file system, at any system call: nothing is lost, nothing doubled.

Each trial has a user of its own at the server, and a folder of its own: the first run meets its mishap, and further
runs follow until one is content.
"""

import contextlib
import errno
import functools
import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final

import attrs
import pytest

from pop3proto.sasl.authenticator import PasswordVerifier
from pop3proto.testing import PASSWORD, Pop3Server, pop3_server
from pop3proto.testing.faults import NoUid
from tests.helpers.cli_servers import stored
from tests.helpers.depth import deep
from tests.helpers.durability import unsynced
from tests.helpers.kill_points import WORKS, Call, Mishap, Run, Runs
from tests.helpers.naive_fetch import DEFECTS

pytestmark = pytest.mark.skipif(not WORKS, reason="system calls are followed on Linux on x86-64 only")

LARGE: Final = b"Subject: large\n\n" + b"to and fro, and to and fro, and to and fro again\n" * 5_000
MAIL: Final = [b"Subject: one\n\n1\n", b".two\n..\n.\n", LARGE, b"no header, no end\r\n\r\nno end"]
STORED: Final = Counter([*MAIL[:3], b"no header, no end\n\nno end\n"])

PATIENCE: Final = 60
RUNS: Final = 5
"""After a mishap, so many more runs must do."""


@attrs.frozen
class Destination:
    """Where mail is stored.

    Args:
        target: what the command line says for a folder that is there.
        contents: returns the messages that are in it, as they are stored.
        is_temporary: returns whether nothing is lost with a file that it has made.
    """

    target: Callable[[Path], str]
    contents: Callable[[Path], Sequence[bytes]]
    is_temporary: Callable[[PurePath], bool]


def in_maildir(folder: Path) -> Sequence[bytes]:
    return stored(folder / "mail") if (folder / "mail/new").is_dir() and (folder / "mail/cur").is_dir() else []


DESTINATIONS: Final = {
    "Maildir": Destination(lambda folder: str(folder / "mail"), in_maildir, lambda path: path.parent.name == "tmp"),
}


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

Command = Callable[[Pop3Server, str, str, bool], tuple[str, Sequence[str]]]
"""Returns the program and its arguments, from the server, the user, the target, and whether to delete."""


def ours(password: Path) -> Command:
    def command(server: Pop3Server, user: str, target: str, delete: bool) -> tuple[str, Sequence[str]]:
        url = f"pop://{user}@{server.host}:{server.port}"
        options = ["--allow-cleartext", "--password-file", str(password), "--timeout", "20", *["--delete"] * delete]
        return "pop3proto.cli:main", ["fetch", url, target, *options]

    return command


def naive(defect: str, program: str = "main") -> Command:
    def command(server: Pop3Server, user: str, target: str, delete: bool) -> tuple[str, Sequence[str]]:
        arguments = [str(server.port), user, target, "delete" if delete else "keep", defect, "20"]
        return f"tests.helpers.naive_fetch:{program}", arguments

    return command


@attrs.define
class Trials:
    """Trials of one program with one server, one destination, one way of running it."""

    runs: Runs
    server: Pop3Server
    destination: Destination
    command: Command
    delete: bool
    place: Path
    user: str = ""
    folder: Path = Path()

    def begin(self) -> Callable[[Mishap | None], Run]:
        """Deliver mail to a new user; return what runs the program in a new folder."""
        self.user = f"user{next(_users)}"
        self.folder = self.place / self.user
        self.folder.mkdir()
        for message in MAIL:
            self.server.deliver(self.user, message)
        program, arguments = self.command(self.server, self.user, self.destination.target(self.folder), self.delete)
        return functools.partial(self._run, program, arguments)

    def _run(self, program: str, arguments: Sequence[str], mishap: Mishap | None) -> Run:
        before = len(self.server.sessions)
        run = self.runs.run(program, arguments, self.folder, mishap)
        # The maildrop is locked until the server has seen that the client is gone.
        for session in self.server.sessions[before:]:
            session.wait(PATIENCE)
        return run

    @property
    def here(self) -> Counter[bytes]:
        return Counter(self.destination.contents(self.folder))

    def clean(self) -> tuple[Call, ...]:
        """Run without a mishap; return the system calls."""
        run = self.begin()(None)
        assert run.status == 0, run.said
        assert self.here == STORED
        return run.calls

    def spoiled(self, mishap: Mishap) -> Call | None:
        """Run with a mishap, and then until all is well; return the call that was spoiled."""
        fetch = self.begin()
        first = fetch(mishap)
        what = f"{mishap} at {first.struck}: {first.said}"
        assert "Traceback" not in first.said, what
        left = Counter(b"".join(line + b"\n" for line in each.splitlines()) for each in self.server.messages(self.user))
        assert not STORED - self.here - left, f"lost after {what}"
        if first.status == 0:
            assert self.here == STORED, f"status 0, and not all is here, after {what}"
        for _ in range(RUNS):
            run = fetch(None)
            assert "Traceback" not in run.said, run.said
            if run.status == 0:
                break
        else:
            pytest.fail(f"after {what} no run succeeds: {run.said}")
        assert not STORED - self.here, f"lost after {what}"
        assert not self.here - STORED, f"doubled after {what}"
        if self.delete:
            assert not self.server.messages(self.user), f"not deleted after {what}"
        return first.struck


@pytest.fixture(scope="module")
def runs() -> Generator[Runs]:
    with Runs("pop3proto.cli.fetch", "tests.helpers.naive_fetch") as runs:
        yield runs


@pytest.fixture(scope="module")
def start(runs, tmp_path_factory) -> Generator[Callable[..., Trials]]:
    """A function that begins trials; the servers are kept."""
    servers: dict[str, Pop3Server] = {}
    stack = contextlib.ExitStack()
    folder = tmp_path_factory.mktemp("crash")
    password = folder / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)

    def start(server: str, destination: str, delete: bool, command: Command | None = None) -> Trials:
        if server not in servers:
            it = servers[server] = stack.enter_context(pop3_server(authenticator=Anyone(), **SERVERS[server]))
            program, arguments = ours(password)(it, "nobody", str(folder / server), True)
            assert runs.warm_up(program, arguments).status == 0
        place = tmp_path_factory.mktemp("trials")
        return Trials(runs, servers[server], DESTINATIONS[destination], command or ours(password), delete, place)

    with stack:
        yield start


def points(count: int, name: str) -> Sequence[int]:
    """Return at which calls something happens: at all of them, and one more; or at a few, which differ by name."""
    few = deep(count, 2)
    if few >= count:
        return range(1, count + 2)
    step = count // few
    return range(1 + zlib.crc32(name.encode()) % step, count + 1, step)


CASES: Final = [
    pytest.param(server, destination, delete, id=f"{server}, {destination}, {'delete' if delete else 'keep'}")
    for server in SERVERS
    for destination in DESTINATIONS
    for delete in (False, True)
    if delete or server != "no UIDL"  # to keep takes unique ids
]


@pytest.mark.deep(keep=7)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("server, destination, delete", CASES)
def test_a_mishap_at_any_call_loses_nothing_and_doubles_nothing(request, start, mode, server, destination, delete):  # noqa: PLR0917 - as above
    trials = start(server, destination, delete)
    mishap = MODES[mode]
    count = sum(map(mishap(1).concerns, trials.clean()))
    assert count > 5
    for at in points(count, request.node.name):
        struck = trials.spoiled(mishap(at))
        assert (struck is None) == (at > count), f"call {at} of {count}"


@pytest.mark.parametrize("server, destination, delete", CASES)
def test_what_is_deleted_elsewhere_is_on_the_disk(start, server, destination, delete):
    trials = start(server, destination, delete)
    sent = list(unsynced(trials.clean(), trials.destination.is_temporary))
    assert sent
    assert [(octets, paths) for octets, paths in sent if paths] == []


# ------------------------------------------------------------------------------ do these find what is wrong?


def test_a_fetch_without_a_defect_passes(start):
    for delete in (False, True):
        trials = start("ours", "Maildir", delete, naive("none"))
        count = sum(map(Mishap(1).concerns, trials.clean()))
        for at in points(count, "none"):
            trials.spoiled(Mishap(at))
        assert not any(paths for _, paths in unsynced(trials.clean(), trials.destination.is_temporary))


def test_the_calls_of_another_thread_are_followed(start):
    trials = start("ours", "Maildir", True, naive("deletes first", "in_a_thread"))
    calls = [call for call in trials.clean() if call.changes]
    same = start("ours", "Maildir", True, naive("deletes first")).clean()
    assert [call.name for call in calls] == [call.name for call in same if call.changes]
    (quits,) = (number for number, call in enumerate(calls, 1) if call.sent == b"QUIT\r\n")
    with pytest.raises(AssertionError, match="lost"):
        trials.spoiled(Mishap(quits + 1))


@pytest.mark.deep(keep=5)
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(start, defect):
    trials = start("ours", "Maildir", True, naive(defect))
    calls = trials.clean()
    if "synced" in defect:
        assert any(paths for _, paths in unsynced(calls, trials.destination.is_temporary))
        return
    mishap = MODES["ENOSPC" if "errors" in defect else "kill"]
    # Kills that matter come late: with the first of them, nothing has been fetched.
    count = sum(map(mishap(1).concerns, calls))
    with pytest.raises(AssertionError, match=r"lost|doubled|not all is here"):  # noqa: PT012 - at one of them
        for at in range(count, 0, -1):
            trials.spoiled(mishap(at))
