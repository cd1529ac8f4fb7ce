"""Backup: what was written comes back as it was, nothing that lives is overwritten, and no file can do harm."""

import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pop3proto.maildrops import MaildirStore
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.lock import FolderLock
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import (
    BackupConflict,
    BadBackup,
    MaildropInUse,
    MaildropPlace,
    MaildropRules,
    NothingToBackUp,
    OnDelete,
    Quota,
    RetainingStore,
    restore_backup,
    verify_backup,
    write_backup,
)
from pop3proto.serving.backup import writing
from tests.helpers.depth import deep
from tests.helpers.strategies import messages

Seen = dict[str, tuple[bytes, bool]]
NOW = 1_700_000_000


def put(maildir: Path, name: str, octets: bytes = b"Subject: x\n\nx\n", age: int = 0) -> Path:
    path = maildir / ("cur" if ":" in name else "new") / name
    path.write_bytes(octets)
    os.utime(path, (NOW - age, NOW - age))
    return path


def seen(maildir: Path) -> Seen:
    """What a client sees: the octets and the flag of each message, in order, by unique id."""
    maildrop = MaildirStore({"ann": maildir}).open("ann", SessionInfo())
    found: Seen = {}
    for number, message in enumerate(maildrop.messages, 1):
        source = maildrop.open(number)
        found[str(message.unique_id)] = (read(source).replace(b"\r\n", b"\n"), message.retrieved)
        source.close()
    maildrop.close()
    return found


def read(source: Any) -> bytes:
    return b"".join(iter(lambda: source.read(1 << 16), b""))


