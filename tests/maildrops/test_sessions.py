"""Whole sessions over a Maildir: what STAT and LIST announce, and UIDL names, is what RETR sends."""

import errno
import os
import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pop3proto._io.files import open_regular
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import Client, connect, serve
from pop3proto.core.commands import Top
from pop3proto.core.refusals import CommandFailed
from pop3proto.maildrops import MaildirStore, files
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.procedures import Service
from tests.helpers.depth import deep

TEXT = b"Subject: x\n\nHello\nthere\n"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    return path


@contextmanager
def session(maildir: Path) -> Generator[Client]:
    """A client that is logged in; at the end it says QUIT."""
    service = Service(store=MaildirStore({"ann": maildir}), authenticator=MemoryAuthenticator({"ann": "x"}))
    with serve(service) as server, connect(*server.address, tls="none") as client:
        client.login("ann", "x")
        yield client


def check(client: Client) -> list[bytes]:
    """Return all messages, after a look at what was announced of them."""
    status, sizes = client.stat(), client.list()
    messages = [client.fetch(number) for number in sizes]
    assert [len(message) for message in messages] == list(sizes.values())
    assert (status.count, status.octets) == (len(sizes), sum(sizes.values()))
    return messages


@pytest.mark.parametrize("mark", [":", ";", "!"])
def test_a_unique_id_stays_when_the_flags_change(maildir: Path, mark: str) -> None:
    path = maildir / "new/1700000000.M1P2.host"
    path.write_bytes(TEXT)
    with session(maildir) as client:
        before = dict(client.uidl())
    for flags in ("", "S", "RS"):
        path = path.rename(maildir / f"cur/1700000000.M1P2.host{mark}2,{flags}")
        with session(maildir) as client:
            assert dict(client.uidl()) == before == {1: "1700000000.M1P2.host"}


@pytest.mark.parametrize("mark", [":", ";", "!"])
@pytest.mark.parametrize("size,wire", [(24, 28), (29, 33), (24, 40), (28, 28), (None, 33)])
def test_a_name_that_lies_is_not_believed(maildir: Path, mark: str, size: int | None, wire: int) -> None:
    sizes = f",W={wire}" if size is None else f",S={size},W={wire}"
    (maildir / f"cur/1.M1.host{sizes}{mark}2,").write_bytes(TEXT)
    with session(maildir) as client:
        if (size, wire) == (24, 40):  # nothing shows that it lies but the message itself
            assert client.list() == {1: 40}
            client.fetch(1)
        assert check(client) == [TEXT.replace(b"\n", b"\r\n")]


LINE_ENDS = {
    "unix": b"Subject: x\n\na\nb\n",
    "mixed": b"Subject: x\r\n\na\r\nb\n",
    "none at the end": b"Subject: x\n\na",
    "nothing": b"",
    "no body": b"Subject: x\n",
    "a dot at the start": b".Subject: x\n\n.a\n",
    "a lone dot": b"Subject: x\n\n.\nmore\n.\n",
    "a CR before each border": b"Subject: x\n\n" + b"a" * ((1 << 20) - 13) + b"\r" + b"\nb\r" + b"c" * 300_000 + b"\r",
    "NUL": b"Subject: \0\n\n\0\0\n",
    "8 bit": b"Subject: \xe4\xff\n\n\x80\xfe",
    "only CRs": b"\r\r\r",
    "only line ends": b"\n\n\r\n",
}


def test_messages_of_any_shape_are_what_was_announced(maildir: Path) -> None:
    for number, text in enumerate(LINE_ENDS.values()):
        (maildir / f"new/{number}.a").write_bytes(text)
    for _ in range(2):
        with session(maildir) as client:
            messages = check(client)
    for message, text in zip(messages, LINE_ENDS.values(), strict=True):
        lines = message.replace(b"\r\n", b"\n")
        assert lines == text.replace(b"\r\n", b"\n") + (b"" if not text or text.endswith(b"\n") else b"\n")


def test_a_line_of_any_length_is_served_in_constant_memory(maildir: Path) -> None:
    size = deep(100_000_000, 12_000_000)
    with (maildir / "new/1.a").open("wb") as file:
        file.truncate(size)  # NULs, and no line end
    with session(maildir) as client:
        assert client.list() == {1: size + 2}
        octets = 0
        tracemalloc.start()
        try:
            with client.retr(1) as message:
                while piece := message.read(65_536):
                    octets += len(piece)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()
        assert octets == size + 2


def test_a_message_that_grew_is_announced_as_it_is_from_then_on(maildir: Path) -> None:
    path = maildir / "new/1.a"
    path.write_bytes(TEXT)
    with session(maildir) as client:
        with path.open("ab") as file:
            file.write(b"more\n")
        assert len(client.fetch(1)) == 34
        assert client.list() == {1: 34}
        assert client.stat().octets == 34
    with session(maildir) as client:
        check(client)


def test_a_message_that_vanished_is_refused_and_the_others_are_served(maildir: Path) -> None:
    for name in ("new/1.a", "new/2.a"):
        (maildir / name).write_bytes(TEXT)
    with session(maildir) as client:
        (maildir / "new/1.a").unlink()
        with pytest.raises(CommandFailed, match="message 1 was removed by another program"):
            client.fetch(1)
        with pytest.raises(CommandFailed, match="message 1 was removed by another program"):
            client.call(Top(1, 0))
        client.fetch(2)
        client.dele(1)
        client.dele(2)
    assert not [*(maildir / "new").iterdir()]


def test_a_message_that_lost_its_permission_is_refused_and_can_be_deleted(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new/1.a", "new/2.a"):
        (maildir / name).write_bytes(TEXT)

    def failing(path: str, **folder: Any) -> Any:
        if path == "1.a":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return open_regular(path, **folder)

    with session(maildir) as client:
        monkeypatch.setattr(files, "open_regular", failing)
        with pytest.raises(CommandFailed, match="message 1 cannot be read now"):
            client.fetch(1)
        client.fetch(2)
        client.dele(1)
    assert [path.name for path in (maildir / "new").iterdir()] == ["2.a"]


def test_what_is_not_read_to_its_end_is_not_taken_for_whole(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (maildir / "new/1.a").write_bytes(b"Subject: x\n\n" + b"a\n" * 1_000_000)

    class Failing:
        def __init__(self, path: str, *, folder: int) -> None:
            self._file = open_regular(path, folder=folder)
            self.fileno, self.close = self._file.fileno, self._file.close
            self._reads = 0

        def read(self, size: int) -> bytes:
            self._reads += 1
            if self._reads > 1:
                raise OSError(errno.EIO, "bad disk")
            return self._file.read(size)

    with session(maildir) as client:
        pass
    monkeypatch.setattr(files, "open_regular", Failing)
    service = Service(store=MaildirStore({"ann": maildir}), authenticator=MemoryAuthenticator({"ann": "x"}))
    with serve(service) as server:
        client = connect(*server.address, tls="none")
        client.login("ann", "x")
        with pytest.raises(ConnectionError):
            client.fetch(1)
        client.close()
