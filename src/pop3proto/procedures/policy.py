"""Whether a password may cross the wire as it is."""

from __future__ import annotations

__all__ = ["may_show_password"]


def may_show_password(*, tls: bool, loopback: bool, allow_cleartext: bool) -> bool:
    """Return whether USER and PASS, or PLAIN, may be used (RFC 8314 section 5.2, RFC 5034 section 4).

    Args:
        tls: TLS is active; for a client, with the server's certificate verified.
        loopback: the peer is on this machine.
        allow_cleartext: the caller has said so in as many words.
    """
    return tls or loopback or allow_cleartext
