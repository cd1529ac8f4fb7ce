"""A server of which every answer is written down, at the other end of a pair of sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Generator, Iterable, Mapping
from typing import Any, TypeAlias

from pop3proto.testing.certificates import certificate_file, client_context
from tests.helpers.processes import join, wait_until

Answer: TypeAlias = "bytes | float | Iterable[bytes | float]"


class Dialogue:
    """Answers commands as it is told, and notes what it hears.

    Args:
        answers: by command line, or by its verb: octets; or pieces of them, with seconds to wait. There is `-ERR` for
            any other. Behind the answer to QUIT, or to what is in `last`, it hangs up.
        greeting: likewise.
        last: a command line or verb.
        context: of TLS, in which it is from the start; None: it is in clear.

    Attributes:
        client: the client's socket.
        heard: the lines, without their line ends.
    """

    def __init__(
        self,
        answers: Mapping[bytes, Answer] | None = None,
        greeting: Answer = b"+OK ready\r\n",
        last: bytes = b"QUIT",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.client, self._server = socket.socketpair()
        self.heard: list[bytes] = []
        self._said = b""
        self._context = context
        self._answers = {b"QUIT": b"+OK bye\r\n", **(answers or {})}
        self._greeting = greeting
        self._last = last
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with contextlib.suppress(OSError), self._server:
            if self._context is not None:
                self._server = self._context.wrap_socket(self._server, server_side=True)
            with self._server as server, server.makefile("rb") as lines:
                self._answer(lines)

    def _answer(self, lines: Iterable[bytes]) -> None:
        self._say(self._greeting)
        for each in lines:
            line = each.removesuffix(b"\n").removesuffix(b"\r")
            self.heard.append(line)
            verb = line.partition(b" ")[0]
            self._say(self._answers.get(line, self._answers.get(verb, b"-ERR what?\r\n")))
            if self._last in (line, verb):
                break

    def _say(self, answer: Answer) -> None:
        for piece in [answer] if isinstance(answer, bytes | float) else answer:
            if isinstance(piece, float):
                self._end.wait(piece)
            else:
                self._server.sendall(piece)
                self._said += piece

    def wait_for_the_end(self) -> None:
        """Wait until the client has hung up, or it has itself."""
        join(self._thread)

    def hears(self, line: bytes) -> None:
        """Wait until it has heard a line."""
        wait_until(lambda: line in self.heard, f"it never heard {line!r}, but {self.heard}")

    def has_said(self, octets: bytes) -> None:
        """Wait until it has sent some octets."""
        wait_until(lambda: octets in self._said, f"it never said {octets!r}, but {self._said!r}")

    @contextlib.contextmanager
    def running(self) -> Generator[Dialogue]:
        self._thread.start()
        try:
            yield self
        finally:
            self._end.set()
            with contextlib.suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self.client.close()
            join(self._thread)


def over(kind: type[Any], sock: socket.socket, *arguments: Any, **options: Any) -> Any:
    """Return a client of a class, over this socket in place of one that it would connect."""

    class Over(kind):
        def _create_socket(self, timeout):
            sock.settimeout(timeout)
            return sock

    return Over("pop.example.org", *arguments, **options)


@contextlib.contextmanager
def talking(
    kind: type[Any], *arguments: Any, timeout: float | None = 10, **options: Any
) -> Generator[tuple[Any, Dialogue]]:
    """Let a client of a class talk to a dialogue of these arguments; close both."""
    with Dialogue(*arguments, **options).running() as server:
        client = over(kind, server.client, timeout=timeout)
        try:
            yield client, server
        finally:
            client.close()


@contextlib.contextmanager
def talking_tls(
    kind: type[Any], *arguments: Any, timeout: float | None = 10, **options: Any
) -> Generator[tuple[Any, Dialogue]]:
    """As `talking`, under TLS from the start."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with certificate_file() as file:
        server_context.load_cert_chain(file)
    with Dialogue(*arguments, context=server_context, **options).running() as server:

        class Tls(kind):
            def _create_socket(self, timeout):
                server.client.settimeout(10)
                tls = client_context().wrap_socket(server.client, server_hostname="localhost")
                tls.settimeout(timeout)
                return tls

        client = Tls("localhost", timeout=timeout)
        try:
            yield client, server
        finally:
            client.close()
