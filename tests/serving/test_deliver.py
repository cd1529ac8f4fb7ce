"""Delivery of a mail server's message: whole or not at all, by quota and filters."""

import errno
import io
import os
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto._io import new_files
from pop3proto._io.files import lock
from pop3proto.maildrops import MaildirStore
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.maildrops.names import stored_size, wire_octets
from pop3proto.sasl.channel import SessionInfo
from pop3proto.serving import (
    DeliverLater,
    DeliveryRefused,
    DeliveryReport,
    Envelope,
    Filtering,
    JunkAction,
    Quota,
    deliver_message,
)
from pop3proto.serving.delivery import deliver as delivering
from pop3proto.serving.delivery.verdicts import CLEAN, Verdict
from tests.helpers.strategies import messages

TEXT = b"Subject: x\n\nHello\n"


def deliver(maildir: Path, octets: bytes = TEXT, **how: Any) -> DeliveryReport:
    return deliver_message(io.BytesIO(octets), maildir, **how)


def files(maildir: Path) -> list[Path]:
    return sorted(path for path in maildir.rglob("*") if path.parent.name in ("tmp", "new", "cur"))


def filtering(maildir: Path, status: int, **how: Any) -> Filtering:
    path = maildir.parent / "filter"
    path.write_text(f"#!/bin/sh\ncat >/dev/null\nexit {status}\n")
    path.chmod(stat.S_IRWXU)
    return Filtering(command=(str(path),), **how)


