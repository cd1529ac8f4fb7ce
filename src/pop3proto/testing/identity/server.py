"""An identity provider over HTTP on this machine, in threads of this process, until a block ends."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar, Final, cast

from typing_extensions import override

from .provider import IdentityProvider

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ["identity_provider"]

_PATIENCE: Final = 30  # seconds for the end of the server; and for a client to send its request
_LONGEST: Final = 65_536  # octets of a form


@contextmanager
def identity_provider(
    *,
    user: str = "ann",
    clients: Mapping[str, str | None] | None = None,
    lifetime: float = 3_600,
    rotates: bool = False,
    token_octets: int = 32,
) -> Generator[IdentityProvider]:
    """Run an identity provider on a free port of 127.0.0.1 until the `with` block ends.

    Its secrets can be guessed, so that a test can name them: never let it stand for a real one.

    Args:
        user: who consents, where a request does not say it by `login_hint`.
        clients: the secrets of the clients by their ids, None for a public one; None: every client is known, and has no
            secret or any.
        lifetime: seconds for which an access token is good.
        rotates: a refresh token is good once, and another comes with each access token.
        token_octets: the length of access tokens; those of some providers do not fit into a line of AUTH.
    """
    server = _Server()
    provider = IdentityProvider(
        f"http://127.0.0.1:{server.server_port}",
        user=user,
        clients=clients,
        lifetime=lifetime,
        rotates=rotates,
        token_octets=token_octets,
    )
    server.provider = provider
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="pop3proto-identity", daemon=True
    )
    thread.start()
    try:
        yield provider
    finally:
        server.end()
        thread.join(_PATIENCE)
        server.server_close()  # waits for the handlers, whose connections have ended


class _Server(ThreadingHTTPServer):
    daemon_threads: bool = False
    provider: IdentityProvider

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ended: Final = threading.Event()
        self._connections: Final[set[socket.socket]] = set()
        self._guard: Final = threading.Lock()

    def enter(self, connection: socket.socket) -> None:
        with self._guard:
            self._connections.add(connection)
        if self.ended.is_set():
            _hang_up(connection)

    def leave(self, connection: socket.socket) -> None:
        with self._guard:
            self._connections.discard(connection)

    def end(self) -> None:
        """Stop accepting, and end the connections: their handlers end."""
        self.shutdown()
        self.ended.set()
        with self._guard:
            for connection in self._connections:
                _hang_up(connection)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that is gone."""


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    timeout: ClassVar[float | None] = _PATIENCE

    @property
    def _server(self) -> _Server:
        return cast("_Server", self.server)

    @override
    def setup(self) -> None:
        super().setup()
        self._server.enter(self.connection)

    @override
    def finish(self) -> None:
        self._server.leave(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        self._respond(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST:
            self.send_error(411 if not length else 413)
            return
        self._respond(self.rfile.read(int(length)))

    def _respond(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self._server.provider.respond(self.command, self.path, headers, body)
        if answer is None:
            self._server.ended.wait()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the standard error of a test; `provider.requests` has it."""
