"""Compressed message files, as Dovecot writes them."""

import bz2
import errno
import gzip
import io
import logging
import lzma
import os
import random
import sys
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.maildrops import MaildirStore, compressed
from pop3proto.maildrops.compressed import Unpacked, unpacked
from pop3proto.maildrops.delivery import ensure_maildir
from pop3proto.procedures.maildrop import Maildrop, Unavailable, wire_size
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.strategies import messages

TEXT = b"Subject: hello\n\n" + b"Hi, Ann.\n" * 9

Pack = Callable[[bytes], bytes]


def lz4(data: bytes, chunk: int = 65_536) -> bytes:
    """Compress as Dovecot does, which has a format of its own."""
    block = pytest.importorskip("lz4.block")
    packed = b"Dovecot-LZ4\x0d\x2a\x9b\xc5" + chunk.to_bytes(4)
    for start in range(0, len(data), chunk):
        piece = block.compress(data[start : start + chunk], store_size=False)
        packed += len(piece).to_bytes(4) + piece
    return packed


def zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd as module
    else:
        module = pytest.importorskip("backports.zstd")
    packed: bytes = module.compress(data)
    return packed


WAYS: dict[str, Pack] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
    "LZ4": lz4,
    "two gzip members": lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:]),
    "xz with padding": lambda data: lzma.compress(data) + bytes(8),
}
each_way = pytest.mark.parametrize("pack", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    ensure_maildir(path)
    return path


def opened(maildir: Path) -> Maildrop:
    return MaildirStore({"ann": maildir}).open("ann", SessionInfo())


def contents(maildrop: Maildrop, number: int, size: int = 7) -> bytes:
    source: Any = maildrop.open(number)
    try:
        return b"".join(iter(lambda: source.read(size), b""))
    finally:
        source.close()


def wire(octets: bytes) -> int:
    return len(octets) + octets.count(b"\n")


def unpack(path: Path) -> bytes:
    source = unpacked(io.FileIO(path))
    try:
        return b"".join(iter(lambda: source.read(1 << 20), b""))
    finally:
        source.close()


# ------------------------------------------------------------------------------------------- messages


@each_way
def test_a_compressed_message_is_served_as_it_was(maildir: Path, pack: Pack) -> None:
    for name in (f"new/1.a,S={len(TEXT)}", f"cur/2.a,S={len(TEXT)},W={wire(TEXT)}:2,SZ", "new/3.a"):
        (maildir / name).write_bytes(pack(TEXT))
    for _ in range(2):  # the second time, what was counted is remembered
        maildrop = opened(maildir)
        assert [message.octets for message in maildrop.messages] == [wire(TEXT)] * 3
        assert [contents(maildrop, number) for number in (1, 2, 3)] == [TEXT] * 3
        maildrop.close()


def test_a_compressed_message_is_counted_once(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"a\n" * 9999
    (maildir / f"new/1.a,S={len(text)}").write_bytes(gzip.compress(text))
    opened(maildir).close()
    monkeypatch.setattr(compressed, "_members", lambda *_: pytest.fail("its size is known"))
    maildrop = opened(maildir)
    assert [message.octets for message in maildrop.messages] == [wire(text)]
    maildrop.close()


@each_way
def test_a_message_whose_name_holds_its_size_is_not_unpacked(maildir: Path, pack: Pack) -> None:
    data = pack(TEXT)
    (maildir / f"new/1.a,S={len(data)}").write_bytes(data)
    maildrop = opened(maildir)
    assert contents(maildrop, 1, 1 << 20) == data
    maildrop.close()


@each_way
@pytest.mark.parametrize("now", ["", "S", "SZ"])
def test_a_message_that_is_compressed_during_the_session_is_served_as_it_was(
    maildir: Path, pack: Pack, now: str
) -> None:
    name = f"1.a,S={len(TEXT)},W={wire(TEXT)}:2,"
    (maildir / "cur" / name).write_bytes(TEXT)
    maildrop = opened(maildir)
    assert [message.octets for message in maildrop.messages] == [wire(TEXT)]
    (maildir / "tmp/1").write_bytes(pack(TEXT))
    (maildir / "cur" / name).unlink()
    (maildir / "tmp/1").rename(maildir / "cur" / (name + now))
    assert contents(maildrop, 1) == TEXT
    maildrop.commit(frozenset({1}), frozenset())
    maildrop.close()
    assert not list((maildir / "cur").iterdir())


def test_a_message_that_is_unpacked_during_the_session_is_served_as_it_is(maildir: Path) -> None:
    text = gzip.compress(TEXT)
    name = f"cur/1.a,S={len(text)}:2,S"
    (maildir / name).write_bytes(gzip.compress(text))
    maildrop = opened(maildir)
    (maildir / name).write_bytes(text)
    assert contents(maildrop, 1, 1 << 20) == text
    maildrop.close()


def test_a_message_that_is_compressed_and_then_renamed_is_found_again(maildir: Path) -> None:
    (maildir / f"cur/1.a,S={len(TEXT)}:2,S").write_bytes(TEXT)
    maildrop = opened(maildir)
    (maildir / "tmp/1").write_bytes(gzip.compress(TEXT))
    (maildir / f"cur/1.a,S={len(TEXT)}:2,S").unlink()
    (maildir / "tmp/1").rename(maildir / "cur/1.a:2,SZ")
    assert contents(maildrop, 1) == TEXT
    (maildir / "cur/1.a:2,SZ").rename(maildir / "cur/other:2,SZ")
    assert contents(maildrop, 1) == TEXT
    maildrop.close()


def test_a_size_that_was_mended_is_for_the_file_that_was_read(maildir: Path) -> None:
    (maildir / "cur/1.a:2,").write_bytes(TEXT)
    maildrop = opened(maildir)
    maildrop.correct(1, wire(TEXT))
    (maildir / "tmp/1").write_bytes(TEXT + b"more\n")
    (maildir / "cur/1.a:2,").unlink()
    (maildir / "tmp/1").rename(maildir / "cur/1.a:2,S")
    assert contents(maildrop, 1) == TEXT + b"more\n"
    maildrop.close()
    maildrop = opened(maildir)
    assert [message.octets for message in maildrop.messages] == [wire(TEXT + b"more\n")]
    maildrop.close()


@pytest.mark.parametrize(
    "text", [b"", b"\x1f", b"\x1f\x8b", b"BZ", b"BZh9", b"BZh911AY&S", b"BZhello: x\n\n", b"\xfd7z", b"Dovecot-LZ4"]
)
def test_what_begins_a_little_like_it_is_not_compressed(maildir: Path, text: bytes) -> None:
    (maildir / "new/1.a").write_bytes(text)
    maildrop = opened(maildir)
    assert contents(maildrop, 1) == text
    maildrop.close()


@pytest.mark.deep(keep=8)
@each_way
@pytest.mark.parametrize("octets", [65_535, 65_536, 65_537, 270_203])
def test_a_message_of_several_pieces_comes_back(tmp_path: Path, pack: Pack, octets: int) -> None:
    text = b"".join(b"%x\n" % random.Random(line).getrandbits(400) for line in range(3_000))[:octets]
    (tmp_path / "file").write_bytes(pack(text))
    assert unpack(tmp_path / "file") == text
    (tmp_path / "file").write_bytes(pack(bytes(octets)))
    assert unpack(tmp_path / "file") == bytes(octets)


@given(messages, st.sampled_from(sorted(WAYS)), st.integers(1, 99))
def test_any_message_comes_back_in_pieces_of_any_size(message: bytes, way: str, size: int) -> None:
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        file.write(WAYS[way](message))
        with closing(unpacked(io.FileIO(file.name))) as source:
            assert b"".join(iter(lambda: source.read(size), b"")) == message


# --------------------------------------------------------------------------------- damage and missing packages


NOISE = random.Random(7).randbytes(300)


def damages(path: Path) -> bool:
    """Whether a file is found to be damaged; no other error may come."""
    try:
        unpack(path)
    except OSError as error:
        return error.errno == errno.EIO and "the compressed file is damaged" in str(error)
    return False


@pytest.mark.parametrize("way", ["gzip", "bzip2", "xz", "zstd", "LZ4"])
def test_a_file_that_ends_early_is_damaged_wherever_it_ends(tmp_path: Path, way: str) -> None:
    data = WAYS[way](NOISE)
    for end in range(25, len(data) - 1, 17):
        (tmp_path / "file").write_bytes(data[:end])
        assert damages(tmp_path / "file")


@pytest.mark.parametrize("way", ["gzip", "bzip2", "xz"])  # the others have no checksum, unless they are told
def test_a_file_with_a_wrong_octet_is_damaged_wherever_it_is(tmp_path: Path, way: str) -> None:
    data, path = WAYS[way](NOISE), tmp_path / "file"
    for place in range(25, len(data) - 1, 17):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        assert damages(path) or unpack(path) == NOISE  # not all that is in a file is needed to unpack it


def test_a_damaged_message_is_left_out_and_said(maildir: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("new/1.a", "new/2.a"):
        (maildir / name).write_bytes(gzip.compress(TEXT)[:-9])
    (maildir / "new/3.a").write_bytes(TEXT)
    maildrop = opened(maildir)
    assert [message.unique_id for message in maildrop.messages] == ["3.a"]
    [record] = caplog.records
    assert (record.name, record.levelno) == ("pop3proto", logging.WARNING)
    words = f"2 messages of {maildir} left out, the first is 1.a: the compressed file is damaged (it ends early)"
    assert record.getMessage() == words
    maildrop.close()


def test_a_message_that_is_damaged_since_is_refused(maildir: Path) -> None:
    (maildir / "new/1.a").write_bytes(gzip.compress(TEXT))
    maildrop = opened(maildir)
    (maildir / "new/1.a").write_bytes(gzip.compress(TEXT)[:-9])
    source: Any = maildrop.open(1)
    with pytest.raises(OSError, match="damaged"):
        wire_size(source)
    source.close()
    maildrop.close()


@pytest.mark.parametrize("way,modules", [("zstd", ["compression.zstd", "backports.zstd"]), ("LZ4", ["lz4.block"])])
def test_without_its_package_a_message_is_left_out_and_said(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str, modules: list[str]
) -> None:
    (maildir / "new/1.a").write_bytes(WAYS[way](TEXT))
    (maildir / "new/2.a").write_bytes(gzip.compress(TEXT))
    opened(maildir).close()
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    maildrop = opened(maildir)
    assert [message.unique_id for message in maildrop.messages] == ["1.a", "2.a"]  # its size is known
    with pytest.raises(Unavailable):
        maildrop.open(1)
    maildrop.close()
    (maildir / ".pop3proto-sizes").unlink()
    maildrop = opened(maildir)
    assert [message.unique_id for message in maildrop.messages] == ["2.a"]
    assert f"it is compressed with {way}: install pop3proto[compressed] to read it" in caplog.text
    maildrop.close()


def test_no_descriptor_is_left_behind(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.block", None)
    (maildir / "new/1.a").write_bytes(b"Dovecot-LZ4\x0d\x2a\x9b\xc5\0\1\0\0")
    (maildir / "new/2.a").write_bytes(gzip.compress(TEXT)[:-9])
    before = os.dup(0)
    os.close(before)
    opened(maildir).close()
    after = os.dup(0)
    os.close(after)
    assert after == before


# ---------------------------------------------------------------------------------------------- bombs


def gzip_bomb(octets: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    piece = bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range(octets >> 20)) + packer.flush()


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("pack,limit", [(bz2.compress, 1), (lzma.compress, 9), (zstd, 1), (gzip.compress, 1)])
def test_a_file_that_unpacks_to_very_much_takes_little_memory(tmp_path: Path, pack: Pack, limit: int) -> None:
    data = pack(bytes(1 << 24))
    assert len(data) < 20_000
    (tmp_path / "file").write_bytes(data)
    tracemalloc.start()
    try:
        source = unpacked(io.FileIO(tmp_path / "file"))
        assert source.read(1 << 24)
        while source.read(1 << 24):
            pass
        assert tracemalloc.get_traced_memory()[1] < limit << 20  # for xz, a dictionary of 8 MiB
    finally:
        tracemalloc.stop()
        source.close()


def test_more_than_a_message_can_be_is_refused(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_LARGEST", 1 << 20)
    (maildir / "new/1.a").write_bytes(gzip_bomb(1 << 20))
    (maildir / "new/2.a").write_bytes(gzip_bomb(1 << 21))
    maildrop = opened(maildir)
    assert [message.unique_id for message in maildrop.messages] == ["1.a"]
    maildrop.close()


@pytest.mark.deep
def test_a_claim_of_an_enormous_dictionary_or_chunk_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    (tmp_path / "xz").write_bytes(lzma.compress(TEXT, filters=filters))
    block = 0xFFFFFFFF.to_bytes(4)
    (tmp_path / "chunk").write_bytes(lz4(b"")[:-4] + block + lz4(TEXT)[20:])
    (tmp_path / "length").write_bytes(lz4(b"") + block + lz4(TEXT)[24:])
    for name in ("xz", "chunk", "length"):
        with pytest.raises(OSError, match="damaged"):
            unpack(tmp_path / name)


def test_the_top_of_a_message_is_unpacked_alone(tmp_path: Path) -> None:
    text = TEXT + random.Random(3).randbytes(1 << 20)
    (tmp_path / "file").write_bytes(gzip.compress(text))
    file = io.FileIO(tmp_path / "file")
    source = unpacked(file)
    assert isinstance(source, Unpacked)
    assert source.read(16_384) == text[:16_384]
    assert file.tell() <= 32_768
    source.close()
