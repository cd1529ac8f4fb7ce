"""pop3proto over blocking sockets: `connect` for clients, `serve` for servers with a thread for each connection."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from ._blocking import Client
from ._blocking_message import IncomingMessage
from ._sockets import SocketStream, bounded
from ._tls import ServerTls
from .core.client import ClientConnection
from .core.errors import ConnectionLost, RemoteProtocolError, TimedOut
from .procedures.client import establish
from .procedures.gate import Gate
from .procedures.policy import TlsMode, default_port
from .procedures.server import refuse, serve as serve_session
from .procedures.session import Session
from .sasl.channel import SessionInfo

if TYPE_CHECKING:
    import ssl
    from os import PathLike
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
    tls: TlsMode = "implicit",
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
        tls: "implicit" is TLS from the first octet (RFC 8314 section 3); "starttls" is TLS by STLS, before anything
            else (RFC 2595), and nothing more is sent to a server that refuses; "none" is no TLS.
        context: for TLS, that of `start_tls` too; certificate and name are verified if None.
        allow_cleartext: passwords and tokens may be sent without TLS, or to a server that was not verified, on another
            machine.
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
        CommandFailed: it refused STLS.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
        ValueError: there is no such `tls`.
    """
    registered = default_port(tls)  # in any case: `tls=True` must not come out as no TLS
    port = registered if port is None else port
    try:
        sock = socket.create_connection((host, port), bounded(connect_timeout))
    except TimeoutError:
        raise TimedOut(f"no connection to {host}, port {port}, in time") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        reason = getattr(error, "strerror", None) or error
        raise ConnectionLost(f"no connection to {host}, port {port}: {reason}") from error
    stream = SocketStream(sock, stall=timeout, context=context, hostname=host)
    session = Session(
        connection or ClientConnection(tls=tls == "implicit"),
        loopback=stream.loopback,
        allow_cleartext=allow_cleartext,
        patience=timeout,
    )
    try:
        stream.perform(establish(session, tls))
    except BaseException:
        stream.abort()
        raise
    return Client(session, stream)


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
        self._tls: Final[TlsMode] = tls
        self._server_tls: Final = server_tls
        self._lock: Final = threading.Lock()
        self._gate: Final = Gate(service)
        self._sessions: dict[SocketStream, threading.Thread] = {}
        self._closing = False
        self._bell, self._alarm = socket.socketpair()
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
        """Stop listening, and end all sessions.

        Each finishes the command in hand and, within `Deadlines.grace`, answers the next with [SYS/TEMP], but QUIT as
        ever. Then the rest is cut off, and nothing of theirs is removed. Returns when all maildrops are closed.
        """
        with self._lock:
            self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._acceptor.join()
        self._bell.close()
        until = time.monotonic() + self._service.deadlines.grace
        with self._lock:
            running = dict(self._sessions)
        running = {stream: thread for stream, thread in running.items() if thread is not threading.current_thread()}
        for thread in running.values():
            thread.join(max(until - time.monotonic(), 0))
        for stream in running:
            stream.interrupt()
        for thread in running.values():
            thread.join()
        self._release_alarm()

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
            stream = self._stream(sock)
            address = stream.address
            thread = threading.Thread(target=self._serve, args=(stream, address), name="pop3proto-session", daemon=True)
            with self._lock:
                if self._closing:
                    stream.abort()
                    return
                if (objection := self._gate.enter(address)) is None:
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
        info = SessionInfo(address)
        try:
            stream.perform(serve_session(self._service, connection, info, loopback=stream.loopback, tls=self._tls))
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
            self._gate.leave(address)
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
    """
    server_tls = ServerTls.choose(tls, certificate=certificate, key=key, client_ca=client_ca, context=context)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    return Server(service, listener, tls, server_tls)
