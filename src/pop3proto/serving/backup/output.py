"""The file that a backup is written into: it has its name when it is complete."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from pop3proto._io.files import lock, sync_folder
from pop3proto._io.new_files import named

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from typing_extensions import Buffer

__all__ = ["Output", "appearing"]

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600


class Output:
    """The file of the backup, whose failures are told from those of maildrops."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failed: bool = False

    def write(self, octets: Buffer) -> int:
        """Write octets.

        Raises:
            OSError: that was not possible, and `failed` is set.
        """
        try:
            return self._file.write(octets)
        except OSError:
            self.failed = True
            raise

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def cut(self, position: int) -> None:
        """Forget what was written from a position on."""
        self._file.seek(position)
        self._file.truncate()


@contextmanager
def appearing(file: Path) -> Generator[BinaryIO]:
    """Open a file beside its place; it gets its name when the block has ended well."""
    beside = file.with_name(f".{file.name}.part")
    output = _locked(beside)
    try:
        try:
            with output:
                output.truncate()
                yield output
                output.flush()
                os.fsync(output.fileno())
                beside.replace(file)
        except OSError as error:
            raise error if error.filename is not None else named(error, beside) from error
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(file.parent)


def _locked(path: Path) -> BinaryIO:
    """Open a file and lock it until it is closed; the lock counts only while the file has its name.

    Raises:
        BlockingIOError: another process writes into it.
        OSError: it cannot be opened.
    """
    while True:
        file = open(os.open(path, _FLAGS, _PRIVATE), "r+b")  # noqa: PTH123, SIM115 - the caller closes it
        try:
            lock(file.fileno(), path, wait=False)
            if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                return file
        except FileNotFoundError:  # the other process has just finished
            pass
        except BaseException:
            file.close()
            raise
        file.close()
