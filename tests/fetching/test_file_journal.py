"""The journal in a file: what was recorded stays, whatever happens in which moment."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto._io import files
from pop3proto.core.results import UniqueId
from pop3proto.fetching import file_journal
from pop3proto.fetching.destination import Journal
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.file_journal import FileJournal, JournalInUse, last_session, read_journal
from pop3proto.fetching.history import History
from pop3proto.fetching.journal_lines import format_line
from pop3proto.fetching.memory_journal import MemoryJournal
from tests.fetching.events import lives
from tests.helpers.depth import deep
from tests.helpers.processes import PATIENCE, started

ACCOUNT = "ann@pop.example.org:995"
OTHER = f"jo{ACCOUNT}"
DAY = 86_400
NOW = 1_795_898_996.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".pop3proto-fetched"


def event(unique_id: str, state: MessageState = MessageState.STORED, when: float = NOW) -> Event:
    return Event(MessageIdentity(UniqueId(unique_id)), state, when, octets=7)


def batch(count: int, state: MessageState = MessageState.STORED, when: float = NOW) -> list[Event]:
    return [event(str(number), state, when) for number in range(count)]


def line(recorded: Event, account: str = ACCOUNT) -> bytes:
    return f"{format_line(account, recorded)}\n".encode()


def record(path: Path, *events: Event, account: str = ACCOUNT) -> None:
    with FileJournal(path, account) as journal:
        journal.append(events)


def recorded(path: Path, account: str = ACCOUNT) -> list[Event]:
    """What a next fetch reads; it can record something, too."""
    with FileJournal(path, account) as journal:
        events = journal.read()
        journal.append([event("and-one-more")])
        assert journal.read() == [*events, event("and-one-more")]
    return events


# --------------------------------------------------------------------------------------- every moment


class Killed(BaseException):
    """As an interruption, or the end of the process."""


@contextmanager
def watching(
    monkeypatch: pytest.MonkeyPatch, happen: Callable[[int], None] = lambda _: None, *, after: bool = False
) -> Iterator[list[str]]:
    """Call `happen` with 0, 1, 2, ... at each call to the system; yield the names of the calls.

    Args:
        happen: may raise.
        after: it is called when the system has done its work; else a write has done half of it, and the others nothing.
    """
    calls: list[str] = []

    def watched(name: str, do: Callable[..., Any], half: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            if after:
                result = do(*arguments, **options)
                happen(len(calls) - 1)
                return result
            try:
                happen(len(calls) - 1)
            except BaseException:
                if half is not None:
                    half(*arguments)
                raise
            return do(*arguments, **options)

        return call

    def write_half(file: Any, data: bytes) -> None:
        file.write(data[: len(data) // 2 + 1])

    with monkeypatch.context() as patch:
        for name in ("open", "fstat", "stat", "fsync", "ftruncate", "unlink", "replace", "fchmod", "fchown"):
            patch.setattr(os, name, watched(name, getattr(os, name)))
        patch.setattr(files.fcntl, "flock", watched("flock", files.fcntl.flock))
        patch.setattr(file_journal, "write_all", watched("write", files.write_all, write_half))
        yield calls


def interruption(moment: int) -> Callable[[int], None]:
    def happen(number: int) -> None:
        if number == moment:
            raise Killed

    return happen


def death(moment: int) -> Callable[[int], None]:
    """The process is dead: nothing that it does later has an effect."""

    def happen(number: int) -> None:
        if number >= moment:
            raise Killed

    return happen


def failure(code: int, *, lasting: bool) -> Callable[[int], Callable[[int], None]]:
    def at(moment: int) -> Callable[[int], None]:
        def happen(number: int) -> None:
            if number == moment or (lasting and number > moment):
                raise OSError(code, os.strerror(code))

        return happen

    return at


WAYS: dict[str, tuple[Callable[[int], Callable[[int], None]], bool]] = {
    "interrupted before": (interruption, False),
    "interrupted after": (interruption, True),
    "dead before": (death, False),
    "dead after": (death, True),
    "ENOSPC": (failure(errno.ENOSPC, lasting=False), False),
    "ENOSPC from then on": (failure(errno.ENOSPC, lasting=True), False),
    "EIO": (failure(errno.EIO, lasting=False), False),
    "EIO after": (failure(errno.EIO, lasting=False), True),
    "EIO from then on": (failure(errno.EIO, lasting=True), False),
}


def at_every_moment(
    path: Path,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[FileJournal], object],
    check: Callable[[FileJournal, bool], None],
) -> int:
    """Let something happen at each call to the system that some work makes; return how many there are.

    Args:
        way: of `WAYS`.
        work: with a journal of which the file holds `BEFORE`.
        check: with the same journal, when the system works again; and whether it has raised.
    """
    happen, after = WAYS[way]
    moment = 0
    while True:
        path.write_bytes(BEFORE)
        with FileJournal(path, ACCOUNT) as journal:
            with watching(monkeypatch, happen(moment), after=after) as calls:
                raised = fails(lambda: work(journal))
            if not way.startswith("dead"):
                check(journal, raised)
        check_again(path)
        if len(calls) <= moment:
            assert not raised
            return moment
        moment += 1


def fails(work: Callable[[], object]) -> bool:
    """Whether it raises; an error of the system names a file."""
    try:
        work()
    except OSError as error:
        return error.filename is not None or pytest.fail("it names no file")
    except Killed:
        return True
    return False


def check_again(path: Path) -> None:
    """A next fetch finds what was recorded, and can go on."""
    assert recorded(path)[:3] == batch(3)
    assert line(event("5"), OTHER) in path.read_bytes()


BEFORE = line(event("5"), OTHER) + b"".join(map(line, [*batch(3), *batch(3)]))
MORE = [event("x", MessageState.SUSPECT), event("y")]


# ----------------------------------------------------------------------------------------- good days


def test_it_is_a_journal(path):
    with FileJournal(path, ACCOUNT) as journal:
        journals: list[Journal] = [journal, MemoryJournal(ACCOUNT)]
        for each in journals:
            assert each.account == ACCOUNT
            assert list(each.read()) == []  # type: ignore[arg-type]
            each.append([event("1"), event("2")])
            each.append([])
            each.append([event("1", MessageState.SUSPECT)])
            assert each.read() == [event("1"), event("2"), event("1", MessageState.SUSPECT)]
    assert MemoryJournal(ACCOUNT, [event("1")]).read() == [event("1")]


def test_what_was_recorded_is_read_by_the_next(path):
    record(path, event("1"))
    record(path, event("2"), event("3"))
    assert recorded(path) == [event("1"), event("2"), event("3")]


def test_the_file_is_for_its_owner_alone(path):
    before = os.umask(0)
    try:
        record(path, event("1"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == line(event("1"))


def test_accounts_share_the_file(path):
    record(path, event("1"))
    record(path, event("2"), account=OTHER)
    record(path, event("3"))
    assert read_journal(path, ACCOUNT) == [event("1"), event("3")]
    assert read_journal(path, OTHER) == [event("2")]


def test_both_formats_and_rubbish_are_in_one_file(path):
    path.write_bytes(
        b"\0\xff\n\n" + f"{ACCOUNT} 1 7 octets\n{ACCOUNT} \n{ACCOUNT} 3 messages left\n".encode() + line(event("2"))
    )
    before = path.read_bytes()
    assert recorded(path) == [Event(MessageIdentity(UniqueId("1")), MessageState.STORED, octets=7), event("2")]
    assert path.read_bytes() == before + line(event("and-one-more"))


@pytest.mark.parametrize("cut", [1, 20, len(line(event("2"))) - 1])
def test_half_a_line_is_dropped(path, cut):
    path.write_bytes(line(event("1")) + line(event("2"))[:cut])
    assert read_journal(path, ACCOUNT) == [event("1")]
    assert recorded(path) == [event("1")]
    assert path.read_bytes() == line(event("1")) + line(event("and-one-more"))


def test_a_batch_is_one_write_and_one_sync(path, monkeypatch):
    with FileJournal(path, ACCOUNT) as journal, watching(monkeypatch) as calls:
        journal.append([])
        assert calls == []
        journal.append(batch(1000))
        assert [call for call in calls if call not in {"fstat", "stat"}] == ["write", "fsync"]


def test_a_bad_unique_id_records_nothing(path):
    with FileJournal(path, ACCOUNT) as journal:
        with pytest.raises(ValueError, match="unique id is empty"):
            journal.append([event("1"), event("")])
        assert journal.read() == []


def test_an_account_is_one_word(path):
    with pytest.raises(ValueError, match="one word"):
        FileJournal(path, "ann of example.org")
    assert not path.exists()


def test_many_lines_are_read_at_once(path):
    count = deep(100_000, 20_000)
    path.write_bytes(b"".join(map(line, batch(count))))
    started_at = time.process_time()
    with FileJournal(path, ACCOUNT) as journal:
        assert len(journal.read()) == count
    assert time.process_time() - started_at < count * 100e-6  # it is below 10 us a line on a slow machine


# ------------------------------------------------------------------------------------------- locking


def test_there_is_one_fetch_at_a_time(path):
    with FileJournal(path, ACCOUNT) as journal:
        for account in (ACCOUNT, OTHER):
            with pytest.raises(JournalInUse) as caught:
                FileJournal(path, account)
        assert str(caught.value) == (
            f"another fetch is running with the journal {path}; wait for it to end, or stop it"
        )
        assert caught.value.path == path
        journal.append([event("1")])
        assert read_journal(path, ACCOUNT) == [event("1")]  # looking is allowed
    journal.close()
    assert recorded(path) == [event("1")]


def test_another_process_is_kept_out(path):
    code = (
        "import sys, pathlib; from pop3proto.fetching.file_journal import FileJournal;"
        f"journal = FileJournal(pathlib.Path(sys.argv[1]), {ACCOUNT!r}); print('open', flush=True); sys.stdin.read()"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started(sys.executable, "-c", code, path, **pipes) as process:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(JournalInUse):
            FileJournal(path, ACCOUNT)
        process.kill()
        process.wait(PATIENCE)
    record(path, event("1"))


def test_the_lock_is_held_across_compaction(path):
    record(path, *batch(3), *batch(3))
    with FileJournal(path, ACCOUNT) as journal:
        assert journal.compact(NOW) == 3
        with pytest.raises(JournalInUse):
            FileJournal(path, ACCOUNT)
        journal.append([event("4")])
    assert recorded(path) == [*batch(3), event("4")]


def test_a_lock_on_a_file_without_a_name_is_none(path, monkeypatch):
    """A process opens the file, another one compacts it and is done: then the first one locks the old file."""
    record(path, *batch(3), *batch(3))
    lock, compacted = files.lock, False

    def late(descriptor: int, locked: str | Path, *, wait: bool) -> None:
        nonlocal compacted
        if not compacted:
            compacted = True
            with FileJournal(path, ACCOUNT) as other:
                other.compact(NOW)
        lock(descriptor, locked, wait=wait)

    monkeypatch.setattr(file_journal, "lock", late)
    record(path, event("4"))
    assert compacted
    assert read_journal(path, ACCOUNT) == [*batch(3), event("4")]


@pytest.mark.parametrize("remove", [os.unlink, lambda path: path.with_name("other").replace(path)])
def test_nothing_is_recorded_where_nobody_finds_it(path, remove):
    path.with_name("other").write_bytes(b"")
    with FileJournal(path, ACCOUNT) as journal:
        remove(path)
        for change in (lambda: journal.append([event("1")]), lambda: journal.compact(NOW)):
            with pytest.raises(OSError, match="removed or replaced") as caught:
                change()
            assert caught.value.filename == str(path)


def test_a_file_system_without_locks(path, monkeypatch):
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(OSError, match="mount it with locks") as caught:
        FileJournal(path, ACCOUNT)
    assert caught.value.filename == str(path)


def test_what_is_not_a_file_is_refused(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link, which is not followed") as caught:
        FileJournal(path, ACCOUNT)
    assert caught.value.filename == str(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        FileJournal(path, ACCOUNT)
    with pytest.raises(OSError, match="not a regular file"):
        read_journal(path, ACCOUNT)
    with pytest.raises(FileNotFoundError) as caught:
        read_journal(tmp_path / "none", ACCOUNT)
    assert caught.value.filename == str(tmp_path / "none")


# ---------------------------------------------------------------------------------------- compaction


def test_compaction_keeps_what_matters(path):
    before = [
        *batch(3, when=NOW - 200 * DAY),
        event("0", MessageState.DELETED, NOW - 91 * DAY),
        event("1", MessageState.DELETED, NOW - 89 * DAY),
        *[event("2", MessageState.SUSPECT)] * 3,
        event("2"),
    ]
    path.write_bytes(b"rubbish\n\n" + line(event("5"), OTHER) + b"".join(map(line, before)) + line(event("6"), OTHER))
    path.chmod(0o640)
    with FileJournal(path, ACCOUNT) as journal:
        assert journal.compact(NOW) == 6
        assert list(History(journal.read())) == list(History(before))[1:]
        assert journal.compact(NOW) == 0
    assert path.read_bytes().startswith(b"rubbish\n\n" + line(event("5"), OTHER) + line(event("6"), OTHER))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(recorded(path)) == 3
    assert list(path.parent.iterdir()) == [path]


@given(lives, st.lists(st.binary(max_size=30)))
def test_compaction_changes_no_history(events, rubbish):
    theirs = [piece.replace(b"\n", b"") + b"\n" for piece in rubbish]
    ours = list(map(line, events))
    mixed = [each for pair in zip_longest(theirs, ours, fillvalue=b"") for each in pair]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        path.write_bytes(b"".join(mixed))
        with FileJournal(path, ACCOUNT) as journal:
            before = History(journal.read())
            gone = len(events) - len(before.compacted(forget_before=0))
            assert journal.compact(90 * DAY) == gone
            after = History(journal.read())
        assert list(after) == list(History(before.compacted(forget_before=0)))
        left = path.read_bytes()
    assert left == b"".join(mixed) if not gone else left.startswith(b"".join(theirs))


def test_a_file_that_would_not_be_smaller_is_left_alone(path):
    record(path, *batch(3))
    before = path.stat().st_ino
    with FileJournal(path, ACCOUNT) as journal:
        assert journal.compact(NOW) == 0
    assert path.stat().st_ino == before


@pytest.mark.parametrize(
    "lines, added, left",
    [
        (batch(300) * 4, 0, 1200),  # nothing has been added
        (batch(300) * 3, 300, 300),
        (batch(300) * 3, 50, 950),  # not yet many
        (batch(900), 300, 1200),  # not even half of it would go
    ],
)
def test_closing_compacts_what_has_grown(path, lines, added, left):
    path.write_bytes(b"".join(map(line, lines)) + line(event("1"), OTHER))
    with FileJournal(path, ACCOUNT, clock=lambda: NOW) as journal:
        journal.append(batch(added))
    assert path.read_bytes().count(b"\n") == left + 1
    assert list(History(read_journal(path, ACCOUNT))) == list(History([*lines, *batch(added)]))


def test_closing_does_not_look_at_what_is_mostly_new(path, monkeypatch):
    record(path, *batch(700))
    with FileJournal(path, ACCOUNT) as journal:
        journal.append(batch(700) * 2)
        with watching(monkeypatch) as calls:
            journal.close()
    assert calls == ["flock"]


@pytest.mark.parametrize("way", WAYS)
def test_closing_ends_the_lock_whatever_happens(path, way, monkeypatch):
    """A compaction that does not work changes nothing, and is no error of a fetch that has worked."""
    monkeypatch.setattr(file_journal, "_MANY_LINES", 3)
    happen, after = WAYS[way]
    moment = 0
    while True:
        path.write_bytes(BEFORE + b"".join(map(line, batch(3) * 4)))
        journal = FileJournal(path, ACCOUNT, clock=lambda: NOW)
        journal.append(batch(3))
        with watching(monkeypatch, happen(moment), after=after) as calls:
            assert not fails(journal.close) or happen in {interruption, death}
        check_again(path)
        if len(calls) <= moment:
            break
        moment += 1
    assert moment >= 12
    assert read_journal(path, ACCOUNT)[:-1] == batch(3)


def test_an_interrupted_fetch_closes_at_once(path):
    with suppress(KeyboardInterrupt), FileJournal(path, ACCOUNT) as journal:
        journal.append(batch(300) * 5)
        raise KeyboardInterrupt
    assert path.read_bytes().count(b"\n") == 1500
    record(path)


def test_a_new_file_is_on_the_disk_and_locked_before_it_has_the_name(path, monkeypatch):
    record(path, *batch(3), *batch(3))
    with FileJournal(path, ACCOUNT) as journal, watching(monkeypatch) as calls:
        journal.compact(NOW)
        changes = [call for call in calls if call not in {"fstat", "stat", "open"}]
        assert changes == ["unlink", "fchmod", "write", "fsync", "flock", "replace", "fsync"]


# ------------------------------------------------------------------- whatever happens, in which moment


@pytest.mark.parametrize("way", WAYS)
def test_appending_can_be_cut_off_in_every_moment(path, way, monkeypatch):
    def check(journal: FileJournal, raised: bool) -> None:
        there = journal.read()
        assert there[:6] == [*batch(3), *batch(3)]
        assert there[6:] in ([], MORE, MORE[:1])
        if not raised:
            assert there[6:] == MORE
        journal.append([event("later")])
        assert journal.read() == [*there, event("later")]

    moments = at_every_moment(path, way, monkeypatch, lambda journal: journal.append(MORE), check)
    assert moments >= 4


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_batch_that_fails_is_taken_back(path, code, monkeypatch):
    """Whether the write fails half way, or the sync."""
    for moment in ("write", "fsync"):
        path.write_bytes(BEFORE)
        with FileJournal(path, ACCOUNT) as journal:
            with watching(monkeypatch) as calls:
                journal.append([])
                journal.append(MORE)
            path.write_bytes(BEFORE)
            number = calls.index(moment)
            with (
                watching(monkeypatch, failure(code, lasting=False)(number)),
                pytest.raises(OSError, match=r"\w") as error,
            ):
                journal.append(MORE)
            assert (error.value.errno, error.value.filename) == (code, str(path))
            assert path.read_bytes() == BEFORE
            journal.append(MORE)
            assert path.read_bytes() == BEFORE + b"".join(map(line, MORE))


def test_what_cannot_be_taken_back_is_not_read(path, monkeypatch):
    path.write_bytes(BEFORE)
    with FileJournal(path, ACCOUNT) as journal:
        with watching(monkeypatch) as calls:
            journal.append(MORE)
        path.write_bytes(BEFORE)
        fail = failure(errno.EIO, lasting=True)(calls.index("write"))
        with watching(monkeypatch, fail), pytest.raises(OSError, match=r"\w"):
            journal.append([event("half-a-line-is-left-of-this-one")])
        assert not path.read_bytes().endswith(b"\n")
        journal.append(MORE)
        assert journal.read() == [*batch(3), *batch(3), *MORE]
    assert recorded(path) == [*batch(3), *batch(3), *MORE]


@pytest.mark.parametrize("way", WAYS)
def test_compaction_can_be_cut_off_in_every_moment(path, way, monkeypatch):
    def check(journal: FileJournal, raised: bool) -> None:
        there = journal.read()
        assert there in ([*batch(3), *batch(3)], batch(3))
        if not raised:
            assert there == batch(3)
        with pytest.raises(JournalInUse):
            FileJournal(path, ACCOUNT)
        journal.append([event("later")])
        assert read_journal(path, ACCOUNT) == [*there, event("later")]
        journal.compact(NOW)
        assert read_journal(path, ACCOUNT) == [*batch(3), event("later")]

    moments = at_every_moment(path, way, monkeypatch, lambda journal: journal.compact(NOW), check)
    assert moments >= 12


@pytest.mark.parametrize("way", WAYS)
def test_opening_can_be_cut_off_in_every_moment(path, way, monkeypatch):
    happen, after = WAYS[way]
    moment = 0
    while True:
        path.write_bytes(BEFORE + b"half a li")
        with watching(monkeypatch, happen(moment), after=after) as calls:
            fails(lambda: FileJournal(path, ACCOUNT).close())
        check_again(path)
        if len(calls) <= moment:
            break
        moment += 1
    assert moment >= 8


def test_a_new_name_that_could_not_be_synced_is_synced_with_the_next_events(path, monkeypatch):
    """Else a power cut could bring the old file back, without the events that were recorded since."""
    path.write_bytes(BEFORE)
    with FileJournal(path, ACCOUNT) as journal:

        def sync_folder(folder: Path) -> None:
            raise OSError(errno.EIO, "Input/output error", str(folder))

        with monkeypatch.context() as patch:
            patch.setattr(file_journal, "sync_folder", sync_folder)
            with pytest.raises(OSError, match="Input/output error"):
                journal.compact(NOW)
            with pytest.raises(OSError, match="Input/output error"):
                journal.append([event("4")])
        journal.append([event("4")])
    assert read_journal(path, ACCOUNT) == [*batch(3), event("4")]


# ------------------------------------------------------------------------------------- the last session


def test_it_tells_when_the_last_session_has_ended(path: Path) -> None:
    assert last_session(path) is None
    with FileJournal(path, ACCOUNT, clock=lambda: NOW) as journal:
        assert last_session(path) is None, "nothing is recorded"
        journal.append(batch(1))
        journal.note_session()
    assert last_session(path) == NOW
    with FileJournal(path, ACCOUNT, clock=lambda: NOW + DAY) as journal:
        journal.read()
    assert last_session(path) == NOW, "to look at it is no session"
