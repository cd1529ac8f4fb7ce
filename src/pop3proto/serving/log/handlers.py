"""Where the lines of a log go: a file, syslog, the journal of systemd. None of them stops a session.

A line that cannot be written is counted, and the next one that can be is preceded by the number of those that are lost.
"""

from __future__ import annotations

import errno
import logging
import logging.handlers
import os
import socket
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from .fields import fields_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["JOURNAL", "SYSLOG", "FileLines", "JournalLines", "LineHandler", "SyslogLines"]

# A FIFO, if that is what is there, is neither waited for when it is opened nor when it is written to.
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MODE: Final = 0o640
_DATAGRAM: Final = 8_192  # octets that syslog takes at least
SYSLOG: Final = Path("/dev/log")
JOURNAL: Final = Path("/run/systemd/journal/socket")
_NAME: Final = "pop3proto"


class LineHandler(logging.Handler):
    """Writes lines, and loses them where that is not possible.

    Attributes:
        lost: number of lines that were lost since the last one that was written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost: int = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.lost:
                lost, words = self.lost, "%d lines of the log could not be written"
                self._write(logging.LogRecord(_NAME, logging.ERROR, __file__, 0, words, (lost,), None))
                self.lost = 0
            self._write(record)
        except Exception:  # noqa: BLE001 - whatever it is, the session goes on
            self.lost += 1

    def reopen(self) -> None:
        """Open it again, after a rotation.

        Raises:
            OSError: it cannot be opened; the old one is used as long as that is possible.
        """

    @abstractmethod
    def _write(self, record: logging.LogRecord) -> None:
        """Write a line.

        Raises:
            OSError: it was not written.
        """


class FileLines(LineHandler):
    """Appends to a file, which is opened again if another program has moved or removed it.

    Args:
        path: the file.
        complain: is told once if it cannot be opened again.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, complain: Callable[[str], object] = lambda _: None) -> None:
        self._path: Final = path
        self._complain: Final = complain
        self._told = False  # that it cannot be opened again
        self._torn = False  # the last line was written in part
        self._descriptor = _opened(path)
        super().__init__()  # last: `logging` closes what it has seen

    @override
    def reopen(self) -> None:
        """Open the file of this name.

        Raises:
            OSError: it cannot be opened; the old one is used on.
        """
        descriptor = _opened(self._path)
        self.acquire()
        try:
            os.close(self._descriptor)
            self._descriptor = descriptor
            self._torn = self._told = False
        finally:
            self.release()

    @override
    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            os.close(self._descriptor)
        super().close()

    @override
    def _write(self, record: logging.LogRecord) -> None:
        if self._is_moved():
            try:
                self.reopen()
            except OSError as error:  # the old one is better than none
                if not self._told:
                    self._told = True
                    self._complain(f"cannot open the log {error.filename} again: {error.strerror}")
        if not os.fstat(self._descriptor).st_nlink:
            raise OSError(
                errno.ENOENT, os.strerror(errno.ENOENT), str(self._path)
            )  # it was removed: what is written there is gone
        octets = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        if self._torn:
            octets = b"\n" + octets
        written = os.write(self._descriptor, octets)
        self._torn = written < len(octets)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _is_moved(self) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(self._descriptor)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def _opened(path: Path) -> int:
    """Open a file; make it if there is none. What root makes belongs to the owner of the folder, as the server is that.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, _FLAGS | os.O_EXCL, _MODE)
    except FileExistsError:
        return os.open(path, _FLAGS, _MODE)
    if os.geteuid() == 0:
        around = path.parent.stat()
        with suppress(PermissionError):
            os.fchown(descriptor, around.st_uid, around.st_gid)
    return descriptor


class _DatagramLines(LineHandler):
    """Sends each line as a datagram.

    Args:
        path: the socket that takes them.

    Raises:
        OSError: there is no such socket.
    """

    def __init__(self, path: Path) -> None:
        self._datagrams: Final = _Datagrams(path)  # before `logging` knows the handler, which it closes at the end
        super().__init__()

    @override
    def close(self) -> None:
        """Close the socket."""
        self._datagrams.close()
        super().close()


class SyslogLines(_DatagramLines):
    """Sends to the system's log (RFC 3164, as the socket of the C library takes it).

    Args:
        facility: its name, "mail" for example.
        path: the socket.

    Raises:
        OSError: there is no such socket.
        ValueError: there is no such facility.
    """

    def __init__(self, facility: str, path: Path = SYSLOG) -> None:
        names = logging.handlers.SysLogHandler.facility_names
        if facility not in names:
            raise ValueError(f"there is no facility {facility!r}")
        self._facility: Final = names[facility]
        super().__init__(path)

    @override
    def _write(self, record: logging.LogRecord) -> None:
        priority = self._facility * 8 + _severity(record)
        head = f"<{priority}>{strftime('%b %e %H:%M:%S')} {_NAME}[{os.getpid()}]: "
        self._datagrams.send((head + self.format(record)).encode("utf-8", "backslashreplace")[:_DATAGRAM])


class JournalLines(_DatagramLines):
    """Sends to the journal of systemd, by its own protocol: each field of a line is one of the journal.

    Args:
        path: the socket.

    Raises:
        OSError: there is no such socket.
    """

    def __init__(self, path: Path = JOURNAL) -> None:
        super().__init__(path)

    @override
    def _write(self, record: logging.LogRecord) -> None:
        fields = {
            "MESSAGE": text_of(record),
            "PRIORITY": _severity(record),
            "SYSLOG_IDENTIFIER": _NAME,
            **{f"POP3_{name.upper()}": value for name, value in fields_of(record).items() if value is not None},
        }
        octets = bytearray()
        for name, value in fields.items():  # a value with its length may hold line ends
            data = str(value).encode("utf-8", "backslashreplace")
            octets += name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
        self._datagrams.send(bytes(octets))


class _Datagrams:
    """A socket of datagrams; it connects again when the program at the other end was started anew.

    Args:
        path: where that listens.

    Raises:
        OSError: there is no such socket.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._connection = _connected(path)

    def send(self, octets: bytes) -> None:
        """Send one.

        Raises:
            OSError: it was not sent.
        """
        try:
            self._connection.send(octets)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE}:
                raise
            self._connection.close()
            self._connection = _connected(self._path)
            self._connection.send(octets)

    def close(self) -> None:
        """Send nothing more."""
        self._connection.close()


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        connection.settimeout(0)  # a log that does not read must not stop a session
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise OSError(error.errno, error.strerror, str(path)) from error
    return connection


def _severity(record: logging.LogRecord) -> int:
    """Return the severity of RFC 5424 section 6.2.1."""
    for level, severity in ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)):
        if record.levelno >= level:
            return severity
    return 7
