"""A small HTTP server for the figures of a server, over asyncio: `/metrics` and `/healthz`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .figures import ServerMetrics

__all__ = ["MetricsServer"]

_LONGEST: Final = 8_192  # octets of a request
_PATIENCE: Final = 10  # seconds for a request, and for an answer
_MOST: Final = 32  # connections that wait for a request; the oldest makes room for a new one


class MetricsServer:
    """Answers GET and HEAD of `/metrics`, and of `/healthz`: 200 while the server is well, else 503.

    Args:
        metrics: the figures.
        is_well: whether the server serves.
    """

    def __init__(self, metrics: ServerMetrics, is_well: Callable[[], bool]) -> None:
        self._metrics: Final = metrics
        self._is_well: Final = is_well
        self._waiting: Final[dict[asyncio.StreamWriter, None]] = {}  # for a request; the oldest first
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen, and return address and port.

        Raises:
            OSError: it cannot listen there.
        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST)
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    async def close(self) -> None:
        """End."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._waiting) >= _MOST:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.transport.abort()
        self._waiting[writer] = None
        try:
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                self._waiting.pop(writer, None)
                writer.write(self._respond(request))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # no request, or none that is taken
        finally:
            self._waiting.pop(writer, None)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _respond(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in {b"GET", b"HEAD"}:
            return _answer(405, "text/plain", b"GET only\n")
        match path:
            case b"/metrics":
                answer = _answer(200, self._metrics.content_type, self._metrics.page())
            case b"/healthz":
                well = self._is_well()
                answer = _answer(200 if well else 503, "text/plain", b"ok\n" if well else b"not serving\n")
            case _:
                answer = _answer(404, "text/plain", b"there are /metrics and /healthz\n")
        return answer if method == b"GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


_REASONS: Final = {
    200: "OK",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


def _answer(status: int, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
