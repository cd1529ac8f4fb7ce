"""Fetched mail in a Maildir: whole, once, in order, found again, and with few system calls."""

import errno
import mailbox
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.fetching.destination import Found
from pop3proto.fetching.destinations import MaildirDestination
from pop3proto.fetching.header import header_digest
from pop3proto.maildrops.delivery import NotMaildir
from pop3proto.maildrops.names import stored_size, wire_octets
from tests.helpers.depth import deep
from tests.helpers.storing import arrival, check_crashes, fsyncs, normal, store
from tests.helpers.strategies import chunkings, messages

MAIL = b"Subject: hello\r\n\r\nHi, Ann.\r\n"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    return tmp_path / "Maildir"


def files(maildir: Path, *places: str) -> list[Path]:
    """Message files in order of delivery."""
    found = [path for place in (places or ("new", "cur")) for path in (maildir / place).iterdir()]
    return sorted(found, key=lambda path: path.name)


def whole(path: Path) -> bytes:
    return normal(path.read_bytes())


# ----------------------------------------------------------------------------------------------- octets


@given(st.data())
def test_what_arrives_is_what_a_mail_program_reads(data: st.DataObject) -> None:
    several = data.draw(st.lists(messages, max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        destination = MaildirDestination(Path(folder))
        chunks = [data.draw(chunkings(message)) for message in several]
        assert store(destination, [(arrival(at), some) for at, some in enumerate(chunks)]) == [None] * len(several)
        box = mailbox.Maildir(folder, create=False)
        assert [normal(box.get_bytes(key)) for key in sorted(box.keys())] == [normal(message) for message in several]
        found = destination.recall([arrival(at).mark for at in range(len(several))])
        assert found == {
            arrival(at).mark: Found(len(normal(message)), header_digest(message)) for at, message in enumerate(several)
        }
        for path in files(Path(folder)):
            assert stored_size(path.name) == path.stat().st_size
            assert wire_octets(path.name, path.stat().st_size) == len(whole(path))
        assert not files(Path(folder), "tmp")


def test_order_of_arrival_is_order_of_names(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_999)
    store(MaildirDestination(maildir), [(arrival(9 - at), [b"%d\r\n" % at]) for at in range(9)])
    assert [path.read_bytes() for path in files(maildir)] == [b"%d\n" % at for at in range(9)]
    assert files(maildir)[0].name == f"1700000000.M000000U{arrival(9).mark}.pop3proto,S=2,W=3"


def test_flags_and_folder(maildir: Path) -> None:
    destination = MaildirDestination(maildir, folder="Lists.Bücher & mehr", flags="SF")
    assert destination.name == f"the folder Lists.Bücher & mehr of the Maildir {maildir}"
    store(destination, [(arrival(1), [MAIL])])
    folder = maildir / ".Lists.B&APw-cher &- mehr"
    [path] = files(folder)
    assert path.parent.name == "cur"
    assert path.name.endswith(":2,FS")
    assert (folder / "maildirfolder").exists()
    assert [*destination.recall([arrival(1).mark])] == [arrival(1).mark]
    MaildirDestination(maildir, folder="Lists.Bücher & mehr")


@pytest.mark.parametrize("folder", ["", ".", "a..b", ".a", "a.", "a/b", "../b", "a\0", "a\n"])
def test_a_folder_needs_a_name(maildir: Path, folder: str) -> None:
    with pytest.raises(ValueError, match="has a name like"):
        MaildirDestination(maildir, folder=folder)
    assert not maildir.exists()


@pytest.mark.parametrize("flags", ["T", "s", ",", "S "])
def test_flags_are_those_of_maildir(maildir: Path, flags: str) -> None:
    with pytest.raises(ValueError, match="flags must be of D, F, P, R, S"):
        MaildirDestination(maildir, flags=flags)


def test_what_is_no_maildir_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    with pytest.raises(NotMaildir):
        MaildirDestination(tmp_path)


def test_a_mark_that_would_not_be_found_is_refused(maildir: Path) -> None:
    destination = MaildirDestination(maildir)
    for mark in ("", "a" * 31, "A" * 32, "../" + "a" * 29):
        with pytest.raises(ValueError, match="mark"):
            destination.begin(arrival(1).__class__(arrival(1).identity, mark, 1))


# ---------------------------------------------------------------------------------------------- commits


def test_a_commit_syncs_each_file_and_the_folder_once(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MaildirDestination(maildir)
    syncs = fsyncs(monkeypatch)
    store(destination, [(arrival(at), [MAIL]) for at in range(20)])
    assert len(syncs) == 21
    destination.commit([])
    assert len(syncs) == 21


def test_a_message_takes_five_system_calls_and_a_hint(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MaildirDestination(maildir)
    calls: list[str] = []

    def counted(name: str) -> None:
        function = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    hint = ["posix_fadvise"] if hasattr(os, "posix_fadvise") else []
    names = ("open", "write", "fsync", "rename", "close", "stat", "fstat", "lstat", "listdir", "unlink")
    for name in (*names, *hint):
        counted(name)
    store(destination, [(arrival(at), [MAIL]) for at in range(10)])
    per_message = ["open", "write", "fsync", "rename", "close", *hint]
    # A batch: the folder is synced, and the files of the quota are looked for.
    assert sorted(calls) == sorted([*per_message * 10, "fsync", "stat", "open"])


def test_the_quota_is_written_once_for_a_batch(maildir: Path) -> None:
    destination = MaildirDestination(maildir, folder="A")
    (maildir / "maildirsize").write_bytes(b"1000000S\n")
    store(destination, [(arrival(at), [MAIL]) for at in range(3)])
    assert (maildir / "maildirsize").read_bytes() == b"1000000S\n%d 3\n" % (3 * len(MAIL.replace(b"\r", b"")))


def test_what_is_aborted_leaves_nothing(maildir: Path) -> None:
    destination = MaildirDestination(maildir)
    first, second = destination.begin(arrival(1)), destination.begin(arrival(2))
    first.write(MAIL)
    first.abort()
    first.abort()
    second.write(MAIL)
    destination.commit([second])
    second.abort()
    assert [path.name[18:51] for path in files(maildir)] == ["U" + arrival(2).mark]
    assert not files(maildir, "tmp")


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_an_error_names_the_path(maildir: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    destination = MaildirDestination(maildir)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match=re.escape(f"disk full: '{maildir}/")) as caught:
            store(destination, [(arrival(1), [MAIL, b"\n"])])
    assert caught.value.errno == errno.ENOSPC
    assert not files(maildir)
    assert not files(maildir, "tmp")


@pytest.mark.parametrize(
    "error,afterwards",
    [(None, False), (None, True), (errno.ENOSPC, False), (errno.EIO, False), (errno.EIO, True), (errno.EACCES, False)],
)
@pytest.mark.parametrize("options", [{}, {"folder": "A", "flags": "S"}])
def test_whatever_fails_nothing_is_lost_or_doubled(
    tmp_path: Path, error: int | None, afterwards: bool, options: dict[str, str]
) -> None:
    def make(folder: Path) -> MaildirDestination:
        return MaildirDestination(folder / "Maildir", **options)

    def read(folder: Path) -> list[bytes]:
        maildir = folder / "Maildir" / (".A" if options else "")
        return [whole(path) for path in files(maildir)]

    check_crashes(tmp_path, make, read, error=error, afterwards=afterwards, step=deep(1, 3))


# ---------------------------------------------------------------------------------------------- recall


def test_messages_are_found_where_mail_programs_put_them(maildir: Path) -> None:
    destination = MaildirDestination(maildir, folder="In")
    store(destination, [(arrival(at), [MAIL]) for at in range(1, 9)])
    for name in (".Archive", ".Trash", ".Trash.old", ".Trashed"):
        MaildirDestination(maildir, folder=name[1:])
    (maildir / ".file").touch()
    (maildir / ".folder").mkdir()
    paths = files(maildir / ".In")
    paths[0].rename(maildir / "cur" / f"{paths[0].name}:2,S")
    paths[1].rename(maildir / ".Archive/cur" / f"{paths[1].name}:2,RS")
    paths[2].rename(maildir / ".Trash/cur" / f"{paths[2].name}:2,S")
    paths[3].rename(maildir / ".Trash.old/new" / paths[3].name)
    paths[4].rename(maildir / ".Trashed/new" / paths[4].name)
    paths[5].rename(maildir / ".In/cur" / f"{paths[5].name}:2,ST")
    paths[6].rename(maildir / ".In/cur" / f"{paths[6].name}!2,ST")
    marks = [arrival(at).mark for at in range(1, 9)]
    found = destination.recall(marks)
    assert {*found} == {marks[0], marks[1], marks[4], marks[7]}
    assert {*found.values()} == {Found(len(MAIL), header_digest(MAIL))}
    assert [*destination.recall(marks[:1])] == marks[:1]
    assert destination.recall([]) == {}


def test_what_is_found_is_synced(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MaildirDestination(maildir)
    store(destination, [(arrival(1), [MAIL])])
    syncs = fsyncs(monkeypatch)
    destination.recall([arrival(1).mark])
    assert len(syncs) == 2


def test_a_file_that_was_packed_or_has_gone_has_no_known_header(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MaildirDestination(maildir)
    store(destination, [(arrival(1), [MAIL])])
    [path] = files(maildir)
    path.write_bytes(b"packed")
    assert destination.recall([arrival(1).mark]) == {arrival(1).mark: Found(len(MAIL))}
    listdir = os.listdir

    def listing(folder: Any) -> list[str]:
        names = listdir(folder)
        if path.name in names:
            path.unlink()
        return names

    monkeypatch.setattr(os, "listdir", listing)
    assert destination.recall([arrival(1).mark]) == {arrival(1).mark: Found(len(MAIL))}


def test_a_long_header_is_read_to_its_end(maildir: Path) -> None:
    destination = MaildirDestination(maildir)
    message = b"a: b\r\n" * 9000 + b"\r\ntext\r\n"
    store(destination, [(arrival(1), [message])])
    assert destination.recall([arrival(1).mark]) == {arrival(1).mark: Found(len(message), header_digest(message))}


def test_files_that_a_killed_fetch_left_are_removed(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MaildirDestination(maildir).begin(arrival(1)).write(MAIL)
    MaildirDestination(maildir)
    assert len(files(maildir, "tmp")) == 1
    in_two_days = time.time() + 48 * 3600
    monkeypatch.setattr(time, "time", lambda: in_two_days)
    MaildirDestination(maildir)
    assert not files(maildir, "tmp")


# ----------------------------------------------------------------------------------------- headers only

HEADER = b"Subject: hello\r\nTo: ann\r\n\r\n"


def test_a_header_is_stored_with_words_in_place_of_the_body(maildir: Path) -> None:
    destination = MaildirDestination(maildir)
    store(destination, [(arrival(1, listed=1234567, header_only=True), [HEADER[:17], HEADER[17:]])])
    [path] = files(maildir)
    assert path.name[18:51] == "H" + arrival(1).mark
    assert path.read_text("ascii") == (
        "X-Pop3proto-Partial: header only; 1,234,567 octets\n"
        "Subject: hello\nTo: ann\n\n"
        "Only the header of this message was fetched.\n"
        "The message itself is still on the server: 1,234,567 octets.\n"
        "This command gets it: pop3proto fetch --complete\n"
    )
    found = {arrival(1).mark: Found(None, header_digest(HEADER), header_only=True)}
    assert destination.recall([arrival(1).mark]) == found


@pytest.mark.parametrize("header", [b"", b"Subject: hello\r\n", b"Subject: hello"])
def test_a_header_that_does_not_end_is_stored_without_words(maildir: Path, header: bytes) -> None:
    destination = MaildirDestination(maildir)
    store(destination, [(arrival(1, header_only=True), [header])])
    [path] = files(maildir)
    first, rest = path.read_bytes().split(b"\n", 1)
    assert first == b"X-Pop3proto-Partial: header only; size unknown"
    assert normal(rest) == normal(header)
    assert destination.recall([arrival(1).mark])[arrival(1).mark].header == header_digest(header)


@pytest.mark.parametrize("moved", [False, True])
def test_the_whole_message_takes_the_place_of_its_header(maildir: Path, moved: bool) -> None:
    destination = MaildirDestination(maildir)
    (maildir / "maildirsize").write_bytes(b"")
    store(destination, [(arrival(at, header_only=True), [HEADER]) for at in (1, 2)])
    if moved:
        stub = files(maildir)[0]
        stub.rename(maildir / "cur" / f"{stub.name}:2,S")
    store(destination, [(arrival(1, completes=True), [MAIL])])
    kept, new = files(maildir)
    assert (kept.name[18:51], new.name[18:51]) == ("H" + arrival(2).mark, "U" + arrival(1).mark)
    entries = [line.split() for line in (maildir / "maildirsize").read_text().splitlines()]
    assert sum(int(octets) for octets, _ in entries) == kept.stat().st_size + new.stat().st_size
    assert sum(int(count) for _, count in entries) == 2


def test_a_crash_between_the_message_and_the_removal_of_its_header(maildir: Path) -> None:
    destination = MaildirDestination(maildir)
    store(destination, [(arrival(1, header_only=True), [HEADER]), (arrival(1), [MAIL])])
    assert destination.recall([arrival(1).mark]) == {arrival(1).mark: Found(len(MAIL), header_digest(MAIL))}
    [path] = files(maildir)
    assert path.read_bytes() == MAIL.replace(b"\r", b"")


def test_a_header_that_cannot_be_removed_is_no_error(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = MaildirDestination(maildir)
    store(destination, [(arrival(1, header_only=True), [HEADER])])

    def failing(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "unlink", failing)
    assert store(destination, [(arrival(1, completes=True), [MAIL])]) == [None]
    assert len(files(maildir)) == 2
