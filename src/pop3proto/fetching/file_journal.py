"""The journal of a fetch in a file."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from io import FileIO
from typing import TYPE_CHECKING, Final, Self

from pop3proto._io.files import lock, sync_folder, unlock, write_all
from pop3proto.core.errors import Pop3Error

from .history import History
from .journal_lines import check_account, format_line, is_line, parse_lines
from .policy import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path
    from types import TracebackType

    from .events import Event

__all__ = ["FileJournal", "JournalInUse", "last_session", "read_journal"]

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # opening a pipe would block
_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PRIVATE: Final = 0o600

_GONE_FOR: Final = 90 * DAY
"""Compaction forgets messages that have been gone from the server for longer than this."""
_MANY_LINES: Final = 1_000
"""`close` looks whether compaction is worth it when another so many lines have been added."""
_HALF_A_LINE: Final = b"\t\n"
"""Ends a line that is incomplete. No line with a tab is read, so that half of it cannot be taken for a shorter one."""


class JournalInUse(Pop3Error):
    """Another fetch, or another program, is using the journal.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"another fetch is running with the journal {path}; wait for it to end, or stop it")
        self.path = path


def read_journal(path: Path, account: str) -> list[Event]:
    """Return the events of an account, oldest first, also while a fetch is running.

    Raises:
        OSError: the file cannot be read; the error names it.
    """
    with _naming(path), _open(path, _READ) as file:
        return _events(account, file)


def last_session(path: Path) -> float | None:
    """Return when the last session that a journal tells of has ended, in seconds since 1970; None: it tells of none.

    Args:
        path: of the file, in which something is recorded; one that cannot be looked at tells of none.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime if status.st_size else None


class FileJournal:
    """The journal of one account in a file, which other accounts may share.

        with FileJournal(path, account.key) as journal:
            ...

    The file has a line for each event, as `format_line` makes it, and is locked while it is open. Lines of other
    accounts, and lines that cannot be read, are left alone. An incomplete line at the end was left by a crash, and is
    dropped.

    What `append` has recorded survives a crash at any moment, also during compaction.

    Args:
        path: of the file; it is made if it does not exist, for its owner alone.
        account: a name of the account that is the same in each run; one word of printable ASCII.
        clock: returns the time in seconds since 1970.

    Attributes:
        account: as given.
        path: as given.
        unreadable: how many lines could not be read, so that what they tell is not known; `read` counts them.

    Raises:
        ValueError: the account is not one word.
        JournalInUse: another fetch uses the file.
        OSError: the file cannot be opened, locked or changed; the error names it. Every method may raise it.
    """

    def __init__(self, path: Path, account: str, *, clock: Callable[[], float] = time.time) -> None:
        check_account(account)
        self.account = account
        self.path = path
        self.unreadable: int = 0
        self._clock = clock
        self._incomplete = False  # half a line may be at the end
        self._name_is_synced = False
        with _naming(path):
            self._file = _open_locked(path)
            try:
                data = _whole_lines(self._file)
                if len(data) < os.fstat(self._file.fileno()).st_size:
                    os.ftruncate(self._file.fileno(), len(data))
                self._sync_name()
            except BaseException:
                self._release()
                raise
        self._lines = self._found = data.count(f"{account} ".encode("ascii"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._release()

    def read(self) -> list[Event]:
        """Return all events of the account, oldest first."""
        with _naming(self.path):
            events, others = parse_lines(self.account, _whole_lines(self._file))
        self.unreadable = sum(not is_line(line) for line in others if not line.endswith(_HALF_A_LINE[:1]))
        return events

    def append(self, events: Sequence[Event], /) -> None:
        """Add events: one write and one sync, however many they are.

        Raises:
            ValueError: a unique id is empty. Nothing is recorded.
            OSError: they are not recorded. Only if the file cannot even be cut back to its size before, some may be.
        """
        lines = [format_line(self.account, event) + "\n" for event in events]
        if not lines:
            return
        with _naming(self.path):
            self._check_name()
            self._sync_name()
            self._write("".join(lines).encode("ascii"))
        self._lines += len(lines)

    def note_session(self) -> None:
        """Note that a session has ended now, in the time of the file's last change, for `last_session`."""
        with suppress(OSError):
            os.utime(self._file.fileno(), (now := self._clock(), now))

    def compact(self, now: float) -> int:
        """Write the file anew with the fewest lines that tell the same; return how many lines of the account are gone.

        Messages that have been gone from the server for 90 days are forgotten. At each moment the file is the old one
        or the new one, and locked.

        Args:
            now: seconds since 1970.

        Raises:
            OSError: nothing has changed; or it is unknown whether the new file will be there after a power cut. The
                journal can still be used.
        """
        return self._compact(now, least=0)

    def close(self) -> None:
        """Close the file and release the lock; before that, compact the file if more than half of it would go.

        It looks for that each time that there are a thousand lines more, but not if most of them are new. A compaction
        that does not work changes nothing, and is not an error.
        """
        if self._file.closed:
            return
        try:
            if self._found // _MANY_LINES < self._lines // _MANY_LINES and self._lines < 2 * self._found:
                with suppress(OSError):
                    self._compact(self._clock(), least=0.5)
        finally:
            self._release()

    def _compact(self, now: float, *, least: float) -> int:
        """Write the file anew if more than this part of the account's lines would go; return how many are gone."""
        with _naming(self.path):
            self._check_name()
            data = _whole_lines(self._file)
            events, others = parse_lines(self.account, data)
            before = data.count(b"\n") - len(others)
            kept = History(events).compacted(forget_before=now - _GONE_FOR)
            ours = (format_line(self.account, event).encode("ascii") for event in kept)
            if before - len(kept) <= least * before:
                return 0
            self._replace(b"".join(line + b"\n" for line in (*others, *ours)))
            self._sync_name()
        self._lines = len(kept)
        return before - len(kept)

    def _write(self, data: bytes) -> None:
        """Add whole lines at the end, and sync; or leave the file as it was."""
        before = os.fstat(self._file.fileno()).st_size
        was_incomplete, self._incomplete = self._incomplete, True
        try:
            write_all(self._file, _HALF_A_LINE + data if was_incomplete else data)
            os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), before)
                self._incomplete = was_incomplete
            raise
        self._incomplete = False

    def _replace(self, data: bytes) -> None:
        """Replace the file by one that is on the disk, and locked before it has the name."""
        beside = self.path.with_name(f"{self.path.name}.new")
        beside.unlink(missing_ok=True)  # a crash left it
        new = _open(beside, _APPEND | os.O_EXCL)
        replaced = False
        try:
            _copy_owner_and_mode(self._file, new)
            write_all(new, data)
            os.fsync(new.fileno())
            lock(new.fileno(), beside, wait=False)
            beside.replace(self.path)
            replaced = True
        finally:
            done_with = new
            try:
                if replaced or _has_name(new, self.path):  # an interruption may come right after the system call
                    done_with, self._file = self._file, new
                    self._name_is_synced = self._incomplete = False
                else:
                    with suppress(OSError):
                        beside.unlink()
            finally:
                done_with.close()

    def _check_name(self) -> None:
        """Make sure that what is written will be found.

        Raises:
            OSError: it will not: the file was replaced or removed by another program, in spite of the lock.
        """
        if not _has_name(self._file, self.path):
            raise OSError(errno.ESTALE, "the journal was removed or replaced while the fetch was running")

    def _sync_name(self) -> None:
        if not self._name_is_synced:
            sync_folder(self.path.parent)
            self._name_is_synced = True

    def _release(self) -> None:
        try:
            with suppress(OSError):
                unlock(self._file.fileno())
        finally:
            self._file.close()


