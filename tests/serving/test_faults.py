"""Killed, or without a disk, at any system call: no mail is lost, none is half there, and what was said is true.

Each trial has a folder of its own: the work meets its mishap, what is there is looked at, and the work is done again.
"""

import contextlib
import errno
import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest

from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.names import is_trashed
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import MaildirQuota, MaildropPlace, RetainingStore, verify_backup, write_backup
from tests.helpers import mail_work
from tests.helpers.kill_points import Mishap, Run, Runs, works
from tests.helpers.mail_work import DAY, QUOTA, rules

pytestmark = [
    pytest.mark.ptrace,
    pytest.mark.deep,
    pytest.mark.skipif(not works(), reason="this system lets no process follow another's system calls"),
]

MESSAGE: Final = b"Subject: new\n\n" + b"to and fro\n" * 30_000
TEXTS: Final = {f"{number}.M{number}.host": b"Subject: %d\n\n%d\n" % (number, number) for number in range(1, 6)}
DOOMED: Final = {"2.M2.host", "4.M4.host"}
MODES: Final[Mapping[str, Callable[[int], Mishap]]] = {
    "kill": Mishap,
    "ENOSPC": lambda at: Mishap(at, errno.ENOSPC, lasting=True),
    "EIO": lambda at: Mishap(at, errno.EIO),
}
STEP: Final = {"EIO": 5}
"""Any call can fail so, reads too; of so many calls, one is tried."""
MOST: Final = 400


@pytest.fixture(scope="module")
def runs() -> Generator[Runs]:
    with Runs("tests.helpers.mail_work") as runs:
        yield runs


@attrs.define
class Trial:
    """A folder in which work meets a mishap."""

    folder: Path

    @property
    def maildir(self) -> Path:
        return self.folder / "Maildir"

    def fill(self, texts: Mapping[str, bytes] = TEXTS) -> None:
        ensure_maildir(self.maildir)
        for number, (name, octets) in enumerate(texts.items()):
            path = self.maildir / ("cur" if number % 2 else "new") / (f"{name}:2,F" if number % 2 else name)
            path.write_bytes(octets)
        MaildirQuota(self.maildir, QUOTA).recalculate()

    def shown(self) -> dict[str, bytes]:
        """What a client sees: the octets of each message by unique id."""
        maildrop = RetainingStore({"ann": self.maildir}, rules("hide")).open("ann", SessionInfo())
        try:
            found: dict[str, bytes] = {}
            for number, message in enumerate(maildrop.messages, 1):
                source = maildrop.open(number)
                octets = source.read(1 << 20)
                assert isinstance(octets, bytes)
                found[str(message.unique_id)] = octets
                source.close()
            return found
        finally:
            maildrop.close()

    def stored(self) -> Counter[bytes]:
        """All messages that are anywhere, how often. A file has two names while it moves."""
        paths = [path for path in self.maildir.rglob("*") if path.is_file() and path.parent.name in ("new", "cur")]
        files = {path.stat().st_ino: path for path in paths}
        return Counter(path.read_bytes() for path in files.values())

    def quota_is_right(self) -> bool:
        quota = MaildirQuota(self.maildir, QUOTA)
        return quota.recalculate() == quota.counted() == quota.recorded()


@attrs.frozen
class Trials:
    """Trials of one kind of mishap."""

    runs: Runs
    folder: Path
    mode: str


Look = Callable[[Trial, Run], None]


def try_all(trials: Trials, work: str, words: list[str], prepare: Callable[[Trial], None], look: Look) -> None:
    """Let work meet the mishap at each of its system calls, look at what is there, and do it again."""
    program, runs, mode = f"tests.helpers.mail_work:{work}", trials.runs, trials.mode
    for at in itertools.count(1, STEP.get(mode, 1)):
        assert at < MOST
        trial = Trial(trials.folder / f"{at}")
        trial.folder.mkdir()
        prepare(trial)
        for name in ("new", "cur", ".Trash/new", ".Trash/cur"):
            with contextlib.suppress(FileNotFoundError):  # what has just been changed is listed several times
                os.utime(trial.maildir / name, (0, 0))
        run = runs.run(program, [str(trial.folder), *words], trial.folder, MODES[mode](at))
        try:
            look(trial, run)
            again = runs.run(program, [str(trial.folder), *words])
            assert again.status == 0, again.said
            look(trial, again)
            assert trial.quota_is_right()
        except AssertionError as error:
            error.add_note(f"{mode} at {at}: {run}")
            raise
        shutil.rmtree(trial.folder)
        if run.struck is None:
            assert run.status == 0, run.said
            assert at > 3
            return


