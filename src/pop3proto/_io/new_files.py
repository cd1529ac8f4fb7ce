"""Files that appear complete or not at all, many of them with few system calls."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from .files import NO_SYNC

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["NewFile", "OpenFolder", "named", "publish"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_PRIVATE: Final = 0o600
_EARLY: Final = 1 << 23
"""Octets after which the system begins to write to the disk: the sync at the end of a large file then waits less."""
_close: Final = os.close  # for finalizers, which may run when little else is left of the interpreter


def named(error: OSError, path: str | Path) -> OSError:
    """Return an error of a system call, with the path of the file that it is about."""
    return OSError(error.errno, error.strerror or str(error), str(path))


class OpenFolder:
    """An open folder, so that files in it are reached without its path. It is closed when nothing refers to it.

    Args:
        path: the folder.

    Raises:
        OSError: it cannot be opened.
    """

    __slots__ = ("__weakref__", "close", "descriptor", "path")

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.descriptor: Final = os.open(path, _FOLDER)
        self.close: Final = weakref.finalize(self, _close, self.descriptor)
        """Close it; it may be called again."""

    def sync(self) -> None:
        """Wait until the names in the folder are on the disk, where the file system can do that.

        Raises:
            OSError: they may not be on the disk.
        """
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise named(error, self.path) from error


class NewFile:
    """A file that is written under a temporary name, until `publish` gives it its name.

    Args:
        folder: where it is written.
        name: its temporary name.

    Raises:
        OSError: it cannot be created, or there is something of that name.
    """

    __slots__ = ("_descriptor", "_started", "folder", "name", "size")

    def __init__(self, folder: OpenFolder, name: str) -> None:
        self.folder: Final = folder
        self.name: Final = name
        self.size: int = 0
        """Octets written so far."""
        self._started = 0  # the system was told to write these octets to the disk
        self._descriptor = -1
        try:
            self._descriptor = os.open(name, _CREATE, _PRIVATE, dir_fd=folder.descriptor)
        except OSError as error:
            raise named(error, self.path) from error

    @property
    def path(self) -> Path:
        """The path under its temporary name."""
        return self.folder.path / self.name

    @property
    def is_open(self) -> bool:
        """Whether it can be written."""
        return self._descriptor >= 0

    def write(self, data: bytes) -> None:
        """Write all of the data.

        Raises:
            OSError: not all of it was written; the disk may be full.
        """
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, memoryview(data)[written:])
        except OSError as error:
            raise named(error, self.path) from error
        self.size += written
        if self.size - self._started >= _EARLY:
            self.start_writing()

    def replace_content(self, old: bytes, new: bytes, chunk: int) -> None:
        """Write the file once more, with other octets in place of some.

        Args:
            old: one octet.
            new: what stands in its place.
            chunk: most octets that are read at once.

        Raises:
            OSError: it cannot be read or written.
        """
        before = self._descriptor
        try:
            os.unlink(self.name, dir_fd=self.folder.descriptor)  # it is open, so it can still be read
            self._descriptor = os.open(self.name, _CREATE, _PRIVATE, dir_fd=self.folder.descriptor)
            self.size = self._started = position = 0
            while data := os.pread(before, chunk, position):
                position += len(data)
                self.write(data.replace(old, new))
        except OSError as error:
            raise error if error.filename == str(self.path) else named(error, self.path) from error
        finally:
            if before != self._descriptor:
                os.close(before)

    def start_writing(self) -> None:
        """Let the system begin to write to the disk what is new, and do not wait."""
        if hasattr(os, "posix_fadvise"):  # on Linux this advice has that effect
            with suppress(OSError):
                os.posix_fadvise(self._descriptor, self._started, 0, os.POSIX_FADV_DONTNEED)
        self._started = self.size

    def sync(self) -> None:
        """Wait until the file is on the disk, and close it.

        Raises:
            OSError: it may not be on the disk.
        """
        try:
            os.fsync(self._descriptor)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
        except OSError as error:
            raise named(error, self.path) from error

    def rename(self, folder: OpenFolder, name: str) -> None:
        """Give the file its name.

        Raises:
            OSError: it may have its name, or not.
        """
        try:
            os.rename(self.name, name, src_dir_fd=self.folder.descriptor, dst_dir_fd=folder.descriptor)
        except OSError as error:
            raise named(error, folder.path / name) from error

    def discard(self) -> None:
        """Close the file, and remove it if it still has its temporary name. It may be called again; it never raises."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)
        with suppress(OSError):
            os.unlink(self.name, dir_fd=self.folder.descriptor)


def publish(files: Sequence[NewFile], folder: OpenFolder, names: Sequence[str]) -> None:
    """Sync files to the disk, give them their names, and sync the folder once.

    Args:
        files: complete files.
        folder: where they get their names.
        names: for each file its name; no other file has it.

    Raises:
        OSError: some may have their names, or all, and some not.
    """
    if len(files) > 1:
        # One transaction of the file system can then hold all of them, where the syncs alone would make one for each.
        for file in files:
            file.start_writing()
    for file in files:
        file.sync()
    for file, name in zip(files, names, strict=True):
        file.rename(folder, name)
    if files:
        folder.sync()
