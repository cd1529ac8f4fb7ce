"""Where the lines of a log go: standard error, a file, syslog, the journal of systemd. None of them stops a session.

A line that cannot be written is counted, and the next one that can be is preceded by the number of those that are lost.
"""

from __future__ import annotations

import errno
import logging
import logging.handlers
import os
import socket
import sys
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from time import strftime
from typing import Final

from typing_extensions import override

from .fields import fields_of, text_of

__all__ = ["JOURNAL", "SYSLOG", "FileLines", "JournalLines", "LineHandler", "StderrLines", "SyslogLines"]

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
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


class StderrLines(LineHandler):
    """Writes to standard error."""

    @override
    def _write(self, record: logging.LogRecord) -> None:
        with suppress(ValueError):  # it was closed
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()


class FileLines(LineHandler):
    """Appends to a file, which is opened again if another program has moved or removed it.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path: Final = path
        self._torn = False  # the last line was written in part
        self._descriptor = os.open(path, _FLAGS, _MODE)

    @override
    def reopen(self) -> None:
        """Open the file of this name.

        Raises:
            OSError: it cannot be opened; the old one is used on.
        """
        descriptor = os.open(self._path, _FLAGS, _MODE)
        self.acquire()
        try:
            os.close(self._descriptor)
            self._descriptor = descriptor
            self._torn = False
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
            with suppress(OSError):  # the old one is better than none
                self.reopen()
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


class SyslogLines(LineHandler):
    """Sends to the system's log (RFC 3164, as the socket of the C library takes it).

    Args:
        facility: its name, "mail" for example.
        path: the socket.

    Raises:
        OSError: there is no such socket.
        ValueError: there is no such facility.
    """

    def __init__(self, facility: str, path: Path = SYSLOG) -> None:
        super().__init__()
        names = logging.handlers.SysLogHandler.facility_names
        if facility not in names:
            raise ValueError(f"there is no facility {facility!r}")
        self._facility: Final = names[facility]
        self._datagrams: Final = _Datagrams(path)

    @override
    def close(self) -> None:
        """Close the socket."""
        self._datagrams.close()
        super().close()

    @override
    def _write(self, record: logging.LogRecord) -> None:
        priority = self._facility * 8 + _severity(record)
        head = f"<{priority}>{strftime('%b %e %H:%M:%S')} {_NAME}[{os.getpid()}]: "
        self._datagrams.send((head + self.format(record)).encode("utf-8", "backslashreplace")[:_DATAGRAM])


class JournalLines(LineHandler):
    """Sends to the journal of systemd, by its own protocol: each field of a line is one of the journal.

    Args:
        path: the socket.

    Raises:
        OSError: there is no such socket.
    """

    def __init__(self, path: Path = JOURNAL) -> None:
        super().__init__()
        self._datagrams: Final = _Datagrams(path)

    @override
    def close(self) -> None:
        """Close the socket."""
        self._datagrams.close()
        super().close()

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
