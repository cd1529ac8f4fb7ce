"""What a header of the PROXY protocol says, in the words of peers and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto.sasl.channel import TlsInfo

from .peers import Peer, is_loopback

if TYPE_CHECKING:
    from pop3proto.procedures.server.proxy_protocol import ProxyHeader

__all__ = ["announced_peer", "announced_tls"]


def announced_peer(header: ProxyHeader, proxy: Peer) -> Peer:
    """Return the client that a proxy announces.

    Args:
        header: what it announces.
        proxy: the other end of the connection.
    """
    if header.local:
        return proxy
    if header.client is None:
        # A Unix socket is on the machine of the proxy. Of a client that is not known, nothing good is assumed.
        return attrs.evolve(proxy, address="", port=0, loopback=header.unix and proxy.loopback)
    address, port = header.client
    # What calls itself 127.0.0.1 is on the proxy's machine, which is this one only if the proxy is here.
    return Peer(address, proxy.loopback and is_loopback(address), port, header.server)


def announced_tls(header: ProxyHeader) -> TlsInfo | None:
    """Return the TLS between client and proxy; None if there is none."""
    if header.tls is None:
        return None
    return TlsInfo(header.tls.version, header.tls.verified, server_name=header.server_name)
