"""Destinations that take one message at a time: the base for them, standard output, programs."""

import asyncio
import errno
import io
import mailbox
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, strategies as st

from pop3proto._io import children
from pop3proto.fetching import spool
from pop3proto.fetching.destination import NothingStored, NotTaken
from pop3proto.fetching.destinations import (
    DeliverEach,
    Delivered,
    ProgramDestination,
    StdoutDestination,
    program,
)
from tests.helpers.processes import PATIENCE, join, wait_until
from tests.helpers.storing import arrival, fsyncs, normal, store
from tests.helpers.strategies import chunkings, messages

MAIL = b"Subject: hello\r\n\r\nHi, Ann.\r\n"


def why(results: Sequence[NotTaken | None]) -> list[tuple[str, bool] | None]:
    return [None if result is None else (str(result), result.later) for result in results]


# ------------------------------------------------------------------------------------------------- base


class Shelf(DeliverEach):
    """Keeps what it is given."""

    name = "a shelf"

    def __init__(self) -> None:
        self.kept: list[tuple[int, bytes]] = []

    def deliver(self, message: Delivered) -> None:
        if message.arrival.number == 13:
            raise NotTaken("not this one", later=True)
        with message.open() as file:
            content = file.read()
        with message.open() as file:
            assert file.read() == content
        assert message.octets == len(content)
        self.kept.append((message.arrival.number, content))


@given(st.data())
def test_each_message_is_delivered_as_it_was_received(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "_IN_MEMORY", data.draw(st.sampled_from([0, 10, 1 << 20])))
        patch.setattr(spool, "_CHUNK", 3)
        several = data.draw(st.lists(messages, max_size=3))
        shelf = Shelf()
        store(shelf, [(arrival(at), data.draw(chunkings(message))) for at, message in enumerate(several)])
        assert shelf.kept == [*enumerate(several)]


def test_what_is_not_taken_is_told_and_the_others_come() -> None:
    shelf = Shelf()
    results = store(shelf, [(arrival(number), [MAIL]) for number in (1, 13, 2)])
    assert why(results) == [None, ("not this one", True), None]
    assert shelf.kept == [(1, MAIL), (2, MAIL)]
    assert (shelf.recalls, shelf.batch, shelf.recall([arrival(1).mark])) == (False, 1, {})


def test_delivery_may_be_a_coroutine() -> None:
    class Slow(DeliverEach):
        name = "slow"

        async def deliver(self, message: Delivered) -> None:
            await asyncio.sleep(0)
            if message.arrival.number == 13:
                raise NotTaken("not this one")

    slow = Slow()
    writers = [slow.begin(arrival(number)) for number in (13, 1)]
    awaitable = slow.commit(writers)
    assert isinstance(awaitable, Awaitable)

    async def wait() -> Sequence[NotTaken | None]:
        return await awaitable

    assert why(asyncio.run(wait())) == [("not this one", False), None]


def test_large_messages_wait_in_a_file_that_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spool, "_IN_MEMORY", 10)
    shelf = Shelf()
    store(shelf, [(arrival(1), [MAIL, MAIL])])
    assert shelf.kept == [(1, MAIL * 2)]
    writer = shelf.begin(arrival(1))
    writer.write(MAIL)
    assert not [*tmp_path.iterdir()]
    writer.abort()
    writer.abort()
    before = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) == len(MAIL):
            raise OSError(errno.ENOSPC, "disk full")
        return before(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=re.escape(f"disk full: '{tmp_path}'")):
        store(shelf, [(arrival(1), [MAIL])])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="missing"):
        store(shelf, [(arrival(1), [MAIL])])


# ----------------------------------------------------------------------------------------------- stdout


def test_messages_are_written_as_an_mbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = fsyncs(monkeypatch)
    with (tmp_path / "mbox").open("wb") as file:
        destination = StdoutDestination(file)
        assert store(destination, [(arrival(1), [MAIL[:17], MAIL[17:]]), (arrival(2), [b"From you\n"])]) == [None] * 2
        assert len(syncs) == 2
        box = mailbox.mbox(tmp_path / "mbox", create=False)
        assert [normal(box.get_bytes(key)) for key in box.keys()] == [MAIL, b">From you\r\n"]  # noqa: SIM118
        box.close()


