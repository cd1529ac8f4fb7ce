"""The commands backup, restore and verify."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pop3proto.cli import main
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.lock import FolderLock
from tests.helpers.site_users import users_file

TEXT = b"Subject: x\n\nx\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a site whose users ann and bob have a message each."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "users").write_bytes(users_file("ann", "bob"))
    for user in ("ann", "bob"):
        put(tmp_path / "mail" / user)
    path = tmp_path / "serve.toml"
    path.write_text(
        f'listen = {{ address = "127.0.0.1:110" }}\nusers = {{ file = "{tmp_path}/users" }}\n'
        f'maildrops = {{ maildir = "{tmp_path}/mail/{{user}}" }}\n'
    )
    return path


def put(maildir: Path, name: str = "1700000000.M1P1.host:2,S", octets: bytes = TEXT) -> Path:
    ensure_maildir(maildir)
    path = maildir / "cur" / name
    path.write_bytes(octets)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def say(*words: str | Path) -> tuple[int, str, str]:
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = int(str(end.code))
        return status, *capsys.readouterr()

    return say


def test_all_maildrops_there_and_back(config: Path, tmp_path: Path, say: Say) -> None:
    file = tmp_path / "mail.tar"
    assert say("backup", "--all", file, "--config", config) == (0, "2 maildrops, 2 messages (34 octets)\n", "")
    assert say("verify", file) == (0, "2 maildrops, 2 messages (34 octets): all are right\n", "")
    lost = put(tmp_path / "mail/ann")
    lost.unlink()
    there = "bob: 0 messages {}restored, 1 already there\n"
    status, out, _ = say("restore", "--all", "--config", config, file, "--dry-run")
    assert (status, out) == (0, "ann: 1 message would be restored, 0 already there\n" + there.format("would be "))
    assert not lost.exists()
    assert say("restore", "ann", "--config", config, file) == (0, "ann: 1 message restored, 0 already there\n", "")
    assert lost.read_bytes() == TEXT
    status, out, _ = say("restore", "--config", config, "--all", file)
    assert out == "ann: 0 messages restored, 1 already there\n" + there.format("")


def test_a_maildrop_from_before_names_were_folded(config: Path, tmp_path: Path, say: Say) -> None:
    """The message says how it comes back."""
    file, users, maildir = tmp_path / "mail.tar", tmp_path / "users", tmp_path / "mail" / "Eve"
    users.write_bytes(users_file("ann", "Eve"))
    put(maildir)
    say("backup", "--all", file, "--config", config)
    users.write_bytes(users_file("ann", "eve"))
    config.write_text(f"lower_case_users = true\n{config.read_text()}")
    maildir = maildir.rename(tmp_path / "mail" / "eve")
    (maildir / "cur/1700000000.M1P1.host:2,S").unlink()
    status, _, err = say("restore", "EVE", file, "--config", config)
    hint = "there is no maildrop of eve in the backup; it has one of Eve, which --maildir restores"
    assert (status, err) == (1, f"pop3proto restore: {hint}\n")
    assert say("restore", "Eve", file, "--maildir", maildir)[0] == 0
    assert (maildir / "cur/1700000000.M1P1.host:2,S").read_bytes() == TEXT


def test_users_that_are_left_out_of_a_restore_are_named(config: Path, tmp_path: Path, say: Say) -> None:
    file = tmp_path / "mail.tar"
    say("backup", "--all", file, "--config", config)
    left = "pop3proto restore: {} is in the backup, and is no user of the configuration: not restored\n"
    (tmp_path / "users").write_bytes(users_file("bob"))
    for words in ([], ["--dry-run"]):
        status, out, err = say("restore", "--all", file, "--config", config, *words)
        assert (status, out.startswith("bob: 0 messages"), err) == (1, True, left.format("ann"))
    (tmp_path / "users").write_bytes(users_file("eve"))
    assert say("restore", "--all", file, "--config", config) == (1, "", left.format("ann") + left.format("bob"))


def test_folders_that_are_missing_are_told_before_anything_is_restored(config: Path, tmp_path: Path, say: Say) -> None:
    file = tmp_path / "mail.tar"
    ensure_maildir(tmp_path / "mail/eve")
    (tmp_path / "users").write_bytes(users_file("ann", "bob", "eve"))
    say("backup", "--all", file, "--config", config)
    config.write_text(config.read_text().replace("/mail/{user}", "/new/{user}/Maildir"))
    (tmp_path / "new/ann").mkdir(parents=True)
    for words in ([], ["--dry-run"]):
        status, out, err = say("restore", "--all", file, "--config", config, *words)
        assert (status, out) == (1, "")
        assert err == (
            f"pop3proto restore: the folder {tmp_path}/new/bob does not exist; make it: "
            f"install -d -m 0700 {tmp_path}/new/bob\npop3proto restore: nothing was restored\n"
        )
        assert not [*(tmp_path / "new/ann").iterdir()]
    (tmp_path / "new/bob").mkdir()
    status, out, err = say("restore", "--all", file, "--config", config)
    assert (status, out, err) == (
        0, "ann: 1 message restored, 0 already there\nbob: 1 message restored, 0 already there\n", ""
    )  # fmt: skip  # eve has no messages, so that her folder is not needed


def test_a_backup_into_a_folder_that_is_not_there(config: Path, tmp_path: Path, say: Say) -> None:
    file = tmp_path / "none" / "b.tar"
    words = f"pop3proto backup: cannot write {file}: there is no folder {tmp_path}/none\n"
    assert say("backup", "--all", file, "--config", config) == (1, "", words)


def test_one_maildir(tmp_path: Path, say: Say) -> None:
    file, other = tmp_path / "mail.tar", tmp_path / "other"
    put(tmp_path / "ann")
    assert say("backup", file, "--maildir", tmp_path / "ann")[0] == 2  # whose is it?
    assert say("backup", "ann", "--maildir", tmp_path / "ann", file)[0] == 0
    assert say("restore", "--maildir", other, file) == (0, "ann: 1 message restored, 0 already there\n", "")
    assert say("restore", "bob", "--maildir", other, file)[::2] == (
        1, "pop3proto restore: there is no maildrop of bob in the backup\n"
    )  # fmt: skip
    put(other, "1700000000.M1P1.host:2,", b"another")
    (other / "cur/1700000000.M1P1.host:2,S").unlink()
    status, _, err = say("restore", "--maildir", other, file)
    assert (status, "that of another message" in err) == (1, True)


def test_only_later_messages(tmp_path: Path, say: Say) -> None:
    put(tmp_path / "ann")
    words = ["backup", "ann", "--maildir", tmp_path / "ann", tmp_path / "mail.tar", "--since"]
    assert say(*words, "2023-11-14")[1].startswith("1 maildrop, 1 message")
    assert say(*words, "2023-11-15")[1].startswith("1 maildrop, 0 messages")
    assert say(*words, "yesterday")[0] == 2


def test_a_maildrop_in_use_is_left_out_and_told(config: Path, tmp_path: Path, say: Say) -> None:
    file = tmp_path / "mail.tar"
    lock = FolderLock(tmp_path / "mail/ann")
    try:
        status, out, err = say("backup", "--all", file, "--config", config)
        assert (status, out) == (75, "1 maildrop, 1 message (17 octets)\n")
        assert err == "pop3proto backup: the maildrop of ann is in use, and is not in the backup\n"
        before = file.read_bytes()
        assert say("backup", "ann", file, "--config", config)[0] == 75
        assert file.read_bytes() == before
    finally:
        lock.release()
    say("backup", "--all", file, "--config", config)
    lock = FolderLock(tmp_path / "mail/ann")
    assert say("restore", "ann", file, "--config", config)[0] == 75
    lock.release()


def test_damage_is_told(config: Path, tmp_path: Path, say: Say) -> None:
    file = tmp_path / "mail.tar"
    say("backup", "--all", file, "--config", config)
    octets = file.read_bytes()
    file.write_bytes(octets.replace(TEXT, TEXT.upper(), 1))
    status, out, err = say("verify", file)
    assert (status, out) == (1, "2 maildrops, 1 message (17 octets)\n")
    assert err == f"pop3proto verify: {file}: the message 1700000000.M1P1.host of ann is damaged\n"
    assert say("restore", "ann", file, "--config", config)[0] == 1
    file.write_bytes(octets[:2000])
    assert say("verify", file)[2].startswith(f"pop3proto verify: {file}: it is no backup, or")
    assert say("verify", tmp_path / "none")[2].startswith("pop3proto verify: cannot read")
    assert say("backup", "ann", tmp_path / "none/mail.tar", "--config", config)[0] == 1
    assert say("backup", "eve", file, "--config", config)[2] == "pop3proto backup: there is no user eve\n"
