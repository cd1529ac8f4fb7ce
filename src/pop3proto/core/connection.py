"""The base class of `ClientConnection` and `ServerConnection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from .errors import LocalProtocolError
from .limits import Limits, Quirk
from .lines import LenientBuffer, ReceiveBuffer
from .session_state import SessionState
from .states import Fact, State

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from typing_extensions import Buffer

    from .errors import ConnectionLost, RemoteProtocolError

__all__ = ["Connection"]

_IN_CLEAR: Final = SessionState()
_UNDER_TLS: Final = SessionState(facts=frozenset({Fact.TLS}))


class Connection:
    """The receive buffer, the session state and the error that ended it. Use one of the two subclasses."""

    _strict_buffer: ClassVar[type[ReceiveBuffer]] = ReceiveBuffer

    def __init__(self, limits: Limits, quirks: AbstractSet[Quirk], *, tls: bool) -> None:
        if not isinstance(limits, Limits):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"limits takes a Limits, such as Limits(body=1_000_000), not {limits!r}")
        self.limits: Final = limits
        self.quirks: Final = frozenset(quirks)
        for quirk in self.quirks:  # a str is a collection, too
            if not isinstance(quirk, Quirk):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError('quirks takes a set of Quirk, such as PROFILES["lenient"]; quirks_named() reads names')
        self._buffer = LenientBuffer() if Quirk.BARE_LF in self.quirks else self._strict_buffer()
        self._session = _UNDER_TLS if tls else _IN_CLEAR
        self._failure: str | None = None  # the reason given to fail()
        self._error: RemoteProtocolError | ConnectionLost | None = None  # the error by which the peer ended it

    @property
    def state(self) -> State:
        """The state of the session, by the answers so far."""
        return self._session.state

    @property
    def tls(self) -> bool:
        """Whether TLS is active."""
        return Fact.TLS in self._session.facts

    @property
    def utf8(self) -> bool:
        """Whether the session is in UTF-8 mode (RFC 6856 section 2)."""
        return Fact.UTF8 in self._session.facts

    def receive_data(self, data: Buffer) -> None:
        """Buffer octets that were read from the peer; an empty buffer means end of stream.

        Raises:
            LocalProtocolError: the stream has ended already; or more than `limits.buffered` octets are buffered: take
                events, and answer them, before reading more. Nothing has changed.
        """
        buffer = self._buffer
        if buffer.filled and len(buffer) > self.limits.buffered:
            raise LocalProtocolError(
                f"{len(buffer)} octets are buffered already; call next_event() before receiving more"
            )
        buffer.feed(data)

    def fail(self, reason: str) -> None:
        """End the session after a local failure, such as an incomplete write or a failed TLS handshake.

        The state is CLOSED.

        Args:
            reason: shown by the error that `send` raises from now on, unless an earlier failure is shown.
        """
        self._failure = self._failure or reason
        self._close()

    def _close(self) -> None:
        self._session = self._session.at(State.CLOSED)

    def _is_over(self) -> LocalProtocolError:
        return LocalProtocolError(f"the session is over: {self._error or self._failure or 'nothing can be sent'}")
