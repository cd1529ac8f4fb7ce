"""What TLS lends to authentication: who the peer is, and what tells this channel from every other."""

from __future__ import annotations

import attrs

__all__ = ["ChannelBinding", "SessionInfo", "TlsInfo"]


@attrs.frozen
class ChannelBinding:
    """What both ends of a TLS channel know of it, and nobody in the middle can have on both sides (RFC 5056).

    Args:
        type: its registered name: "tls-exporter" (RFC 9266), "tls-unique" or "tls-server-end-point" (RFC 5929).
        octets: its value.
    """

    type: str
    octets: bytes = attrs.field(repr=False)


@attrs.frozen
class TlsInfo:
    """What a handshake came to.

    Args:
        version: "TLSv1.3", say.
        verified: the peer's certificate was verified; by a client, also that it names the host.
        certificate: the peer's certificate, DER; None if it sent none.
        bindings: what may be bound to, the best first.
    """

    version: str
    verified: bool
    certificate: bytes | None = attrs.field(default=None, repr=False)
    bindings: tuple[ChannelBinding, ...] = ()


@attrs.frozen
class SessionInfo:
    """What an authenticator and a store may know of a client's session.

    Args:
        address: the client's address, without its port; "" if it has none.
        tls: what the handshake came to; None without TLS.
    """

    address: str = ""
    tls: TlsInfo | None = None
