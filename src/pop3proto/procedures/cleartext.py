"""Policy: where TLS begins, and when a password or token may be sent without it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, cast, get_args

__all__ = [
    "IN_CLEAR",
    "TLS_BEFORE",
    "Cleartext",
    "TlsMode",
    "check_cleartext",
    "check_port",
    "default_port",
    "may_show_password",
    "port_of",
]

TlsMode: TypeAlias = Literal["implicit", "starttls", "none"]
"""TLS from the first octet (RFC 8314 section 3); by STLS, before anything else (RFC 2595); not at all."""

Cleartext: TypeAlias = Literal["never", "loopback", "always"]
"""When passwords and tokens may be sent or accepted without verified TLS: never, to or from this machine, always."""

_PORTS: Final[dict[TlsMode, int]] = {"implicit": 995, "starttls": 110, "none": 110}
_HIGHEST_PORT: Final = 65_535

IN_CLEAR: Final = 'and there is no verified TLS: use TLS, or pass cleartext="always"'
TLS_BEFORE: Final = "TLS worked there before, so somebody may be intercepting the connection"


def default_port(tls: TlsMode) -> int:
    """Return the registered port.

    Raises:
        ValueError: there is no such mode. (`True` must not be taken for no TLS.)
    """
    if tls not in _PORTS:
        raise ValueError(f"tls must be one of {', '.join(map(repr, _PORTS))}, not {tls!r}")
    return _PORTS[tls]


def port_of(tls: TlsMode, port: int | None) -> int:
    """Return the port to connect to.

    Args:
        tls: where TLS begins.
        port: None: the registered one.

    Raises:
        ValueError: there is no such mode, or no such port.
        TypeError: the port is not a number.
    """
    return default_port(tls) if port is None else check_port(port, least=1)


def check_port(port: int, *, least: int) -> int:
    """Return a port.

    Args:
        port: to be checked.
        least: the lowest that is allowed.

    Raises:
        ValueError: it is too low, or too high.
        TypeError: it is not a number.
    """
    if not isinstance(given := cast("object", port), int):
        raise TypeError(f"port must be an int, not of type {type(given).__name__}")
    if not least <= port <= _HIGHEST_PORT:
        raise ValueError(f"port must be from {least} to {_HIGHEST_PORT}, not {port}")
    return port


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
