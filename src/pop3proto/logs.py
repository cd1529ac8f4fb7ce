"""An observer that writes what happens in the sessions of a server to a logger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from .core.commands import Command
from .core.events import AuthCancel, AuthResponse, BadCommand, BodyChunk, BodyEnd, ServerEvent
from .core.replies import Challenge, Err, Greeting, Ok

if TYPE_CHECKING:
    from .core.server import Response
    from .sasl.channel import SessionInfo

__all__ = ["LogObserver"]


class LogObserver:
    """Writes a line for each thing that a client or the server says, without secrets and without messages.

    What a client sends is escaped, so that it cannot write lines of its own.

    Args:
        logger: where to; None is "pop3proto.sessions".
        level: how important it is.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.DEBUG) -> None:
        self._logger: Final = logger or logging.getLogger("pop3proto.sessions")
        self._level: Final = level

    def heard(self, session: SessionInfo, event: ServerEvent, /) -> None:
        """Write what the client sent."""
        match event:
            case Command():
                self._write(session, "C", str(event))
            case AuthResponse():
                self._write(session, "C", "***")
            case AuthCancel():
                self._write(session, "C", "*")
            case BadCommand():
                self._write(session, "C", f"({event.reason})")
            case _:
                pass

    def said(self, session: SessionInfo, response: Response, /) -> None:
        """Write what is answered."""
        match response:
            case Ok() | Err():
                self._write(session, "S", _line(response))
            case Greeting():
                self._write(session, "S", _line(response.reply))
            case Challenge():
                self._write(session, "S", "+ ***")
            case BodyChunk():
                self._write(session, "S", f"({len(response.data)} octets)")
            case BodyEnd():
                self._write(session, "S", ".")

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        """Write that the session ended."""
        why = "" if error is None else f" by {type(error).__name__}: {error}".removesuffix(": ")
        self._write(session, "-", f"the session ended{why}")

    def _write(self, session: SessionInfo, who: str, text: str) -> None:
        if self._logger.isEnabledFor(self._level):
            escaped = text.encode("unicode_escape").decode("ascii")
            self._logger.log(self._level, "%s %s: %s", session.address or "-", who, escaped)


def _line(reply: Ok | Err) -> str:
    return reply.encode().decode("utf-8", "surrogateescape").removesuffix("\r\n")