@pytest.fixture(params=MODES)
def trials(request: pytest.FixtureRequest, runs: Runs, tmp_path: Path) -> Trials:
    return Trials(runs, tmp_path, str(request.param))


def test_what_is_delivered_is_whole_and_what_was_said_to_be_delivered_is_there(
    trials: Trials,
) -> None:
    def prepare(trial: Trial) -> None:
        ensure_maildir(trial.maildir)
        (trial.folder / "message").write_bytes(MESSAGE)

    def look(trial: Trial, run: Run) -> None:
        stored = trial.stored()
        assert set(stored) <= {MESSAGE}
        if run.status == 0:
            assert stored[MESSAGE] in (1, 2)
        if trials.mode != "kill":
            assert not list((trial.maildir / "tmp").glob("*P*"))

    try_all(trials, "deliver", [], prepare, look)


@pytest.mark.parametrize("to", ["remove", "trash", "hide"])
def test_what_is_deleted_is_deleted_and_the_client_is_told_the_truth(trials: Trials, to: str) -> None:
    def look(trial: Trial, run: Run) -> None:
        shown = trial.shown()
        assert {key: value for key, value in TEXTS.items() if key in shown} == shown
        assert TEXTS.keys() - shown.keys() <= DOOMED
        if run.status == 0:
            assert TEXTS.keys() - shown.keys() == DOOMED
        if to != "remove":
            assert trial.stored() == Counter(TEXTS.values())

    try_all(trials, "update", [to], Trial.fill, look)


def test_only_what_has_expired_is_purged_and_no_line_is_untrue(trials: Trials) -> None:
    now = int(time.time())
    old = {f"{now - 200 * DAY}.M{number}.host": b"old %d\n" % number for number in range(3)}
    young = {f"{now - 5 * DAY}.M{number}.host": b"young %d\n" % number for number in range(2)}

    def prepare(trial: Trial) -> None:
        trial.fill({**old, **young})
        for path in trial.maildir.glob("*/*.host*"):
            os.utime(path, (0, 0))

    def look(trial: Trial, run: Run) -> None:
        shown = trial.shown()
        assert {**old, **young}.items() >= shown.items() >= young.items()
        audit = trial.folder / "audit"
        lines = audit.read_text().splitlines() if audit.exists() else []
        assert {*lines} <= old.keys() - shown.keys()
        if run.status == 0:
            assert shown == young

    try_all(trials, "purging", [], prepare, look)


@pytest.mark.parametrize("to", ["trash", "hide"])
def test_what_comes_back_is_not_lost_on_the_way(trials: Trials, to: str) -> None:
    def prepare(trial: Trial) -> None:
        trial.fill()
        assert mail_work.update([str(trial.folder), to]) == 0

    def look(trial: Trial, run: Run) -> None:
        assert trial.stored() == Counter(TEXTS.values())
        shown = trial.shown()
        assert TEXTS.keys() - shown.keys() <= DOOMED
        if run.status == 0:
            assert shown == TEXTS

    try_all(trials, "back", [to], prepare, look)


@pytest.mark.parametrize("before", [False, True])
def test_a_backup_is_whole_or_the_one_before(trials: Trials, before: bool) -> None:
    def prepare(trial: Trial) -> None:
        trial.fill()
        if before:
            ensure_maildir(trial.folder / "other")
            write_backup(trial.folder / "mail.tar", [MaildropPlace("zoe", trial.folder / "other")])
            shutil.rmtree(trial.folder / "other")

    def look(trial: Trial, run: Run) -> None:
        assert trial.shown() == TEXTS
        file = trial.folder / "mail.tar"
        assert before <= file.exists()
        if file.exists():
            report = verify_backup(file)
            assert report.problems == ()
            assert report.messages == 5 or (before and report.users == ("zoe",) and run.status != 0)
        else:
            assert run.status != 0
        if run.status == 0:
            assert {path.name for path in trial.folder.iterdir()} == {"Maildir", "mail.tar"}

    try_all(trials, "backup", [], prepare, look)


