"""Send small commands and take their results, from memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TypeVar, cast

from pop3proto import Answer, ClientConnection, Dele, Greeting, MaildropStatus, Ok, Pass, ServerConnection, Stat, User
from pop3proto.blocking import Client
from pop3proto.procedures import Now, Procedure, Read, call

from .harness.report import Table
from .harness.rounds import Contender, Settings, compare, library
from .memory_server import MemorySocket, logged_in
from .peers import Poplib, poplib_does

T = TypeVar("T")

REPLY = b"+OK 2 320\r\n"


def tables(settings: Settings) -> Iterator[Table]:
    count = settings.size(1_000, 100)
    sock = MemorySocket()
    with logged_in(sock) as client:
        yield compare(
            "commands: STAT, and its result",
            [
                Contender("both connections", partial(connections, count), tuples),
                Contender("procedures.call(session, Stat())", partial(procedure, sock, client, count), tuples),
                Contender("client.call(Stat())", partial(stat, sock, client, count), tuples),
                Contender("h11 GET", partial(via_h11, count), output=None),
                Contender("poplib", partial(poplib_does, partial(poplib_stat, count), REPLY * count), list),
            ],
            settings,
            against=["h11 GET", "poplib"],
            items=count,
            item="command",
        )
        yield compare(
            "commands: DELE of each message",
            [
                Contender("call_all, pipelined", partial(delete_all, sock, client, count), len),
                Contender("client.dele, one by one", partial(delete, sock, client, count), len),
                Contender("poplib", partial(poplib_does, partial(poplib_dele, count), b"+OK\r\n" * count), len),
            ],
            settings,
            against=["poplib"],
            items=count,
            item="command",
        )
        sock.unload()


def tuples(statuses: list[MaildropStatus]) -> list[tuple[int, int]]:
    return [(status.count, status.octets) for status in statuses]


def connections(count: int) -> list[MaildropStatus]:
    client, server = ClientConnection(), ServerConnection()
    client.receive_data(server.send(Greeting(Ok("ready"))))
    client.next_event()
    for command in (User("ann"), Pass("tanstaaf")):
        server.receive_data(client.send(command))
        server.next_event()
        client.receive_data(server.send(Ok()))
        client.next_event()
    statuses: list[MaildropStatus] = []
    for _ in range(count):
        server.receive_data(client.send(Stat()))
        asked = server.next_event()
        assert isinstance(asked, Stat)
        client.receive_data(server.send(Ok("2 320")))
        answer = client.next_event()
        assert isinstance(answer, Answer)
        assert isinstance(answer.reply, Ok)
        statuses.append(asked.parse(answer.reply, b"", limits=client.limits))
    return statuses


def stat(sock: MemorySocket, client: Client, count: int) -> list[MaildropStatus]:
    sock.load([REPLY] * count)
    return [client.call(Stat()) for _ in range(count)]


def procedure(sock: MemorySocket, client: Client, count: int) -> list[MaildropStatus]:
    sock.load([REPLY] * count)
    return [perform(call(client.session, Stat()), sock) for _ in range(count)]


def perform(procedure: Procedure[T], sock: MemorySocket) -> T:
    """Perform the operations of a command, without an adapter."""
    result: object = None
    try:
        while True:
            operation = procedure.send(result)
            if isinstance(operation, Read):
                result = sock.inbox.popleft()
            else:
                result = 0.0 if isinstance(operation, Now) else None
    except StopIteration as end:
        return cast("T", end.value)


def poplib_stat(count: int, client: Poplib) -> list[tuple[int, int]]:
    return [client.stat() for _ in range(count)]


def delete_all(sock: MemorySocket, client: Client, count: int) -> list[None]:
    sock.load([b"+OK\r\n" * 100] * (count // 100))  # there are never fewer on their way
    return client.call_all(map(Dele, range(1, count + 1)))


def delete(sock: MemorySocket, client: Client, count: int) -> list[None]:
    sock.load([b"+OK\r\n"] * count)
    return [client.dele(number) for number in range(1, count + 1)]


def poplib_dele(count: int, client: Poplib) -> list[bytes]:
    return [client.dele(number) for number in range(1, count + 1)]


def via_h11(count: int) -> None:
    h11 = library("h11")
    client, server = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
    ask = h11.Request(method="GET", target="/", headers=[("Host", "localhost")])
    response = h11.Response(status_code=200, headers=[("Content-Length", "7")])
    data, end = h11.Data(b"+OK 2 3"), h11.EndOfMessage()
    for _ in range(count):
        server.receive_data(client.send(ask) + client.send(end))
        while type(server.next_event()) is not h11.EndOfMessage:
            pass
        client.receive_data(server.send(response) + server.send(data) + server.send(end))
        while type(client.next_event()) is not h11.EndOfMessage:
            pass
        client.start_next_cycle()
        server.start_next_cycle()
