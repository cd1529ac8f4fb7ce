"""The octets of a message that wait: in memory if they are few, else in a file that has no name."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from pop3proto._io.new_files import named

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Spool", "unnamed_file"]

_IN_MEMORY: Final = 1 << 20
_CHUNK: Final = 1 << 18
_STANDARD_ERROR: Final = 2


def unnamed_file(folder: str | Path) -> BinaryIO:
    """Return a new file that is gone when it is closed, also by a crash. Its descriptor is above 2.

    Args:
        folder: on whose file system it is.

    Raises:
        OSError: it cannot be made.
    """
    try:
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - the caller closes it
        if file.fileno() > _STANDARD_ERROR:
            return file
        import fcntl  # noqa: PLC0415 - POSIX systems alone have it, and others need none

        with file:  # standard input, for example, is closed in this process
            descriptor = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, _STANDARD_ERROR + 1)
        return open(descriptor, "w+b", buffering=0)  # noqa: PTH123 - a descriptor
    except OSError as error:
        raise named(error, folder) from error


class Spool:
    """Octets that are written once, and read any number of times.

    Args:
        folder: where a file is made if there are many; None: where temporary files belong.
        in_memory: so many octets stay in memory; None: 1 MiB.
    """

    __slots__ = ("_chunks", "_file", "_folder", "_in_memory", "octets")

    def __init__(self, folder: Path | None = None, *, in_memory: int | None = None) -> None:
        self._folder = folder
        self._in_memory = _IN_MEMORY if in_memory is None else in_memory
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self.octets: int = 0
        """How many there are."""

    @staticmethod
    def default_folder() -> Path:
        """Return where temporary files belong."""
        return Path(tempfile.gettempdir())

    def write(self, octets: bytes) -> None:
        """Add octets.

        Raises:
            OSError: they cannot be written; the error names the folder.
        """
        self.octets += len(octets)
        if self.octets <= self._in_memory:
            self._chunks.append(octets)
            return
        folder = self._folder or self.default_folder()
        if self._file is None:
            self._file = unnamed_file(folder)
            octets = b"".join((*self._chunks, octets))
            self._chunks.clear()
        try:
            rest = memoryview(octets)
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError as error:
            raise named(error, folder) from error

    def pieces(self) -> Generator[bytes]:
        """Yield the octets, from the start, in pieces of bounded size.

        Raises:
            OSError: they cannot be read; the error names the folder.
        """
        yield from self._chunks
        position = 0
        while self._file is not None and position < self.octets:
            try:
                self._file.seek(position)
                piece = self._file.read(_CHUNK)
            except OSError as error:
                raise named(error, self._folder or self.default_folder()) from error
            if not piece:
                words = "a temporary file has become shorter"
                raise OSError(errno.EIO, words, str(self._folder or self.default_folder()))
            position += len(piece)
            yield piece

    def open(self) -> BinaryIO:
        """Return a file for reading, which begins at the first octet. Have one at a time; close it.

        Raises:
            OSError: it cannot be opened.
        """
        if self._file is None:
            return BytesIO(b"".join(self._chunks))
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        return open(os.dup(self._file.fileno()), "rb")  # noqa: PTH123 - a descriptor

    def close(self) -> None:
        """Forget the octets. It may be called again, and does not raise."""
        self._chunks.clear()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
