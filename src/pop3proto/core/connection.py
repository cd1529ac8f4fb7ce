"""What both sides of a connection share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import LocalProtocolError
from .lines import ReceiveBuffer
from .session_state import SessionState
from .states import Fact, State

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from typing_extensions import Buffer

    from .errors import ConnectionLost, RemoteProtocolError
    from .limits import Limits, Quirk

__all__ = ["Connection"]


class Connection:
    """The buffer, the standing, and how it ended. Use `ClientConnection` or `ServerConnection`."""

    def __init__(self, limits: Limits, quirks: AbstractSet[Quirk], *, tls: bool) -> None:
        self.limits: Final = limits
        self.quirks: Final = frozenset(quirks)
        self._buffer = ReceiveBuffer()
        self._standing = SessionState(facts=frozenset({Fact.TLS} if tls else ()))
        self._failure: str | None = None  # why the caller ended it
        self._error: RemoteProtocolError | ConnectionLost | None = None  # how the peer ended it

    @property
    def state(self) -> State:
        """Where the session stands, by the answers that were given."""
        return self._standing.state

    @property
    def tls(self) -> bool:
        """Whether TLS is active."""
        return Fact.TLS in self._standing.facts

    @property
    def utf8(self) -> bool:
        """Whether the session is in UTF-8 mode (RFC 6856 section 2)."""
        return Fact.UTF8 in self._standing.facts

    def receive_data(self, data: Buffer) -> None:
        """Take in octets from the peer; an empty buffer is end of stream.

        Raises:
            LocalProtocolError: octets after end of stream, or more than `limits.buffered` wait already: take the
                events, and answer them, before reading more. Nothing has changed.
        """
        if len(self._buffer) > self.limits.buffered:
            raise LocalProtocolError(f"{len(self._buffer)} octets wait already: nothing can be taken in before them")
        self._buffer.feed(data)

    def fail(self, reason: str) -> None:
        """End the session from this side: a write was cut off, a handshake failed. The state is CLOSED.

        Args:
            reason: what `send` will say from now on, unless an earlier failure has ended it.
        """
        self._failure = self._failure or reason
        self._close()

    def _close(self) -> None:
        self._standing = self._standing.at(State.CLOSED)

    def _check_open(self) -> None:
        if self.state is State.CLOSED:
            raise LocalProtocolError(f"the session is over: {self._error or self._failure or 'nothing can be sent'}")
