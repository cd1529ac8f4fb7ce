"""Read many small messages, pipelined or one by one, from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from pop3proto import NEED_DATA, BodyChunk, ClientConnection, Pass, Retr, User
from pop3proto.blocking import Client

from .corpora import cut, typical, wire
from .harness.report import Table
from .harness.rounds import Contender, Settings, compare
from .memory_server import MemorySocket, logged_in
from .peers import Poplib, lines_joined, poplib_does, via_stream_reader, via_twisted
from .yardsticks import yardsticks

SIZE = 2_048
CHUNK = 65_536


def tables(settings: Settings) -> Iterator[Table]:
    count = settings.size(1_000, 100)
    message = typical(SIZE)
    answer = b"+OK\r\n" + wire(message)
    answers = answer * count
    chunks = cut(answers, CHUNK)
    sock = MemorySocket()
    with logged_in(sock) as client:
        ours = partial(loaded, sock, client)
        yield compare(
            f"messages: {count} of {SIZE} octets in reads of {CHUNK}",
            [
                Contender("call_all", partial(ours, chunks, results, count)),
                Contender("retrieve", partial(ours, chunks, retrieve, count)),
                Contender("stream", partial(ours, chunks, stream, count)),
                Contender("retr, one by one", partial(ours, [answer] * count, one_by_one, count)),
                Contender("fetch, one by one", partial(ours, [answer] * count, fetch, count)),
                Contender("ClientConnection.events()", partial(events, chunks, count)),
                Contender("ClientConnection.next_event()", partial(next_events, chunks, count)),
                Contender("poplib", partial(poplib_does, partial(via_poplib, count), answers), lines_joined),
                Contender("Twisted", partial(via_twisted, chunks, count), lines_joined),
                Contender("StreamReader.readuntil", partial(via_stream_reader, chunks, count)),
                *yardsticks(chunks),
            ],
            settings,
            against=["poplib"],
            items=count,
            item="message",
        )
        sock.unload()


def loaded(
    sock: MemorySocket,
    client: Client,
    chunks: Sequence[bytes],
    read: Callable[[Client, int], list[bytes]],
    count: int,
) -> list[bytes]:
    sock.load(chunks)
    return read(client, count)


def results(client: Client, count: int) -> list[bytes]:
    return client.call_all(map(Retr, range(1, count + 1)))


def retrieve(client: Client, count: int) -> list[bytes]:
    return [octets for _, octets in client.retrieve(range(1, count + 1))]


def stream(client: Client, count: int) -> list[bytes]:
    octets: list[bytes] = []
    for message in client.stream(map(Retr, range(1, count + 1))):
        with message:
            octets += message
    return octets


def one_by_one(client: Client, count: int) -> list[bytes]:
    octets: list[bytes] = []
    for number in range(1, count + 1):
        with client.retr(number) as message:
            octets += message
    return octets


def fetch(client: Client, count: int) -> list[bytes]:
    return [client.fetch(number) for number in range(1, count + 1)]


def asking(count: int) -> ClientConnection:
    """Return a connection that has asked for all messages."""
    connection = ClientConnection()
    connection.receive_data(b"+OK\r\n")
    connection.next_event()
    for command in (User("ann"), Pass("tanstaaf")):
        connection.send(command)
        connection.receive_data(b"+OK\r\n")
        connection.next_event()
    for number in range(1, count + 1):
        connection.send(Retr(number))
    return connection


def events(chunks: Sequence[bytes], count: int) -> list[bytes]:
    connection = asking(count)
    octets: list[bytes] = []
    for chunk in chunks:
        connection.receive_data(chunk)
        octets += [event.data for event in connection.events() if isinstance(event, BodyChunk)]
    return octets


def next_events(chunks: Sequence[bytes], count: int) -> list[bytes]:
    connection = asking(count)
    octets: list[bytes] = []
    for chunk in chunks:
        connection.receive_data(chunk)
        while (event := connection.next_event()) is not NEED_DATA:
            if isinstance(event, BodyChunk):
                octets.append(event.data)
    return octets


def via_poplib(count: int, client: Poplib) -> list[bytes]:
    return [line for number in range(count) for line in client.retr(number)[1]]
