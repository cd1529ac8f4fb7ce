"""Fetch messages over loopback, in clear and over TLS, from connecting to QUIT; and the round trips that takes."""

from __future__ import annotations

import asyncio
import hashlib
import poplib
import socket
import ssl
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from attrs import frozen
from typing_extensions import override

import pop3proto.asyncio
import pop3proto.blocking
from pop3proto import Retr
from pop3proto.procedures.cleartext import TlsMode

from .corpora import wire
from .harness.report import Row, Table
from .harness.rounds import Contender, GivesUp, Settings, compare, library
from .memory_server import ANSWERS, GREETING, MemorySocket, logged_in
from .peers import lines_joined
from .processes import HOST, PASSWORD, USER, certificate, started
from .scripted_server import message

RAW = "raw receive loop"
SEARCH = "the same, and one search"  # nobody can find the ends of messages with less


class Sink(Protocol):
    """Where the messages go."""

    def write(self, octets: bytes, /) -> object: ...
    def lines(self, lines: list[bytes], /) -> object: ...


class Nowhere:
    """When it is timed, nowhere: what becomes of a message is no work of the library."""

    def write(self, octets: bytes) -> None:
        pass

    def lines(self, lines: list[bytes]) -> None:
        pass


class Digest:
    """When it is checked, all octets count."""

    def __init__(self) -> None:
        self.sum = hashlib.sha256()

    def write(self, octets: bytes) -> None:
        self.sum.update(octets)

    def lines(self, lines: list[bytes]) -> None:
        self.sum.update(lines_joined(lines))


@frozen
class Site:
    """What to fetch, and where.

    Args:
        port: on loopback.
        count: how many messages.
        size: the octets of each.
        context: for TLS; None: in clear.
    """

    port: int
    count: int
    size: int
    context: ssl.SSLContext | None = None

    @property
    def tls(self) -> TlsMode:
        return "none" if self.context is None else "implicit"

    @property
    def commands(self) -> Iterator[Retr]:
        return map(Retr, range(1, self.count + 1))


Fetch = Callable[[Site, Sink], object]


def tables(settings: Settings) -> Iterator[Table]:
    yield round_trips()
    tiny, small = settings.size(2_000, 50), settings.size(5_000, 50)
    count, large = settings.size(20, 2), settings.size(25 << 20, 1 << 17)
    for tls in (False, True):
        if not tls:
            yield fetching(Site(0, tiny, 2_048), {"stream": stream, "retr, one by one": one_by_one}, settings)
        yield fetching(Site(0, small, 4_096), WHOLE if tls else {**WHOLE, "Twisted": via_twisted}, settings, tls=tls)
        if not (tls and settings.quick):
            yield fetching(Site(0, count, large), STREAMED, settings, tls=tls)


def fetching(site: Site, ways: dict[str, Fetch], settings: Settings, *, tls: bool = False) -> Table:
    """Compare ways to fetch, with poplib and the raw loop."""
    title = f"client: {site.count} x {site.size} octets{' over TLS' if tls else ''}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            authority, own = certificate(Path(folder)) if tls else (None, None)
            context = ssl.create_default_context(cafile=authority) if tls else None
            with started("scripted_server", str(site.size), *([own] if own else [])) as server:
                place = Site(server.port, site.count, site.size, context)
                everyone = {**ways, "poplib": via_poplib, "StreamReader.readuntil": in_asyncio(via_stream_reader)}
                contenders = [contender(name, fetch, place) for name, fetch in everyone.items()]
                answer = b"+OK\r\n" + wire(message(site.size))
                octets = len(GREETING + ANSWERS[b"USER"] + ANSWERS[b"PASS"]) + len(answer) * site.count
                return compare(
                    title,
                    [
                        *contenders,
                        Contender(RAW, partial(receive, place, octets), output=None),
                        Contender(SEARCH, partial(receive, place, octets, search=True), output=None),
                    ],
                    settings,
                    against=["poplib", RAW, SEARCH],
                    items=site.count,
                    item="message",
                    heavy=True,
                )
    except GivesUp as reason:
        return Table(title, (), (Row("all", note=f"gives up: {reason}"),))


