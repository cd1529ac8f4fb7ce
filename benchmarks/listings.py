"""Take the answers to LIST and UIDL, to the mapping by message number."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import partial

from pop3proto import Command, List, Uidl
from pop3proto.blocking import Client

from .corpora import cut
from .harness.report import Table
from .harness.rounds import Contender, Settings, compare
from .memory_server import MemorySocket, logged_in
from .peers import Poplib, poplib_does

CHUNK = 65_536


def tables(settings: Settings) -> Iterator[Table]:
    count = settings.size(100_000, 1_000)
    chance = random.Random(1725)
    sizes = b"".join(b"%d %d\r\n" % (number, chance.randint(500, 90_000)) for number in range(1, count + 1))
    ids = b"".join(b"%d %d.M%dP7.host\r\n" % (number, 17e8 + number, 7 * number) for number in range(1, count + 1))
    sock = MemorySocket()
    with logged_in(sock) as client:
        for command, rows, via_poplib in ((List(), sizes, poplib_list), (Uidl(), ids, poplib_uidl)):
            answer = b"+OK\r\n" + rows + b".\r\n"
            yield compare(
                f"listings: {command.verb} of {count} messages in reads of {CHUNK}",
                [
                    Contender("client", partial(ours, sock, client, command, cut(answer, CHUNK)), dict),
                    Contender("poplib and a dict of it", partial(poplib_does, via_poplib, answer), dict),
                ],
                settings,
                against=["poplib and a dict of it"],
                items=count,
                item="message",
                heavy=True,
            )
        sock.unload()


def ours(
    sock: MemorySocket, client: Client, command: Command[Mapping[int, object]], chunks: list[bytes]
) -> Mapping[int, object]:
    sock.load(chunks)
    return client.call(command)


def poplib_list(client: Poplib) -> dict[int, int]:
    return {int(number): int(octets) for number, octets in (row.split() for row in client.list()[1])}


def poplib_uidl(client: Poplib) -> dict[int, str]:
    rows: list[bytes] = client.uidl()[1]  # type: ignore[assignment,index]
    return {int(number): unique_id.decode() for number, unique_id in (row.split() for row in rows)}
