"""The file `maildirsize` of Maildir++, in which Dovecot, Courier, Exim and others keep count of a Maildir."""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.files import append, create, open_regular, share, write_all

from .rules import Quota, Usage

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["SIZE_FILE", "Size", "SizeFile", "header_of", "parse"]

SIZE_FILE: Final = "maildirsize"

LARGEST: Final = 5120
"""Octets from which on the file is written anew, by the rules of Maildir++."""

_RULE: Final = re.compile(rb"([0-9]{1,19})([SC])")
_DELTA: Final = re.compile(rb"\s*(-?[0-9]{1,19})\s+(-?[0-9]{1,10})\s*")


@attrs.frozen
class Size:
    """What the file says.

    Args:
        header: the limits that it was made for, normalised as `header_of` writes them; None: they cannot be read.
        usage: the sum of its lines; None: a line cannot be read, or the sum is negative.
        lines: how many lines are behind the header.
        octets: size of the file.
        changed: when it was changed last, in seconds.
        identity: its device and inode number.
    """

    header: bytes | None
    usage: Usage | None
    lines: int
    octets: int
    changed: float
    identity: tuple[int, int]


def header_of(quota: Quota) -> bytes:
    """Return the first line for a quota, without its end: `1000000S,500C`."""
    limits = [(quota.octets, b"S"), (quota.messages, b"C")]
    return b",".join(b"%d%b" % (limit, unit) for limit, unit in limits if limit is not None)


def parse(data: bytes) -> tuple[bytes | None, Usage | None, int]:
    """Return the header, the sum and the number of lines; see `Size`."""
    first, *lines = data.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    octets = messages = 0
    for line in lines:
        match = _DELTA.fullmatch(line)
        if match is None:
            return _normal(first), None, len(lines)
        octets += int(match[1])
        messages += int(match[2])
    usage = Usage(octets, messages) if octets >= 0 and messages >= 0 else None
    return _normal(first), usage, len(lines)


def _normal(header: bytes) -> bytes | None:
    """Return a header in our order, without limits of 0, which mean none; None: it is no header."""
    limits: dict[bytes, int] = {}
    for part in header.strip().split(b","):
        match = _RULE.fullmatch(part.strip())
        if match is None or match[2] in limits:
            return None
        limits[match[2]] = int(match[1])
    return b",".join(b"%d%b" % (limits[unit], unit) for unit in (b"S", b"C") if limits.get(unit))


class SizeFile:
    """The file of one Maildir.

    Args:
        maildir: the Maildir, not a folder in it.
    """

    def __init__(self, maildir: Path) -> None:
        self._maildir = maildir
        self.path: Final = maildir / SIZE_FILE

    def read(self) -> Size | None:
        """Return what it says; None if there is none that can be read.

        No more is read than a file has that follows the rules; a longer one is to be written anew anyway.
        """
        try:
            with open_regular(self.path) as file:
                status = os.fstat(file.fileno())
                header, usage, lines = parse(file.read(LARGEST + 1) or b"")
        except OSError:
            return None
        return Size(header, usage, lines, status.st_size, status.st_mtime, (status.st_dev, status.st_ino))

    def identity(self) -> tuple[int, int] | None:
        """Return device and inode number of the file now; None if there is none."""
        try:
            status = self.path.lstat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @contextmanager
    def held(self) -> Generator[tuple[int, int] | None]:
        """Return the identity of the file, which no other file gets until the end of the block; None: there is none."""
        with ExitStack() as stack:
            identity = None
            with suppress(OSError):
                file = stack.enter_context(open_regular(self.path))
                status = os.fstat(file.fileno())
                identity = status.st_dev, status.st_ino
            yield identity

    def append(self, delta: Usage) -> bool:
        """Add a line, in one write; return whether it is in the file that has the name now.

        Raises:
            OSError: there is no such file, or it cannot be written.
        """
        before = self.identity()
        append(self.path, b"%d %d\n" % (delta.octets, delta.messages), new=False)
        return before is not None and before == self.identity()

    def replace(self, quota: Quota, usage: Usage, expected: tuple[int, int] | None) -> bool:
        """Write the file anew, beside it and renamed. It is shared like the Maildir.

        Args:
            quota: the limits.
            usage: what was counted.
            expected: the identity of the file that may be replaced; None: there is none.

        Returns:
            Whether it was replaced: another program may have written its own meanwhile.

        Raises:
            OSError: it cannot be written.
        """
        name = f"{int(time.time())}.P{os.getpid()}R{secrets.token_hex(8)}.{SIZE_FILE}"
        temporary = self._maildir / "tmp" / name
        try:
            with create(temporary) as file:
                share(file.fileno(), self._maildir.stat(), readers=True)
                write_all(file, b"%b\n%d %d\n" % (header_of(quota), usage.octets, usage.messages))
                os.fsync(file.fileno())
            if self.identity() != expected:
                return False
            temporary.replace(self.path)
        finally:
            with suppress(OSError):
                temporary.unlink()
        return True