def contender(name: str, fetch: Fetch, site: Site) -> Contender:
    def proof() -> str:
        digest = Digest()
        fetch(site, digest)
        return digest.sum.hexdigest()

    return Contender(name, partial(fetch, site, Nowhere()), proof=proof, output=str)


# Ours.


def connected(site: Site) -> pop3proto.blocking.Client:
    client = pop3proto.blocking.connect(HOST, site.port, tls=site.tls, context=site.context)
    client.login(USER, PASSWORD)
    return client


def retrieve(site: Site, sink: Sink) -> None:
    with connected(site) as client:
        for _, octets in client.retrieve(range(1, site.count + 1)):
            sink.write(octets)


def call_all(site: Site, sink: Sink) -> None:
    with connected(site) as client:
        for octets in client.call_all(site.commands):
            sink.write(octets)


def stream(site: Site, sink: Sink) -> None:
    with connected(site) as client:
        for message in client.stream(site.commands):
            with message:
                for octets in message:
                    sink.write(octets)


def one_by_one(site: Site, sink: Sink) -> None:
    with connected(site) as client:
        for number in range(1, site.count + 1):
            with client.retr(number) as message:
                for octets in message:
                    sink.write(octets)


async def aio_retrieve(site: Site, sink: Sink) -> None:
    async with pop3proto.asyncio.connect(HOST, site.port, tls=site.tls, context=site.context) as client:
        await client.login(USER, PASSWORD)
        async for _, octets in client.retrieve(range(1, site.count + 1)):
            sink.write(octets)


async def aio_stream(site: Site, sink: Sink) -> None:
    async with pop3proto.asyncio.connect(HOST, site.port, tls=site.tls, context=site.context) as client:
        await client.login(USER, PASSWORD)
        async for message in client.stream(site.commands):
            async with message:
                async for octets in message:
                    sink.write(octets)


async def trio_retrieve(site: Site, sink: Sink) -> None:
    connect = library("pop3proto.trio").connect
    async with connect(HOST, site.port, tls=site.tls, context=site.context) as client:
        await client.login(USER, PASSWORD)
        async for _, octets in client.retrieve(range(1, site.count + 1)):
            sink.write(octets)


async def trio_stream(site: Site, sink: Sink) -> None:
    connect = library("pop3proto.trio").connect
    async with connect(HOST, site.port, tls=site.tls, context=site.context) as client:
        await client.login(USER, PASSWORD)
        async for message in client.stream(site.commands):
            async with message:
                async for octets in message:
                    sink.write(octets)


# The others.


def via_poplib(site: Site, sink: Sink) -> None:
    if site.context is None:
        client = poplib.POP3(HOST, site.port)
    else:
        client = poplib.POP3_SSL(HOST, site.port, context=site.context)
    client.user(USER)
    client.pass_(PASSWORD)
    for number in range(1, site.count + 1):
        sink.lines(client.retr(number)[1])
    client.quit()


async def via_stream_reader(site: Site, sink: Sink) -> None:
    reader, writer = await asyncio.open_connection(HOST, site.port, ssl=site.context, limit=1 << 20)
    await reader.readuntil(b"\r\n")
    for command in (f"USER {USER}", f"PASS {PASSWORD}"):
        writer.write(command.encode() + b"\r\n")
        await reader.readuntil(b"\r\n")
    for number in range(1, site.count + 1):
        writer.write(b"RETR %d\r\n" % number)
        await reader.readuntil(b"\r\n")
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            sink.write(line[1:] if line.startswith(b".") else line)
    writer.close()
    await writer.wait_closed()


