"""The sessions of one server, for asyncio and trio."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from pop3proto._io.session_info import new_session_info
from pop3proto._io.tls_channel import TlsChannel
from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.loop import refuse, serve

if TYPE_CHECKING:
    from pop3proto._io.tls import ServerTls
    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.server.service import Service

    from .driver import AsyncStream, MakeChannel

__all__ = ["Sessions"]

_log: Final = logging.getLogger("pop3proto")


class Sessions:
    """Who is being served.

    Args:
        service: what they share.
        tls: where TLS comes in.
        server_tls: how; None: not at all.
    """

    def __init__(self, service: Service, tls: TlsMode, server_tls: ServerTls | None) -> None:
        self.grace: Final = service.deadlines.grace
        self.channel: Final = _channel(server_tls)
        self._service: Final = service
        self._tls: Final[TlsMode] = tls
        self._limiter: Final = SessionLimiter(service)
        self._streams: set[AsyncStream] = set()
        self._shutting_down = False

    async def handle(self, stream: AsyncStream, listener: str = "") -> None:
        """Serve one session, or refuse it, and close its stream. What goes wrong is logged, and no other notices.

        Args:
            stream: connected.
            listener: which listener took the connection, as `SessionInfo` has it.
        """
        try:
            await self._handle(stream, listener)
        except BaseException:
            await stream.abort()
            raise
        await stream.close()

    def begin_shutdown(self) -> None:
        """Tell all sessions, and those that are about to begin, that the server is to end."""
        self._shutting_down = True
        for stream in self._streams:
            stream.begin_shutdown()

    async def _handle(self, stream: AsyncStream, listener: str) -> None:
        address = stream.peer.address
        if (reason := self._limiter.enter(address)) is not None:
            return await self._refuse(stream, reason)
        self._streams.add(stream)
        if self._shutting_down:
            stream.begin_shutdown()
        try:
            await self._serve(stream, listener)
        except (ConnectionLost, TimedOut, RemoteProtocolError) as error:
            _log.info("session from %s ended: %s", address, error)
            return None
        except Exception:  # noqa: BLE001 - it ends this session, and no other notices
            _log.exception("session from %s failed", address)
        finally:
            self._streams.remove(stream)
            self._limiter.leave(address)
        return await stream.linger()

    async def _serve(self, stream: AsyncStream, listener: str) -> None:
        connection = self._service.connection(tls=self._tls == "implicit")
        info = new_session_info(stream.peer, listener)
        await stream.perform(serve(self._service, connection, info, loopback=stream.peer.loopback, tls=self._tls))

    async def _refuse(self, stream: AsyncStream, reason: str) -> None:
        if self._tls == "implicit":
            return  # a handshake costs too much for somebody who is not let in
        try:
            await stream.perform(refuse(self._service.connection(tls=False), self._service, reason))
        except (ConnectionLost, TimedOut) as error:
            _log.info("session from %s was refused: %s", stream.peer.address, error)


def _channel(tls: ServerTls | None) -> MakeChannel | None:
    if tls is None:
        return None
    return partial(TlsChannel, tls.context, server_side=True, certificate=tls.certificate)
