"""The sessions of one server, for all adapters."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, cast

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.loop import refuse, serve_session
from pop3proto.procedures.server.service import Service

from .session_info import new_session_info
from .tls_channel import server_channel

if TYPE_CHECKING:
    from pop3proto.procedures.cleartext import TlsMode

    from .driver import Driver
    from .tls import ServerTls

__all__ = ["ACCEPT_PAUSE", "Sessions", "log"]

log: Final = logging.getLogger("pop3proto")

ACCEPT_PAUSE: Final = 0.1
"""Seconds to wait after `accept` failed: most likely there are no descriptors left until a session ends."""


class Sessions:
    """Serves sessions, each over a driver, and counts them.

    Args:
        service: what they share.
        tls: where TLS comes in.
        server_tls: context and certificate; None: there is no TLS.

    Raises:
        TypeError: it is not a service.
    """

    def __init__(self, service: Service, tls: TlsMode, server_tls: ServerTls | None) -> None:
        if not isinstance(given := cast("object", service), Service):
            raise TypeError(
                f"serve takes a Service, not an object of type {type(given).__name__}: "
                "Service(store=..., authenticator=...)"
            )
        self.grace: Final = service.deadlines.grace
        self.channel: Final = server_channel(server_tls)
        self._service: Final = service
        self._tls: Final[TlsMode] = tls
        self._lock: Final = threading.Lock()  # for the limiter and the set, in the blocking adapter
        self._limiter: Final = SessionLimiter(service)
        self._streams: set[Driver] = set()
        self._shutting_down = False

    async def handle(self, stream: Driver, listener: str = "") -> None:
        """Serve a session, or refuse it, and close its stream. Its failures are logged; other sessions go on.

        Args:
            stream: connected.
            listener: the listener that took the connection, as `SessionInfo` has it.
        """
        if (reason := self.admit(stream)) is None:
            await self.serve(stream, listener)
        else:
            await self.refuse(stream, reason)

    def admit(self, stream: Driver) -> str | None:
        """Count a session in, for `serve`; or return why there is no room, for `refuse`."""
        with self._lock:
            if (reason := self._limiter.enter(stream.peer.address)) is None:
                self._streams.add(stream)
            return reason

    def leave(self, stream: Driver) -> None:
        """Count a session out that was admitted; `serve` does this."""
        with self._lock:
            self._streams.remove(stream)
            self._limiter.leave(stream.peer.address)

    def begin_shutdown(self) -> None:
        """Tell all sessions, and those that are about to begin, that the server is shutting down; each is told once."""
        if not self._shutting_down:
            self._shutting_down = True
            for stream in self._streams:
                stream.begin_shutdown()

    async def serve(self, stream: Driver, listener: str = "") -> None:
        """Serve a session that was admitted, and close its stream."""
        if self._shutting_down:
            stream.begin_shutdown()
        try:
            try:
                await self._serve(stream, listener)
            finally:
                self.leave(stream)
        except BaseException:
            await stream.abort()
            raise
        await stream.close()

    async def _serve(self, stream: Driver, listener: str) -> None:
        address = stream.peer.address
        connection = self._service.connection(tls=self._tls == "implicit")
        info = new_session_info(stream.peer, listener)
        session = serve_session(
            self._service, connection, info, loopback=stream.peer.loopback, tls=self._tls, awaits=stream.awaits
        )
        try:
            await stream.perform(session)
        except (ConnectionLost, TimedOut, RemoteProtocolError) as error:
            log.info("session from %s ended: %s", address, error)
            return
        except Exception:
            log.exception("session from %s failed", address)
        await stream.linger()

    async def refuse(self, stream: Driver, reason: str) -> None:
        """Greet a session that was not admitted with `-ERR`, and close its stream."""
        try:
            if self._tls != "implicit":  # a handshake would cost too much
                await stream.perform(refuse(self._service.connection(tls=False), self._service, reason))
        except (ConnectionLost, TimedOut) as error:
            log.info("session from %s was refused: %s", stream.peer.address, error)
        except Exception:
            log.exception("session from %s could not be refused", stream.peer.address)
        except BaseException:
            await stream.abort()
            raise
        await stream.close()
