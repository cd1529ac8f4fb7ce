"""An observer that writes what happens in sessions to a logger, for servers and clients."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from .core.commands import Command
from .core.events import (
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BadCommand,
    BodyChunk,
    BodyEnd,
    Farewell,
    Tolerated,
)
from .core.replies import Challenge, Err, Greeting, Ok

if TYPE_CHECKING:
    from .core.client import Request
    from .core.events import ClientEvent, ServerEvent
    from .core.server import Response
    from .sasl.channel import SessionInfo

__all__ = ["LogObserver"]


class LogObserver:
    r"""Writes a line for each command and each reply, without secrets and without the text of messages.

    It is for `Service(observer=...)` and for clients alike. A line has the number of the session, the peer's address,
    the user ("-" until the credentials are verified), C for the client or S for the server, and what it said:

        7 192.0.2.1 ann C: RETR 1
        7 192.0.2.1 ann S: +OK 27 octets
        7 192.0.2.1 ann -: the session ended

    The time is the logger's own. What the peer sent is escaped, so that it cannot write lines or columns of its own.

    Args:
        logger: where to write; None is "pop3proto.sessions".
        level: the level of the lines.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.DEBUG) -> None:
        self._logger: Final = logger or logging.getLogger("pop3proto.sessions")
        self._level: Final = level

    def heard(self, session: SessionInfo, event: ServerEvent | ClientEvent, /) -> None:
        """Write what the peer sent."""
        if isinstance(event, Tolerated):
            self._write(session, "-", f"tolerated: {event.quirk.value}")
        else:
            self._write_item(session, event)

    def said(self, session: SessionInfo, item: Response | Request, /) -> None:
        """Write what is sent to the peer."""
        self._write_item(session, item)

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        """Write that the session ended, and by which error."""
        why = "" if error is None else f" by {type(error).__name__}: {error}".removesuffix(": ")
        self._write(session, "-", f"the session ended{why}")

    def _write_item(self, session: SessionInfo, item: ServerEvent | ClientEvent | Response | Request) -> None:
        match item:
            case Command():
                self._write(session, "C", str(item))
            case AuthResponse():
                self._write(session, "C", "***")
            case AuthCancel():
                self._write(session, "C", "*")
            case BadCommand():
                self._write(session, "C", f"({item.reason})")
            case Ok() | Err():
                self._write(session, "S", _line(item))
            case Greeting() | Answer() | Farewell():
                self._write(session, "S", _line(item.reply))
            case Challenge() | BadChallenge():
                self._write(session, "S", "+ ***")
            case BodyChunk():
                self._write(session, "S", f"({len(item.data)} octets)")
            case BodyEnd():
                self._write(session, "S", ".")
            case _:
                pass

    def _write(self, session: SessionInfo, who: str, text: str) -> None:
        if self._logger.isEnabledFor(self._level):
            user = "-" if session.user is None else _escaped(session.user).replace(" ", r"\x20")
            place = f"{session.id or '-'} {session.address or '-'} {user}"
            self._logger.log(self._level, "%s %s: %s", place, who, _escaped(text))


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _line(reply: Ok | Err) -> str:
    return reply.encode().decode("utf-8", "surrogateescape").removesuffix("\r\n")
