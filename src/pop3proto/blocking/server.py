"""A server with a thread for each connection."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from pop3proto._io.peers import listener_name
from pop3proto._io.session_info import new_session_info
from pop3proto._io.tls import ServerTls
from pop3proto.core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from pop3proto.procedures.server.limits import SessionLimiter
from pop3proto.procedures.server.loop import refuse, serve as serve_session

from .stream import SocketStream

if TYPE_CHECKING:
    import ssl
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.server.service import Service

__all__ = ["Server", "serve"]

_log: Final = logging.getLogger("pop3proto")
_BREATH: Final = 0.1  # seconds


class Server:
    """A server that is running, with a thread for each connection. It is a context manager that ends with `close`.

    Args:
        service: what it serves.
        listener: a listening socket; it belongs to the server from now on.
        tls: where TLS comes in.
        server_tls: how; None: not at all.
    """

    def __init__(self, service: Service, listener: socket.socket, tls: TlsMode, server_tls: ServerTls | None) -> None:
        self._service: Final = service
        self._listener: Final = listener
        self._address: Final = listener.getsockname()
        self._tls: Final[TlsMode] = tls
        self._server_tls: Final = server_tls
        self._lock: Final = threading.Lock()
        self._limiter: Final = SessionLimiter(service)
        self._sessions: dict[SocketStream, threading.Thread] = {}
        self._closing = False
        self._bell, self._alarm = socket.socketpair()
        self._acceptor: Final = threading.Thread(target=self._accept, name="pop3proto-accept", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: address and port."""
        host, port, *_ = self._address
        return str(host), int(port)

    def wait(self) -> None:
        """Wait until the server is closed."""
        self._acceptor.join()

    def close(self) -> None:
        """Stop listening, and end all sessions.

        Each finishes the command in hand and, within `Deadlines.grace`, answers the next with [SYS/TEMP], but QUIT as
        ever. Then the rest is cut off, and nothing of theirs is removed. Returns when all maildrops are closed.
        """
        self._stop_listening()
        self._bell.close()
        until = time.monotonic() + self._service.deadlines.grace
        for thread in self._others().values():
            thread.join(max(until - time.monotonic(), 0))
        self.abort()

    def abort(self) -> None:
        """End at once: stop listening, hang up on everybody, and wait until all maildrops are closed."""
        self._stop_listening()
        self._bell.close()
        others = self._others()
        for stream in others:
            stream.interrupt()
        for thread in others.values():
            thread.join()
        self._release_alarm()

    def _stop_listening(self) -> None:
        with self._lock:
            self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._acceptor.join()

    def _others(self) -> dict[SocketStream, threading.Thread]:
        """Return the sessions but the one that asks: an authenticator may have called this."""
        with self._lock:
            sessions = self._sessions.items()
            return {stream: thread for stream, thread in sessions if thread is not threading.current_thread()}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it; left by an exception, at once."""
        if error is None:
            self.close()
        else:
            self.abort()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if self._closing:
                    return
                _log.warning("accepting a connection failed: %s", error)
                time.sleep(_BREATH)  # out of descriptors, most likely: wait for a session to end
                continue
            stream = self._stream(sock)
            address = stream.peer.address
            thread = threading.Thread(target=self._serve, args=(stream, address), name="pop3proto-session", daemon=True)
            with self._lock:
                if self._closing:
                    stream.abort()
                    return
                if (objection := self._limiter.enter(address)) is None:
                    self._sessions[stream] = thread
            if objection is not None:
                self._refuse(stream, objection)
            else:
                self._start(thread, stream, address)

    def _stream(self, sock: socket.socket) -> SocketStream:
        tls = self._server_tls
        context, certificate = (None, None) if tls is None else (tls.context, tls.certificate)
        return SocketStream(sock, context=context, certificate=certificate, alarm=self._alarm)

    def _start(self, thread: threading.Thread, stream: SocketStream, address: str) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # there are no more threads to be had
            _log.warning("a session could not begin: %s", error)
            self._leave(stream, address)
            self._refuse(stream, "too many sessions")

    def _refuse(self, stream: SocketStream, objection: str) -> None:
        try:
            if self._tls != "implicit":  # a handshake would hold up the thread that accepts
                stream.perform(refuse(self._service.connection(tls=False), self._service, objection))
        except (ConnectionLost, TimedOut):
            pass
        finally:
            stream.close()

    def _serve(self, stream: SocketStream, address: str) -> None:
        connection = self._service.connection(tls=self._tls == "implicit")
        info = new_session_info(stream.peer, listener_name(self._address))
        try:
            stream.perform(serve_session(self._service, connection, info, loopback=stream.peer.loopback, tls=self._tls))
        except (ConnectionLost, TimedOut, RemoteProtocolError) as error:
            _log.info("session from %s ended: %s", address, error)
        except Exception:  # noqa: BLE001 - it ends this session, and no other notices
            _log.exception("session from %s failed", address)
            stream.linger()
        else:
            stream.linger()
        finally:
            stream.close()
            self._leave(stream, address)

    def _leave(self, stream: SocketStream, address: str) -> None:
        with self._lock:
            del self._sessions[stream]
            self._limiter.leave(address)
        if self._closing:
            self._release_alarm()

    def _release_alarm(self) -> None:
        """Close the alarm once nobody listens to it."""
        with self._lock:
            if not self._sessions:
                self._alarm.close()


def serve(  # noqa: PLR0913 - each has its default, and a name
    service: Service,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tls: TlsMode = "none",
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    client_ca: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Server:
    """Serve maildrops.

    Args:
        service: what to serve, and to whom.
        host: the address to listen on.
        port: the port; 0 is any free one (see `Server.address`).
        tls: where TLS comes in: "implicit", "starttls" or "none".
        certificate: a file with the server's certificate and those between it and its authority, PEM.
        key: a file with its private key; None: it is in the same file.
        client_ca: a file with the authorities whose certificates clients may show (EXTERNAL), PEM.
        context: for TLS in place of these, if it is to be another; SCRAM cannot bind to the server's certificate then.

    Returns:
        The running server.

    Raises:
        OSError: it cannot listen there, or a file cannot be used.
        ValueError: TLS is wanted and there is nothing to do it with, or the other way round.
        TypeError: the service has coroutine methods, which only asyncio and trio can await.
    """
    service.check_plain()
    server_tls = ServerTls.choose(tls, certificate=certificate, key=key, client_ca=client_ca, context=context)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    return Server(service, listener, tls, server_tls)
