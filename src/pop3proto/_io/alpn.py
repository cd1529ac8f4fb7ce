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
_MESSAGE_HEADER: Final = 4  # octets: type, length
_MOST: Final = 16_384  # octets of a ClientHello, without its records; longer ones are left to OpenSSL
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
    """Reads the first message of a client, as it arrives: each octet is looked at once, however the octets are cut.

    TLS does not protect how the handshake is divided into records, so an attacker on the path can choose that. OpenSSL
    takes records of one octet, and empty ones: neither may hide what is offered, so both are read.
    """

    alert: Final = _ALERT

    def __init__(self) -> None:
        self._header = bytearray()  # of a record, as far as it has come
        self._left = 0  # octets of the record that are still to come
        self._message = bytearray()  # the contents of the records so far

    def feed(self, octets: bytes) -> bool:
        """Take octets; return whether the message is complete, or cannot be read: then feed nothing more.

        Raises:
            ForeignProtocol: the client offers protocols, and "pop3" is not among them. Send the alert, and feed
                nothing more.
        """
        try:
            if not self._assemble(_Reader(octets)):
                return False
            offers = _offers(bytes(self._message[_MESSAGE_HEADER : self._end()]))
        except _Unreadable:
            return True
        if offers and _POP3.encode() not in offers:
            names = ", ".join(offer.decode("ascii", "backslashreplace") for offer in offers)
            raise ForeignProtocol("client", names.encode("unicode_escape").decode("ascii"))
        return True

    def _assemble(self, received: _Reader) -> bool:
        """Take the contents out of records; return whether the message is complete."""
        while received:
            if not self._left:
                self._header += received.at_most(_RECORD_HEADER - len(self._header))
                if len(self._header) < _RECORD_HEADER:
                    return False
                if self._header[0] != _HANDSHAKE or self._header[1] != 3:  # noqa: PLR2004 - the major version, of TLS 1.3 as well
                    raise _Unreadable
                self._left = int.from_bytes(self._header[3:], "big")
                self._header.clear()
            contents = received.at_most(self._left)
            self._left -= len(contents)
            self._message += contents
            if self._is_complete():
                return True
        return False

    def _is_complete(self) -> bool:
        message = self._message
        if message and message[0] != _CLIENT_HELLO:
            raise _Unreadable
        if len(message) < _MESSAGE_HEADER:
            return False
        end = self._end()
        if end > _MOST and len(message) > _MOST:
            raise _Unreadable
        return len(message) >= end

    def _end(self) -> int:
        """Return how long the message says it is, with its header."""
        return _MESSAGE_HEADER + int.from_bytes(self._message[1:_MESSAGE_HEADER], "big")


class _Unreadable(Exception):
    """It is no ClientHello, or too long a one; it is left to OpenSSL."""


class _Reader:
    """Takes vectors off the front of octets (RFC 8446 section 3.4)."""

    def __init__(self, octets: bytes) -> None:
        self._octets: Final = octets
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._octets)

    def at_most(self, count: int) -> bytes:
        taken = self._octets[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def take(self, count: int) -> bytes:
        taken = self.at_most(count)
        if len(taken) < count:
            raise _Unreadable
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Return octets that follow their number, which has this size."""
        return self.take(self.number(size))


def _offers(body: bytes) -> list[bytes]:
    """Return the protocols in the body of a ClientHello (RFC 8446 section 4.1.2); none if it does not speak of them."""
    hello = _Reader(body)
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
