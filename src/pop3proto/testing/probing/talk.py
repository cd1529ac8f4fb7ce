"""A dialogue with a server, line by line, that takes what a strict client would refuse. A procedure: no I/O."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import ConnectionLost, Pop3Error, RemoteProtocolError, TimedOut
from pop3proto.core.replies import parse_reply
from pop3proto.core.text import decode_text, visible
from pop3proto.procedures.operations import Now, Read, Write

if TYPE_CHECKING:
    from pop3proto.core.replies import Err, Ok
    from pop3proto.procedures.operations import Procedure

__all__ = ["Body", "Budget", "OutOfStep", "Said", "Talk"]

_LONGEST_LINE: Final = 65_536  # octets
_LARGEST_BODY: Final = 33_554_432  # octets
_END: Final = re.compile(rb"\r\n(\.\r\n)")
_LOOSE_END: Final = re.compile(rb"\n(\.\r?\n)")
_LOOSE_AT_END: Final = re.compile(rb"\n(\.\r?\n)\Z")
_STRAY: Final = 0.1
"""Seconds in which octets come that are no answer: most are in one piece with the answer before them."""
_PAUSE: Final = 1.0
"""Seconds of silence after which a lone dot between two LFs counts as the end of a body."""


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


class OutOfStep(Pop3Error):
    """The server's answers do not belong to the commands any more."""


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
        bare_lf: a status line has ended with LF alone.
        at: what is waited for: "the greeting", or a command; None: nothing was yet.
        since: when that began, on the clock of `Now`.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget: Final = budget
        self.bare_lf: bool = False
        self.at: str | None = None
        self.since: float = 0.0
        self._buffer = bytearray()

    @property
    def unread(self) -> bytes:
        """What has arrived and was not asked for."""
        return bytes(self._buffer)

    def cut_short(self, now: float) -> bool:
        """Return whether the time for all was up before that for one answer: then its lack is no fault."""
        return now >= self.budget.until and now - self.since < 0.9 * self.budget.wait

    def say(self, octets: bytes) -> Procedure[None]:
        """Send octets."""
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
        if self.at is None:
            self.at, self.since = "the greeting", begun
        until = yield from self.budget.deadline(most)
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise RemoteProtocolError(f"the server sent a line of more than {_LONGEST_LINE} octets")
            if not (yield from self._more(until)):
                raise ConnectionLost("the server has closed the connection")
        end = self._buffer.index(b"\n")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r"):
            self.bare_lf = True
        return Said(line.removesuffix(b"\r"), (yield from Now()) - begun)

    def ask(self, command: str) -> Procedure[Said]:
        """Send a command and return the line that answers it."""
        self.at, self.since = command, (yield from Now())
        yield from self.say(command.encode() + b"\r\n")
        return (yield from self.hear())

    def body(self) -> Procedure[Body]:
        """Return the body that follows; it counts as ended when the server falls silent.

        Where lines end with LF alone, a body ends at a line with a dot alone, whatever the line ends are.

        Raises:
            RemoteProtocolError: it is too large.
        """
        buffer, end, searched = self._buffer, _LOOSE_END if self.bare_lf else _END, 0
        buffer[:0] = b"\r\n"  # an empty body is a dot alone
        while (match := end.search(buffer, searched)) is None:
            searched = max(len(buffer) - 4, 0)
            if len(buffer) > _LARGEST_BODY:
                raise RemoteProtocolError("the server sent a body of more than 32 MiB")
            loose = _LOOSE_AT_END.search(buffer, searched)
            try:
                more = yield from self._more((yield from self.budget.deadline(_PAUSE if loose else None)))
            except TimedOut:
                more, otherwise = False, "silence"
            else:
                otherwise = "closed"
            if not more:
                if loose is None:
                    return self._taken(len(buffer), len(buffer), otherwise)
                match = loose
                break
        return self._taken(match.start(1), match.end(), "CRLF" if match[0] == b"\r\n.\r\n" else "LF")

    def _taken(self, end: int, behind: int, how: str) -> Body:
        """Take a body out of the buffer: what is before `end`; what is `behind` stays."""
        raw = bytes(self._buffer[2:end])
        del self._buffer[:behind]
        return Body(raw, how)

    def stray(self) -> Procedure[bytes]:
        """Return what has come although nothing was asked, after a pause; and forget it."""
        with contextlib.suppress(TimedOut):
            yield from self._more((yield from self.budget.deadline(_STRAY)))
        stray = bytes(self._buffer)
        self._buffer.clear()
        return stray

    def _more(self, until: float) -> Procedure[bool]:
        octets = yield from Read(until)
        self._buffer += octets
        return bool(octets)
