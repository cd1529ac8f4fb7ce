"""Sessions of a service in memory: nothing but calls, no socket, no thread and no waiting.

A session runs whenever its client has said something, until it waits for more. So a test takes microseconds, and all
happens in the same order each time. TLS takes sockets: `pop3_server`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from typing_extensions import Buffer, override

from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from pop3proto.procedures.operations import Now, Operation, Random, Read, Reset, Run, Sleep, StartTls, Turn, Write
from pop3proto.procedures.server.loop import serve_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.procedures.server.service import Service
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["MemorySession", "MemorySocket", "MemoryTransport"]


class MemorySession:
    """One session of a service, which its client drives.

    Args:
        service: whose store and authenticator have plain methods.
        info: the client.

    Attributes:
        ended: the session is over: the server has hung up.
        reset: it has done so by a reset.
    """

    def __init__(self, service: Service, info: SessionInfo) -> None:
        self.ended: bool = False
        self.reset: bool = False
        self._slept = 0.0  # seconds: nobody waits for them
        self._heard: Final[deque[bytes]] = deque()
        self._said: Final[deque[bytes]] = deque()
        connection = service.connection(tls=False)
        session = serve_session(service, connection, info, loopback=True, awaits=False)
        self._procedure: Final = service.around(session)
        self._go_on(lambda: next(self._procedure))

    def hear(self, octets: bytes) -> None:
        """Take what the client sends; empty: it has hung up."""
        if self.ended:
            return
        self._heard.append(octets)
        if len(self._heard) == 1:
            self._go_on(lambda: self._procedure.send(self._heard.popleft()))

    def take_piece(self) -> bytes:
        """Return what the server has said at once, the first that was not taken; empty: nothing is left."""
        return self._said.popleft() if self._said else b""

    def take(self) -> bytes:
        """Return what the server has said since the last time."""
        octets = b"".join(self._said)
        self._said.clear()
        return octets

    def _go_on(self, begin: Callable[[], Operation[object]]) -> None:
        """Run until the session waits for its client, or is over."""
        try:
            operation = begin()
            while not isinstance(operation, Read) or self._heard:
                try:
                    result = self._result(operation)
                except Exception as error:  # noqa: BLE001 - it belongs to the session
                    operation = self._procedure.throw(error)
                else:
                    operation = self._procedure.send(result)
        except StopIteration:
            self.ended = True
        except (ConnectionLost, RemoteProtocolError, TimedOut):  # observers have been told
            self.ended = True
        except BaseException:
            self.ended = True
            raise

    def _result(self, operation: Operation[object]) -> object:
        match operation:
            case Read():
                return self._heard.popleft()
            case Write(octets):
                self._said.append(octets)
            case Now():
                return time.monotonic() + self._slept
            case Sleep(seconds):
                self._slept += seconds
            case Run():
                return operation.call()
            case Random(count):
                return secrets.token_bytes(count)
            case Reset():
                self.reset = True
            case Turn(has_come=True):
                pass
            case StartTls():
                raise LocalProtocolError("TLS takes sockets: use pop3_server")
            case _:
                raise LocalProtocolError(f"{type(operation).__name__} cannot be done in memory: use pop3_server")
        return None


class MemorySocket(socket.socket):
    """A client's end of a session in memory, for `pop3proto.blocking.connect_over` and for other blocking code.

    There is nothing to wait for: where nothing has come, `recv` raises `TimeoutError` at once.
    """

    def __init__(self, session: MemorySession) -> None:
        ours, self._other = socket.socketpair()  # for what looks at the descriptor; nothing goes through it
        super().__init__(fileno=ours.detach())
        self._session: Final = session
        self._unread = b""

    @override
    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        if self._session.ended:
            raise BrokenPipeError("the server has hung up")
        if octets := bytes(data):
            self._session.hear(octets)

    @override
    def send(self, data: Buffer, flags: int = 0, /) -> int:
        self.sendall(data)
        return memoryview(data).nbytes

    @override
    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        unread = self._unread or self._session.take_piece()
        if not unread and not self._session.ended:
            raise TimeoutError("the server waits for the client")
        if not unread and self._session.reset:
            raise ConnectionResetError("the server has reset the connection")
        self._unread = unread[bufsize:]
        return unread[:bufsize]

    @override
    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        octets = self.recv(nbytes or memoryview(buffer).nbytes)
        memoryview(buffer)[: len(octets)] = octets
        return len(octets)

    @override
    def shutdown(self, how: int, /) -> None:
        if how != socket.SHUT_RD:
            self._session.hear(b"")

    @override
    def close(self) -> None:
        self._session.hear(b"")
        self._other.close()
        super().close()


class MemoryTransport(asyncio.Transport):
    """A client's end of a session in memory, for `pop3proto.asyncio.connect_over`."""

    def __init__(self, session: MemorySession) -> None:
        super().__init__()
        self._session: Final = session
        self._protocol: asyncio.BaseProtocol | None = None
        self._reading = False
        self._closing = False
        self._told_end = False

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    @override
    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None  # noqa: S101 - asyncio's own transports have one from the start
        return self._protocol

    @override
    def is_closing(self) -> bool:
        return self._closing

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: what is written is taken at once."""

    @override
    def pause_reading(self) -> None:
        self._reading = False

    @override
    def resume_reading(self) -> None:
        self._reading = True
        self._deliver_soon()

    @override
    def write(self, data: Buffer) -> None:
        if not self._closing and (octets := bytes(data)):
            self._session.hear(octets)
            self._deliver_soon()

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def write_eof(self) -> None:
        self._session.hear(b"")
        self._deliver_soon()

    @override
    def close(self) -> None:
        self.abort()

    @override
    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._session.hear(b"")
            asyncio.get_running_loop().call_soon(self.get_protocol().connection_lost, None)

    def _deliver_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        protocol = self.get_protocol()
        if not self._reading or self._closing or not isinstance(protocol, asyncio.Protocol):
            return
        if octets := self._session.take_piece():
            protocol.data_received(octets)
            self._deliver_soon()
        elif self._session.reset:
            self._closing = True
            protocol.connection_lost(ConnectionResetError("the server has reset the connection"))
        elif self._session.ended and not self._told_end:
            self._told_end = True
            protocol.eof_received()
