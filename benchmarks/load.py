"""What a server bears: many clients for a long time, logins, and a very large Maildir; with Dovecot beside it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Final

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

HASHES: Final[Mapping[str, str]] = {
    "PLAIN": f"{{PLAIN}}{PASSWORD}",
    "SHA512-CRYPT": "{SHA512-CRYPT}$6$kqy68FMcAcZ3KYYv$"
    "QDAYfNLfkXQTtnObxI/SxIje4RxOzc5xVwJLac17jZJY4BBz2X8H5F7WH9a4lq4ZlBbsVWyzwqGjGPoahDznH0",
    "BLF-CRYPT, cost 5": "{BLF-CRYPT}$2y$05$r0itWC1dDHt/sl7lHU8ZGe0yXbBiinrlqSD1avcZXS65o/JznNMMi",
    "ARGON2ID, 64 MiB, t=3": "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$"
    "fnGu6yv09YzHTuyVvpSX+g$Ve2A1Xx7rU9vYk41Vn97EfrcamSf546BviTQvw1WLtE",
}
"""The password, as a passwd-file has it, by its scheme."""


def tables(settings: Settings) -> Iterator[Table]:
    seconds = settings.size(60, 1)
    adapters = ("asyncio", "trio", "blocking")
    beside = () if settings.quick else ("Dovecot",)
    yield Table(
        f"load: {CLIENTS} clients for {seconds} s, {MESSAGES} x 2 KB a session",
        ("failed", "sessions a second", "CPU ms a session", "KiB after a sixth", "KiB at the end"),
        tuple(under_load(name, seconds) for name in (*adapters, *beside)),
    )
    seconds = settings.size(10, 1)
    for scheme in list(HASHES)[: settings.size(len(HASHES), 2)]:
        yield Table(
            f"load: {CLIENTS} clients for {seconds} s, logins by {scheme}",
            ("failed", "logins a second"),
            tuple(logging_in(name, scheme, seconds) for name in ("asyncio", "blocking", *beside)),
        )
    yield from large_maildir(settings, settings.size(100_000, 100), group="load")


@define
class Client:
    """A client that begins another session when one ends.

    Args:
        port: the server's.
        user: its own, since a maildrop serves one session at a time.
        messages: how many it retrieves; 0: it logs in and out.
    """

    port: int
    user: str
    messages: int
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
            wanted = [b"STAT", b"UIDL", *(b"RETR %d" % number for number in range(1, self.messages + 1))]
            self.sock.sendall(b"".join(each + b"\r\n" for each in wanted if self.messages) + b"QUIT\r\n")
        return not octets

    @property
    def is_right(self) -> bool:
        """Whether all was answered, and each octet of the messages is right."""
        if not self.messages:
            return self.received.count(b"+OK") == 4
        replies, _, rest = bytes(self.received).partition(b"\r\n.\r\n")
        parts = rest.split(b"\r\n.\r\n")
        bodies = b"".join(part.partition(b"\r\n")[2] + b"\r\n.\r\n" for part in parts[:-1])
        return replies.count(b"+OK") == 5 and bodies == BODIES and parts[-1].startswith(b"+OK")


@define
class Driven:
    """What came of the sessions with one server.

    Args:
        sessions: how many there were.
        failed: how many of them went wrong.
        seconds: how long it took.
        early: octets of the server's memory when a sixth of the time had passed; 0: unknown.
    """

    sessions: int = 0
    failed: int = 0
    seconds: float = 0
    early: int = 0


def drive(server: Started, messages: int, seconds: int) -> Driven:
    """Let all clients begin one session after the other for some seconds."""
    driven, began = Driven(), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for number in range(CLIENTS):
            client = Client(server.port, f"{USER}{number}", messages)
            selector.register(client.sock, selectors.EVENT_READ, client)
        while selector.get_map():
            if not (ready := selector.select(PATIENCE)):
                raise AssertionError("nothing comes any more")
            driven.seconds = time.perf_counter() - began
            if not driven.early and driven.seconds > seconds / 6:
                driven.early = server.resident()
            for key, _ in ready:
                client = key.data
                if not client.step():
                    continue
                driven.sessions += 1
                driven.failed += not client.is_right
                selector.unregister(client.sock)
                client.sock.close()
                if driven.seconds < seconds:
                    client.begin()
                    selector.register(client.sock, selectors.EVENT_READ, client)
    return driven


def under_load(name: str, seconds: int) -> Row:
    try:
        with serving(name) as server:
            before = server.cpu()
            driven = drive(server, MESSAGES, seconds)
            cpu = None if name == "Dovecot" else (server.cpu() - before) * 1e3 / driven.sessions
            memory = driven.early / 1024, server.resident() / 1024
    except GivesUp as reason:
        return Row(name, note=f"gives up: {reason}")
    note = f"{BESIDES}; the CPU time of processes that have ended is not known" if name == "Dovecot" else ""
    return Row(name, (driven.failed, driven.sessions / driven.seconds, cpu, *memory), note)


def logging_in(name: str, scheme: str, seconds: int) -> Row:
    try:
        with serving(name, HASHES[scheme]) as server:
            driven = drive(server, 0, seconds)
    except GivesUp as reason:
        return Row(name, note=f"gives up: {reason}")
    return Row(name, (driven.failed, driven.sessions / driven.seconds), BESIDES if name == "Dovecot" else "")


@contextlib.contextmanager
def serving(name: str, hashed: str | None = None) -> Generator[Started]:
    """Start a server for so many users: with their passwords hashed and no mail, or with messages in a Maildir."""
    users = [f"{USER}{number}" for number in range(CLIENTS)]
    mail = MAIL if hashed is None else []
    if name == "Dovecot":
        with dovecot(dict.fromkeys(users, mail), stls=False, password=hashed or PASSWORD) as server:
            yield server
        return
    with tempfile.TemporaryDirectory(prefix="pop3proto-") as folder:
        if hashed is None:
            for user in users:
                make_maildir(Path(folder, user), mail)
            where = folder + "/"
        else:
            where = folder + "/it.users"
            Path(where).write_text("".join(f"{user}:{hashed}\n" for user in users), encoding="ascii")
        with started("mail_servers", name, where) as server:
            yield server
