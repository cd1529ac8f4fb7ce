"""The log of a server: what its lines say, where they go, and what becomes of them when they cannot go there."""

import errno
import json
import logging
import os
import pty
import select
import socket
import struct
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from pop3proto import LoginFailed
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import connect, serve
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service
from pop3proto.procedures.maildrop import Message
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import AuditLog, JsonFormatter
from pop3proto.serving.config import Log
from pop3proto.serving.log import handlers
from pop3proto.serving.log.fields import TextFormatter
from pop3proto.serving.log.handlers import FileLines, JournalLines, SyslogLines
from pop3proto.serving.log.setup import ServerLog
from pop3proto.serving.log.stderr import StderrLines
from tests.helpers.processes import join
from tests.helpers.programs import PATIENCE


def record(text="hello", level=logging.INFO, **fields):
    made = logging.LogRecord("pop3proto", level, __file__, 1, text, (), None)
    if fields:
        made.pop3proto = fields
    return made


def picked(line, names):
    return [line[name] for name in names.split()]


def a_session(log):
    """What is logged of a login that fails, a session that deletes a message, and an error of the library."""
    written = ServerLog(log)
    try:
        store = MemoryStore({"ann": [b"one\n", b"two\n"]})
        users = MemoryAuthenticator({"ann": "tanstaaf"})
        with serve(
            Service(store=store, authenticator=users, failure_delay=0, login_penalty=None, observer=AuditLog())
        ) as server:
            with connect(*server.address, tls="none") as client, pytest.raises(LoginFailed):
                client.login("an n", "Marker", only=["PLAIN"])
            with connect(*server.address, tls="none") as client:
                client.login("ann", "tanstaaf", only=["PLAIN"])
                client.fetch(1)
                client.dele(2)
        logging.getLogger("pop3proto").error("the disk\nis full")
        logging.getLogger("pop3proto").info("not for the log")
    finally:
        written.close()


def test_text_in_a_file(tmp_path):
    path = tmp_path / "log"
    a_session(Log(to=path))
    lines = path.read_text().splitlines()
    assert all(line[4] == "-" and line.split(" ", 1)[1].startswith("pop3proto serve: ") for line in lines)
    words = [line.partition("pop3proto serve: ")[2] for line in lines]
    assert len(words) == 4
    assert words[0].endswith(r"from 127.0.0.1: login failed: method=PLAIN user=an\x20n")
    assert ": ended: user=- method=- tls=- retrieved=0 deleted=0 octets=" in words[1]
    assert ": ended: user=ann method=PLAIN tls=- retrieved=1 deleted=1 octets=" in words[2]
    assert words[2].endswith(" end=quit")
    assert " seconds=" in words[2]
    assert words[3] == r"the disk\nis full"
    assert "Marker" not in path.read_text()


def test_json_in_a_file_and_an_audit_beside_it(tmp_path):
    a_session(Log(to=tmp_path / "log", format="json", audit=tmp_path / "audit"))
    failed, _, ended, message = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert failed["event"] == "login failed"
    assert (failed["user"], failed["method"], failed["address"], failed["level"]) == (
        "an n",
        "PLAIN",
        "127.0.0.1",
        "info",
    )
    assert (ended["event"], ended["user"], ended["retrieved"], ended["deleted"], ended["end"]) == (
        "ended",
        "ann",
        1,
        1,
        "quit",
    )
    assert isinstance(ended["seconds"], float)
    assert isinstance(ended["octets"], int)
    assert ended["listener"].startswith("127.0.0.1:")
    assert (message["event"], message["text"], message["level"]) == ("message", r"the disk\nis full", "error")
    [deleted] = map(json.loads, (tmp_path / "audit").read_text().splitlines())
    assert deleted["time"].endswith("+00:00")
    del deleted["time"], deleted["unique_id"], deleted["listener"]
    assert deleted == {
        "level": "info",
        "event": "deleted",
        "session": ended["session"],
        "address": "127.0.0.1",
        "user": "ann",
        "octets": 5,
    }


def test_an_audit_as_text(tmp_path):
    a_session(Log(to=tmp_path / "log", audit=tmp_path / "audit"))
    [line] = (tmp_path / "audit").read_text().splitlines()
    assert " from 127.0.0.1: deleted: user=ann unique_id=" in line
    assert line.endswith(" octets=5")


def test_without_an_audit_nothing_is_said_of_messages(tmp_path):
    a_session(Log(to=tmp_path / "log"))
    assert "deleted:" not in (tmp_path / "log").read_text()


