"""What the command line talks to in tests: servers on loopback, good and bad; and password files."""

import socket
import ssl
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.blocking import Server, serve
from pop3proto.cli import main
from pop3proto.procedures.maildrop import MaildropStore
from pop3proto.procedures.server.service import Service
from tests.helpers.processes import join

PASSWORD = "tan staaf "
MAIL = [b"Subject: one\n\n1\n", b".two\n..\n.\n", b"Subject: three\r\n\r\nno end"]
STORED = [b".two\n..\n.\n", b"Subject: one\n\n1\n", b"Subject: three\n\nno end\n"]
"""How a Maildir has them."""


def password_file(folder: Path, text: str = f"{PASSWORD}\n") -> Path:
    path = folder / "password"
    path.write_bytes(text.encode())
    return path


@contextmanager
def serving(store: MaildropStore, context: ssl.SSLContext | None = None, port: int = 0) -> Generator[Server]:
    """Serve a store to ann. When the block ends, all sessions have ended."""
    service = Service(store=store, authenticator=MemoryAuthenticator({"ann": PASSWORD}), login_penalty=None)
    with serve(service, port=port, context=context) as server:
        yield server


def fetch(server: "Server | Scripted", target: Path, *options: str) -> int:
    """Fetch by `main`, in this process, with the right password."""
    host, port = server.address
    file = password_file(target.parent)
    return main(["fetch", f"pop://ann@{host}:{port}", str(target), "--password-file", str(file), *options])


def fetch_in_clear(server: "Server | Scripted", target: Path, *options: str) -> int:
    """As `fetch`, without TLS if there is none."""
    return fetch(server, target, "--allow-cleartext", *options)


def name_of(server: "Server | Scripted | int", user: str = "ann") -> str:
    """The name of the account of a server's URL, or of one on that port: lines of output begin with it."""
    port = server if isinstance(server, int) else server.address[1]
    return f"{user}@127.0.0.1:{port}"


def at(server: "Server | Scripted | int", user: str = "") -> str:
    """How an error of a session with a server begins, or with one on that port; `user`: of whom it is the login."""
    port = server if isinstance(server, int) else server.address[1]
    return f"{name_of(server)}: 127.0.0.1, port {port}{f', user {user}' if user else ''}: "


def stored(target: Path) -> list[bytes]:
    """What lies in a Maildir, in any order, sorted."""
    return sorted(file.read_bytes() for folder in ("new", "cur") for file in (target / folder).iterdir())


class HangUp(bytes):
    """An answer after which the server hangs up."""


LOGIN = {
    "CAPA": b"-ERR what?\r\n",
    "USER": b"+OK\r\n",
    "PASS": b"+OK\r\n",
    "NOOP": b"+OK\r\n",
    "QUIT": HangUp(b"+OK bye\r\n"),
}


class Scripted:
    """A server that gives fixed answers, one session after the other.

    Args:
        answers: by whole line, or by verb; a list is for successive commands.
        greeting: what it says first.
        context: for TLS from the first octet; None: no TLS.
        otherwise: the answer to all else.
    """

    def __init__(
        self,
        answers: Mapping[str, bytes | list[bytes]],
        greeting: bytes = b"+OK ready\r\n",
        context: ssl.SSLContext | None = None,
        otherwise: bytes = b"-ERR what?\r\n",
    ) -> None:
        self.heard: list[str] = []
        self.answers: dict[str, bytes | list[bytes]] = {**LOGIN, **answers}
        self._greeting = greeting
        self._context = context
        self._otherwise = otherwise
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        join(self._thread)

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with suppress(ConnectionError):  # a client that does not like what it hears hangs up
                self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True)
        with sock, sock.makefile("rb") as lines:
            sock.sendall(self._greeting)
            for line in lines:
                text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
                self.heard.append(text)
                answer = self._answer(text)
                sock.sendall(answer)
                if isinstance(answer, HangUp):
                    break

    def _answer(self, line: str) -> bytes:
        verb, _, argument = line.partition(" ")
        if verb in {"UIDL", "LIST"} and argument and line not in self.answers:
            return self._row(verb, argument)
        answer = self.answers.get(line, self.answers.get(verb, self._otherwise))
        return answer.pop(0) if isinstance(answer, list) else answer

    def _row(self, verb: str, number: str) -> bytes:
        """The answer to UIDL or LIST for one message, as the answer for all has it."""
        listing = self.answers.get(verb, b"")
        assert isinstance(listing, bytes)
        for row in listing.split(b"\r\n"):
            if row.split()[:1] == [number.encode()]:
                return b"+OK " + row + b"\r\n"
        return b"-ERR no such message\r\n"


def body(*lines: str) -> bytes:
    """A positive answer with a body."""
    return b"".join(f"{line}\r\n".encode() for line in ("+OK", *lines, "."))
