"""Many sessions at once; a large Maildir from login to UIDL; and how long a command stops the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import resource
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from attrs import define

import pop3proto.asyncio
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import Service

from .corpora import make_maildir, typical
from .dovecot import BESIDES, dovecot
from .harness.report import Row, Table
from .harness.rounds import Contender, GivesUp, Settings, compare
from .processes import HOST, PASSWORD, USER, Started, started
from .server import PATIENCE, Load, give_up


def tables(settings: Settings) -> Iterator[Table]:
    for count in (20,) if settings.quick else (2_000, 10_000):
        names = ("asyncio", "trio", "blocking") if count <= 2_000 else ("asyncio", "trio")
        yield Table(
            f"sessions: {count} connections at once, then each logs in and waits",
            ("lost", "KiB a session", "CPU ms a session"),
            tuple(at_once(name, count) for name in names),
        )
    yield from large_maildir(settings, settings.size(10_000, 100), group="sessions")
    yield stops(settings.size(100_000, 1_000))


# Many at once.


def at_once(name: str, count: int) -> Row:
    """Connect many times without waiting in between, and see who is greeted and may log in."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if count + 100 > most:
        return Row(name, note=f"gives up: a process may have {most} files open")
    try:
        with started("mail_servers", name, "none") as server, contextlib.ExitStack() as stack:
            with contextlib.closing(Load(server.port, f"{USER}{count}")):
                pass  # what is made for the first session is made
            before, cpu = server.resident(), server.cpu()
            socks = [stack.enter_context(socket.socket()) for _ in range(count)]
            for sock in socks:
                sock.settimeout(0)
                sock.connect_ex((HOST, server.port))
            greeted = answered(socks)
            for number, sock in enumerate(greeted):
                sock.sendall(f"USER {USER}{number}\r\nPASS {PASSWORD}\r\n".encode())
            logged_in = answered(greeted, lines=2)
            octets, seconds = server.resident() - before, server.cpu() - cpu
    except GivesUp as reason:
        return Row(name, note=f"gives up: {reason}")
    return Row(name, (count - len(logged_in), octets / 1024 / count, seconds * 1e3 / count))


def answered(socks: list[socket.socket], lines: int = 1) -> list[socket.socket]:
    """Return those that so many positive replies have come to, when nothing comes any more."""
    replies = dict.fromkeys(socks, b"")
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
        while selector.get_map() and (ready := selector.select(PATIENCE)):
            for key, _ in ready:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                received = sock.recv(4_096)
                replies[sock] += received
                if not received or replies[sock].count(b"\r\n") == lines:
                    selector.unregister(sock)
    return [sock for sock, octets in replies.items() if octets.count(b"+OK") == lines]


# A large Maildir.


@define
class Visitor:
    """Logs in, asks for all that a client wants to know first, and stays until the next visit."""

    server: Started
    maildir: Path
    cold: bool
    load: Load | None = None

    def leave(self) -> None:
        """End the last session; if the next one is to be cold, forget what the server has noted in the Maildir."""
        if self.load is not None:
            self.load.ask(b"QUIT")
            self.load.file.read()
            self.load.close()
            self.load = None
            time.sleep(0.2)  # a process that has served it ends
        if self.cold:
            for path in self.maildir.iterdir():
                if path.name not in {"cur", "new", "tmp"} and "lock" not in path.name:
                    path.unlink()

    def visit(self) -> tuple[int, int, int]:
        self.load = Load(self.server.port)
        count = int(self.load.ask(b"STAT").split()[1])
        rows: list[int] = []
        for command in (b"LIST", b"UIDL"):
            self.load.ask(command)
            rows.append(self.load.body().count(b"\r\n") - 1)
        return count, rows[0], rows[1]


def large_maildir(settings: Settings, count: int, *, group: str) -> Iterator[Table]:
    mail = [typical(2_048).replace(b"\r\n", b"\n")] * count
    with contextlib.ExitStack() as stack:
        places: dict[str, tuple[Started, Path]] = {}
        missing: list[Contender] = []
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pop3proto-")))
        for name in ("asyncio", "blocking"):
            path = make_maildir(folder / name, mail)
            places[name] = stack.enter_context(started("mail_servers", name, path)), path
        if not settings.quick:
            homes: dict[str, Path] = {}
            try:
                places["Dovecot"] = stack.enter_context(dovecot({USER: mail}, homes)), homes[USER]
            except GivesUp as reason:
                missing.append(Contender("Dovecot", partial(give_up, str(reason))))
        for cold in (True, False):
            visitors = {name: Visitor(*place, cold) for name, place in places.items()}
            contenders = [
                Contender(
                    name,
                    visitor.visit,
                    output=tuple,
                    prepare=visitor.leave,
                    cpu=visitor.server.cpu,
                    note=BESIDES if name == "Dovecot" else "",
                )
                for name, visitor in visitors.items()
            ]
            how = "cold: nothing noted before" if cold else "warm"
            title = f"{group}: login, STAT, LIST, UIDL with a Maildir of {count}, {how}"
            yield compare(title, contenders + missing, settings, against=["Dovecot"], heavy=True)
            for visitor in visitors.values():
                visitor.leave()


# How long the event loop stops.


def stops(count: int) -> Table:
    """Measure in CPU time of the loop's thread, as others may take the core for longer than that."""
    begun: queue.Queue[tuple[int, Callable[[], object]]] = queue.Queue()
    times = 100
    rows: list[Row] = []
    gaps: list[float] = [0.0]
    clock: list[float] = []

    def ask() -> None:
        port, done = begun.get(timeout=PATIENCE)
        try:
            with contextlib.closing(Load(port)) as load:
                for command, repeat in ((b"STAT", times), (b"LIST", 1), (b"UIDL", 1)):
                    gaps[:] = [0.0]
                    before = clock[-1]
                    for _ in range(repeat):
                        load.ask(command)
                        if command != b"STAT":
                            load.body()
                    time.sleep(0.05)  # the heart beats again
                    spent = (clock[-1] - before) * 1e3
                    rows.append(Row(f"{command.decode()} x {repeat}", (spent / repeat, max(gaps) * 1e3)))
        finally:
            done()

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        store = MemoryStore({USER: [b"Subject: small\n\nsmall\n"] * count})
        service = Service(store=store, authenticator=MemoryAuthenticator({USER: PASSWORD}))
        clock.append(time.thread_time())

        def beat() -> None:
            now = time.thread_time()
            gaps.append(now - clock[-1])
            clock[:] = [now]
            loop.call_later(0.001, beat)

        async with pop3proto.asyncio.serve(service) as server:
            beat()
            begun.put((server.address[1], partial(loop.call_soon_threadsafe, ended.set)))
            await ended.wait()

    threading.Thread(target=ask, daemon=True).start()
    asyncio.run(serve())
    title = f"sessions: CPU time of the event loop, with a maildrop of {count} messages"
    return Table(title, ("ms a command", "ms in the longest turn"), tuple(rows))
