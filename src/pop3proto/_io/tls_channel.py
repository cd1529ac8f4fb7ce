"""TLS without I/O: what the asyncio and trio adapters put between the wire and the procedures.

asyncio's own TLS would do for most of it, but keeps octets that were written in two buffers of which it tells about
one only, cannot go on writing when the peer has said that it will not, and must not be upgraded while it reads.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Final

from .tls import client_context, handshake_failure, tls_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.errors import ConnectionLost
    from pop3proto.sasl.channel import TlsInfo

__all__ = ["TlsChannel", "client_channel"]

_RECORD: Final = 16_384  # octets; a record holds no more (RFC 8446 section 5.1), and `read` returns one at most
_MOST: Final = 262_144  # octets in clear at once


class TlsChannel:
    """One end of a TLS connection: the peer's octets are fed, and what it is to get is taken.

    Args:
        context: how to shake hands.
        hostname: the server's name, for a client.
        server_side: this end is the server.
        certificate: a server's own, DER.

    Raises:
        ValueError: the name is impossible, or is needed and not there.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        hostname: str | None = None,
        server_side: bool = False,
        certificate: bytes | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname
        )
        self._certificate = certificate
        self._ended = False

    def feed(self, octets: bytes) -> None:
        """Take what came from the peer; none is the end of the stream."""
        if octets:
            self._incoming.write(octets)
        else:
            self._incoming.write_eof()

    def take(self) -> bytes:
        """Return what is to go to the peer, if anything."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is done.

        Raises:
            ssl.SSLError: it failed. There may be an alert to take.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def failure(self, error: ssl.SSLError) -> ConnectionLost:
        """Return what to raise for a handshake that failed."""
        return handshake_failure(error, self._object)

    def info(self) -> TlsInfo:
        """Return what the handshake came to."""
        return tls_info(self._object, self._certificate)

    def read(self) -> bytes | None:
        """Return octets in clear: none at the end of the stream; None if more must be fed before.

        A stream that ends without the peer's word for it ends all the same: what is whole, POP3 tells by itself.

        Raises:
            ssl.SSLError: the peer's octets are not what they should be.
        """
        chunks: list[bytes] = []
        try:
            while not self._ended and len(chunks) < _MOST // _RECORD:
                octets = self._object.read(_RECORD)
                chunks.append(octets)
                self._ended = not octets
        except ssl.SSLWantReadError:
            if not chunks:
                return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._ended = True
        return b"".join(chunks)

    def write(self, octets: bytes) -> bytes:
        """Return octets as they are to go to the peer.

        Raises:
            ssl.SSLError: nothing can be written any more.
        """
        left = memoryview(octets)
        while left:
            left = left[self._object.write(left) :]
        return self.take()

    def close(self) -> bytes:
        """Return the alert that says that nothing more comes (RFC 8314 section 3.4)."""
        with contextlib.suppress(OSError, ValueError):  # always: the peer has not answered it yet
            self._object.unwrap()
        return self.take()


def client_channel(context: ssl.SSLContext | None, host: str | None) -> Callable[[], TlsChannel]:
    """Return what makes a client's channel.

    Args:
        context: how to shake hands; None: certificate and name are verified.
        host: the server's name.
    """
    return lambda: TlsChannel(context or client_context(), hostname=host)
