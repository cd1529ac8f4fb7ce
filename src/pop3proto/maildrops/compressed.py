"""Compressed message files, as Dovecot writes them: recognised by their first octets, and unpacked as they are read."""

from __future__ import annotations

import bz2
import errno
import importlib
import lzma
import os
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO

__all__ = ["Unpacked", "may_be_compressed", "unpacked"]

_PIECE: Final = 16_384  # compressed octets that are read at once
_UNPACKED_PIECE: Final = 65_536  # octets that are unpacked at once
_LARGEST: Final = 1 << 28  # octets of an unpacked message; a file of a few KB can claim any number
_XZ_MEMORY: Final = 1 << 27  # octets for the dictionary of an xz file: enough for `xz -9`

_GZIP: Final = b"\x1f\x8b\x08"
_BZIP2: Final = b"BZh"
_BZIP2_BLOCKS: Final = (b"1AY&SY", b"\x17rE8P\x90")  # the first block, or the end of an empty file
_XZ: Final = b"\xfd7zXZ\0"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"

# Dovecot's own format: these octets, the largest size of an unpacked chunk, then chunks behind their packed size. The
# numbers have four octets, the highest first.
_LZ4: Final = b"Dovecot-LZ4\x0d\x2a\x9b\xc5"
_LZ4_NUMBER: Final = 4
_LZ4_HEAD: Final = len(_LZ4) + _LZ4_NUMBER
_STARTS: Final = (_GZIP, _BZIP2, _XZ, _ZSTD, _LZ4)
_LZ4_CHUNK: Final = 1 << 20  # Dovecot writes chunks of 65,536 octets, and reads up to this


class _Decompressor(Protocol):
    """What the decompressors of bz2, lzma and zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def may_be_compressed(octets: bytes) -> bool:
    """Return whether a file that begins with these octets may be compressed; `unpacked` knows."""
    return octets.startswith(_STARTS)


def unpacked(file: FileIO) -> FileIO | Unpacked:
    """Return the message in a file: the file itself, or what unpacks it if it is compressed.

    Args:
        file: the file, at its start. It is closed if this raises.

    Raises:
        OSError: it cannot be read, or the package that unpacks it is not installed.
    """
    try:
        pieces = _pieces(file, os.pread(file.fileno(), _LZ4_HEAD, 0))
    except BaseException:
        file.close()
        raise
    return file if pieces is None else Unpacked(file, pieces)


class Unpacked:
    """A message that is unpacked as it is read, in constant memory.

    Args:
        file: the compressed file.
        pieces: what is in it, unpacked; each piece is small.
    """

    def __init__(self, file: FileIO, pieces: Iterator[bytes]) -> None:
        self._file = file
        self._pieces = pieces
        self._rest = b""  # of the last piece
        self._octets = 0

    def read(self, size: int, /) -> bytes:
        """Return at most this many octets; empty at the end.

        Raises:
            OSError: the file cannot be read, is damaged, or holds more than a message can be.
        """
        if not self._rest:
            self._rest = self._next_piece()
        octets, self._rest = self._rest[:size], self._rest[size:]
        return octets

    def _next_piece(self) -> bytes:
        try:
            piece = next(self._pieces, b"")
        except MemoryError:
            raise
        except Exception as error:  # each module has an error of its own
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise OSError(errno.EIO, f"the compressed file is damaged ({str(error) or 'it ends early'})") from error
        self._octets += len(piece)
        if self._octets > _LARGEST:
            raise OSError(errno.EFBIG, f"the compressed file holds more than {_LARGEST} octets")
        return piece

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _pieces(file: FileIO, head: bytes) -> Iterator[bytes] | None:
    """Return what unpacks a file that begins with these octets; None if it is not compressed."""
    if head.startswith(_GZIP):
        return _members(file, _Gzip)
    if head.startswith(_BZIP2) and head[4:10] in _BZIP2_BLOCKS:
        return _members(file, bz2.BZ2Decompressor)
    if head.startswith(_XZ):
        return _members(file, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))
    if head.startswith(_ZSTD):
        return _members(file, _package("zstd", "compression.zstd", "backports.zstd").ZstdDecompressor)
    if head.startswith(_LZ4):
        return _lz4_chunks(file, _package("LZ4", "lz4.block").decompress)
    return None


def _package(format_: str, *modules: str) -> Any:  # noqa: ANN401 - none of these need be installed
    for module in modules:
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise OSError(errno.ENOTSUP, f"it is compressed with {format_}: install pop3proto[compressed] to read it")


def _members(file: FileIO, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Unpack a file of one compressed stream, or of several, as all but LZ4 have it."""
    rest = file.read(_PIECE)
    while rest:
        decompressor, ended = make(), False
        while not decompressor.eof:
            if decompressor.needs_input and not rest:
                rest = file.read(_PIECE)
                ended = not rest
            piece = decompressor.decompress(rest, _UNPACKED_PIECE)
            if piece:
                yield piece
            elif ended and not decompressor.eof:
                raise EOFError
            rest = b""
        rest = (decompressor.unused_data or file.read(_PIECE)).lstrip(b"\0")  # padding


class _Gzip:
    """A decompressor for gzip with the interface of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _lz4_chunks(file: FileIO, decompress: Callable[..., bytes]) -> Iterator[bytes]:
    largest = int.from_bytes(file.read(_LZ4_HEAD)[len(_LZ4) :])
    while head := file.read(_LZ4_NUMBER):
        size = int.from_bytes(head)
        if max(size // 2, largest) > _LZ4_CHUNK:  # what cannot be made smaller grows a little
            raise ValueError("a chunk is too large")
        chunk = file.read(size)
        if len(chunk) < size:
            raise EOFError
        yield decompress(chunk, uncompressed_size=largest)
