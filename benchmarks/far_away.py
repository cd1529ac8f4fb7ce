"""A server that is far away: what goes to it and comes from it is late, and round trips are counted."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Generator
from typing import Final, Literal, TypeAlias

from attrs import define

from .processes import HOST

_PATIENCE: Final = 120
What: TypeAlias = Literal["commands", "answers"]

_ASKS_FOR_MAIL: Final = (b"STAT", b"LIST", b"UIDL", b"RETR")


@define
class Distance:
    """What was counted.

    A round trip is a question that was asked when the answer to an earlier one had come. The longest chain of these is
    what a client has to wait for, however many commands it sends at once.

    Attributes:
        port: where the clients connect.
        asked: length of the chain that ends with the last octets of the client.
        answered: length of the chain that ends with the last octets that the client was sent.
        login: length of the chain before the first command about mail; None: there was none.
    """

    port: int
    asked: int = 0
    answered: int = 0
    login: int | None = None

    @property
    def beyond_login(self) -> int:
        return self.asked - (self.login or 0)


@contextlib.contextmanager
def far_away(port: int, seconds: float) -> Generator[Distance]:
    """Listen for one connection after the other, and let all octets arrive later, in both directions.

    Args:
        port: of the server.
        seconds: how much later.
    """
    with socket.create_server((HOST, 0)) as listener:
        distance = Distance(listener.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(listener, port, seconds, distance), daemon=True)
        thread.start()
        try:
            yield distance
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(_PATIENCE)


def _serve(listener: socket.socket, port: int, seconds: float, distance: Distance) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client, socket.create_connection((HOST, port), _PATIENCE) as server:
                for sock in (client, server):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.settimeout(_PATIENCE)
                answers = threading.Thread(
                    target=_carry, args=(server, client, seconds, distance, "answers"), daemon=True
                )
                answers.start()
                _carry(client, server, seconds, distance, "commands")
                answers.join(_PATIENCE)


def _carry(source: socket.socket, sink: socket.socket, seconds: float, distance: Distance, what: What) -> None:
    under_way: queue.Queue[tuple[float, int, bytes]] = queue.Queue()
    late = threading.Thread(target=_arrive, args=(sink, under_way, distance, what), daemon=True)
    late.start()
    with contextlib.suppress(OSError):
        while octets := source.recv(1 << 18):
            if what == "commands":
                if distance.login is None and octets.startswith(_ASKS_FOR_MAIL):
                    distance.login = distance.answered
                chain = distance.answered + 1
            else:
                chain = distance.asked
            under_way.put((time.monotonic() + seconds, chain, octets))
    under_way.put((time.monotonic() + seconds, 0, b""))
    late.join(_PATIENCE)


def _arrive(
    sink: socket.socket, under_way: queue.Queue[tuple[float, int, bytes]], distance: Distance, what: What
) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, chain, octets = under_way.get(timeout=_PATIENCE)
            time.sleep(max(0.0, due - time.monotonic()))
            if not octets:
                sink.shutdown(socket.SHUT_WR)
                return
            if what == "answers":
                distance.answered = chain
            else:
                distance.asked = chain
            sink.sendall(octets)
