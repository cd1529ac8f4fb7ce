"""A connected socket that performs the operations of procedures, in the calling thread."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias, TypeVar

from typing_extensions import override

from pop3proto._io.driver import Driver
from pop3proto._io.peers import UNKNOWN_PEER, Peer
from pop3proto._io.sockets import Selector, is_readable, reset_at_close, send_at_once
from pop3proto._io.stream import GIVEN_UP, READ_TIMEOUT, RECEIVE, TURN_TIMEOUT, WRITE_TIMEOUT
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut

from .interruption import Interruption

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from contextlib import AbstractContextManager

    from pop3proto._io.tls_channel import MakeChannel
    from pop3proto.procedures.operations import EndTurn, Operation, Procedure, Turn

__all__ = ["SocketDriver", "SocketStream", "bounded", "run_blocking"]

T = TypeVar("T")

Connect: TypeAlias = Callable[[float | None, Interruption], socket.socket]

_LONGEST: Final = 1_000_000.0  # seconds; operating systems have a bound


def bounded(timeout: float | None) -> float | None:
    """Return a timeout in seconds that the system can wait; None: no limit."""
    return None if timeout is None else min(timeout, _LONGEST)


def run_blocking(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine of a `SocketDriver` to its end: it blocks this thread where others would suspend."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a coroutine that must block has suspended")


class SocketDriver(Driver):
    """A connected socket, and the driver of the procedures that talk over it. Its coroutines block; none suspends.

    Args:
        sock: connected; it belongs to the driver from now on.
        channel: makes the TLS channel; None: there is no TLS.
        stall: the most seconds that one read or write may wait; None: no limit.
        wakeup: a socket that becomes readable when the server is shutting down.
        connect: connects to the same server again, within some seconds (None: no limit), unless it is interrupted;
            None: it cannot connect again.
    """

    awaits: ClassVar[bool] = False

    def __init__(
        self,
        sock: socket.socket,
        channel: MakeChannel | None = None,
        *,
        stall: float | None = None,
        wakeup: socket.socket | None = None,
        connect: Connect | None = None,
    ) -> None:
        super().__init__(_peer(sock), channel)
        self.wakeup = wakeup
        self._socket: socket.socket = sock
        self._stall: Final = stall
        self._connect: Final = connect
        self._interrupted: Final = Interruption()
        self._turn_or_interrupted: Final = threading.Event()
        send_at_once(sock)

    @override
    def displace(self) -> bool:
        displaced = super().displace()
        if displaced:  # wake the thread that reads; what it writes still arrives
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)
        return displaced

    def interrupt(self) -> None:
        """End the connection while another thread uses it; that thread has still to close it.

        Closing is left to it, as the descriptor could belong to another file before it looks again.
        """
        self._interrupted.set()
        self._turn_or_interrupted.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    @override
    def now(self) -> float:
        return time.monotonic()

    @override
    async def sleep(self, seconds: float) -> None:
        if self._interrupted.wait(seconds):
            raise ConnectionLost(GIVEN_UP)

    @override
    async def run(self, call: Callable[[], object], *, login: bool) -> object:
        return call()

    @override
    async def finish(self, awaitable: Awaitable[object]) -> object:
        if isinstance(awaitable, Coroutine):
            awaitable.close()  # else Python warns that it was not awaited
        raise LocalProtocolError(
            "the blocking server cannot await what a coroutine method returned: "
            "make it a plain method, or use serve of pop3proto.asyncio or pop3proto.trio"
        )

    @override
    async def wait_for(self, awaitable: Awaitable[object], until: float | None) -> object:
        return await self.finish(awaitable)

    @override
    async def wait_for_turn(self, turn: Turn) -> None:
        self._turn_or_interrupted.clear()
        turn.wake_by(self._turn_or_interrupted.set)
        left = None if turn.until is None else max(turn.until - time.monotonic(), 0)
        come = self._interrupted.is_set() or self._turn_or_interrupted.wait(bounded(left))
        if self._interrupted.is_set():
            raise ConnectionLost(GIVEN_UP)
        if not come:
            raise TimedOut(TURN_TIMEOUT)

    @override
    async def wait_for_end_turn(self, turn: EndTurn) -> None:
        come = threading.Event()
        turn.wake_by(come.set)
        come.wait()

    @override
    async def receive(self, until: float | None) -> bytes:
        try:
            self._set_timeout(until)
            if self._reading and self.wakeup is not None:
                self._wait_readable(self.wakeup)
            octets = self._socket.recv(RECEIVE)
        except (ConnectionLost, TimedOut):
            raise
        except TimeoutError:
            raise TimedOut(READ_TIMEOUT) from None
        except ConnectionError:
            octets = b""  # the end of the stream; the procedure knows whether an answer was due
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error}") from error
        if not octets and self._interrupted.is_set():
            raise ConnectionLost(GIVEN_UP)
        return octets

    @override
    async def send(self, octets: bytes, until: float | None) -> None:
        try:
            self._set_timeout(until)
            self._socket.sendall(octets)
        except (ConnectionLost, TimedOut):
            raise
        except TimeoutError:
            raise TimedOut(WRITE_TIMEOUT) from None
        except OSError as error:
            raise ConnectionLost(f"the connection broke while something was sent: {error}") from error

    @override
    async def send_eof(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    @override
    def readable(self) -> bool:
        return is_readable(self._socket)

    @override
    async def hang_up(self) -> None:
        self._interrupted.set()
        self._socket.close()

    @override
    async def reset(self) -> None:
        reset_at_close(self._socket)
        await self.hang_up()

    @override
    async def abort(self) -> None:
        self.interrupt()
        self._socket.close()

    @override
    async def connect_again(self, until: float | None) -> None:
        if self._connect is None:
            await super().connect_again(until)
            return
        self._socket.close()
        if self._interrupted.is_set():
            raise ConnectionLost(GIVEN_UP)
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise TimedOut("the deadline has passed")
        self._socket = self._connect(left, self._interrupted)
        self.peer: Peer = _peer(self._socket)
        send_at_once(self._socket)
        if self._interrupted.is_set():  # meanwhile
            self._socket.close()
            raise ConnectionLost(GIVEN_UP)

    @override
    def _interrupt(self) -> None:
        """Do nothing: the wakeup socket does this."""

    def _set_timeout(self, until: float | None) -> None:
        """Set how long the next call may wait."""
        if self._interrupted.is_set():
            raise ConnectionLost(GIVEN_UP)
        left = self._stall
        if until is not None:
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise TimedOut("the deadline has passed")
            if left is None or remaining < left:
                left = remaining
        self._socket.settimeout(left if left is None or left < _LONGEST else _LONGEST)

    def _wait_readable(self, wakeup: socket.socket) -> None:
        """Wait until there is something to read, or the server is shutting down."""
        with Selector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(self._socket.gettimeout())]
        if self._interrupted.is_set():
            raise ConnectionLost(GIVEN_UP)
        self._raise_shutdown()
        if wakeup in ready:
            self.wakeup = None  # it stays readable
            self.begin_shutdown()
            self._raise_shutdown()
        if not ready:
            raise TimeoutError


class SocketStream:
    """A connected socket for a client: its methods block, and may be called as those of any object.

    Args:
        sock: connected; it belongs to the stream from now on.
        channel: makes the TLS channel; None: there is no TLS.
        stall: the most seconds that one read or write may wait; None: no limit.
        connect: as in `SocketDriver`.
    """

    def __init__(
        self,
        sock: socket.socket,
        channel: MakeChannel | None = None,
        *,
        stall: float | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._driver: Final = SocketDriver(sock, channel, stall=stall, connect=connect)

    @property
    def peer(self) -> Peer:
        """The other end."""
        return self._driver.peer

    def perform(self, procedure: Procedure[T], first: Operation[object] | None = None) -> T:
        """As `Driver.perform`."""
        return run_blocking(self._driver.perform(procedure, first))

    def using_channel(self, channel: MakeChannel | None) -> AbstractContextManager[None]:
        """Use another channel for a handshake inside a block; None: the same."""
        return self._driver.using_channel(channel)

    def close(self) -> None:
        """Close the connection, with the closing alert of TLS."""
        run_blocking(self._driver.close())

    def abort(self) -> None:
        """Close the connection at once."""
        run_blocking(self._driver.abort())

    def interrupt(self) -> None:
        """End the connection while another thread uses it; that thread has still to close it."""
        self._driver.interrupt()

    @contextlib.contextmanager
    def run_in_background(self, work: Callable[[], None]) -> Generator[None]:
        """Do some work with this stream in a thread, until a block ends, and raise what it raises.

        The end of the block throws `ShuttingDown` into its `Read`.
        """
        failures: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
                failures.append(error)

        sender, self._driver.wakeup = socket.socketpair()
        with sender, self._driver.wakeup:
            thread = threading.Thread(target=run, name="pop3proto-background", daemon=True)
            try:
                thread.start()  # raises if there can be no more threads
                try:
                    yield
                finally:
                    sender.close()
                    thread.join()
            finally:
                self._driver.wakeup = None
        if failures:
            raise failures[0]


def _peer(sock: socket.socket) -> Peer:
    try:
        return Peer.of(sock.family, sock.getpeername(), sock.getsockname())
    except OSError:
        return UNKNOWN_PEER
