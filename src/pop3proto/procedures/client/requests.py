"""The requests of a pipeline: which are unanswered, and what may be sent now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pop3proto.core.command import Command
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.states import State
from pop3proto.procedures.cleartext import IN_CLEAR

from .secrets import HARMLESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .session import Session

__all__ = ["WINDOW", "Requests", "check_command", "check_exchange"]

T_co = TypeVar("T_co", covariant=True)

WINDOW: Final = 4_096
"""Octets of requests that may be unanswered. Small enough for any socket's buffer, so that neither side can block
with its own buffer full while the other waits for it to read (RFC 2449 section 6.6)."""

_TLS_HANDSHAKE: Final = State.TLS_HANDSHAKE


def check_command(command: object) -> None:
    """Check that something is a command.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(command, Command):
        raise TypeError(f"commands are instances of Command, such as Stat() or Retr(1), not {type(command).__name__}")


def check_exchange(session: Session, command: Command[object]) -> None:
    """Refuse what needs more than commands and answers, and passwords that others could read.

    Raises:
        LocalProtocolError: the command is one of these.
    """
    if command.challenged or command.on_ok is _TLS_HANDSHAKE:
        raise LocalProtocolError(f"{command.verb} has a procedure of its own")
    if command.shows_secret and not session.context.may_show_password:
        raise LocalProtocolError(f"{command.verb} shows the password, {IN_CLEAR}")


class Requests(Generic[T_co]):
    """Requests that are unanswered, oldest first, and those that are to be sent. The base of `Pipeline`."""

    def __init__(self, session: Session, commands: Iterable[Command[T_co]]) -> None:
        self._session = session
        self._commands: Iterator[Command[T_co]] = iter(commands)
        self._next: Command[T_co] | None = None  # the one to send next
        self._unanswered: deque[tuple[Command[T_co], int]] = deque()  # with the length of each request
        self._in_flight: int = 0  # octets of these
        self._objection: Exception | None = None  # to the next command; raised once the others are answered

    @property
    def command(self) -> Command[T_co] | None:
        """The command whose answer comes next; None if all are answered."""
        return self._unanswered[0][0] if self._unanswered else self._next

    def _refill(self) -> bytes:
        """Return the requests that fit into the window; one, if the server does not take more at once."""
        requests: list[bytes] = []
        session, unanswered = self._session, self._unanswered
        surely = WINDOW - session.connection.limits.command_line
        pipelining: bool | None = None
        while (command := self._next) is not None:
            if unanswered:
                if pipelining is None:
                    pipelining = session.pipelining
                if not pipelining or unanswered[-1][0].barrier:
                    break
                if self._in_flight > surely and self._in_flight + len(command.encode()) > WINDOW:
                    break
            try:
                if type(command) not in HARMLESS:
                    check_exchange(session, command)
                octets = session.send(command)
            except LocalProtocolError as error:
                self._next, self._objection = None, error
                break
            requests.append(octets)
            self._count_as_sent(command, octets)
            self._advance()
        return b"".join(requests)

    def _count_as_sent(self, command: Command[T_co], octets: bytes) -> None:
        length = len(octets)
        self._unanswered.append((command, length))
        self._in_flight += length

    def _advance(self) -> None:
        # What the caller's iterable raises must not keep back the requests before it: they count as sent.
        try:
            if (command := next(self._commands, None)) is not None:
                check_command(command)
            self._next = command
        except Exception as error:  # noqa: BLE001 - it is raised in its turn
            self._next, self._objection = None, error
