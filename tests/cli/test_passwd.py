"""`pop3proto passwd`: what it asks, what it says, and what it leaves."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from pop3proto.authenticators import UsersFile
from pop3proto.authenticators.users_file import set_password, users
from pop3proto.cli import main
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.cli_servers import password_file
from tests.helpers.processes import PATIENCE

HERE = SessionInfo()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users"


def right(file: Path, user: str, password: str) -> bool:
    return UsersFile(file).check_password(user, password, HERE)


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let answers come from the terminal, and return the questions."""
    asked: list[str] = []
    left = list(answers)
    monkeypatch.setattr("getpass.getpass", lambda question: asked.append(question) or left.pop(0))
    return asked


def failure(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on standard error, in one line, without the name of the command."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("pop3proto passwd: ")
    return err.removeprefix("pop3proto passwd: ").removesuffix("\n")


def test_all_users_are_listed(file, capsys):
    for name in ("bob", "ann"):
        set_password(file, name, "secret")
    assert main(["passwd", str(file), "--list"]) == 0
    assert capsys.readouterr() == ("bob\nann\n", "")
    assert main(["passwd", str(file), "ann", "--list"]) == 2
    assert failure(capsys) == "--list prints all users: leave out USER"
    assert main(["passwd", str(file)]) == 2
    assert failure(capsys) == "USER is missing: whose password?"
    assert main(["passwd", str(file.with_name("none")), "--list"]) == 1
    assert failure(capsys) == f"cannot read the users file {file.with_name('none')}: No such file or directory"


@pytest.mark.deep
def test_a_user_comes_changes_and_goes(file, tmp_path, capsys):
    first, second = password_file(tmp_path, "secret\n"), tmp_path / "second"
    second.write_text("other\nmore\n")
    assert main(["passwd", str(file), "ann", "--password-file", str(first)]) == 0
    assert capsys.readouterr() == (f"added ann to {file}\n", "")
    assert right(file, "ann", "secret")
    assert main(["passwd", str(file), "ann", "--password-file", str(second)]) == 0
    assert capsys.readouterr() == (f"changed the password of ann in {file}\n", "")
    assert right(file, "ann", "other")
    assert not right(file, "ann", "secret")
    assert main(["passwd", str(file), "ann", "--delete"]) == 0
    assert capsys.readouterr() == (f"removed ann from {file}\n", "")
    assert users(file) == ()


def test_it_asks_twice_on_a_terminal(file, monkeypatch, capsys):
    asked = answering(monkeypatch, "secret", "secret")
    assert main(["passwd", str(file), "ann lee"]) == 0
    assert asked == ["Password for ann lee: ", "Password for ann lee, again: "]
    assert capsys.readouterr().out == f"added ann lee to {file}\n"
    assert right(file, "ann lee", "secret")


def test_two_passwords_that_differ(file, monkeypatch, capsys):
    answering(monkeypatch, "marker", "markers")
    assert main(["passwd", str(file), "ann"]) == 1
    assert failure(capsys) == "the two passwords differ; nothing has changed"
    assert not file.exists()


def test_without_a_terminal():
    command = [sys.executable, "-m", "pop3proto", "passwd", "users", "ann"]
    alone = {"input": "secret\n", "start_new_session": True}
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE, **alone)
    assert result.returncode == 1
    assert result.stderr == ("pop3proto passwd: cannot ask for the password without a terminal: use --password-file\n")


def test_names_are_prepared(file, tmp_path, capsys):
    secret = password_file(tmp_path, "secret")
    assert main(["passwd", str(file), "\ufb01n\u00ad", "--password-file", str(secret)]) == 0
    assert capsys.readouterr().out == f"added fin to {file}\n"
    assert main(["passwd", str(file), "f\uff49n", "--delete"]) == 0
    assert capsys.readouterr().out == f"removed fin from {file}\n"


