"""How asyncio and trio open a client: await what `connect` returns, or enter it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from pop3proto._io.peers import new_session_info
from pop3proto.procedures.client.commands import establish

from .client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType

    from pop3proto.procedures.client.options import SessionOptions

    from .driver import AsyncStream

__all__ = ["Connecting", "client_over"]


class Connecting:
    """A client to be opened: `client = await connect(...)`, or `async with connect(...) as client`.

    Nothing happens before that. At the end of the block the client sends QUIT; left by an exception it only hangs up,
    and nothing is deleted. A client that was awaited is closed by `quit`, by `aclose`, or by a block of its own.
    """

    def __init__(self, make: Callable[[], Coroutine[object, object, AsyncClient]]) -> None:
        self._make: Final = make
        self._used = False
        self._client: AsyncClient

    def __await__(self) -> Generator[object, object, AsyncClient]:
        """Connect, and return the client.

        Raises:
            RuntimeError: it was awaited or entered before.
        """
        if self._used:
            raise RuntimeError("a connection is opened once: call connect() again")
        self._used = True
        return self._make().__await__()

    if not TYPE_CHECKING:  # type checkers say by themselves that there is no such attribute

        def __getattr__(self, name: str) -> NoReturn:
            """Say what is missing to one who takes this for the client.

            Raises:
                AttributeError: always.
            """
            raise AttributeError(
                f"there is no {name!r} before the client is connected: await what connect() returns, or enter it with "
                "`async with`",
                name=name,
                obj=self,
            )

    async def __aenter__(self) -> AsyncClient:
        """Connect, and return the client."""
        self._client = await self
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the session, as `AsyncClient.__aexit__` does."""
        await self._client.__aexit__(kind, error, traceback)


async def client_over(  # noqa: PLR0913 - each has its name
    stream: AsyncStream,
    options: SessionOptions,
    host: str | None = None,
    port: int = 0,
    *,
    loopback: bool = False,
    reconnects: bool = False,
) -> AsyncClient:
    """Begin a session over a stream, which is closed if that fails.

    Args:
        stream: connected.
        options: of the session.
        host: the server's name; None: it is unknown.
        port: its port; 0: it is unknown.
        loopback: the server is on this machine.
        reconnects: the stream can connect to it again.
    """
    info = new_session_info(stream.peer)
    client = AsyncClient(options.session(info, host, port, loopback=loopback, reconnects=reconnects), stream)
    try:
        await client.perform(establish(client.session, options.tls))
    except BaseException as error:
        await client.__aexit__(type(error), error, error.__traceback__)
        raise
    return client
