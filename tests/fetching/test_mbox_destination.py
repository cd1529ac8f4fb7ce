"""Fetched mail in an mbox: quoted, locked, found again; and a torn entry is never taken for a message."""

import errno
import fcntl
import functools
import mailbox
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from pop3proto.fetching import spool
from pop3proto.fetching.destination import Found
from pop3proto.fetching.destinations import MboxDestination, NotMbox, dotlock as dotlock_module
from pop3proto.fetching.destinations.dotlock import dotlock
from pop3proto.fetching.destinations.mbox_format import EntryReader, MboxEncoder
from pop3proto.fetching.header import header_digest
from tests.helpers.depth import deep
from tests.helpers.processes import PATIENCE, started
from tests.helpers.storing import Moment, arrival, check_crashes, fsyncs, normal, store
from tests.helpers.strategies import chunkings, messages

MAIL = b"Subject: hello\r\n\r\nHi, Ann.\r\n"
OTHERS = b"From ann@example.org Sat Nov 28 20:49:56 2026\nSubject: other\n\nA letter.\n"

lines = st.lists(
    st.sampled_from(
        [b"From ", b"From me", b">From ", b">>From x", b"From", b" From ", b">", b"", b"a", b"\r", b"From \r", b"Fr"]
    )
)
mails = st.one_of(
    messages, st.tuples(lines, st.sampled_from([b"\r\n", b"\n"])).map(lambda drawn: drawn[1].join(drawn[0]))
)


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    return tmp_path / "mbox"


def entries(mbox: Path) -> list[bytes]:
    """The messages as a mail program reads them that knows mboxrd, in normal form."""
    box = mailbox.mbox(mbox, create=False)
    try:
        found = [re.sub(rb"(?m)^>(>*From )", rb"\1", box.get_bytes(key)) for key in box.keys()]  # noqa: SIM118
    finally:
        box.close()
    return [message.replace(b"\n", b"\r\n") for message in found]


# ----------------------------------------------------------------------------------------------- format


@given(st.data())
def test_quoting_does_not_depend_on_where_the_chunks_end(data: st.DataObject) -> None:
    message = data.draw(mails)
    encoder = MboxEncoder()
    entry = b"".join([encoder.feed(chunk) for chunk in data.draw(chunkings(message))]) + encoder.finish()
    lf = normal(message).replace(b"\r\n", b"\n")
    assert entry == re.sub(rb"(?m)^(>*From )", rb">\1", lf) + b"\n"
    assert encoder.octets == len(normal(message))
    reader = EntryReader()
    for chunk in data.draw(chunkings(entry)):
        reader.feed(chunk)
    reader.finish()
    assert reader.octets == len(normal(message))
    assert reader.header == header_digest(normal(message))


def test_the_longest_start_of_a_line() -> None:
    """A line of `>` alone takes no more memory than a chunk of it."""
    encoder = MboxEncoder()
    message = b">" * (1 << 17)
    assert encoder.feed(message) == message
    assert encoder.feed(b"From x\r\nFrom y") + encoder.finish() == b"From x\n>From y\n\n"


@given(st.data())
@example(None)
def test_what_arrives_is_what_a_mail_program_reads(data: st.DataObject | None) -> None:
    several = [MAIL, b"", b"From x\r\n"] if data is None else data.draw(st.lists(mails, max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mbox"
        destination = MboxDestination(path)
        chunks = [[message] if data is None else data.draw(chunkings(message)) for message in several]
        assert store(destination, [(arrival(at), some) for at, some in enumerate(chunks)]) == [None] * len(several)
        if several:
            assert entries(path) == [normal(message) for message in several]
        assert destination.recall([arrival(at).mark for at in range(len(several))]) == {
            arrival(at).mark: Found(len(normal(message)), header_digest(message)) for at, message in enumerate(several)
        }
        assert [*Path(folder).iterdir()] == ([path] if several else [])


def test_an_entry(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795898996)
    destination = MboxDestination(mbox)
    store(destination, [(arrival(1), [MAIL, b"From you\r\n"])])
    store(destination, [(arrival(2, listed=5, header_only=True), [MAIL[:18]])])
    first = header_digest(MAIL)
    assert mbox.read_text("ascii") == (
        f"From pop3proto-U{arrival(1).mark}-38-{first} Sat Nov 28 20:49:56 2026\n"
        "Subject: hello\n\nHi, Ann.\n>From you\n\n"
        f"From pop3proto-H{arrival(2).mark}-212-{first} Sat Nov 28 20:49:56 2026\n"
        "X-Pop3proto-Partial: header only; 5 octets\nSubject: hello\n\n"
        "Only the header of this message was fetched.\n"
        "The message itself is still on the server: 5 octets.\n"
        "This command gets it: pop3proto fetch --complete\n\n"
    )
    assert mbox.stat().st_mode & 0o077 == 0
    marks = [arrival(1).mark, arrival(2).mark]
    assert destination.recall(marks) == {marks[0]: Found(38, first), marks[1]: Found(None, first, header_only=True)}
    store(destination, [(arrival(2, completes=True), [MAIL])])
    assert destination.recall(marks[1:]) == {marks[1]: Found(len(MAIL), first)}


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"last line"])
def test_an_entry_begins_behind_an_empty_line(mbox: Path, end: bytes) -> None:
    mbox.write_bytes(OTHERS + end)
    store(MboxDestination(mbox), [(arrival(1), [MAIL])])
    before, _, after = mbox.read_bytes().rpartition(b"From pop3proto-")
    assert re.fullmatch(rb"%s%s\n*" % (OTHERS, end), before)
    assert before.endswith(b"\n\n")
    assert after.endswith(b"\nSubject: hello\n\nHi, Ann.\n\n")
    assert entries(mbox)[-1] == MAIL


