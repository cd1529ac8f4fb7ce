"""Which protocol is to be spoken over a TLS connection (ALPN, RFC 7301): "pop3", and no other.

A connection that was meant for another protocol could be led here, with the certificate of the same host name. Python's
`ssl` chooses among protocols but does not refuse a client that offers none of them, as section 3.2 wants. So the
server reads the ClientHello too, which is sent in clear.
"""

from __future__ import annotations

import ssl
from typing import Final

__all__ = ["ClientHello", "ForeignProtocol", "allow_pop3_only", "check_chosen"]

_POP3: Final = "pop3"  # registered by IANA, with this case

_ALERT: Final = b"\x15\x03\x03\x00\x02\x02\x78"  # fatal, no_application_protocol (RFC 7301 section 3.2)
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_ALPN: Final = 16
_RECORD_HEADER: Final = 5  # octets: content type, version, length
_MOST: Final = 16_384  # octets of a ClientHello; longer ones are left to OpenSSL
_SHOWN: Final = 100  # characters of an error message


def allow_pop3_only(context: ssl.SSLContext) -> None:
    """Have a context offer, or choose, "pop3"."""
    context.set_alpn_protocols([_POP3])


class ForeignProtocol(ssl.SSLError):
    """The peer speaks another protocol.

    Args:
        peer: "client" or "server".
        protocols: what it offers, or has chosen.
    """

    def __init__(self, peer: str, protocols: str) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, f"the {peer} speaks {protocols[:_SHOWN]}, not {_POP3} (ALPN)")
        self.reason = "NO_APPLICATION_PROTOCOL"  # as OpenSSL calls it


def check_chosen(tls: ssl.SSLObject) -> None:
    """Check what a server has chosen.

    Raises:
        ForeignProtocol: it is not "pop3". None is taken for it: most servers do not choose.
    """
    chosen = tls.selected_alpn_protocol()
    if chosen not in (None, _POP3):
        raise ForeignProtocol("server", str(chosen).encode("unicode_escape").decode("ascii"))


class ClientHello:
    """Reads the first message of a client, as it arrives."""

    alert: Final = _ALERT

    def __init__(self) -> None:
        self._octets = bytearray()

    def feed(self, octets: bytes) -> bool:
        """Take octets; return whether the message is complete, or cannot be read: then nothing more need be fed.

        Raises:
            ForeignProtocol: the client offers protocols, and "pop3" is not among them. Send the alert.
        """
        self._octets += octets
        try:
            offers = _offers(bytes(self._octets))
        except _Incomplete:
            return len(self._octets) > _MOST
        except _Unreadable:
            return True
        if offers and _POP3.encode() not in offers:
            names = ", ".join(offer.decode("ascii", "backslashreplace") for offer in offers)
            raise ForeignProtocol("client", names.encode("unicode_escape").decode("ascii"))
        return True


class _Incomplete(Exception):
    """More octets are needed."""


class _Unreadable(Exception):
    """It is no ClientHello; OpenSSL will say so."""


class _Reader:
    """Takes vectors off the front of octets (RFC 8446 section 3.4).

    Args:
        octets: all of them.
        missing: what to raise if there are too few.
    """

    def __init__(self, octets: bytes, missing: type[Exception] = _Unreadable) -> None:
        self._octets = octets
        self._missing: Final = missing

    def __bool__(self) -> bool:
        return bool(self._octets)

    def take(self, count: int) -> bytes:
        if len(self._octets) < count:
            raise self._missing
        taken, self._octets = self._octets[:count], self._octets[count:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Return octets that follow their number, which has this size."""
        return self.take(self.number(size))


def _offers(octets: bytes) -> list[bytes]:
    """Return the protocols in a ClientHello (RFC 8446 section 4.1.2); none if it does not speak of them."""
    hello = _Reader(_message(octets))
    hello.take(2 + 32)  # legacy_version, random
    hello.vector(1)  # legacy_session_id
    hello.vector(2)  # cipher_suites
    hello.vector(1)  # legacy_compression_methods
    extensions = _Reader(hello.vector(2) if hello else b"")
    while extensions:
        kind, data = extensions.number(2), extensions.vector(2)
        if kind == _ALPN:
            names = _Reader(_Reader(data).vector(2))
            found: list[bytes] = []
            while names:
                found.append(names.vector(1))
            return found
    return []


def _message(octets: bytes) -> bytes:
    """Return the body of the first handshake message, which may be in several records."""
    records, body = _Reader(octets, _Incomplete), b""
    while True:
        header = records.take(_RECORD_HEADER)
        if header[0] != _HANDSHAKE or header[1] != 3:  # noqa: PLR2004 - the major version, of TLS 1.3 as well
            raise _Unreadable
        body += records.take(int.from_bytes(header[3:], "big"))
        if body and body[0] != _CLIENT_HELLO:
            raise _Unreadable
        if len(body) >= 4 and len(body) - 4 >= (length := int.from_bytes(body[1:4], "big")):  # noqa: PLR2004 - a header
            return body[4 : 4 + length]
