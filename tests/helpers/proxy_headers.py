"""Headers of the PROXY protocol, written down by its specification: what a proxy sends."""

import ipaddress
import struct

from pop3proto.procedures.server.proxy_protocol import crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def line(client, server, client_port=50_000, server_port=110):
    """A header of version 1."""
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {server} {client_port} {server_port}\r\n".encode()


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def tls_tlv(version="TLSv1.3", *, flags=1, verify=1, name=""):
    inner = tlv(0x21, version.encode()) + (tlv(0x22, name.encode()) if name else b"")
    return tlv(0x20, struct.pack("!BI", flags, verify) + inner)


def binary(client=None, server="192.0.2.2", *, ports=(50_000, 110), command=0x21, family=None, body=None, more=b""):
    """A header of version 2."""
    if body is None:
        body = b""
        if client is not None:
            first, second = ipaddress.ip_address(client), ipaddress.ip_address(server)
            body = first.packed + second.packed + struct.pack("!HH", *ports)
            family = family or (0x11 if first.version == 4 else 0x21)
    body += more
    return SIGNATURE + struct.pack("!BBH", command, family or 0, len(body)) + body


def with_checksum(header, more=b""):
    """The same header with a checksum behind what it has."""
    body = header[16:] + more
    whole = header[:14] + struct.pack("!H", len(body) + 7) + body + tlv(3, bytes(4))
    return whole[:-4] + crc32c(whole).to_bytes(4)
