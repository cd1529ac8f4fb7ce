"""What may cross the wire as it is, and where TLS comes in."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

__all__ = ["IN_CLEAR", "TlsMode", "default_port", "may_show_password"]

TlsMode: TypeAlias = Literal["implicit", "starttls", "none"]
"""TLS from the first octet (RFC 8314 section 3); by STLS, before anything else (RFC 2595); not at all."""

_PORTS: Final[dict[TlsMode, int]] = {"implicit": 995, "starttls": 110, "none": 110}

IN_CLEAR: Final = "and there is no verified TLS: use it, or allow cleartext explicitly"


def default_port(tls: TlsMode) -> int:
    """Return the registered port.

    Raises:
        ValueError: there is no such mode. (`True`, say, must not come out as no TLS.)
    """
    if tls not in _PORTS:
        raise ValueError(f"tls must be one of {', '.join(map(repr, _PORTS))}, not {tls!r}")
    return _PORTS[tls]


def may_show_password(*, tls: bool, loopback: bool, allow_cleartext: bool) -> bool:
    """Return whether USER and PASS, PLAIN, LOGIN, or a token may be sent (RFC 8314 section 5.2, RFC 5034 section 4).

    Args:
        tls: TLS is active; for a client, with the server's certificate verified.
        loopback: the peer is on this machine.
        allow_cleartext: the caller has said so in as many words.
    """
    return tls or loopback or allow_cleartext
