"""A client's end of a session in memory, for trio. In a module of its own, as trio need not be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from typing_extensions import Buffer, override

if TYPE_CHECKING:
    from .memory import MemorySession

__all__ = ["MemoryStream"]


class MemoryStream(trio.abc.HalfCloseableStream):
    """A client's end of a session in memory, for `pop3proto.trio.connect_over`.

    Where nothing has come, `receive_some` waits until something is sent, or the stream is closed.
    """

    def __init__(self, session: MemorySession) -> None:
        self._session: Final = session
        self._unread = memoryview(b"")
        self._closed = False
        self._stirred = trio.Event()

    @override
    async def send_all(self, data: Buffer) -> None:
        self._check_open()
        await trio.lowlevel.checkpoint()
        if self._session.ended:
            raise trio.BrokenResourceError("the server has hung up")
        if octets := bytes(data):
            self._session.hear(octets)
            self._stirred.set()

    @override
    async def wait_send_all_might_not_block(self) -> None:
        self._check_open()
        await trio.lowlevel.checkpoint()

    @override
    async def send_eof(self) -> None:
        self._session.close()
        self._stirred.set()
        await trio.lowlevel.checkpoint()

    @override
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            self._check_open()
            unread = self._unread or memoryview(self._session.take_piece())
            if not unread and self._session.reset:
                raise trio.BrokenResourceError from ConnectionResetError("the server has reset the connection")
            if unread or self._session.ended:
                most = len(unread) if max_bytes is None else max_bytes
                self._unread = unread[most:]
                return bytes(unread[:most])
            self._stirred = trio.Event()
            await self._stirred.wait()

    @override
    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                self._session.close()
            finally:
                self._stirred.set()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("it was closed")
