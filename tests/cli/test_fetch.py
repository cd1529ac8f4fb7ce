"""`pop3proto fetch`: what is new comes once, and stays on the server unless it is to be deleted."""

import errno
import os
import stat
import time

import pytest

from pop3proto._io import files as disk
from pop3proto._io.new_files import NewFile
from pop3proto.core.capabilities import Capabilities, Expire
from pop3proto.fetching.accounts.targets import JOURNAL_NAME
from pop3proto.fetching.file_journal import FileJournal
from pop3proto.maildrops import MaildirStore, MemoryStore, folders
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.cli_servers import (
    MAIL,
    STORED,
    Scripted,
    body,
    fetch_in_clear as fetch,
    name_of,
    serving,
    stored,
)


def test_mail_is_fetched_once_and_stays(target, capsys):
    store = MemoryStore({"ann": MAIL})
    with serving(store) as server:
        assert fetch(server, target) == 0
        assert capsys.readouterr() == (f"{name_of(server)}: 3 messages fetched (58 B)\n", "")
        assert fetch(server, target) == 0
        assert capsys.readouterr() == ("", "")
        store.deliver("ann", b"Subject: four\n")
        assert fetch(server, target) == 0
        assert capsys.readouterr() == (f"{name_of(server)}: 1 message fetched (15 B)\n", "")
    assert stored(target) == sorted([*STORED, b"Subject: four\n"])
    assert store.messages("ann") == [*MAIL, b"Subject: four\n"]


def test_what_was_moved_away_is_not_fetched_again(target):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
        for file in (target / "new").iterdir():
            file.unlink()
        assert fetch(server, target) == 0
    assert stored(target) == []


def test_the_order_is_kept(target):
    mail = [b"%d\n" % number for number in range(50)]
    with serving(MemoryStore({"ann": mail})) as server:
        assert fetch(server, target) == 0
    maildrop = MaildirStore({"ann": target}).open("ann", SessionInfo())
    sources = [maildrop.open(number) for number in range(1, 51)]
    assert [source.read(10) for source in sources] == mail
    for source in sources:
        source.close()
    maildrop.close()


def test_with_delete_what_is_stored_is_deleted(target, capsys):
    store = MemoryStore({"ann": MAIL[:1]})
    with serving(store) as server:
        assert fetch(server, target) == 0
        store.deliver("ann", MAIL[1])
        capsys.readouterr()
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr() == (f"{name_of(server)}: 1 message fetched (13 B), 2 deleted on the server\n", "")
    assert store.messages("ann") == []
    assert len(stored(target)) == 2


def test_an_empty_maildrop(target, capsys):
    with serving(MemoryStore()) as server:
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr() == ("", "")


def test_accounts_do_not_know_of_each_other(target, capsys):
    for _ in range(2):  # two servers, two ports
        with Scripted({"UIDL": body("1 same"), "RETR": body("Subject: a", "")}) as server:
            assert fetch(server, target) == 0
            assert capsys.readouterr().out == f"{name_of(server)}: 1 message fetched (14 B)\n"
    assert len(stored(target)) == 2


def test_a_pipelining_server_is_asked_for_all_at_once(target):
    answers = {
        "CAPA": body("PIPELINING", "UIDL"),
        "UIDL": body("1 a", "2 b"),
        "RETR 1": b"",  # it waits until it has heard the second
        "RETR 2": body("one") + body("two"),
    }
    with Scripted(answers) as server:
        assert fetch(server, target) == 0
    assert stored(target) == [b"one\n", b"two\n"]


def test_a_server_that_deletes_by_itself_is_named_before(target, capsys):
    store = MemoryStore({"ann": MAIL}, capabilities=Capabilities(expire=Expire(0)))
    with serving(store) as server:
        assert fetch(server, target) == 0
    assert capsys.readouterr().err == (
        f"{name_of(server)}: note: this server may delete messages once they are fetched (it announces EXPIRE 0)\n"
    )
    assert stored(target) == sorted(STORED)


def test_two_fetches_at_once_do_not_meet(target, capsys):
    with serving(MemoryStore({"ann": MAIL})) as server:
        ensure_maildir(target)
        with FileJournal(target / JOURNAL_NAME, "bob@pop.example.org:995"):
            assert fetch(server, target) == 75
        assert capsys.readouterr().err == (
            f"{name_of(server)}: another fetch is running with the journal {target / JOURNAL_NAME}; "
            "wait for it to end, or stop it\n"
        )
        assert fetch(server, target) == 0


# --------------------------------------------------------------------------- file systems and Maildirs


@pytest.fixture
def no_folder_sync(monkeypatch):
    """A file system that cannot sync folders: CIFS, sshfs, gocryptfs."""
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)


@pytest.mark.usefixtures("no_folder_sync")
def test_a_file_system_that_cannot_sync_folders_is_good_enough(target, capsys):
    store = MemoryStore({"ann": MAIL})
    with serving(store) as server:
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr().err == ""
    assert stored(target) == STORED
    assert store.messages("ann") == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_with_the_path_and_what_to_do(target, capsys, monkeypatch, number):
    def failing(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk.fcntl, "flock", failing)
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 75
    assert capsys.readouterr().err == (
        f"{name_of(server)}: {target / JOURNAL_NAME}: the file system has no lock for this "
        f"file (flock: {os.strerror(number)}); mount it with locks (over NFS, without nolock and with rpc.statd "
        "running), or use a local file system\n"
    )


def test_a_maildir_that_lost_its_empty_folders_is_one_still(target):
    (target / "cur").mkdir(parents=True)
    (target / "cur/1.a:2,S").write_bytes(b"Subject: zero\n\n")
    (target / "dovecot-uidlist").write_bytes(b"3 V1 N2\n")
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
    assert stored(target) == sorted([*STORED, b"Subject: zero\n\n"])


def test_what_a_killed_fetch_has_left_is_cleared_away(target, monkeypatch):
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
        left = target / "tmp/1.killed"
        left.write_bytes(b"half a mess")
        assert fetch(server, target) == 0
        assert left.exists()
        now = time.time()
        monkeypatch.setattr(folders.time, "time", lambda: now + 37 * 3600)
        assert fetch(server, target) == 0
        assert not left.exists()
    assert stored(target) == STORED


def test_the_quota_of_the_maildir_knows_what_was_fetched(target):
    target.mkdir()
    for name in ("cur", "new", "tmp"):
        (target / name).mkdir()
    (target / "maildirsize").write_text("1000000S\n")
    with serving(MemoryStore({"ann": MAIL})) as server:
        assert fetch(server, target) == 0
    lines = (target / "maildirsize").read_text().splitlines()
    counts = [tuple(map(int, line.split())) for line in lines[1:]]
    assert lines[0] == "1000000S"
    assert [sum(column) for column in zip(*counts, strict=True)] == [sum(map(len, STORED)), 3]


def test_a_large_message_is_never_whole_in_memory(target, monkeypatch):
    pieces: list[int] = []
    write = NewFile.write

    def spy(self, chunk):
        pieces.append(len(chunk))
        write(self, chunk)

    monkeypatch.setattr(NewFile, "write", spy)
    with serving(MemoryStore({"ann": [b"small\n", (b"x" * 79 + b"\n") * 100_000]})) as server:
        assert fetch(server, target) == 0
    assert sum(pieces) == 6 + 8_000_000
    assert max(pieces) <= 1 << 20
