"""Every failure of the command line is one clear line on standard error, and a status that is not 0."""

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

import pytest
import trustme

from pop3proto.blocking import Server
from pop3proto.cli import main
from pop3proto.core.limits import Limits
from pop3proto.fetching.accounts.targets import JOURNAL_NAME
from pop3proto.maildrops import MemoryStore
from pop3proto.sasl.channel import SessionInfo
from tests.helpers import cli_servers
from tests.helpers.cli_servers import (
    HangUp,
    Scripted,
    at,
    body,
    name_of,
    password_file,
    serving,
)
from tests.helpers.processes import PATIENCE, join, started


def maildir(path: Path) -> Path:
    for folder in ("new", "cur", "tmp"):
        (path / folder).mkdir(parents=True)
    return path


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """`pop3proto` as a process."""
    command = [sys.executable, "-m", "pop3proto", *arguments]
    return subprocess.run(command, check=False, text=True, timeout=PATIENCE, **({"capture_output": True} | options))


def fetch(server: Server | Scripted, target: Path, *options: str) -> int:
    """Fetch in clear: what goes wrong here has nothing to do with TLS."""
    return cli_servers.fetch(server, target, "--allow-cleartext", *options)


def line_of(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on standard error: one line. Standard output may say that no messages were fetched."""
    out, err = capsys.readouterr()
    assert out == "" or re.fullmatch(r"\S+: no messages fetched[^\n]*\n", out)
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err[:-1]


# ------------------------------------------------------------------------------------ the program itself


def test_no_command_shows_the_help(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: pop3proto ")
    assert all(command in err for command in ("demo", "fetch", "serve", "state"))


@pytest.mark.parametrize("arguments", [["-h"], ["serve", "-h"], ["fetch", "--help"], ["demo", "-h"], ["--version"]])
def test_help_and_version(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert "pop3proto" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["--bogus"],
        ["serve"],
        ["serve", "m", "--user", "a", "--password-file", "f", "--port", "65536"],
        ["serve", "m", "--user", "a", "--password-file", "f", "--port", "pop3"],
        ["fetch", "pops://ann@h", "m", "--timeout", "0"],
        ["fetch", "pops://ann@h", "m", "--timeout", "soon"],
        ["fetch", "pops://ann@h", "m", "--timeout", "nan"],
        ["fetch", "pops://ann@h", "m", "--timeout", "86401"],
        ["fetch", "pops://ann@h", "m", "--timeout", "1e12"],
        ["demo", "x"],
    ],
)
def test_mistakes_in_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: pop3proto" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, program",
    [
        (["fetch", "pops://ann@h", "m", "--bogus"], "pop3proto fetch"),
        (["fetch", "--bogus", "pops://ann@h", "m"], "pop3proto fetch"),
        (["fetch", "--bogus"], "pop3proto fetch"),
        (["passwd", "users", "ann", "extra"], "pop3proto passwd"),
        (["serve", "m", "--user", "ann", "--bogus"], "pop3proto serve"),
        (["demo", "x"], "pop3proto demo"),
        (["--bogus", "demo"], "pop3proto"),
        (["--bogus"], "pop3proto"),
        (["bogus"], "pop3proto"),
    ],
)
def test_the_usage_is_that_of_the_command(arguments, program, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"usage: {program} ")
    assert f"\n{program}: error: " in err


@pytest.mark.deep
def test_the_status_reaches_the_shell(tmp_path):
    assert run("--version").returncode == 0
    assert run().returncode == 2
    failed = run("fetch", "pops://ann:secret@h", str(tmp_path))
    assert failed.returncode == 2
    assert failed.stderr.startswith("pop3proto fetch: a password does not belong in a URL")
    script = Path(sys.executable).parent / "pop3proto"
    if script.exists():
        command = [script, "fetch", "x://", "y"]
        assert subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE).returncode == 2


# What Windows lacks of what is used.
WITHOUT_POSIX = """
import os, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "fchmod", "fchown", "chown", "pread", "uname"):
    delattr(os, name)
