"""The folders of a Maildir: missing ones, what a crash has left in `tmp`, and the file of the quota."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pop3proto.maildrops import MaildirStore, folders
from pop3proto.maildrops.delivery import Delivery, NotMaildir, ensure_maildir
from pop3proto.maildrops.folders import clean_tmp
from pop3proto.procedures.maildrop import Maildrop, Refused
from pop3proto.sasl.channel import SessionInfo

HOURS = 3600
ALL = {"cur", "new", "tmp"}


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    return path


def opened(maildir: Path) -> Maildrop:
    return MaildirStore({"ann": maildir}).open("ann", SessionInfo())


def parts(maildir: Path) -> set[str]:
    return {path.name for path in maildir.iterdir() if path.is_dir()} & ALL


# ------------------------------------------------------------------------------------ missing folders

SIGNS = [
    "dovecot-uidlist",
    "dovecot.index.log",
    "maildirsize",
    "maildirfolder",
    "courierimapuiddb",
    ".uidvalidity",
    ".mbsyncstate",
    "subscriptions",
    ".pop3proto-sizes",
]


@pytest.mark.parametrize("there", [{"cur"}, {"new"}, {"cur", "tmp"}, {"cur", "new"}])
@pytest.mark.parametrize("sign", [None, *SIGNS])
def test_a_maildir_that_lost_its_empty_folders_gets_them_again(
    tmp_path: Path, there: set[str], sign: str | None
) -> None:
    for use in (opened, ensure_maildir):
        maildir = tmp_path / use.__name__
        for name in there:
            (maildir / name).mkdir(parents=True)
        for name in there - {"tmp"}:
            (maildir / name / "1.a").write_bytes(b"a\n")
        if sign is not None:
            (maildir / sign).touch()
            (maildir / ".Sent").mkdir()
        maildrop = use(maildir)
        assert parts(maildir) == ALL
        if maildrop is not None:
            assert len(maildrop.messages) == len(there - {"tmp"})


@pytest.mark.parametrize("there", [set[str](), {"letters"}, {"cur", "letters"}, {"letters", "dovecot-uidlist"}])
def test_what_is_no_part_of_a_maildir_is_left_alone(tmp_path: Path, there: set[str]) -> None:
    maildir = tmp_path / "Maildir"
    maildir.mkdir()
    for name in there:
        (maildir / name).mkdir()
    with pytest.raises(Refused, match="not a Maildir"):
        opened(maildir)
    if there:
        with pytest.raises(NotMaildir):
            ensure_maildir(maildir)
    assert {path.name for path in maildir.iterdir()} == there


def test_a_folder_that_is_made_again_is_like_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: list[tuple[Path, int, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, user, group, **_: owners.append((path, user, group)))
    (tmp_path / "cur").mkdir()
    (tmp_path / "cur").chmod(0o2770)
    ensure_maildir(tmp_path)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ALL} == {0o2770}
    status = (tmp_path / "cur").stat()
    assert owners == [(tmp_path / name, status.st_uid, status.st_gid) for name in ("tmp", "new")]


def test_a_maildir_that_cannot_be_completed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_path: Path, **_: Any) -> None:
        raise PermissionError(13, "no")

    (tmp_path / "cur").mkdir()
    monkeypatch.setattr(Path, "mkdir", failing)
    with pytest.raises(Refused, match="not a Maildir"):
        opened(tmp_path)
    with pytest.raises(PermissionError):
        ensure_maildir(tmp_path)


# ------------------------------------------------------------------------------------------------ tmp


@pytest.mark.parametrize("hours,stays", [(0, True), (35, True), (37, False)])
def test_files_that_nobody_has_used_for_36_hours_go_from_tmp(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, hours: int, stays: bool
) -> None:
    (maildir / "tmp/1.a").write_bytes(b"half a mess")
    (maildir / "new/1.b").write_bytes(b"a message\n")
    now = (maildir / "tmp/1.a").stat().st_ctime
    monkeypatch.setattr(folders.time, "time", lambda: now + hours * HOURS)
    clean_tmp(maildir)
    assert (maildir / "tmp/1.a").exists() is stays
    assert (maildir / "new/1.b").exists()


@pytest.mark.parametrize("old", ["mtime", "atime"])
def test_a_file_that_was_used_since_stays_in_tmp(maildir: Path, monkeypatch: pytest.MonkeyPatch, old: str) -> None:
    path = maildir / "tmp/1.a"
    path.write_bytes(b"half a mess")
    now = path.stat().st_ctime + 40 * HOURS
    os.utime(path, (0, now - HOURS) if old == "atime" else (now - HOURS, 0))
    monkeypatch.setattr(folders.time, "time", lambda: now)
    clean_tmp(maildir)
    assert path.exists()


def test_only_files_go_from_tmp(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (maildir / "tmp/folder").mkdir()
    os.mkfifo(maildir / "tmp/pipe")
    (maildir / "tmp/link").symlink_to(maildir / "new")
    now = (maildir / "tmp/pipe").stat().st_ctime
    monkeypatch.setattr(folders.time, "time", lambda: now + 40 * HOURS)
    clean_tmp(maildir)
    assert {path.name for path in (maildir / "tmp").iterdir()} == {"folder", "pipe", "link"}


def test_a_tmp_that_cannot_be_read_is_no_error(tmp_path: Path) -> None:
    clean_tmp(tmp_path)


# ---------------------------------------------------------------------------------------- maildirsize

QUOTA = "1000000S,1000C\n500 5\n"


def test_the_quota_knows_what_is_delivered_and_removed(maildir: Path) -> None:
    (maildir / "maildirsize").write_text(QUOTA)
    for _ in range(2):
        with Delivery(maildir) as delivery:
            delivery.write(b"a\r\n")
            delivery.commit()
    (maildir / "new/9.unknown").write_bytes(b"12345678")
    (maildir / "new/9.x,S=900:2,S").write_bytes(b"compressed")
    maildrop = opened(maildir)
    maildrop.commit(frozenset({1, 2, 3}), frozenset())
    maildrop.close()
    assert (maildir / "maildirsize").read_text() == QUOTA + "2 1\n2 1\n-910 -3\n"


def test_what_another_program_has_removed_is_not_taken_from_the_quota(maildir: Path) -> None:
    (maildir / "maildirsize").write_text(QUOTA)
    for name in ("new/1.a", "new/2.a"):
        (maildir / name).write_bytes(b"12345678")
    maildrop = opened(maildir)
    (maildir / "new/1.a").unlink()
    maildrop.commit(frozenset({1, 2}), frozenset())
    maildrop.close()
    assert (maildir / "maildirsize").read_text() == QUOTA + "-8 -1\n"
    maildrop = opened(maildir)
    maildrop.commit(frozenset(), frozenset())
    maildrop.close()
    assert (maildir / "maildirsize").read_text() == QUOTA + "-8 -1\n"


def test_the_quota_of_a_folder_is_that_of_the_maildir_around_it(maildir: Path) -> None:
    (maildir / "maildirsize").write_text(QUOTA)
    sent = maildir / ".Sent"
    ensure_maildir(sent)
    (sent / "maildirfolder").touch()
    with Delivery(sent) as delivery:
        delivery.commit()
    assert (maildir / "maildirsize").read_text() == QUOTA + "0 1\n"
    assert not (sent / "maildirsize").exists()


def test_a_quota_is_not_made_where_there_is_none(maildir: Path) -> None:
    with Delivery(maildir) as delivery:
        delivery.commit()
    assert not (maildir / "maildirsize").exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.parent / "other")])
def test_a_quota_that_is_no_file_is_left_alone(maildir: Path, make: Any) -> None:
    (maildir / "other").touch()
    make(maildir / "maildirsize")
    with Delivery(maildir) as delivery:
        assert delivery.commit().exists()
    assert not (maildir / "other").read_bytes()
