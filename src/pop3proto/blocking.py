"""pop3proto over blocking sockets: `connect` for clients, `serve` for servers with a thread for each connection."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Literal

from ._blocking import Client, IncomingMessage
from ._sockets import SocketStream, bounded
from ._tls import client_context, verifies_server
from .core.client import ClientConnection
from .core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from .procedures.client import greet
from .procedures.maildrop import SessionInfo
from .procedures.policy import may_show_password
from .procedures.server import refuse, serve as serve_session
from .procedures.session import Session

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from .procedures.service import Service

__all__ = ["Client", "IncomingMessage", "Server", "SocketStream", "connect", "serve"]

_log: Final = logging.getLogger("pop3proto")
_BREATH: Final = 0.1  # seconds


def connect(  # noqa: PLR0913 - each has its default, and a name
    host: str,
    port: int | None = None,
    *,
    tls: Literal["implicit", "none"] = "implicit",
    context: ssl.SSLContext | None = None,
    allow_cleartext: bool = False,
    connect_timeout: float | None = 30,
    timeout: float | None = 60,
    connection: ClientConnection | None = None,
) -> Client:
    """Connect to a server and wait for its greeting.

    Args:
        host: its name or address.
        port: 995 with TLS and 110 without if None. TLS is never inferred from the port.
        tls: "implicit" is TLS from the first octet (RFC 8314 section 3); "none" is no TLS.
        context: for TLS; certificate and name are verified if None.
        allow_cleartext: passwords may be sent without TLS, or to a server that was not verified, on another machine.
        connect_timeout: seconds in which the connection must be made.
        timeout: seconds for the greeting, for a whole login, and for each answer; inside a body, whatever comes begins
            them again.
        connection: the protocol, if it is not to be as it comes.

    Returns:
        The client. As a context manager it sends QUIT at the end; left by an exception it only hangs up, and nothing
        is deleted.

    Raises:
        ConnectionLost: there is no connection, the handshake failed, or the server hung up.
        TimedOut: it did not answer in time.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
        ValueError: there is no such `tls`.
    """
    if tls not in ("implicit", "none"):
        raise ValueError(f"tls must be 'implicit' or 'none', not {tls!r}")  # True, say, must not come out as no TLS
    implicit = tls == "implicit"
    if port is None:
        port = 995 if implicit else 110
    try:
        sock = socket.create_connection((host, port), bounded(connect_timeout))
    except TimeoutError:
        raise TimedOut(f"no connection to {host}, port {port}, in time") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        reason = getattr(error, "strerror", None) or error
        raise ConnectionLost(f"no connection to {host}, port {port}: {reason}") from error
    chosen = (context or client_context()) if implicit else None
    verified = chosen is not None and verifies_server(chosen)
    stream = SocketStream(sock, stall=timeout, context=chosen, hostname=host)
    session = Session(
        connection or ClientConnection(tls=implicit),
        may_show_password=may_show_password(tls=verified, loopback=stream.loopback, allow_cleartext=allow_cleartext),
        patience=timeout,
    )
    try:
        stream.perform(greet(session, handshake=implicit))
    except BaseException:
        stream.abort()
        raise
    return Client(session, stream)


class Server:
    """A server that is running, with a thread for each connection. It is a context manager that ends with `close`.

    Args:
        service: what it serves.
        listener: a listening socket; it belongs to the server from now on.
        context: for implicit TLS; None: there is none.
        max_sessions: how many at once; more are greeted with [SYS/TEMP].
    """

    def __init__(
        self, service: Service, listener: socket.socket, context: ssl.SSLContext | None, *, max_sessions: int
    ) -> None:
        self._service: Final = service
        self._listener: Final = listener
        self._context: Final = context
        self._max_sessions: Final = max_sessions
        self._lock: Final = threading.Lock()
        self._streams: dict[SocketStream, threading.Thread] = {}
        self._closing = False
        self._acceptor: Final = threading.Thread(target=self._accept, name="pop3proto-accept", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: address and port."""
        host, port, *_ = self._listener.getsockname()
        return str(host), int(port)

    def wait(self) -> None:
        """Wait until the server is closed."""
        self._acceptor.join()

    def close(self) -> None:
        """Stop listening, hang up on everybody, and wait until all maildrops are closed. Nothing is deleted."""
        with self._lock:
            self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._acceptor.join()
        with self._lock:
            running = dict(self._streams)
        for stream in running:
            stream.interrupt()
        for thread in running.values():
            if thread is not threading.current_thread():  # an authenticator may have called this
                thread.join()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

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
            stream = SocketStream(sock, context=self._context)
            thread = threading.Thread(target=self._serve, args=(stream,), name="pop3proto-session", daemon=True)
            with self._lock:
                if self._closing:
                    stream.abort()
                    return
                full = len(self._streams) >= self._max_sessions
                if not full:
                    self._streams[stream] = thread
            if full:
                self._refuse(stream)
            else:
                self._start(thread, stream)

    def _start(self, thread: threading.Thread, stream: SocketStream) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # there are no more threads to be had
            _log.warning("a session could not begin: %s", error)
            with self._lock:
                del self._streams[stream]
            self._refuse(stream)

    def _refuse(self, stream: SocketStream) -> None:
        try:
            if self._context is None:  # a handshake would hold up the thread that accepts
                stream.perform(refuse(self._service.connection(tls=False), self._service, "too many sessions"))
        except (ConnectionLost, TimedOut):
            pass
        finally:
            stream.close()

    def _serve(self, stream: SocketStream) -> None:
        implicit = self._context is not None
        info = SessionInfo(stream.address, tls=implicit)
        connection = self._service.connection(tls=implicit)
        try:
            stream.perform(serve_session(self._service, connection, info, loopback=stream.loopback, handshake=implicit))
        except (ConnectionLost, TimedOut, RemoteProtocolError) as error:
            _log.info("session from %s ended: %s", info.address, error)
        except Exception:  # noqa: BLE001 - it ends this session, and no other notices
            _log.exception("session from %s failed", info.address)
            stream.linger()
        else:
            stream.linger()
        finally:
            stream.close()
            with self._lock:
                del self._streams[stream]


def serve(
    service: Service,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    context: ssl.SSLContext | None = None,
    max_sessions: int = 100,
) -> Server:
    """Serve maildrops.

    Args:
        service: what to serve, and to whom.
        host: the address to listen on.
        port: the port; 0 is any free one (see `Server.address`).
        context: for implicit TLS; None is no TLS.
        max_sessions: how many at once.

    Returns:
        The running server.

    Raises:
        OSError: it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    return Server(service, listener, context, max_sessions=max_sessions)
