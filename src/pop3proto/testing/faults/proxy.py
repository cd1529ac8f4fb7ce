"""A proxy with faults, in front of any server: threads of this process, until a block ends."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._io.sockets import reset_at_close, send_at_once

from .dialogue import Asked
from .faulty_line import FaultyLines
from .line import HangUp, Hold, Octets, Wait, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from .faulty_line import FaultyLine
    from .line import Action, Fault

__all__ = ["FaultyProxy", "faulty"]

_RECEIVE: Final = 65_536  # octets
_PATIENCE: Final = 10  # seconds to connect to the server, and for its end
_LAST_PATIENCE: Final = 2  # seconds for the end of the servers once the block has ended
_LINGER: Final = 60  # seconds of silence in which a client may read what it was sent, and close


@attrs.frozen
class FaultyProxy:
    """A running proxy.

    Args:
        host: the address that it listens on, a loopback address.
        port: the port that it listens on.
    """

    host: str
    port: int
    _struck: Callable[[], tuple[Fault, ...]] = attrs.field(alias="struck", repr=False)

    @property
    def struck(self) -> tuple[Fault, ...]:
        """The faults that have changed something so far."""
        return self._struck()


@contextmanager
def faulty(
    host: str, port: int, faults: Sequence[Fault], *, seed: int = 0, implicit_tls: bool = False
) -> Generator[FaultyProxy]:
    """Run a proxy to a server until the `with` block ends: clients that connect to it meet the faults.

    What goes through TLS it cannot read: behind STLS, and from the start with `implicit_tls`, it passes octets on. Then
    the faults of the connection still work (`Cut(after="greeting", octets=3000)`, `SplitEvery`, `Drip`), and all octets
    of the server count as the greeting.

    Args:
        host: the server's.
        port: the server's.
        faults: what goes wrong, in this order.
        seed: of what the faults draw.
        implicit_tls: the server speaks TLS from the start.

    Raises:
        OSError: there is no free port; or, at the end of the block, there was no connection to the server.
        Exception: at the end of the block, what a fault has raised.
        TypeError: something in `faults` is none.
    """
    lines = FaultyLines(faults, seed)
    proxy = _Proxy((host, port), lines, opaque=implicit_tls)
    try:
        where, port = proxy.listener.getsockname()
        yield FaultyProxy(where, port, lambda: lines.struck)
    finally:
        proxy.end()
    if proxy.failures:
        raise proxy.failures[0]


class _Proxy:
    def __init__(self, server: tuple[str, int], lines: FaultyLines, *, opaque: bool) -> None:
        self.listener: Final = socket.create_server(("127.0.0.1", 0))
        self._server: Final = server
        self._lines: Final = lines
        self._opaque: Final = opaque
        self._ended: Final = threading.Event()
        self._wakeup, self._waker = socket.socketpair()
        self._threads: Final[list[threading.Thread]] = []
        self._clients: Final[list[socket.socket]] = []
        self._servers: Final[list[socket.socket]] = []
        self.failures: Final[list[Exception]] = []
        self._begin(self._accept)

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="pop3proto-faulty", daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Let all clients hang up, and wait until the servers have heard all that this brings about."""
        self._ended.set()
        self._waker.close()
        _shut(self._clients)  # one that sends to a client who does not read would not look up
        deadline = time.monotonic() + _LAST_PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        _shut(self._servers)
        for thread in self._threads:
            thread.join(_PATIENCE)
        self._wakeup.close()

    def _accept(self) -> None:
        with self.listener, selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in selector.select():
                    if key.fileobj is self.listener:
                        client, _ = self.listener.accept()
                        self._begin(self._carry, client, self._lines.begin())

    def _carry(self, client: socket.socket, line: FaultyLine) -> None:
        line.opaque, line.passes_tls = self._opaque, True
        with client:
            try:
                server = socket.create_connection(self._server, _PATIENCE)
            except OSError as error:
                where = "{}, port {}".format(*self._server)
                self.failures.append(ConnectionError(f"the proxy has no connection to {where}: {error}"))
                return
            with server:
                server.settimeout(None)
                self._clients.append(client)
                self._servers.append(server)
                connection = _Connection(client, server, line, self._ended)
                try:
                    with suppress(OSError):  # one of them is gone
                        connection.run(self._wakeup)
                    with suppress(OSError):
                        connection.end()
                    with suppress(OSError):  # it is gone, or the fault was a reset
                        connection.let_client_read()
                except Exception as error:  # noqa: BLE001 - a fault's: it is raised where the proxy was asked for
                    self.failures.append(error)


def _shut(sockets: Sequence[socket.socket]) -> None:
    for sock in tuple(sockets):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket, line: FaultyLine, ended: threading.Event) -> None:
        self._client: Final = client
        self._server: Final = server
        self._line: Final = line
        self._ended: Final = ended
        self._held = False
        self._over = False
        send_at_once(client)
        send_at_once(server)

    def run(self, wakeup: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._client, self._server, wakeup):
                selector.register(sock, selectors.EVENT_READ)
            if self._line.opaque:
                self._carry_out(self._line.before_tls())
            while not self._over:
                for key, _ in selector.select():
                    if key.fileobj is self._client:
                        octets = self._client.recv(_RECEIVE)
                        self._carry_out(self._line.client(octets))
                        if not octets:
                            selector.unregister(self._client)
                            self._server.shutdown(socket.SHUT_WR)
                            self._over |= self._held or self._ended.is_set()
                    elif key.fileobj is self._server and not self._over:
                        octets = self._server.recv(_RECEIVE)
                        self._carry_out(self._line.server(octets))
                        if not octets and self._held:
                            selector.unregister(self._server)
                        self._over |= not octets and not self._held
                    elif key.fileobj is wakeup:  # what the client has said is still read
                        selector.unregister(wakeup)
                        self._over |= self._client not in selector.get_map()
                        self._client.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Let the server hear what is to be done once the client is gone."""
        self._tell_server()
        self._server.settimeout(_PATIENCE)
        while self._server.recv(_RECEIVE):  # to close it with octets unread would be a reset
            pass

    def let_client_read(self) -> None:
        """Wait until the client has closed: to close before, with octets unread, would be a reset, and lose answers."""
        self._client.shutdown(socket.SHUT_WR)
        self._client.settimeout(_LINGER)
        while not self._ended.is_set() and self._client.recv(_RECEIVE):
            pass

    def _tell_server(self) -> None:
        for action in self._line.client(b""):
            if isinstance(action, Asked):
                self._server.sendall(action.octets)
        self._server.shutdown(socket.SHUT_WR)

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in joined(actions):
            if self._over:
                return
            deaf = self._held or self._ended.is_set()
            match action:
                case Asked(octets):
                    self._server.sendall(octets)
                case Octets(_, octets) if octets and not deaf:
                    self._client.sendall(octets)
                case Wait(seconds) if not deaf:
                    self._ended.wait(seconds)
                case Hold():
                    self._held = True
                case HangUp(reset):
                    self._over = True
                    with suppress(OSError):  # the server is gone as well
                        self._tell_server()  # before the client sees the end, and a test goes on
                    if reset:
                        reset_at_close(self._client)
                        self._client.close()
                    else:
                        self._client.shutdown(socket.SHUT_WR)
                case _:
                    pass
