"""Fetch up to 50 messages with the core alone, in a loop of `selectors`: each message becomes a file.

RETRs are pipelined if the server announces PIPELINING.

POP3_PASSWORD=tanstaaf python sans_io_selectors.py pop.example.org ann mail
"""

import argparse
import ipaddress
import os
import selectors
import socket
import ssl
from collections import deque
from getpass import getpass
from pathlib import Path

from pop3proto import (
    Answer,
    BodyChunk,
    BodyEnd,
    Capa,
    ClientConnection,
    ClientEvent,
    Command,
    CommandFailed,
    ConnectionLost,
    Err,
    Farewell,
    Greeting,
    Ok,
    Pass,
    Pop3Error,
    Quit,
    Retr,
    SessionRefused,
    Signal,
    Stat,
    State,
    TimedOut,
    User,
)

WINDOW = 16  # requests that may be unanswered: so few octets that they fit into the buffers of any connection
PATIENCE = 60  # seconds that the server may say nothing
MOST_CAPABILITIES = 65_536  # octets; what a server sends beyond them is dropped


class Fetch:
    """The dialogue: it takes events, and knows what to send next. It does no network I/O."""

    def __init__(self, pop: ClientConnection, user: str, password: str, folder: Path, most: int) -> None:
        self._pop, self._folder, self._most = pop, folder, most
        self._todo = deque[Command[object]]([User(user), Pass(password), Capa(), Stat()])
        self._window = 0  # nothing is sent before the greeting
        self._answered: Command[object] | None = None  # what the body that arrives belongs to
        self._capabilities = bytearray()

    def requests(self) -> bytes:
        """Return the octets of the commands that may be sent now."""
        octets = bytearray()
        while self._todo and len(self._pop.outstanding) < self._window:
            octets += self._pop.send(self._todo.popleft())
        return bytes(octets)

    def take(self, event: ClientEvent) -> None:
        """Act on what the server said."""
        match event:
            case Greeting(Ok()):
                self._window = 1
            case Greeting(Err() as reply):
                raise SessionRefused(reply)
            case Farewell(reply):
                raise ConnectionLost(f"the server ended the session: {reply.text}")
            case Answer(Capa(), Err()):
                pass  # an old server, without pipelining
            case Answer(command, Err() as reply):
                raise CommandFailed(command, reply)
            case Answer(command, Ok() as reply):
                self._accepted(command, reply)
            case BodyChunk() | BodyEnd():
                self._body(event)
            case _:
                pass  # a Challenge follows only AUTH, and ConnectionClosed only QUIT

    def _accepted(self, command: Command[object], reply: Ok) -> None:
        self._answered = command
        match command:
            case Stat():
                last = min(command.parse(reply).count, self._most)
                self._todo += [*map(Retr, range(1, last + 1)), Quit()]
            case Retr():
                self._part(command).write_bytes(b"")
            case _:
                pass

    def _body(self, event: BodyChunk | BodyEnd) -> None:
        match self._answered, event:
            case Retr() as command, BodyChunk(data):
                with self._part(command).open("ab") as file:
                    file.write(data)
            case Retr() as command, BodyEnd():
                part = self._part(command)
                part.replace(part.with_suffix(".eml"))  # it has its name once it is whole
            case Capa(), BodyChunk(data):
                if len(self._capabilities) < MOST_CAPABILITIES:
                    self._capabilities += data
            case Capa() as command, BodyEnd():
                if command.parse(Ok(), bytes(self._capabilities)).pipelining:
                    self._window = WINDOW
            case _:
                pass

    def _part(self, command: Retr) -> Path:
        return self._folder / f"{command.number}.part"


def converse(sock: socket.socket, pop: ClientConnection, fetch: Fetch) -> None:
    """Move octets and events between the socket and the dialogue, until the session is over."""
    unsent = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while pop.state is not State.CLOSED:
            event = pop.next_event()
            if isinstance(event, Signal):
                unsent += fetch.requests()
                pop.receive_data(exchange(sock, selector, unsent))
            else:
                fetch.take(event)


def exchange(sock: socket.socket, selector: selectors.BaseSelector, unsent: bytearray) -> bytes:
    """Write what the socket takes, and return what it has. It reads though it cannot write, so no side is stuck."""
    while True:
        wanted = selectors.EVENT_READ
        try:
            while unsent:
                del unsent[: sock.send(unsent)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            wanted |= selectors.EVENT_WRITE
        try:
            return sock.recv(65_536)  # first, since TLS may hold octets that the selector does not see
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except ssl.SSLWantWriteError:
            wanted |= selectors.EVENT_WRITE
        selector.modify(sock, wanted)
        if not selector.select(PATIENCE):
            raise TimedOut("the server said nothing in time")


def connect(host: str, port: int, *, tls: bool) -> socket.socket:
    """Connect, shake hands if TLS is wanted, and return a socket that does not block."""
    sock = socket.create_connection((host, port), PATIENCE)
    try:
        if tls:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        else:
            check_loopback(sock)
    except BaseException:
        sock.close()
        raise
    sock.settimeout(0)
    return sock


def check_loopback(sock: socket.socket) -> None:
    """Raise unless the server is on this machine: the core sends what it is told to send, a password in clear too."""
    if not ipaddress.ip_address(sock.getpeername()[0]).is_loopback:
        raise ConnectionLost("a password goes to another machine only over TLS")


def main() -> None:
    """Read the arguments, and fetch."""
    parser = argparse.ArgumentParser(description="Fetch messages into a folder, with the core alone.")
    parser.add_argument("host")
    parser.add_argument("user")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, help="default: 995 with implicit TLS, else 110")
    parser.add_argument("--tls", choices=("implicit", "none"), default="implicit")
    parser.add_argument("--most", type=int, default=50, help="how many messages; default: 50")
    given = parser.parse_args()
    password = os.environ.get("POP3_PASSWORD") or getpass()
    tls = given.tls == "implicit"
    given.folder.mkdir(parents=True, exist_ok=True)
    pop = ClientConnection(tls=tls)
    try:
        with connect(given.host, given.port or (995 if tls else 110), tls=tls) as sock:
            converse(sock, pop, Fetch(pop, given.user, password, given.folder, given.most))
    except (Pop3Error, OSError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
