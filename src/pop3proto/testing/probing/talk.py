"""A dialogue with a server, line by line, that takes what a strict client would refuse. A procedure: no I/O."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.core.replies import parse_reply
from pop3proto.core.text import decode_text, visible
from pop3proto.procedures.operations import Now, Read, Write

if TYPE_CHECKING:
    from pop3proto.core.replies import Err, Ok
    from pop3proto.procedures.operations import Procedure

__all__ = ["Body", "Budget", "Said", "Talk"]

_LONGEST_LINE: Final = 65_536  # octets
_LARGEST_BODY: Final = 33_554_432  # octets
_PAUSE: Final = 1.0
"""Seconds of silence after which a lone dot between two LFs, or octets that are no answer, count as the end."""


@attrs.frozen
class Budget:
    """How long to wait.

    Args:
        wait: seconds for one answer at most.
        until: when all must be done, on the clock of `Now`.
    """

    wait: float
    until: float

    def deadline(self, most: float | None = None) -> Procedure[float]:
        """Return until when to wait for what is asked now.

        Args:
            most: seconds; None: `wait`.
        """
        now = yield from Now()
        return min(now + (self.wait if most is None else most), self.until)


@attrs.frozen
class Said:
    """A line of the server.

    Args:
        octets: without its end.
        seconds: how long it took.
    """

    octets: bytes
    seconds: float = 0.0

    @property
    def reply(self) -> Ok | Err | None:
        """The status line that it is; None if it is none."""
        try:
            return parse_reply(self.octets)
        except Exception:  # noqa: BLE001 - a CR or NUL within it
            return None

    @property
    def positive(self) -> bool:
        """Whether it is `+OK`."""
        return self.octets[:3].upper() == b"+OK"

    @property
    def negative(self) -> bool:
        """Whether it is `-ERR`."""
        return self.octets[:4].upper() == b"-ERR"

    @property
    def text(self) -> str:
        """It, safe to print."""
        return visible(decode_text(self.octets))


@attrs.frozen
class Body:
    """A body as it came.

    Args:
        raw: with its dots stuffed, without the line that ended it.
        ended: how: "CRLF", as it must; "LF": between two LFs; "silence": it did not end; "closed": the connection did.
    """

    raw: bytes = attrs.field(repr=False)
    ended: str = "CRLF"

    @property
    def content(self) -> bytes:
        """Its octets without the stuffed dots."""
        return re.sub(rb"(?m)^\.", b"", self.raw)

    @property
    def unstuffed(self) -> int:
        """How many lines begin with a dot that was not stuffed."""
        return len(re.findall(rb"(?m)^\.(?!\.)", self.raw))

    @property
    def bare_lf(self) -> int:
        """How many lines end with LF alone."""
        return self.raw.count(b"\n") - self.raw.count(b"\r\n")


class Talk:
    """A dialogue over one connection.

    Args:
        budget: how long to wait.

    Attributes:
        lines: what was said, safe to print, "C: " or "S: " before each line.
        bare_lf: a status line has ended with LF alone.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget: Final = budget
        self.lines: Final[list[str]] = []
        self.bare_lf: bool = False
        self._buffer = b""

    @property
    def unread(self) -> bytes:
        """What has arrived and was not asked for."""
        return self._buffer

    def say(self, octets: bytes) -> Procedure[None]:
        """Send octets."""
        self.lines.extend(f"C: {visible(decode_text(line))}" for line in octets.splitlines()[:20])
        yield from Write(octets, (yield from self.budget.deadline()))

    def hear(self, most: float | None = None) -> Procedure[Said]:
        """Return the next line.

        Args:
            most: seconds to wait; None: as the budget says.

        Raises:
            TimedOut: none came.
            ConnectionLost: the server has hung up.
            RemoteProtocolError: the line does not end.
        """
        begun = yield from Now()
        until = yield from self.budget.deadline(most)
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise RemoteProtocolError(f"the server sent a line of more than {_LONGEST_LINE} octets")
            if not (yield from self._more(until)):
                raise ConnectionLost("the server has closed the connection")
        line, _, self._buffer = self._buffer.partition(b"\n")
        if not line.endswith(b"\r"):
            self.bare_lf = True
        said = Said(line.removesuffix(b"\r"), (yield from Now()) - begun)
        self.lines.append(f"S: {said.text}")
        return said

    def ask(self, command: str) -> Procedure[Said]:
        """Send a command and return the line that answers it."""
        yield from self.say(command.encode() + b"\r\n")
        return (yield from self.hear())

    def body(self) -> Procedure[Body]:
        """Return the body that follows; it counts as ended when the server falls silent.

        Raises:
            RemoteProtocolError: it is too large.
        """
        searched = 0
        self._buffer = b"\r\n" + self._buffer  # an empty body is a dot alone
        while (end := self._buffer.find(b"\r\n.\r\n", searched)) < 0:
            searched = max(len(self._buffer) - 4, 0)
            if len(self._buffer) > _LARGEST_BODY:
                raise RemoteProtocolError("the server sent a body of more than 32 MiB")
            loose = re.search(rb"\n\.\r?\n\Z", self._buffer)
            try:
                more = yield from self._more((yield from self.budget.deadline(_PAUSE if loose else None)))
            except TimedOut:
                return self._loose(loose, "silence")
            if not more:
                return self._loose(loose, "closed")
        raw, self._buffer = self._buffer[2 : end + 2], self._buffer[end + 5 :]
        self.lines.append(f"S: ... ({len(raw):,} octets)")
        return Body(raw)

    def _loose(self, match: re.Match[bytes] | None, otherwise: str) -> Body:
        raw, ended = (self._buffer[2:], otherwise) if match is None else (self._buffer[2 : match.start() + 1], "LF")
        self._buffer = b""
        self.lines.append(f"S: ... ({len(raw):,} octets)")
        return Body(raw, ended)

    def stray(self) -> Procedure[bytes]:
        """Return what has come although nothing was asked, after a pause; and forget it."""
        with contextlib.suppress(TimedOut):
            yield from self._more((yield from self.budget.deadline(_PAUSE / 10)))
        stray, self._buffer = self._buffer, b""
        return stray

    def _more(self, until: float) -> Procedure[bool]:
        octets = yield from Read(until)
        self._buffer += octets
        return bool(octets)
