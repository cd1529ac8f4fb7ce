"""A server without a network: a socket that answers from memory. What is measured over it is the client alone."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from typing_extensions import Buffer, override

from pop3proto.blocking import Client, connect_over

GREETING = b"+OK ready\r\n"
ANSWERS: Mapping[bytes, bytes] = {
    b"CAPA": b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n",
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK\r\n",
    b"QUIT": b"+OK\r\n",
}


class MemorySocket(socket.socket):
    """The client's socket. The server's answers can be read from it, and count as sent when they are read.

    Args:
        answers: by verb; or, if `load` has been called, what comes whatever is sent.
    """

    def __init__(self, answers: Mapping[bytes, bytes | Callable[[bytes], bytes]] = ANSWERS) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self.turns = 0  # how often the client has read after it had written: round trips
        self.writes = 0
        self._answers = answers
        self.inbox = deque([GREETING])
        self._loaded = False
        self._waits = True  # for the greeting, which takes a round trip, as connecting does

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
        self.writes += 1
        self._waits = True
        if not self._loaded:
            for line in bytes(data).split(b"\r\n")[:-1]:
                verb, _, argument = line.partition(b" ")
                answer = self._answers[verb.upper()]
                self.inbox.append(answer if isinstance(answer, bytes) else answer(argument))

    @override
    def send(self, data: Buffer, flags: int = 0, /) -> int:
        self.sendall(data)
        return memoryview(data).nbytes

    @override
    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if self._waits:
            self._waits = False
            self.turns += 1
        chunk = self.inbox.popleft()
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
