"""The header of the PROXY protocol, versions 1 and 2: a proxy announces by it who its client is.

The specification is proxy-protocol.txt of HAProxy. Octets in, a header out; nothing here does I/O.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, TypeAlias

import attrs

from pop3proto.core.errors import RemoteProtocolError
from pop3proto.procedures.operations import Now, Procedure, Read

__all__ = ["Announced", "HeaderReader", "ProxyHeader", "ProxyTls", "crc32c", "read_header"]

Announced: TypeAlias = tuple[str, int]
"""Address and port."""

_V1: Final = b"PROXY "
_V1_LONGEST: Final = 107  # octets of the line, its CR LF included
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED: Final = 16  # octets: signature, version and command, family and transport, length
_V2_LONGEST: Final = 4_096  # octets in all; addresses take 216 at most, and what is of use besides some hundreds
_PORTS: Final = 65_535

_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPECIFIED: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_UNIX: Final = 0x31
_ADDRESSES: Final = {
    _TCP4: struct.Struct("!4s4sHH"),
    _TCP6: struct.Struct("!16s16sHH"),
    _UNIX: struct.Struct("!108s108s"),
}

_AUTHORITY: Final = 0x02
_CRC32C: Final = 0x03
_SSL: Final = 0x20
_SSL_VERSION: Final = 0x21
_SSL_NAME: Final = 0x22
_SSL_FIXED: Final = 5  # octets before what is in it
_IN_TLS: Final = 0x01  # of the client's flags
_SHOWN: Final = 0x06  # likewise: a certificate over this connection, or in the TLS session
_TLV: Final = struct.Struct("!BH")


@attrs.frozen(kw_only=True)
class ProxyTls:
    """What a proxy says of the TLS between its client and itself.

    Args:
        version: for example "TLSv1.3"; "" if it does not say.
        verified: the client has shown a certificate, and the proxy has verified it.
        common_name: of the client's certificate; "" if it does not say.
    """

    version: str = ""
    verified: bool = False
    common_name: str = ""


@attrs.frozen(kw_only=True)
class ProxyHeader:
    """What a proxy announces.

    Args:
        local: the connection is the proxy's own, to see whether the server is alive: no client is announced.
        unix: the client has come to the proxy over a Unix socket.
        client: the client's address and port; None if the proxy does not know them.
        server: where the client has connected to.
        tls: None: the client has no TLS, or the proxy does not say.
        server_name: the host name that the client asked for; None if the proxy does not say.
    """

    local: bool = False
    unix: bool = False
    client: Announced | None = None
    server: Announced | None = None
    tls: ProxyTls | None = None
    server_name: str | None = None


class HeaderReader:
    """Reads a header from octets as they come. It never asks for more than a header may have.

    Attributes:
        rest: what came behind the header: the client's first octets.
    """

    def __init__(self) -> None:
        self.rest: bytes = b""
        self._octets = b""

    def feed(self, octets: bytes) -> ProxyHeader | None:
        """Take octets; return the header when it is complete.

        Raises:
            RemoteProtocolError: this is no header, or not one that a POP3 server can use.
        """
        self._octets += octets
        if not octets:
            raise RemoteProtocolError("the connection ended before its PROXY header was complete")
        if self._octets[: len(_V2)] == _V2[: len(self._octets)]:
            return self._read_binary()
        if self._octets[: len(_V1)] == _V1[: len(self._octets)]:
            return self._read_line()
        raise RemoteProtocolError("there is no PROXY header, and this listener wants one of each connection")

    def _read_line(self) -> ProxyHeader | None:
        end = self._octets.find(b"\r\n", 0, _V1_LONGEST)
        if end < 0:
            if len(self._octets) >= _V1_LONGEST:
                raise RemoteProtocolError(f"the PROXY header has no line end within {_V1_LONGEST} octets")
            return None
        line, self.rest = self._octets[:end], self._octets[end + 2 :]
        return _parse_line(line)

    def _read_binary(self) -> ProxyHeader | None:
        if len(self._octets) < _V2_FIXED:
            return None
        length = _V2_FIXED + int.from_bytes(self._octets[14:_V2_FIXED])
        if length > _V2_LONGEST:
            raise RemoteProtocolError(f"the PROXY header has {length} octets, and may have {_V2_LONGEST}")
        if len(self._octets) < length:
            return None
        header, self.rest = self._octets[:length], self._octets[length:]
        return _parse_binary(header)


def read_header(seconds: float) -> Procedure[tuple[ProxyHeader, bytes]]:
    """Read a header; return it, and the octets that have come behind it.

    Args:
        seconds: within which it must be there.

    Raises:
        RemoteProtocolError: as `HeaderReader.feed`.
        ConnectionLost, TimedOut, ShuttingDown: as the operation `Read`.
    """
    reader = HeaderReader()
    until = (yield from Now()) + seconds
    while (header := reader.feed((yield from Read(until)))) is None:
        pass
    return header, reader.rest


def _parse_line(line: bytes) -> ProxyHeader:
    # The zone of an address means nothing on another machine.
    words = line.replace(b"%", b"?").split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader()
    kinds: dict[bytes, type[ipaddress.IPv4Address | ipaddress.IPv6Address]] = {
        b"TCP4": ipaddress.IPv4Address,
        b"TCP6": ipaddress.IPv6Address,
    }
    try:
        _, family, client, server, client_port, server_port = words
        kind = kinds[family]
        return ProxyHeader(
            client=(str(kind(client.decode("ascii"))), _port(client_port)),
            server=(str(kind(server.decode("ascii"))), _port(server_port)),
        )
    except (ValueError, KeyError):  # a wrong address is a `ValueError`, and so are octets outside ASCII
        raise RemoteProtocolError("the PROXY header does not name two addresses and their ports") from None


def _port(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > len(str(_PORTS)) or (port := int(digits)) > _PORTS:
        raise ValueError
    if digits != b"%d" % port:  # no zeros before it, as the specification says
        raise ValueError
    return port


def _parse_binary(header: bytes) -> ProxyHeader:
    command, family = header[12], header[13]
    if command not in (_LOCAL, _PROXY):
        raise RemoteProtocolError(f"the PROXY header has version and command 0x{command:02x}, which there are not")
    addresses = _ADDRESSES.get(family)
    if command == _LOCAL or family == _UNSPECIFIED:
        # Of a local connection all that follows must be skipped, whatever it is.
        found = _additions(header, _V2_FIXED) if command == _PROXY else {}
        return _with_additions(ProxyHeader(local=command == _LOCAL), found)
    if addresses is None:
        raise RemoteProtocolError(f"the PROXY header announces family and transport 0x{family:02x}, which is not TCP")
    if len(header) < _V2_FIXED + addresses.size:
        raise RemoteProtocolError("the PROXY header is shorter than the addresses of its family")
    found = _additions(header, _V2_FIXED + addresses.size)
    if family == _UNIX:
        return _with_additions(ProxyHeader(unix=True), found)
    client, server, client_port, server_port = addresses.unpack_from(header, _V2_FIXED)
    announced = ProxyHeader(
        client=(str(ipaddress.ip_address(client)), client_port),
        server=(str(ipaddress.ip_address(server)), server_port),
    )
    return _with_additions(announced, found)


@attrs.frozen
class _Addition:
    start: int
    value: bytes


def _additions(header: bytes, start: int) -> dict[int, _Addition]:
    """Return what is added to the addresses, by its type; of several of one type the first.

    Raises:
        RemoteProtocolError: one goes beyond the end, or the checksum is wrong.
    """
    found: dict[int, _Addition] = {}
    for kind, addition in _values(header, start):
        found.setdefault(kind, addition)
    if (checksum := found.get(_CRC32C)) is not None:
        at = checksum.start
        unchecked = header[:at] + bytes(len(checksum.value)) + header[at + len(checksum.value) :]
        if crc32c(unchecked).to_bytes(4) != checksum.value:
            raise RemoteProtocolError("the checksum of the PROXY header is wrong")
    return found


def _values(octets: bytes, start: int) -> list[tuple[int, _Addition]]:
    found: list[tuple[int, _Addition]] = []
    while start < len(octets):
        if len(octets) < start + _TLV.size:
            raise RemoteProtocolError("the PROXY header ends within an addition")
        kind, length = _TLV.unpack_from(octets, start)
        start += _TLV.size
        if len(octets) < start + length:
            raise RemoteProtocolError("an addition of the PROXY header goes beyond its end")
        found.append((kind, _Addition(start, octets[start : start + length])))
        start += length
    return found


def _with_additions(header: ProxyHeader, found: dict[int, _Addition]) -> ProxyHeader:
    """Add what is said besides the addresses."""
    authority, ssl = found.get(_AUTHORITY), found.get(_SSL)
    return attrs.evolve(
        header,
        tls=None if ssl is None else _parse_tls(ssl.value),
        server_name=None if authority is None else _text(authority.value),
    )


def _parse_tls(octets: bytes) -> ProxyTls | None:
    """Return what is said of TLS; None: the client has none."""
    if len(octets) < _SSL_FIXED:
        raise RemoteProtocolError("what the PROXY header says of TLS is too short")
    inner = {kind: addition.value for kind, addition in reversed(_values(octets, _SSL_FIXED))}
    if not octets[0] & _IN_TLS:
        return None
    shown = bool(octets[0] & _SHOWN)
    return ProxyTls(
        version=_text(inner.get(_SSL_VERSION, b"")) or "",
        verified=shown and not int.from_bytes(octets[1:_SSL_FIXED]),
        common_name=_text(inner.get(_SSL_NAME, b"")) or "",
    )


def _text(octets: bytes) -> str | None:
    """Return text for logs and comparisons; None if it is none that can be shown."""
    text = octets.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else None


_POLYNOMIAL: Final = 0x82F63B78  # of Castagnoli (RFC 3720 section 12.1), its bits in the order in which they are sent


def _table() -> tuple[int, ...]:
    entries: list[int] = []
    for number in range(256):
        remainder = number
        for _ in range(8):
            remainder = remainder >> 1 ^ (_POLYNOMIAL if remainder & 1 else 0)
        entries.append(remainder)
    return tuple(entries)


_REMAINDERS: Final = _table()


def crc32c(octets: bytes) -> int:
    """Return the checksum CRC32c of octets (RFC 3720 section 12.1)."""
    remainder = 0xFFFFFFFF
    for octet in octets:
        remainder = remainder >> 8 ^ _REMAINDERS[(remainder ^ octet) & 0xFF]
    return remainder ^ 0xFFFFFFFF