def test_the_dialogue_is_logged_if_it_is_wanted(tmp_path):
    for dialogue in (False, True):
        log = ServerLog(Log(to=tmp_path / "log", dialogue=dialogue))
        logging.getLogger("pop3proto.sessions").debug("S: +OK")
        log.close()
        assert ("S: +OK" in (tmp_path / "log").read_text()) is dialogue


def test_nothing_is_left_when_it_is_closed(tmp_path):
    ServerLog(Log(to=tmp_path / "log")).close()
    logging.getLogger("pop3proto.server").error("later")
    assert (tmp_path / "log").read_text() == ""
    assert logging.getLogger("pop3proto.audit").propagate


def test_a_file_that_cannot_be_opened_changes_nothing(tmp_path):
    before = list(logging.getLogger("pop3proto").handlers)
    with pytest.raises(FileNotFoundError):
        ServerLog(Log(to=tmp_path / "log", audit=tmp_path / "none" / "audit"))
    assert logging.getLogger("pop3proto").handlers == before


@given(st.text(), st.text())
def test_no_name_forges_a_line_or_a_field(user, reason):
    made = record(
        event="ended", session=1, address="192.0.2.1", listener="", user=user, method="PLAIN", end="x", reason=reason
    )
    text = TextFormatter(timed=False).format(made)
    assert text.isprintable()
    assert [*map(len, text.split("\n"))] == [len(text)]
    words = text.removeprefix("pop3proto serve: session 1 from 192.0.2.1: ended: ").split(" ")
    assert words[0].startswith("user=")
    assert words[1] == "method=PLAIN"
    assert words[2] in {"end=x", "end=x:"}
    assert json.loads(JsonFormatter().format(made))["user"] == user


def test_an_exception_is_told_in_one_line():
    error = ValueError("wrong\nline")
    made = logging.LogRecord("pop3proto", logging.ERROR, __file__, 1, "failed", (), (ValueError, error, None))
    assert TextFormatter("", timed=False).format(made) == r"failed: ValueError: wrong\nline"


# ------------------------------------------------------------------------------------------- files


