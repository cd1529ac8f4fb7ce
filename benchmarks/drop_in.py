"""`pop3proto.poplib` and the standard library's `poplib`, by the same calls: from memory, and over loopback."""

from __future__ import annotations

import poplib
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from typing_extensions import override

import pop3proto.poplib

from .corpora import cut, typical, wire
from .harness.report import Table
from .harness.rounds import Contender, Settings, compare
from .memory_server import MemorySocket
from .peers import poplib_does
from .processes import HOST, PASSWORD, USER, started

Mailbox: TypeAlias = poplib.POP3  # of either module: ours is a subclass
Work: TypeAlias = Callable[[Mailbox], Iterator[object]]

OURS, THEIRS = "pop3proto.poplib", "poplib"

CHUNK = 65_536
STATUS = b"+OK 2 320\r\n"
SIZES = (4_096, 16_384, 65_536)


def tables(settings: Settings) -> Iterator[Table]:
    yield from from_memory(settings)
    for size in SIZES:
        count = settings.size(1_000, 20)
        yield over_loopback(f"retr of {size} octets", partial(retr, count), size, count, settings)
    count = settings.size(5_000, 20)
    yield over_loopback("stat", partial(stat, count), SIZES[0], count, settings)


# The work.


def retr(count: int, mailbox: Mailbox) -> Iterator[object]:
    return (mailbox.retr(number) for number in range(1, count + 1))


def stat(count: int, mailbox: Mailbox) -> Iterator[object]:
    return (mailbox.stat() for _ in range(count))


def listing(mailbox: Mailbox) -> Iterator[object]:
    yield mailbox.list()


def unique_ids(mailbox: Mailbox) -> Iterator[object]:
    yield mailbox.uidl()


# From memory.


class TheirsOverMemory(poplib.POP3):
    def _create_socket(self, timeout: float | None) -> socket.socket:  # noqa: ARG002 - its base has it
        return MemorySocket()


class OursOverMemory(pop3proto.poplib.POP3):
    @override
    def _create_socket(self, timeout: float | None) -> socket.socket:
        return MemorySocket()


def from_memory(settings: Settings) -> Iterator[Table]:
    ours, theirs = OursOverMemory(HOST), TheirsOverMemory(HOST)
    try:
        for size in SIZES:
            count = settings.size(1_000 * SIZES[0] // size, 20)
            answers = [b"+OK\r\n" + wire(typical(size))] * count
            loaders = [(name, partial(loaded, each, answers)) for name, each in ((OURS, ours), (THEIRS, theirs))]
            yield both(f"retr of {size} octets, from memory", partial(retr, count), loaders, settings, items=count)
        count = settings.size(100_000, 1_000)
        chance = random.Random(1725)
        sizes = b"".join(b"%d %d\r\n" % (number, chance.randint(500, 90_000)) for number in range(1, count + 1))
        ids = b"".join(b"%d %d.M%dP7.host\r\n" % (number, 17e8 + number, 7 * number) for number in range(1, count + 1))
        for name, ask, rows in (("list", listing, sizes), ("uidl", unique_ids, ids)):
            answer = b"+OK\r\n" + rows + b".\r\n"
            # The other one without reads, which is faster than with them.
            loaders = [(OURS, partial(loaded, ours, cut(answer, CHUNK))), (THEIRS, partial(poplib_does, wire=answer))]
            yield both(
                f"{name} of {count} messages in reads of {CHUNK}", ask, loaders, settings, items=count, heavy=True
            )
        count = settings.size(2_000, 100)
        loaders = [(name, partial(loaded, each, [STATUS] * count)) for name, each in ((OURS, ours), (THEIRS, theirs))]
        yield both("stat, from memory", partial(stat, count), loaders, settings, items=count)
    finally:
        ours.close()
        theirs.close()


def loaded(mailbox: Mailbox, chunks: list[bytes], work: Callable[[Mailbox], object]) -> object:
    sock = mailbox.sock
    assert isinstance(sock, MemorySocket)
    sock.load(chunks)
    return work(mailbox)


# Over loopback.


def over_loopback(title: str, work: Work, size: int, count: int, settings: Settings) -> Table:
    with started("scripted_server", str(size)) as server:
        kinds: list[tuple[str, type[Mailbox]]] = [(OURS, pop3proto.poplib.POP3), (THEIRS, poplib.POP3)]
        loaders = [(name, partial(logged_in, kind, server.port)) for name, kind in kinds]
        return both(f"{title}, over loopback", work, loaders, settings, items=count, heavy=True)


def logged_in(kind: type[Mailbox], port: int, work: Callable[[Mailbox], object]) -> object:
    mailbox = kind(HOST, port, timeout=60)  # a socket without one spares two system calls a command
    mailbox.user(USER)
    mailbox.pass_(PASSWORD)
    result = work(mailbox)
    mailbox.quit()
    return result


# Both.


def both(  # noqa: PLR0913 - each has its name
    title: str,
    work: Work,
    loaders: Sequence[tuple[str, Callable[[Callable[[Mailbox], object]], object]]],
    settings: Settings,
    *,
    items: int,
    heavy: bool = False,
) -> Table:
    """Compare the work of several clients; what they return is kept when it is checked only."""
    return compare(
        f"poplib: {title}",
        [
            Contender(
                name,
                partial(load, lambda mailbox: deque(work(mailbox), maxlen=0)),
                list,
                proof=partial(load, lambda mailbox: list(work(mailbox))),
            )
            for name, load in loaders
        ],
        settings,
        against=[THEIRS],
        items=items,
        item="answer",
        heavy=heavy,
    )
