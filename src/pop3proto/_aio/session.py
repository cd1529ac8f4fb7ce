"""How a session over a stream begins and ends, for asyncio and trio."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pop3proto.core.client import ClientConnection
from pop3proto.procedures.client.commands import establish
from pop3proto.procedures.client.session import Session

from .client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pop3proto.procedures.cleartext import Cleartext, TlsMode

    from .driver import AsyncStream

__all__ = ["session_over"]


@asynccontextmanager
async def session_over(  # noqa: PLR0913 - each has a name
    stream: AsyncStream,
    *,
    tls: TlsMode,
    loopback: bool,
    cleartext: Cleartext,
    timeout: float | None,  # noqa: ASYNC109 - a stall ends a wait, progress begins it again
    connection: ClientConnection | None,
) -> AsyncGenerator[AsyncClient]:
    """Begin a session over a stream, give the client, and end both.

    Args:
        stream: connected; it is closed in any case.
        tls: where TLS comes in.
        loopback: the server is on this machine.
        cleartext: when passwords and tokens may be sent without verified TLS.
        timeout: seconds for each answer, as `Session`.
        connection: the protocol, if it is not to be as it comes.
    """
    session = Session(
        connection or ClientConnection(tls=tls == "implicit"),
        loopback=loopback,
        cleartext=cleartext,
        timeout=timeout,
    )
    try:
        await stream.perform(establish(session, tls))
    except BaseException:
        await stream.abort()
        raise
    async with AsyncClient(session, stream) as client:
        yield client
