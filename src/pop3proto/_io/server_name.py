"""The host name that a client asks for in a TLS handshake (SNI, RFC 6066 section 3)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["note_server_names", "server_name_of"]

_Tls: TypeAlias = ssl.SSLSocket | ssl.SSLObject
_Callback: TypeAlias = "Callable[[_Tls, str, ssl.SSLContext], int | None]"

_ATTRIBUTE: Final = "pop3proto_server_name"


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


def note_server_names(context: ssl.SSLContext) -> None:
    """Have a server's TLS context note which name each client asks for."""
    before = cast("_Callback | None", context.sni_callback)
    if not isinstance(before, _Noting):
        context.sni_callback = _Noting(before)


def server_name_of(tls: _Tls) -> str | None:
    """Return the name that the client has asked for; None if there is none, and on the client's side."""
    return cast("str | None", getattr(tls, _ATTRIBUTE, None))
