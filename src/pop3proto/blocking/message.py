"""A message as a blocking client reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.procedures.client.retrieval import Retrieval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any, BinaryIO

    from pop3proto.core.commands import Command
    from pop3proto.core.replies import Ok

    from .runner import SessionRunner

__all__ = ["IncomingMessage", "WholeMessages", "skip_rest"]


class IncomingMessage:
    """A message that is being received, in constant memory: iterate over it or `read` it in its `with` block.

    The block may be left early: the rest is discarded before the next command, up to 1 MiB, or without limit if a
    message is marked as deleted; and before QUIT.
    """

    def __init__(
        self, client: SessionRunner, command: Command[object], exchange: Pipeline[object] | None = None
    ) -> None:
        """Take the command that asks for it; and the exchange in which it has been sent, if it has."""
        self.command = command
        self._client = client
        self._pipeline = exchange or Pipeline(client.session, [command])
        self._sent = exchange is not None
        self._body = Body(self._pipeline, command, "with")

    def __enter__(self) -> Self:
        """Ask for the message and wait for the reply.

        Raises:
            CommandFailed: there is no such message.
            LocalProtocolError, Broken: it was asked for before, or discarded.
        """
        self._client.perform(self._body.open(begin=not self._sent))
        self._pipeline.locked = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let other commands in again."""
        self._pipeline.locked = False

    @property
    def reply(self) -> Ok | None:
        """The server's positive reply, inside the `with` block."""
        return self._body.reply

    def __iter__(self) -> Iterator[bytes]:
        """Yield the octets, CRLF line ends, dots un-stuffed, in chunks of any size."""
        while not self._body.exhausted and (octets := self._client.perform(self._body.chunk())) is not None:
            yield octets

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next octets, as a file does: `shutil.copyfileobj(message, file)` works.

        Args:
            size: how many, fewer only at the end; None or negative: all that are left.

        Raises:
            MalformedReply: all were asked for, and there are more than `Limits.body`.
        """
        return self._client.perform(self._body.read(self._client.session.connection.limits.body, size))

    def copy_to(self, file: BinaryIO, progress: Callable[[int], object] | None = None) -> int:
        """Write all octets that are left to a file, and return how many.

        Args:
            file: where to; its errors pass through.
            progress: is told after each chunk how many octets have been written.
        """
        copied = 0
        for octets in self:
            file.write(octets)
            copied += len(octets)
            if progress is not None:
                progress(copied)
        return copied


def skip_rest(client: SessionRunner, exchange: Pipeline[object], index: int) -> None:
    """Throw away what is left of an answer, if anything is.

    Args:
        client: whose exchange it is.
        exchange: in which it comes.
        index: how many answers came before it.
    """
    if exchange.answered == index:
        client.perform(exchange.skip(index))


class WholeMessages:
    """Whole messages in order; its types are those of `Client.retrieve`."""

    def __init__(self, client: SessionRunner, numbers: Iterable[int], *, return_exceptions: bool) -> None:
        """Take the numbers; nothing is sent yet."""
        self._client = client
        self._messages = Retrieval(client.session, numbers, return_exceptions=return_exceptions)

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> tuple[int, Any]:
        """Return the next message with its number."""
        if (message := self._client.perform(self._messages.next())) is None:
            raise StopIteration
        return message
