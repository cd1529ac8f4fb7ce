"""Reads over trio that need not wait: nothing is lost, other tasks run, and a cancellation arrives."""

import socket

import pytest
import trio

from pop3proto._io.stream import RECEIVE
from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.trio import stream as stream_module
from pop3proto.trio.stream import TrioStream

MANY = 8 * stream_module._YIELD_AT


@pytest.fixture
def scheduled(monkeypatch):
    """The octets of each read that went through trio's scheduler."""
    sizes = []
    receive_some = trio.SocketStream.receive_some

    async def counted(self, most=None):
        octets = await receive_some(self, most)
        sizes.append(len(octets))
        return octets

    monkeypatch.setattr(trio.SocketStream, "receive_some", counted)
    return sizes


def pair():
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 4 * stream_module._MANY)
    streams = [trio.SocketStream(trio.socket.from_stdlib_socket(sock)) for sock in (ours, theirs)]
    return TrioStream(streams[0], None), streams[1]


async def fill(ours, peer):
    """Let more octets wait than are many, when many have come before."""
    await peer.send_all(b"x" * stream_module._MANY)
    assert len(await ours.receive(None)) == stream_module._MANY
    await peer.send_all(b"y" * stream_module._MANY)


def test_what_many_reads_take_is_what_was_sent(scheduled):
    octets = bytes(range(256)) * (MANY // 256)

    async def main():
        ours, peer = pair()
        received = []
        since = turns = 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async def send():
            await peer.send_all(octets)
            await peer.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            nursery.start_soon(send)
            before = turns
            while chunk := await ours.receive(None):
                received.append(chunk)
                since = 0 if turns > before else since + len(chunk)
                before = turns
                assert since <= stream_module._YIELD_AT + RECEIVE
            nursery.cancel_scope.cancel()
        await ours.close()
        assert b"".join(received) == octets

    trio.run(main)
    assert sum(scheduled) <= MANY


def test_what_has_come_needs_no_scheduler(scheduled):
    async def main():
        ours, peer = pair()
        await fill(ours, peer)
        scheduled.clear()
        assert await ours.receive(None) == b"y" * stream_module._MANY
        assert scheduled == []
        with pytest.raises(TimedOut):
            await ours.receive(trio.current_time())
        await peer.aclose()
        assert await ours.receive(None) == b""
        await ours.close()

    trio.run(main)


def test_a_cancellation_arrives_although_octets_wait():
    async def main():
        ours, peer = pair()
        await fill(ours, peer)
        with trio.CancelScope() as scope:
            scope.cancel()
            for _ in range(stream_module._YIELD_AT):
                await ours.receive(None)
        assert scope.cancelled_caught
        for stream in (peer, ours):
            with trio.CancelScope(shield=True):
                await (stream.aclose() if stream is peer else stream.close())

    trio.run(main)


def test_nothing_is_read_from_a_stream_that_was_given_up():
    async def main():
        ours, peer = pair()
        await fill(ours, peer)
        await ours.abort()
        with pytest.raises(ConnectionLost):
            await ours.receive(None)
        await peer.aclose()

    trio.run(main)
