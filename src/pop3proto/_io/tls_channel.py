"""TLS over memory buffers, without I/O: all adapters put it between the network and the procedures.

asyncio's own TLS is not enough: it keeps written octets in two buffers and tells about one only, cannot go on writing
after the peer's closing alert, and must not be upgraded while it reads. `ssl.SSLSocket` cannot be interrupted by
another thread without dropping out of TLS.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias

from pop3proto.core.errors import LocalProtocolError

from .alpn import ClientHello, ForeignProtocol, check_chosen
from .tls import check_role, client_context, handshake_failure, peer_chain, tls_info

if TYPE_CHECKING:
    from pop3proto.core.errors import ConnectionLost, TimedOut
    from pop3proto.sasl.channel import TlsInfo

    from .server_tls import ServerTls

__all__ = ["MakeChannel", "TlsChannel", "client_channel", "server_channel"]

_RECORD: Final = 16_384  # octets; a record holds no more (RFC 8446 section 5.1), and `read` returns one at most
_MOST: Final = 262_144  # octets in clear at once


class TlsChannel:
    """One end of a TLS connection: `feed` it what was received, `take` what is to be sent.

    Args:
        context: for the handshake.
        hostname: the server's name, for a client.
        port: the server's port, for error messages; 0: it is unknown.
        server_side: this end is the server, whatever the context is for.
        certificate: the server's own certificate, DER, if this end is the server.
        pop3_only: refuse a client that offers other protocols (ALPN), if this end is the server.

    Raises:
        ValueError: the name is impossible.
        LocalProtocolError: the certificate is to be checked for a name, and there is no name.
    """

    def __init__(  # noqa: PLR0913 - most are keywords with defaults
        self,
        context: ssl.SSLContext,
        *,
        hostname: str | None = None,
        port: int = 0,
        server_side: bool = False,
        certificate: bytes | None = None,
        pop3_only: bool = False,
    ) -> None:
        if context.check_hostname and not (server_side or hostname):  # `wrap_bio` would not check the name then
            raise LocalProtocolError("the server's name is needed to check its certificate: pass host=")
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname
        )
        self._port = port
        self._certificate = certificate
        self._hello = ClientHello() if server_side and pop3_only else None  # None when it was read
        self._foreign: ForeignProtocol | None = None
        self._ended = False
        self._error: ssl.SSLError | None = None  # for each `read` to come

    def feed(self, octets: bytes) -> None:
        """Take octets from the peer; no octets are the end of the stream."""
        if octets:
            if self._hello is not None:
                self._read_hello(self._hello, octets)
            self._incoming.write(octets)
        else:
            self._incoming.write_eof()

    def _read_hello(self, hello: ClientHello, octets: bytes) -> None:
        try:
            done = hello.feed(octets)
        except ForeignProtocol as error:
            self._foreign, done = error, True
        if done:
            self._hello = None

    def take(self) -> bytes:
        """Return octets to be sent to the peer, if any."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is done.

        Raises:
            ssl.SSLError: it failed. There may be an alert to take.
        """
        if self._foreign is not None:
            self._outgoing.write(ClientHello.alert)
            raise self._foreign
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        if not self._object.server_side:
            check_chosen(self._object)
        return True

    def failure(
        self, error: ssl.SSLError | TimedOut, first: bytes, *, announced: bool = False, before: bool = False
    ) -> ConnectionLost | TimedOut:
        """Return what to raise for a handshake that failed.

        Args:
            error: why.
            first: what the peer has sent first.
            announced: both sides have agreed in clear to begin TLS now.
            before: TLS was active over an earlier connection to the same peer.
        """
        return handshake_failure(error, self._object, port=self._port, first=first, announced=announced, before=before)

    def info(self) -> TlsInfo:
        """Return the result of the handshake."""
        return tls_info(self._object, self._certificate)

    def peer_chain(self) -> tuple[bytes, ...]:
        """Return the certificates that the peer has sent, DER, its own first; before 3.13, perhaps its own alone."""
        return peer_chain(self._object)

    def cipher(self) -> str:
        """Return the name of the cipher that the handshake has chosen; "" before it."""
        cipher = self._object.cipher()
        return "" if cipher is None else cipher[0]

    def read(self) -> bytes | None:
        """Return decrypted octets: none at the end of the stream; None if more must be fed first.

        A stream that ends without the peer's closing alert counts as ended: POP3 knows by itself what is complete.

        Raises:
            ssl.SSLError: the octets are not valid TLS records.
        """
        chunks: list[bytes] = []
        try:
            if self._error is not None:
                raise self._error
            while not self._ended and len(chunks) < _MOST // _RECORD:
                octets = self._object.read(_RECORD)
                chunks.append(octets)
                self._ended = not octets
        except ssl.SSLWantReadError:
            if not chunks:
                return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._ended = True
        except ssl.SSLError as error:
            self._error = error
            if not chunks:
                raise
            # What came before it counts, however the octets were cut.
        return b"".join(chunks)

    def write(self, octets: bytes) -> bytes:
        """Return octets encrypted, to be sent to the peer.

        Raises:
            ssl.SSLError: nothing can be written any more.
        """
        left = memoryview(octets)
        while left:
            left = left[self._object.write(left) :]
        return self.take()

    def close(self) -> bytes:
        """Return the closing alert, to be sent to the peer (RFC 8314 section 3.4)."""
        with contextlib.suppress(OSError, ValueError):  # always: the peer has not answered it yet
            self._object.unwrap()
        return self.take()


MakeChannel: TypeAlias = Callable[[], TlsChannel]


def client_channel(context: ssl.SSLContext | None, host: str | None, port: int = 0) -> MakeChannel:
    """Return what makes a client's channel.

    Args:
        context: for the handshake; None: certificate and name are verified.
        host: the server's name; None: it is unknown.
        port: the server's port, for error messages; 0: it is unknown.

    Raises:
        ValueError, TypeError: as `check_role`.
    """
    if context is None:
        made = cache(client_context)  # to read the authorities takes a while, and a session in clear needs none
        return lambda: TlsChannel(made(), hostname=host, port=port)
    check_role(context, server_side=False)
    return partial(TlsChannel, context, hostname=host, port=port)


def server_channel(tls: ServerTls | None) -> MakeChannel | None:
    """Return what makes a server's channel; None if it has no TLS."""
    if tls is None:
        return None
    return partial(TlsChannel, tls.context, server_side=True, certificate=tls.certificate, pop3_only=tls.pop3_only)
