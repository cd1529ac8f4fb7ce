"""A connected socket that performs the operations of procedures."""

from __future__ import annotations

import contextlib
import math
import secrets
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast

from pop3proto._io.peers import UNKNOWN_PEER, Peer
from pop3proto._io.tls import client_context, tls_info
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.procedures.operations import (
    Await,
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Run,
    ShuttingDown,
    Sleep,
    StartTls,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pop3proto.sasl.channel import TlsInfo

__all__ = ["SocketStream", "bounded"]

T = TypeVar("T")

_RECEIVE: Final = 262_144  # octets at once; smaller reads cost a third of the speed on large messages
_LONGEST: Final = 1_000_000.0  # seconds; operating systems have a bound
_SILENCE: Final = "the peer sent nothing in time"
_GIVEN_UP: Final = "the connection was given up"
_LINGER: Final = 2.0  # seconds for a client to read the last answer before its unread octets reset the connection

# It needs no descriptor of its own.
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


def _peer(sock: socket.socket) -> Peer:
    try:
        return Peer.of(sock.family, sock.getpeername(), sock.getsockname())
    except OSError:
        return UNKNOWN_PEER


def bounded(timeout: float | None) -> float | None:
    """Return a timeout in seconds that the system can wait; None is for ever."""
    return None if timeout is None else min(timeout, _LONGEST)


def _refuse_await(operation: Await[object]) -> NoReturn:
    awaitable: object = operation.awaitable
    if isinstance(awaitable, Coroutine):
        cast("Coroutine[object, object, object]", awaitable).close()  # else Python warns that it was not awaited
    raise LocalProtocolError(
        "the blocking server cannot await what a coroutine method returned: "
        "make it a plain method, or use serve of pop3proto.asyncio or pop3proto.trio"
    )


class SocketStream:
    """A connected socket, and the driver of the procedures that talk over it.

    Args:
        sock: connected; it belongs to the stream from now on.
        stall: the most seconds that one read or write may wait; None is for ever.
        context: for TLS; None: one that verifies the server, if there is a hostname, else none.
        hostname: the server's name, for a client's TLS; None on the server's side.
        certificate: a server's own, DER.
        alarm: readable when the server is to end.
    """

    def __init__(  # noqa: PLR0913 - each has its default, and a name
        self,
        sock: socket.socket,
        *,
        stall: float | None = None,
        context: ssl.SSLContext | None = None,
        hostname: str | None = None,
        certificate: bytes | None = None,
        alarm: socket.socket | None = None,
    ) -> None:
        self.peer: Final = _peer(sock)
        self._socket = sock
        self._stall = stall
        self._context = context
        self._hostname = hostname
        self._certificate = certificate
        self._alarm = alarm
        self._bell: socket.socket | None = None
        self._interrupted = threading.Event()
        with contextlib.suppress(OSError):  # a Unix socket, say
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end and return its result, or raise what it raises."""
        results: list[object] = [None]  # handed over without a name: there may be a password in what was read
        error: BaseException | None = None
        try:
            while True:
                operation = procedure.send(results.pop()) if error is None else procedure.throw(error)
                error = None
                try:
                    results.append(self._perform(operation))
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
            case Await():
                return _refuse_await(operation)
            case Now():
                return time.monotonic()
            case Random(count):
                return secrets.token_bytes(count)
            case Sleep(seconds):
                if self._interrupted.wait(seconds):
                    raise ConnectionLost(_GIVEN_UP)
                return None
            case _:
                raise LocalProtocolError(f"{type(operation).__name__} is not an operation of this driver")

    def _wait_readable(self, alarm: socket.socket, left: float | None) -> None:
        """Wait until there is something to read, unless the server is to end before that.

        Raises:
            ShuttingDown: it is; once.
            ConnectionLost: the connection was given up.
            TimedOut: nothing came.
        """
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            left = 0  # what was read already cannot be waited for
        with _Selector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(alarm, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(left)]
        if self._interrupted.is_set():
            raise ConnectionLost(_GIVEN_UP)
        if alarm in ready:
            self._alarm = None
            raise ShuttingDown("the server is to end")
        if not ready and left != 0:
            raise TimedOut(_SILENCE)

    def _wait(self, until: float | None) -> float | None:
        """Set how long the next call may wait, and return it."""
        if self._interrupted.is_set():
            raise ConnectionLost(_GIVEN_UP)
        left = self._stall
        if until is not None:
            left = min(until - time.monotonic(), math.inf if self._stall is None else self._stall)
            if left <= 0:
                raise TimedOut("the deadline has passed")
        self._socket.settimeout(left := bounded(left))
        return left

    def _read(self, until: float | None) -> bytes:
        while (octets := self._receive(until)) is None:
            pass
        return octets

    def _receive(self, until: float | None) -> bytes | None:
        """Return what comes; None if that was nothing yet, part of a record of TLS say."""
        left = self._wait(until)
        if self._alarm is not None:
            self._wait_readable(self._alarm, left)
            self._socket.settimeout(0)  # the rest of what has begun to come is to be waited for there, too
        try:
            return self._socket.recv(_RECEIVE)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except TimeoutError:
            raise TimedOut(_SILENCE) from None
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
            if self._hostname is None:
                raise LocalProtocolError("there is no TLS context")
            self._context = client_context()
        if last_words:
            self._write(last_words, until)
        server_side = self._context.protocol is ssl.PROTOCOL_TLS_SERVER
        try:
            tls = self._context.wrap_socket(
                self._socket, server_side=server_side, server_hostname=self._hostname, do_handshake_on_connect=False
            )
            self._socket = tls  # before the handshake: else `interrupt` would not find it
            self._wait(until)
            tls.do_handshake()
        except TimeoutError:
            raise TimedOut("the TLS handshake was not done in time") from None
        except (OSError, ValueError) as error:  # ValueError: an impossible host name
            raise ConnectionLost(f"the TLS handshake failed: {error}") from error
        return tls_info(tls, self._certificate)

    def close(self) -> None:
        """Close the connection, and tell the peer so."""
        self._close_tls()
        self._socket.close()

    def linger(self) -> None:
        """Say that nothing more comes, and wait a little for the peer to close: else it may lose the last answer."""
        until = time.monotonic() + _LINGER
        self._close_tls()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(_RECEIVE):  # with TLS these are its records, and may hold anything
                    break

    def abort(self) -> None:
        """Close the connection at once."""
        self.interrupt()
        self._socket.close()

    def begin_shutdown(self) -> None:
        """Throw `ShuttingDown` into the `Read` that is under way or comes next; only in a block of `beside`."""
        if self._bell is not None:
            self._bell.close()

    @contextlib.contextmanager
    def run_in_background(self, work: Callable[[], None]) -> Generator[None]:
        """Do some work with this stream in a thread of its own, beside a block; what it raises is raised at the end."""
        failures: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
                failures.append(error)

        self._bell, self._alarm = socket.socketpair()
        with self._bell, self._alarm:
            thread = threading.Thread(target=run, name="pop3proto-beside", daemon=True)
            thread.start()
            try:
                yield
            finally:
                self.begin_shutdown()
                thread.join()
                self._alarm = self._bell = None
        if failures:
            raise failures[0]

    def interrupt(self) -> None:
        """End the connection under the hands of the thread that uses it, which has still to close it.

        Its waiting ends. Closing is left to it, as the descriptor could belong to another file before it looks again.
        """
        self._interrupted.set()
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown, which would begin by letting that thread write in clear.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _close_tls(self) -> None:
        """Send the alert that says so (RFC 8314 section 3.4); do not wait for the peer's."""
        if isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):  # ValueError: it was sent
                self._socket.settimeout(0)
                self._socket.unwrap()
