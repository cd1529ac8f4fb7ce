"""Storing what was fetched: it comes back octet for octet, and is on the disk when `commit` says so."""

import errno
import os
import re
import stat
import tempfile
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.dots import BodyDecoder, BodyEncoder
from pop3proto.core.errors import LocalProtocolError
from pop3proto.maildrops import MaildirStore, delivery, folders, message_file
from pop3proto.maildrops.delivery import Delivery, NotMaildir, ensure_maildir
from pop3proto.maildrops.names import unique_part, wire_octets
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.strategies import bodies, chunkings, messages


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    return path


def stored(maildir: Path, chunks: Iterable[bytes]) -> Path:
    with Delivery(maildir) as message:
        for chunk in chunks:
            message.write(chunk)
        return message.commit()


def served(maildir: Path) -> bytes:
    """What a server sends of the one message of a Maildir, and announces."""
    maildrop = MaildirStore({"ann": maildir}).open("ann", SessionInfo())
    [message] = maildrop.messages
    source = maildrop.open(1)
    octets = sent(source.read(1 << 20))
    assert len(octets) == message.octets
    source.close()
    maildrop.close()
    return octets


def sent(octets: bytes) -> bytes:
    encoder = BodyEncoder()
    return BodyDecoder().feed(encoder.feed(octets) + encoder.finish())


def check(octets: bytes, chunks: list[bytes]) -> bytes:
    """Store a message, serve it, look at its name; return what is in its file."""
    with tempfile.TemporaryDirectory() as folder:
        maildir = Path(folder)
        ensure_maildir(maildir)
        path = stored(maildir, chunks)
        assert list(maildir.glob("*/*")) == [path]
        assert path.parent == maildir / "new"
        data = path.read_bytes()
        assert f",S={len(data)},W={len(sent(octets))}" in path.name
        assert served(maildir) == sent(octets)
        return data


# ---------------------------------------------------------------------------------------------- octets


@given(st.data())
def test_what_came_is_what_is_served(data: st.DataObject) -> None:
    body = data.draw(bodies)
    assert sent(body) == body
    check(body, data.draw(chunkings(body)))


@given(st.data())
def test_every_message_is_stored_so_that_nothing_is_lost(data: st.DataObject) -> None:
    message = data.draw(messages)
    content = check(message, data.draw(chunkings(message)))
    unix = message.replace(b"\r\n", b"\n")
    lossless = re.sub(rb"(?<!\r)\n", b"\r\n", unix) == message
    assert content == (unix if lossless else message)


@pytest.mark.deep(keep=42)
@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize(
    "message,content",
    [
        (b"", b""),
        (b"a\r\n\r\nb\r\n", b"a\n\nb\n"),
        (b"a\rb\r\n", b"a\rb\n"),
        (b"a\r\nb\r", b"a\nb\r"),
        (b"a\r\nb\r\r", b"a\nb\r\r"),
        (b"a\r\n\r\r\r\rb\r\n", b"a\n\r\r\r\rb\n"),
        (b"a\r\n\r\r\nb\r\n", b"a\r\n\r\r\nb\r\n"),
        (b"a\r\n\r\r\r\r\nb\r\n", b"a\r\n\r\r\r\r\nb\r\n"),
        (b"a\r\nb\nc\r\n", b"a\r\nb\nc\r\n"),
        (b"\na\r\n", b"\na\r\n"),
        (b"a\r\nb\r\n\n", b"a\r\nb\r\n\n"),
        (b"a\r\n.\r\n..\r\n", b"a\n.\n..\n"),
    ],
)
def test_how_a_message_is_stored(size: int, message: bytes, content: bytes) -> None:
    chunks = [message[start : start + size] for start in range(0, len(message), size)]
    assert check(message, chunks) == content


def test_any_buffer_will_do(maildir: Path) -> None:
    path = stored(maildir, [memoryview(b"a\r"), bytearray(b"\nb\r\n"), b""])  # type: ignore[list-item]
    assert path.read_bytes() == b"a\nb\n"


@pytest.mark.parametrize("last", [b"", b"\n"])
def test_storing_takes_constant_memory(maildir: Path, monkeypatch: pytest.MonkeyPatch, last: bytes) -> None:
    monkeypatch.setattr(message_file, "_CHUNK", 1 << 14)
    chunk = b"a\r\n" * 5000
    tracemalloc.start()
    try:
        with Delivery(maildir) as message:
            for _ in range(400):
                message.write(chunk)
            message.write(last)
            path = message.commit()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == (400 * len(chunk) + 1 if last else 400 * 5000 * 2)


