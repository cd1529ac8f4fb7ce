"""The options of a client session (`SessionOptions`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto.core.client import ClientConnection
from pop3proto.core.limits import DEFAULT_LIMITS, NO_QUIRKS, Limits, Quirk
from pop3proto.procedures.cleartext import Cleartext, TlsMode, check_cleartext, default_port
from pop3proto.procedures.observer import ClientObserver, observers_of

from .session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence, Set as AbstractSet

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["SessionOptions"]


def _observers(given: ClientObserver | Sequence[ClientObserver]) -> tuple[ClientObserver, ...]:
    return observers_of(given)


@attrs.frozen(kw_only=True)
class SessionOptions:
    """The arguments of `connect` that do not concern how the connection is made.

    Args:
        tls: where TLS begins.
        cleartext: when passwords and tokens may be sent without verified TLS.
        timeout: as in `Session`.
        limits: of the connection.
        quirks: of the connection.
        observer: one or a sequence; they receive each event, each request and the end of the session.

    Raises:
        ValueError: there is no such `tls` or `cleartext`.
        TypeError: an observer lacks a method, or the limits or quirks are something else.
    """

    tls: TlsMode
    cleartext: Cleartext
    timeout: float | None = None
    limits: Limits = DEFAULT_LIMITS
    quirks: AbstractSet[Quirk] = NO_QUIRKS
    observer: tuple[ClientObserver, ...] = attrs.field(default=(), converter=_observers)

    def __attrs_post_init__(self) -> None:
        check_cleartext(self.cleartext)
        self._connection()

    def _connection(self) -> ClientConnection:
        default_port(self.tls)
        return ClientConnection(limits=self.limits, quirks=self.quirks, tls=self.tls == "implicit")

    def session(
        self,
        info: SessionInfo,
        host: str | None = None,
        port: int = 0,
        *,
        loopback: bool = False,
        reconnects: bool = False,
    ) -> Session:
        """Return a new session.

        Args:
            info: as in `Session`.
            host: as in `Session`.
            port: as in `Session`.
            loopback: as in `Session`.
            reconnects: as in `Session`.
        """
        return Session(
            self._connection(),
            host=host,
            port=port,
            loopback=loopback,
            cleartext=self.cleartext,
            timeout=self.timeout,
            observers=self.observer,
            info=info,
            reconnects=reconnects,
        )
