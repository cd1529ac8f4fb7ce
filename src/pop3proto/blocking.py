"""pop3proto over blocking sockets: `connect` for clients, `serve` for servers with a thread for each connection."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast

from ._blocking import Client
from ._tls import client_context, tls_info
from .core.client import ClientConnection
from .core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from .core.server import ServerConnection
from .procedures.client import greet
from .procedures.maildrop import SessionInfo
from .procedures.operations import Now, Operation, Procedure, Read, Run, StartTls, TlsInfo, Write
from .procedures.policy import may_show_password
from .procedures.server import refuse, serve as serve_session
from .procedures.session import Session

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .procedures.service import Service

__all__ = ["Client", "Server", "SocketStream", "connect", "serve"]

T = TypeVar("T")

_log: Final = logging.getLogger("pop3proto")
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)
_RECEIVE: Final = 262_144  # octets at once; smaller reads cost a third of the speed on large messages
_BREATH: Final = 0.1  # seconds
_LINGER: Final = 2.0  # seconds for a client to read the last answer before its unread octets reset the connection


class SocketStream:
    """A connected socket, and the driver of the procedures that talk over it.

    Args:
        sock: connected; it belongs to the stream from now on.
        stall: the most seconds that one read or write may wait; None is for ever.
        context: for TLS; None: there is none.
        hostname: the server's name, for a client's TLS.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        stall: float | None = None,
        context: ssl.SSLContext | None = None,
        hostname: str | None = None,
    ) -> None:
        self._socket = sock
        self._stall = stall
        self._context = context
        self._hostname = hostname
        with contextlib.suppress(OSError):  # a Unix socket, say
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def address(self) -> str:
        """The peer's address, without its port; "" if it has none."""
        try:
            name = self._socket.getpeername()
        except OSError:
            return ""
        return str(name[0]) if self._socket.family in _INTERNET else ""

    @property
    def loopback(self) -> bool:
        """Whether the peer is on this machine."""
        if self._socket.family not in _INTERNET:
            return True
        try:
            address = ipaddress.ip_address(self.address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback

    def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end and return its result, or raise what it raises."""
        result: object = None
        error: BaseException | None = None
        try:
            while True:
                operation = procedure.send(result) if error is None else procedure.throw(error)
                result = error = None
                try:
                    result = self._perform(operation)
                except BaseException as raised:  # noqa: BLE001 - the procedure decides what becomes of it
                    error = raised
        except StopIteration as end:
            return cast("T", end.value)

    def _perform(self, operation: Operation[object]) -> object:
        match operation:
            case Read(until):
                return self._read(until)
            case Write(octets, until):
                self._write(octets, until)
                return None
            case StartTls(last_words, until):
                return self._start_tls(last_words, until)
            case Run():
                return operation.call()
            case Now():
                return time.monotonic()
            case _:
                raise LocalProtocolError(f"{type(operation).__name__} is not an operation of this driver")

    def _wait(self, until: float | None) -> None:
        left = self._stall if until is None else until - time.monotonic()
        if self._stall is not None:
            left = min(self._stall, left) if left is not None else self._stall
        if left is not None and left <= 0:
            raise TimedOut("the deadline has passed")
        self._socket.settimeout(left)

    def _read(self, until: float | None) -> bytes:
        self._wait(until)
        try:
            return self._socket.recv(_RECEIVE)
        except TimeoutError:
            raise TimedOut("the peer sent nothing in time") from None
        except ConnectionError:
            return b""  # the end of the stream; whether something was owed is the procedure's to know
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error}") from error

    def _write(self, octets: bytes, until: float | None) -> None:
        self._wait(until)
        try:
            self._socket.sendall(octets)
        except TimeoutError:
            raise TimedOut("the peer did not take what was sent in time") from None
        except OSError as error:
            raise ConnectionLost(f"the connection broke while something was sent: {error}") from error

    def _start_tls(self, last_words: bytes, until: float | None) -> TlsInfo:
        if self._context is None:
            raise LocalProtocolError("there is no TLS context")
        if last_words:
            self._write(last_words, until)
        self._wait(until)
        server_side = self._context.protocol is ssl.PROTOCOL_TLS_SERVER
        try:
            tls = self._context.wrap_socket(self._socket, server_side=server_side, server_hostname=self._hostname)
        except TimeoutError:
            raise TimedOut("the TLS handshake was not done in time") from None
        except (OSError, ValueError) as error:  # ValueError: an impossible host name
            raise ConnectionLost(f"the TLS handshake failed: {error}") from error
        self._socket = tls
        return tls_info(tls)

    def close(self) -> None:
        """Close the connection, and tell the peer so."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.settimeout(0)  # send the alert (RFC 8314 section 3.4), do not wait for the peer's
                self._socket.unwrap()
        self._socket.close()

    def linger(self) -> None:
        """Say that nothing more comes, and wait a little for the peer to close: else it may lose the last answer."""
        with contextlib.suppress(OSError):
            until = time.monotonic() + _LINGER
            self._socket.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(_RECEIVE):
                    break

    def abort(self) -> None:
        """Close the connection at once. Another thread's wait on it ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


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
        allow_cleartext: passwords may be sent without TLS to another machine.
        connect_timeout: seconds in which the connection must be made.
        timeout: seconds that the server may stay silent, or take nothing, while it owes something.
        connection: the protocol, if it is not to be as it comes.

    Returns:
        The client. As a context manager it sends QUIT at the end; left by an exception it only hangs up, and nothing
        is deleted.

    Raises:
        ConnectionLost: there is no connection, the handshake failed, or the server hung up.
        TimedOut: it did not answer in time.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
    """
    implicit = tls == "implicit"
    if port is None:
        port = 995 if implicit else 110
    try:
        sock = socket.create_connection((host, port), connect_timeout)
    except TimeoutError:
        raise TimedOut(f"no connection to {host}, port {port}, in time") from None
    except OSError as error:
        raise ConnectionLost(f"no connection to {host}, port {port}: {error.strerror or error}") from error
    chosen = (context or client_context()) if implicit else None
    stream = SocketStream(sock, stall=timeout, context=chosen, hostname=host)
    session = Session(
        connection or ClientConnection(tls=implicit),
        may_show_password=may_show_password(tls=implicit, loopback=stream.loopback, allow_cleartext=allow_cleartext),
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
            running = dict(self._streams)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for stream in running:
            stream.abort()
        for thread in (self._acceptor, *running.values()):
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
                thread.start()

    def _refuse(self, stream: SocketStream) -> None:
        try:
            if self._context is None:  # a handshake would hold up the thread that accepts
                stream.perform(refuse(ServerConnection(), self._service, "too many sessions"))
        except (ConnectionLost, TimedOut):
            pass
        finally:
            stream.close()

    def _serve(self, stream: SocketStream) -> None:
        implicit = self._context is not None
        info = SessionInfo(stream.address, tls=implicit)
        connection = ServerConnection(tls=implicit)
        try:
            stream.perform(serve_session(self._service, connection, info, loopback=stream.loopback, handshake=implicit))
            stream.linger()
        except (ConnectionLost, TimedOut, RemoteProtocolError) as error:
            _log.info("session from %s ended: %s", info.address, error)
        except Exception:  # noqa: BLE001 - it ends this session, and no other notices
            _log.exception("session from %s failed", info.address)
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