def test_one_message_is_written_bare() -> None:
    stream = io.BytesIO()
    destination = StdoutDestination(stream, bare=True)
    assert why(store(destination, [(arrival(1), [MAIL, b"x\n"]), (arrival(2), [MAIL])])) == [
        None,
        ("standard output takes one message only", False),
    ]
    assert stream.getvalue() == MAIL + b"x\n"


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_reader_that_goes_away(buffering: int) -> None:
    reader, writer = os.pipe()
    stream = open(writer, "wb", buffering=buffering)  # noqa: PTH123, SIM115
    destination = StdoutDestination(stream)
    store(destination, [(arrival(1), [MAIL])])
    os.close(reader)
    results = store(destination, [(arrival(2), [MAIL]), (arrival(3), [MAIL])])
    assert why(results) == [("standard output was closed by its reader", True)] * 2
    with pytest.raises(BrokenPipeError) if buffering else open(os.devnull):  # noqa: PTH123
        stream.close()


def test_a_stream_that_fails_is_named() -> None:
    class Full(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(OSError, match="disk full: 'standard output'"):
        store(StdoutDestination(Full()), [(arrival(1), [MAIL])])


# ---------------------------------------------------------------------------------------------- program


def shell(script: str, *arguments: str, **options: Any) -> ProgramDestination:
    return ProgramDestination(["/bin/sh", "-c", script, *arguments], **options)


def run(destination: ProgramDestination, *chunks: bytes) -> tuple[str, bool] | None:
    [result] = why(store(destination, [(arrival(1), chunks or [MAIL])]))
    return result


@pytest.mark.parametrize(
    "script,result",
    [
        ("cat > /dev/null", None),
        ("exit 0", None),
        ("exit 75", ("/bin/sh: its exit status was 75", True)),
        ("exit 1", ("/bin/sh: its exit status was 1", False)),
        ("exit 77", ("/bin/sh: its exit status was 77", False)),
        ("exit 255", ("/bin/sh: its exit status was 255", False)),
        ("kill -9 $$", ("/bin/sh: it was killed by signal 9", False)),
        ("kill -PIPE $$", ("/bin/sh: it was killed by signal 13", False)),
        ("echo one >&2; echo; echo two >&2; echo >&2; exit 1", ("/bin/sh: its exit status was 1: two", False)),
        (r"printf 'red \033[31m \377' >&2; exit 75", (r"/bin/sh: its exit status was 75: red \x1b[31m \xff", True)),
    ],
)
def test_what_the_end_of_a_program_means(script: str, result: tuple[str, bool] | None) -> None:
    assert run(shell(script)) == result


@given(st.data())
def test_lines_end_with_lf_for_programs(data: st.DataObject) -> None:
    message = data.draw(messages)
    ends: Literal["lf", "crlf"] = data.draw(st.sampled_from(["lf", "crlf"]))
    with tempfile.TemporaryDirectory() as folder:
        destination = shell('cat > "$0"', f"{folder}/copy", line_ends=ends)
        assert run(destination, *data.draw(chunkings(message)) or [b""]) is None
        expected = message if ends == "crlf" else normal(message).replace(b"\r\n", b"\n")
        assert Path(folder, "copy").read_bytes() == expected


def test_a_program_that_reads_nothing_hinders_nobody() -> None:
    assert run(shell("exit 0"), b"x" * 79 + b"\r\n", b"y" * (3 << 20)) is None


def test_what_a_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    destination = ProgramDestination(
        [
            sys.executable,
            "-c",
            f"import os, sys; open({str(tmp_path / 'told')!r}, 'w').write(repr((sys.argv, dict(os.environ))))",
            "{x}",
            "a b; $c",
        ],
        environment={"MINE": "1"},
        account="ann@pop.example.org",
    )
    assert destination.name == f"the program {sys.executable}"
    store(destination, [(arrival(7, header_only=True), [MAIL])])
    argv, environment = eval((tmp_path / "told").read_text())
    assert argv[1:] == ["{x}", "a b; $c"]
    assert (
        environment.items()
        >= {
            "INHERITED": "yes",
            "MINE": "1",
            "POP3PROTO_UNIQUE_ID": "id7",
            "POP3PROTO_OCTETS": str(len(MAIL)),
            "POP3PROTO_ACCOUNT": "ann@pop.example.org",
            "POP3PROTO_HEADER_ONLY": "1",
        }.items()
    )


STATE = """
import os, signal, sys
descriptors = sorted(os.listdir("/dev/fd"), key=int)
ignored = [s.name for s in (signal.SIGINT, signal.SIGPIPE, signal.SIGHUP) if signal.getsignal(s) == signal.SIG_IGN]
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
print(descriptors[:3], len(descriptors) - 1, ignored, blocked, os.getsid(0) == os.getpid(), file=sys.stderr)
sys.exit(1)
"""


def test_a_program_starts_clean() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        result = run(ProgramDestination([sys.executable, "-c", STATE]))
    finally:
        signal.signal(signal.SIGHUP, before)
        os.close(reader)
        os.close(writer)
    assert result is not None
    # Python itself ignores SIGPIPE; a descriptor is open while the folder of them is read.
    assert result[0].endswith("['0', '1', '2'] 3 ['SIGPIPE'] set() True")


@pytest.mark.deep
def test_standard_input_may_be_closed_in_this_process(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tests.helpers.storing import arrival, store
from pop3proto.fetching.destinations import ProgramDestination
for descriptor in (0, 1, 2):
    os.close(descriptor)
destination = ProgramDestination(["/bin/sh", "-c", 'cat > "$0"; echo no >&2; exit 1', sys.argv[1]])
results = store(destination, [(arrival(1), [b"a\\r\\n"])])
os._exit(0 if str(results[0]) == "/bin/sh: its exit status was 1: no" else 3)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, tmp_path / "copy"]
    assert subprocess.run(command, check=False, timeout=PATIENCE, env=environment).returncode == 0
    assert (tmp_path / "copy").read_bytes() == b"a\n"


def test_a_program_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(NothingStored, match=r"cannot run it: No such file or directory: 'no-such-program'"):
        run(ProgramDestination(["no-such-program"]))
    with pytest.raises(NothingStored, match="text"):
        run(ProgramDestination([str(tmp_path / "text")]))


@pytest.mark.parametrize(
    "argv,options",
    [
        ([], {}),
        ([""], {}),
        (["a\0"], {}),
        (["a"], {"timeout": 0}),
        (["a"], {"account": "\0"}),
        (["a"], {"environment": {"b": "\0"}}),
    ],
)
def test_a_program_that_cannot_be(argv: list[str], options: Any) -> None:
    with pytest.raises(ValueError, match=r"must|cannot"):
        ProgramDestination(argv, **options)


def test_a_program_that_takes_too_long_is_terminated() -> None:
    result = run(shell("exec sleep 1000", timeout=0.01))
    assert result == ("/bin/sh: it did not end within 0.01 seconds", True)


def test_a_program_that_does_not_want_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is all that it has started."""
    monkeypatch.setattr(program, "_GRACE", 0.2)
    poll = children._poll
    note = tmp_path / "note"
    calls: list[int] = []

    def polling(process: int, until: float) -> int | None:
        calls.append(process)
        if len(calls) == 1:  # until it has got so far
            wait_until(lambda: note.exists() and len(note.read_text().split()) == 2, "it has not begun")
        return poll(process, until)

    monkeypatch.setattr(children, "_poll", polling)
    script = (
        """trap 'echo terminated >> "$0"' TERM; sleep 1000 & echo $$ > "$0"; echo $! >> "$0"; while :; do wait; done"""
    )
    result = run(shell(script, str(note), timeout=0.01))
    assert result == ("/bin/sh: it did not end within 0.01 seconds", True)
    leader, child, *rest = note.read_text().split()
    assert rest == ["terminated"]
    for process in (leader, child):
        wait_until(
            lambda process=process: (
                not Path("/proc", process).exists() or " Z " in Path("/proc", process, "stat").read_text()
            ),
            "it lives",
        )  # type: ignore[misc]


def test_many_threads_deliver_at_once() -> None:
    results: list[tuple[str, bool] | None] = []

    def work() -> None:
        results.extend([run(shell(f"cat > /dev/null; exit {number}")) for number in range(3)])

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    join(*threads)
    ends = [None, *((f"/bin/sh: its exit status was {number}", False) for number in (1, 2))]
    assert sorted(results, key=str) == sorted(ends * 4, key=str)
