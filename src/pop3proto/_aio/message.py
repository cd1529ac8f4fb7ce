"""Messages as an asynchronous client reads them: one, or many in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.procedures.client.retrieval import Retrieval
from pop3proto.procedures.operations import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, BinaryIO

    from pop3proto.core.commands import Command
    from pop3proto.core.replies import Ok
    from pop3proto.procedures.operations import Procedure

    from .runner import AsyncSessionRunner

__all__ = ["AsyncIncomingMessage", "IncomingMessages", "WholeMessages"]


class AsyncIncomingMessage:
    """A message that is being received, in constant memory: iterate over it or `read` it in its `async with` block.

    The block may be left early: the rest is discarded before the next command, up to 1 MiB, or without limit if a
    message is marked as deleted; and before QUIT.
    """

    def __init__(
        self, client: AsyncSessionRunner, command: Command[object], exchange: Pipeline[object] | None = None
    ) -> None:
        """Take the command that asks for it; and the exchange in which it has been sent, if it has."""
        self.command = command
        self._client = client
        self._pipeline = exchange or Pipeline(client.session, [command])
        self._sent = exchange is not None
        self._body = Body(self._pipeline, command, "async with")

    async def __aenter__(self) -> Self:
        """Ask for the message and wait for the reply.

        Raises:
            CommandFailed: there is no such message.
            LocalProtocolError, Broken: it was asked for before, or discarded.
        """
        await self._client.perform(self._body.open(begin=not self._sent))
        self._pipeline.locked = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let other commands in again."""
        self._pipeline.locked = False

    @property
    def reply(self) -> Ok | None:
        """The server's positive reply, inside the `async with` block."""
        return self._body.reply

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next octets, CRLF line ends, dots un-stuffed, in chunks of any size."""
        if self._body.exhausted or (octets := await self._client.perform(self._body.chunk())) is None:
            raise StopAsyncIteration
        return octets

    async def read(self, size: int | None = -1, /) -> bytes:
        """Return the next octets, as a file does.

        Args:
            size: how many, fewer only at the end; None or negative: all that are left.

        Raises:
            MalformedReply: all were asked for, and there are more than `Limits.body`.
        """
        return await self._client.perform(self._body.read(self._client.session.connection.limits.body, size))

    async def copy_to(self, file: BinaryIO, progress: Callable[[int], object] | None = None) -> int:
        """Write all octets that are left to a file, and return how many.

        Args:
            file: where to; it is written in a worker thread, and its errors pass through.
            progress: is told after each chunk how many octets have been written.
        """
        copied = 0
        async for octets in self:
            await self._client.aside(_write(file, octets))
            copied += len(octets)
            if progress is not None:
                progress(copied)
        return copied


def _write(file: BinaryIO, octets: bytes) -> Procedure[int]:
    return (yield from Run(file.write, octets))


class WholeMessages:
    """Whole messages in order; its types are those of `AsyncClient.retrieve`.

    A class, as an asynchronous generator would not know when it is left.
    """

    def __init__(self, client: AsyncSessionRunner, numbers: Iterable[int], *, return_exceptions: bool) -> None:
        """Take the numbers; nothing is sent yet."""
        self._client = client
        self._messages = Retrieval(client.session, numbers, return_exceptions=return_exceptions)

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> tuple[int, Any]:
        """Return the next message with its number."""
        if (message := await self._client.perform(self._messages.next())) is None:
            raise StopAsyncIteration
        return message


class IncomingMessages:
    """Messages in order, each to be read as it comes."""

    def __init__(self, client: AsyncSessionRunner, commands: Iterable[Command[object]]) -> None:
        """Take the commands; nothing is sent yet."""
        self._client = client
        self._pipeline = Pipeline(client.session, commands)
        self._begun = False
        self._index: int | None = None  # of the message that was given last

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> AsyncIncomingMessage:
        """Return the next message; what is left of the one before is discarded."""
        if not self._begun:
            await self._client.perform(self._pipeline.begin())
            self._begun = True
        if self._index is not None and self._index == self._pipeline.answered:
            await self._client.perform(self._pipeline.skip(self._index))
        if (command := self._pipeline.command) is None:
            self._pipeline.poll()
            raise StopAsyncIteration
        self._index = self._pipeline.answered
        return AsyncIncomingMessage(self._client, command, self._pipeline)