def test_large_messages_wait_in_a_file(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 100)
    large = MAIL + b"From here\r\n" * 100_000
    destination = MboxDestination(mbox)
    names = {*mbox.parent.iterdir()}
    store(destination, [(arrival(1), [large[:50], large[50:]]), (arrival(2), [MAIL] * 2)])
    assert entries(mbox) == [large, MAIL * 2]
    assert {*mbox.parent.iterdir()} - names == {mbox}


def test_a_batch_is_synced_once(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MboxDestination(mbox)
    store(destination, [(arrival(1), [MAIL])])
    syncs = fsyncs(monkeypatch)
    store(destination, [(arrival(at), [MAIL]) for at in range(20)])
    assert len(syncs) == 1
    assert destination.commit([]) == []
    assert len(syncs) == 1


# ---------------------------------------------------------------------------------------------- refused


def test_what_is_no_mbox_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("text", 'does not begin with "From "'),
        ("link", "leads nowhere"),
        ("", "it is a folder"),
        ("pipe", "not a regular file"),
    ):
        with pytest.raises(NotMbox, match=words):
            MboxDestination(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        MboxDestination(tmp_path / "no" / "mbox")
    assert {path.name for path in tmp_path.iterdir()} == {"text", "link", "pipe"}


def test_what_becomes_something_else_is_an_error(mbox: Path) -> None:
    destination = MboxDestination(mbox)
    mbox.write_text("hello\n")
    for action in (lambda: store(destination, [(arrival(1), [MAIL])]), lambda: destination.recall([])):
        with pytest.raises(OSError, match=re.escape(f"does not begin with \"From \": '{mbox}'")):
            action()
    assert mbox.read_text() == "hello\n"


def test_a_link_to_an_mbox_is_followed_and_locked_where_others_look(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "spool")
    (tmp_path / "spool").touch()
    (tmp_path / "spool.lock").touch()
    destination = MboxDestination(tmp_path / "link", patience=0)
    with pytest.raises(TimeoutError, match="spool"):
        store(destination, [(arrival(1), [MAIL])])
    (tmp_path / "spool.lock").unlink()
    store(destination, [(arrival(1), [MAIL])])
    assert entries(tmp_path / "spool") == [MAIL]


# ----------------------------------------------------------------------------------------------- locks

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_who_locks_with_fcntl_is_waited_for(mbox: Path) -> None:
    mbox.write_bytes(OTHERS)
    with started(sys.executable, "-c", HOLD, mbox, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(TimeoutError, match=re.escape(f"has locked it for too long: '{mbox}'")):
            store(MboxDestination(mbox, patience=0), [(arrival(1), [MAIL])])
        assert process.stdin is not None
        process.stdin.close()
        store(MboxDestination(mbox), [(arrival(1), [MAIL])])
    assert entries(mbox)[-1] == MAIL
    assert not mbox.with_name("mbox.lock").exists()


def test_both_locks_are_held(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MboxDestination(mbox)
    store(destination, [(arrival(1), [MAIL])])
    seen: list[str] = []
    fsync = os.fsync

    def syncing(descriptor: int) -> None:
        seen.append(mbox.with_name("mbox.lock").read_text())
        code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        status = subprocess.run(
            [sys.executable, "-c", code, mbox], check=False, stderr=subprocess.PIPE, timeout=PATIENCE
        )
        assert b"BlockingIOError" in status.stderr
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", syncing)
    store(destination, [(arrival(2), [MAIL])])
    assert seen == [f"{os.getpid()}:{os.uname().nodename}\n"]


@functools.cache
def ended_process() -> int:
    """The number of a process that has run."""
    with started(sys.executable, "-c", "") as process:
        process.wait(PATIENCE)
        return process.pid


@pytest.mark.parametrize(
    "content,age,stale",
    [
        ("{ended}:{host}\n", 0, True),
        ("{ended}:{host}", 0, True),
        ("{self}:{host}\n", 0, False),
        ("1:{host}\n", 0, False),
        ("{ended}:elsewhere\n", 0, False),
        ("{ended}:elsewhere\n", 1000, True),
        ("{ended}", 0, False),
        ("{ended}", 1000, True),
        ("{self}", 0, False),
        ("", 0, False),
        ("", 1000, True),
        ("0", 1000, True),
    ],
)
def test_which_locks_are_stale(mbox: Path, content: str, age: int, stale: bool) -> None:
    lock = mbox.with_name("mbox.lock")
    lock.write_text(content.format(ended=ended_process(), self=os.getpid(), host=os.uname().nodename))
    os.utime(lock, (time.time() - age,) * 2)
    destination = MboxDestination(mbox, patience=0)
    if stale:
        store(destination, [(arrival(1), [MAIL])])
        assert entries(mbox) == [MAIL]
    else:
        with pytest.raises(TimeoutError):
            store(destination, [(arrival(1), [MAIL])])
    assert lock.exists() != stale


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell when a process began")
@pytest.mark.parametrize("before, stale", [(1_000, True), (5, False), (-5, False)])
@pytest.mark.parametrize("content", ["{self}:{host}\n", "{self}"])
def test_a_lock_that_is_older_than_its_process_is_of_another_one(
    mbox: Path, monkeypatch: pytest.MonkeyPatch, content: str, before: int, stale: bool
) -> None:
    monkeypatch.setattr(dotlock_module, "_OLD", -1_000.0)
    began = Path(f"/proc/{os.getpid()}").stat().st_ctime  # Linux: when it was first looked at, so not before
    lock = mbox.with_name("mbox.lock")
    lock.write_text(content.format(self=os.getpid(), host=os.uname().nodename))
    real = dotlock_module._began(os.getpid())
    assert real is not None
    assert real <= began + 1
    os.utime(lock, (real - before,) * 2)
    if stale:
        with dotlock(mbox, 0) as was_stale:
            assert was_stale
    else:
        with pytest.raises(TimeoutError), dotlock(mbox, 0):
            pass
    assert lock.exists() != stale


@pytest.mark.parametrize("status", [None, b"", b"1 (a) S", b"1 (a b) c) S " + b"x " * 40])
def test_where_the_system_does_not_tell_when_a_process_began_it_is_waited_for(
    mbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: bytes | None
) -> None:
    place = tmp_path / "stat"
    if status is not None:
        place.write_bytes(status)
    monkeypatch.setattr(dotlock_module, "open", lambda _, mode: place.open(mode), raising=False)
    lock = mbox.with_name("mbox.lock")
    lock.write_text(f"{os.getpid()}:{os.uname().nodename}\n")
    os.utime(lock, (1_000,) * 2)
    with pytest.raises(TimeoutError), dotlock(mbox, 0):
        pass
    assert lock.exists()


APPEND = """
import sys
from pathlib import Path
from tests.helpers.storing import arrival, store
from pop3proto.fetching.destinations import MboxDestination
number = int(sys.argv[2])
destination = MboxDestination(Path(sys.argv[1]))
for at in range(12):
    each = arrival(number * 1000 + at)
    store(destination, [(each, [b"Subject: %d\\r\\n\\r\\n" % (number * 1000 + at), b"x\\r\\n" * 5000])])
    assert [*destination.recall([each.mark])] == [each.mark]
"""


@pytest.mark.deep
def test_processes_append_to_one_mbox(mbox: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (
        started(sys.executable, "-c", APPEND, mbox, "1", env=environment) as one,
        started(sys.executable, "-c", APPEND, mbox, "2", env=environment) as other,
    ):
        assert (one.wait(PATIENCE), other.wait(PATIENCE)) == (0, 0)
    wanted = [b"Subject: %d\r\n\r\n" % (number * 1000 + at) + b"x\r\n" * 5000 for number in (1, 2) for at in range(12)]
    assert sorted(entries(mbox)) == wanted
    assert [*mbox.parent.iterdir()] == [mbox]


@pytest.mark.parametrize("way", ["unknown", "refused", "no /proc"])
def test_systems_without_files_that_have_no_name(mbox: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EOPNOTSUPP if way == "refused" else errno.ENOENT, "no")

    if way == "unknown":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif way == "no /proc":
        monkeypatch.setattr(os, "link", failing)
    else:
        open_ = os.open

        def opening(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                failing()
            return open_(path, flags, *arguments, **named)

        monkeypatch.setattr(os, "open", opening)
    lock = mbox.with_name("mbox.lock")
    with dotlock(mbox, 0):
        assert lock.read_text() == f"{os.getpid()}:{os.uname().nodename}\n"
        with pytest.raises(TimeoutError), dotlock(mbox, 0):
            pass
    assert not lock.exists()


def test_a_lock_is_held_although_the_answer_says_that_it_failed(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS, where a request is sent again whose first answer was lost."""
    link = os.link

    def linking(*arguments: Any, **named: Any) -> None:
        link(*arguments, **named)
        raise FileExistsError(errno.EEXIST, "it exists")

    monkeypatch.setattr(os, "link", linking)
    with dotlock(mbox, 0) as was_stale:
        assert not was_stale
    assert not [*mbox.parent.iterdir()]


def test_a_folder_without_room_for_the_lock_is_an_error_with_its_path(
    mbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=re.escape(f"disk full: '{mbox}.lock'")), dotlock(mbox, 0):
        pass
    assert not [*mbox.parent.iterdir()]


# ---------------------------------------------------------------------------------------------- crashes


@pytest.mark.parametrize(
    "error,afterwards",
    [(None, False), (None, True), (errno.ENOSPC, False), (errno.EIO, False), (errno.EIO, True), (errno.EACCES, False)],
)
def test_whatever_fails_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None, afterwards: bool
) -> None:
    dead = ended_process()
    monkeypatch.setattr(os, "getpid", lambda: dead)  # what locks say of the killed

    def make(folder: Path) -> MboxDestination:
        return MboxDestination(folder / "mbox", patience=1)

    def read(folder: Path) -> list[bytes]:
        path = folder / "mbox"
        return entries(path) if path.exists() else []

    check_crashes(tmp_path, make, read, error=error, afterwards=afterwards, step=deep(1, 2))


def killed_at(
    mbox: Path, octets: int, monkeypatch: pytest.MonkeyPatch, *, mails: int = 2, message: bytes = MAIL
) -> bytes:
    """Let a process die that has written so many octets of a batch; return what is in the file."""
    dead = ended_process()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead)
        moment = Moment(1)
        write = os.write

        def writing(descriptor: int, data: Any) -> int:
            if bytes(data[:5]) != b"From ":
                return write(descriptor, data)
            write(descriptor, data[:octets])
            moment.watch(patch)
            os.fsync(descriptor)
            return 0

        patch.setattr(os, "write", writing)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - it is none of a library
            store(MboxDestination(mbox), [(arrival(at), [message]) for at in range(1, mails + 1)])
        assert caught.type.__name__ == "Killed"
    return mbox.read_bytes()


ENTRY = (
    len(f"From pop3proto-U{arrival(1).mark}-28-{header_digest(MAIL)} Sat Nov 28 20:49:56 2026\n") + len(MAIL) - 3 + 1
)


def test_a_torn_entry_is_cut_off_wherever_it_ends(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for octets in range(1, 2 * ENTRY, deep(1, 5)):
        mbox.write_bytes(OTHERS + b"\n")
        left = killed_at(mbox, octets, monkeypatch)
        assert len(left) == len(OTHERS) + 1 + octets
        found = MboxDestination(mbox).recall([arrival(1).mark, arrival(2).mark])
        whole = [MAIL] * len(found)
        assert entries(mbox)[1:] == whole, octets
        store(MboxDestination(mbox), [(arrival(3), [MAIL])])
        assert entries(mbox)[1:] == [*whole, MAIL]


def test_what_looks_like_the_start_of_an_entry_may_be_text_of_a_torn_one(
    mbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for octets in (ENTRY, ENTRY + 1):  # the first one or two letters of "Friday"
        mbox.write_bytes(OTHERS + b"\n")
        left = killed_at(mbox, octets, monkeypatch, mails=1, message=MAIL + b"Friday\r\n")
        assert left.endswith((b"Ann.\nF", b"Ann.\nFr"))
        assert MboxDestination(mbox).recall([arrival(1).mark]) == {}
        assert mbox.read_bytes() == OTHERS + b"\n"


def test_a_torn_entry_is_cut_off_before_the_next_message(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at(mbox, ENTRY - 3, monkeypatch, mails=1)
    store(MboxDestination(mbox), [(arrival(2), [MAIL + MAIL])])
    assert entries(mbox) == [MAIL + MAIL]


def test_what_others_have_done_meanwhile_is_not_cut_off(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[Callable[[bytes], bytes]] = [
        lambda left: left + b"\n" + OTHERS,  # another program has appended
        lambda left: left.replace(b"Subject: hello\n", b"Subject: hello\nStatus: RO\n")[:-5],  # changed and shortened
        lambda left: left[: left.index(b"From pop3proto")],  # removed
        lambda left: b"From ann Sat Nov 28 20:49:56 2026\n" + left[left.index(b"\n") + 1 :],  # written anew
    ]
    for change in changes:
        mbox.unlink(missing_ok=True)
        changed = change(killed_at(mbox, ENTRY - 3, monkeypatch, mails=1))
        mbox.write_bytes(changed)
        MboxDestination(mbox).recall([arrival(1).mark])
        assert mbox.read_bytes() == changed


def test_without_a_sign_of_a_crash_nothing_is_cut_off_and_what_is_torn_is_not_found(
    mbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for octets in (ENTRY - 30, ENTRY - 3):  # in the header, and in the text
        mbox.unlink(missing_ok=True)
        left = killed_at(mbox, octets, monkeypatch)
        mbox.with_name("mbox.lock").unlink()
        destination = MboxDestination(mbox)
        assert destination.recall([arrival(1).mark]) == {}
        assert mbox.read_bytes() == left
        store(destination, [(arrival(1), [MAIL])])
        assert mbox.read_bytes().startswith(left)
        assert [*destination.recall([arrival(1).mark])] == [arrival(1).mark]


def test_what_a_mail_program_has_changed_is_found(mbox: Path) -> None:
    destination = MboxDestination(mbox)
    store(destination, [(arrival(1), [MAIL]), (arrival(2), [MAIL + b"x" * 100])])
    text = mbox.read_bytes().replace(b"Subject: hello\n", b"Subject: hello\nStatus: RO\n").replace(b"x" * 50, b"")
    mbox.write_bytes(OTHERS + b"\n" + text)
    assert {*destination.recall([arrival(1).mark, arrival(2).mark])} == {arrival(1).mark, arrival(2).mark}


def test_a_disk_that_gets_full_leaves_the_file_as_it_was(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mbox.write_bytes(OTHERS)
    destination = MboxDestination(mbox)
    write = os.write

    written: list[int] = []

    def full(descriptor: int, data: Any) -> int:
        if not os.path.samestat(os.fstat(descriptor), mbox.stat()):
            return write(descriptor, data)
        if sum(written) > 40:
            raise OSError(errno.ENOSPC, "disk full")
        written.append(write(descriptor, data[:30]))
        return written[-1]

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=re.escape(f"disk full: '{mbox}'")):
        store(destination, [(arrival(1), [MAIL])])
    assert mbox.read_bytes() == OTHERS
    assert [*mbox.parent.iterdir()] == [mbox]


def test_long_lines_and_many_chunks_are_searched(mbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MboxDestination(mbox)
    mbox.write_bytes(OTHERS + b"x" * 5000 + b"\n\nFrom " + b"y" * 5000 + b"\nz\n\n")
    store(destination, [(arrival(at), [MAIL, b"x" * at * 100]) for at in range(20)])
    marks = [arrival(at).mark for at in range(20)]
    for chunk in (6, 100, 4096, 5003):
        monkeypatch.setattr("pop3proto.fetching.destinations.mbox_file._CHUNK", chunk)
        assert [*destination.recall(marks)] == marks


def test_a_lock_is_per_process_so_the_lock_file_keeps_threads_apart(mbox: Path) -> None:
    mbox.write_bytes(OTHERS)
    with mbox.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # by this process: it hinders nobody here
        store(MboxDestination(mbox, patience=0), [(arrival(1), [MAIL])])
        mbox.with_name("mbox.lock").write_text(f"{os.getpid()}:{os.uname().nodename}\n")
        with pytest.raises(TimeoutError):
            store(MboxDestination(mbox, patience=0), [(arrival(1), [MAIL])])
