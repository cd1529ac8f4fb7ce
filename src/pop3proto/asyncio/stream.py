"""A transport of asyncio's that performs the operations of procedures."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING, Final, TypeVar, cast

from typing_extensions import override

from pop3proto._aio.driver import AsyncStream
from pop3proto._io.peers import UNKNOWN_PEER, Peer
from pop3proto._io.sockets import is_readable, reset_at_close, send_at_once
from pop3proto._io.stream import GIVEN_UP, LOGIN_TIMEOUT, READ_TIMEOUT, TURN_TIMEOUT, WRITE_TIMEOUT
from pop3proto.asyncio.futures import all_done, in_new_thread
from pop3proto.core.errors import ConnectionLost, TimedOut

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from pop3proto._io.tls_channel import MakeChannel
    from pop3proto.procedures.operations import EndTurn, Turn

__all__ = ["AsyncioStream"]

T = TypeVar("T")

_YIELD_AT: Final = 65_536  # octets: after a write of so many other tasks run


class AsyncioStream(AsyncStream, asyncio.Protocol):
    """A transport's octets, and one task that waits for them or for room to write.

    Args:
        channel: makes the TLS channel; None: there is no TLS.
        connect: connects a stream to the same server again; None: it cannot connect again.
    """

    def __init__(
        self,
        channel: MakeChannel | None,
        connect: Callable[[AsyncioStream], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(UNKNOWN_PEER, channel)
        self._connect: Final = connect
        self._connecting: asyncio.Timeout | None = None
        self._loop: Final = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._inbox: list[bytes] = []
        self._receiving = False  # a `receive` waits
        self._eof = False
        self._full = False  # octets that were written wait in the transport
        self._lost = False
        self._ended: asyncio.Event | None = None  # `_lost`, for tasks that wait for it
        self._failure: Exception | None = None
        self._given_up = False
        self._waiter: asyncio.Future[None] | None = None
        self._until: float | None = None  # of the waiter
        self._timer: asyncio.TimerHandle | None = None  # it may fire too early, and is set again then

    # What the transport calls.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._inbox.clear()  # what the connection before has left
        self._eof = self._full = self._lost = False
        self._failure = self._timer = self._ended = None
        self._transport.pause_reading()  # `receive` begins it
        self._transport.set_write_buffer_limits(high=1, low=0)  # what was sent has left the process
        sock = transport.get_extra_info("socket")
        if sock is not None:
            send_at_once(sock)
            self.peer: Peer = Peer.of(sock.family, *map(transport.get_extra_info, ("peername", "sockname")))

    @override
    def data_received(self, data: bytes) -> None:
        self._inbox.append(data)
        if self._receiving:
            self._receiving = False
            self._wakeup()
        else:
            self._pause()

    @override
    def eof_received(self) -> bool:
        self._eof = True
        self._wakeup()
        return True  # what is still to be written must not be lost

    @override
    def pause_writing(self) -> None:
        self._full = True

    @override
    def resume_writing(self) -> None:
        self._full = False
        self._wakeup()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._lost, self._eof, self._failure = True, True, exc
        if self._ended is not None:
            self._ended.set()
        self._wakeup()
        if self._timer is not None:
            self._timer.cancel()

    # Waiting.

    def _wakeup(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, until: float | None) -> None:
        """Wait for `_wakeup`."""
        self._until = until
        if until is not None and (self._timer is None or self._timer.when() > until):
            self._set_timer(until)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _set_timer(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._until is None:
            return
        if self._until <= self._loop.time():
            self._waiter.set_exception(TimedOut(READ_TIMEOUT if self._receiving else WRITE_TIMEOUT))
        else:
            self._set_timer(self._until)

    # Operations.

    @override
    def now(self) -> float:
        return self._loop.time()

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @override
    async def run(self, call: Callable[[], object], *, login: bool) -> object:
        context = contextvars.copy_context()

        def in_thread() -> object:
            try:
                return context.run(call)
            except StopIteration as error:  # a future cannot hold it
                raise RuntimeError("a function that was to run in a thread raised StopIteration") from error

        # A thread of its own: the work of a login waits for no other.
        future = in_new_thread(in_thread) if login else self._loop.run_in_executor(None, in_thread)
        self._cancellation = await all_done([future]) or self._cancellation
        return future.result()

    @override
    async def finish(self, awaitable: Awaitable[object]) -> object:
        future = asyncio.ensure_future(awaitable)
        self._cancellation = await all_done([future]) or self._cancellation
        return future.result()

    @override
    async def wait_for(self, awaitable: Awaitable[object], until: float | None) -> object:
        # It begins, even if it is cancelled at once: Python warns of a coroutine that never began.
        limit = asyncio.timeout_at(until if self._cancellation is None else self.now())
        try:
            async with limit:
                return await awaitable
        except TimeoutError:
            if limit.expired():
                raise TimedOut(LOGIN_TIMEOUT) from None
            raise

    @override
    async def wait_for_turn(self, turn: Turn) -> None:
        come = asyncio.Event()
        turn.wake_by(come.set)
        try:
            async with asyncio.timeout_at(turn.until):
                await come.wait()
        except TimeoutError:
            raise TimedOut(TURN_TIMEOUT) from None

    @override
    async def wait_for_end_turn(self, turn: EndTurn) -> None:
        come: asyncio.Future[None] = self._loop.create_future()

        def wake() -> None:
            if not come.done():
                come.set_result(None)

        turn.wake_by(wake)
        self._cancellation = await all_done([come]) or self._cancellation

    @override
    async def receive(self, until: float | None) -> bytes:
        if self._inbox or self._given_up:
            self._check(until)  # else the timer does
        try:
            while not self._inbox and not self._eof:
                self._receiving = True
                if not self._transport.is_closing():
                    self._transport.resume_reading()
                await self._wait(until)
                if not self._inbox:
                    self._raise_shutdown()
        finally:
            self._receiving = False
        if not self._inbox:
            self._check_failure()
        octets = b"".join(self._inbox)
        self._inbox.clear()
        return octets

    @override
    async def send(self, octets: bytes, until: float | None) -> None:
        self._check(until)
        if not self._transport.is_closing():
            self._transport.write(octets)
        while self._full and not self._lost:
            await self._wait(until)
        if self._transport.is_closing():
            self._check_failure()
            raise ConnectionLost("the connection broke while something was sent")
        if len(octets) >= _YIELD_AT:
            await asyncio.sleep(0)

    @override
    async def send_eof(self) -> None:
        if not self._transport.is_closing() and self._transport.can_write_eof():
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    @override
    def hold(self) -> bool:
        self._pause()
        return bool(self._inbox)

    @override
    def readable(self) -> bool:
        sock = self._transport.get_extra_info("socket")
        return bool(self._inbox) or self._eof or (sock is not None and is_readable(sock))

    async def _close(self) -> None:
        """Close the transport, and wait until it is closed."""
        self._transport.abort()  # nothing waits in it: see `send`
        if not self._lost:
            self._ended = self._ended or asyncio.Event()
            await self._ended.wait()

    @override
    async def hang_up(self) -> None:
        self._given_up = True
        await self._close()

    @override
    async def connect_again(self, until: float | None) -> None:
        if self._connect is None:
            await super().connect_again(until)
            return
        await self._close()
        try:
            if not self._given_up:
                async with asyncio.timeout_at(until) as self._connecting:
                    await self._connect(self)
        except TimedOut:
            raise
        except TimeoutError:
            if not self._given_up:
                raise TimedOut("no connection in time") from None
        finally:
            self._connecting = None
        if self._given_up:
            self._transport.abort()
            raise ConnectionLost(GIVEN_UP)

    @override
    async def reset(self) -> None:
        reset_at_close(self._transport.get_extra_info("socket"))
        await self.hang_up()

    @override
    async def abort(self) -> None:
        self._given_up = True
        self._transport.abort()
        if self._connecting is not None and not self._connecting.expired():  # by the deadline, or an `abort` before
            self._connecting.reschedule(self._loop.time())

    @override
    @contextlib.asynccontextmanager
    async def run_in_background(self, work: Callable[[], Coroutine[object, object, None]]) -> AsyncGenerator[None]:
        task = self._loop.create_task(work())
        try:
            await asyncio.sleep(0)  # it begins
            yield
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self.begin_shutdown()
            cancellation = await all_done([task], cancel=True)
            self.cancel_shutdown()
            failure = cancellation or (None if task.cancelled() else task.exception())
        if failure is not None:
            raise failure

    @override
    def _interrupt(self) -> None:
        self._wakeup()

    def _pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _check(self, until: float | None) -> None:
        if self._given_up:
            raise ConnectionLost(GIVEN_UP)
        if until is not None and until <= self._loop.time():
            raise TimedOut("the deadline has passed")

    def _check_failure(self) -> None:
        self._check(None)
        # A peer that resets the connection has ended it; whether something was owed is the procedure's to know.
        if self._failure is not None and not isinstance(self._failure, ConnectionError):
            raise ConnectionLost(f"the connection broke: {self._failure}") from self._failure
