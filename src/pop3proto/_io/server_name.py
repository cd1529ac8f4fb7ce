"""The host name that a client asks for in a TLS handshake (SNI, RFC 6066 section 3)."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["certificate_of", "host_name", "note_server_names", "server_name_of", "use_certificates"]

_Tls: TypeAlias = ssl.SSLSocket | ssl.SSLObject
_Callback: TypeAlias = "Callable[[_Tls, str, ssl.SSLContext], int | None]"

_ATTRIBUTE: Final = "pop3proto_server_name"
_CERTIFICATE: Final = "pop3proto_certificate"


_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
_LONGEST_NAME: Final = 253


def host_name(given: str) -> str:
    """Return a host name as clients ask for it: A-labels, in lower case; "*." may come before it.

    Raises:
        ValueError: it is none.
    """
    name = given.lower().rstrip(".")
    star, dot, domain = name.partition(".") if name.startswith("*.") else ("", "", name)
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        domain = ""
    if not _NAME.fullmatch(domain) or len(domain) > _LONGEST_NAME:
        raise ValueError(f"{given!r} is no host name; they are like pop.example.org or *.example.org")
    return f"{star}{dot}{domain}"


class _Noting:
    """A callback of a server's TLS context that notes the name, and then does what the context did before.

    Args:
        before: the callback of the context; None: it had none.
    """

    def __init__(self, before: _Callback | None) -> None:
        self._before: Final = before

    def __call__(self, tls: _Tls, name: str, context: ssl.SSLContext, /) -> int | None:
        setattr(tls, _ATTRIBUTE, name)
        return None if self._before is None else self._before(tls, name, context)


class _Switching:
    """A callback of a server's TLS context that lets a handshake go on with the certificate of the name.

    Args:
        names: by name, the context and the certificate, DER.
    """

    def __init__(self, names: Mapping[str, tuple[ssl.SSLContext, bytes | None]]) -> None:
        self._names: Final = dict(names)

    def __call__(self, tls: _Tls, name: str | None, _context: ssl.SSLContext, /) -> None:
        name = (name or "").lower().rstrip(".")
        found = self._names.get(name) or self._names.get("*." + name.partition(".")[2])
        if found is not None:
            tls.context, certificate = found
            setattr(tls, _CERTIFICATE, certificate)


def use_certificates(context: ssl.SSLContext, names: Mapping[str, tuple[ssl.SSLContext, bytes | None]]) -> None:
    """Have a server's TLS context use the certificates of the names that clients ask for.

    Args:
        context: for clients that ask for no name, or another one.
        names: as "pop.example.org", or "*.example.org"; with the context and the certificate, DER, of each.
    """
    context.sni_callback = cast("_Callback", _Switching(names))
    note_server_names(context)


def certificate_of(tls: _Tls, default: bytes | None) -> bytes | None:
    """Return the certificate that a server has shown, DER: that of the name, or the default.

    A client that resumes a session of TLS 1.3 under another name has seen that of its first handshake: then SCRAM's
    binding to the certificate fails. Clients resume sessions under the same name only (RFC 8446 section 4.6.1).
    """
    return cast("bytes | None", getattr(tls, _CERTIFICATE, default))


def note_server_names(context: ssl.SSLContext) -> None:
    """Have a server's TLS context note which name each client asks for.

    If a client asks for a name that is not ASCII, Python ends the handshake, and prints "Exception ignored" to standard
    error.
    """
    before = cast("_Callback | None", context.sni_callback)
    if not isinstance(before, _Noting):
        context.sni_callback = _Noting(before)


def server_name_of(tls: _Tls) -> str | None:
    """Return the name that the client has asked for; None if there is none, and on the client's side."""
    return cast("str | None", getattr(tls, _ATTRIBUTE, None))
