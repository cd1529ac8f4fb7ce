"""Fetched mail in single files: octet for octet as received, once, in order."""

import errno
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.fetching.destination import Found
from pop3proto.fetching.destinations import FilesDestination
from pop3proto.fetching.header import header_digest
from tests.helpers.depth import deep
from tests.helpers.storing import arrival, check_crashes, fsyncs, normal, store
from tests.helpers.strategies import chunkings, messages

MAIL = b"Subject: hello\r\n\r\nHi, Ann.\r\n"


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@given(st.data())
def test_what_arrives_is_what_is_in_the_file(data: st.DataObject) -> None:
    several = data.draw(st.lists(messages, max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        destination = FilesDestination(Path(folder))
        chunks = [(arrival(9 - at), data.draw(chunkings(message))) for at, message in enumerate(several)]
        assert store(destination, chunks) == [None] * len(several)
        assert [path.read_bytes() for path in files(Path(folder))] == several
        assert destination.recall([each.mark for each, _ in chunks]) == {
            each.mark: Found(len(message), header_digest(message))
            for (each, _), message in zip(chunks, several, strict=True)
        }


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1795898996_123456_789)
    destination = FilesDestination(tmp_path / "mail")
    assert destination.name == f"the folder {tmp_path / 'mail'}"
    store(destination, [(arrival(2), [MAIL]), (arrival(1, header_only=True), [MAIL[:18]])])
    assert [path.name for path in files(tmp_path / "mail")] == [
        f"20261128T204956-123456-{arrival(2).mark}.eml",
        f"20261128T204956-123457-{arrival(1).mark}.header.eml",
    ]
    assert files(tmp_path / "mail")[1].read_bytes() == MAIL[:18]


def test_a_commit_syncs_each_file_and_the_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = FilesDestination(tmp_path)
    syncs = fsyncs(monkeypatch)
    store(destination, [(arrival(at), [MAIL]) for at in range(20)])
    assert len(syncs) == 21


def test_the_whole_message_takes_the_place_of_its_header(tmp_path: Path) -> None:
    destination = FilesDestination(tmp_path)
    store(destination, [(arrival(at, header_only=True), [MAIL[:18]]) for at in (1, 2)])
    digest = header_digest(MAIL)
    assert destination.recall([arrival(1).mark]) == {arrival(1).mark: Found(None, digest, header_only=True)}
    store(destination, [(arrival(1, completes=True), [MAIL])])
    assert [path.read_bytes() for path in files(tmp_path)] == [MAIL[:18], MAIL]
    store(destination, [(arrival(2), [MAIL])])  # a crash came before the header was removed
    assert destination.recall([arrival(2).mark]) == {arrival(2).mark: Found(len(MAIL), digest)}
    assert [path.read_bytes() for path in files(tmp_path)] == [MAIL, MAIL]


def test_files_that_a_killed_fetch_left_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letter.eml").touch()
    FilesDestination(tmp_path).begin(arrival(1)).write(MAIL)
    FilesDestination(tmp_path)
    assert len(files(tmp_path)) == 2
    in_two_days = time.time() + 48 * 3600
    monkeypatch.setattr(time, "time", lambda: in_two_days)
    FilesDestination(tmp_path)
    assert [path.name for path in files(tmp_path)] == ["letter.eml"]


def test_what_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        FilesDestination(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="typo"):
        FilesDestination(tmp_path / "typo" / "mail")


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_an_error_names_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    destination = FilesDestination(tmp_path)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match=re.escape(f"disk full: '{tmp_path}/")):
        store(destination, [(arrival(1), [MAIL])])
    assert not files(tmp_path)


@pytest.mark.parametrize(
    "error,afterwards",
    [(None, False), (None, True), (errno.ENOSPC, False), (errno.EIO, False), (errno.EIO, True), (errno.EACCES, False)],
)
def test_whatever_fails_nothing_is_lost_or_doubled(tmp_path: Path, error: int | None, afterwards: bool) -> None:
    def read(folder: Path) -> list[bytes]:
        return [normal(path.read_bytes()) for path in folder.glob("*.eml")]

    check_crashes(tmp_path, FilesDestination, read, error=error, afterwards=afterwards, step=deep(1, 2), exact=True)
