"""Clients over asyncio: `connect`, `connect_over`."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pop3proto._aio.session import session_over
from pop3proto._io.peers import unreachable
from pop3proto._io.tls_channel import client_channel
from pop3proto.asyncio.stream import AsyncioStream
from pop3proto.core.errors import ConnectionLost, TimedOut
from pop3proto.procedures.cleartext import Cleartext, TlsMode, default_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    from pop3proto._aio.client import AsyncClient
    from pop3proto.core.client import ClientConnection
    from pop3proto.procedures.cleartext import TlsMode

__all__ = ["connect", "connect_over"]


@asynccontextmanager
async def connect(  # noqa: PLR0913 - each has its default, and a name
    host: str,
    port: int | None = None,
    *,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    connect_timeout: float | None = 30,
    timeout: float | None = 60,  # noqa: ASYNC109 - a stall ends a wait, progress begins it again
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """Connect to a server and wait for its greeting; at the end of the block say QUIT.

    Left by an exception it only hangs up, and nothing is deleted.

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

    Yields:
        The client.

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
    stream = AsyncioStream(client_channel(context, host))
    try:
        async with asyncio.timeout(connect_timeout):
            await asyncio.get_running_loop().create_connection(lambda: stream, host, port)
    except TimeoutError:
        raise TimedOut(f"no connection to {host}, port {port}, in time") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        raise ConnectionLost(unreachable(host, port, error)) from error
    async with session_over(
        stream,
        tls=tls,
        loopback=stream.peer.loopback,
        cleartext=cleartext,
        timeout=timeout,
        connection=connection,
    ) as client:
        yield client


@asynccontextmanager
async def connect_over(  # noqa: PLR0913 - each has its default, and a name
    stream: asyncio.Transport | socket.socket,
    *,
    host: str | None = None,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    timeout: float | None = 60,  # noqa: ASYNC109 - as above
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """As `connect`, over a stream that is connected already: through a proxy, say.

    Nobody knows where it leads: passwords are sent in clear only if the caller allows that, on loopback too.

    Args:
        stream: a transport that has given nothing to its protocol yet, which is replaced; or a connected socket. It
            is closed at the end.
        host: the server's name, for TLS.
        tls: as `connect`: what is done over the stream.
        context: as `connect`.
        cleartext: as `connect`.
        timeout: as `connect`.
        connection: as `connect`.

    Yields:
        The client.

    Raises:
        Pop3Error: as `connect`.
        ValueError: there is no such `tls` or `cleartext`.
    """
    default_port(tls)
    ours = AsyncioStream(client_channel(context, host))
    if isinstance(stream, socket.socket):
        try:
            await asyncio.get_running_loop().create_connection(lambda: ours, sock=stream)
        except OSError as error:
            raise ConnectionLost(f"the socket cannot be used: {error}") from error
    elif stream.is_closing():
        raise ConnectionLost("the transport is closed")
    else:
        stream.set_protocol(ours)
        ours.connection_made(stream)
    async with session_over(
        ours, tls=tls, loopback=False, cleartext=cleartext, timeout=timeout, connection=connection
    ) as client:
        yield client