@contextmanager
def _naming(path: Path) -> Generator[None]:
    """Let every error of the system name a path."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _open(path: Path, flags: int) -> FileIO:
    try:
        mode = "r" if flags == _READ else "r+"
        file = FileIO(path, mode, opener=lambda name, _: os.open(name, flags, _PRIVATE))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "it is a symbolic link, which is not followed", str(path)) from error
        raise
    try:
        is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    if not is_regular:
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def _open_locked(path: Path) -> FileIO:
    """Open a file and lock it; again, if another process has replaced it between the two."""
    while True:
        file = _open(path, _APPEND)
        try:
            lock(file.fileno(), path, wait=False)
            if _has_name(file, path):
                return file
        except BlockingIOError:
            file.close()
            raise JournalInUse(path) from None
        except BaseException:
            file.close()
            raise
        file.close()


def _has_name(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _whole_lines(file: FileIO) -> bytes:
    file.seek(0)
    data = file.readall()
    return data[: data.rfind(b"\n") + 1]


def _events(account: str, file: FileIO) -> list[Event]:
    events, _ = parse_lines(account, _whole_lines(file))
    return events


def _copy_owner_and_mode(old: FileIO, new: FileIO) -> None:
    status, now = os.fstat(old.fileno()), os.fstat(new.fileno())
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(new.fileno(), status.st_uid, status.st_gid)
    os.fchmod(new.fileno(), stat.S_IMODE(status.st_mode))
