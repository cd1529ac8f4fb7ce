"""An HTTP endpoint that takes forms: one request a connection, which ends at a deadline whatever the server does."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

__all__ = ["Endpoint"]

_LONGEST: Final = 65_536  # octets of an answer
_CHUNK: Final = 8_192
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")
_VISIBLE: Final = re.compile(r"[!-~]+")  # other characters have to be percent-encoded (RFC 3986 section 2)


class Endpoint:
    """Where to send forms. Redirects are not followed, and no proxy is used.

    Args:
        url: https, or http on this machine.
        ca: a file of authorities for the server's certificate, in place of the system's.
        timeout: seconds that a request has, from the connection to the last octet of the answer.

    Attributes:
        host: its name or address.

    Raises:
        ValueError: the URL would send forms in clear, or is not one.
        OSError: the file of authorities cannot be used.
    """

    def __init__(self, url: str, *, ca: Path | None, timeout: float) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
            raise ValueError(f"the URL must begin with https://, as tokens are sent there: {url}")
        self.host: Final[str] = _ascii_host(host, url)
        self._port: Final = parts.port or (443 if parts.scheme == "https" else 80)
        self._path: Final = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not _VISIBLE.fullmatch(self._path):
            raise ValueError(f"a URL has no blanks, and no letters that are not ASCII unless percent-encoded: {url}")
        if "@" in parts.netloc:
            raise ValueError("the URL must not hold a user name or password")
        self._context: Final = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        self._timeout: Final = timeout

    def post(self, form: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send a form; return the status of the answer, and its body.

        Raises:
            OSError, http.client.HTTPException: it was not answered in time, or not by HTTP.
        """
        until = time.monotonic() + self._timeout
        kind = http.client.HTTPConnection if self._context is None else http.client.HTTPSConnection
        plain = self._connected(until)
        with plain.dup() as handle, _shut_down(handle, until), self._secured(plain) as connected:
            connection = kind(self.host, self._port)
            connection.sock = connected
            connection.request("POST", self._path, form, dict(headers))
            with connection.getresponse() as response:  # which holds the connection open, too
                return response.status, _read(response)

    def _connected(self, until: float) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self._port, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(max(until - time.monotonic(), 0.001))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        raise failure or OSError(f"{self.host} has no address")

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=self.host)
        finally:
            plain.close()  # the other has taken over its descriptor, or it has failed


@contextmanager
def _shut_down(connection: socket.socket, until: float) -> Generator[None]:
    """Shut a connection down at a time, so that whatever waits for it ends.

    Raises:
        TimeoutError: it was.
        OSError, http.client.HTTPException: what the block raises.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(until - time.monotonic(), 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if not late.is_set():
            raise
        raise TimeoutError("timed out") from error
    finally:
        timer.cancel()
        timer.join()  # it does not touch another connection with this descriptor
    if late.is_set():  # the end of the connection may have looked like the end of the answer
        raise TimeoutError("timed out")


def _read(response: http.client.HTTPResponse) -> bytes:
    """Return the body.

    Raises:
        OSError: it is too long.
    """
    octets = b""
    while chunk := response.read1(_CHUNK):
        octets += chunk
        if len(octets) > _LONGEST:
            raise OSError("the answer is too long")
    return octets


def _ascii_host(host: str, url: str) -> str:
    """Return a host name as it is asked for in DNS, or an address.

    Raises:
        ValueError: it is neither.
    """
    with suppress(ValueError):
        return str(ipaddress.ip_address(host))
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{host} is no host name ({error}): {url}") from None
    if not _HOST.fullmatch(name):
        raise ValueError(f"{host} is no host name: {url}")
    return name


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
