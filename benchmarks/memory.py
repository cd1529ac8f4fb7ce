"""Memory: for a long body, and for a maildrop of many messages that is open."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .corpora import make_maildir
from .harness.report import Row, Table
from .harness.rounds import GivesUp, Settings
from .processes import Started, started
from .server import Load

SMALL = 1 << 20
MIB = 1 << 20
READERS = ("core", "blocking", "asyncio", "trio", "poplib")


def tables(settings: Settings) -> Iterator[Table]:
    long = settings.size(1 << 30, 16 << 20)
    yield Table(
        f"memory: peak of the process for a body of {long // MIB} MiB, over that for one of {SMALL // MIB} MiB",
        ("MiB",),
        tuple(growth(reader, long if reader != "poplib" else min(long, 64 << 20)) for reader in READERS),
    )
    count = settings.size(100_000, 500)
    yield Table(
        f"memory: of the server, for a maildrop of {count} messages that is open",
        ("MiB", "octets a message"),
        tuple(opened(name, count) for name in ("asyncio", "blocking", "Twisted")),
    )


def growth(reader: str, size: int) -> Row:
    """Return how much more memory a long body takes than a short one."""
    with started("scripted_server", str(SMALL)) as short, started("scripted_server", str(size)) as long:
        command = [sys.executable, "-m", "benchmarks.memory_reader", reader, str(short.port), str(long.port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode:
        return Row(reader, note=f"gives up: {ended.stderr.strip().splitlines()[-1]}")
    note = f"of {size // MIB} MiB" if reader == "poplib" else ""
    return Row(reader, (int(ended.stdout) / MIB,), note)


def opened(name: str, count: int) -> Row:
    """Return what a session takes in the server that has seen all messages, their sizes and unique ids."""
    try:
        with tempfile.TemporaryDirectory(prefix="pop3proto-") as folder:
            path = make_maildir(Path(folder, "Maildir"), [b"Subject: small\n\nsmall\n"] * count)
            with started("mail_servers", name.lower(), path) as server:
                octets = grown(server, count)
    except GivesUp as reason:
        return Row(name, note=f"gives up: {reason}")
    return Row(name, (octets / MIB, octets / count))


def grown(server: Started, count: int) -> int:
    before = server.resident()
    with contextlib.closing(Load(server.port)) as load:
        for command in (b"LIST", b"UIDL"):
            load.ask(command)
            assert load.body().count(b"\r\n") == count + 1
        return server.resident() - before
