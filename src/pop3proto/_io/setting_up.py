"""What the arguments of `serve` ask for: where to listen, and how sessions are served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.procedures.cleartext import default_port

from .certificates import choose_certificates
from .listener import Listener
from .listening import Listeners
from .sessions import Sessions

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Sequence
    from os import PathLike

    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.procedures.server.service import Service

    from .certificates import Certificates

__all__ = ["set_up"]

_HOST: Final = "127.0.0.1"  # as `serve` has it, where none is named


def set_up(  # noqa: PLR0913 - they are those of `serve`
    service: Service,
    host: str | Sequence[str],
    port: int,
    *,
    sockets: Sequence[socket.socket] | None,
    listeners: Sequence[Listener] | None,
    tls: TlsMode,
    certificate: str | PathLike[str] | None,
    key: str | PathLike[str] | None,
    client_ca: str | PathLike[str] | None,
    context: ssl.SSLContext | None,
    certificates: Certificates | None,
) -> tuple[Sessions, Listeners]:
    """Return what serves the sessions, and where it listens. Arguments and errors are those of `serve`."""
    default_port(tls)  # raises if there is no such mode
    if listeners is None:
        listeners = [Listener(address=host, port=port, sockets=sockets, tls=tls)]
    elif host != _HOST or sockets is not None or port or tls != "none":
        raise ValueError("give either listeners=, or host, port or sockets=, and tls=")
    with_tls: list[TlsMode] = [listener.tls for listener in listeners if listener.tls != "none"]
    chosen = choose_certificates(
        with_tls[0] if with_tls else "none",
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        context=context,
        certificates=certificates,
    )
    return Sessions(service, chosen), Listeners(listeners)
