"""What a server's session says: collected, shown to its observers, and written."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.events import BodyChunk, BodyEnd
from pop3proto.core.replies import Err
from pop3proto.procedures.observer import Observers
from pop3proto.procedures.operations import Now, Procedure, Random, Sleep, Write

from .calls import CLIENT_ERRORS, fault
from .session_events import EventTeller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.core.events import ServerEvent
    from pop3proto.core.replies import Ok
    from pop3proto.core.server import Response, ServerConnection
    from pop3proto.procedures.maildrop import Message, Refused
    from pop3proto.sasl.channel import SessionInfo

    from .session_events import LoginFailure
    from .session_record import SessionRecord
    from .settings import ServiceSettings

__all__ = ["NONCE", "TURN", "SessionOutput"]

FLUSH_AT: Final = 65_536
"""Octets of answers that are collected before they are written, while commands wait."""

TURN: Final = 50
"""Work after which other sessions can run: 1 is a command, or some rows of a listing."""

_FAREWELL: Final = 1.0  # seconds for a line that fits into the system's buffer
_MEGABYTE: Final = 1_048_576
NONCE: Final = 16
"""Random octets in a timestamp or a challenge."""


class _Observers(Observers["ServerEvent", "Response"]):
    """Observers whose `CLIENT_ERRORS` are faults of theirs."""

    @override
    def heard(self, session: SessionInfo, event: ServerEvent) -> None:
        try:
            super().heard(session, event)
        except CLIENT_ERRORS as error:
            raise fault("an observer", error) from error

    @override
    def said(self, session: SessionInfo, item: Response) -> None:
        try:
            super().said(session, item)
        except CLIENT_ERRORS as error:
            raise fault("an observer", error) from error

    @override
    def ended(self, session: SessionInfo, error: BaseException | None) -> None:
        try:
            super().ended(session, error)
        except CLIENT_ERRORS as failure:
            raise fault("an observer", failure) from failure


class SessionOutput:
    """The half of a server's session that talks: answers are collected, and written together.

    Attributes:
        settings: settings that all sessions of the server share.
        connection: the protocol.
        info: the client, as stores and authenticators see it.
        record: what the session has done.
        observed: whether there are observers.
        collected: number of octets that wait to be written.
        worked: work that was done since other sessions could run: 1 is a command.
    """

    def __init__(
        self, settings: ServiceSettings, connection: ServerConnection, info: SessionInfo, record: SessionRecord
    ) -> None:
        self.settings: Final = settings
        self.connection: Final = connection
        self.info: SessionInfo = info
        self.record: Final = record
        self._observers: Final = _Observers(settings.observer)
        self.observed: Final = bool(settings.observer)
        self._events: Final = EventTeller(settings.observer)
        self._output: list[bytes] = []
        self.collected: int = 0  # octets of these
        self.worked: float = 0.0

    def hear(self, event: ServerEvent) -> None:
        """Tell the observers what the client has sent."""
        self._observers.heard(self.info, event)

    def end(self, error: BaseException | None) -> None:
        """Tell the observers that the session has ended, and by what error, if any."""
        try:
            self._observers.ended(self.info, error)
        finally:
            self._events.session_ended(self.info, self.record, error)

    def tell_logged_in(self, method: str) -> None:
        """Tell the observers that the maildrop of the user is open."""
        self._events.logged_in(self.info, method)

    def tell_login_failed(self, method: str, user: str, why: LoginFailure) -> None:
        """Tell the observers that a login has failed."""
        self._events.login_failed(self.info, method, user, why)

    def tell_committed(self, deleted: Sequence[Message], retrieved: Sequence[Message]) -> None:
        """Tell the observers what QUIT has deleted, and what was retrieved."""
        self._events.committed(self.info, deleted, retrieved)

    def say(self, item: Response) -> None:
        """Add to the answer. It is written when 64 KiB are collected or no complete command waits."""
        octets = self.connection.send(item)
        if self.observed:
            self._observers.said(self.info, item)
        self._output.append(octets)
        self.collected += len(octets)

    def say_farewell(self, reply: Err) -> Procedure[None]:
        """End the session by a line that answers nothing, if the client can take it at once."""
        self.connection.fail(reply.text)
        self._observers.said(self.info, reply)
        with suppress(ConnectionLost, TimedOut):
            yield from Write(reply.encode(), (yield from Now()) + _FAREWELL)

    def refuse(self, refusal: Refused) -> None:
        """Answer with `-ERR`; what makes the line too long is cut off."""
        self.say(self.cut(refusal.reply))

    def cut(self, reply: Err) -> Err:
        """Return a reply that fits into a line."""
        most = self.connection.limits.reply_line_sent
        if len(octets := reply.encode()) <= most:
            return reply
        kept = octets[len(b"-ERR ") : most - len(b"...\r\n")]
        return Err(kept.decode("utf-8", "ignore") + "...")

    def _take_output(self) -> bytes:
        octets = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        self.collected = 0
        return octets

    def say_body(self, reply: Ok, body: bytes) -> None:
        """Answer with a whole body, in one step."""
        octets = self.connection.send_whole(reply, body)
        if self.observed:
            for item in (reply, BodyChunk(body), BodyEnd()):
                self._observers.said(self.info, item)
        self._output.append(octets)
        self.collected += len(octets)

    def nonce(self) -> Procedure[str]:
        """Return random hexadecimal digits for a challenge."""
        return (yield from Random(NONCE)).hex()

    def flush(self) -> Procedure[None]:
        """Write what was said."""
        return self._flush()

    def _flush(self, keep: int = 0) -> Procedure[None]:
        """Write what was said, but so many octets at the end of it."""
        octets = self._take_output()
        if keep:
            self._output, octets = [octets[-keep:]], octets[:-keep]
            self.collected = len(self._output[0])
        if octets:
            timeout = self.settings.deadlines.write * (1 + len(octets) // _MEGABYTE)
            try:
                yield Write(octets, cast("float", (yield Now())) + timeout)
            except BaseException:
                self._break_off()
                raise
            self.record.octets += len(octets)

    def _break_off(self) -> None:
        """Write nothing more: nothing may follow half an answer."""
        self._take_output()
        self.connection.fail("an answer was cut off")

    def now(self) -> Procedure[float]:
        """Return the time."""
        try:
            return (yield from Now())
        except BaseException:
            self._break_off()
            raise

    @property
    def has_worked(self) -> bool:
        """Whether it is time for `give_way`."""
        return self.worked >= TURN or self.collected >= FLUSH_AT

    def give_way(self) -> Procedure[None]:
        """Write what was said, if it is much, and let other sessions run, if they have waited for a turn's work."""
        if self.collected >= FLUSH_AT:
            yield from self.flush()
        if self.worked >= TURN:
            self.worked = 0
            yield from self.delay(0)

    def delay(self, seconds: float) -> Procedure[None]:
        """Wait for some seconds; 0 lets other sessions run."""
        try:
            yield from Sleep(seconds)
        except BaseException:
            self.connection.fail("the connection was given up")
            raise
