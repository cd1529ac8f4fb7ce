"""What a client's connection says when the server breaks the protocol, hangs up, or is silent."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .connection import Connection
from .errors import ConnectionLost, RemoteProtocolError, UncertainUpdate
from .events import ConnectionClosed
from .replies import IMPLICIT_TLS, looks_like
from .states import State
from .text import excerpt

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .commands import Command
    from .dots import BodyDecoder
    from .limits import Limits, Quirk

__all__ = ["ClientErrors"]


class ClientErrors(Connection):
    """The commands whose answers are due, and the errors that name them. The base of `WholeAnswers`."""

    def __init__(self, limits: Limits, quirks: AbstractSet[Quirk], *, tls: bool) -> None:
        super().__init__(limits, quirks, tls=tls)
        self._outstanding: deque[Command[object]] = deque()
        self._body: BodyDecoder | None = None  # decodes the body that answers outstanding[0]
        self._body_ended = False  # its last octets are decoded; the end is the next event
        self._last_body: Command[object] | None = None  # the command whose body ended last

    @property
    def awaited(self) -> str:
        """What the server is to send next, and what it has sent of that: for the error when nothing comes."""
        waiting, start = self._buffer.peek()
        octets = waiting[start:]
        if self.state is State.GREETING:
            text = f"the greeting{looks_like(octets)}"
            if not octets:
                other = "HTTP is spoken" if self.tls else "TLS begins at once"
                remedy = "use another port" if self.tls else IMPLICIT_TLS
                text += f"; if {other} on this port, the server waits, too: {remedy}"
        elif self._outstanding:
            text = f"{'the rest of the body of' if self._body is not None else 'the answer to'} {self._outstanding[0]}"
        else:
            text = "the rest of a line"
        if self._body is None and octets:
            text += f"; it has sent {excerpt(octets)} without CRLF"
            if octets.endswith(b"\n"):
                text += " (the quirk bare_lf takes LF for it)"
        return text

    def _end_of_stream(self) -> ConnectionClosed:
        waiting, _ = self._buffer.peek()
        if self._body is not None:
            dot = ", after a dot without CRLF, which does not end a body" if self._body.held else ""
            raise self._lost(f"in the middle of the body of {self._outstanding[0]}{dot}")
        if self._outstanding:
            raise self._lost(f"before answering {self._outstanding[0]}")
        if self.state is State.GREETING:
            raise self._lost(f"before its greeting{looks_like(waiting)}")
        if len(self._buffer):
            raise self._lost("in the middle of a line")
        self._close()
        return ConnectionClosed()

    def _lost(self, when: str) -> ConnectionLost:
        message = f"the server closed the connection {when}"
        if any(command.on_receipt is State.UPDATE for command in self._outstanding) and self.state is State.TRANSACTION:
            message += "; deletions may or may not have happened"
            self._error = UncertainUpdate(message)
        else:
            self._error = ConnectionLost(message)
        self._close()
        return self._error

    def _broken(self, message: str) -> RemoteProtocolError:
        self._error = RemoteProtocolError(message)
        self._close()
        return self._error

    def _hint(self, line: bytes = b"") -> str:
        """Return a guess at why the stream is out of step, to be appended to an error message."""
        if self.state is State.GREETING:
            return looks_like(line)
        if self._last_body is not None:
            return f" (the body of {self._last_body} may have ended early: the server may not dot-stuff)"
        return ""

    def _context(self) -> str:
        if self._outstanding:
            return f"instead of an answer to {self._outstanding[0]}"
        return "instead of a greeting" if self.state is State.GREETING else "although no command was outstanding"
