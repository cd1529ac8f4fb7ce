"""Decode bodies: remove dot-stuffing and find the end."""

from __future__ import annotations

import asyncio
import io
import poplib
from collections.abc import Coroutine, Iterator, Sequence
from functools import partial

from pop3proto.core.dots import BodyDecoder, BodyEncoder

from .corpora import CORPORA, cut
from .harness.rounds import Contender, GivesUp, Settings, compare, library, table
from .yardsticks import yardsticks


def tables(settings: Settings) -> Iterator[str]:
    for name, make in CORPORA.items():
        message = make(settings.size)
        encoder = BodyEncoder()
        wire = encoder.feed(message) + encoder.finish()
        chunks = cut(wire, settings.chunk)
        contenders = [
            Contender("BodyDecoder", partial(ours, chunks)),
            *yardsticks(chunks),
            Contender("poplib", partial(via_poplib, wire), lines_joined),
            Contender("Twisted", partial(via_twisted, chunks), lines_joined),
            Contender("StreamReader.readuntil", partial(via_stream_reader, chunks)),
        ]
        yield table(f"decode: {name}", compare(contenders, settings.rounds))


def ours(chunks: Sequence[bytes]) -> list[bytes]:
    decoder = BodyDecoder()
    octets = [decoder.feed(chunk) for chunk in chunks]
    assert decoder.eof
    return octets


def lines_joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


class Poplib(poplib.POP3):
    """poplib without a socket. It reads from memory, which is faster than real reads: no waiting, no chunks."""

    def __init__(self, octets: bytes) -> None:  # no connection, so the base class is not initialised
        self.file = io.BytesIO(octets)
        self._debugging = 0

    def body(self) -> list[bytes]:
        _, lines, _ = self._getlongresp()  # type: ignore[attr-defined]
        return lines  # type: ignore[no-any-return]


def via_poplib(wire: bytes) -> list[bytes]:
    try:
        return Poplib(b"+OK\r\n" + wire).body()
    except poplib.error_proto as error:
        raise GivesUp(error) from None


def via_twisted(chunks: Sequence[bytes]) -> list[bytes]:
    client = library("twisted.mail.pop3").AdvancedPOP3Client()
    transport = library("twisted.internet.testing").StringTransport()
    client.makeConnection(transport)
    client.dataReceived(b"+OK\r\n")
    lines: list[bytes] = []
    client.retrieve(0, lines.append).addErrback(lambda _: None)  # failures are detected below
    client.dataReceived(b"+OK\r\n")
    for chunk in chunks:
        client.dataReceived(chunk)
    if transport.disconnecting:
        raise GivesUp(f"lines are limited to {client.MAX_LENGTH} octets")
    return lines


def via_stream_reader(chunks: Sequence[bytes]) -> list[bytes]:
    return without_waiting(read_lines(chunks))


async def read_lines(chunks: Sequence[bytes]) -> list[bytes]:
    reader = asyncio.StreamReader(limit=1 << 40, loop=NO_LOOP)
    for chunk in chunks:
        reader.feed_data(chunk)
    lines: list[bytes] = []
    while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
        lines.append(line[1:] if line.startswith(b".") else line)
    return lines


NO_LOOP = asyncio.new_event_loop()  # StreamReader requires a loop, but uses it only to wait
NO_LOOP.close()


def without_waiting(work: Coroutine[object, object, list[bytes]]) -> list[bytes]:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as end:
        result: list[bytes] = end.value
        return result
    raise AssertionError("the coroutine suspended")
