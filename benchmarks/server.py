"""Serve a Maildir over loopback: what retrieving messages costs the server's process, which has one core."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pop3proto.asyncio

from .corpora import make_maildir, wire
from .dovecot import BESIDES, dovecot
from .harness.report import Row, Table
from .harness.rounds import CallCounter, Contender, GivesUp, Settings, compare
from .mail_servers import service
from .processes import HOST, PASSWORD, USER, Started, started
from .scripted_server import message

PATIENCE = 60


class Load:
    """A client that does as little as possible, and holds one session over all rounds."""

    def __init__(self, port: int, user: str = USER) -> None:
        self.sock = socket.create_connection((HOST, port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lengths: dict[int, int] = {}  # of the answer to each RETR
        self.file = self.sock.makefile("rb")
        self.file.readline()
        for command in (f"USER {user}", f"PASS {PASSWORD}"):
            self.ask(command.encode())

    def ask(self, command: bytes) -> bytes:
        self.sock.sendall(command + b"\r\n")
        reply = self.file.readline()
        if not reply.startswith(b"+OK"):
            raise AssertionError(f"{command!r} was answered by {reply!r}")
        return reply

    def body(self) -> bytes:
        """Return the lines behind a reply, as they are on the wire."""
        return b"".join(iter(self.file.readline, b".\r\n")) + b".\r\n"

    def prove(self, count: int) -> bytes:
        """Retrieve messages, note how long the answers are, and return all that is behind the replies."""
        octets: list[bytes] = []
        for number in range(1, count + 1):
            reply = self.ask(b"RETR %d" % number)
            octets.append(self.body())
            self.lengths[number] = len(reply) + len(octets[-1])
        return b"".join(octets)

    def sequential(self, count: int) -> None:
        for number in range(1, count + 1):
            self.sock.sendall(b"RETR %d\r\n" % number)
            self.receive(self.lengths[number])

    def pipelined(self, count: int) -> None:
        for first in range(1, count + 1, 100):
            numbers = range(first, min(first + 100, count + 1))
            self.sock.sendall(b"".join(b"RETR %d\r\n" % number for number in numbers))
            self.receive(sum(self.lengths[number] for number in numbers))

    def receive(self, left: int) -> None:
        while left > 0:
            octets = self.sock.recv(262_144)
            if not octets:
                raise AssertionError("the server has hung up")
            left -= len(octets)

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def messages(count: int, octets: bytes) -> list[bytes]:
    """Return equal messages as they are stored, with LF at the end of each line."""
    return [octets.replace(b"\r\n", b"\n")] * count


def tables(settings: Settings) -> Iterator[Table]:
    if settings.quick:
        yield calls_served(100)
        return
    for title, count, octets in (("4 KB", 1_000, message(4_096)), ("25 MB", 4, message(25 << 20))):
        with contextlib.ExitStack() as stack:
            servers, missing = serving(stack, messages(count, octets))
            loads = {name: stack.enter_context(contextlib.closing(Load(on.port))) for name, on in servers.items()}
            for way in (Load.sequential, Load.pipelined) if count > 100 else (Load.sequential,):
                contenders = [contender(name, loads[name], on, way, count) for name, on in servers.items()]
                yield compare(
                    f"server: {count} x {title}, {way.__name__}",
                    contenders + missing,
                    settings,
                    against=["Twisted", "Dovecot"],
                    items=count,
                    item="message",
                    heavy=True,
                )


def serving(stack: contextlib.ExitStack, mail: list[bytes]) -> tuple[dict[str, Started], list[Contender]]:
    """Start all servers, each with mail of its own; return those that run, and a row for each that cannot."""
    servers: dict[str, Started] = {}
    missing: list[Contender] = []
    for name in ("asyncio", "trio", "blocking", "Twisted", "Dovecot"):
        try:
            if name == "Dovecot":
                servers[name] = stack.enter_context(dovecot({USER: mail}))
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pop3proto-")))
                path = make_maildir(folder / "Maildir", mail)
                servers[name] = stack.enter_context(started("mail_servers", name.lower(), path))
        except GivesUp as reason:
            missing.append(Contender(name, partial(give_up, str(reason))))
    return servers, missing


def give_up(reason: str) -> None:
    raise GivesUp(reason)


def contender(name: str, load: Load, server: Started, way: Callable[[Load, int], None], count: int) -> Contender:
    return Contender(
        name,
        partial(way, load, count),
        output=bytes,
        proof=partial(load.prove, count),
        known_wrong="a dot at the start of a chunk is not stuffed" if name == "Twisted" else "",
        cpu=server.cpu,
        note=BESIDES if name == "Dovecot" else "",
    )


def calls_served(count: int) -> Table:
    """Count what a served message takes in the process of the server over asyncio."""
    rows = tuple(Row(way.__name__, (count_served(way, count),)) for way in (Load.sequential, Load.pipelined))
    return Table(f"server: {count} x 4 KB over asyncio", ("calls a message",), rows)


def count_served(way: Callable[[Load, int], None], count: int) -> float:
    begun: queue.Queue[tuple[int, Callable[[], object]]] = queue.Queue()
    served: list[float] = []
    counter = CallCounter()

    def ask() -> None:
        port, done = begun.get(timeout=PATIENCE)
        try:
            with contextlib.closing(Load(port)) as load:
                assert load.prove(count) == wire(message(4_096)) * count
                before = counter.count
                way(load, count)
                served.append((counter.count - before) / count)
        finally:
            done()

    async def serve(path: Path) -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        async with pop3proto.asyncio.serve(service(str(path))) as server:
            begun.put((server.address[1], partial(loop.call_soon_threadsafe, ended.set)))
            await ended.wait()

    with tempfile.TemporaryDirectory(prefix="pop3proto-") as folder:
        path = make_maildir(Path(folder, "Maildir"), messages(count, message(4_096)))
        threading.Thread(target=ask, daemon=True).start()  # before the counting: only the server's calls count
        with counter:
            asyncio.run(serve(path))
    (result,) = served
    return result
