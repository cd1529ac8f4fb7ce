"""The header of the PROXY protocol, in one piece and octet by octet, against a reader that knows no shortcut."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from fuzz.target import Target, check, patched
from pop3proto import RemoteProtocolError
from pop3proto.procedures.server import proxy_protocol
from pop3proto.procedures.server.proxy_protocol import HeaderReader, ProxyHeader, crc32c

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FAR: Final = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 110\r\n"


def _read(pieces: list[bytes]) -> tuple[ProxyHeader | str | None, int]:
    """What a reader finds in pieces, and how many octets it leaves; the error as text."""
    reader = HeaderReader()
    for number, piece in enumerate(pieces):
        try:
            header = reader.feed(piece)
        except RemoteProtocolError:
            return "refused", 0
        if header is not None:
            return header, len(reader.rest) + sum(map(len, pieces[number + 1 :]))
    return None, 0


def _client(octets: bytes) -> tuple[str, int] | None:
    """Read the client of a header that is complete, naively."""
    if octets.startswith(b"PROXY "):
        words = octets.partition(b"\r\n")[0].split(b" ")
        if words[1] == b"UNKNOWN":
            return None
        return str(ipaddress.ip_address(words[2].decode("ascii"))), int(words[4])
    size = {0x11: 4, 0x21: 16}.get(octets[13])
    if octets[12] == 0x20 or size is None:
        return None
    port = octets[16 + 2 * size : 18 + 2 * size]
    return str(ipaddress.ip_address(octets[16 : 16 + size])), port[0] * 256 + port[1]


def _run(octets: bytes) -> Hashable:
    if not octets:
        return None
    found, left = _read([octets])
    pieces = [octets[at : at + 1] for at in range(len(octets))]
    check((found, left) == _read(pieces), "the cuts make a difference")
    if not isinstance(found, ProxyHeader):
        return found
    header = octets[: len(octets) - left]
    check(found.client == _client(header), "another client is announced")
    check(_read([header + b"USER ann\r\n"]) == (found, 10), "what is behind the header makes a difference")
    check(len(header) <= 4_096, "the header is too long")
    if header.startswith(_SIGNATURE):
        check(len(header) == 16 + header[14] * 256 + header[15], "the length is another one")
    kinds = (found.client is None, found.tls is None, found.server_name is None)
    return (found.local, found.unix, *kinds, header[12:14])


def _binary(command: int, family: int, body: bytes) -> bytes:
    return _SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def _seeds() -> Iterator[bytes]:
    yield _FAR + b"USER ann\r\n"
    yield b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"
    yield b"PROXY UNKNOWN\r\n"
    tls = b"\x20\0\x17\x01\0\0\0\1\x21\0\x07TLSv1.3\x22\0\x05ann.."
    besides = b"\x02\0\x0fpop.example.org" + tls + b"\x04\0\x02??"
    near, far = bytes([127, 0, 0, 1] * 2 + [1, 2, 3, 4]), bytes(36)
    for command in (0x20, 0x21):
        for family, addresses in ((0x11, near), (0x21, far), (0x31, bytes(216)), (0, b"")):
            yield _binary(command, family, addresses)
            yield _binary(command, family, addresses + besides)
    checked = _binary(0x21, 0x11, near + b"\x03\0\x04" + bytes(4))
    yield checked[:-4] + crc32c(checked).to_bytes(4, "big")


def _plant() -> AbstractContextManager[None]:
    """A port of any number of digits."""

    def port(digits: bytes) -> int:
        return int(digits) % 65_536

    return patched(proxy_protocol, "_port", port)


TARGET: Final = Target(
    "proxy-header",
    "the header of the PROXY protocol, however it is cut",
    _run,
    _seeds,
    _plant,
    _FAR.replace(b"50000", b"99999"),
)
