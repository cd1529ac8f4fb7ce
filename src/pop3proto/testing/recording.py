"""What clients have said to a test server, and what they were answered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from pop3proto.core.commands import Command, Quit
from pop3proto.core.events import BodyChunk, BodyEnd
from pop3proto.core.replies import Challenge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.core.events import ServerEvent
    from pop3proto.core.server import Response
    from pop3proto.sasl.channel import SessionInfo

    from .offences import Offence
    from .watching import Watchers

__all__ = ["RecordedSession", "Recorder"]

_SHOWN: Final = 10  # commands


class RecordedSession:
    """One session of a test server. Secrets are masked: `Pass("***")`.

    It is recorded at the server's end of the line. With faults, also those of a persona, the client's end may differ:
    what a fault answers in place of the server is not here, and what a fault asks the server for is, as if the client
    had sent it. `offences` alone is of the client's end.

    Attributes:
        number: its place in `server.sessions`; the first one has 1. The log has `info.id`.
        info: the client, as the store and the authenticator see it; with its user once that is known.
        heard: all that the server has heard, in order: commands, and what else counts as an event.
        said: all that the server has answered, in order, but for the octets of bodies: greeting, replies, challenges.
        error: what has ended the session; None: QUIT, a hang-up between two commands, or it is still open.
        offences: what the client has done that it must not, so far; empty without `watch`.
    """

    def __init__(self, info: SessionInfo, number: int, offences: Sequence[Offence] = ()) -> None:
        self.info: SessionInfo = info
        self.number: Final = number
        self.offences: Final = offences
        self.heard: Final[list[ServerEvent]] = []
        self.said: Final[list[Response]] = []
        self.error: BaseException | None = None
        self._ended: Final = threading.Event()

    @property
    def commands(self) -> list[Command[object]]:
        """The commands in `heard`, in order. What was not legal, or no command, is not among them."""
        return [event for event in self.heard if isinstance(event, Command)]

    @property
    def quit(self) -> bool:
        """Whether the server has heard QUIT."""
        return any(isinstance(event, Quit) for event in self.heard)

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        return self._ended.is_set()

    def wait(self, timeout: float = 10) -> None:
        """Wait until the session is over: the server notices a hang-up a moment after it.

        Raises:
            TimeoutError: it was still open after so many seconds.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the session was not over after {timeout:g} seconds: {self}")

    @override
    def __repr__(self) -> str:
        """Show the first commands."""
        commands = self.commands
        said = " ".join(map(str, commands[:_SHOWN])) or "nothing"
        if len(commands) > _SHOWN:
            said += f" ... {len(commands) - _SHOWN:,} more"
        return f"<session {self.number}, {'ended' if self.ended else 'open'}: {said}>"

    def note_end(self, error: BaseException | None) -> None:
        """Note how it has ended. The server does this."""
        self.error = error
        self._ended.set()


class Recorder:
    """An observer that records all sessions of a server, in the order in which they began.

    Args:
        watchers: watch their clients; None: nobody does.

    Attributes:
        sessions: those that have begun.
    """

    def __init__(self, watchers: Watchers | None = None) -> None:
        self.sessions: Final[list[RecordedSession]] = []
        self._watchers: Final = watchers
        self._by_id: Final[dict[int, RecordedSession]] = {}
        self._lock: Final = threading.Lock()  # sessions may be in several threads

    def heard(self, session: SessionInfo, event: ServerEvent, /) -> None:
        """Record an event."""
        self._of(session).heard.append(event)

    def said(self, session: SessionInfo, item: Response, /) -> None:
        """Record an answer."""
        if isinstance(item, Challenge) and self._watchers is not None and (watch := self._watchers.present):
            watch.challenges += 1
        if not isinstance(item, BodyChunk | BodyEnd):
            self._of(session).said.append(item)

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        """Record the end of a session."""
        self._of(session).note_end(error)

    def _of(self, info: SessionInfo) -> RecordedSession:
        with self._lock:
            session = self._by_id.get(info.id)
            if session is None:
                watch = None if self._watchers is None else self._watchers.present
                session = RecordedSession(info, len(self.sessions) + 1, () if watch is None else watch.offences)
                self._by_id[info.id] = session
                self.sessions.append(session)
        session.info = info
        return session
