"""Other libraries' clients over memory: without a network, whose speed is not theirs."""

from __future__ import annotations

import asyncio
import io
import poplib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar
from unittest.mock import patch

from .harness.rounds import GivesUp, library

T = TypeVar("T")

_LONGEST_LINE: Final = 1 << 20  # octets; by itself poplib refuses lines of more than 2,048


class NoSocket:
    """What poplib writes to."""

    def sendall(self, octets: bytes) -> None:
        pass


class Poplib(poplib.POP3):
    """poplib, reading from memory: that is faster than real reads, as there is no waiting and there are no chunks."""

    def __init__(self, octets: bytes) -> None:  # no connection, so the base class is not initialised
        self.file = io.BytesIO(octets)
        self.sock: Any = NoSocket()
        self._debugging = 0


def poplib_does(work: Callable[[Poplib], T], wire: bytes) -> T:
    try:
        with patch.object(poplib, "_MAXLINE", _LONGEST_LINE):
            return work(Poplib(wire))
    except poplib.error_proto as error:
        raise GivesUp(error) from None


def lines_joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


def via_twisted(chunks: Sequence[bytes], messages: int = 1) -> list[bytes]:
    """Retrieve messages by Twisted's client, which asks for them in advance; return their lines."""
    client = library("twisted.mail.pop3").AdvancedPOP3Client()
    transport = library("twisted.internet.testing").StringTransport()
    client.makeConnection(transport)
    client.dataReceived(b"+OK\r\n")
    lines: list[bytes] = []
    for number in range(messages):
        client.retrieve(number, lines.append).addErrback(lambda _: None)  # failures are detected below
    for chunk in chunks:
        client.dataReceived(chunk)
    if transport.disconnecting:
        raise GivesUp(f"lines are limited to {client.MAX_LENGTH} octets")
    return lines


def via_stream_reader(chunks: Sequence[bytes], messages: int = 1) -> list[bytes]:
    return without_waiting(read_lines(chunks, messages))


async def read_lines(chunks: Sequence[bytes], messages: int) -> list[bytes]:
    reader = asyncio.StreamReader(limit=1 << 40, loop=NO_LOOP)
    for chunk in chunks:
        reader.feed_data(chunk)
    lines: list[bytes] = []
    for _ in range(messages):
        await reader.readuntil(b"\r\n")
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
    return lines


NO_LOOP = asyncio.new_event_loop()  # StreamReader requires a loop, but uses it only to wait
NO_LOOP.close()


def without_waiting(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("the coroutine suspended")
