"""The driver that all adapters share: it performs the operations of procedures over one connection."""

from __future__ import annotations

import contextlib
import secrets
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from pop3proto.procedures.operations import (
    Await,
    AwaitLogin,
    Displaced,
    EndTurn,
    Look,
    NewConnection,
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Reconnect,
    Reset,
    Run,
    RunLogin,
    ShuttingDown,
    Sleep,
    StartTls,
    Turn,
    UtcNow,
    Write,
)

from .peers import new_session_info
from .stream import LINGER, Stream
from .tls import handshake_failure, tls_broken

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from pop3proto.sasl.channel import TlsInfo

    from .peers import Peer
    from .tls_channel import MakeChannel, TlsChannel

__all__ = ["Driver"]

T = TypeVar("T")


class Driver(Stream):
    """Runs procedures over one connection, one at a time, in clear or over TLS.

    Args:
        peer: the other end.
        channel: makes the TLS channel; None: there is no TLS.
    """

    awaits: ClassVar[bool] = True
    """Whether it performs `Await`."""

    def __init__(self, peer: Peer, channel: MakeChannel | None = None) -> None:
        self.peer: Peer = peer
        self._channel = channel
        self._tls: TlsChannel | None = None
        self._shutdown: ShuttingDown | Displaced | None = None  # for the next `Read`
        self._reading = False  # a `Read` is under way
        self._used_in_clear = False  # something was read or written before TLS
        self._unread = b""  # octets that were received, and belong to what is read next
        self._had_tls = False  # TLS was active, over this connection or an earlier one to the same peer

    # Procedures.

    async def perform(self, procedure: Procedure[T], first: Operation[object] | None = None) -> T:
        """Run a procedure to its end and return its result, or raise what it raises.

        Args:
            procedure: what to run.
            first: the operation that it waits for; None: it has not begun.
        """
        results: list[object] = []  # handed over without a name: there may be a password in what was read
        error: BaseException | None = None
        try:
            operation = next(procedure) if first is None else first
            while True:
                while isinstance(operation, Now):
                    operation = procedure.send(self.now())
                try:
                    results.append(await self._perform(operation))
                except BaseException as raised:  # noqa: BLE001 - the procedure decides what becomes of it
                    error = raised
                operation = procedure.send(results.pop()) if error is None else procedure.throw(error)
                error = None
        except StopIteration as end:
            return cast("T", end.value)
        finally:
            error = None  # it holds this frame

    def _perform(self, operation: Operation[object]) -> Coroutine[object, object, object]:
        # Without a coroutine of its own, and in this order: these two are most of what is performed.
        if isinstance(operation, Read):
            return self._read(operation.until)
        if isinstance(operation, Write):
            if (tls := self._tls) is not None:
                return self._write(tls, operation.octets, operation.until)
            self._used_in_clear = True
            return self.send(operation.octets, operation.until)
        return self._perform_other(operation)

    async def _perform_other(self, operation: Operation[object]) -> object:
        match operation:
            case StartTls(last_words, until):
                return await self._start_tls(last_words, until)
            case Look():
                return await self._look()
            case Run():
                return await self.run(operation.call, login=isinstance(operation, RunLogin))
            case Await():
                return await self.finish(operation.awaitable)
            case AwaitLogin():
                return await self.wait_for(operation.awaitable, operation.until)
            case Reconnect(until):
                return await self._reconnect(until)
            case Random() | UtcNow():
                return datetime.now(UTC) if isinstance(operation, UtcNow) else secrets.token_bytes(operation.count)
            case Reset():
                await self.reset()
            case Sleep() | Turn():
                await self._wait_until_due(operation)
            case _:
                raise LocalProtocolError(f"{type(operation).__name__} is not an operation of this driver")
        return None

    async def _wait_until_due(self, operation: Sleep | Turn) -> None:
        if isinstance(operation, Sleep):
            await self.sleep(operation.seconds)
        elif isinstance(operation, EndTurn):
            await self.wait_for_end_turn(operation)
        else:
            await self.wait_for_turn(operation)

    async def _read(self, until: float | None) -> bytes:
        self._reading = True
        try:
            self._raise_shutdown()
            if self._tls is None:
                self._used_in_clear = True
                return self._take_back() if self._unread else await self.receive(until)
            while (octets := self._tls.read()) is None:
                await self._send_pending(self._tls, until)  # an answer to a certificate request, for example
                self._tls.feed(await self.receive(until))
                self._raise_shutdown()
            with contextlib.suppress(ConnectionLost):  # the next operation raises it; these octets have arrived
                await self._send_pending(self._tls, until)
        except ssl.SSLError as error:
            raise tls_broken("the connection broke", error) from error
        else:
            return octets
        finally:
            self._reading = False

    def begin_behind(self, peer: Peer, unread: bytes) -> None:
        """Let the connection begin behind what was read so far, a header of the PROXY protocol.

        Args:
            peer: who the other end is, as it announces.
            unread: octets that were received behind the header.
        """
        self.peer = peer
        self._unread = unread
        self._used_in_clear = False

    def _take_back(self) -> bytes:
        octets, self._unread = self._unread, b""
        return octets

    async def _look(self) -> bytes | None:
        tls = self._tls
        try:
            while True:
                if tls is not None and (octets := tls.read()) is not None:
                    return octets
                if not self.readable():
                    return None
                arrived = await self.receive(None)
                if tls is None:
                    self._used_in_clear = True
                    return arrived
                tls.feed(arrived)
        except ssl.SSLError as error:
            raise tls_broken("the connection broke", error) from error

    async def _write(self, tls: TlsChannel, octets: bytes, until: float | None) -> None:
        try:
            records = tls.write(octets)
        except ssl.SSLError as error:
            raise tls_broken("the connection broke while something was sent", error) from error
        await self.send(records, until)

    async def _reconnect(self, until: float | None) -> NewConnection:
        await self.connect_again(until)
        self._tls = None
        self._used_in_clear = False
        return NewConnection(new_session_info(self.peer), self.peer.loopback)

    # Shutdown of a server.

    def begin_shutdown(self) -> None:
        """Throw `ShuttingDown` into the `Read` that is under way or comes next."""
        self._shutdown = ShuttingDown("the server is shutting down")
        if self._reading:
            self._interrupt()

    def displace(self) -> bool:
        """Throw `Displaced` into the `Read` that is under way; return whether there is one."""
        if self._reading:
            self._shutdown = Displaced("too many sessions before login")
            self._interrupt()
        return self._reading

    def cancel_shutdown(self) -> None:
        """Take back a `begin_shutdown` that no `Read` has raised yet."""
        self._shutdown = None

    def _raise_shutdown(self) -> None:
        if self._reading and (shutdown := self._shutdown) is not None:
            self._shutdown = None
            raise shutdown

    # TLS.

    @contextlib.contextmanager
    def using_channel(self, channel: MakeChannel | None) -> Generator[None]:
        """Use another channel for a handshake inside a block, and for those of later connections if it succeeds.

        Args:
            channel: None: the same.
        """
        before = self._channel
        self._channel = channel or before
        try:
            yield
        except BaseException:
            self._channel = before
            raise

    async def _start_tls(self, last_words: bytes, until: float | None) -> TlsInfo:
        if self._channel is None:
            raise LocalProtocolError("there is no TLS context")
        if self._used_in_clear and self.hold():  # else they belong to the handshake
            raise RemoteProtocolError("the peer sent octets in clear where the TLS handshake was due")
        if last_words:
            await self.send(last_words, until)
        try:
            tls = self._channel()
        except (OSError, TypeError, ValueError) as error:  # an impossible host name
            raise handshake_failure(error) from error
        await self._shake_hands(tls, until)
        self._tls = tls
        self._had_tls = True
        return tls.info()

    async def _shake_hands(self, tls: TlsChannel, until: float | None) -> None:
        first = b""  # what the peer has sent first
        try:
            while not tls.handshake():
                await self._send_pending(tls, until)
                octets = self._take_back() if self._unread else await self.receive(until)
                first = first or octets
                tls.feed(octets)
            await self._send_pending(tls, until)
        except ssl.SSLError as error:
            with contextlib.suppress(ConnectionLost, TimedOut):
                await self._send_pending(tls, until)  # an alert, so that the peer knows why
            raise tls.failure(error, first, announced=self._used_in_clear, before=self._had_tls) from error
        except TimedOut as error:
            raise tls.failure(error, first, announced=self._used_in_clear, before=self._had_tls) from None

    async def _send_pending(self, tls: TlsChannel, until: float | None) -> None:
        if octets := tls.take():
            await self.send(octets, until)

    # The end.

    async def linger(self) -> None:
        """Close the sending half, and wait a little for the peer to close: else it may lose the last answer."""
        until = self.now() + LINGER
        with contextlib.suppress(ConnectionLost, TimedOut):
            await self._close_tls(until)
            await self.send_eof()
            while await self.receive(until):  # under TLS these are records, and are not looked at
                pass

    async def close(self) -> None:
        """Close the connection, with the closing alert of TLS."""
        try:
            with contextlib.suppress(ConnectionLost, TimedOut):
                await self._close_tls(self.now() + LINGER)
        finally:
            await self.hang_up()

    async def _close_tls(self, until: float) -> None:
        """Send the closing alert (RFC 8314 section 3.4); do not wait for the peer's."""
        if (tls := self._tls) is not None:
            self._tls = None
            if alert := tls.close():
                await self.send(alert, until)
