"""pop3proto over blocking sockets: `connect` for clients, `serve` for servers with a thread for each connection."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ._blocking import Client
from ._blocking_message import IncomingMessage
from ._blocking_server import Server
from ._peers import unreachable
from ._sockets import SocketStream, bounded
from ._tls import ServerTls
from .core.client import ClientConnection
from .core.errors import ConnectionLost, TimedOut
from .procedures.client import establish
from .procedures.policy import TlsMode, default_port
from .procedures.session import Session

if TYPE_CHECKING:
    import ssl
    from os import PathLike

    from .procedures.service import Service

__all__ = ["Client", "IncomingMessage", "Server", "connect", "connect_over", "serve"]


def connect(  # noqa: PLR0913 - each has its default, and a name
    host: str,
    port: int | None = None,
    *,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    allow_cleartext: bool = False,
    connect_timeout: float | None = 30,
    timeout: float | None = 60,
    connection: ClientConnection | None = None,
) -> Client:
    """Connect to a server and wait for its greeting.

    Args:
        host: its name or address.
        port: 995 with TLS and 110 without if None. TLS is never inferred from the port.
        tls: "implicit" is TLS from the first octet (RFC 8314 section 3); "starttls" is TLS by STLS, before anything
            else (RFC 2595), and nothing more is sent to a server that refuses; "none" is no TLS.
        context: for TLS, that of `start_tls` too; certificate and name are verified if None.
        allow_cleartext: passwords and tokens may be sent without TLS, or to a server that was not verified, on another
            machine.
        connect_timeout: seconds in which the connection must be made.
        timeout: seconds for the greeting, for a whole login, and for each answer; inside a body, whatever comes begins
            them again.
        connection: the protocol, if it is not to be as it comes.

    Returns:
        The client. As a context manager it sends QUIT at the end; left by an exception it only hangs up, and nothing
        is deleted.

    Raises:
        ConnectionLost: there is no connection, the handshake failed, or the server hung up.
        TimedOut: it did not answer in time.
        CommandFailed: it refused STLS.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
        ValueError: there is no such `tls`.
    """
    registered = default_port(tls)  # in any case: `tls=True` must not come out as no TLS
    port = registered if port is None else port
    try:
        sock = socket.create_connection((host, port), bounded(connect_timeout))
    except TimeoutError:
        raise TimedOut(f"no connection to {host}, port {port}, in time") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        raise ConnectionLost(unreachable(host, port, error)) from error
    stream = SocketStream(sock, stall=timeout, context=context, hostname=host)
    return _begin(
        stream,
        tls=tls,
        loopback=stream.peer.loopback,
        allow_cleartext=allow_cleartext,
        patience=timeout,
        connection=connection,
    )


def connect_over(  # noqa: PLR0913 - each has its default, and a name
    stream: socket.socket,
    *,
    host: str | None = None,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    allow_cleartext: bool = False,
    timeout: float | None = 60,
    connection: ClientConnection | None = None,
) -> Client:
    """As `connect`, over a socket that is connected already: through a proxy, say.

    Nobody knows where it leads: passwords are sent in clear only if the caller allows that, on loopback too.

    Args:
        stream: a connected socket; it belongs to the client from now on.
        host: the server's name, for TLS.
        tls: as `connect`: what is done over the stream.
        context: as `connect`.
        allow_cleartext: as `connect`.
        timeout: as `connect`.
        connection: as `connect`.

    Returns:
        The client.

    Raises:
        Pop3Error: as `connect`.
        ValueError: there is no such `tls`.
    """
    default_port(tls)
    return _begin(
        SocketStream(stream, stall=timeout, context=context, hostname=host),
        tls=tls,
        loopback=False,
        allow_cleartext=allow_cleartext,
        patience=timeout,
        connection=connection,
    )


def _begin(  # noqa: PLR0913 - each has a name
    stream: SocketStream,
    *,
    tls: TlsMode,
    loopback: bool,
    allow_cleartext: bool,
    patience: float | None,
    connection: ClientConnection | None,
) -> Client:
    """Begin a session over a stream, which is closed if that fails."""
    session = Session(
        connection or ClientConnection(tls=tls == "implicit"),
        loopback=loopback,
        allow_cleartext=allow_cleartext,
        patience=patience,
    )
    try:
        stream.perform(establish(session, tls))
    except BaseException:
        stream.abort()
        raise
    return Client(session, stream)


def serve(  # noqa: PLR0913 - each has its default, and a name
    service: Service,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tls: TlsMode = "none",
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
    client_ca: str | PathLike[str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Server:
    """Serve maildrops.

    Args:
        service: what to serve, and to whom.
        host: the address to listen on.
        port: the port; 0 is any free one (see `Server.address`).
        tls: where TLS comes in: "implicit", "starttls" or "none".
        certificate: a file with the server's certificate and those between it and its authority, PEM.
        key: a file with its private key; None: it is in the same file.
        client_ca: a file with the authorities whose certificates clients may show (EXTERNAL), PEM.
        context: for TLS in place of these, if it is to be another; SCRAM cannot bind to the server's certificate then.

    Returns:
        The running server.

    Raises:
        OSError: it cannot listen there, or a file cannot be used.
        ValueError: TLS is wanted and there is nothing to do it with, or the other way round.
    """
    server_tls = ServerTls.choose(tls, certificate=certificate, key=key, client_ca=client_ca, context=context)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    return Server(service, listener, tls, server_tls)