@pytest.mark.parametrize("user", ["", " ann", "a\nb", "a\x1b[31mb", "\u00ad", "\udcff", "x" * 256])
@pytest.mark.parametrize("options", [[], ["--delete"]])
def test_names_that_nobody_could_log_in_with(file, capsys, user, options):
    assert main(["passwd", str(file), user, *options]) == 2
    assert failure(capsys).startswith("this user name cannot be used to log in: ")
    assert not file.exists()


@pytest.mark.parametrize("password", ["mark\ter", "mark\u0221er", "\u00ad"])
def test_passwords_that_nobody_could_log_in_with(file, tmp_path, capsys, password):
    secret = password_file(tmp_path, password)
    assert main(["passwd", str(file), "ann", "--password-file", str(secret)]) == 1
    line = failure(capsys)
    assert line.startswith("this password cannot be used to log in: ")
    assert "mark" not in line
    assert not file.exists()


def test_a_password_file_that_is_not_there(file, tmp_path, capsys):
    assert main(["passwd", str(file), "ann", "--password-file", str(tmp_path / "none")]) == 1
    assert failure(capsys).startswith("cannot read the password file ")


def test_nobody_to_remove(file, tmp_path, capsys):
    assert main(["passwd", str(file), "ann", "--delete"]) == 1
    assert failure(capsys) == f"cannot change the users file {file}: No such file or directory"
    assert main(["passwd", str(file), "bob", "--password-file", str(password_file(tmp_path, "secret"))]) == 0
    capsys.readouterr()
    assert main(["passwd", str(file), "ann", "--delete"]) == 1
    assert failure(capsys) == f"there is no user ann in {file}"


def test_a_file_of_something_else(file, tmp_path, capsys):
    file.write_bytes(b"root:x:0:0:marker:/root:/bin/sh\n")
    secret = password_file(tmp_path, "secret")
    for options in (["--delete"], ["--password-file", str(secret)]):
        assert main(["passwd", str(file), "ann", *options]) == 1
        line = failure(capsys)
        assert line.startswith(f"{file}, line 1: ")
        assert "marker" not in line
    assert file.read_bytes().startswith(b"root")


def test_a_folder_that_is_not_there(tmp_path, capsys):
    secret = password_file(tmp_path, "secret")
    for path, why in (
        (tmp_path / "none" / "users", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (secret / "users", "Not a directory"),
    ):
        assert main(["passwd", str(path), "ann", "--password-file", str(secret)]) == 1
        assert failure(capsys) == f"cannot change the users file {path}: {why}"


def test_a_relative_path_is_named_as_it_was_given(tmp_path, capsys, monkeypatch):
    secret = password_file(tmp_path, "secret")
    monkeypatch.chdir(tmp_path)
    assert main(["passwd", "none/users", "ann", "--password-file", str(secret)]) == 1
    assert failure(capsys) == "cannot change the users file none/users: No such file or directory"


def test_a_file_that_others_may_read(file, tmp_path, capsys):
    secret = password_file(tmp_path, "secret")
    assert main(["passwd", str(file), "ann", "--password-file", str(secret)]) == 0
    file.chmod(0o644)
    capsys.readouterr()
    assert main(["passwd", str(file), "ann", "--password-file", str(secret)]) == 0
    assert capsys.readouterr().err == (
        f"note: other users of this machine can access {file}, and passwords can be guessed from it; "
        f"to prevent that, run: chmod o= {file}\n"
    )


@pytest.mark.parametrize("error, why", [(ValueError("no scrypt"), "no scrypt"), (MemoryError(), "not enough memory")])
def test_a_hash_that_cannot_be_computed(file, capsys, monkeypatch, error, why):
    def fail(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr(hashlib, "scrypt", fail)
    assert main(["passwd", str(file), "ann", "--password-file", str(password_file(file.parent, "secret"))]) == 1
    assert failure(capsys) == f"the hash cannot be computed: {why}"
    assert not file.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["f", "ann", "--delete", "--list"],
        ["f", "ann", "--delete", "--password-file", "x"],
        ["f", "ann", "--password-file"],
    ],
)
def test_mistakes_in_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["passwd", *arguments])
    assert ended.value.code == 2
    assert "usage: pop3proto passwd" in capsys.readouterr().err
