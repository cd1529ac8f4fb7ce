"""An mbox file: opened and locked, searched for entries of a fetch, repaired after a crash, appended to."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.new_files import named
from pop3proto.fetching.destination import Found

from .dotlock import PAUSE, dotlock, in_use
from .mbox_format import EntryReader

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

__all__ = ["STUB", "MboxFile", "why_not_mbox"]

STUB: Final = "H"
"""The letter before the mark of a message of which there is only the header."""

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
_PRIVATE: Final = 0o600
_CHUNK: Final = 1 << 20
_LONGEST_LINE: Final = 1 << 12
_FROM: Final = b"From "
_OURS: Final = b"From pop3proto-"
_FROM_LINE: Final = re.compile(rb"\n(From [^\n]*)(?=\n)")
_ENTRY: Final = re.compile(rb"From pop3proto-([UH])([0-9a-f]{32})-([0-9]{1,18})-([A-Za-z0-9_-]{16}) [^\n]*")


@attrs.frozen
class _Line:
    """A line that begins with "From ": its offset and its content. `is_whole`: its line end is there."""

    offset: int
    content: bytes
    is_whole: bool = True

    @property
    def end(self) -> int:
        return self.offset + len(self.content) + self.is_whole

    @property
    def facts(self) -> tuple[str, str, str, str]:
        """What the first line of an entry of a fetch says: kind, mark, octets, header; of others, nothing."""
        match = _ENTRY.fullmatch(self.content) if self.is_whole else None
        return (
            ("", "", "", "")
            if match is None
            else (match[1].decode(), match[2].decode(), match[3].decode(), match[4].decode())
        )

    @property
    def mark(self) -> str:
        return self.facts[1]


class MboxFile:
    """An mbox that is open and locked.

    Args:
        descriptor: of the file.
        path: of the file.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    @classmethod
    @contextmanager
    def locked(cls, path: Path, *, patience: float, create: bool) -> Generator[tuple[MboxFile, bool]]:
        """Open an mbox and lock it: by a lock file, and with `fcntl`.

        Args:
            path: the mbox; a symbolic link is resolved already.
            patience: seconds to wait while other programs have it locked.
            create: whether a file that does not exist is made.

        Returns:
            The file; and whether a lock was found whose holder was killed.

        Raises:
            FileNotFoundError: it does not exist.
            TimeoutError: another program has it locked.
            OSError: it cannot be opened or locked, or is no mbox.
        """
        until = time.monotonic() + patience
        with dotlock(path, until) as was_stale:
            descriptor = _open_locked(path, until, create=create)
            try:
                _check(descriptor, path)
                yield cls(descriptor, path), was_stale
            except OSError as error:
                raise error if error.filename else named(error, path) from error
            finally:
                os.close(descriptor)  # this releases the lock

    def find(self, marks: frozenset[str]) -> dict[str, Found]:
        """Return which of the messages are there and whole, by their marks, and sync the file if there are any.

        An entry with fewer octets than its first line says is not whole. But if its header is not what it was either,
        a mail program has changed it, and it counts.
        """
        found: dict[str, Found] = {}
        ours: _Line | None = None
        for line in (*self._from_lines(), None):
            if ours is not None:
                self._add(found, ours, None if line is None else line.offset)
            ours = line if line is not None and line.mark in marks else None
        if found:
            os.fsync(self._descriptor)  # a crash may have come before that
        return found

    def _add(self, found: dict[str, Found], line: _Line, end: int | None) -> None:
        if self._is_short(line, end):
            return
        kind, mark, octets, header = line.facts
        found[mark] = Found(None if kind == STUB else int(octets), header, kind == STUB)  # the latest one counts

    def cut_torn_entry(self) -> None:
        """Remove the last entry, if it was begun by a fetch and is not whole.

        It is called if there is a sign that a process was killed while it appended. An entry that a mail program has
        changed is left: it has another header then. So is one with anything behind it.
        """
        while (last := self._last_line()) is not None and self._is_torn(last):
            os.ftruncate(self._descriptor, last.offset)
            os.fsync(self._descriptor)
            if last.is_whole:
                return
            # What looked like the start of an entry may have been the end of the text of the one before it.

    def _last_line(self) -> _Line | None:
        last: _Line | None = None
        for line in self._from_lines():
            last = line
        return last

    def _is_torn(self, line: _Line) -> bool:
        if not line.is_whole:
            return line.content.startswith(_OURS) or _OURS.startswith(line.content)
        return bool(line.mark) and self._is_short(line, None)

    def _is_short(self, line: _Line, end: int | None) -> bool:
        """Return whether an entry of a fetch is not whole; `end` is where the next one begins, if there is one."""
        kind, _, octets, header = line.facts
        entry = EntryReader(is_stub=kind == STUB)
        position = line.end
        while data := os.pread(self._descriptor, _CHUNK if end is None else min(_CHUNK, end - position), position):
            position += len(data)
            entry.feed(data)
        entry.finish()
        return entry.octets < int(octets) and (not entry.header_ended or entry.header == header)

    def _from_lines(self) -> Generator[_Line]:
        """Yield each line that begins with "From ", and at the end of the file the start of one."""
        rest = b"\n"  # from the last line end on
        start = -1  # offset of it
        while data := os.pread(self._descriptor, _CHUNK, start + len(rest)):
            data = rest + data
            for match in _FROM_LINE.finditer(data):
                yield _Line(start + match.start(1), match[1])
            line_end = data.rfind(b"\n")
            in_long_line = line_end < 0 or len(data) - line_end > _LONGEST_LINE  # too long to be looked for
            rest = b"" if in_long_line else data[line_end:]
            start += len(data) - len(rest)
        last = rest[1:]
        if last and (last.startswith(_FROM) or _FROM.startswith(last)):
            yield _Line(start + 1, last, is_whole=False)

    def append(self, pieces: Iterable[bytes]) -> None:
        """Append entries, and sync the file. If that fails, the file is cut to what it was.

        Raises:
            OSError: nothing was appended; or, if it could not be cut either, some entries, of which the last is torn.
        """
        size = os.fstat(self._descriptor).st_size
        end = b"\n\n" if size == 0 else os.pread(self._descriptor, 2, max(0, size - 2))
        try:
            self._write(b"" if end == b"\n\n" else b"\n" if end.endswith(b"\n") else b"\n\n")
            for piece in pieces:
                self._write(piece)
            os.fsync(self._descriptor)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def why_not_mbox(descriptor: int) -> str:
    """Return why an open file is no mbox, in words; "": it is one, or empty."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_size and os.pread(descriptor, len(_FROM), 0) != _FROM:
        return 'it is not an mbox: it does not begin with "From "'
    return ""


def _check(descriptor: int, path: Path) -> None:
    if words := why_not_mbox(descriptor):
        raise OSError(errno.EINVAL, words, str(path))


def _open_locked(path: Path, until: float, *, create: bool) -> int:
    while True:
        descriptor = os.open(path, _FLAGS | os.O_CREAT if create else _FLAGS, _PRIVATE)
        try:
            _lock(descriptor, path, until)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116 - as all of the system calls here
                return descriptor
        except FileNotFoundError:  # another program has removed it, or put another in its place
            os.close(descriptor)
            if not create:
                raise
        except BaseException:
            os.close(descriptor)
            raise
        else:
            os.close(descriptor)


def _lock(descriptor: int, path: Path, until: float) -> None:
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EAGAIN}:
                raise named(error, path) from error
            if time.monotonic() >= until:
                raise in_use(path) from error
            time.sleep(PAUSE)
        else:
            return
