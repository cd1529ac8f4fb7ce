"""Read a short and a long message in this process, and print by how many octets its peak has grown.

Run as `python -m benchmarks.memory_reader READER PORT PORT`, the ports of two servers.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pop3proto import NEED_DATA, Answer, BodyEnd, ClientConnection, Farewell, Greeting, Pass, Retr, User

from .client import Nowhere, Site, aio_stream, in_asyncio, in_trio, stream, trio_stream, via_poplib
from .processes import HOST, PASSWORD, USER


def by_core(site: Site, _sink: Nowhere) -> None:
    """Read by the core and a socket."""
    connection = ClientConnection()
    commands = iter((User(USER), Pass(PASSWORD), Retr(1)))
    buffer = bytearray(65_536)
    with socket.create_connection((HOST, site.port)) as sock:
        while True:
            event = connection.next_event()
            if event is NEED_DATA:
                connection.receive_data(memoryview(buffer)[: sock.recv_into(buffer)])
            elif isinstance(event, BodyEnd | Farewell):
                break
            elif isinstance(event, Greeting) or (isinstance(event, Answer) and not event.command.multi_line):
                sock.sendall(connection.send(next(commands)))


READERS: Mapping[str, Callable[[Site, Nowhere], object]] = {
    "core": by_core,
    "blocking": stream,
    "asyncio": in_asyncio(aio_stream),
    "trio": in_trio(trio_stream),
    "poplib": via_poplib,
}


def peak(work: Callable[[], object]) -> int:
    """Return the most octets of memory that this process has had during some work. It takes Linux."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    work()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    reader, short, long = sys.argv[1:]
    read = READERS[reader]
    for _ in range(2):  # what is made for the first message is made
        read(Site(int(short), 1, 0), Nowhere())
    before = peak(lambda: read(Site(int(short), 1, 0), Nowhere()))
    print(peak(lambda: read(Site(int(long), 1, 0), Nowhere())) - before)


if __name__ == "__main__":
    main()
