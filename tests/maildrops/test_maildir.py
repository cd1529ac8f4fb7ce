"""The Maildir store: what it does beyond what every store does (test_store_contract)."""

import errno
import gzip
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto._io import files as disk
from pop3proto._io.files import create, open_regular, read_up_to, replace, sync_folder, write_all
from pop3proto.core.dots import BodyEncoder
from pop3proto.core.replies import ResponseCode
from pop3proto.core.results import UniqueId, check_unique_id
from pop3proto.maildrops import MaildirStore, files, sizes
from pop3proto.maildrops.folders import MessageFolders
from pop3proto.maildrops.ids import IdRecord
from pop3proto.maildrops.listing import list_messages
from pop3proto.maildrops.lock import LOCK_NAME, FolderLock
from pop3proto.maildrops.names import delivery_time, unique_id, unique_part, wire_octets
from pop3proto.maildrops.sizes import CACHE_NAME
from pop3proto.procedures import maildrop
from pop3proto.procedures.maildrop import InUse, Maildrop, Message, Refused, Unavailable
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.far_times import FAR_YEARS, far_time
from tests.helpers.processes import PATIENCE, started

SESSION = SessionInfo()
UNKNOWN_PEER = frozenset[int]()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "secret-path")


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir()
    return folder


@contextmanager
def temporary_maildir() -> Generator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield made(Path(folder))


def opened(folder: Path) -> Maildrop:
    return MaildirStore({"ann": folder}).open("ann", SESSION)


def look(folder: Path) -> list[Message]:
    maildrop = opened(folder)
    maildrop.close()
    return list(maildrop.messages)


def unique_ids(folder: Path) -> list[UniqueId]:
    return [message.unique_id for message in look(folder)]


def contents(maildrop: Maildrop, number: int) -> bytes:
    source = maildrop.open(number)
    data = source.read(1 << 20)
    source.close()
    return data


def on_the_wire(message: bytes) -> int:
    encoder = BodyEncoder()
    encoder.feed(message)
    encoder.finish()
    return encoder.octets


def leaks_no_path(folder: Path, refused: Refused) -> bool:
    return str(folder) not in refused.reply.text and folder.name not in refused.reply.text


def before_opening(monkeypatch: pytest.MonkeyPatch, do: Callable[[str], object]) -> None:
    """Do something with the name of each message file before it is opened."""

    def opening(path: str, *, folder: int) -> Any:
        do(path)
        return open_regular(path, folder=folder)

    def reading(path: str, most: int, *, folder: int) -> bytes:
        do(path)
        return read_up_to(path, most, folder=folder)

    monkeypatch.setattr(files, "open_regular", opening)
    monkeypatch.setattr(files, "read_up_to", reading)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the message files that were opened, in order."""
    names: list[str] = []
    before_opening(monkeypatch, names.append)
    return names


def no_file(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Let files of this name fail to open, as if the system refused it (tests may run as root)."""

    def fail(path: str) -> None:
        if path.startswith(name):
            raise OSError(number, os.strerror(number), path)

    before_opening(monkeypatch, fail)


# ---------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name,unique,octets",
    [
        ("1.a.host", "1.a.host", None),
        ("1.a.host:2,RS", "1.a.host", None),
        ("1.a.host;2,RS", "1.a.host", None),
        ("1.a.host!2,", "1.a.host", None),
        ("1.a;host!a", "1.a;host!a", None),
        ("1.a!2,b.host:2,S", "1.a!2,b.host", None),
        ("1.a.host,S=3,W=4", "1.a.host", 4),
        ("1.a.host,W=4,S=3:2,S", "1.a.host", 4),
        ("1.a.host,S=3,W=4;2,S", "1.a.host", 4),
        ("1.a.host,S=3,W=4!2,S", "1.a.host", 4),
        ("1.a.host,S=3,W=4,U=12:2,S", "1.a.host", 4),
        ("1.a.host,S=2,W=4", "1.a.host", None),
        ("1.a.host,W=4", "1.a.host", None),
        ("1.a.host,S=3,W=2", "1.a.host", None),
        ("1.a.host,S=3,W=7", "1.a.host", 7),
        ("1.a.host,S=3,W=8", "1.a.host", None),
        ("1.a.host,U=7,FMD5=ab,S=3:2,S", "1.a.host,FMD5=ab", None),
        ("1.a.host,S=3,U=7", "1.a.host", None),
        ("1.a.host,S=x,W=", "1.a.host,S=x,W=", None),
        ("1.a.host,S=3,W=4x", "1.a.host,W=4x", None),
        ("1.a.host:2,S,S=3,W=4", "1.a.host", None),
        ("1.a.host,S=3,W=" + "9" * 20, "1.a.host", None),
        (":2,S", "", None),
    ],
)
def test_what_a_name_says(name: str, unique: str, octets: int | None) -> None:
    assert unique_part(name) == unique
    assert wire_octets(name, 3) == octets


@pytest.mark.parametrize("name,time", [("12.a", 12), ("012", 12), ("a12", 0), ("", 0), ("9" * 250, int("9" * 250))])
def test_delivery_time(name: str, time: int) -> None:
    assert delivery_time(name) == time


@pytest.mark.parametrize("unique", ["1.a.host", "a" * 70, "!~", "f" * 63])
def test_a_unique_part_is_the_unique_id(unique: str) -> None:
    assert unique_id(unique) == unique


