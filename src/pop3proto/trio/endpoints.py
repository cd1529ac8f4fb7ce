"""Clients over trio: `connect`, `connect_over`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from pop3proto._aio.session import session_over
from pop3proto._io.peers import unreachable
from pop3proto._io.tls_channel import client_channel
from pop3proto.core.errors import ConnectionLost
from pop3proto.procedures.cleartext import Cleartext, TlsMode, default_port
from pop3proto.trio.stream import TrioStream

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
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """Connect to a server and wait for its greeting; at the end of the block say QUIT.

    Left by an exception it only hangs up, and nothing is deleted. It waits for ever: how long to wait is what
    `trio.fail_after` and its like are for.

    Args:
        host: its name or address.
        port: 995 with TLS and 110 without if None. TLS is never inferred from the port.
        tls: "implicit" is TLS from the first octet (RFC 8314 section 3); "starttls" is TLS by STLS, before anything
            else (RFC 2595), and nothing more is sent to a server that refuses; "none" is no TLS.
        context: for TLS, that of `start_tls` too; certificate and name are verified if None.
        cleartext: when passwords and tokens may be sent without verified TLS: "never"; "loopback": to this machine;
            "always": to any.
        connection: the protocol, if it is not to be as it comes.

    Yields:
        The client.

    Raises:
        ConnectionLost: there is no connection, the handshake failed, or the server hung up.
        CommandFailed: it refused STLS.
        SessionRefused: it greeted with `-ERR`.
        RemoteProtocolError: it is no POP3 server.
        ValueError: there is no such `tls` or `cleartext`.
    """
    registered = default_port(tls)  # in any case: `tls=True` must not come out as no TLS
    port = registered if port is None else port
    try:
        stream = await trio.open_tcp_stream(host, port)
    except (OSError, ValueError) as error:  # ValueError: an impossible host name
        raise ConnectionLost(unreachable(host, port, error)) from error
    ours = TrioStream(stream, client_channel(context, host))
    async with session_over(
        ours,
        tls=tls,
        loopback=ours.peer.loopback,
        cleartext=cleartext,
        timeout=None,
        connection=connection,
    ) as client:
        yield client


@asynccontextmanager
async def connect_over(  # noqa: PLR0913 - each has its default, and a name
    stream: trio.abc.Stream,
    *,
    host: str | None = None,
    tls: TlsMode = "implicit",
    context: ssl.SSLContext | None = None,
    cleartext: Cleartext = "loopback",
    connection: ClientConnection | None = None,
) -> AsyncGenerator[AsyncClient]:
    """As `connect`, over a stream that is connected already: through a proxy, say.

    Nobody knows where it leads: passwords are sent in clear only if the caller allows that, on loopback too.

    Args:
        stream: any of trio's. It is closed at the end.
        host: the server's name, for TLS.
        tls: as `connect`: what is done over the stream.
        context: as `connect`.
        cleartext: as `connect`.
        connection: as `connect`.

    Yields:
        The client.

    Raises:
        Pop3Error: as `connect`.
        ValueError: there is no such `tls` or `cleartext`.
    """
    default_port(tls)
    ours = TrioStream(stream, client_channel(context, host))
    async with session_over(
        ours, tls=tls, loopback=False, cleartext=cleartext, timeout=None, connection=connection
    ) as client:
        yield client
