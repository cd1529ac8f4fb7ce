"""Policy: where TLS begins, and when a password or token may be sent without it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["IN_CLEAR", "Cleartext", "TlsMode", "check_cleartext", "default_port", "may_show_password"]

TlsMode: TypeAlias = Literal["implicit", "starttls", "none"]
"""TLS from the first octet (RFC 8314 section 3); by STLS, before anything else (RFC 2595); not at all."""

Cleartext: TypeAlias = Literal["never", "loopback", "always"]
"""When passwords and tokens may be sent or accepted without verified TLS: never, to or from this machine, always."""

_PORTS: Final[dict[TlsMode, int]] = {"implicit": 995, "starttls": 110, "none": 110}

IN_CLEAR: Final = 'and there is no verified TLS: use TLS, or pass cleartext="always"'


def default_port(tls: TlsMode) -> int:
    """Return the registered port.

    Raises:
        ValueError: there is no such mode. (`True` must not be taken for no TLS.)
    """
    if tls not in _PORTS:
        raise ValueError(f"tls must be one of {', '.join(map(repr, _PORTS))}, not {tls!r}")
    return _PORTS[tls]


def check_cleartext(cleartext: Cleartext) -> Cleartext:
    """Return the policy.

    Raises:
        ValueError: there is no such policy.
    """
    policies = get_args(Cleartext)
    if cleartext not in policies:
        raise ValueError(f"cleartext must be one of {', '.join(map(repr, policies))}, not {cleartext!r}")
    return cleartext


def may_show_password(cleartext: Cleartext, *, tls: bool, loopback: bool) -> bool:
    """Return whether USER and PASS, PLAIN, LOGIN, or a token may be sent (RFC 8314 section 5.2, RFC 5034 section 4).

    Args:
        cleartext: the policy for connections without TLS.
        tls: TLS is active; for a client, with the server's certificate verified.
        loopback: the peer is on this machine.
    """
    return tls or cleartext == "always" or (cleartext == "loopback" and loopback)