@pytest.mark.parametrize("unique", ["", "a" * 71, "a b", "\xe4", "a\nb", "\udcff", "0" * 64])
def test_what_can_be_no_unique_id_is_digested(unique: str) -> None:
    assert check_unique_id(unique_id(unique)) != unique


def test_no_message_can_have_the_digest_of_another() -> None:
    digest = unique_id("a" * 71)
    assert unique_id(digest) != digest
    assert len({unique_id("a"), unique_id("a", 1), unique_id("a", 12), unique_id("a", 1, 2), unique_id("a1")}) == 5


# ------------------------------------------------------------------------------------------- snapshot


def test_messages_are_in_order_of_delivery(folder: Path) -> None:
    for name in ("new/10.a", "cur/9.z:2,S", "cur/10.b:2,", "new/100.a", "cur/odd"):
        (folder / name).write_bytes(b"a\n")
    assert unique_ids(folder) == ["odd", "9.z", "10.a", "10.b", "100.a"]


def test_what_is_no_message_is_passed_over(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    (folder / "new/.hidden").write_bytes(b"a\n")
    (folder / "cur/2.folder,W=5000").mkdir()
    (folder / "cur/3.link,W=3").symlink_to(folder / "new/1.a")
    os.mkfifo(folder / "cur/4.pipe,W=0")
    (folder / "tmp/5.unfinished").write_bytes(b"a\n")
    assert unique_ids(folder) == ["1.a"]


def test_a_message_that_moves_while_the_folders_are_listed_is_seen_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    scandir = os.scandir
    listed: list[str] = []

    def moving(descriptor: int) -> Any:
        listed.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        if listed == ["new", "cur"]:
            (folder / "new/1.a").rename(folder / "cur/1.a:2,")
        return scandir(descriptor)

    monkeypatch.setattr(os, "scandir", moving)
    maildrop = opened(folder)
    assert [message.unique_id for message in maildrop.messages] == ["1.a"]
    assert contents(maildrop, 1) == b"a\n"


def test_a_message_that_vanishes_while_the_folders_are_listed_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new/1.a", "new/2.a"):
        (folder / name).write_bytes(b"a\n")
    scandir = os.scandir

    def removing(path: Path) -> Any:
        entries = list(scandir(path))
        (folder / "new/1.a").unlink(missing_ok=True)
        return nullcontext(entries)

    monkeypatch.setattr(os, "scandir", removing)
    assert [file.unique_id for file in list_messages(MessageFolders(folder), IdRecord(folder))] == ["2.a"]


def test_it_blocks() -> None:
    assert MaildirStore({}).blocks is True


def test_a_file_is_never_renamed(folder: Path) -> None:
    names = {"new/1.a", "cur/2.a:2,RS", "cur/3.a,S=9"}
    for name in names:
        (folder / name).write_bytes(b"a\n")
    maildrop = opened(folder)
    for number in (1, 2, 3):
        contents(maildrop, number)
    maildrop.commit(UNKNOWN_PEER, frozenset({1, 2, 3}))
    maildrop.close()
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == names | {LOCK_NAME, CACHE_NAME}


# ----------------------------------------------------------------------------------------- unique ids

unique_parts = st.one_of(
    st.sampled_from(["1.a.host", "0" * 64, "a" * 71, "a b", "\udcff", "\xe4", "1.a\n"]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0:"), min_size=1, max_size=40),
).filter(lambda name: not name.startswith(".") and unique_part(name) != "")


def flag(path: Path, flags: str) -> Path:
    return path.with_name(path.name.partition(":")[0] + ":2," + flags)


def move(path: Path, _flags: str) -> Path:
    return path.parent.with_name("cur") / path.name


def add_sizes(path: Path, _flags: str) -> Path:
    name, colon, flags = path.name.partition(":")
    return path.with_name(f"{name},S={path.stat().st_size},W={on_the_wire(path.read_bytes())}{colon}{flags}")


@given(st.sets(unique_parts, max_size=5), st.data())
def test_unique_ids_stay_whatever_happens_to_the_names(parts: set[str], data: st.DataObject) -> None:
    with temporary_maildir() as folder:
        for part in parts:
            (folder / "new" / part).write_bytes(part.encode("utf-8", "surrogateescape"))
        before = look(folder)
        assert len({message.unique_id for message in before}) == len(parts)
        for _ in range(data.draw(st.integers(1, 5))):
            for path in [*folder.glob("new/*"), *folder.glob("cur/*")]:
                change = data.draw(st.sampled_from([flag, move, add_sizes]))
                changed = change(path, data.draw(st.sampled_from(["", "S", "RS"])))
                if not changed.exists():
                    path.rename(changed)
            assert {message.unique_id: message.octets for message in look(folder)} == {
                message.unique_id: message.octets for message in before
            }


def test_files_that_share_a_unique_part_are_two_messages(folder: Path) -> None:
    (folder / "cur/1.a:2,").write_bytes(b"one\n")
    (folder / "cur/1.a:2,S").write_bytes(b"two\n")
    first = dict(zip(unique_ids(folder), ("one", "two"), strict=True))
    assert len(first) == 2
    assert "1.a" not in first  # else the one that is left would take it over
    (folder / "cur/1.a:2,").rename(folder / "cur/1.a:2,T")
    maildrop = opened(folder)
    assert {
        message.unique_id: contents(maildrop, number).decode().strip()
        for number, message in enumerate(maildrop.messages, 1)
    } == first
    number = 1 + [message.unique_id for message in maildrop.messages].index(next(iter(first)))
    maildrop.commit(frozenset({number}), UNKNOWN_PEER)
    maildrop.close()
    assert [path.read_bytes() for path in (folder / "cur").iterdir()] == [b"two\n"]


# ---------------------------------------------------------------------------------------------- sizes


def test_a_size_is_counted_once(folder: Path, counted: list[str]) -> None:
    (folder / "new/1.a").write_bytes(b"a\nb")
    assert look(folder) == look(folder) == [Message(6, UniqueId("1.a"))]
    (folder / "new/1.a").rename(folder / "cur/1.a:2,S")
    assert look(folder) == [Message(6, UniqueId("1.a"), retrieved=True)]
    assert counted == ["1.a"]


def test_a_size_in_the_name_is_taken(folder: Path, counted: list[str]) -> None:
    (folder / "new/1.a,S=3,W=5").write_bytes(b"a\nb")
    assert look(folder) == [Message(5, UniqueId("1.a"))]
    assert not counted
    assert not (folder / CACHE_NAME).exists()  # there is nothing to remember


@pytest.mark.parametrize("sizes", [",S=3,W=2", ",S=3,W=8", ",S=3,W=1000000000000000000", ",S=4,W=6", ",W=6"])
def test_a_size_that_cannot_be_is_not_taken(folder: Path, counted: list[str], sizes: str) -> None:
    (folder / f"new/1.a{sizes}").write_bytes(b"a\nb")
    assert look(folder) == [Message(6, UniqueId("1.a"))]
    assert len(counted) == 1


@pytest.mark.parametrize("message", [b"", b"\n\n\n", b"a", b"\r", b"\r\n"])
def test_every_size_that_can_be_is_taken(folder: Path, counted: list[str], message: bytes) -> None:
    octets = on_the_wire(message)
    (folder / f"new/1.a,S={len(message)},W={octets}").write_bytes(message)
    assert look(folder) == [Message(octets, UniqueId("1.a"))]
    assert not counted


def test_a_mended_size_wins_over_the_name(folder: Path, counted: list[str]) -> None:
    (folder / "new/1.a,S=3,W=5").write_bytes(b"a\nb")
    maildrop = opened(folder)
    maildrop.correct(1, 6)
    assert maildrop.messages == [Message(6, UniqueId("1.a"))]
    maildrop.close()
    assert look(folder) == [Message(6, UniqueId("1.a"))]
    assert not counted


def test_a_counted_size_can_be_mended(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    maildrop.correct(1, 4)
    maildrop.close()
    assert look(folder) == [Message(4, UniqueId("1.a"))]


def test_a_mended_size_is_for_the_file_as_it_was(folder: Path) -> None:
    path = folder / "new/1.a"
    path.write_bytes(b"a\n")
    maildrop = opened(folder)
    maildrop.correct(1, 4)
    maildrop.close()
    path.write_bytes(b"b\nc\n")
    assert look(folder) == [Message(6, UniqueId("1.a"))]


@pytest.mark.parametrize("change", ["time", "size"])
def test_a_changed_file_is_counted_again(folder: Path, counted: list[str], change: str) -> None:
    path = folder / "new/1.a"
    path.write_bytes(b"a\n")
    look(folder)
    status = path.stat()
    if change == "time":
        path.write_bytes(b"\n\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert look(folder) == [Message(4, UniqueId("1.a"))]
    else:
        path.write_bytes(b"a\nb\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert look(folder) == [Message(6, UniqueId("1.a"))]
    assert counted == ["1.a", "1.a"]


def test_many_are_counted_whatever_stands_between(folder: Path, counted: list[str]) -> None:
    """Small files are read as a whole, several at once; others one by one."""
    small, large, packed = b"a\nb", b"x\r\ny\n" * 20_000, gzip.compress(b"c\n" * 9)
    mail = {f"{number:03}.a": (small, small, large, small, packed)[number % 5] for number in range(90)}
    for name, octets in mail.items():
        (folder / "new" / name).write_bytes(octets)
    expected = {small: 6, large: 120_000, packed: 27}
    assert look(folder) == [Message(expected[octets], UniqueId(name)) for name, octets in mail.items()]
    assert set(counted) == set(mail)
    assert len(counted) == len(mail) + list(mail.values()).count(packed), "those are opened again"


def test_the_cache_forgets_what_has_vanished(folder: Path) -> None:
    for name in ("1.a", "2.a"):
        (folder / "new" / name).write_bytes(b"a\n")
    look(folder)
    (folder / "new/1.a").unlink()
    look(folder)
    assert [row.split()[0] for row in (folder / CACHE_NAME).read_text().splitlines()] == ["2.a"]
    (folder / "new/2.a").unlink()
    look(folder)
    assert (folder / CACHE_NAME).read_bytes() == b""


def test_the_cache_is_written_only_if_it_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def noting(path: Path, data: bytes, *, like: os.stat_result) -> None:
        written.append(path)
        replace(path, data, like=like)

    monkeypatch.setattr(sizes, "replace", noting)
    (folder / "new/1.a").write_bytes(b"a\n")
    look(folder)
    assert written == [folder / CACHE_NAME]
    look(folder)
    maildrop = opened(folder)
    maildrop.correct(1, 3)  # what it is already
    maildrop.close()
    assert len(written) == 1


def test_the_cache_is_there_although_the_session_ended_badly(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    assert (folder / CACHE_NAME).read_bytes()
    maildrop.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: b"\xff\0" * 40,
        lambda row: row[:-1],
        lambda row: b"hello\n" + row,
        lambda row: row + b"\n",
        lambda row: row.replace(b" ", b"  "),
        lambda row: row.replace(b" 3\n", b" -3\n"),
        lambda row: row.replace(b" 3\n", b" " + b"9" * 5000 + b"\n"),
        lambda row: row.replace(b" 3\n", b" \xd9\xa3\n"),
        lambda row: b"",
    ],
)
def test_a_corrupt_cache_is_made_anew(folder: Path, counted: list[str], spoil: Any) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    look(folder)
    good = (folder / CACHE_NAME).read_bytes()
    (folder / CACHE_NAME).write_bytes(spoil(good))
    assert look(folder) == [Message(3, UniqueId("1.a"))]
    assert (folder / CACHE_NAME).read_bytes() == good
    assert counted == ["1.a", "1.a"]


def test_an_enormous_cache_is_not_read_whole(folder: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1.a", "2.a"):
        (folder / "new" / name).write_bytes(b"a\n")
    expected = [Message(3, UniqueId("1.a")), Message(3, UniqueId("2.a"))]
    assert look(folder) == expected
    monkeypatch.setattr(sizes, "_LIMIT", (folder / CACHE_NAME).stat().st_size - 1)
    assert look(folder) == expected
    assert counted == ["1.a", "2.a", "2.a"]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_cache_is_not_read(folder: Path, make: Any) -> None:
    make(folder / CACHE_NAME)
    (folder / "new/1.a").write_bytes(b"a\n")
    assert look(folder) == look(folder) == [Message(3, UniqueId("1.a"))]
    assert not (folder / f".{CACHE_NAME.lstrip('.')}.new").exists()


def test_a_cache_that_cannot_be_written_is_done_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: str | Path, **_: Any) -> Any:
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(disk, "create", failing)
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    maildrop.correct(1, 4)
    maildrop.close()
    assert look(folder) == [Message(3, UniqueId("1.a"))]
    assert not (folder / CACHE_NAME).exists()


def test_counting_takes_constant_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maildrop, "_CHUNK", 1 << 14)
    with (folder / "new/1.a").open("wb") as file:  # one line
        for _ in range(64):
            file.write(b"a" * (1 << 16))
    tracemalloc.start()
    try:
        assert look(folder) == [Message((1 << 22) + 2, UniqueId("1.a"))]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_line_ends_may_be_cut_while_counting(folder: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(maildrop, "_CHUNK", size)
    message = b"a\r\n\r\r\nb\n.\r\n\r"
    (folder / "new/1.a").write_bytes(message)
    assert look(folder) == [Message(on_the_wire(message), UniqueId("1.a"))]


# ----------------------------------------------------------------------- files that change, or go away


@pytest.mark.parametrize("year", FAR_YEARS)
def test_a_message_with_a_time_that_is_far_away_is_served_counted_once_and_found_again(
    folder: Path, counted: list[str], year: int
) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    (folder / "new/2.a").write_bytes(b"b\n")
    os.utime(folder / "new/1.a", ns=far_time(year))
    assert look(folder) == look(folder) == [Message(3, UniqueId("1.a")), Message(3, UniqueId("2.a"))]
    assert len(counted) == 2
    maildrop = opened(folder)
    (folder / "new/1.a").rename(folder / "cur/other:2,S")
    assert contents(maildrop, 1) == b"a\n"
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    maildrop.close()
    assert look(folder) == [Message(3, UniqueId("2.a"))]


@pytest.mark.parametrize("time", [-(10**20), -(1 << 63) - 1, -1, 1 << 63, 10**20])
def test_no_modification_time_locks_the_user_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, counted: list[str], time: int
) -> None:
    """Not every file system keeps such times, so the listing is told of them."""
    scandir = os.scandir

    def entry_of(entry: Any) -> Any:
        status = entry.stat(follow_symlinks=False)
        kept = {each: getattr(status, each) for each in ("st_mode", "st_ino", "st_size", "st_nlink")}
        return SimpleNamespace(name=entry.name, stat=lambda follow_symlinks: SimpleNamespace(**kept, st_mtime_ns=time))

    def far_away(path: Any) -> Any:
        with scandir(path) as entries:
            return nullcontext([entry_of(entry) for entry in entries])

    (folder / "new/1.a").write_bytes(b"a\n")
    monkeypatch.setattr(os, "scandir", far_away)
    assert look(folder) == look(folder) == [Message(3, UniqueId("1.a"))]
    assert len(counted) == 1


def test_a_renamed_message_is_found_again(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    (folder / "new/2.a").write_bytes(b"b\n")
    maildrop = opened(folder)
    (folder / "new/1.a").rename(folder / "cur/1.a,S=2,W=3:2,S")
    assert contents(maildrop, 1) == b"a\n"
    (folder / "cur/1.a,S=2,W=3:2,S").rename(folder / "cur/1.a:2,RS")
    (folder / "new/2.a").rename(folder / "cur/2.a:2,")
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert [path.name for path in (folder / "cur").iterdir()] == ["2.a:2,"]
    assert contents(maildrop, 2) == b"b\n"


def test_a_message_that_was_removed_is_refused(folder: Path) -> None:
    for name in ("new/1.a", "new/2.a"):
        (folder / name).write_bytes(b"a\n")
    maildrop = opened(folder)
    (folder / "new/1.a").unlink()
    for _ in range(2):
        with pytest.raises(Refused, match="message 1 was removed") as refused:
            maildrop.open(1)
    assert refused.value.code is None
    assert leaks_no_path(folder, refused.value)
    assert contents(maildrop, 2) == b"a\n"
    maildrop.commit(frozenset({1, 2}), UNKNOWN_PEER)  # gone already is fine
    assert not list((folder / "new").iterdir())


def test_a_copy_that_is_left_is_not_taken_for_the_one_that_was_removed(folder: Path) -> None:
    (folder / "cur/1.a:2,").write_bytes(b"one\n")
    (folder / "cur/1.a:2,S").write_bytes(b"two\n")
    maildrop = opened(folder)
    (folder / "cur/1.a:2,").unlink()
    with pytest.raises(Refused):
        maildrop.open(1)
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert [path.name for path in (folder / "cur").iterdir()] == ["1.a:2,S"]


def test_a_copy_that_was_made_since_is_not_taken_for_the_message(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"one\n")
    maildrop = opened(folder)
    (folder / "cur/1.a:2,S").write_bytes(b"two\n")
    (folder / "new/1.a").rename(folder / "cur/1.a:2,")
    assert contents(maildrop, 1) == b"one\n"
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    maildrop.close()
    assert [path.name for path in folder.glob("*/1.a*")] == ["1.a:2,S"]
    maildrop = opened(folder)
    assert contents(maildrop, 1) == b"two\n"


def test_what_another_program_has_put_in_the_place_of_a_message_is_the_message(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    (folder / "tmp/1.a").write_bytes(b"X-Spam: no\na\n")
    (folder / "tmp/1.a").rename(folder / "cur/1.a:2,")
    (folder / "new/1.a").unlink()
    assert contents(maildrop, 1) == b"X-Spam: no\na\n"
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert not [*folder.glob("*/1.a*")]


def test_a_message_with_two_names_is_one_and_found_by_either(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    (folder / "cur/1.a:2,S").hardlink_to(folder / "new/1.a")
    maildrop = opened(folder)
    assert maildrop.messages == [Message(3, UniqueId("1.a"), retrieved=True)]
    (folder / "cur/1.a:2,S").unlink()
    assert contents(maildrop, 1) == b"a\n"


def test_a_message_that_grew_is_served_as_it_is(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    (folder / "new/1.a").write_bytes(b"a\nb\n")
    assert contents(maildrop, 1) == b"a\nb\n"


def test_a_message_that_may_not_be_read_any_more_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    no_file(monkeypatch, "1.a", errno.EACCES)
    with pytest.raises(Unavailable) as refused:
        maildrop.open(1)
    assert leaks_no_path(folder, refused.value)
    assert str(folder) in str(refused.value.__cause__)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_a_message_that_became_something_else_is_refused(folder: Path, make: Any) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    (folder / "new/1.a").unlink()
    make(folder / "new/1.a")
    with pytest.raises(Refused):
        maildrop.open(1)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOENT])
def test_a_message_that_cannot_be_counted_is_left_out_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    for name in ("new/1.a", "new/2.a"):
        (folder / name).write_bytes(b"a\n")
    with monkeypatch.context() as patch:
        no_file(patch, "1.a", number)
        maildrop = opened(folder)
        assert [message.unique_id for message in maildrop.messages] == ["2.a"]
        assert contents(maildrop, 1) == b"a\n"
        maildrop.correct(1, 4)
        maildrop.commit(frozenset({1}), UNKNOWN_PEER)
        maildrop.close()
    words = f"1 message of {folder} left out, the first is 1.a: {os.strerror(number)}"
    assert [record.getMessage() for record in caplog.records] == ([] if number == errno.ENOENT else [words])
    assert unique_ids(folder) == ["1.a"]


def test_no_name_forges_a_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = made(tmp_path / "mail\nof ann\x1b")
    name = os.fsdecode(b"1.a\r\n2026-01-01 session 9: login failed\xff\xe2\x80\xa8")
    (folder / "new" / name).write_bytes(b"\x1f\x8b\x08junk")
    assert look(folder) == []
    (folder / "new" / name).unlink()
    for name in ("tmp", "new", "cur"):
        (folder / name).rmdir()
    with pytest.raises(Refused):
        MaildirStore({"ann\n\udcff": folder}).open("ann\n\udcff", SESSION)
    left_out, refused = [record.getMessage() for record in caplog.records]
    shown = str(tmp_path / r"mail\nof ann\x1b")
    first = r"1.a\r\n2026-01-01 session 9: login failed\xff\u2028"
    assert left_out.startswith(f"1 message of {shown} left out, the first is {first}: the compressed file is damaged")
    assert left_out.isprintable()
    assert refused == rf"the maildrop of ann\n\xff cannot be opened: {shown}/new: {os.strerror(errno.ENOENT)}"


def test_a_message_that_cannot_be_read_is_there_if_its_size_is_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    look(folder)
    no_file(monkeypatch, "1.a", errno.EACCES)
    maildrop = opened(folder)
    assert maildrop.messages == [Message(3, UniqueId("1.a"))]
    with pytest.raises(Unavailable):
        maildrop.open(1)


def test_no_message_is_left_out_because_the_server_is_short_of_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    with monkeypatch.context() as patch:
        no_file(patch, "1.a", errno.EMFILE)
        with pytest.raises(Unavailable):
            opened(folder)
    assert unique_ids(folder) == ["1.a"]  # and the lock was not kept


# -------------------------------------------------------------------------------------------- removal


def no_unlink(monkeypatch: pytest.MonkeyPatch, **errors: int) -> None:
    unlink = os.unlink

    def failing(path: Any, **arguments: Any) -> None:
        number = errors.get(Path(path).stem)
        if number is not None:
            raise OSError(number, os.strerror(number), str(path))
        unlink(path, **arguments)

    monkeypatch.setattr(os, "unlink", failing)


@pytest.mark.parametrize(
    "errors,code",
    [
        ({"b": errno.EACCES}, ResponseCode.SYS_PERM),
        ({"b": errno.EROFS, "c": errno.EPERM}, ResponseCode.SYS_PERM),
        ({"b": errno.EIO}, ResponseCode.SYS_TEMP),
        ({"b": errno.EACCES, "c": errno.EIO}, ResponseCode.SYS_TEMP),
    ],
)
def test_what_can_be_removed_is_removed_and_the_rest_is_owned_up_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, errors: dict[str, int], code: ResponseCode
) -> None:
    for name in "abcd":
        (folder / f"new/{name}.1").write_bytes(b"a\n")
    maildrop = opened(folder)
    no_unlink(monkeypatch, **errors)
    with pytest.raises(Refused, match="some deleted messages not removed") as refused:
        maildrop.commit(frozenset({1, 2, 3, 4}), UNKNOWN_PEER)
    assert refused.value.code == code
    assert leaks_no_path(folder, refused.value)
    assert {path.stem for path in (folder / "new").iterdir()} == set(errors)
    cause = refused.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert len(cause.exceptions) == len(errors)


def test_removals_are_on_the_disk_before_the_commit_returns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    (folder / "cur/2.a:2,").write_bytes(b"a\n")
    maildrop = opened(folder)
    synced: list[tuple[int, list[str]]] = []

    def sync(at: int) -> None:
        synced.append((os.fstat(at).st_ino, os.listdir(at)))

    monkeypatch.setattr(files, "sync_descriptor", sync)
    maildrop.commit(frozenset({1, 2}), UNKNOWN_PEER)
    assert synced == [((folder / name).stat().st_ino, []) for name in ("new", "cur")]


def test_a_commit_that_deletes_nothing_touches_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    monkeypatch.setattr(files, "sync_descriptor", lambda _at: pytest.fail("a session that deletes nothing waits"))
    maildrop.commit(UNKNOWN_PEER, frozenset({1}))


def test_a_folder_that_cannot_be_synced_is_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(Refused) as refused:
        maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert refused.value.code == ResponseCode.SYS_TEMP


def test_a_folder_that_cannot_be_listed_any_more_is_a_failure_and_what_can_be_removed_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    (folder / "new/2.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    (folder / "new/2.a").rename(folder / "cur/2.a:2,")

    def failing(_path: Path) -> Any:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(Refused) as refused:
        maildrop.commit(frozenset({1, 2}), UNKNOWN_PEER)
    assert refused.value.code == ResponseCode.SYS_TEMP
    assert not (folder / "new/1.a").exists()


@pytest.mark.parametrize("to", ["cur/1.a:2,S", None])
def test_a_message_that_moves_while_it_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, to: str | None
) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    unlink = os.unlink

    def moving(path: Any, **arguments: Any) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        if to is None:
            unlink(folder / "new/1.a")
        else:
            (folder / "new/1.a").rename(folder / to)
        unlink(path, **arguments)

    monkeypatch.setattr(os, "unlink", moving)
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert not [*folder.glob("*/1.a*")]


@pytest.mark.parametrize("before", [True, False])
def test_a_message_is_removed_under_all_of_its_names(folder: Path, before: bool) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder) if before else None
    for name in ("new/1.a,S=2", "cur/1.a:2,", "cur/1.a:2,S"):
        (folder / name).hardlink_to(folder / "new/1.a")
    (folder / "cur/2.a:2,").hardlink_to(folder / "new/1.a")  # by its name, another message
    maildrop = maildrop or opened(folder)
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    maildrop.close()
    assert unique_ids(folder) == ["2.a"]


def test_a_copy_that_was_made_since_does_not_keep_the_message(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    shutil.copy2(folder / "new/1.a", folder / "cur/1.a:2,S")
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert [path.name for path in folder.glob("*/1.a*")] == ["1.a:2,S"]


def test_a_name_that_cannot_be_removed_is_owned_up_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/a.1").write_bytes(b"a\n")
    maildrop = opened(folder)
    (folder / "cur/a.1:2,").hardlink_to(folder / "new/a.1")
    unlink = os.unlink

    def failing(path: str, **arguments: Any) -> None:
        if path == "a.1:2,":
            raise OSError(errno.EACCES, "no", path)
        unlink(path, **arguments)

    monkeypatch.setattr(os, "unlink", failing)
    with pytest.raises(Refused, match="some deleted messages not removed") as refused:
        maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert refused.value.code == ResponseCode.SYS_PERM


def test_a_removal_that_fails_once_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    unlink = os.unlink

    def failing(path: Any, **_arguments: Any) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        raise OSError(errno.EINTR, "again", str(path))

    monkeypatch.setattr(os, "unlink", failing)
    maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert not [*folder.glob("*/1.a*")]


def test_a_message_that_flees_is_owned_up_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    flights: list[str] = []

    def fleeing(path: str, *, dir_fd: int) -> None:
        flights.append(path)
        os.rename(path, folder / f"cur/1.a:2,{len(flights)}", src_dir_fd=dir_fd)
        raise FileNotFoundError(errno.ENOENT, "moved", path)

    monkeypatch.setattr(os, "unlink", fleeing)
    with pytest.raises(Refused, match="some deleted messages not removed") as refused:
        maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert refused.value.code == ResponseCode.SYS_TEMP
    assert len(flights) == 4


# ----------------------------------------------------------------------------------------------- lock

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from pop3proto.maildrops import MaildirStore
from pop3proto.sasl.channel import SessionInfo
maildrop = MaildirStore({"ann": Path(sys.argv[1])}).open("ann", SessionInfo())
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_freed_when_its_owner_is_killed(folder: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(folder)]
    with started(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"locked\n"
        with pytest.raises(InUse) as refused:
            opened(folder)
        assert refused.value.code == ResponseCode.IN_USE
        owner.kill()
        owner.wait(PATIENCE)
        opened(folder).close()


def test_a_lock_is_not_inherited(folder: Path) -> None:
    maildrop = opened(folder)
    command = [sys.executable, "-c", "input(print('running', flush=True))"]
    with started(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout is not None
        child.stdout.readline()  # until it runs the command, it is a copy of this process, with all descriptors
        maildrop.close()
        opened(folder).close()
        assert child.poll() is None
        child.communicate(b"\n", timeout=PATIENCE)


def test_a_lock_that_a_child_has_a_copy_of_is_freed_all_the_same(folder: Path) -> None:
    held = FolderLock(folder)
    command = [sys.executable, "-c", "input(print('running', flush=True))"]
    with started(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[held._descriptor]) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"running\n"
        with pytest.raises(BlockingIOError):
            FolderLock(folder)
        held.release()
        FolderLock(folder).release()
        assert child.poll() is None
        child.communicate(b"\n", timeout=PATIENCE)


def test_a_lock_that_cannot_be_freed_is_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = FolderLock(folder)

    def failing(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EIO, "bad server")

    with monkeypatch.context() as patch:
        patch.setattr(disk.fcntl, "flock", failing)
        with pytest.raises(OSError, match="bad server"):
            held.release()
    FolderLock(folder).release()


def test_the_lock_is_freed_although_the_sizes_could_not_be_saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    maildrop.correct(1, 4)

    def failing(_path: Path, _data: bytes, *, like: os.stat_result) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(sizes, "replace", failing)
        with pytest.raises(MemoryError):
            maildrop.close()
    opened(folder).close()


def test_the_file_of_the_lock_stays(folder: Path) -> None:
    opened(folder).close()
    inode = (folder / LOCK_NAME).stat().st_ino
    opened(folder).close()
    assert (folder / LOCK_NAME).stat().st_ino == inode
    assert stat.S_IMODE((folder / LOCK_NAME).stat().st_mode) & 0o077 == 0


def test_a_lock_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused) as refused:
        opened(folder)
    assert refused.value.code == ResponseCode.SYS_PERM
    assert not (tmp_path / "elsewhere").exists()


def test_no_descriptor_is_left_behind(folder: Path) -> None:
    held = FolderLock(folder)
    before = os.dup(0)
    os.close(before)
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            FolderLock(folder)
    after = os.dup(0)
    os.close(after)
    assert after == before
    held.release()


def test_without_flock_the_store_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    spec = importlib.util.spec_from_file_location("pop3proto._io.elsewhere", disk.__file__)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match="only POSIX systems have"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


# ------------------------------------------------------------------------------------------- refusals


def test_a_user_without_maildir_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        MaildirStore({}).open("ann", SESSION)
    assert refused.value.code == ResponseCode.SYS_PERM


@pytest.mark.parametrize(
    "missing,is_file",
    [("secret-path", False), ("secret-path", True), ("secret-path/new", True), ("secret-path/cur", True)],
)
def test_what_is_no_maildir_is_refused_and_left_alone(
    folder: Path, tmp_path: Path, missing: str, is_file: bool
) -> None:
    (tmp_path / missing).rename(tmp_path / "away")
    if is_file:
        (tmp_path / missing).touch()
    with pytest.raises(Refused, match="not a Maildir") as refused:
        opened(folder)
    assert refused.value.code == ResponseCode.SYS_PERM
    assert leaks_no_path(folder, refused.value)
    assert not (folder / LOCK_NAME).exists()


@pytest.mark.parametrize(
    "number,code",
    [
        (errno.EACCES, ResponseCode.SYS_PERM),
        (errno.EPERM, ResponseCode.SYS_PERM),
        (errno.EROFS, ResponseCode.SYS_PERM),
        (errno.EIO, ResponseCode.SYS_TEMP),
        (errno.ENOLCK, ResponseCode.SYS_TEMP),
    ],
)
def test_a_maildir_that_cannot_be_locked_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: ResponseCode
) -> None:
    def failing(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number), str(folder))

    monkeypatch.setattr(disk.fcntl, "flock", failing)
    with pytest.raises(Refused) as refused:
        opened(folder)
    assert refused.value.code == code
    assert leaks_no_path(folder, refused.value)
    assert str(folder) in str(refused.value.__cause__)


def test_the_lock_is_not_kept_if_anything_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    with monkeypatch.context() as patch:
        before_opening(patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            opened(folder)
    opened(folder).close()


def interrupt(_path: str) -> None:
    raise KeyboardInterrupt


# ----------------------------------------------------------------------------------- a folder of Maildirs


def test_a_folder_holds_a_maildir_for_each_user(tmp_path: Path) -> None:
    store = MaildirStore.of_folder(tmp_path)
    for user in ("ann", "bob@example.org", "\u00e4nn lee", "-x", "a.b", "a..b"):
        (made(tmp_path / user) / "new/1.a").write_bytes(b"a\n" * len(user))
        maildrop = store.open(user, SESSION)
        assert [message.octets for message in maildrop.messages] == [3 * len(user)]
        maildrop.close()


@pytest.mark.parametrize("link", ["all/ann", "all/ann/new", "all/ann/cur"])
def test_links_in_the_folder_are_followed_only_if_that_is_allowed(
    folder: Path, tmp_path: Path, link: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    (tmp_path / "all").mkdir()
    made(tmp_path / "all/ann")
    shutil.rmtree(tmp_path / link)
    (tmp_path / link).symlink_to(folder / Path(link).name if link.count("/") > 1 else folder)
    with pytest.raises(Refused) as refused:
        MaildirStore.of_folder(tmp_path / "all").open("ann", SESSION)
    assert refused.value.code == ResponseCode.SYS_PERM
    assert leaks_no_path(folder, refused.value)
    assert f"{tmp_path / link}: it is a symbolic link; links are followed only with follow_links" in caplog.text
    assert not (folder / LOCK_NAME).exists()
    MaildirStore.of_folder(tmp_path / "all", follow_links=True).open("ann", SESSION).close()


def test_a_folder_that_becomes_a_link_during_the_session_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "new/1.a").write_bytes(b"a\n")
    maildrop = opened(folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/1.a").write_bytes(b"the mail of somebody else\n")
    (folder / "new").rename(tmp_path / "away")
    (folder / "new").symlink_to(tmp_path / "other")
    with pytest.raises(Unavailable):
        maildrop.open(1)
    with pytest.raises(Refused):
        maildrop.commit(frozenset({1}), UNKNOWN_PEER)
    assert (tmp_path / "other/1.a").exists()


def test_the_path_of_a_maildir_that_is_given_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    opened(tmp_path / "link").close()


@pytest.mark.parametrize(
    "user",
    [
        "",
        ".",
        "..",
        ".ann",
        "/",
        "../ann",
        "ann/",
        "ann/.",
        "ann/../ann",
        "./ann",
        "bob/x",
        "ann\0",
        "\ud800",
    ],
)
def test_no_name_leads_out_of_the_folder_or_deeper(tmp_path: Path, user: str) -> None:
    within = tmp_path / "all"
    within.mkdir()
    for path in (tmp_path, tmp_path / "ann", within, within / "ann", within / ".ann"):
        made(path)
    made(within / "ann" / "new" / "deeper")
    with pytest.raises(Refused) as refused:
        MaildirStore.of_folder(within).open(user, SESSION)
    assert refused.value.code == ResponseCode.SYS_PERM
    with pytest.raises(Refused):
        MaildirStore.of_folder(within).open(str(tmp_path / "ann"), SESSION)


@pytest.mark.parametrize("user", ["ann", "x" * 300, "file"])
def test_a_user_without_a_maildir_in_the_folder_is_refused_for_good(tmp_path: Path, user: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="the maildrop does not exist or is not a Maildir") as refused:
        MaildirStore.of_folder(tmp_path).open(user, SESSION)
    assert refused.value.code == ResponseCode.SYS_PERM
    assert not isinstance(refused.value, Unavailable)
    assert user not in refused.value.reply.text.replace("maildrop", "")


# ----------------------------------------------------------------------------------------------- disk


def test_a_file_is_replaced_only_when_the_new_one_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    (tmp_path / ".file.new").write_bytes(b"a crash left this")
    seen: list[tuple[bytes, int]] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append((path.read_bytes(), os.fstat(descriptor).st_size)))
    replace(path, b"newer")
    assert seen == [(b"old", 5)]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"newer"]


def test_a_file_that_could_not_be_written_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="bad disk"):
        replace(path, b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_file_is_created_for_its_owner_alone_and_never_twice(tmp_path: Path) -> None:
    with create(tmp_path / "file") as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077 == 0
    with pytest.raises(FileExistsError):
        create(tmp_path / "file")


def test_a_write_that_was_cut_off_goes_on() -> None:
    class Narrow:
        written = b""

        def write(self, data: memoryview) -> int:
            self.written += data[:3]
            return len(data[:3])

    narrow: Any = Narrow()
    write_all(narrow, b"0123456789")
    assert narrow.written == b"0123456789"


def test_a_folder_is_synced_and_its_descriptor_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def noting(descriptor: int) -> None:
        assert os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        synced.append(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    sync_folder(tmp_path)
    [descriptor] = synced
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize(
    "name, retrieved", [("1.a:2,S", True), ("1.b:2,RS", True), ("1.c:2,F", False), ("1.S", False), ("1.d:1,S", False)]
)
def test_a_message_was_retrieved_if_its_flags_say_that_it_was_seen(folder, name, retrieved):
    (folder / "cur" / name).write_bytes(b"A: b\n\nbody\n")
    maildrop = MaildirStore({"ann": folder}).open("ann", SessionInfo())
    assert [message.retrieved for message in maildrop.messages] == [retrieved]
    maildrop.correct(1, 99)
    assert [(message.octets, message.retrieved) for message in maildrop.messages] == [(99, retrieved)]
    maildrop.close()
