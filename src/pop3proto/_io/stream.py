"""What an adapter implements: a connected stream whose methods wait.

Those of asyncio and trio suspend a task there; that of the blocking adapter blocks its thread, so its coroutines never
suspend.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pop3proto.procedures.operations import EndTurn, Turn

__all__ = [
    "GIVEN_UP",
    "LINGER",
    "LOGIN_TIMEOUT",
    "READ_TIMEOUT",
    "RECEIVE",
    "TURN_TIMEOUT",
    "WRITE_TIMEOUT",
    "Stream",
]

RECEIVE: Final = 262_144
"""Octets to receive at once; smaller reads cost a third of the speed on large messages."""

GIVEN_UP: Final = "the connection was given up"
READ_TIMEOUT: Final = "the peer sent nothing in time"
TURN_TIMEOUT: Final = "other logins took too long"
LOGIN_TIMEOUT: Final = "the authenticator did not answer before the deadline of the login"
WRITE_TIMEOUT: Final = "the peer did not take what was sent in time"

LINGER: Final = 2.0  # seconds for a peer to read the last answer before its unread octets reset the connection


class Stream(ABC):
    """A connected stream. Deadlines are on the clock of `now`; None: no deadline."""

    @abstractmethod
    def now(self) -> float:
        """Return the time."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let time pass; 0 seconds let other tasks run.

        Raises:
            ConnectionLost: as `Sleep`.
        """

    @abstractmethod
    async def run(self, call: Callable[[], object], *, login: bool) -> object:
        """Call a function that may block, and wait for its end even if cancelled meanwhile.

        Args:
            call: the function.
            login: it is work of a login, as `RunLogin` says.
        """

    @abstractmethod
    async def finish(self, awaitable: Awaitable[object]) -> object:
        """Await something, to its end even if cancelled meanwhile."""

    @abstractmethod
    async def wait_for(self, awaitable: Awaitable[object], until: float | None) -> object:
        """Await something; a cancellation, or the end of the time, cancels it.

        Raises:
            TimedOut: the time is over.
        """

    @abstractmethod
    async def wait_for_turn(self, turn: Turn) -> None:
        """Wait until a turn has come.

        Raises:
            ConnectionLost: the connection was given up.
            TimedOut: it did not come in time.
        """

    @abstractmethod
    async def wait_for_end_turn(self, turn: EndTurn) -> None:
        """Wait until a turn has come, even if cancelled or given up meanwhile."""

    @abstractmethod
    async def receive(self, until: float | None) -> bytes:
        """Return at least one octet, as it came from the network; none at the end of the stream.

        Raises:
            ShuttingDown: by `_raise_shutdown`, after `_interrupt`.
            ConnectionLost: the connection failed or was given up.
            TimedOut: nothing came in time.
        """

    @abstractmethod
    async def send(self, octets: bytes, until: float | None) -> None:
        """Hand octets to the operating system, all of them; 64 KiB or more let other tasks run.

        Raises:
            ConnectionLost: the connection failed or was given up.
            TimedOut: the peer was too slow.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Close the sending half, if the stream can do that and has not ended."""

    def hold(self) -> bool:
        """Receive nothing more until the next `receive`; return whether octets were received that were not read."""
        return False  # unless octets are received before they are asked for

    @abstractmethod
    def readable(self) -> bool:
        """Whether `receive` would return at once: octets have arrived, or the end of the stream.

        False where that cannot be known without waiting.
        """

    @abstractmethod
    async def hang_up(self) -> None:
        """Close the connection: what was sent may still arrive."""

    @abstractmethod
    async def abort(self) -> None:
        """Close the connection at once, without waiting. A call that is under way raises `ConnectionLost`."""

    @abstractmethod
    async def reset(self) -> None:
        """Close the connection at once, so that the peer gets a reset in place of the end of the stream."""

    async def connect_again(self, until: float | None) -> None:  # noqa: ARG002 - those of clients use it
        """Close the connection at once, make another one to the same server, and note its `peer`.

        Raises:
            LocalProtocolError, ConnectionLost, TimedOut: as `Reconnect`.
        """
        raise LocalProtocolError("this driver does not know where to connect to")

    @abstractmethod
    def _interrupt(self) -> None:
        """Wake the `receive` that is under way, so that it calls `_raise_shutdown`."""