"""


def run_without_posix(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_POSIX + code, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)


RUN_MAIN = "from pop3proto.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize(
    "arguments", [("fetch", "pop://ann@h", "x"), ("passwd", "-h"), ("serve", "x", "--user", "ann")]
)
def test_a_system_without_posix_is_told_so(arguments):
    result = run_without_posix(RUN_MAIN, *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"pop3proto {arguments[0]}: it does not work on this system: ")
    assert result.stderr.endswith("which only POSIX systems have\n") or "only POSIX systems can" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.deep
def test_the_demo_and_the_help_work_without_posix():
    result = run_without_posix(RUN_MAIN, "demo")
    assert (result.returncode, result.stderr) == (0, "")
    result = run_without_posix(RUN_MAIN, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "(not on this system)" in result.stdout


@pytest.mark.parametrize("name", ["MaildirStore", "Maildirs"])
def test_without_posix_the_store_says_why(name):
    result = run_without_posix(f"from pop3proto.maildrops import {name}")
    assert result.stderr.splitlines()[-1] == (
        "ImportError: Maildirs and users files are locked with flock, which only POSIX systems have"
    )
    assert run_without_posix("import pop3proto.maildrops; pop3proto.maildrops.MemoryStore").returncode == 0


def test_an_option_before_the_command(capsys):
    with pytest.raises(SystemExit):
        main(["--bogus", "passwd", "-h"])
    assert capsys.readouterr().err.endswith("unrecognized arguments: --bogus\n")


def test_two_hyphens_before_the_command(capsys):
    with pytest.raises(SystemExit):
        main(["--", "passwd", "-h"])
    out, err = capsys.readouterr()
    assert out.startswith("usage: pop3proto passwd") or "invalid choice: '--'" in err  # as Python's version has it


def test_ctrl_c_while_a_command_is_imported(monkeypatch, capsys):
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pop3proto.cli._import", interrupt)
    assert main(["demo"]) == 130
    assert line_of(capsys) == "pop3proto demo: interrupted"


# ---------------------------------------------------------------------------------------------- output


def test_a_reader_that_goes_away():
    command = [sys.executable, "-m", "pop3proto", "demo"]
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "pop3proto demo: standard output was closed\n"
        process.wait(PATIENCE)
    assert process.returncode == 1


@pytest.mark.deep
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_output_that_cannot_be_written():
    with Path("/dev/full").open("w") as full:
        result = run("demo", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.stderr == "pop3proto demo: No space left on device\n"
    assert result.returncode == 1


@pytest.mark.deep
def test_an_output_that_knows_ascii_only():
    result = run("demo", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "UTF-8 caf\\xe9" in result.stdout


def test_ctrl_c(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        arguments = ["fetch", f"pop://ann@127.0.0.1:{port}", str(tmp_path / "m")]
        file = password_file(tmp_path)
        with started(
            *(sys.executable, "-m", "pop3proto", *arguments, "--password-file", file),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            silent.settimeout(PATIENCE)  # it may have failed
            connection, _ = silent.accept()  # now it waits for the greeting
            with connection:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=PATIENCE)
    assert out in {"", f"{name_of(port)}: no messages fetched\n"}
    assert err.endswith("pop3proto fetch: interrupted\n")
    assert process.returncode == 130


# ----------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "content, why",
    [
        (b"", "is empty"),
        (b"\nsecret\n", "is empty"),
        (b"\r\n", "is empty"),
        (b"\xe4\n", "is not UTF-8"),
        (b"x" * 10_000, "is too long"),
    ],
)
def test_password_files(tmp_path, capsys, content, why):
    file = tmp_path / "password"
    file.write_bytes(content)
    mail = maildir(tmp_path / "m")
    assert main(["serve", str(mail), "--user", "ann", "--password-file", str(file), "--port", "0"]) == 1
    assert why in line_of(capsys)
    assert main(["fetch", "pops://ann@127.0.0.1", str(mail), "--password-file", str(file)]) == 78
    assert why in line_of(capsys)


def test_a_password_file_that_is_not_there(tmp_path, capsys):
    file = tmp_path / "none"
    assert main(["fetch", "pops://ann@h", str(tmp_path / "m"), "--password-file", str(file)]) == 78
    assert line_of(capsys) == f"ann@h:995: cannot read the password file {file}: No such file or directory"
    assert main(["fetch", "pops://ann@h", str(tmp_path / "m"), "--password-file", str(tmp_path)]) == 78
    assert line_of(capsys).endswith(f"{tmp_path}: Is a directory")


def test_authorities_that_are_none(tmp_path, capsys):
    file = password_file(tmp_path)
    arguments = ["fetch", "pops://ann@127.0.0.1", str(tmp_path / "m"), "--password-file", str(file), "--ca-file"]
    assert main([*arguments, str(file)]) == 78
    assert line_of(capsys) == f"ann@127.0.0.1:995: {file} holds no certificates (PEM) of authorities"
    none = tmp_path / "none"
    assert main([*arguments, str(none)]) == 78
    assert line_of(capsys) == (
        f"ann@127.0.0.1:995: cannot read certificate authorities from {none}: No such file or directory"
    )


def test_what_is_no_maildir_is_not_served(tmp_path, capsys):
    file = password_file(tmp_path)
    for path, why in (
        (tmp_path, "{} is not a Maildir: it has no folder 'new'"),
        (tmp_path / "none", "cannot serve {}: No such file or directory"),
        (file, "cannot serve {}: Not a directory"),
    ):
        assert main(["serve", str(path), "--user", "ann", "--password-file", str(file)]) == 1
        assert line_of(capsys) == f"pop3proto serve: {why.format(path)}"


def test_what_is_no_maildir_is_not_fetched_into(tmp_path, capsys):
    file = password_file(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nothing")
    for path, why, status in (
        (tmp_path, "{} is not a Maildir and is not empty", 78),
        (file, "{} is not a Maildir: it is not a folder", 78),
        (link, "{} is not a Maildir: it is a symbolic link that leads nowhere", 78),
        (tmp_path / "a" / "b", f"cannot store mail in {{}}: there is no folder {tmp_path / 'a'}; create it", 78),
        (file / "b", f"cannot store mail in {{}}: there is no folder {file}; create it", 78),
        (tmp_path / ("a" * 300), "{}: File name too long", 75),
    ):
        assert main(["fetch", "pop://ann@127.0.0.1", str(path), "--password-file", str(file)]) == status
        assert line_of(capsys) == f"ann@127.0.0.1:110: {why.format(path)}"
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_was_removed_under_the_command(tmp_path, capsys, monkeypatch):
    file, gone = password_file(tmp_path), tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    options = ["--password-file", str(file)]
    assert main(["fetch", "pop://ann@127.0.0.1", "m", *options]) == 75
    assert line_of(capsys) == "pop3proto fetch: cannot find m/.pop3proto-fetched: No such file or directory"
    assert main(["passwd", "users", "ann", *options]) == 1
    assert line_of(capsys) == "pop3proto passwd: cannot change the users file users: No such file or directory"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fetch", "pop://ann@h", "m", "--password-file", ""],
        ["fetch", "pop://ann@h", "m", "--token-file="],
        ["fetch", "pop://ann@h", "m", "--ca-file="],
        ["passwd", "", "ann"],
        ["passwd", "users", "ann", "--password-file="],
        ["serve", "", "--user", "ann", "--password-file", "f"],
        ["serve", "m", "--user", "ann", "--password-file="],
        ["serve", "m", "--users="],
        ["serve", "m", "--users", "f", "--certificate="],
        ["serve", "m", "--users", "f", "--certificate", "f", "--key="],
    ],
)
def test_a_path_that_is_empty_is_not_this_folder(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(": the path is empty\n")


def test_no_permission(tmp_path, capsys, monkeypatch):
    def denied(path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    mail, file = maildir(tmp_path / "m"), password_file(tmp_path)
    scandir = os.scandir
    with monkeypatch.context() as patch:  # root, who runs the tests in CI, would be let in
        patch.setattr(os, "scandir", lambda path: denied(path) if mail in Path(path).parents else scandir(path))
        assert main(["serve", str(mail), "--user", "ann", "--password-file", str(file)]) == 1
        assert line_of(capsys) == f"pop3proto serve: cannot serve {mail}: {mail / 'new'}: Permission denied"
    open_path = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *mode, **options: (denied if path == file else open_path)(path, *mode, **options)
    )
    assert main(["serve", str(mail), "--user", "ann", "--password-file", str(file)]) == 1
    assert line_of(capsys) == f"pop3proto serve: cannot read the password file {file}: Permission denied"


def test_a_full_disk(tmp_path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = MemoryStore({"ann": [b"one\n"]})
    with serving(store) as server:
        monkeypatch.setattr("pop3proto._io.new_files.NewFile.write", full)
        assert fetch(server, tmp_path / "m", "--delete") == 75
    told = f"{name_of(server)}: message 1 stays on the server: No space left on device; make room, and run it again\n"
    assert capsys.readouterr().err == told
    assert [list((tmp_path / "m" / folder).iterdir()) for folder in ("tmp", "new", "cur")] == [[], [], []]
    assert store.messages("ann") == [b"one\n"]


# --------------------------------------------------------------------------------------------- network


def test_a_port_in_use(tmp_path, capsys):
    mail, file = maildir(tmp_path / "m"), password_file(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", str(mail), "--user", "ann", "--password-file", str(file), "--port", str(port)]) == 1
    line = line_of(capsys)
    assert line == f"pop3proto serve: cannot listen on 127.0.0.1 port {port}: Address already in use"


def test_a_port_of_root(tmp_path, capsys, monkeypatch):
    def denied(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied (while attempting to bind on address ('127.0.0.1', 110))")

    monkeypatch.setattr(socket, "create_server", denied)  # root, who runs the tests in CI, would be let in
    mail, file = maildir(tmp_path / "m"), password_file(tmp_path)
    assert main(["serve", str(mail), "--user", "ann", "--password-file", str(file), "--port", "110"]) == 1
    assert line_of(capsys) == (
        "pop3proto serve: cannot listen on 127.0.0.1 port 110: Permission denied; ports below 1024 are for root: "
        "choose another by --port"
    )


@pytest.mark.parametrize("host", ["", "a\udcff"])
def test_what_is_no_host(tmp_path, capsys, host):
    mail, file = maildir(tmp_path / "m"), password_file(tmp_path)
    assert main(["serve", str(mail), "--user", "ann", "--password-file", str(file), "--host", host]) == 2
    assert line_of(capsys).startswith("pop3proto serve: --host: ")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 70, "192.0.2.1"])
def test_a_host_that_cannot_be_listened_on(tmp_path, capsys, host):
    mail, file = maildir(tmp_path / "m"), password_file(tmp_path)
    assert main(["serve", str(mail), "--user", "ann", "--password-file", str(file), "--host", host]) == 1
    assert line_of(capsys).startswith(f"pop3proto serve: cannot listen on {host} port 1110: ")


@pytest.mark.parametrize("user", ["", " ann", "a\nb"])
def test_a_user_that_nobody_can_be(tmp_path, capsys, user):
    mail, file = maildir(tmp_path / "m"), password_file(tmp_path)
    assert main(["serve", str(mail), "--user", user, "--password-file", str(file)]) == 2
    assert line_of(capsys).startswith("pop3proto serve: --user: ")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 70, ".."])
def test_no_such_host(tmp_path, capsys, host):
    file = password_file(tmp_path)
    assert main(["fetch", f"pops://ann@{host}", str(tmp_path / "m"), "--password-file", str(file)]) == 75
    line = line_of(capsys)
    assert line.startswith(f"ann@{host}:995: no connection to {host}, port 995: ")
    assert line.endswith("this is not a host name") == ("invalid" not in host)


def test_a_refused_connection(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    file = password_file(tmp_path)
    assert main(["fetch", f"pop://ann@127.0.0.1:{port}", str(tmp_path / "m"), "--password-file", str(file)]) == 75
    assert line_of(capsys) == f"{name_of(port)}: no connection to 127.0.0.1, port {port}: Connection refused"


@pytest.mark.parametrize(
    "greeting, why",
    [
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "this looks like IMAP, not POP3"),
        (b"220 mail.example.org ESMTP\r\n", "this looks like SMTP, not POP3"),
        (b"\x15\x03\x01\x00\x02\x02\x28\r\n", "this looks like TLS, not POP3; use a pops:// URL on this port)"),
        (b"-ERR too many \x1b[31mconnections\r\n", "the server refused the session: too many \\x1b[31mconnections"),
    ],
)
def test_a_server_that_greets_otherwise(tmp_path, capsys, greeting, why):
    with Scripted({}, greeting) as server:
        assert fetch(server, tmp_path / "m") == 75
    line = line_of(capsys)
    assert line.startswith(at(server))
    assert why in line


def test_a_wrong_password(tmp_path, capsys):
    with Scripted({"PASS": b"-ERR [AUTH] wrong\r\n"}) as server:
        assert fetch(server, tmp_path / "m") == 77
    line = line_of(capsys)
    assert line == f"{at(server, 'ann')}login failed (PASS ***: [AUTH] wrong)"


def test_a_maildrop_in_use(tmp_path, capsys):
    store = MemoryStore({"ann": []})
    with serving(store) as server:
        maildrop = store.open("ann", SessionInfo())
        assert fetch(server, tmp_path / "m") == 75
        maildrop.close()
    assert "[IN-USE]" in line_of(capsys)


def test_a_server_that_says_nothing(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url, file = f"pop://ann@127.0.0.1:{port}", password_file(tmp_path)
        assert main(["fetch", url, str(tmp_path / "m"), "--password-file", str(file), "--timeout", "0.3"]) == 75
    assert line_of(capsys) == (
        f"{at(port)}the server sent nothing in time (--timeout): waited for the greeting; "
        "if TLS begins at once on this port, the server waits, too: use a pops:// URL"
    )


LONG = "x" * 100


def test_a_quirk_of_the_server(tmp_path, capsys):
    answers = {
        "UIDL": body(f"1 {LONG}"),
        "UIDL 1": f"+OK 1 {LONG}\r\n".encode(),
        "RETR": body("A: b", ""),
    }
    with Scripted(answers) as server:
        assert fetch(server, tmp_path / "m") == 1
        assert "its row in UIDL cannot be read" in capsys.readouterr().err
        assert fetch(server, tmp_path / "m", "--quirks", "courier,stray_dot") == 0
    assert capsys.readouterr().out.endswith(": 1 message fetched (8 B)\n")


def test_a_quirk_that_does_not_exist(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "pop://ann@127.0.0.1", str(tmp_path / "m"), "--quirks", "couriers"])
    assert ended.value.code == 2
    assert "there is no quirk 'couriers'; the names are bare_lf, " in capsys.readouterr().err


@pytest.mark.parametrize("command", [["fetch", "pop://ann@127.0.0.1", "m"], ["serve", "m", "--user", "ann"]])
@pytest.mark.parametrize("names", ["", " , "])
def test_quirks_without_a_name(capsys, command, names):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--password-file", "f", "--quirks", names])
    assert ended.value.code == 2
    assert "argument --quirks: it must be a name of a quirk or profile" in capsys.readouterr().err


def test_a_body_that_drips_is_given_up_by_default(tmp_path, monkeypatch):
    limits = []

    def connecting(_open_socket, options, *_where, **_more):
        limits.append(options.limits)
        raise ConnectionRefusedError

    monkeypatch.setattr("pop3proto.fetching.accounts.opening.connect_by", connecting)
    url, file = "pop://ann@127.0.0.1", password_file(tmp_path)
    assert main(["fetch", url, str(tmp_path / "m"), "--password-file", str(file)]) == 75
    assert limits == [Limits(least_rate=100)]


def test_a_longest_timeout(tmp_path):
    with Scripted({"UIDL": body()}) as server:
        assert fetch(server, tmp_path / "m", "--timeout", "86400") == 0


def test_a_connection_that_is_reset(tmp_path, capsys):
    file = password_file(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(10)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=reset, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        assert main(["fetch", f"pops://ann@127.0.0.1:{port}", str(tmp_path / "m"), "--password-file", str(file)]) == 75
        join(thread)
    assert line_of(capsys) == (
        f"{at(port)}the TLS handshake failed: the peer closed the connection, and may not use TLS on this port: use a "
        "pop:// URL, or another port"
    )


BANNERS = {
    "SMTP": b"220-mail.example.org ESMTP\r\n220 ready\r\n",
    "IMAP": b"* OK [CAPABILITY IMAP4rev1] ready\r\n* BYE\r\n",
    "HTTP": b"HTTP/1.1 408 Request Timeout\r\nServer: x\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "FTP": b"220 (vsFTPd 3.0.3)\r\n530 no\r\n",
}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.mark.parametrize("scheme", ["pop", "pops", "pops over TLS"])
@pytest.mark.parametrize("name", BANNERS)
def test_another_protocol_on_the_port(tmp_path, capsys, authority, name, scheme):
    file, authorities = password_file(tmp_path), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(authorities)
    context = None
    if scheme == "pops over TLS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    with Scripted({}, BANNERS[name], context) as server:
        url = f"{scheme.partition(' ')[0]}://ann@127.0.0.1:{server.address[1]}"
        options = ("--password-file", str(file), "--ca-file", str(authorities))
        assert main(["fetch", url, str(tmp_path / "m"), *options]) == 75
    line = line_of(capsys)
    first = BANNERS[name].partition(b"\r")[0].decode()
    assert line.startswith(at(server))
    assert f"the server sent '{first}'" in line
    assert f"(this looks like {name}, not POP3)" in line
    assert "pop://" not in line


@pytest.mark.parametrize(
    "alert, why",
    [
        (b"\x46", "'protocol version': the two have no version of TLS in common"),
        (b"\x28", "'handshake failure': the two may have no version of TLS or no cipher in common"),
        (
            b"\x2d",
            "'certificate expired': it does not accept the certificate that it was shown, or cannot verify it now",
        ),
        (b"\x74", "'certificate required': it wants a certificate of the client"),
    ],
)
def test_a_handshake_that_the_server_refuses(tmp_path, capsys, alert, why):
    """It may pass by itself: a server whose list of revoked certificates is out of date says the same."""
    file = password_file(tmp_path)
    with Scripted({}, b"\x15\x03\x03\x00\x02\x02" + alert) as server:
        url = f"pops://ann@127.0.0.1:{server.address[1]}"
        assert main(["fetch", url, str(tmp_path / "m"), "--password-file", str(file)]) == 75
    assert line_of(capsys) == f"{at(server)}the TLS handshake failed: the peer sent the alert {why}"


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_hangs_up(tmp_path, capsys):
    with Scripted({"UIDL": HangUp(b"")}) as server:
        assert fetch(server, tmp_path / "m") == 75
    assert line_of(capsys) == f"{at(server)}the server closed the connection before answering UIDL"


@pytest.mark.parametrize("scheme", ["pop", "pops"])
def test_a_handshake_that_does_not_end(tmp_path, capsys, scheme):
    """The server stops to answer: over `pops` at once, over `pop` after STLS."""
    file = password_file(tmp_path)
    greeting = b"+OK\r\n" if scheme == "pop" else b""
    with Scripted({"STLS": b"+OK\r\n"}, greeting, otherwise=b"") as server:
        url = f"{scheme}://ann@127.0.0.1:{server.address[1]}"
        options = ("--password-file", str(file), "--timeout", "0.3")
        assert main(["fetch", url, str(tmp_path / "m"), *options]) == 75
    line = line_of(capsys)
    assert line.startswith(f"{at(server)}the TLS handshake was not done in time: the peer has sent nothing")
    assert line.endswith("use a pop:// URL, or another port") == (scheme == "pops")


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_does_not_know_pop3(tmp_path, capsys):
    with Scripted({"UIDL": HangUp(b"what a nice day\r\n")}) as server:
        assert fetch(server, tmp_path / "m") == 75
    assert "'what a nice day'" in line_of(capsys)


def test_a_listing_that_makes_no_sense(tmp_path, capsys):
    with Scripted({"UIDL": body("rubbish")}) as server:
        assert fetch(server, tmp_path / "m") == 1
    assert line_of(capsys) == (
        f"{name_of(server)}: a message was left on the server: its row in UIDL cannot be read: rubbish"
    )


@pytest.mark.deep
def test_standard_output_that_was_closed_before():
    command = [sys.executable, "-m", "pop3proto", "demo"]
    shell = ["sh", "-c", 'exec "$@" >&-', "sh"]
    closed = subprocess.run([*shell, *command], stderr=subprocess.PIPE, check=False, timeout=PATIENCE)
    assert (closed.returncode, closed.stderr) == (0, b"")


def test_a_program_that_is_not_there_is_no_matter_of_trying_again(tmp_path, capsys):
    file = password_file(tmp_path)
    with Scripted({"UIDL": body("1 a"), "RETR": body("one")}) as server:
        url = "pop://ann@{}:{}".format(*server.address)
        program = f"program:{tmp_path / 'none'}"
        assert main(["fetch", url, program, "--allow-cleartext", "--password-file", str(file)]) == 78
    assert "run it again" not in capsys.readouterr().err


def test_lines_of_the_journal_that_cannot_be_read_are_told(tmp_path, capsys):
    target = tmp_path / "mail"
    with Scripted({"UIDL": body("1 a"), "RETR": body("one")}) as server:
        assert fetch(server, target) == 0
        journal = target / JOURNAL_NAME
        journal.write_text(journal.read_text("ascii").replace(" stored ", " stroed ") + "rubbish\n", "ascii")
        server.answers["UIDL"] = body("1 a", "2 b")
        capsys.readouterr()
        assert fetch(server, target) == 0
    assert f"note: 2 lines of {journal} cannot be read" in capsys.readouterr().err
