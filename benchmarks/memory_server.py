"""A server without a network: a socket that answers from memory. What is measured over it is the client alone."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Mapping

from typing_extensions import Buffer, override

from pop3proto.blocking import Client, connect_over

GREETING = b"+OK ready\r\n"
ANSWERS: Mapping[bytes, bytes] = {
    b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n",
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK\r\n",
    b"STAT": b"+OK 2 320\r\n",
    b"QUIT": b"+OK\r\n",
}


class MemorySocket(socket.socket):
    """The client's socket. The server's answers can be read from it, and count as sent when they are read.

    Args:
        answers: by verb. They arrive a round trip after what asks for them was sent.

    Attributes:
        round_trips: how many it has taken so far. Nothing else takes time.
    """

    def __init__(self, answers: Mapping[bytes, bytes] = ANSWERS) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self.inbox = deque([GREETING])
        self.round_trips = 0
        self._arrivals = deque([1])  # of what is in the inbox, in round trips; what was loaded is there at once
        self._answers = answers
        self._loaded = False

    def load(self, chunks: Iterable[bytes]) -> None:
        """Give what the next reads return, each a chunk; nothing that is sent is looked at any more."""
        self.inbox.extend(chunks)
        self._loaded = True

    def unload(self) -> None:
        """Look at what is sent again."""
        self.inbox.clear()
        self._loaded = False

    @override
    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        if self._loaded:
            return
        for line in bytes(data).split(b"\r\n")[:-1]:
            self.inbox.append(self._answers[line.partition(b" ")[0].upper()])
            self._arrivals.append(self.round_trips + 1)

    @override
    def send(self, data: Buffer, flags: int = 0, /) -> int:
        self.sendall(data)
        return memoryview(data).nbytes

    @override
    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        chunk = self.inbox.popleft()
        if self._arrivals:
            self.round_trips = max(self.round_trips, self._arrivals.popleft())
        if len(chunk) > bufsize:
            self.inbox.appendleft(chunk[bufsize:])
            chunk = chunk[:bufsize]
        return chunk

    @override
    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        chunk = self.recv(nbytes or memoryview(buffer).nbytes)
        memoryview(buffer)[: len(chunk)] = chunk
        return len(chunk)

    @override
    def close(self) -> None:
        self._theirs.close()
        super().close()


def logged_in(sock: MemorySocket) -> Client:
    """Return a client of this server that is logged in."""
    client = connect_over(sock, tls="none", cleartext="always")
    client.login("ann", "tanstaaf")
    return client