def via_twisted(site: Site, sink: Sink) -> None:
    pop3, protocols = library("twisted.mail.pop3"), library("twisted.internet.protocol")
    reactor = library("twisted.internet.selectreactor").SelectReactor()  # one runs only once

    class Client(pop3.AdvancedPOP3Client):
        allowInsecureLogin = True  # noqa: N815 - its name

        @override
        def connectionMade(self) -> None:
            self.transport.setTcpNoDelay(True)
            super().connectionMade()

        @override
        def serverGreeting(self, greeting: bytes) -> None:
            super().serverGreeting(greeting)
            self.login(USER.encode(), PASSWORD.encode()).addCallback(self.fetch).addErrback(self.end)

        def fetch(self, _: object) -> None:
            for number in range(site.count):
                lines: list[bytes] = []
                took = self.retrieve(number, lines.append)
                took.addCallback(lambda _, lines=lines: sink.lines(lines)).addErrback(self.end)
            self.quit().addBoth(self.end)

        def end(self, _: object) -> None:
            if reactor.running:
                reactor.stop()

    factory = protocols.ClientFactory.forProtocol(Client)
    factory.noisy = False
    reactor.connectTCP(HOST, site.port, factory)
    reactor.run(installSignalHandlers=False)


def receive(site: Site, left: int, *, search: bool = False) -> None:
    """Ask for everything at once, and receive so many octets; look at nothing, or for lines that begin with a dot."""
    sock = socket.create_connection((HOST, site.port))
    if site.context is not None:
        sock = site.context.wrap_socket(sock, server_hostname=HOST)
    with sock:
        sock.sendall(b"USER ann\r\nPASS tanstaaf\r\n")
        sock.sendall(b"".join(command.encode() for command in site.commands))
        while left > 0:
            octets = sock.recv(262_144)
            left -= len(octets)
            if search:
                octets.count(b"\r\n.")


def in_asyncio(work: Callable[[Site, Sink], Coroutine[object, object, None]]) -> Fetch:
    return lambda site, sink: asyncio.run(work(site, sink))


def in_trio(work: Callable[[Site, Sink], Coroutine[object, object, None]]) -> Fetch:
    return lambda site, sink: library("trio").run(work, site, sink)


WHOLE: dict[str, Fetch] = {
    "blocking, retrieve": retrieve,
    "blocking, call_all": call_all,
    "asyncio, retrieve": in_asyncio(aio_retrieve),
    "trio, retrieve": in_trio(trio_retrieve),
}
STREAMED: dict[str, Fetch] = {
    "blocking, stream": stream,
    "asyncio, stream": in_asyncio(aio_stream),
    "trio, stream": in_trio(trio_stream),
}


# Round trips.


class PoplibOverMemory(poplib.POP3):
    """poplib, over a socket that counts round trips."""

    @override
    def _create_socket(self, timeout: float | None) -> socket.socket:
        return MemorySocket({**ANSWERS, b"RETR": RETRIEVED})


RETRIEVED = b"+OK\r\n" + wire(b"Subject: one\r\n\r\n.one\r\n")
MESSAGES = 200


def round_trips() -> Table:
    """Count for how many round trips a session waits, on a network without limits of speed."""
    sock = MemorySocket({**ANSWERS, b"RETR": RETRIEVED})
    with logged_in(sock) as client:
        before = sock.round_trips
        fetched = sum(1 for _ in client.retrieve(range(1, MESSAGES + 1)))
        retrieval = sock.round_trips - before
    theirs = PoplibOverMemory(HOST)
    theirs.user(USER)
    theirs.pass_(PASSWORD)
    for number in range(MESSAGES):
        theirs.retr(number)
    other: MemorySocket = theirs.sock
    theirs.quit()
    assert fetched == MESSAGES
    rows = (Row("ours", (sock.round_trips, retrieval)), Row("poplib", (other.round_trips, MESSAGES)))
    title = f"client: round trips of a session with {MESSAGES} messages"
    return Table(title, ("greeting to QUIT", "the messages"), rows)
