"""The body of one answer, as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pop3proto.core.errors import CommandFailed, MalformedReply
from pop3proto.core.events import NEED_DATA, Answer, BodyChunk, Signal
from pop3proto.core.replies import Err, Ok

if TYPE_CHECKING:
    from pop3proto.core.commands import Command

    from .exchange import Exchange
    from .operations import Procedure

__all__ = ["Body"]


class Body:
    """The answer to the next command of an exchange.

    `open` it; then `poll` until it says NEED_DATA, `step`, and so on; `poll` returns None at the end.

    Attributes:
        command: what is answered.
        reply: the positive reply, once it is open.
    """

    def __init__(self, exchange: Exchange[object], command: Command[object]) -> None:
        self.command = command
        self.reply: Ok | None = None
        self._exchange = exchange
        self._index = exchange.answered

    @property
    def ended(self) -> bool:
        """Whether all of it was taken."""
        return self._exchange.answered > self._index

    def open(self) -> Procedure[None]:
        """Wait for the reply.

        Raises:
            CommandFailed: it is negative.
        """
        while isinstance(part := self._exchange.poll(), Signal):
            yield from self._exchange.step()
        if isinstance(part, Answer):
            if isinstance(part.reply, Err):
                raise CommandFailed(self.command, part.reply)
            self.reply = part.reply

    def poll(self) -> bytes | Literal[Signal.NEED_DATA] | None:
        """Return the next octets, un-stuffed, at least one, without any I/O; None at the end.

        Raises:
            Broken: another command has displaced it.
        """
        if self.ended:
            return None
        part = self._exchange.poll()
        if part is NEED_DATA:
            return NEED_DATA
        return part.data if isinstance(part, BodyChunk) else None

    def step(self) -> Procedure[None]:
        """Read once."""
        yield from self._exchange.step()

    def chunk(self) -> Procedure[bytes | None]:
        """Return the next octets, at least one; None at the end."""
        while (octets := self.poll()) is NEED_DATA:
            yield from self.step()
        return octets

    def read(self, limit: int) -> Procedure[bytes]:
        """Return all the octets that are left.

        Raises:
            MalformedReply: there are more than `limit`; the rest is thrown away.
        """
        chunks: list[bytes] = []
        while (octets := (yield from self.chunk())) is not None:
            chunks.append(octets)
            limit -= len(octets)
            if limit < 0:
                raise MalformedReply(f"the answer to {self.command} has more octets than may be held in memory")
        return b"".join(chunks)
