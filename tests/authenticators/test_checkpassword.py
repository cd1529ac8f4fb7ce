"""A program that checks passwords: what it gets, what its ending means, and that nothing of it stays."""

import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from pop3proto._io import children
from pop3proto.authenticators import CheckPassword, checkpassword
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.channel import SessionInfo
from pop3proto.sasl.registry import SERVER_MECHANISMS
from tests.helpers.processes import PATIENCE, join

HERE = SessionInfo("192.0.2.7")

# As qmail's, for one user; it also writes down what it has got, if it is told where.
PROGRAM = """
import os, signal, sys
data = b"".join(iter(lambda: os.read(3, 600), b""))
os.close(3)
note, run = sys.argv[1], sys.argv[2:]
if note:
    with open(note, "w") as file:
        print([data, run, dict(os.environ), os.listdir("/dev/fd"), sorted(signal.pthread_sigmask(0, ()))], file=file)
user, password, timestamp, rest = data.split(b"\\0", 3)
if (user, password) != (b"ann", b"secret"):
    sys.exit(1)
os.execv(run[0], run)
"""


def program(note: "Path | str" = "", **options) -> CheckPassword:
    return CheckPassword([sys.executable, "-c", PROGRAM, str(note)], **options)


def shell(script: str, **options) -> CheckPassword:
    return CheckPassword(["/bin/sh", "-c", script, "sh"], **options)


def noted(note: Path) -> list:
    """What the program has got: data, what to run, environment, descriptors, blocked signals."""
    return eval(note.read_text())


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the processes that are started."""
    processes: list[int] = []
    spawn = os.posix_spawnp

    def spy(*arguments, **options) -> int:
        processes.append(spawn(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(checkpassword.os, "posix_spawnp", spy)
    return processes


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def is_reaped(process: int) -> bool:
    try:
        os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


# ----------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    "user, password, right",
    [
        ("ann", "secret", True),
        ("ann", "Secret", False),
        ("ann", "secret ", False),
        ("bob", "secret", False),
        ("ann", "", False),
        ("", "secret", False),
        ("ann\0secret", "x", False),
        ("ann", "secret\0x", False),
        ("ann", "\ud800", False),
        ("ann", "x" * 600, False),
    ],
)
def test_who_gets_in(user, password, right):
    assert program().check_password(user, password, HERE) is right


def test_what_can_be_announced():
    authenticator = program()
    assert authenticator.blocks
    assert {name for name, entry in SERVER_MECHANISMS.items() if entry.suits(authenticator, HERE)} == {"PLAIN", "LOGIN"}


@pytest.mark.parametrize(
    "script, why",
    [
        ("exit 2", "its exit status was 2"),
        ("exit 111", "its exit status was 111"),
        ("exit 127", "its exit status was 127"),
        ("kill -9 $$", "it was killed by signal 9"),
        ("kill -1 $$", "it was killed by signal 1"),
    ],
)
def test_everything_else_is_unavailable(script, why, caplog, spawned):
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable) as unavailable:
        shell(script).check_password("ann", "marker", HERE)
    assert unavailable.value.reply.text == "[SYS/TEMP] logins cannot be checked now; try again later"
    assert caplog.messages == [f"logins cannot be checked: /bin/sh: {why}"]
    assert all(map(is_reaped, spawned))


@pytest.mark.parametrize("name", ["/no/such/program", "no-such-program", "/"])
def test_a_program_that_cannot_be_run(name, caplog):
    before = descriptors()
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable):
        CheckPassword([name]).check_password("ann", "marker", HERE)
    assert name in caplog.text
    assert "marker" not in caplog.text
    assert descriptors() == before


def test_it_may_read_nothing():
    assert not shell("exit 1").check_password("ann", "secret", HERE)
    assert shell("exec 3<&-; exit 0").check_password("ann", "secret", HERE)


def test_what_is_run_at_the_end_counts():
    for status, right in ((0, True), (1, False)):
        assert program(then=["/bin/sh", "-c", f"exit {status}"]).check_password("ann", "secret", HERE) is right
    with pytest.raises(Unavailable):
        program(then=["/bin/sh", "-c", "exit 3"]).check_password("ann", "secret", HERE)


@pytest.mark.parametrize("command, timeout", [([], 1), ([""], 1), (["x"], 0), (["x"], -1), (["x"], float("nan"))])
def test_arguments_that_make_no_sense(command, timeout):
    with pytest.raises(ValueError, match=r"program|timeout"):
        CheckPassword(command, timeout=timeout)


def test_a_system_without_true(monkeypatch):
    monkeypatch.setattr(checkpassword.shutil, "which", lambda *_, **__: None)
    with pytest.raises(FileNotFoundError, match="true"):
        CheckPassword(["x"])
    CheckPassword(["x"], then=["y"])


# -------------------------------------------------------------------------------------- what it is given


@given(st.text(max_size=300), st.text(max_size=300))
@example("ann", "x" * 478)
@example("ann", "x" * 479)
@example("ann", "\udcff")
def test_the_interface(user, password):
    message = checkpassword._message(user, password)
    try:
        octets = [text.encode("utf-8", "surrogateescape") for text in (user, password)]
    except UnicodeEncodeError:
        octets = []
    if message is None:
        lengths = sum(map(len, octets))
        assert not octets or not all(octets) or b"\0" in b"".join(octets) or lengths > 512 - 3 - 30
    else:
        assert len(message) <= 512
        name, secret, timestamp, rest = message.split(b"\0")
        assert ([name, secret], rest) == (octets, b"")
        assert message != checkpassword._message(user, password)
        assert timestamp.startswith(b"<")


def test_a_message_of_512_octets_is_read_whole(tmp_path):
    note = tmp_path / "note"
    room = 512 - len(checkpassword._message("ann", "x") or b"")
    assert not program(note).check_password("ann", "x" * (room + 1), HERE)
    assert len(noted(note)[0]) == 512
    note.unlink()
    assert not program(note).check_password("ann", "x" * (room + 2), HERE)
    assert not note.exists()


def test_what_the_program_gets(tmp_path, monkeypatch):
    monkeypatch.setenv("MARK", "kept")
    note = tmp_path / "note"
    readable, writable = os.pipe()
    try:
        os.set_inheritable(writable, True)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        assert program(note).check_password("ann", "secret", HERE)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.close(readable)
        os.close(writable)
    data, run, environment, descriptors, blocked = noted(note)
    assert data.startswith(b"ann\0secret\0<")
    assert [Path(each).name for each in run] == ["true"]
    assert run[0].startswith("/")
    assert (environment["PROTO"], environment["TCPREMOTEIP"], environment["MARK"]) == ("TCP", "192.0.2.7", "kept")
    assert not any("secret" in value for value in environment.values())
    assert str(writable) not in descriptors
    assert blocked == []


def test_a_client_without_an_address(tmp_path, monkeypatch):
    monkeypatch.delenv("TCPREMOTEIP", raising=False)
    assert program(tmp_path / "note").check_password("ann", "secret", SessionInfo())
    assert "TCPREMOTEIP" not in noted(tmp_path / "note")[2]


def test_systems_that_do_not_list_descriptors(monkeypatch):
    def missing(*_: object) -> list[str]:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(checkpassword.os, "listdir", missing)
    assert children.inherited_descriptors(above=3) == []
    assert program().check_password("ann", "secret", HERE)


def test_a_descriptor_that_is_closed_meanwhile(monkeypatch):
    monkeypatch.setattr(checkpassword.os, "listdir", lambda _: ["0", "3", "1000000", ".x"])
    assert children.inherited_descriptors(above=3) == []


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("closed", [(), (0,), (0, 1), (0, 1, 2)])
def test_descriptor_3_whichever_are_free(closed):
    """A process in which the pipe gets the numbers that the program is to have."""
    code = f"""
