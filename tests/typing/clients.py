"""A client is awaited, entered or returned; failures are raised, or returned if that was asked for."""

from typing import assert_type

from pop3proto import CommandFailed, Dele, MaildropStatus, MalformedReply, Stat
from pop3proto.asyncio import AsyncClient, connect as connect_asyncio
from pop3proto.blocking import Client, connect
from pop3proto.trio import connect as connect_trio


def blocking() -> None:
    assert_type(connect("pop.example.org"), Client)
    with connect("pop.example.org", timeout=None, limits=None) as client:  # error
        assert_type(client, Client)
    for number, octets in client.retrieve([1, 2]):
        assert_type(number, int)
        assert_type(octets, bytes)
    for _, item in client.retrieve([1, 2], return_exceptions=True):
        assert_type(item, bytes | CommandFailed | MalformedReply)
    assert_type(client.fetch(1), bytes)
    assert_type(client.call_all([Stat()]), list[MaildropStatus])
    assert_type(
        client.call_all([Stat()], return_exceptions=True), list[MaildropStatus | CommandFailed | MalformedReply]
    )
    client.call("STAT")  # error
    client.retrieve(["1"])  # error
    with client.retr(1) as message:
        assert_type(message.read(10), bytes)
        message.read("10")  # error


async def asynchronous() -> None:
    assert_type(await connect_asyncio("pop.example.org"), AsyncClient)
    assert_type(await connect_trio("pop.example.org", timeout=5, connect_timeout=None), AsyncClient)
    async with connect_trio("pop.example.org") as client:
        assert_type(client, AsyncClient)
    async for number, octets in client.retrieve([1, 2]):
        assert_type(number, int)
        assert_type(octets, bytes)
    async for _, item in client.retrieve([1, 2], return_exceptions=True):
        assert_type(item, bytes | CommandFailed | MalformedReply)
    assert_type(await client.call_all([Dele(1)]), list[None])
    await client.close()  # error
    await client.aclose()
    connect_asyncio("pop.example.org").stat()  # error


class Deaf:
    def heard(self, session: str, event: int, /) -> None: ...


def observers() -> None:
    connect("pop.example.org", observer=Deaf())  # error
    connect("pop.example.org", observer=[])
