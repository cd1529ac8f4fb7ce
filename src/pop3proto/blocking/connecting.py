"""Open client sessions over blocking sockets: `connect` to a server, or `connect_over` a connected socket."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeAlias

from pop3proto._io.peers import check_connected, check_stream_socket, new_session_info, unreachable
from pop3proto._io.tls_channel import client_channel
from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.core.limits import DEFAULT_LIMITS, NO_QUIRKS
from pop3proto.procedures.cleartext import Cleartext, TlsMode, port_of
from pop3proto.procedures.client.commands import establish
from pop3proto.procedures.client.options import SessionOptions

from .client import Client
from .interruption import Interruption, connected_socket
from .stream import SocketStream, bounded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence, Set as AbstractSet

    from pop3proto._io.tls_channel import MakeChannel
    from pop3proto.core.limits import Limits, Quirk
    from pop3proto.procedures.observer import ClientObserver


__all__ = ["OpenSocket", "connect", "connect_by", "connect_over", "sockets_to"]

OpenSocket: TypeAlias = "Callable[[float | None, Interruption | None], socket.socket]"


def connect(  # noqa: PLR0913 - each has its default, and a name
    host: str,
    port: int | None = None,
    *,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    connect_timeout: float | None = 30,
    timeout: float | None = 60,
    limits: Limits = DEFAULT_LIMITS,
    quirks: AbstractSet[Quirk] = NO_QUIRKS,
    observer: ClientObserver | Sequence[ClientObserver] = (),
) -> Client:
    """Connect to a server and wait for its greeting.

    Args:
        host: its name or address.
        port: None: 995 with implicit TLS, else 110. TLS is never inferred from the port.
        tls: "implicit" is TLS from the first octet (RFC 8314 section 3); "starttls" is TLS by STLS before anything
            else (RFC 2595), and nothing more is sent to a server that refuses; "none" is no TLS.
        context: for TLS; None: certificate and name are verified.
        cleartext: when passwords and tokens may be sent without verified TLS: "never"; "loopback": to this machine;
            "always": to any.
        connect_timeout: seconds in which the connection must be made; None: no limit.
        timeout: seconds for the greeting, for a whole login, for QUIT and for each answer; inside a body, each read
            begins them again; None: no limit.
        limits: how long lines may be, and how large what is held in memory.
        quirks: deviations of the server to tolerate: `{Quirk.BARE_LF}`, or a set of `PROFILES`.
        observer: one or several that see what is sent and received, with secrets masked.

    Returns:
        The client. As a context manager it sends QUIT at the end; left by an exception it only hangs up, and nothing
        is deleted. Without a block, close it by `quit` or `close`.

    Raises:
        ConnectionLost: there is no connection, the handshake failed, or the server hung up.
        CertificateError: the server's certificate was not accepted; a `ConnectionLost`.
        TimedOut: the server did not answer in time.
        CommandFailed: it refused STLS.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
        ValueError: there is no such `tls`, `cleartext` or `port`; or the context is for a server. Nothing was opened.
    """
    options = SessionOptions(
        tls=tls, cleartext=cleartext, timeout=timeout, limits=limits, quirks=quirks, observer=observer
    )
    where = host, port_of(tls, port)
    return connect_by(sockets_to(where, connect_timeout), options, *where, channel=client_channel(context, *where))


def sockets_to(where: tuple[str, int], connect_timeout: float | None) -> OpenSocket:
    """Return a function for `connect_by` that connects sockets to a server.

    Args:
        where: host and port.
        connect_timeout: as `connect`.
    """

    def open_socket(left: float | None, interruption: Interruption | None) -> socket.socket:
        seconds = bounded(min((each for each in (connect_timeout, left) if each is not None), default=None))
        try:
            if interruption is None:  # no other thread wants to end it
                return socket.create_connection(where, seconds)
            return connected_socket(where, seconds, interruption)
        except ConnectionLost:
            raise
        except TimeoutError:
            raise TimedOut(f"no connection to {where[0]}, port {where[1]}, in time") from None
        except (OSError, ValueError) as error:  # ValueError: an impossible host name
            raise ConnectionLost(unreachable(*where, error)) from error

    return open_socket


def connect_by(  # noqa: PLR0913 - each has its name
    open_socket: OpenSocket,
    options: SessionOptions,
    host: str,
    port: int,
    *,
    channel: MakeChannel,
    interruption: Interruption | None = None,
) -> Client:
    """As `connect`, by a function that connects a socket, again and again if need be: through a proxy, for example.

    Args:
        open_socket: its arguments are the seconds in which it must be done (None: no limit), and what may interrupt it
            (None: nothing). It raises `ConnectionLost` and `TimedOut`.
        options: of the session. Where the other end of the socket is not the server, "loopback" is no policy.
        host: the server's name or address.
        port: its port.
        channel: for TLS.
        interruption: another thread may set it to end this, until the client is there, which it can close.

    Raises:
        Pop3Error: as `connect`.
    """
    stream = SocketStream(open_socket(None, interruption), channel, stall=options.timeout, connect=open_socket)
    with nullcontext() if interruption is None else interruption.waking(stream.interrupt):
        return _client_over(stream, options, host, port, loopback=stream.peer.loopback, reconnects=True)


def connect_over(  # noqa: PLR0913 - each has its default, and a name
    stream: socket.socket,
    *,
    host: str | None = None,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    timeout: float | None = 60,
    limits: Limits = DEFAULT_LIMITS,
    quirks: AbstractSet[Quirk] = NO_QUIRKS,
    observer: ClientObserver | Sequence[ClientObserver] = (),
) -> Client:
    """As `connect`, over a stream that is connected already, through a proxy for example.

    The peer is unknown, so passwords without verified TLS need `cleartext="always"`, even on loopback.

    Args:
        stream: a connected socket; it belongs to the client from now on.
        host: the server's name; without it a certificate that must name the server cannot be checked.
        tls: as `connect`: what is done over the stream.
        context: as `connect`.
        cleartext: as `connect`.
        timeout: as `connect`.
        limits: as `connect`.
        quirks: as `connect`.
        observer: as `connect`.

    Returns:
        The client.

    Raises:
        Pop3Error: as `connect`.
        LocalProtocolError: the certificate is to be checked for a name, and there is no `host`. No handshake began.
        ValueError: there is no such `tls` or `cleartext`; the context is for a server; or it is no stream socket.
    """
    options = SessionOptions(
        tls=tls, cleartext=cleartext, timeout=timeout, limits=limits, quirks=quirks, observer=observer
    )
    channel = client_channel(context, host)
    check_stream_socket(stream)
    try:
        check_connected(stream)
    except ConnectionLost:
        stream.close()
        raise
    return _client_over(SocketStream(stream, channel, stall=timeout), options, host)


def _client_over(  # noqa: PLR0913 - each has its name
    stream: SocketStream,
    options: SessionOptions,
    host: str | None,
    port: int = 0,
    *,
    loopback: bool = False,
    reconnects: bool = False,
) -> Client:
    """Begin a session over a stream, which is closed if that fails."""
    info = new_session_info(stream.peer)
    client = Client(options.session(info, host, port, loopback=loopback, reconnects=reconnects), stream)
    try:
        client.perform(establish(client.session, options.tls))
    except BaseException as error:
        client.__exit__(type(error), error, error.__traceback__)
        raise
    return client
