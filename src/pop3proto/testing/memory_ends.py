"""A client's ends of a session in memory: a socket, and a transport of asyncio. For trio, see `memory_stream`."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final, NoReturn

from typing_extensions import Buffer, override

if TYPE_CHECKING:
    from .memory import MemorySession

__all__ = ["MemorySocket", "MemoryTransport"]


class MemorySocket(socket.socket):
    """A client's end of a session in memory, for `pop3proto.blocking.connect_over` and for other blocking code.

    There is nothing to wait for: where nothing has come, `recv` raises `TimeoutError` at once, and `BlockingIOError`
    on a socket that does not block. `select` shows what can be read.
    """

    def __init__(self, session: MemorySession) -> None:
        ours, self._other = socket.socketpair()  # an octet in it says that there is something to read
        super().__init__(fileno=ours.detach())
        self._session: Final = session
        self._unread = memoryview(b"")
        self._shown = False
        self._show()

    def _show(self) -> None:
        readable = bool(self._unread) or self._session.waiting or self._session.ended
        if readable is self._shown:
            return
        self._shown = readable
        if readable:
            self._other.send(b"x")
        else:
            super().recv(1)

    @override
    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        if self._session.ended and not self._unread and not self._session.waiting:
            raise BrokenPipeError("the server has hung up")
        if octets := bytes(data):
            self._session.hear(octets)
            self._show()

    @override
    def send(self, data: Buffer, flags: int = 0, /) -> int:
        self.sendall(data)
        return memoryview(data).nbytes

    @override
    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        unread = self._unread or memoryview(self._session.take_piece())
        if not unread and not self._session.ended:
            words = "the server waits for the client"
            raise BlockingIOError(words) if self.gettimeout() == 0 else TimeoutError(words)
        if not unread and self._session.reset:
            raise ConnectionResetError("the server has reset the connection")
        self._unread = unread[bufsize:]
        self._show()
        return bytes(unread[:bufsize])

    @override
    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        octets = self.recv(nbytes or memoryview(buffer).nbytes)
        memoryview(buffer)[: len(octets)] = octets
        return len(octets)

    @override
    def shutdown(self, how: int, /) -> None:
        if how != socket.SHUT_RD:
            self._session.close()
            self._show()

    @override
    def close(self) -> None:
        try:
            self._session.close()
        finally:
            self._other.close()
            super().close()


def _refuse(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("a socket in memory has send, sendall, recv and recv_into: use pop3_server")


for _name in ("dup", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "sendfile", "sendmsg", "sendto"):
    setattr(MemorySocket, _name, _refuse)  # else octets would go past the session


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
        self._session.close()
        self._deliver_soon()

    @override
    def close(self) -> None:
        self.abort()

    @override
    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            try:
                self._session.close()
            finally:
                asyncio.get_running_loop().call_soon(self._tell_loss)

    def _tell_loss(self) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(None)

    @override
    def get_write_buffer_size(self) -> int:
        return 0

    @override
    def is_reading(self) -> bool:
        return self._reading and not self._closing

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
