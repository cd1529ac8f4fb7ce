"""A stream of trio's that performs the operations of procedures."""

from __future__ import annotations

import contextlib
import math
import os
from typing import TYPE_CHECKING, Final

import trio
from typing_extensions import override

from pop3proto._aio.driver import AsyncStream
from pop3proto._io.peers import UNKNOWN_PEER, Peer
from pop3proto._io.sockets import is_readable, reset_at_close
from pop3proto._io.stream import GIVEN_UP, LINGER, LOGIN_TIMEOUT, READ_TIMEOUT, RECEIVE, TURN_TIMEOUT, WRITE_TIMEOUT
from pop3proto.core.errors import ConnectionLost, TimedOut

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from pop3proto._io.tls_channel import MakeChannel
    from pop3proto.procedures.operations import EndTurn, Turn

__all__ = ["TrioStream"]

_MANY: Final = 65_536  # octets that come at once: more of them are under way, most likely
_YIELD_AT: Final = 1_048_576  # octets: after so many other tasks run


class TrioStream(AsyncStream):
    """A stream of trio's.

    Args:
        stream: connected.
        channel: makes the TLS channel; None: there is no TLS.
        connect: connects to the same server again; None: it cannot connect again.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        channel: MakeChannel | None,
        connect: Callable[[], Awaitable[trio.abc.Stream]] | None = None,
    ) -> None:
        super().__init__(_peer(stream), channel)
        self._stream: trio.abc.Stream = stream
        self._connect: Final = connect
        self._connecting: trio.CancelScope | None = None
        self._given_up = False
        self._receiving: trio.CancelScope | None = None
        self._at_once = 0  # octets that may be received before other tasks run; not 0: many come

    @override
    def now(self) -> float:
        return trio.current_time()

    @override
    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @override
    async def run(self, call: Callable[[], object], *, login: bool) -> object:
        result: list[object] = []  # trio refuses a function that returns a coroutine, as a plain method may

        def in_thread() -> None:
            result.append(call())

        with trio.CancelScope(shield=True):
            # A limiter of its own: the work of a login waits for no other.
            await trio.to_thread.run_sync(in_thread, limiter=trio.CapacityLimiter(1) if login else None)
        return result.pop()

    @override
    async def finish(self, awaitable: Awaitable[object]) -> object:
        result: object = None
        with trio.CancelScope(shield=True):
            result = await awaitable
        return result  # noqa: RET504 - mypy thinks that a scope may swallow more

    @override
    async def wait_for(self, awaitable: Awaitable[object], until: float | None) -> object:
        with trio.CancelScope(deadline=math.inf if until is None else until):
            return await awaitable
        raise TimedOut(LOGIN_TIMEOUT)

    @override
    async def wait_for_turn(self, turn: Turn) -> None:
        come = trio.Event()
        turn.wake_by(come.set)
        with trio.CancelScope(deadline=math.inf if turn.until is None else turn.until) as scope:
            await come.wait()
            await trio.lowlevel.checkpoint_if_cancelled()  # since it has come
        if scope.cancelled_caught:
            raise TimedOut(TURN_TIMEOUT)

    @override
    async def wait_for_end_turn(self, turn: EndTurn) -> None:
        come = trio.Event()
        turn.wake_by(come.set)
        with trio.CancelScope(shield=True):
            await come.wait()

    @override
    async def receive(self, until: float | None) -> bytes:
        if self._at_once > 0 and (arrived := self._receive_at_once()):
            self._at_once -= len(arrived)
            return arrived
        octets = await self._receive(until)
        self._at_once = _YIELD_AT if len(octets) >= _MANY else 0
        return octets

    def _receive_at_once(self) -> bytes:
        """Return octets that have arrived already; none: that is to be waited for, or is the end, or a failure.

        `receive_some` goes through trio's scheduler even if it need not wait, which costs a large message half of its
        speed.
        """
        if isinstance(self._stream, trio.SocketStream):
            with contextlib.suppress(OSError):  # nothing has arrived, or the socket is closed: its number is -1 then
                return os.read(self._stream.socket.fileno(), RECEIVE)
        return b""

    async def _receive(self, until: float | None) -> bytes:
        with trio.CancelScope(deadline=math.inf if until is None else until) as self._receiving:
            try:
                return bytes(await self._stream.receive_some(RECEIVE))
            except trio.ClosedResourceError:
                raise ConnectionLost(GIVEN_UP) from None
            except trio.BrokenResourceError as error:
                # A peer that resets the connection has ended it; whether something was owed is the procedure's to know.
                if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, ConnectionError):
                    raise ConnectionLost(f"the connection broke: {error}") from error
                return b""
        self._raise_shutdown()
        raise TimedOut(READ_TIMEOUT)

    @override
    async def send(self, octets: bytes, until: float | None) -> None:
        with trio.CancelScope(deadline=math.inf if until is None else until) as scope:
            try:
                await self._stream.send_all(octets)
            except trio.ClosedResourceError:
                raise ConnectionLost(GIVEN_UP) from None
            except trio.BrokenResourceError as error:
                raise ConnectionLost(f"the connection broke while something was sent: {error}") from error
        if scope.cancelled_caught:
            raise TimedOut(WRITE_TIMEOUT)

    @override
    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_eof()

    @override
    def readable(self) -> bool:
        return isinstance(self._stream, trio.SocketStream) and is_readable(self._stream.socket)

    @override
    async def hang_up(self) -> None:
        with trio.move_on_after(LINGER):  # a stream that is cancelled in this closes all the same
            await self._stream.aclose()

    @override
    async def connect_again(self, until: float | None) -> None:
        if self._connect is None:
            await super().connect_again(until)
            return
        await trio.aclose_forcefully(self._stream)
        with trio.CancelScope(deadline=math.inf if until is None else until) as scope:
            self._connecting = scope
            try:
                if not self._given_up:
                    self._stream = await self._connect()
            finally:
                self._connecting = None
        if self._given_up:
            await trio.aclose_forcefully(self._stream)
            raise ConnectionLost(GIVEN_UP)
        if scope.cancelled_caught:
            raise TimedOut("no connection in time")
        self.peer: Peer = _peer(self._stream)

    @override
    async def reset(self) -> None:
        if isinstance(self._stream, trio.SocketStream):
            reset_at_close(self._stream.socket)
        await self.abort()

    @override
    async def abort(self) -> None:
        self._given_up = True
        if self._connecting is not None:
            self._connecting.cancel()
        await trio.aclose_forcefully(self._stream)

    @override
    @contextlib.asynccontextmanager
    async def run_in_background(self, work: Callable[[], Coroutine[object, object, None]]) -> AsyncGenerator[None]:
        failures: list[Exception] = []

        async def run() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - it is raised at the end, and not as a group
                failures.append(error)

        opened = trio.open_nursery()
        nursery = await opened.__aenter__()
        nursery.start_soon(run)
        try:
            await trio.lowlevel.checkpoint()  # it begins
            yield
        finally:
            self.begin_shutdown()
            # It is not told of the block's error: it would make a group of it.
            await opened.__aexit__(None, None, None)
            self.cancel_shutdown()
        if failures:
            raise failures[0]

    @override
    def _interrupt(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()


def _peer(stream: trio.abc.Stream) -> Peer:
    if isinstance(stream, trio.SocketStream):
        with contextlib.suppress(OSError):  # it is gone already
            return Peer.of(stream.socket.family, stream.socket.getpeername(), stream.socket.getsockname())
    return UNKNOWN_PEER