@given(st.data())
def test_a_message_is_delivered_as_it_came(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    message = data.draw(messages) or b"x"
    maildir = tmp_path_factory.mktemp("x") / "Maildir"
    delivered = deliver(maildir, b"From x\n" + message)
    [path] = files(maildir)
    assert delivered.path == path
    content = path.read_bytes()
    assert content.replace(b"\r\n", b"\n") == message.replace(b"\r\n", b"\n")
    assert stored_size(path.name) == len(content)
    assert wire_octets(path.name, len(content)) == delivered.octets
    maildrop = MaildirStore({"ann": maildir}).open("ann", SessionInfo())
    assert [each.octets for each in maildrop.messages] == [delivered.octets]
    maildrop.close()


def test_the_envelope_is_in_front(maildir: Path) -> None:
    envelope = Envelope("<bob@b>", "ann@a", "all@a")
    path = deliver(maildir, b"From bob Mon\nReturn-Path: <old>\n" + TEXT, envelope=envelope).path
    head = b"Return-Path: <bob@b>\nDelivered-To: ann@a\nX-Original-To: all@a\n"
    assert path.read_bytes() == head + TEXT
    crlf = TEXT.replace(b"\n", b"\r\n") + b"bare\nlf\r\n"
    path = deliver(maildir, crlf, envelope=envelope).path
    assert path.read_bytes() == head.replace(b"\n", b"\r\n") + crlf
    path = deliver(maildir, b"Return-Path: <old>\n" + TEXT).path
    assert path.read_bytes() == b"Return-Path: <old>\n" + TEXT


def test_a_maildir_is_made_in_a_folder_that_is_there(tmp_path: Path) -> None:
    deliver(tmp_path / "Maildir")
    with pytest.raises(DeliverLater, match="No such file"):
        deliver(tmp_path / "none" / "Maildir")
    (tmp_path / "file").touch()
    with pytest.raises(DeliverLater, match="not a folder"):
        deliver(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user than root gives nothing away")
def test_what_root_delivers_belongs_to_the_owner(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    os.chown(folder, 65_534, 65_534)
    deliver(folder / "Maildir", filtering=filtering(folder, 98))
    deliver(folder / "Maildir", quota=Quota(octets=1000))
    assert {path.stat().st_uid for path in folder.rglob("*")} == {65_534}


def test_no_message_is_no_message(maildir: Path) -> None:
    with pytest.raises(DeliverLater, match="no message"):
        deliver(maildir, b"")
    assert files(maildir) == []


@pytest.mark.parametrize("last", [b"", b"\n"])
def test_it_takes_constant_memory(maildir: Path, last: bytes) -> None:
    class Source:
        left = 300

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return b"a\r\n" * 5000 if self.left > 0 else last if self.left == 0 else b""

    tracemalloc.start()
    try:
        path = deliver_message(Source(), maildir, filtering=filtering(maildir, 98, junk=JunkAction.TAG)).path
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 2 * 299 * 5000


# ------------------------------------------------------------------------------------------------ quota


def test_one_message_may_go_beyond_the_limit_and_the_next_is_not_taken(maildir: Path) -> None:
    quota = Quota(octets=len(TEXT) + 1)
    assert deliver(maildir, quota=quota).used == "94 % of 19 octets used"
    assert deliver(maildir, quota=quota).used == "189 % of 19 octets used"
    with pytest.raises(DeliverLater, match="the maildrop is full: 189 % of 19 octets used"):
        deliver(maildir, quota=quota)
    with pytest.raises(DeliveryRefused, match="full"):
        deliver(maildir, quota=Quota(octets=len(TEXT) + 1, when_full="refuse"))
    assert len(files(maildir)) == 2
    assert (maildir / "maildirsize").read_text() == "19S\n36 2\n"  # recounted before the refusal
    files(maildir)[0].unlink()
    deliver(maildir, quota=quota)


def test_without_grace_no_message_goes_beyond_the_limit(maildir: Path) -> None:
    quota = Quota(octets=len(TEXT), grace=False)
    with pytest.raises(DeliveryRefused, match="larger than the whole maildrop may be"):
        deliver(maildir, TEXT + b"x", quota=quota)
    deliver(maildir, quota=quota)
    with pytest.raises(DeliverLater, match="full"):
        deliver(maildir, b"x", quota=quota)
    assert len(files(maildir)) == 1


def test_a_full_maildrop_is_told_before_the_message_is_read(maildir: Path) -> None:
    deliver(maildir, quota=Quota(messages=1))

    class Unread:
        def read(self, size: int, /) -> bytes:
            pytest.fail("it was read")

    with pytest.raises(DeliverLater, match="100 % of 1 message used"):
        deliver_message(Unread(), maildir, quota=Quota(messages=1))


def test_the_quota_is_asked_again_when_the_message_is_there(maildir: Path) -> None:
    class Meanwhile:
        left = 2

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            if self.left == 1:
                deliver(maildir, quota=Quota(messages=1))
            return TEXT if self.left else b""

    with pytest.raises(DeliverLater, match="full"):
        deliver_message(Meanwhile(), maildir, quota=Quota(messages=1))
    assert len(files(maildir)) == 1


def test_each_delivery_is_a_line_of_the_file_that_programs_share(maildir: Path) -> None:
    quota = Quota(octets=10**6)
    for _ in range(3):
        deliver(maildir, quota=quota)
    assert (maildir / "maildirsize").read_text() == "1000000S\n0 0\n18 1\n18 1\n18 1\n"


# ---------------------------------------------------------------------------------------------- filters


def test_what_is_done_with_junk(maildir: Path) -> None:
    assert deliver(maildir, filtering=filtering(maildir, 0)).path.parent == maildir / "new"
    path = deliver(maildir, filtering=filtering(maildir, 98)).path
    assert path.parent == maildir / ".Junk/new"
    assert path.read_bytes() == TEXT
    assert (maildir / ".Junk/maildirfolder").exists()
    assert deliver(maildir, filtering=filtering(maildir, 98, folder=".Spam")).path.parent == maildir / ".Spam/new"
    path = deliver(maildir, filtering=filtering(maildir, 98, junk="tag"), envelope=Envelope("b")).path
    assert path.read_bytes() == b"X-Spam: Yes\nReturn-Path: <b>\n" + TEXT
    assert path.parent == maildir / "new"
    assert deliver(maildir, filtering=filtering(maildir, 98, junk="deliver")).path.read_bytes() == TEXT
    with pytest.raises(DeliveryRefused, match="found to be junk"):
        deliver(maildir, filtering=filtering(maildir, 98, junk="refuse"))
    with pytest.raises(DeliveryRefused, match="found to be virus"):
        deliver(maildir, filtering=filtering(maildir, 99))
    assert not list(maildir.glob("**/tmp/*"))


def test_a_filter_that_fails_means_later(maildir: Path) -> None:
    with pytest.raises(DeliverLater, match="ended with status 3"):
        deliver(maildir, filtering=filtering(maildir, 3))
    assert files(maildir) == []


def test_junk_counts_for_the_quota_of_the_maildir(maildir: Path) -> None:
    deliver(maildir, quota=Quota(messages=1), filtering=filtering(maildir, 98))
    with pytest.raises(DeliverLater, match="full"):
        deliver(maildir, quota=Quota(messages=1))


# --------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "open"])
def test_a_disk_that_fails_means_later_and_leaves_nothing(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    real: Callable[..., Any] = getattr(os, call)

    def failing(*arguments: Any, **named: Any) -> Any:
        if call != "open" or arguments[1] & os.O_CREAT:
            raise OSError(number, "it fails")
        return real(*arguments, **named)

    monkeypatch.setattr(new_files.os, call, failing)
    with pytest.raises(DeliverLater, match="it fails"):
        deliver(maildir)
    monkeypatch.undo()
    assert files(maildir) == []


def test_a_source_that_fails_means_later(maildir: Path) -> None:
    class Broken:
        left = 2

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            if not self.left:
                raise OSError(errno.EIO, "it fails")
            return TEXT

    with pytest.raises(DeliverLater, match="it fails"):
        deliver_message(Broken(), maildir)
    assert files(maildir) == []


def test_nothing_that_is_told_has_the_message_in_it(maildir: Path) -> None:
    with pytest.raises(DeliverLater) as caught:
        deliver(maildir, b"Subject: tanstaaf\n\n", filtering=filtering(maildir, 3))
    assert "tanstaaf" not in str(caught.value)


def test_the_folder_for_junk_is_a_folder_or_the_message_waits(maildir: Path) -> None:
    (maildir / ".Junk").touch()
    with pytest.raises(DeliverLater, match="not a folder"):
        deliver(maildir, filtering=filtering(maildir, 98))
    (maildir / ".Junk").unlink()
    ensure_maildir(maildir / ".Junk")
    deliver(maildir, filtering=filtering(maildir, 98))
    assert (maildir / ".Junk/maildirfolder").exists()


# ----------------------------------------------------------------------------------------- one at a time


def test_what_came_while_the_filters_looked_counts(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = Quota(messages=1)

    def meanwhile(*_: Any) -> Verdict:
        monkeypatch.undo()
        deliver(maildir, quota=quota)
        return CLEAN

    monkeypatch.setattr(delivering, "ask_filters", meanwhile)
    with pytest.raises(DeliverLater, match="full"):
        deliver(maildir, quota=quota)
    assert len(files(maildir)) == 1


def test_another_delivery_that_takes_too_long_is_not_waited_for(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivering, "_PATIENCE", 0)
    monkeypatch.setattr(delivering, "_PAUSE", 0)
    tmp = os.open(maildir / "tmp", os.O_RDONLY)
    lock(tmp, "tmp", wait=False)
    try:
        with pytest.raises(DeliverLater, match="other deliveries"):
            deliver(maildir, quota=Quota(messages=5))
        deliver(maildir)
    finally:
        os.close(tmp)
    deliver(maildir, quota=Quota(messages=5))
    assert len(files(maildir)) == 2


def test_a_message_that_can_never_fit_is_refused_before_it_is_read_to_its_end(maildir: Path) -> None:
    class Endless:
        read_so_far = 0

        def read(self, size: int, /) -> bytes:
            self.read_so_far += size
            return b"x" * size

    source = Endless()
    with pytest.raises(DeliveryRefused, match="larger than the whole maildrop may be, 1000 octets"):
        deliver_message(source, maildir, quota=Quota(octets=1000, grace=False))
    assert source.read_so_far < 1 << 20
    assert files(maildir) == []


def test_a_tag_of_the_sender_is_taken_out(maildir: Path) -> None:
    forged = b"X-Spam: Yes\nSubject: x\nx-spam: No\n\nX-Spam: Yes\n"
    for status, tag in ((0, b""), (98, b"X-Spam: Yes\n")):
        path = deliver(maildir, forged, filtering=filtering(maildir, status, junk="tag")).path
        assert path.read_bytes() == tag + b"Subject: x\n\nX-Spam: Yes\n"


@pytest.mark.parametrize("octets", [b"From : Ann <a@x>\nSubject: x\n\nx\n", b"From here to eternity"])
def test_a_first_line_that_is_not_of_mbox_stays(maildir: Path, octets: bytes) -> None:
    assert deliver(maildir, octets).path.read_bytes().strip() == octets.strip()
