"""Locks and syncs where the file system, or the rights of the server, do not give them."""

import errno
import logging
import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pop3proto._io import files as disk
from pop3proto._io.files import replace, share, sync_folder
from pop3proto.core.replies import ResponseCode
from pop3proto.maildrops import MaildirStore
from pop3proto.maildrops.delivery import Delivery, ensure_maildir
from pop3proto.maildrops.ids import IDS_NAME
from pop3proto.maildrops.lock import LOCK_NAME, FolderLock
from pop3proto.maildrops.sizes import CACHE_NAME
from pop3proto.procedures.maildrop import InUse, Refused
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.processes import PATIENCE

SESSION = SessionInfo()
NOBODY = 65534


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    (path / "new/1.a").write_bytes(b"a\n")
    return path


def opened(maildir: Path) -> Any:
    return MaildirStore({"ann": maildir}).open("ann", SESSION)


def no_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let no folder be synced, as on some file systems. Files can be."""
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)


# ----------------------------------------------------------------------------------------------- sync


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_that_cannot_sync_folders_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    no_sync(monkeypatch, number)
    maildir = tmp_path / "Maildir"
    ensure_maildir(maildir)
    with Delivery(maildir) as delivery:
        delivery.write(b"a\r\n")
        path = delivery.commit()
    maildrop = opened(maildir)
    maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_was_not_synced_is_an_error_with_its_path(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    no_sync(monkeypatch, number)
    with pytest.raises(OSError, match=re.escape(str(maildir))) as error:
        sync_folder(maildir)
    assert error.value.errno == number
    with pytest.raises(Refused):
        opened(maildir).commit(frozenset({1}), frozenset())


def test_a_file_that_cannot_be_synced_is_an_error(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="no"), Delivery(maildir) as delivery:
        delivery.commit()


# ---------------------------------------------------------------------------------------------- locks


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_to_the_administrator(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def failing(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk.fcntl, "flock", failing)
    with pytest.raises(Refused) as refused:
        opened(maildir)
    temporary = number == errno.ENOLCK
    assert refused.value.code == (ResponseCode.SYS_TEMP if temporary else ResponseCode.SYS_PERM)
    assert str(maildir) not in refused.value.reply.text
    [record] = caplog.records
    assert (record.name, record.levelno) == ("pop3proto", logging.ERROR)
    assert f"ann cannot be opened: {maildir / LOCK_NAME}: the file system has no lock" in record.getMessage()
    assert os.strerror(number) in record.getMessage()
    assert "mount it with locks" in record.getMessage()


def test_a_maildir_in_use_is_no_news_for_the_administrator(maildir: Path, caplog: pytest.LogCaptureFixture) -> None:
    held = opened(maildir)
    with pytest.raises(InUse):
        opened(maildir)
    held.close()
    assert not caplog.records


@pytest.mark.parametrize(
    "folder,lock,others",
    [
        (0o700, 0o600, 0o600),
        (0o755, 0o600, 0o644),
        (0o770, 0o660, 0o660),
        (0o2775, 0o660, 0o664),
        (0o777, 0o666, 0o666),
    ],
)
def test_files_of_the_server_are_for_those_who_may_write_to_the_maildir(
    maildir: Path, folder: int, lock: int, others: int
) -> None:
    maildir.chmod(folder)
    maildrop = opened(maildir)
    maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    (maildir / "new/2.a").write_bytes(b"a\n")
    opened(maildir).close()
    modes = {name: stat.S_IMODE((maildir / name).stat().st_mode) for name in (LOCK_NAME, CACHE_NAME)}
    assert modes == {LOCK_NAME: lock, CACHE_NAME: others}


def test_the_record_of_ids_can_be_read_by_those_who_read_the_maildir(maildir: Path) -> None:
    maildir.chmod(0o750)
    maildrop = opened(maildir)
    maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    assert stat.S_IMODE((maildir / IDS_NAME).stat().st_mode) == 0o640


def test_files_of_the_server_belong_to_the_owner_of_the_maildir(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _descriptor, user, group: owners.append((user, group)))
    status = maildir.stat()
    opened(maildir).close()
    assert owners == [(status.st_uid, status.st_gid)] * 2  # of the lock and of the sizes


@pytest.mark.parametrize("folder,mode", [(0o770, 0o666), (0o700, 0o666), (0o775, 0o660), (0o777, 0o666)])
def test_a_file_that_cannot_be_given_away_is_for_the_owner_of_the_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: int, mode: int
) -> None:
    def failing(_descriptor: int, _user: int, _group: int) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "fchown", failing)
    tmp_path.chmod(folder)
    with (tmp_path / "file").open("wb") as file:
        share(file.fileno(), tmp_path.stat(), readers=False)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_file_that_is_replaced_is_shared_like_its_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    replace(tmp_path / "file", b"", like=tmp_path.stat())
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


# ------------------------------------------------------------------------------------------ read-only


def no_writing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let nothing be written, as on a file system that is mounted read-only, or by a user who may only read."""
    refused = OSError(number, os.strerror(number))
    open_ = os.open

    def opening(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            if not flags & os.O_CREAT and not Path(path).exists():
                raise FileNotFoundError(errno.ENOENT, "no", str(path))
            raise OSError(*refused.args, str(path))
        return open_(path, flags, *arguments, **named)

    def failing(path: Any, **named: Any) -> None:
        os.stat(path, **named)  # noqa: PTH116 - in an open folder
        raise OSError(*refused.args, str(path))

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "unlink", failing)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("served_before", [False, True])
def test_a_read_only_maildir_is_served_and_deletions_are_refused(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, number: int, served_before: bool
) -> None:
    if served_before:
        opened(maildir).close()
    no_writing(monkeypatch, number)
    maildrop = opened(maildir)
    assert [(message.octets, message.unique_id) for message in maildrop.messages] == [(3, "1.a")]
    source = maildrop.open(1)
    assert source.read(9) == b"a\n"
    source.close()
    with pytest.raises(InUse):
        opened(maildir)
    with pytest.raises(Refused, match="some deleted messages not removed") as refused:
        maildrop.commit(frozenset({1}), frozenset())
    assert refused.value.code == ResponseCode.SYS_PERM
    maildrop.close()
    opened(maildir).close()
    assert (maildir / "new/1.a").exists()


def test_a_lock_that_may_not_be_opened_in_a_folder_that_may_be_written_is_an_error(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(maildir).close()
    open_ = os.open

    def opening(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if Path(path).name == LOCK_NAME:
            raise PermissionError(errno.EACCES, "no", str(path))
        return open_(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", opening)
    with pytest.raises(PermissionError):
        FolderLock(maildir)


SERVE_AS_ANOTHER = """
import os, sys
from pathlib import Path
from pop3proto.maildrops import MaildirStore
from pop3proto.sasl.channel import SessionInfo
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
maildrop = MaildirStore({"ann": Path(sys.argv[1])}).open("ann", SessionInfo())
maildrop.commit(frozenset({1}), frozenset())
maildrop.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_and_the_owner_take_turns() -> None:
    with tempfile.TemporaryDirectory() as folder:  # the folders of tmp_path are for root alone
        maildir = Path(folder) / "Maildir"
        ensure_maildir(maildir)
        (maildir / "new/1.a").write_bytes(b"a\n")
        for path in (maildir.parent, maildir, *maildir.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        opened(maildir).close()
        command = [sys.executable, "-c", SERVE_AS_ANOTHER, str(maildir), str(NOBODY)]
        subprocess.run(command, check=True, timeout=PATIENCE)
        assert not (maildir / "new/1.a").exists()
        opened(maildir).close()
