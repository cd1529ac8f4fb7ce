"""What drives procedures under asyncio and trio: everything but the waiting."""

from __future__ import annotations

import contextlib
import secrets
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from pop3proto._io.tls_channel import TlsChannel
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from pop3proto.procedures.operations import (
    Await,
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Run,
    RunLogin,
    ShuttingDown,
    Sleep,
    StartTls,
    Write,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from pop3proto._io.peers import Peer
    from pop3proto.sasl.channel import TlsInfo

__all__ = ["GIVEN_UP", "LOGIN_THREADS", "RECEIVE", "AsyncStream", "MakeChannel"]

T = TypeVar("T")

MakeChannel: TypeAlias = Callable[[], TlsChannel]

RECEIVE: Final = 262_144
"""Octets to receive at once; smaller reads cost a third of the speed on large messages."""

LOGIN_THREADS: Final = 4
"""Threads of one server for `RunLogin`; the others of the process never wait for these."""

GIVEN_UP: Final = "the connection was given up"

_LINGER: Final = 2.0  # seconds for a peer to read the last answer before its unread octets reset the connection


class AsyncStream(ABC):
    """A connected stream, and the driver of the procedures that talk over it, one at a time.

    Args:
        peer: the other end.
        channel: makes what TLS needs; None: there is none.
    """

    def __init__(self, peer: Peer, channel: MakeChannel | None = None) -> None:
        self.peer = peer
        self._channel: Final = channel
        self._tls: TlsChannel | None = None
        self._farewell: ShuttingDown | None = None  # for the next `Read`
        self._listening = False  # a `Read` is under way
        self._spoken = False  # something was said in clear
        self._cancellation: BaseException | None = None  # it came during a `Run` or an `Await`

    # What waits, and is each adapter's own. Deadlines are on the clock of `now`.

    @abstractmethod
    def now(self) -> float:
        """Return the time."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let time pass; none at all lets other tasks run."""

    @abstractmethod
    async def run(self, call: Callable[[], object], *, login: bool) -> object:
        """Call a function in a thread, and wait for its end in any case.

        A framework that cancels once only leaves the cancellation in `_cancellation`.

        Args:
            call: the function.
            login: it is work of a login, and has threads of its own.
        """

    @abstractmethod
    async def finish(self, awaitable: Awaitable[object]) -> object:
        """Await something to its end in any case; a cancellation is kept as in `run`."""

    @abstractmethod
    async def receive(self, until: float | None) -> bytes:
        """Return at least one octet, as it came; none at the end of the stream.

        Raises:
            ShuttingDown: by `_raise_shutdown`, after `_interrupt`.
            ConnectionLost, TimedOut: as `Read` and `Write`.
        """

    @abstractmethod
    async def send(self, octets: bytes, until: float | None) -> None:
        """Hand octets to the system, all of them; 64 KiB or more let other tasks run.

        Raises:
            ConnectionLost, TimedOut: as `Write`.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Say that nothing more comes, if the stream can say so; it may have ended."""

    @abstractmethod
    def hold(self) -> bool:
        """Receive nothing more until the next `receive`; return whether something has come that nobody asked for."""

    @abstractmethod
    async def hang_up(self) -> None:
        """Close the connection: what was sent may still arrive."""

    @abstractmethod
    async def abort(self) -> None:
        """Close the connection at once, without waiting. Whoever uses it gets `ConnectionLost`."""

    @abstractmethod
    def run_in_background(
        self, work: Callable[[], Coroutine[object, object, None]]
    ) -> AbstractAsyncContextManager[None]:
        """Do some work with this stream beside a block, until the block ends, and raise what it raises.

        The end of the block throws `ShuttingDown` into its `Read`.
        """

    @abstractmethod
    def _interrupt(self) -> None:
        """Wake the `receive` that is under way, so that it calls `_raise_shutdown`."""

    # What does not wait.

    async def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end and return its result, or raise what it raises."""
        results: list[object] = [None]  # handed over without a name: there may be a password in what was read
        error: BaseException | None = None
        try:
            while True:
                operation = procedure.send(results.pop()) if error is None else procedure.throw(error)
                error = None
                try:
                    results.append(await self._perform(operation))
                except BaseException as raised:  # noqa: BLE001 - the procedure decides what becomes of it
                    error = raised
        except StopIteration as end:
            return cast("T", end.value)
        finally:
            error = None  # it holds this frame
            self._raise_cancellation()

    async def _perform(self, operation: Operation[object]) -> object:
        if not isinstance(operation, Run | Await):  # what these are to finish, a lock to release, must be finished
            self._raise_cancellation()
        match operation:
            case Read(until):
                return await self._read(until)
            case Write(octets, until):
                await self._write(octets, until)
            case StartTls(last_words, until):
                return await self._start_tls(last_words, until)
            case Run():
                return await self.run(operation.call, login=isinstance(operation, RunLogin))
            case Await():
                return await self.finish(operation.awaitable)
            case Now():
                return self.now()
            case Random(count):
                return secrets.token_bytes(count)
            case Sleep(seconds):
                await self.sleep(seconds)
            case _:
                raise LocalProtocolError(f"{type(operation).__name__} is not an operation of this driver")
        return None

    def _raise_cancellation(self) -> None:
        if (cancellation := self._cancellation) is not None:
            self._cancellation = None
            raise cancellation

    def begin_shutdown(self) -> None:
        """Throw `ShuttingDown` into the `Read` that is under way or comes next."""
        self._farewell = ShuttingDown()
        if self._listening:
            self._interrupt()

    def cancel_shutdown(self) -> None:
        """Take back a `begin_shutdown` that nobody has heard of."""
        self._farewell = None

    def _raise_shutdown(self) -> None:
        if self._listening and (farewell := self._farewell) is not None:
            self._farewell = None
            raise farewell

    async def _read(self, until: float | None) -> bytes:
        self._listening = True
        try:
            self._raise_shutdown()
            if self._tls is None:
                self._spoken = True
                return await self.receive(until)
            while (octets := self._tls.read()) is None:
                self._tls.feed(await self.receive(until))
                self._raise_shutdown()
            await self._send_rest(self._tls, until)  # new keys, say
        except ssl.SSLError as error:
            raise ConnectionLost(f"the connection broke: {error}") from error
        else:
            return octets
        finally:
            self._listening = False

    async def _write(self, octets: bytes, until: float | None) -> None:
        if self._tls is None:
            self._spoken = True
        else:
            try:
                octets = self._tls.write(octets)
            except ssl.SSLError as error:
                raise ConnectionLost(f"the connection broke while something was sent: {error}") from error
        await self.send(octets, until)

    async def _start_tls(self, last_words: bytes, until: float | None) -> TlsInfo:
        if self._channel is None:
            raise LocalProtocolError("there is no TLS context")
        if self._spoken and self.hold():  # else they belong to the handshake
            raise RemoteProtocolError("the peer sent octets in clear where the TLS handshake was due")
        if last_words:
            await self.send(last_words, until)
        try:
            tls = self._channel()
        except (OSError, ValueError) as error:  # an impossible host name; the context of a server, for a client
            raise ConnectionLost(f"the TLS handshake failed: {error}") from error
        await self._shake_hands(tls, until)
        self._tls = tls
        return tls.info()

    async def _shake_hands(self, tls: TlsChannel, until: float | None) -> None:
        try:
            while not tls.handshake():
                await self._send_rest(tls, until)
                tls.feed(await self.receive(until))
        except ssl.SSLError as error:
            with contextlib.suppress(ConnectionLost, TimedOut):
                await self._send_rest(tls, until)  # an alert, so that the peer knows why
            raise ConnectionLost(f"the TLS handshake failed: {error}") from error
        await self._send_rest(tls, until)

    async def _send_rest(self, tls: TlsChannel, until: float | None) -> None:
        if octets := tls.take():
            await self.send(octets, until)

    async def linger(self) -> None:
        """Say that nothing more comes, and wait a little for the peer to close: else it may lose the last answer."""
        until = self.now() + _LINGER
        with contextlib.suppress(ConnectionLost, TimedOut):
            await self._close_tls(until)
            await self.send_eof()
            while await self.receive(until):  # with TLS these are its records, and may hold anything
                pass

    async def close(self) -> None:
        """Close the connection, and tell the peer so."""
        try:
            with contextlib.suppress(ConnectionLost, TimedOut):
                await self._close_tls(self.now() + _LINGER)
        finally:
            await self.hang_up()

    async def _close_tls(self, until: float) -> None:
        """Send the alert that says so; do not wait for the peer's."""
        if (tls := self._tls) is not None:
            self._tls = None
            if alert := tls.close():
                await self.send(alert, until)
