"""A readable transcript of a session: an observer, so secrets are masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.commands import Command, Retr, Top
from pop3proto.core.events import (
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BodyChunk,
    BodyEnd,
    ClientEvent,
    ConnectionClosed,
    Farewell,
    Tolerated,
)
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.core.text import counted, visible
from pop3proto.procedures.observer import ClientObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.client import Request
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["Transcript"]

_WIDTH: Final = 72


class Transcript(ClientObserver):
    """Client observer that writes the dialogue: one line for each line on the wire, but only the first lines of a body.

    Args:
        write: called with each line, without a line end.
        message_lines: number of lines of a message to show.
        listing_lines: number of lines of any other body to show.
    """

    def __init__(self, write: Callable[[str], None], *, message_lines: int, listing_lines: int) -> None:
        self._write = write
        self._message_lines = message_lines
        self._listing_lines = listing_lines
        self._body = _Excerpt(0)

    @override
    def said(self, session: SessionInfo, item: Request, /) -> None:
        match item:
            case Command():
                self._say("C", str(item))
            case AuthResponse():
                self._say("C", "***")
            case AuthCancel():
                self._say("C", "*")

    @override
    def heard(self, session: SessionInfo, event: ClientEvent, /) -> None:
        match event:
            case Answer(command, reply):
                message = isinstance(command, Retr | Top)
                self._body = _Excerpt(self._message_lines if message else self._listing_lines)
                self._say("S", _line(reply))
            case Greeting(reply) | Farewell(reply):
                self._say("S", _line(reply))
            case Challenge() | BadChallenge():
                self._say("S", "+ ***")
            case BodyChunk(octets):
                self._body.feed(octets)
            case BodyEnd():
                for line in (*self._body.shown(), "."):
                    self._say("S", line)
            case ConnectionClosed() | Tolerated():
                pass

    @override
    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        pass

    def _say(self, who: str, text: str) -> None:
        self._write(f"{who}: {cut(visible(text), _WIDTH)}")


def _line(reply: Ok | Err) -> str:
    return reply.encode().decode("utf-8", "surrogateescape").removesuffix("\r\n")


class _Excerpt:
    """Collects the first lines of a body from chunks, in constant memory."""

    def __init__(self, lines: int) -> None:
        self._most = lines * _WIDTH
        self._lines = lines
        self._start = b""
        self._octets = 0

    def feed(self, octets: bytes) -> None:
        """Take the next chunk, after dot-unstuffing."""
        self._octets += len(octets)
        self._start += octets[: max(self._most - len(self._start), 0)]

    def shown(self) -> list[str]:
        """Return the lines as on the wire, with dots stuffed; a last line gives the total size if more follow."""
        *lines, rest = self._start.split(b"\r\n")
        if rest and len(lines) < self._lines:  # the start of a long line
            lines.append(rest)
        lines = lines[: self._lines]
        shown = [self._stuffed(line).decode("utf-8", "surrogateescape") for line in lines]
        if self._octets > sum(len(line) + 2 for line in lines):
            shown.append(f"... ({counted(self._octets, 'octet')} in all)")
        return shown

    @staticmethod
    def _stuffed(line: bytes) -> bytes:
        return b"." + line if line.startswith(b".") else line


def cut(text: str, width: int) -> str:
    """Return a text shortened to at most `width` characters, with "..." in place of the rest."""
    return text if len(text) <= width else f"{text[: width - 3]}..."
