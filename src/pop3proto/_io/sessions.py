"""The sessions of one server, for all adapters."""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING, Final, cast

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.server.loop import refuse, serve_session
from pop3proto.procedures.server.service import Service

from .listening import warn_of_few_descriptors
from .peers import new_session_info
from .session_log import LoggedSession
from .tls_channel import server_channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.server.limits import Place

    from .driver import Driver
    from .tls import ServerTls

__all__ = ["ACCEPT_PAUSE", "Sessions", "log"]

log: Final = logging.getLogger("pop3proto")

_KEY: Final = 32  # octets

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
        self._lock: Final = threading.Lock()  # sessions of the blocking adapter are in threads
        self._limiter: Final = service.limiter(secrets.token_bytes(_KEY), self._lock)
        self._places: dict[Driver, Place] = {}
        self.ending: bool = False  # for the log: sessions end because the server does
        self._shutting_down = False
        warn_of_few_descriptors(service.max_sessions)

    async def handle(self, stream: Driver, cut_off: Callable[[], object], listener: str = "") -> None:
        """Serve a session, or refuse it, and close its stream. Its failures are logged; other sessions go on.

        Args:
            stream: connected.
            cut_off: ends the session at once; it neither waits nor calls this object.
            listener: the listener that took the connection, as `SessionInfo` has it.
        """
        if (reason := self.admit(stream, cut_off)) is None:
            await self.serve(stream, listener)
        else:
            await self.refuse(stream, reason)

    def admit(self, stream: Driver, cut_off: Callable[[], object]) -> str | None:
        """Count a session in, for `serve`; or return why there is no room, for `refuse`."""

        def displace() -> None:
            if not stream.displace():
                cut_off()

        place = self._limiter.enter(stream.peer.address, displace)
        if isinstance(place, str):
            return place
        self._places[stream] = place
        return None

    def leave(self, stream: Driver) -> None:
        """Count a session out that was admitted; `serve` does this."""
        self._places.pop(stream).leave()

    def begin_shutdown(self) -> None:
        """Tell all sessions, and those that are about to begin, that the server is shutting down; each is told once."""
        if not self._shutting_down:
            self._shutting_down = self.ending = True
            for stream in tuple(self._places):
                stream.begin_shutdown()

    async def serve(self, stream: Driver, listener: str = "") -> None:
        """Serve a session that was admitted, and close its stream. It counts until that is closed."""
        if self._shutting_down:
            stream.begin_shutdown()
        try:
            try:
                await self._serve(stream, listener)
            except BaseException:
                await stream.abort()
                raise
            await stream.close()
        finally:
            self.leave(stream)

    async def _serve(self, stream: Driver, listener: str) -> None:
        place = self._places[stream]
        connection = self._service.connection(tls=self._tls == "implicit")
        info = new_session_info(stream.peer, listener)
        record = LoggedSession(info)
        error: BaseException | None = None
        session = serve_session(
            self._service,
            connection,
            info,
            loopback=stream.peer.loopback,
            tls=self._tls,
            awaits=stream.awaits,
            place=place,
            record=record,
        )
        try:
            await stream.perform(self._service.around(session))
        except (ConnectionLost, TimedOut, RemoteProtocolError) as raised:
            error = raised
            return
        except Exception as raised:
            error = raised
            log.exception("session %d from %s failed", info.id, info.address or "-")
        except BaseException as raised:
            error = raised
            raise
        finally:
            record.ended(error, displaced=place.displaced, shutdown=self.ending)
            error = None  # it holds this frame
        if not place.displaced:
            await stream.linger()

    async def refuse(self, stream: Driver, reason: str) -> None:
        """Greet a session that was not admitted with `-ERR`, and close its stream."""
        LoggedSession(new_session_info(stream.peer)).refused(reason)
        try:
            if self._tls != "implicit":  # a handshake would cost too much
                await stream.perform(refuse(self._service.connection(tls=False), self._service, reason))
        except (ConnectionLost, TimedOut):
            pass
        except Exception:
            log.exception("a session from %s could not be refused", stream.peer.address or "-")
        except BaseException:
            await stream.abort()
            raise
        await stream.close()