import os, sys
from pop3proto.authenticators import CheckPassword
from pop3proto.sasl.channel import SessionInfo
for descriptor in {closed}:
    os.close(descriptor)
check = CheckPassword([sys.executable, "-c", {PROGRAM!r}, ""])
right = [check.check_password("ann", password, SessionInfo()) for password in ("secret", "wrong")]
os._exit(0 if right == [True, False] else 3)
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=PATIENCE)
    assert ended.returncode == 0


# ---------------------------------------------------------------------------------------------- its end


def test_a_program_that_does_not_end_is_killed(spawned, caplog):
    with caplog.at_level(logging.ERROR, "pop3proto"), pytest.raises(Unavailable) as unavailable:
        shell("exec sleep 1000", timeout=0.01).check_password("ann", "marker", HERE)
    assert isinstance(unavailable.value.__cause__, TimeoutError)
    assert caplog.messages == ["logins cannot be checked: /bin/sh: it did not end within 0.01 seconds"]
    assert all(map(is_reaped, spawned))


def test_what_it_has_started_is_killed_too(tmp_path, monkeypatch, spawned):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with FileIO(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)) as alive:
        os.set_blocking(alive.fileno(), True)

        def wait_for_both(process: int, until: float) -> None:
            seen = b""
            while len(seen) < 2:  # it reads nothing before somebody has opened it for writing
                seen += alive.read(1)

        monkeypatch.setattr(children, "_poll", wait_for_both)
        script = f"exec 9>{fifo}; (echo >&9; exec sleep 1000) & echo >&9; exec sleep 1000"
        with pytest.raises(Unavailable):
            shell(script).check_password("ann", "secret", HERE)
        assert alive.read() == b""  # it ends only when nobody has it open for writing
    assert all(map(is_reaped, spawned))


def test_an_interrupt_leaves_nothing_behind(monkeypatch, spawned):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(children, "_poll", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shell("exec sleep 1000").check_password("ann", "secret", HERE)
    assert len(spawned) == 1
    assert all(map(is_reaped, spawned))


def test_what_may_not_be_killed_keeps_nobody_waiting(monkeypatch, spawned):
    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(checkpassword.os, "killpg", denied)
    monkeypatch.setattr(children, "_LONGEST_GRACE", 0.01)
    with pytest.raises(Unavailable):
        shell("exec sleep 1000", timeout=0.01).check_password("ann", "secret", HERE)
    os.kill(spawned[0], signal.SIGKILL)
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            join(thread)
    assert is_reaped(spawned[0])


def test_somebody_else_has_reaped_it(monkeypatch, spawned):
    killed: list[int] = []
    monkeypatch.setattr(checkpassword.os, "killpg", lambda process, _: killed.append(process))
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(Unavailable) as unavailable:
            shell("exit 0").check_password("ann", "secret", HERE)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert isinstance(unavailable.value.__cause__, ChildProcessError)
    assert killed == []  # its number may be another's


@pytest.mark.deep
def test_many_at_once():
    before = descriptors()
    authenticator = program()
    passwords = ["secret", "wrong"] * 12
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda password: authenticator.check_password("ann", password, HERE), passwords)
        assert list(answers) == [True, False] * 12
    assert descriptors() == before


def test_secrets_are_not_printed(caplog):
    authenticator = shell("exit 111")
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable) as unavailable:
        authenticator.check_password("ann", "marker", HERE)
    shown = [repr(authenticator), repr(unavailable.value), repr(unavailable.value.__cause__), caplog.text]
    assert "marker" not in "".join(shown)
