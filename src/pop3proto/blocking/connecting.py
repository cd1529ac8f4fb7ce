"""Open client sessions over blocking sockets: `connect` to a server, or `connect_over` a connected socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pop3proto._io.peers import unreachable
from pop3proto.core.client import ClientConnection
from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.procedures.cleartext import Cleartext, TlsMode, default_port
from pop3proto.procedures.client.commands import establish
from pop3proto.procedures.client.session import Session

from .client import Client
from .stream import SocketStream, bounded

if TYPE_CHECKING:
    import ssl


__all__ = ["connect", "connect_over"]


def connect(  # noqa: PLR0913 - each has its default, and a name
    host: str,
    port: int | None = None,
    *,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
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
        cleartext: when passwords and tokens may be sent without verified TLS: "never"; "loopback": to this machine;
            "always": to any.
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
        ValueError: there is no such `tls` or `cleartext`.
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
        cleartext=cleartext,
        timeout=timeout,
        connection=connection,
    )


def connect_over(  # noqa: PLR0913 - each has its default, and a name
    stream: socket.socket,
    *,
    host: str | None = None,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
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
        cleartext: as `connect`.
        timeout: as `connect`.
        connection: as `connect`.

    Returns:
        The client.

    Raises:
        Pop3Error: as `connect`.
        ValueError: there is no such `tls` or `cleartext`.
    """
    default_port(tls)
    return _begin(
        SocketStream(stream, stall=timeout, context=context, hostname=host),
        tls=tls,
        loopback=False,
        cleartext=cleartext,
        timeout=timeout,
        connection=connection,
    )


def _begin(  # noqa: PLR0913 - each has a name
    stream: SocketStream,
    *,
    tls: TlsMode,
    loopback: bool,
    cleartext: Cleartext,
    timeout: float | None,
    connection: ClientConnection | None,
) -> Client:
    """Begin a session over a stream, which is closed if that fails."""
    session = Session(
        connection or ClientConnection(tls=tls == "implicit"),
        loopback=loopback,
        cleartext=cleartext,
        timeout=timeout,
    )
    try:
        stream.perform(establish(session, tls))
    except BaseException:
        stream.abort()
        raise
    return Client(session, stream)