def everything(maildir: Path) -> dict[str, Any]:
    """All files of a Maildir, as they are, but for the lock and caches."""
    return {
        str(path.relative_to(maildir)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in maildir.rglob("*")
        if path.is_file() and not path.name.startswith(".pop3proto")
    }


@pytest.fixture
def full(maildir: Path) -> Path:
    """A Maildir with what is difficult: copies of one unique part, odd names, flags, a compressed file, line ends."""
    put(maildir, "1600000000.M1P1.host,S=12:2,S", age=5)
    put(maildir, "1600000001.M2P1.host", b"Subject: two\r\n\r\n.\r\nbare\nlf\rcr", age=4)
    put(maildir, "1600000002.M3P1.host:2,", b"one", age=3)
    put(maildir, "1600000002.M3P1.host:2,F", b"a copy", age=3)
    put(maildir, "no time", b"", age=2)
    put(maildir, "1600000003.M4P1.\xe4:2,ST", b"hidden", age=1)
    octets = b"Subject: packed\n\n" + b"x\n" * 1000
    put(maildir, f"1600000004.M5P1.host,S={len(octets)}:2,", gzip.compress(octets))
    return maildir


def backup(maildir: Path, **how: Any) -> Path:
    file = maildir.parent / "backup.tar"
    write_backup(file, [MaildropPlace("ann", maildir, Quota(octets=1000))], clock=lambda: NOW, **how)
    return file


def restored(file: Path, maildir: Path, **how: Any) -> tuple[int, int]:
    [report] = restore_backup(file, [MaildropPlace("ann", maildir)], **how)
    return len(report.restored), report.skipped


# -------------------------------------------------------------------------------------------- there and back


def test_everything_comes_back_as_it_was(full: Path, tmp_path: Path) -> None:
    before = seen(full)
    assert len(before) == 7
    file = backup(full)
    other = tmp_path / "other"
    assert restored(file, other, dry_run=True) == (7, 0)
    assert not other.exists()
    assert restored(file, other) == (7, 0)
    for _ in range(3):
        assert seen(other) == before
    assert not list((other / "tmp").iterdir())
    files = everything(other)
    assert restored(file, other) == restored(file, other, dry_run=True) == (0, 7)
    assert everything(other) == files
    assert restored(file, full) == (0, 7)
    times = {int(path.stat().st_mtime) for path in other.glob("*/*") if path.parent.name in ("new", "cur")}
    assert {NOW, NOW - 5} <= times


@pytest.mark.skipif(os.geteuid() != 0, reason="another user than root gives nothing away")
def test_what_root_restores_belongs_to_the_owner(full: Path, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    os.chown(folder, 65_534, 65_534)
    assert restored(backup(full), folder / "Maildir") == (7, 0)
    assert {path.stat().st_uid for path in folder.rglob("*")} == {65_534}


def test_what_was_lost_comes_back_and_what_is_there_is_left_alone(full: Path) -> None:
    before, file = seen(full), backup(full)
    maildrop = MaildirStore({"ann": full}).open("ann", SessionInfo())
    maildrop.commit(frozenset({1, 2, 4, 7}), frozenset())
    maildrop.close()
    later = put(full, "1700000009.M9.host")
    assert restored(file, full) == (4, 3)
    after = seen(full)
    assert after.pop(later.name)
    assert after == before
    assert restored(file, full) == (0, 7)


@settings(max_examples=deep(100, 10))
@given(st.lists(messages, max_size=4), st.data())
def test_any_messages_come_back(tmp_path_factory: Any, bodies: list[bytes], data: st.DataObject) -> None:
    maildir = tmp_path_factory.mktemp("x") / "Maildir"
    ensure_maildir(maildir)
    for number, body in enumerate(bodies):
        put(maildir, f"{NOW}.M{number}.host{data.draw(st.sampled_from(['', ':2,', ':2,S', ':2,ST', ';2,S']))}", body)
    before, file = seen(maildir), backup(maildir)
    assert verify_backup(file).problems == ()
    assert restored(file, maildir.parent / "other") == (len(bodies), 0)
    assert seen(maildir.parent / "other") == before


def test_the_same_message_with_other_line_ends_is_the_same(maildir: Path) -> None:
    path = put(maildir, "1.M1.host", b"a\nb\n")
    file = backup(maildir)
    path.write_bytes(b"a\r\nb\r\n")
    assert restored(file, maildir) == (0, 1)


def test_nothing_is_changed_if_an_id_lives_as_another_message(full: Path, tmp_path: Path) -> None:
    other, bob = tmp_path / "other", tmp_path / "bob"
    for each in (other, bob):
        ensure_maildir(each)
    put(bob, "1600000001.M2P1.host", b"another message")
    before = everything(bob)
    file = tmp_path / "two.tar"
    write_backup(file, [MaildropPlace("ann", full), MaildropPlace("bob", full)])
    places = [MaildropPlace("ann", other), MaildropPlace("bob", bob)]
    for dry_run in (True, False):
        with pytest.raises(BackupConflict, match=r"1600000001\.M2P1\.host is that of another message .* bob"):
            restore_backup(file, places, dry_run=dry_run)
        assert everything(bob) == before
        assert everything(other) == {}


def test_a_name_that_is_taken_is_not_overwritten(maildir: Path, tmp_path: Path) -> None:
    """A file has a unique part that is the id of another message, which was restored under another name."""
    put(maildir, "1.M1.host:2,", b"one")
    put(maildir, "1.M1.host:2,S", b"two")
    before, file = seen(maildir), backup(maildir)
    other = tmp_path / "other"
    ensure_maildir(other)
    put(other, "1.M1.host:2,", b"three")
    assert restored(file, other) == (2, 0)
    after = seen(other)
    assert len(after) == 3
    assert {*before} <= {*after}
    assert {key: after[key] for key in before} == before


@pytest.mark.parametrize("to", ["remove", "trash", "hide"])
def test_what_was_deleted_comes_back_unless_it_is_hidden(maildir: Path, to: Any) -> None:
    put(maildir, "1.M1.host", b"one")
    before, file = seen(maildir), backup(maildir)
    store = RetainingStore({"ann": maildir}, MaildropRules(on_delete=OnDelete(to)))
    maildrop = store.open("ann", SessionInfo())
    maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    assert restored(file, maildir) == ((0, 1) if to == "hide" else (1, 0))
    for _ in range(2):
        assert seen(maildir) == before


def test_a_copy_of_a_restored_file_has_another_id(maildir: Path) -> None:
    put(maildir, "1.M1.host:2,", b"one")
    put(maildir, "1.M1.host:2,S", b"two")
    before, file = seen(maildir), backup(maildir)
    for path in (maildir / "cur").iterdir():
        path.unlink()
    seen(maildir)
    restored(file, maildir)
    assert seen(maildir) == before
    for path in [*(maildir / "cur").iterdir()]:
        path.with_name(path.name + "F").write_bytes(path.read_bytes())
    after = seen(maildir)
    assert len(after) == 4
    assert {key: after[key] for key in before} == before


def test_only_later_messages(full: Path) -> None:
    file = backup(full, since=NOW - 3)
    with tarfile.open(file) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("ann/manifest.json"))  # type: ignore[arg-type]
    assert names == [*(f"ann/messages/{number}" for number in range(1, 6)), "ann/manifest.json", "backup.json"]
    assert manifest["since"] == NOW - 3
    assert manifest["quota"] == {"octets": 1000, "messages": None}


def test_the_file_is_one_that_other_programs_read(full: Path) -> None:
    file = backup(full)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        manifest = json.load(tar.extractfile("ann/manifest.json"))  # type: ignore[arg-type]
        for message in manifest["messages"]:
            octets = tar.extractfile(message["path"]).read()  # type: ignore[union-attr]
            assert len(octets) == message["size"]
            if message["name"].startswith("1600000000"):
                assert message["sha256"] == hashlib.sha256(octets.replace(b"\n", b"\r\n")).hexdigest()
                assert (message["unique_id"], message["retrieved"]) == ("1600000000.M1P1.host", True)
                assert message["arrived"] == NOW - 5
    assert manifest["format"] == 1


def test_users_of_any_name(maildir: Path, tmp_path: Path) -> None:
    put(maildir, "1.M1.host")
    users = ["ann@example.org", "..", ".", "a/b", "\xe4", "x" * 200, "a b", "%2e", "\udcff"]
    file = tmp_path / "backup.tar"
    report = write_backup(file, [MaildropPlace(user, maildir) for user in users])
    assert report.users == verify_backup(file).users == tuple(users)
    with pytest.raises(ValueError, match="user"):
        MaildropPlace("", maildir)
    for number, user in enumerate(users):
        [back] = restore_backup(file, [MaildropPlace(user, tmp_path / f"m{number}")])
        assert len(back.restored) == 1


def test_a_maildrop_that_is_not_there_is_not_in_it(full: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    places = [MaildropPlace("ann", full), MaildropPlace("bob", tmp_path / "none")]
    report = write_backup(file, places)
    assert (report.users, report.absent) == (("ann",), ("bob",))
    assert verify_backup(file).users == ("ann",)
    with pytest.raises(BadBackup, match=r"manifest\.json is missing"):
        restore_backup(file, places[1:])


def test_a_disk_that_is_not_mounted_does_not_cost_the_last_backup(full: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    ensure_maildir(tmp_path / "bob")
    places = [MaildropPlace("ann", full), MaildropPlace("bob", tmp_path / "bob")]
    write_backup(file, places)
    before = file.read_bytes()
    full.rename(tmp_path / "away")
    with pytest.raises(
        NothingToBackUp, match=r"the maildrop of ann does not exist, and .* has it: the old backup stays"
    ):
        write_backup(file, places)
    write_backup(tmp_path / "other.tar", places)
    (tmp_path / "bob").rename(tmp_path / "away too")
    with pytest.raises(NothingToBackUp, match="no maildrop exists: is the disk mounted"):
        write_backup(tmp_path / "new.tar", places)
    assert file.read_bytes() == before
    assert {path.name for path in tmp_path.glob("*tar*")} == {"backup.tar", "other.tar"}


def lock_is_a_folder(maildir: Path) -> None:
    (maildir / ".pop3proto-lock").mkdir()


def cur_is_a_link(maildir: Path) -> None:
    (maildir / "cur").rmdir()
    (maildir / "cur").symlink_to("/etc")


def ids_are_a_folder(maildir: Path) -> None:
    (maildir / ".pop3proto-ids").mkdir()


def is_a_file(maildir: Path) -> None:
    for folder in ("new", "cur", "tmp"):
        (maildir / folder).rmdir()
    maildir.rmdir()
    maildir.touch()


def breaks_off(_: Path) -> None:
    """The second message cannot be read, when the first is in the file."""


@pytest.mark.parametrize("spoil", [lock_is_a_folder, cur_is_a_link, ids_are_a_folder, is_a_file, breaks_off])
def test_no_user_stops_the_backup_of_the_others(
    full: Path, tmp_path: Path, spoil: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = tmp_path / "bob"
    ensure_maildir(bob)
    ensure_maildir(tmp_path / "joe")
    put(tmp_path / "joe", "1.M9.host", b"of joe")
    if spoil is breaks_off:
        put(bob, "1.M1.host", b"x" * 5_000)
        put(bob, "2.M1.host" + "x" * 150)
        real = writing.open_message

        def failing(files: Any, index: int) -> Any:
            if files.name(index).startswith("2.M1"):
                raise OSError(errno.EIO, "Input/output error")
            return real(files, index)

        monkeypatch.setattr(writing, "open_message", failing)
    spoil(bob)
    file = tmp_path / "backup.tar"
    places = [MaildropPlace("ann", full), MaildropPlace("bob", bob), MaildropPlace("joe", tmp_path / "joe")]
    report = write_backup(file, places)
    assert (report.users, list(report.failed), report.messages) == (("ann", "joe"), ["bob"], 8)
    with tarfile.open(file) as tar:
        assert not [name for name in tar.getnames() if name.startswith("bob")]
    assert (verify_backup(file).messages, verify_backup(file).problems) == (8, ())
    assert restored(file, tmp_path / "other") == (7, 0)
    with pytest.raises(NothingToBackUp, match="no maildrop can be read; that of bob: "):
        write_backup(tmp_path / "b.tar", [places[1]])


def test_hidden_messages_are_deleted_ones_where_the_server_hides(full: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    shown, hides = MaildropPlace("ann", full), MaildropPlace("ann", full, hides=True)
    whole = write_backup(file, [shown])
    assert write_backup(file, [hides]).messages == whole.messages - 1
    before = seen(full)
    [hidden] = [path for path in (full / "cur").iterdir() if path.name.endswith("ST")]
    for path in [full / "cur/1600000000.M1P1.host,S=12:2,S"]:  # a user deletes it
        path.rename(path.with_name(path.name + "T"))
    [report] = restore_backup(file, [hides], dry_run=True)
    assert (report.restored, report.skipped) == (("1600000000.M1P1.host",), 5)
    assert (full / "cur/1600000000.M1P1.host,S=12:2,ST").exists()
    assert restore_backup(file, [hides]) == [report]
    assert seen(full) == before
    assert (full / "cur/1600000000.M1P1.host,S=12:2,S").exists()
    assert hidden.exists()
    assert restore_backup(file, [hides])[0].restored == ()


def test_a_maildrop_in_use_is_told(full: Path, tmp_path: Path) -> None:
    file = backup(full)
    before = file.read_bytes()
    bob = tmp_path / "bob"
    ensure_maildir(bob)
    lock = FolderLock(full)
    with pytest.raises(MaildropInUse):
        backup(full)
    assert file.read_bytes() == before
    with pytest.raises(MaildropInUse):
        restored(file, full)
    report = write_backup(tmp_path / "b.tar", [MaildropPlace("ann", full), MaildropPlace("bob", bob)])
    assert (report.users, report.in_use) == (("bob",), ("ann",))
    lock.release()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Maildir", "b.tar", "backup.tar", "bob"]


def test_a_message_that_another_program_removes_meanwhile_is_not_in_it(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing.open_message

    def removing(files: Any, index: int) -> Any:
        if index == 1:
            (full / "new/1600000001.M2P1.host").unlink()
        return real(files, index)

    monkeypatch.setattr(writing, "open_message", removing)
    file = full.parent / "backup.tar"
    report = write_backup(file, [MaildropPlace("ann", full)])
    assert (report.messages, report.gone) == (6, 1)
    assert verify_backup(file).problems == ()


def test_two_backups_into_one_file_do_not_mix(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = writing.open_message
    refused: list[BaseException] = []

    def another(files: Any, index: int) -> Any:
        if index == 0:
            with pytest.raises(BlockingIOError) as caught:
                write_backup(full.parent / "backup.tar", [])
            refused.append(caught.value)
        return real(files, index)

    monkeypatch.setattr(writing, "open_message", another)
    file = backup(full)
    assert len(refused) == 1
    assert verify_backup(file).messages == 7


def test_a_backup_takes_constant_memory(maildir: Path) -> None:
    with (maildir / "new/1.M1.host").open("wb") as large:
        for _ in range(200):
            large.write(b"x" * 99 + b"\n" + b"y" * 100_000)
    tracemalloc.start()
    try:
        file = backup(maildir)
        assert verify_backup(file).messages == 1
        assert restored(file, maildir.parent / "other") == (1, 0)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


class Full:
    """A file on a disk that is full."""

    def write(self, _: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_backup(full: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    file = backup(full)
    before = file.read_bytes()

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    written = writing.Output.write

    def fails_to_write(output: Any, octets: bytes) -> int:
        file = output._file
        output._file = Full()
        try:
            return written(output, octets)
        finally:
            output._file = file

    if call == "write":
        monkeypatch.setattr(writing.Output, "write", fails_to_write)
    elif call == "fsync":
        monkeypatch.setattr(writing.os, "fsync", failing)
    else:
        monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="full"):
        backup(full)
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert sorted(path.name for path in full.parent.iterdir()) == ["Maildir", "backup.tar"]


# ------------------------------------------------------------------------------------------------- damage


def test_damage_is_found(full: Path) -> None:
    file = backup(full)
    octets = file.read_bytes()
    assert (verify_backup(file).messages, verify_backup(file).problems) == (7, ())
    file.write_bytes(octets.replace(b"bare\nlf", b"bare\nlg"))
    report = verify_backup(file)
    assert report.messages == 6
    [problem] = report.problems
    assert "the message 1600000001.M2P1.host of ann is damaged" in problem
    with pytest.raises(BadBackup, match="is damaged"):
        restored(file, full.parent / "other")
    assert not (full.parent / "other").exists()


def test_no_octet_of_what_it_says_changes_unnoticed(maildir: Path) -> None:
    put(maildir, "1.M1.host,S=3:2,S", b"one")
    file = backup(maildir)
    octets = file.read_bytes()
    for name in ("ann/manifest.json", "backup.json"):
        with tarfile.open(file) as tar:
            part = tar.getmember(name)
        for at in range(part.offset_data, part.offset_data + part.size, deep(1, 5)):
            changed = bytearray(octets)
            changed[at] ^= 1 << at % 7
            file.write_bytes(changed)
            try:
                problems = verify_backup(file).problems
            except BadBackup:
                continue
            assert problems, (name, octets[at - 20 : at + 20])
        file.write_bytes(octets)
    assert verify_backup(file).problems == ()


@pytest.mark.parametrize("part", range(12))
def test_a_file_that_was_cut_off_is_no_backup(full: Path, part: int) -> None:
    file = backup(full)
    octets = file.read_bytes()
    end = octets.rindex(b"backup.json")
    file.write_bytes(octets[: end * part // 12])
    with pytest.raises(BadBackup):
        verify_backup(file)
    with pytest.raises(BadBackup):
        restored(file, full.parent / "other")


@settings(max_examples=deep(300, 30))
@given(st.data())
def test_no_change_of_a_backup_does_harm(tmp_path_factory: Any, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("x")
    ensure_maildir(folder / "Maildir")
    put(folder / "Maildir", "1.M1.host,S=3:2,S", b"one")
    put(folder / "Maildir", "2.M1.host", b"two")
    before, file = seen(folder / "Maildir"), backup(folder / "Maildir")
    octets = bytearray(file.read_bytes())
    used = len(bytes(octets).rstrip(b"\0"))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, used - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(octets)
    other = folder / "other"
    try:
        assert verify_backup(file).messages <= 2
        restored(file, other)
    except BadBackup:
        assert not other.exists()
    else:
        for unique_id, (content, _) in seen(other).items():
            assert content in {each for each, _ in before.values()}, unique_id
    assert {path.name for path in folder.iterdir()} <= {"Maildir", "backup.tar", "other"}


Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, octets: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(octets)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, octets


def message(number: int = 1, **fields: Any) -> dict[str, Any]:
    octets = b"x\r\n"
    return {
        "unique_id": f"id{number}", "octets": len(octets), "sha256": hashlib.sha256(octets).hexdigest(),
        "size": len(octets), "retrieved": False, "arrived": 1.5, "name": f"{number}.M1.host",
        "path": f"ann/messages/{number}", **fields,
    }  # fmt: skip


def manifest(*rows: Any, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    quota = {"octets": None, "messages": None}
    data = {"format": 1, "user": "ann", "made": 1, "since": None, "quota": quota, "messages": [*rows], **fields}
    return member("ann/manifest.json", json.dumps(data).encode())


INDEX = member("backup.json", b'{"format": 1, "users": ["ann"]}')
ONE = member("ann/messages/1", b"x\r\n")


def sealed(members: Members) -> Members:
    """What is to be a backup, with the digests of its manifests and of its index: they keep out no attacker."""
    digests = {
        info.name.partition("/")[0]: hashlib.sha256(octets).hexdigest()
        for info, octets in members
        if info.name.endswith("/manifest.json")
    }
    made: Members = []
    for info, octets in members:
        if info.name != "backup.json":
            made.append((info, octets))
            continue
        fields = {"made": 1, "left_out": [], "manifests": digests, **json.loads(octets)}
        body = json.dumps(fields)[:-1].encode()
        made.append(member(info.name, body + f', "sha256": "{hashlib.sha256(body).hexdigest()}"}}'.encode()))
    return made


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
HOSTILE: dict[str, Callable[[], Members]] = {
    "a path that leads out": lambda: [member("../ann/messages/1", b"x"), manifest(), INDEX],
    "an absolute path": lambda: [member("/etc/passwd", b"x"), manifest(), INDEX],
    "dots within": lambda: [member("ann/../messages/1", b"x"), manifest(), INDEX],
    "dots as a user": lambda: [member("../messages/1", b"x"), manifest(), INDEX],
    "a symbolic link": lambda: [member("ann/messages/1", type=tarfile.SYMTYPE, linkname="/etc"), manifest(), INDEX],
    "a hard link": lambda: [ONE, member("ann/messages/2", type=tarfile.LNKTYPE, linkname="ann/messages/1"), INDEX],
    "a device": lambda: [member("ann/messages/1", type=tarfile.CHRTYPE), manifest(), INDEX],
    "a pipe": lambda: [member("ann/messages/1", type=tarfile.FIFOTYPE), manifest(), INDEX],
    "a folder": lambda: [member("ann", type=tarfile.DIRTYPE), manifest(), INDEX],
    "a name twice": lambda: [ONE, ONE, manifest(message()), INDEX],
    "the manifest twice": lambda: [ONE, manifest(message()), manifest(message()), INDEX],
    "another file": lambda: [ONE, manifest(message()), member("ann/more", b"x"), INDEX],
    "something behind the end": lambda: [manifest(message()), INDEX, ONE],
    "another user than it says": lambda: [ONE, manifest(message(), user="bob"), INDEX],
    "a user that it does not say": lambda: [manifest(), member("bob/manifest.json", b"{}"), INDEX],
    "no manifest": lambda: [ONE, INDEX],
    "no index": lambda: [ONE, manifest(message())],
    "no such message": lambda: [manifest(message()), INDEX],
    "a message without a row": lambda: [ONE, manifest(), INDEX],
    "a message of another user": lambda: [ONE, manifest(message(path="bob/messages/1")), INDEX],
    "a path out in a row": lambda: [ONE, manifest(message(path="../../etc/passwd")), INDEX],
    "another size": lambda: [ONE, manifest(message(size=4)), INDEX],
    "another size on the wire": lambda: [ONE, manifest(message(octets=4)), INDEX],
    "another digest": lambda: [ONE, manifest(message(sha256="0" * 64)), INDEX],
    "a size that is no number": lambda: [ONE, manifest(message(size=True)), INDEX],
    "a negative size": lambda: [ONE, manifest(message(octets=-1)), INDEX],
    "an unusable id": lambda: [ONE, manifest(message(unique_id="a b")), INDEX],
    "an empty id": lambda: [ONE, manifest(message(unique_id="")), INDEX],
    "a name with a slash": lambda: [ONE, manifest(message(name="../x")), INDEX],
    "a hidden name": lambda: [ONE, manifest(message(name=".x")), INDEX],
    "a long name": lambda: [ONE, manifest(message(name="x" * 300)), INDEX],
    "a name with NUL": lambda: [ONE, manifest(message(name="x\0")), INDEX],
    "a time that is none": lambda: [ONE, manifest(message(arrived=float("inf"))), INDEX],
    "a time beyond all": lambda: [ONE, manifest(message(arrived=10**400), made=10**400), INDEX],
    "a time that is NaN": lambda: [ONE, manifest(message(), made=float("nan")), INDEX],
    "a time that is text": lambda: [ONE, manifest(message(arrived="now")), INDEX],
    "one id for two": lambda: [ONE, manifest(message(), message(path="ann/messages/2")), INDEX],
    "one file for two": lambda: [ONE, manifest(message(), message(2, path="ann/messages/1")), INDEX],
    "another format": lambda: [ONE, manifest(message(), format=2), INDEX],
    "no JSON": lambda: [ONE, member("ann/manifest.json", b"{"), INDEX],
    "deep JSON": lambda: [ONE, member("ann/manifest.json", b"[" * 200_000), INDEX],
    "no object": lambda: [ONE, member("ann/manifest.json", b"[]"), INDEX],
    "rows that are none": lambda: [ONE, manifest(1), INDEX],
    "a quota that is none": lambda: [manifest(quota=5), INDEX],
    "users that are none": lambda: [manifest(), member("backup.json", b'{"format": 1, "users": [1]}')],
    "a user twice": lambda: [manifest(), member("backup.json", b'{"format": 1, "users": ["ann", "ann"]}')],
    "no digest of a manifest": lambda: [
        manifest(),
        member("backup.json", b'{"format": 1, "users": ["ann"], "manifests": {}}'),
    ],
    "digests that are none": lambda: [
        manifest(),
        member("backup.json", b'{"format": 1, "users": ["ann"], "manifests": [1]}'),
    ],
    "no time": lambda: [manifest(), member("backup.json", b'{"format": 1, "users": ["ann"], "made": "x"}')],
    "holes": lambda: [member("ann/messages/1", b"x", pax_headers=SPARSE), INDEX],
    "a huge header": lambda: [member("x" * (2 << 20), b"x"), INDEX],
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_no_file_does_harm(tmp_path: Path, case: str) -> None:
    file = tmp_path / "hostile.tar"
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, octets in sealed(HOSTILE[case]()):
            tar.addfile(info, io.BytesIO(octets))
    refused(file, tmp_path)


def refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadBackup):
        restore_backup(file, [MaildropPlace("ann", tmp_path / "ann")])
    with contextlib.suppress(BadBackup):
        assert verify_backup(file).problems
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_right_file_of_another_program_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "right.tar"
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, octets in sealed([ONE, manifest(message()), INDEX]):
            tar.addfile(info, io.BytesIO(octets))
    [report] = restore_backup(file, [MaildropPlace("ann", tmp_path / "ann")])
    assert report.restored == ("id1",)
    assert list(seen(tmp_path / "ann")) == ["id1"]


def test_sizes_that_lie_beyond_the_end_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "lies.tar"
    info, _ = member("ann/messages/1", size=1 << 40)
    file.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    refused(file, tmp_path)


def test_a_manifest_that_is_huge_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.tar"
    with file.open("wb") as out:
        info, _ = member("ann/manifest.json", size=1 << 30)
        out.write(info.tobuf())
        out.seek(1 << 30, 1)
        out.write(INDEX[0].tobuf() + INDEX[1].ljust(512, b"\0") + bytes(1024))
    tracemalloc.start()
    try:
        refused(file, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_compressed_archive_a_folder_and_nothing_are_no_backups(full: Path, tmp_path: Path) -> None:
    file = backup(full)
    file.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(BadBackup):
        verify_backup(file)
    file.write_bytes(b"")
    with pytest.raises(BadBackup):
        verify_backup(file)
    with pytest.raises(OSError, match="not a regular file"):
        verify_backup(tmp_path)
    with pytest.raises(FileNotFoundError):
        verify_backup(tmp_path / "none")
