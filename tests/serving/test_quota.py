"""Quota: the limits, and `maildirsize`, which other programs write as well."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.serving.quota import counting, maildir_quota, size_file
from pop3proto.serving.quota.maildir_quota import MaildirQuota
from pop3proto.serving.quota.rules import Quota, Usage
from pop3proto.serving.quota.size_file import SizeFile, header_of, parse

GIB = Quota(octets=10**9)


def put(maildir: Path, name: str, octets: int = 10, folder: str = "cur") -> Path:
    path = maildir / folder / name
    path.write_bytes(b"x" * octets)
    return path


def size_lines(maildir: Path) -> list[str]:
    return (maildir / "maildirsize").read_text().splitlines()


# ---------------------------------------------------------------------------------------------- limits


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**9))
def test_a_message_is_taken_as_long_as_the_limit_is_not_reached(limit: int, used: int, octets: int) -> None:
    usage = Usage(used, 1)
    assert Quota(octets=limit).admits(usage, octets) == (used < limit)
    assert Quota(octets=limit, grace=False).admits(usage, octets) == (used + octets <= limit)


def test_the_limits_count_alone_and_together() -> None:
    quota = Quota(octets=100, messages=2)
    assert not quota.is_full(Usage(99, 1))
    assert quota.is_full(Usage(100, 1))
    assert quota.is_full(Usage(0, 2))
    assert not Quota().is_limited
    assert Quota().admits(Usage(10**15, 10**9), 10**9)
    assert Quota().describe(Usage(1, 1)) == ""


@pytest.mark.parametrize(
    "quota,usage,words",
    [
        (GIB, Usage(819_999_999, 3), "81 % of 1 GB used"),
        (Quota(octets=1_500_000), Usage(3_000_000, 3), "200 % of 1.5 MB used"),
        (Quota(octets=1000, messages=4), Usage(100, 3), "75 % of 4 messages used"),
        (Quota(octets=999), Usage(-5, 0), "0 % of 999 octets used"),
    ],
)
def test_what_is_used_is_told_of_the_nearest_limit(quota: Quota, usage: Usage, words: str) -> None:
    assert quota.describe(usage) == words


def test_the_warning_begins_where_it_is_set() -> None:
    assert not Quota(octets=100).warns(Usage(89, 1))
    assert Quota(octets=100).warns(Usage(90, 1))
    assert Quota(octets=100, warn=0.5).warns(Usage(50, 1))
    assert not Quota().warns(Usage(50, 1))


@pytest.mark.parametrize("wrong", [{"octets": 0}, {"messages": -1}, {"warn": 0}, {"warn": 1.1}])
def test_a_limit_without_meaning_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the quota's"):
        Quota(**wrong)


# --------------------------------------------------------------------------------------------- the file


@given(st.binary(max_size=200))
def test_any_octets_are_read_without_an_error_and_no_sum_is_negative(data: bytes) -> None:
    _, usage, _ = parse(data)
    assert usage is None or (usage.octets >= 0 and usage.messages >= 0)


@given(st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(-(10**6), 10**6)), max_size=20))
def test_the_sum_of_the_lines_is_what_is_used(deltas: list[tuple[int, int]]) -> None:
    data = b"1000S,5C\n" + b"".join(b"%d %d\n" % delta for delta in deltas)
    octets, messages = sum(delta[0] for delta in deltas), sum(delta[1] for delta in deltas)
    header, usage, lines = parse(data)
    assert (header, lines) == (b"1000S,5C", len(deltas))
    assert usage == (Usage(octets, messages) if octets >= 0 and messages >= 0 else None)


@pytest.mark.parametrize(
    "header,same",
    [(b"5C,1000S", True), (b"1000S,5C", True), (b" 1000S,5C ", True), (b"1000S", False), (b"1000S,6C", False),
     (b"1000S,5C,1000S", False), (b"junk", False), (b"", False)],
)  # fmt: skip
def test_a_header_of_another_program_is_recognised(header: bytes, same: bool) -> None:
    assert (parse(header + b"\n")[0] == header_of(Quota(octets=1000, messages=5))) is same


def test_a_limit_of_zero_in_a_header_is_none() -> None:
    assert parse(b"1000S,0C\n")[0] == header_of(Quota(octets=1000))


# ---------------------------------------------------------------------------------------------- counting


def test_all_folders_count_and_the_trash_as_it_is_set(maildir: Path) -> None:
    put(maildir, "1.a.h", 5, "new")
    put(maildir, "2.a.h,S=1000:2,S", 1)  # compressed
    put(maildir, "3.a.h:2,ST", 7)
    put(maildir, ".hidden", 7)
    (maildir / "cur/folder").mkdir()
    for name in (".Work", ".Trash"):
        ensure_maildir(maildir / name)
        put(maildir / name, "4.a.h", 20)
    (maildir / ".Notes").mkdir()
    assert counting.count(maildir, trash=False).usage == Usage(1025, 3)
    assert counting.count(maildir, trash=True).usage == Usage(1052, 5)


def test_a_file_with_two_names_is_counted_once(maildir: Path) -> None:
    path = put(maildir, "1.a.h", 5, "new")
    os.link(path, maildir / "cur/1.a.h:2,")
    assert counting.count(maildir, trash=True).usage == Usage(5, 1)


def test_a_name_with_the_size_needs_no_look_at_the_file(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(maildir, "1.a.h,S=5,W=5:2,S")

    def scandir(folder: Any, scan: Any = os.scandir) -> Any:
        class Entries:
            def __enter__(self) -> Any:
                self.real = scan(folder)
                return iter([Entry(each) for each in self.real])

            def __exit__(self, *_: object) -> None:
                self.real.close()

        return Entries()

    class Entry:
        def __init__(self, real: os.DirEntry[str]) -> None:
            self.real, self.name, self.inode, self.is_dir = real, real.name, real.inode, real.is_dir
            self.is_file = real.is_file

        def stat(self, **_: object) -> None:
            pytest.fail("it was looked at")

    monkeypatch.setattr(counting.os, "scandir", scandir)
    assert counting.count(maildir, trash=False).usage == Usage(5, 1)


# ----------------------------------------------------------------------------------------- the two together


def test_the_file_is_made_when_it_is_missing_and_believed_afterwards(maildir: Path) -> None:
    put(maildir, "1.a.h", 30)
    quota = MaildirQuota(maildir, Quota(octets=1000, messages=9))
    assert quota.recorded() is None
    assert quota.usage() == Usage(30, 1)
    assert size_lines(maildir) == ["1000S,9C", "30 1"]
    put(maildir, "2.a.h", 30)  # by a program that does not tell
    assert quota.usage() == quota.recorded() == Usage(30, 1)
    assert quota.counted() == Usage(60, 2)
    assert quota.recalculate() == Usage(60, 2)
    assert size_lines(maildir) == ["1000S,9C", "60 2"]
    assert not list((maildir / "tmp").iterdir())


@pytest.mark.parametrize(
    "content",
    [
        "", "1000S\n", "500S\n30 1\n", "1000S,7C\n30 1\n", "1000S\n30 1\nwhat\n", "1000S\n30 1\n-31 0\n",
        "1000S\n30 1\n0 -2\n", "junk\n30 1\n", "1000S\n" + "0 0\n" * 1300, "1000S\n30 1\n\0\0\0\0",
    ],
)  # fmt: skip
def test_a_file_that_is_not_to_be_believed_is_written_anew(maildir: Path, content: str) -> None:
    put(maildir, "1.a.h", 77)
    (maildir / "maildirsize").write_text(content)
    assert MaildirQuota(maildir, Quota(octets=1000)).usage() == Usage(77, 1)
    assert size_lines(maildir) == ["1000S", "77 1"]


@pytest.mark.parametrize("age,anew", [(0, False), (14 * 60, False), (16 * 60, True), (-100, True)])
@pytest.mark.parametrize("lines", [1, 2])
def test_over_quota_is_believed_for_15_minutes_and_only_if_it_was_counted(
    maildir: Path, age: float, anew: bool, lines: int
) -> None:
    (maildir / "maildirsize").write_text("1000S\n" + ("1000 2\n" if lines == 1 else "999 1\n1 1\n"))
    anew = anew or lines > 1
    quota = MaildirQuota(maildir, Quota(octets=1000), clock=lambda: time.time() + age)
    assert quota.usage() == (Usage() if anew else Usage(1000, 2))


def test_nothing_is_refused_before_the_disk_was_asked(maildir: Path) -> None:
    (maildir / "maildirsize").write_text("1000S\n5000 1\n")
    assert MaildirQuota(maildir, Quota(octets=1000)).admits(10)
    assert size_lines(maildir) == ["1000S", "0 0"]
    put(maildir, "1.a.h", 1000)
    assert MaildirQuota(maildir, Quota(octets=1000)).admits(10)  # as the file says
    MaildirQuota(maildir, Quota(octets=1000)).add(Usage(1000, 1))
    assert not MaildirQuota(maildir, Quota(octets=1000)).admits(10)


def test_without_limits_no_file_is_made_and_one_that_is_there_is_kept_up(maildir: Path) -> None:
    quota = MaildirQuota(maildir, Quota())
    quota.add(Usage(5, 1))
    assert quota.usage() == Usage()
    assert not (maildir / "maildirsize").exists()
    (maildir / "maildirsize").write_text("1000S\n7 1\n")
    quota.add(Usage(5, 1))
    assert quota.usage() == Usage()
    assert size_lines(maildir) == ["1000S", "7 1", "5 1"]


def test_a_change_is_one_short_line_at_the_end(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = MaildirQuota(maildir, GIB)
    quota.usage()
    written: list[int] = []
    open_ = os.open

    def opening(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if str(path).endswith("maildirsize"):
            written.append(flags)
        return open_(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", opening)
    quota.add(Usage(-5, -1))
    quota.add(Usage())
    assert [bool(flags & os.O_APPEND) for flags in written] == [True]
    assert size_lines(maildir)[1:] == ["0 0", "-5 -1"]


def test_a_change_goes_not_lost_with_a_file_that_was_replaced_meanwhile(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = MaildirQuota(maildir, GIB)
    quota.usage()
    put(maildir, "1.a.h", 50)
    append = size_file.append

    def replaced(path: Path, data: bytes, *, new: bool) -> None:
        append(path, data, new=new)
        other = path.with_name("other")
        other.write_text("1000000000S\n0 0\n")
        other.replace(path)

    monkeypatch.setattr(size_file, "append", replaced)
    quota.add(Usage(50, 1))
    assert size_lines(maildir) == ["1000000000S", "50 1"]


def test_a_file_that_another_program_writes_while_it_is_counted_is_not_overwritten(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, calls = counting.count, 0

    def while_another_writes(path: Path, *, trash: bool, follow_links: bool) -> counting.Counted:
        nonlocal calls
        calls += 1
        counted = count(path, trash=trash, follow_links=follow_links)
        if calls == 1:
            put(maildir, "1.a.h", 50)
            (maildir / "maildirsize").write_text("1000000000S\n0 0\n50 1\n")
        return counted

    monkeypatch.setattr(maildir_quota, "count", while_another_writes)
    assert MaildirQuota(maildir, GIB).recalculate() == Usage(50, 1)
    assert calls == 2
    assert size_lines(maildir)[1:] == ["50 1"]


def test_a_maildir_that_changes_all_the_time_is_counted_and_its_file_left_alone(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, serial = counting.count, iter(range(100))

    def changing(path: Path, *, trash: bool, follow_links: bool) -> counting.Counted:
        counted = count(path, trash=trash, follow_links=follow_links)
        put(maildir, f"{next(serial)}.a.h", 1)
        os.utime(maildir / "cur", ns=(0, time.time_ns() + next(serial)))
        return counted

    monkeypatch.setattr(maildir_quota, "count", changing)
    assert MaildirQuota(maildir, GIB).recalculate().messages >= 3
    assert not (maildir / "maildirsize").exists()


def test_a_file_that_cannot_be_written_is_no_error(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> Any:
        raise OSError(errno.ENOSPC, "full", str(path))

    monkeypatch.setattr(size_file, "create", full)
    put(maildir, "1.a.h", 50)
    quota = MaildirQuota(maildir, Quota(octets=50))
    assert quota.usage() == Usage(50, 1)
    assert not quota.admits(1)
    quota.add(Usage(1, 1))


def test_a_maildir_that_is_marked_as_a_folder_has_its_own_quota(maildir: Path) -> None:
    (maildir / "maildirfolder").touch()
    for name in ("new", "cur", "tmp"):
        (maildir.parent / name).mkdir()
    put(maildir, "1.a.h", 50)
    assert MaildirQuota(maildir, GIB).usage() == Usage(50, 1)
    assert size_lines(maildir) == ["1000000000S", "50 1"]


OLD = 20 * 60


@pytest.mark.parametrize("age,changed,anew", [(OLD, 0, True), (OLD, OLD + 1, False), (60, 0, False), (86_401, 0, True)])
def test_the_file_is_not_believed_if_the_folders_were_changed_after_it(
    maildir: Path, age: float, changed: float, anew: bool
) -> None:
    put(maildir, "1.a.h", 50)
    now = time.time()
    (maildir / "maildirsize").write_text("1000S\n700 7\n")
    os.utime(maildir / "maildirsize", (now - age, now - age))
    for name in ("new", "cur"):
        os.utime(maildir / name, (now - changed, now - changed))
    assert MaildirQuota(maildir, Quota(octets=1000)).usage() == (Usage(50, 1) if anew else Usage(700, 7))


def test_a_count_that_lacks_a_folder_is_not_written(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_maildir(maildir / ".Work")
    put(maildir, "1.a.h", 50)
    (maildir / ".Work/new").rmdir()
    (maildir / ".Work/new").symlink_to(maildir)
    assert MaildirQuota(maildir, GIB).recalculate() == Usage(50, 1)
    assert not (maildir / "maildirsize").exists()


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(maildir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("1000000000S\n7 7\n")
    (maildir / "maildirsize").symlink_to(other)
    assert MaildirQuota(maildir, GIB).usage() == Usage()
    assert other.read_text() == "1000000000S\n7 7\n"
    assert SizeFile(maildir).read() is not None
