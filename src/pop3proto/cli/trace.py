"""A readable transcript of the dialogue of a client connection.

It is made from commands and events, not from octets, so that secrets stay hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.client import ClientConnection, Request
from pop3proto.core.commands import Command, Retr, Top
from pop3proto.core.events import (
    Answer,
    AuthCancel,
    AuthResponse,
    BodyChunk,
    BodyEnd,
    ClientEvent,
    ConnectionClosed,
    Farewell,
    Signal,
)
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.core.text import counted
from pop3proto.fetching.failures import visible

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TracedConnection", "Transcript"]

_WIDTH: Final = 72


class TracedConnection(ClientConnection):
    """A client connection that reports what it sends and receives.

    Args:
        sent: called with each command or SASL response that is sent.
        heard: called with each event that is received.
        tls: whether the connection began with TLS.
    """

    def __init__(
        self, sent: Callable[[Request], None], heard: Callable[[ClientEvent], None], *, tls: bool = False
    ) -> None:
        super().__init__(tls=tls)
        self._sent = sent
        self._heard = heard

    @override
    def send(self, item: Request) -> bytes:
        octets = super().send(item)
        self._sent(item)
        return octets

    @override
    def next_event(self) -> ClientEvent | Signal:
        event = super().next_event()
        if not isinstance(event, Signal):
            self._heard(event)
        return event


class Transcript:
    """Writes the dialogue of a connection: one line for each line on the wire, but only the first lines of a body.

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

    def sent(self, item: Request) -> None:
        """Write what the client sends."""
        match item:
            case Command():
                self._say("C", str(item))
            case AuthResponse():
                self._say("C", "***")
            case AuthCancel():
                self._say("C", "*")

    def heard(self, event: ClientEvent) -> None:
        """Write what the server sends; a body is written when it is complete."""
        match event:
            case Answer(command, reply):
                message = isinstance(command, Retr | Top)
                self._body = _Excerpt(self._message_lines if message else self._listing_lines)
                self._say("S", _line(reply))
            case Greeting(reply) | Farewell(reply):
                self._say("S", _line(reply))
            case Challenge():
                self._say("S", "+ ***")
            case BodyChunk(octets):
                self._body.feed(octets)
            case BodyEnd():
                for line in (*self._body.shown(), "."):
                    self._say("S", line)
            case ConnectionClosed():
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