def test_a_file_that_was_moved_is_opened_again(tmp_path):
    path = tmp_path / "log"
    lines = FileLines(path)
    lines.handle(record("one"))
    path.rename(tmp_path / "log.1")
    lines.handle(record("two"))
    path.unlink()
    lines.handle(record("three"))
    lines.reopen()
    lines.close()
    assert (tmp_path / "log.1").read_text() == "one\n"
    assert path.read_text() == "three\n"
    assert path.stat().st_mode & 0o777 == 0o640 & ~umask()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_full_disk_loses_lines_and_says_how_many(tmp_path, monkeypatch):
    path = tmp_path / "log"
    lines = FileLines(path)
    true, room = os.write, [3]

    def write(descriptor, octets):
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = true(descriptor, octets[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(handlers.os, "write", write)
    for text in ("one", "two", "three"):
        lines.handle(record(text))
    assert lines.lost == 3
    room[0] = 1000
    lines.handle(record("four"))
    lines.close()
    assert path.read_text() == "one\n3 lines of the log could not be written\nfour\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_session_goes_on_though_the_disk_is_full():
    a_session(Log(to=Path("/dev/full"), audit=Path("/dev/full")))


def test_a_folder_that_is_gone_keeps_the_old_file(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    lines = FileLines(folder / "log")
    folder.rename(tmp_path / "other")
    lines.handle(record("one"))
    assert (tmp_path / "other" / "log").read_text() == "one\n"
    with pytest.raises(FileNotFoundError):
        lines.reopen()
    lines.close()


def test_what_cannot_be_opened_again_is_told(tmp_path, capsys):
    log = ServerLog(Log(to=tmp_path / "log"))
    assert [*log.reopen()] == []
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    problem = f"cannot open the log {tmp_path / 'log'} again: Is a directory"
    assert [*log.reopen()] == [problem]
    log.close()
    said = capsys.readouterr().err
    assert said.endswith(f" pop3proto serve: {problem}\n")  # the log may be what is gone
    assert said.count("\n") == 1


def test_standard_error_gets_it_once(tmp_path, capsys):
    log = ServerLog(Log(to="stderr", audit=tmp_path / "log"))
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    for problem in log.reopen():
        logging.getLogger("pop3proto").error(problem)
    log.close()
    assert capsys.readouterr().err.count("cannot open the log") == 1


def test_lines_in_a_file_that_was_removed_are_lost(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    lines = FileLines(folder / "log")
    (folder / "log").unlink()
    folder.rmdir()
    lines.handle(record("one"))
    lines.handle(record("two"))
    assert lines.lost == 2
    folder.mkdir()
    lines.handle(record("three"))
    lines.close()
    assert (folder / "log").read_text() == "2 lines of the log could not be written\nthree\n"


@pytest.mark.parametrize(
    "kind", [lambda: FileLines(Path("/")), lambda: SyslogLines("male"), lambda: JournalLines(Path("/none"))]
)
def test_what_cannot_be_made_is_not_closed_at_the_end(kind):
    before = {*map(id, (reference() for reference in logging._handlerList))}
    with pytest.raises((OSError, ValueError)):
        kind()
    after = [reference() for reference in logging._handlerList]
    assert all(handler is None or id(handler) in before for handler in after)


def test_a_fifo_in_place_of_the_file_stops_no_session(tmp_path):
    path = tmp_path / "log"
    lines = FileLines(path)
    path.unlink()
    os.mkfifo(path)

    def write():
        lines.handle(record("one"))
        with pytest.raises(OSError, match="No such device"):
            lines.reopen()
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb"):
            for _ in range(3_000):
                lines.handle(record("x" * 100))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    join(thread)
    assert lines.lost
    lines.close()


def test_a_file_that_cannot_be_opened_again_is_told_when_it_is_noticed(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    log = ServerLog(Log(to=tmp_path / "folder" / "log"))
    for number in range(2):
        (tmp_path / "folder").rename(tmp_path / f"away{number}")
        for _ in range(3):
            logging.getLogger("pop3proto").error("one")
        said = capsys.readouterr().err
        assert said.count(f"cannot open the log {tmp_path}/folder/log again: No such file or directory") == 1
        assert (tmp_path / f"away{number}" / "log").read_text().count("one") == 3
        (tmp_path / "folder").mkdir()
        logging.getLogger("pop3proto").error("two")
        assert (tmp_path / "folder" / "log").read_text().endswith("two\n")
    log.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_root_makes_is_for_the_server(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, 4711, 4712)
    FileLines(folder / "log").close()
    status = (folder / "log").stat()
    assert (status.st_uid, status.st_gid) == (4711, 4712)
    (tmp_path / "mine").touch()
    os.chown(tmp_path, 4711, 4712)
    FileLines(tmp_path / "mine").close()
    assert (tmp_path / "mine").stat().st_uid == 0  # what is there stays as it is


def test_standard_error(capsys):
    lines = StderrLines()
    lines.handle(record("one"))
    assert capsys.readouterr() == ("", "one\n")


def not_reopened(monkeypatch):
    """It may not, as it belongs to another user or is a socket."""

    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("pop3proto.serving.log.stderr.os.open", refuse)


@pytest.mark.parametrize("kind", ["pipe", "pipe of another user", "socket", "terminal"])
def test_standard_error_that_nothing_reads_stops_no_session(kind, monkeypatch):
    if kind == "socket":
        ends = socket.socketpair()
        reading, writing = (end.detach() for end in ends)
    else:
        reading, writing = pty.openpty() if kind == "terminal" else os.pipe()
    if kind == "pipe of another user":
        not_reopened(monkeypatch)
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        lines = StderrLines()
        texts = ["x" * 50, "y" * 10_000]

        def write():
            for number in range(3_000):
                lines.handle(record(texts[number % 2]))

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        join(thread)
        assert lines.lost
        assert os.get_blocking(writing)  # it is shared with other programs
        os.set_blocking(reading, False)
        while reader.read(1 << 20):
            pass
        assert select.select([], [writing], [], PATIENCE)[1]
        lost = lines.lost
        lines.handle(record("here"))
        assert lines.lost == 0
        last = b""
        while b"here" not in last:  # a terminal hands it over a little later
            assert select.select([reader], [], [], PATIENCE)[0]
            last += reader.read(1 << 16)
        assert " ".join(last.decode().split()[-10:]) == f"{lost} lines of the log could not be written here"
        lines.close()


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_standard_error_lines_go_nowhere(monkeypatch, tmp_path, stream):
    if stream is not None:
        stream = (tmp_path / "x").open("w")
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    lines = StderrLines()
    lines.handle(record("one"))
    lines.close()


def test_standard_error_in_a_file_is_shared(monkeypatch, tmp_path):
    with (tmp_path / "file").open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        lines = StderrLines()
        print("first", file=stream, flush=True)
        lines.handle(record("one"))
        print("last", file=stream, flush=True)
        lines.close()
    assert (tmp_path / "file").read_text() == "first\none\nlast\n"


# ------------------------------------------------------------------------------- the system's logs


@pytest.fixture
def system(tmp_path):
    """A socket such as syslog has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "socket"))
        receiver.settimeout(60)
        yield receiver, tmp_path / "socket"


@pytest.mark.parametrize(
    "level, severity", [(logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)]
)
def test_syslog(system, level, severity):
    receiver, path = system
    lines = SyslogLines("mail", path)
    lines.handle(record("hello", level))
    lines.close()
    head, _, text = receiver.recv(10_000).decode().partition(": ")
    assert text == "hello"
    assert head.startswith(f"<{2 * 8 + severity}>")
    assert head.endswith(f" pop3proto[{os.getpid()}]")
    with pytest.raises(ValueError, match="no facility"):
        SyslogLines("male", path)


def test_the_journal(system):
    receiver, path = system
    lines = JournalLines(path)
    lines.handle(
        record(
            event="deleted",
            session=7,
            address="192.0.2.1",
            listener="x",
            user="an\nn",
            unique_id="u",
            octets=5,
            end=None,
        )
    )
    lines.close()
    fields = journal(receiver.recv(10_000))
    assert fields == {
        "MESSAGE": r"session 7 from 192.0.2.1: deleted: user=an\nn unique_id=u octets=5 end=-",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "pop3proto",
        "POP3_EVENT": "deleted",
        "POP3_SESSION": "7",
        "POP3_ADDRESS": "192.0.2.1",
        "POP3_LISTENER": "x",
        "POP3_USER": "an\nn",
        "POP3_UNIQUE_ID": "u",
        "POP3_OCTETS": "5",
    }


def journal(octets):
    """Read the journal's own protocol."""
    fields = {}
    while octets:
        name, _, octets = octets.partition(b"\n")
        [length] = struct.unpack("<Q", octets[:8])
        fields[name.decode()] = octets[8 : 8 + length].decode()
        assert octets[8 + length : 9 + length] == b"\n"
        octets = octets[9 + length :]
    return fields


def test_a_log_that_was_started_anew_gets_the_next_line(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first:
        first.bind(str(path))
        lines = SyslogLines("mail", path)
    path.unlink()
    lines.handle(record("lost"))
    assert lines.lost == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(str(path))
        second.settimeout(60)
        lines.handle(record("here"))
        assert second.recv(10_000).endswith(b"1 lines of the log could not be written")
        assert second.recv(10_000).endswith(b": here")
    lines.close()


def test_a_log_that_does_not_read_stops_no_session(system):
    _, path = system
    lines = SyslogLines("mail", path)
    for _ in range(2_000):
        lines.handle(record("x" * 4_000))
    assert lines.lost
    lines.close()


def test_the_targets_of_a_configuration(system, tmp_path, monkeypatch):
    receiver, path = system
    for kind in (SyslogLines, JournalLines):
        monkeypatch.setattr(kind.__init__, "__defaults__", (path,))
    for target, form, facility, expected in (
        ("syslog", "text", "local3", b": hello"),
        ("syslog", "json", "mail", b'"text": "hello"}'),
        ("journal", "text", "mail", b"hello"),
    ):
        log = ServerLog(Log(to=target, format=form, facility=facility))
        logging.getLogger("pop3proto").error("hello")
        log.close()
        got = receiver.recv(10_000)
        assert expected in got
        assert got.startswith(b"<155>") is (facility == "local3")
    monkeypatch.setattr(SyslogLines.__init__, "__defaults__", (tmp_path / "none",))
    with pytest.raises(FileNotFoundError) as failed:
        ServerLog(Log(to="syslog"))
    assert failed.value.filename == str(tmp_path / "none")


def test_the_audit_has_a_logger_of_ones_own_too(caplog):
    with caplog.at_level(logging.INFO, "other"):
        observer = AuditLog(logging.getLogger("other"))
        observer.committed(SessionInfo("192.0.2.1", id=3, user="ann"), [Message(5, "u")], [])
    [made] = caplog.records
    assert made.pop3proto["unique_id"] == "u"
    assert made.getMessage() == "session 3: deleted: u, 5 octets"
    assert Path(made.pathname).name == "audit.py"
