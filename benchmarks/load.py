"""What a server bears: many clients for a long time, and a very large Maildir; with Dovecot beside it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from attrs import define, field

from .corpora import make_maildir, typical, wire
from .dovecot import BESIDES, dovecot
from .harness.report import Row, Table
from .harness.rounds import GivesUp, Settings
from .processes import HOST, PASSWORD, USER, Started, started
from .sessions import large_maildir

CLIENTS = 64
MESSAGES = 5
PATIENCE = 30

MAIL = [typical(2_048).replace(b"\r\n", b"\n")] * MESSAGES
BODIES = wire(typical(2_048)) * MESSAGES


def tables(settings: Settings) -> Iterator[Table]:
    seconds = settings.size(60, 1)
    names = ("asyncio", "trio", "blocking", *(() if settings.quick else ("Dovecot",)))
    yield Table(
        f"load: {CLIENTS} clients for {seconds} s, {MESSAGES} x 2 KB a session",
        ("failed", "sessions a second", "CPU ms a session", "KiB after a sixth", "KiB at the end"),
        tuple(under_load(name, seconds) for name in names),
    )
    yield from large_maildir(settings, settings.size(100_000, 100), group="load")


@define
class Client:
    """A client that begins another session when one ends.

    Args:
        port: the server's.
        user: its own, since a maildrop serves one session at a time.
    """

    port: int
    user: str
    sock: socket.socket = field(init=False)
    received: bytearray = field(init=False)
    asked: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.sock = socket.create_connection((HOST, self.port), PATIENCE)
        self.received, self.asked = bytearray(), False
        self.sock.sendall(f"USER {self.user}\r\nPASS {PASSWORD}\r\n".encode())

    def step(self) -> bool:
        """Read what has come; return whether the session has ended."""
        octets = self.sock.recv(65_536)
        self.received += octets
        if not self.asked and self.received.count(b"\r\n") == 3:
            self.asked = True
            retrievals = b"".join(b"RETR %d\r\n" % number for number in range(1, MESSAGES + 1))
            self.sock.sendall(b"STAT\r\nUIDL\r\n" + retrievals + b"QUIT\r\n")
        return not octets

    @property
    def is_right(self) -> bool:
        """Whether all was answered, and each octet of the messages is right."""
        replies, _, rest = bytes(self.received).partition(b"\r\n.\r\n")
        parts = rest.split(b"\r\n.\r\n")
        bodies = b"".join(part.partition(b"\r\n")[2] + b"\r\n.\r\n" for part in parts[:-1])
        return replies.count(b"+OK") == 5 and bodies == BODIES and parts[-1].startswith(b"+OK")


def under_load(name: str, seconds: int) -> Row:
    try:
        with serving(name) as server, contextlib.ExitStack() as stack:
            sessions, failed, early = 0, 0, 0
            cpu, began = server.cpu(), time.perf_counter()
            clients = [Client(server.port, f"{USER}{number}") for number in range(CLIENTS)]
            selector = stack.enter_context(selectors.DefaultSelector())
            for client in clients:
                selector.register(client.sock, selectors.EVENT_READ, client)
            while selector.get_map():
                if not (ready := selector.select(PATIENCE)):
                    raise AssertionError(f"{name}: nothing comes any more")
                now = time.perf_counter()
                if not early and now - began > seconds / 6:
                    early = server.resident()
                for key, _ in ready:
                    client: Client = key.data
                    if not client.step():
                        continue
                    sessions += 1
                    failed += not client.is_right
                    selector.unregister(client.sock)
                    client.sock.close()
                    if now - began < seconds:
                        client.begin()
                        selector.register(client.sock, selectors.EVENT_READ, client)
            took = time.perf_counter() - began
            spent = None if name == "Dovecot" else (server.cpu() - cpu) * 1e3 / sessions
            memory = (early / 1024, server.resident() / 1024) if early else (None, None)
    except GivesUp as reason:
        return Row(name, note=f"gives up: {reason}")
    note = f"{BESIDES}; the CPU time of processes that have ended is not known" if name == "Dovecot" else ""
    return Row(name, (failed, sessions / took, spent, *memory), note)


@contextlib.contextmanager
def serving(name: str) -> Generator[Started]:
    """Start a server for so many users, each with messages in a Maildir."""
    users = [f"{USER}{number}" for number in range(CLIENTS)]
    if name == "Dovecot":
        with dovecot(dict.fromkeys(users, MAIL), stls=False) as server:
            yield server
        return
    with tempfile.TemporaryDirectory(prefix="pop3proto-") as folder:
        for user in users:
            make_maildir(Path(folder, user), MAIL)
        with started("mail_servers", name, folder + "/") as server:
            yield server
