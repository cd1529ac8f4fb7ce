"""Message files while other programs rename them; and the work and the memory that a session of many messages takes."""

import errno
import gzip
import os
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pop3proto._io.files import open_regular
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import connect, serve
from pop3proto.core.commands import Top
from pop3proto.core.replies import ResponseCode
from pop3proto.maildrops import MaildirStore, files, folders, listing
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.procedures import Service
from pop3proto.procedures.maildrop import Maildrop, Refused
from pop3proto.sasl.channel import SessionInfo


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    return path


def opened(maildir: Path) -> Maildrop:
    return MaildirStore({"ann": maildir}).open("ann", SessionInfo())


def fill(maildir: Path, count: int) -> None:
    """Make so many messages, with names as Dovecot makes them."""
    for number in range(count):
        name = f"{1_700_000_000 + number}.M{number:06}P1234.host.example.org,S=13,W=15:2,S"
        (maildir / "cur" / name).write_bytes(b"Subject: x\n\nx")


def all_of(maildrop: Maildrop) -> frozenset[int]:
    return frozenset(range(1, len(maildrop.messages) + 1))


def everything(maildir: Path) -> list[str]:
    return sorted(path.name for path in maildir.glob("[nc]*/*"))


# --------------------------------------------------------------------------------- renamed while listed


class Renaming:
    """Another program that renames a file of `cur` while it is listed, so that the listing misses it.

    Args:
        maildir: the Maildir.
        hide: which file, by the number of the listing; None: none.
        shown: whether the listing shows the old name.
    """

    def __init__(
        self,
        maildir: Path,
        monkeypatch: pytest.MonkeyPatch,
        hide: Callable[[int], str | None],
        *,
        shown: bool = False,
    ) -> None:
        self.maildir = maildir
        self.hide = hide
        self.shown = shown
        self.listings = 0
        self._scandir = os.scandir
        monkeypatch.setattr(os, "scandir", self)

    def __call__(self, folder: Any) -> Any:
        cur = self.maildir / "cur"
        if not isinstance(folder, int) or not os.path.samestat(os.fstat(folder), cur.stat()):
            return self._scandir(folder)
        with self._scandir(folder) as entries:
            shown = list(entries)
        self.listings += 1
        hidden = self.hide(self.listings)
        if hidden is not None:
            for entry in shown:
                if entry.name.startswith(f"{hidden}."):
                    (cur / entry.name).rename(cur / f"{entry.name}x")
            shown = [entry for entry in shown if self.shown or not entry.name.startswith(f"{hidden}.")]
        return nullcontext(shown)


@pytest.fixture
def three(maildir: Path) -> Path:
    for number in "123":
        (maildir / f"cur/{number}.a:2,").write_bytes(b"a\n")
    return maildir


