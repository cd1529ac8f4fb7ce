"""The body of one answer, in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from pop3proto.core.errors import Broken, LocalProtocolError, MalformedReply
from pop3proto.core.events import NEED_DATA, Answer, BodyChunk, Signal
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Err, Ok

if TYPE_CHECKING:
    from pop3proto.core.commands import Command
    from pop3proto.procedures.operations import Procedure

    from .pipeline import Pipeline

__all__ = ["Body"]


class Body:
    """The answer to the next command of an exchange.

    `open` it; then `poll` until it says NEED_DATA, `step`, and so on; `poll` returns None at the end.

    Attributes:
        command: what is answered.
        reply: the positive reply, once it is open.
        ended: all of it was taken.
    """

    def __init__(self, exchange: Pipeline[object], command: Command[object], block: str = "with") -> None:
        self.command = command
        self.reply: Ok | None = None
        self._pipeline = exchange
        self._index = exchange.answered
        self._block = block
        self._rest = memoryview(b"")  # was taken, and not given yet
        self.ended: bool = False
        self._too_long = False  # to be read at once: what is left must not pass for the whole

    @property
    def exhausted(self) -> bool:
        """Whether it is open, and `chunk` would return None."""
        return self.ended and not self._rest and self.reply is not None

    def open(self, *, begin: bool = False) -> Procedure[None]:
        """Wait for the reply.

        Args:
            begin: the exchange is to be begun first.

        Raises:
            CommandFailed: it is negative.
            LocalProtocolError: it was opened before, or nothing is due.
            Broken: another command has displaced it.
        """
        if begin:
            yield from self._pipeline.begin()
            yield from self._pipeline.step()  # nothing can have come yet
        if self.reply is not None:
            raise LocalProtocolError(f"the answer to {self.command} was opened before")
        self._check_turn()
        while isinstance(part := self._pipeline.poll(), Signal):
            yield from self._pipeline.step()
        if not isinstance(part, Answer):
            raise LocalProtocolError(f"{self.command} was not sent")
        if isinstance(part.reply, Err):
            raise CommandFailed(self.command, part.reply)
        self.reply = part.reply
        self.ended = self._pipeline.answered > self._index  # no body belongs to it

    def poll(self) -> bytes | Literal[Signal.NEED_DATA] | None:
        """Return the next octets, un-stuffed, at least one, without any I/O; None at the end.

        Raises:
            LocalProtocolError: it is not open.
            Broken: another command has displaced it.
        """
        self._check_open()
        if self.ended:
            return None
        self._check_turn()
        if (octets := self._pipeline.take_body()) is not None:
            self.ended = True
            return octets or None
        part = self._pipeline.poll()
        if part is NEED_DATA:
            return NEED_DATA
        if isinstance(part, BodyChunk):
            return part.data
        self.ended = True
        return None

    def step(self) -> Procedure[None]:
        """Read once."""
        yield from self._pipeline.step()

    def chunk(self) -> Procedure[bytes | None]:
        """Return the next octets, at least one; None at the end."""
        if rest := bytes(self._rest):
            self._rest = memoryview(b"")
            return rest
        while (octets := self.poll()) is NEED_DATA:
            yield from self.step()
        return octets

    def read(self, limit: int, size: int | None = -1) -> Procedure[bytes]:
        """Return the next octets as a file does: `size` of them, fewer only at the end.

        Args:
            limit: how many octets may be left if all are asked for.
            size: how many; None or negative: all that are left.

        Raises:
            MalformedReply: there are more than `limit` left; the rest is discarded.
        """
        self._check_open()
        everything = size is None or size < 0
        if everything and not self.ended and not self._rest:
            self._check_turn()
            if (octets := self._pipeline.take_body(limit)) is not None:
                self.ended = True
                return octets
        left = limit if size is None or size < 0 else size
        chunks: list[bytes] = []
        while left > 0 or everything:
            if self._rest and not everything:
                octets, self._rest = bytes(self._rest[:left]), self._rest[left:]
            elif (chunk := (yield from self.chunk())) is None:
                break
            else:
                octets = chunk
            left -= len(octets)
            chunks.append(octets)
            if left < 0 and everything:
                self._too_long = True
                raise MalformedReply(f"the answer to {self.command} has more than {limit} octets, the limit for read()")
            if left < 0:
                self._rest = memoryview(octets)[left:]
                chunks[-1] = octets[:left]
        return b"".join(chunks)

    def _check_open(self) -> None:
        if self.reply is None:
            arguments = ", ".join(map(str, attrs.astuple(self.command)))
            block = f"{self._block} client.{self.command.verb.lower()}({arguments}) as message:"
            raise LocalProtocolError(f"the answer to {self.command} is not open: use `{block}` and read in the block")

    def _check_turn(self) -> None:
        # What is due next may be the answer to a later command: never take it for this one's.
        if self._pipeline.answered != self._index:
            raise Broken(f"the answer to {self.command} was thrown away")
        if self._too_long:
            raise Broken(f"the answer to {self.command} was too long to be read at once: the rest is thrown away")