def test_what_was_stored_is_brought_back_once(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[str] = []
    open_ = os.open

    def noting(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            created.append(path)
        return open_(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", noting)
    stored(maildir, [b"a\r\n", b"\n", b"a\r\n", b"\n"])
    assert len(created) == 2


# ----------------------------------------------------------------------------------------------- names


def test_the_name_says_time_and_sizes(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery.time, "time_ns", lambda: 1_700_000_000_000_042_999)
    path = stored(maildir, [b"a\r\nb\r\n"])
    host = os.uname().nodename
    assert path.name.startswith(f"1700000000.M000042P{os.getpid()}Q")
    assert unique_part(path.name).endswith(f".{host}")
    assert path.name.endswith(f".{host},S=4,W=6")
    assert wire_octets(path.name, path.stat().st_size) == 6


def test_no_two_messages_have_the_same_name(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery.time, "time_ns", lambda: 0)
    paths = [stored(maildir, [b"a\r\n"]) for _ in range(20)]
    assert len({unique_part(path.name) for path in paths}) == 20


def test_a_host_may_have_any_name(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((system[0], "a/b:2,S=1 \xe4.c", *system[2:])))
    path = stored(maildir, [b"a\r\n"])
    assert unique_part(path.name).endswith(".a_b_2_S_1__.c")


def test_only_the_owner_may_read_it(maildir: Path) -> None:
    assert stat.S_IMODE(stored(maildir, [b"a\r\n"]).stat().st_mode) & 0o077 == 0


# ------------------------------------------------------------------------------------- all or nothing


def test_it_is_on_the_disk_before_it_is_in_new_and_that_before_commit_returns(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, Any]] = []
    rename = os.rename

    def syncing(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            assert os.path.samestat(status, (maildir / "new").stat())
            events.append(("folder synced with", len(list((maildir / "new").iterdir()))))
        else:
            events.append(("file synced with", status.st_size))

    def renaming(name: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        assert os.path.samestat(os.fstat(dst_dir_fd), (maildir / "new").stat())
        events.append(("moved to", "new"))
        rename(name, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "rename", renaming)
    stored(maildir, [b"a\r\n", b"b\r"])
    assert events == [("file synced with", 4), ("moved to", "new"), ("folder synced with", 1)]


def test_it_grows_in_tmp(maildir: Path) -> None:
    message = Delivery(maildir)
    message.write(b"a\r\n")
    [path] = maildir.glob("*/*")
    assert path.parent == maildir / "tmp"
    message.abort()
    message.abort()
    assert not list(maildir.glob("*/*"))


def test_a_block_that_is_left_without_commit_leaves_nothing(maildir: Path) -> None:
    with Delivery(maildir) as message:
        message.write(b"a\r\n\n")
    assert not list(maildir.glob("*/*"))


def test_a_block_that_is_left_by_an_error_leaves_nothing(maildir: Path) -> None:
    def cut_off() -> None:
        with Delivery(maildir) as message:
            message.write(b"a\r\n")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        cut_off()
    assert not list(maildir.glob("*/*"))


def test_abort_takes_nothing_back_that_was_committed(maildir: Path) -> None:
    message = Delivery(maildir)
    path = message.commit()
    message.abort()
    assert path.exists()


def test_a_message_that_is_not_on_the_disk_does_not_come_into_new(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="disk full"):
        stored(maildir, [b"a\r\n"])
    assert not list(maildir.glob("*/*"))


def test_a_second_file_that_cannot_be_made_leaves_nothing(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "disk full")

    message = Delivery(maildir)
    message.write(b"a\r\n")
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match=re.escape(f"disk full: '{maildir}/tmp/")), message:
        message.write(b"\n")
    assert not list(maildir.glob("*/*"))


def test_after_the_commit_nothing_is_written(maildir: Path) -> None:
    message = Delivery(maildir)
    message.write(b"a\r")
    path = message.commit()
    with pytest.raises(LocalProtocolError):
        message.write(b"a\r\n")
    with pytest.raises(LocalProtocolError):
        message.commit()
    assert path.read_bytes() == b"a\r"


# ---------------------------------------------------------------------------------------- ensure_maildir


def is_maildir(path: Path) -> bool:
    return {entry.name for entry in path.iterdir()} == {"cur", "new", "tmp"}


def test_a_maildir_is_made_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(delivery, "sync_folder", synced.append)
    monkeypatch.setattr(folders, "sync_folder", synced.append)
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    assert is_maildir(path)
    for folder in (path, *path.iterdir()):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
    assert synced == [tmp_path, path]


def test_a_maildir_is_left_as_it_is(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (maildir / "dovecot-uidlist").touch()
    (maildir / ".Sent").mkdir()
    monkeypatch.setattr(Path, "mkdir", lambda *_: pytest.fail("there is nothing to make"))
    ensure_maildir(maildir)


@pytest.mark.parametrize("there", [[], ["tmp"], ["cur", "new"]])
def test_an_empty_folder_or_a_part_of_a_maildir_is_completed(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    ensure_maildir(tmp_path)
    assert is_maildir(tmp_path)


def test_a_link_to_a_maildir_is_one(maildir: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(maildir)
    ensure_maildir(tmp_path / "link")


@pytest.mark.parametrize("there", [["letters"], ["tmp", "letters"], ["cur", "new", "letters"]])
def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    with pytest.raises(NotMaildir, match=r"is not a Maildir and is not empty"):
        ensure_maildir(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == set(there)


def test_a_folder_with_a_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    with pytest.raises(NotMaildir):
        ensure_maildir(tmp_path)


def test_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mbox"
    path.touch()
    with pytest.raises(NotMaildir, match="not a folder"):
        ensure_maildir(path)


def test_parents_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ensure_maildir(tmp_path / "typo" / "Maildir")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system has no such advice")
def test_a_large_file_begins_to_be_written_to_the_disk_before_its_end(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, offset, length, advice: told.append(offset))
    chunk = b"x" * 1_000_000
    with Delivery(maildir) as message:
        for _ in range(20):
            message.write(chunk)
        assert told == [0, 9_000_000]  # each time what is new
        message.write(b"\n")  # a bare LF: the file is written once more, in other pieces
        assert told == [0, 9_000_000, 0, 8 << 20]
        message.commit()