def test_a_message_that_is_renamed_while_the_folder_is_listed_is_not_missed(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renaming = Renaming(three, monkeypatch, lambda listing: "2" if listing == 1 else None)
    maildrop = opened(three)
    assert [message.unique_id for message in maildrop.messages] == ["1.a", "2.a", "3.a"]
    assert renaming.listings > 1


def test_messages_that_are_renamed_all_the_time_are_not_missed_and_the_login_does_not_wait_for_an_end(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renaming = Renaming(three, monkeypatch, lambda listing: "123"[listing % 3])
    maildrop = opened(three)
    assert [message.unique_id for message in maildrop.messages] == ["1.a", "2.a", "3.a"]
    assert renaming.listings <= 4 * 4  # at first, and for each message when it is counted
    monkeypatch.undo()
    for number in (1, 2, 3):
        source: Any = maildrop.open(number)
        assert source.read(9) == b"a\n"
        source.close()


def test_a_message_that_is_renamed_whenever_it_is_looked_at_is_looked_at_again(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renaming = Renaming(three, monkeypatch, lambda listing: "2" if listing < 9 else None, shown=True)
    maildrop = opened(three)
    assert [message.unique_id for message in maildrop.messages] == ["1.a", "2.a", "3.a"]
    assert renaming.listings >= 9


def test_a_login_does_not_wait_for_a_message_that_never_stays(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renaming = Renaming(three, monkeypatch, lambda _listing: "2", shown=True)
    maildrop = opened(three)
    assert [message.unique_id for message in maildrop.messages] == ["1.a", "3.a"]
    assert renaming.listings <= 12


def test_folders_that_do_not_change_are_listed_once(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("new", "cur"):
        os.utime(three / name, (1, 1))
    renaming = Renaming(three, monkeypatch, lambda _listing: None)
    opened(three).close()
    assert renaming.listings == 1


def test_two_changes_within_a_tick_of_the_clock_are_not_taken_for_one(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = (three / "cur").stat().st_mtime_ns
    monkeypatch.setattr(listing.time, "time_ns", lambda: now + 1_000_000)
    renaming = Renaming(three, monkeypatch, lambda _listing: None)
    opened(three).close()
    assert renaming.listings == 4


# -------------------------------------------------------------------------------------------- removal


def test_a_message_that_is_renamed_while_it_is_looked_for_is_removed(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maildrop = opened(three)
    (three / "cur/2.a:2,").rename(three / "cur/2.a:2,S")
    Renaming(three, monkeypatch, lambda listing: "2" if listing in {1, 2} else None)
    maildrop.commit(all_of(maildrop), frozenset())
    assert everything(three) == []


def test_a_message_that_no_listing_shows_while_the_folder_changes_is_not_said_to_be_removed(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maildrop = opened(three)
    (three / "cur/2.a:2,").rename(three / "cur/2.a:2,S")
    Renaming(three, monkeypatch, lambda _listing: "2")
    with pytest.raises(Refused, match="some deleted messages not removed") as refused:
        maildrop.commit(all_of(maildrop), frozenset())
    assert refused.value.code == ResponseCode.SYS_TEMP
    assert [name[:3] for name in everything(three)] == ["2.a"]


@pytest.mark.parametrize("now", ["cur/1.a,U=7:2,S", "cur/1.a,U=7,FMD5=ab:2,", "cur/1700.renamed:2,S"])
def test_a_message_whose_unique_part_another_program_has_changed_is_read_and_removed(maildir: Path, now: str) -> None:
    (maildir / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(maildir)
    (maildir / "new/1.a").rename(maildir / now)
    source: Any = maildrop.open(1)
    assert source.read(9) == b"a\n"
    source.close()
    maildrop.commit(frozenset({1}), frozenset())
    assert everything(maildir) == []


def test_the_uid_that_mbsync_adds_is_no_part_of_the_id(maildir: Path) -> None:
    (maildir / "new/1.a").write_bytes(b"a\n")
    before = list(opened_and_closed(maildir).messages)
    (maildir / "new/1.a").rename(maildir / "new/1.a,U=7")
    assert list(opened_and_closed(maildir).messages) == before


def opened_and_closed(maildir: Path) -> Maildrop:
    maildrop = opened(maildir)
    maildrop.close()
    return maildrop


@pytest.mark.parametrize("change", ["content", "time", "link", "message"])
def test_another_message_with_the_inode_of_one_that_is_gone_is_left_alone(maildir: Path, change: str) -> None:
    path = maildir / "new/1.a"
    path.write_bytes(b"a\n")
    other = maildir / "cur/2.b:2,"
    if change == "message":
        other.hardlink_to(path)
    maildrop = opened(maildir)
    if change == "message":
        path.unlink()
    else:
        path.rename(other)  # has its inode for sure, as a new file may have by chance
    status = other.stat()
    if change == "content":
        other.write_bytes(b"longer\n")
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "link":
        (maildir / "tmp/3.c").hardlink_to(other)
    maildrop.commit(frozenset({1}), frozenset())
    assert everything(maildir) == ["2.b:2,"]


def test_what_is_gone_is_looked_for_once_as_long_as_the_folders_stay_the_same(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maildrop = opened(three)
    (three / "cur/2.a:2,").unlink()
    for name in ("new", "cur"):
        os.utime(three / name, (1, 1))
    renaming = Renaming(three, monkeypatch, lambda _listing: None)
    for _ in range(5):
        with pytest.raises(Refused, match="message 2 was removed"):
            maildrop.open(2)
    assert renaming.listings == 1


def test_a_removal_that_can_never_succeed_is_tried_once_for_each_message(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(maildir, 300)
    maildrop = opened(maildir)
    tried: list[str] = []

    def failing(path: str, **_folder: int) -> None:
        tried.append(path)
        raise OSError(errno.EROFS, "read-only", path)

    monkeypatch.setattr(os, "unlink", failing)
    with pytest.raises(Refused) as refused:
        maildrop.commit(all_of(maildrop), frozenset())
    assert refused.value.code == ResponseCode.SYS_PERM
    assert len(tried) == 300
    assert isinstance(refused.value.__cause__, ExceptionGroup)
    assert len(refused.value.__cause__.exceptions) == 100


# --------------------------------------------------------------------------------- work, memory, octets


def test_few_octets_are_kept_for_each_message(maildir: Path) -> None:
    fill(maildir, 2_000)
    opened(maildir).close()  # what is loaded and cached once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        maildrop = opened(maildir)
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(maildrop.messages) == 2_000
    assert kept / 2_000 < 450
    maildrop.close()


def test_few_functions_are_called_for_each_message_at_login(maildir: Path) -> None:
    def calls(count: int) -> int:
        fill(maildir, count)
        opened(maildir).close()
        for folder in ("new", "cur"):  # one that has changed just now is listed again
            os.utime(maildir / folder, (1e9, 1e9))
        number = 0

        def count_call(_frame: object, event: str, _argument: object) -> None:
            nonlocal number
            number += event in {"call", "c_call"}

        sys.setprofile(count_call)
        try:
            opened(maildir).close()
        finally:
            sys.setprofile(None)
        return number

    few = calls(100)
    assert (calls(600) - few) / 500 < 40


def test_a_removal_takes_two_system_calls_and_no_listing(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(maildir, 300)
    maildrop = opened(maildir)
    calls: Counter[str] = Counter()
    with monkeypatch.context() as patch:
        for name in ("open", "scandir", "stat", "lstat", "unlink", "fsync", "rename", "replace", "listdir"):
            patch.setattr(os, name, counting(calls, name))
        maildrop.commit(all_of(maildrop), frozenset())
    assert everything(maildir) == []
    assert calls["unlink"] == 300
    assert calls["stat"] + calls["lstat"] <= 300 + 5
    assert calls["fsync"] == 2
    assert calls["scandir"] == calls["listdir"] == 0
    assert calls.total() < 300 * 2 + 30


def test_removals_that_others_have_moved_take_one_listing_for_all(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(maildir, 300)
    maildrop = opened(maildir)
    for path in (maildir / "cur").iterdir():
        path.rename(path.with_name(f"{path.name}T"))
    renaming = Renaming(maildir, monkeypatch, lambda _listing: None)
    maildrop.commit(all_of(maildrop), frozenset())
    assert everything(maildir) == []
    assert renaming.listings <= 4


def counting(calls: Counter[str], name: str) -> Any:
    function = getattr(os, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        calls[name] += 1
        return function(*arguments, **named)

    return counted


@pytest.mark.parametrize("lines,most", [(0, 40_000), (20, 40_000), (10**9, 1 << 23)])
def test_top_reads_roughly_what_it_sends(maildir: Path, monkeypatch: pytest.MonkeyPatch, lines: int, most: int) -> None:
    for number in range(4):
        (maildir / f"new/{number}.a").write_bytes(b"Subject: x\n\n" + b"0123456789\n" * 180_000)
    opened(maildir).close()
    octets = 0

    class Counting:
        def __init__(self, path: str, *, folder: int) -> None:
            self._file = open_regular(path, folder=folder)
            self.fileno, self.close = self._file.fileno, self._file.close

        def read(self, size: int) -> bytes:
            nonlocal octets
            piece = self._file.read(size)
            octets += len(piece)
            return piece

    monkeypatch.setattr(files, "open_regular", Counting)
    service = Service(store=MaildirStore({"ann": maildir}), authenticator=MemoryAuthenticator({"ann": "x"}))
    with serve(service) as server, connect(*server.address, tls="none") as client:
        client.login("ann", "x")
        for number in (1, 2, 3, 4):
            top = client.call(Top(number, lines))
            assert top.count(b"\r\n") == 2 + min(lines, 180_000)
    assert octets < 4 * most


# -------------------------------------------------------------------------------------------- read ahead


def contents_of(sources: Sequence[Any]) -> list[bytes]:
    with ExitStack() as stack:
        return [stack.enter_context(closing(source)).read(1_000) for source in sources]


def filled(maildir: Path) -> list[Path]:
    paths = [maildir / "cur" / f"{number}.x.host:2,S" for number in range(1_000_000_001, 1_000_000_007)]
    for path in paths:
        path.write_bytes(b"Subject: %b\n\n" % path.name[9:10].encode())
    return paths


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more\n")


def shrink(path: Path) -> None:
    path.write_bytes(b"")


def move(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}R"))


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_link(path: Path) -> None:
    path.rename(path.parent.parent / "other")
    path.symlink_to(path.parent.parent / "other")


def become_compressed(path: Path) -> None:
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed)


@pytest.mark.parametrize(
    "change", [grow, shrink, move, Path.unlink, become_a_pipe, become_a_folder, become_a_link, become_compressed]
)
def test_messages_are_read_ahead_up_to_one_that_is_not_as_it_was_listed(maildir, change):
    paths = filled(maildir)
    maildrop: Any = opened(maildir)
    change(paths[3])
    assert contents_of(maildrop.open_many([1, 2, 3, 4, 5])) == [b"Subject: 1\n\n", b"Subject: 2\n\n", b"Subject: 3\n\n"]
    maildrop.close()


def test_a_compressed_message_is_not_read_ahead(maildir):
    paths = filled(maildir)
    become_compressed(paths[2])
    maildrop: Any = opened(maildir)
    assert len(contents_of(maildrop.open_many([1, 2, 3, 4]))) == 2
    assert contents_of(maildrop.open_many([3, 4])) == [b"Subject: 3\n\n", b"Subject: 4\n\n"]
    maildrop.close()


def test_nothing_is_read_ahead_from_folders_that_cannot_be_opened(maildir, monkeypatch):
    filled(maildir)
    maildrop: Any = opened(maildir)

    def fails(_folders: object) -> Any:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(folders.MessageFolders, "open", fails)
    assert contents_of(maildrop.open_many([1, 2])) == [b"Subject: 1\n\n"]
    maildrop.close()


def test_a_message_that_is_read_ahead_costs_three_system_calls(maildir, monkeypatch):
    filled(maildir)
    maildrop: Any = opened(maildir)
    calls: Counter[str] = Counter()

    def counting(name: str) -> None:
        original = getattr(os, name)

        def counted(*arguments: Any, **keywords: Any) -> Any:
            calls[name] += 1
            return original(*arguments, **keywords)

        monkeypatch.setattr(os, name, counted)

    for name in ("open", "read", "close", "fstat", "stat", "pread"):
        counting(name)
    for source in maildrop.open_many([1]):
        source.close()
    alone = calls.copy()
    calls.clear()
    for source in maildrop.open_many([1, 2, 3, 4, 5, 6]):
        source.close()
    assert calls - alone == Counter(open=5, read=5, close=5)
    maildrop.close()
