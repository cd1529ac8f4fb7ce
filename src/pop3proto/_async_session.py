"""How a session over a stream begins and ends, for asyncio and trio."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ._async import AsyncClient, Stream
from .core.client import ClientConnection
from .procedures.client import establish
from .procedures.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .procedures.policy import TlsMode

__all__ = ["session_over"]


@asynccontextmanager
async def session_over(  # noqa: PLR0913 - each has a name
    stream: Stream,
    *,
    tls: TlsMode,
    loopback: bool,
    allow_cleartext: bool,
    patience: float | None,
    connection: ClientConnection | None,
) -> AsyncGenerator[AsyncClient]:
    """Begin a session over a stream, give the client, and end both.

    Args:
        stream: connected; it is closed in any case.
        tls: where TLS comes in.
        loopback: the server is on this machine.
        allow_cleartext: passwords and tokens may be sent without verified TLS to other machines, too.
        patience: seconds for each answer, as `Session`.
        connection: the protocol, if it is not to be as it comes.
    """
    session = Session(
        connection or ClientConnection(tls=tls == "implicit"),
        loopback=loopback,
        allow_cleartext=allow_cleartext,
        patience=patience,
    )
    try:
        await stream.perform(establish(session, tls))
    except BaseException:
        await stream.abort()
        raise
    async with AsyncClient(session, stream) as client:
        yield client