def test_what_is_restored_has_its_id_at_every_moment(trials: Trials) -> None:
    shared = {f"7.M7.host:2,{flag}": b"one of three %r\n" % flag for flag in "DFP"}

    def prepare(trial: Trial) -> None:
        trial.fill()
        for name, octets in shared.items():
            (trial.maildir / "cur" / name).write_bytes(octets)
        expected = trial.shown()
        write_backup(trial.folder / "mail.tar", [MaildropPlace("ann", trial.maildir, QUOTA)])
        kept = next(trial.maildir.glob("cur/2.M2*"))
        for path in [*trial.maildir.glob("new/*"), *trial.maildir.glob("cur/*")]:
            if path != kept:
                path.unlink()
        wanted[trial.folder.name] = expected

    wanted: dict[str, dict[str, bytes]] = {}

    def look(trial: Trial, run: Run) -> None:
        expected = wanted[trial.folder.name]
        shown = trial.shown()
        assert expected.items() >= shown.items()
        assert "2.M2.host" in shown
        if run.status == 0:
            assert shown == expected
        if trials.mode != "kill":
            assert not list(trial.maildir.glob("tmp/*.restore"))

    try_all(trials, "restore", [], prepare, look)


# ------------------------------------------------------------------------------------------ what is synced


def order(runs: Runs, trial: Trial, work: str, *words: str) -> list[tuple[str, ...]]:
    """The calls of a run that sync or rename: name, and paths below the trial's folder."""
    run = runs.run(f"tests.helpers.mail_work:{work}", [str(trial.folder), *words], trial.folder)
    assert run.status == 0, run.said
    names = {"fsync": "sync", "rename": "rename", "renameat": "rename", "renameat2": "rename", "unlinkat": "unlink",
             "unlink": "unlink", "link": "rename", "linkat": "rename"}  # fmt: skip
    kept = [call for call in run.calls if call.name in names]
    return [(names[call.name], *(str(Path(path).relative_to(trial.folder)) for path in call.paths)) for call in kept]


def test_nothing_is_synced_too_late(runs: Runs, tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.fill()
    calls = order(runs, trial, "update", "trash")
    into = [at for at, call in enumerate(calls) if call[0] == "rename" and ".Trash" in call[-1]]
    assert len(into) == 2
    synced = [call[1] for call in calls[into[-1] :] if call[0] == "sync"]
    assert synced[:3] == ["Maildir/.Trash/cur", "Maildir/new", "Maildir/cur"]
    calls = order(runs, trial, "back", "trash")
    into = [at for at, call in enumerate(calls) if call[0] == "rename" and call[-1].startswith("Maildir/cur/")]
    assert calls[into[-1] + 1][0] == "unlink"
    assert calls[into[-1] + 2] == ("sync", "Maildir/cur")
    assert ("sync", "Maildir/.Trash/cur") in calls[into[-1] :]
    calls = order(runs, trial, "backup")
    at = next(at for at, call in enumerate(calls) if call[0] == "rename" and call[-1] == "mail.tar")
    assert calls[at - 1] == ("sync", ".mail.tar.part")
    assert calls[at + 1] == ("sync", ".")
    for path in trial.maildir.glob("*/*.host*"):
        path.unlink()
    calls = order(runs, trial, "restore")
    moves = [at for at, call in enumerate(calls) if call[0] == "rename" and call[1].startswith("Maildir/tmp/")]
    moved = {calls[at][1] for at in moves if calls[at][-1].startswith(("Maildir/new/", "Maildir/cur/"))}
    assert moved <= {call[1] for call in calls[: moves[0]] if call[0] == "sync"}
    assert {("sync", "Maildir/new"), ("sync", "Maildir/cur")} <= {*calls[moves[-1] - 1 :]} | {*calls[moves[0] :]}


def test_a_hidden_message_is_hidden_at_once(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.fill()
    assert mail_work.update([str(trial.folder), "hide"]) == 0
    assert sum(is_trashed(path.name) for path in trial.maildir.glob("cur/*")) == 2
