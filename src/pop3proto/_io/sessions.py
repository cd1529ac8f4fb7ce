"""The sessions of one server, for all adapters."""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.operations import ShuttingDown
from pop3proto.procedures.server.loop import refuse, serve_session
from pop3proto.procedures.server.proxy_protocol import read_header
from pop3proto.procedures.server.service import Service

from .certificates import channel_with
from .listening import warn_of_few_descriptors
from .peers import new_session_info
from .proxied import announced_peer, announced_tls
from .session_log import LoggedSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.procedures.server.limits import Place
    from pop3proto.sasl.channel import TlsInfo

    from .certificates import Certificates
    from .driver import Driver
    from .listener import Listener

__all__ = ["ACCEPT_PAUSE", "Entrance", "Sessions", "log"]

log: Final = logging.getLogger("pop3proto")

_KEY: Final = 32  # octets

ACCEPT_PAUSE: Final = 0.1
"""Seconds to wait after `accept` failed: most likely there are no descriptors left until a session ends."""


_NOBODY: Final = object()

Entrance: TypeAlias = "tuple[Listener, str]"
"""A listener, and what `SessionInfo` calls it."""


def _check_service(service: object) -> None:
    if not isinstance(service, Service):
        raise TypeError(
            f"serve takes a Service, not an object of type {type(service).__name__}: "
            "Service(store=..., authenticator=...)"
        )


class Sessions:
    """Serves sessions, each over a driver, and counts them.

    Args:
        service: what they share.
        certificates: for TLS; None: there is none.

    Raises:
        TypeError: it is not a service.
    """

    def __init__(self, service: Service, certificates: Certificates | None) -> None:
        _check_service(service)
        self._service = service
        self.channel: Final = channel_with(certificates)
        self._lock: Final = threading.Lock()  # sessions of the blocking adapter are in threads
        self._limiter: Final = service.limiter(secrets.token_bytes(_KEY), self._lock)
        self._places: dict[Driver, Place] = {}
        self._announcing: dict[Driver, None] = {}  # those whose PROXY header is not there yet
        self.ending: bool = False  # for the log: sessions end because the server does
        self._shutting_down = False
        warn_of_few_descriptors(service.max_sessions)

    @property
    def grace(self) -> float:
        """Seconds that sessions have when the server shuts down."""
        return self._service.deadlines.grace

    def use(self, service: Service) -> None:
        """Serve the sessions that begin from now on by another service; those under way go on with theirs.

        Raises:
            TypeError: it is not a service.
        """
        _check_service(service)
        self._limiter.use(service)
        self._service = service
        warn_of_few_descriptors(service.max_sessions)

    async def handle(self, stream: Driver, cut_off: Callable[[], object], entrance: Entrance) -> None:
        """Serve a session, or refuse it, and close its stream. Its failures are logged; other sessions go on.

        Args:
            stream: connected.
            cut_off: ends the session at once; it neither waits nor calls this object.
            entrance: the listener that took the connection, and its name.
        """
        if (tls := await self._announced(stream, entrance)) is _NOBODY:
            return
        if (reason := self.admit(stream, cut_off)) is None:
            await self.serve(stream, entrance, cast("TlsInfo | None", tls))
        else:
            await self.refuse(stream, reason, entrance)

    async def _announced(self, stream: Driver, entrance: Entrance) -> object:
        """Read who the client is, if a proxy says so; return what it says of TLS, or `_NOBODY` after closing it."""
        listener, _ = entrance
        if (proxy := listener.proxy_protocol) is None:
            return None
        reason = ""
        if not (stream.peer.unix or proxy.takes(stream.peer.address)):
            reason = "this listener takes connections of its proxies only"
        elif len(self._announcing) >= self._service.max_sessions:
            reason = "too many connections without a PROXY header"
        else:
            self._announcing[stream] = None
            if self._shutting_down:
                stream.begin_shutdown()
            try:
                header, rest = await stream.perform(read_header(proxy.timeout))
            except (ConnectionLost, ShuttingDown, RemoteProtocolError) as error:
                reason = str(error)
            except TimedOut:
                reason = f"there was no whole PROXY header within {proxy.timeout:g} seconds"
            except BaseException:
                await stream.abort()
                raise
            else:
                stream.begin_behind(announced_peer(header, stream.peer), rest)
                return announced_tls(header) if proxy.trust_tls else None
            finally:
                del self._announcing[stream]
        LoggedSession(new_session_info(stream.peer)).refused(reason)
        await stream.close()
        return _NOBODY

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
            for stream in (*self._places, *self._announcing):
                stream.begin_shutdown()

    async def serve(self, stream: Driver, entrance: Entrance, tls: TlsInfo | None = None) -> None:
        """Serve a session that was admitted, and close its stream. It counts until that is closed."""
        if self._shutting_down:
            stream.begin_shutdown()
        try:
            try:
                await self._serve(stream, entrance, tls)
            except BaseException:
                await stream.abort()
                raise
            await stream.close()
        finally:
            self.leave(stream)

    async def _serve(self, stream: Driver, entrance: Entrance, tls: TlsInfo | None) -> None:
        place, service = self._places[stream], self._service
        listener, name = entrance
        connection = service.connection(tls=listener.tls == "implicit" or tls is not None)
        info = new_session_info(stream.peer, name, listener.domain, tls)
        record = LoggedSession(info, displaced=lambda: place.displaced, shutdown=lambda: self.ending)
        record.tls = "" if tls is None else tls.version
        error: BaseException | None = None
        session = serve_session(
            service,
            connection,
            info,
            loopback=stream.peer.loopback,
            tls=listener.tls,
            awaits=stream.awaits,
            place=place,
            record=record,
        )
        try:
            await stream.perform(service.around(session))
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
            record.ended(error)
            error = None  # it holds this frame
        if not place.displaced:
            await stream.linger()

    async def refuse(self, stream: Driver, reason: str, entrance: Entrance) -> None:
        """Greet a session that was not admitted with `-ERR`, and close its stream."""
        LoggedSession(new_session_info(stream.peer)).refused(reason)
        try:
            if entrance[0].tls != "implicit":  # a handshake would cost too much
                await stream.perform(refuse(self._service.connection(tls=False), self._service, reason))
        except (ConnectionLost, TimedOut):
            pass
        except Exception:
            log.exception("a session from %s could not be refused", stream.peer.address or "-")
        except BaseException:
            await stream.abort()
            raise
        await stream.close()
