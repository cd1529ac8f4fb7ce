"""How a session's messages are read from the store: in as few calls as possible.

A call of a store that blocks costs a change of threads, which for a small message is more than reading it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from pop3proto.core.errors import Broken, LocalProtocolError
from pop3proto.procedures.maildrop import Refused, SupportsOpenMany, SupportsTop, Unavailable
from pop3proto.sasl.answers import answered
from pop3proto.sasl.authenticator import implements

from .calls import perform_steps

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pop3proto.procedures.maildrop import Maildrop, MessageStream
    from pop3proto.procedures.operations import Procedure
    from pop3proto.sasl.answers import Steps

__all__ = ["PIECE", "TOP_PIECE", "Excerpt", "MessageReader", "OpenMessage"]

PIECE: Final = 122_880
"""Octets of a message that are read in one call.

A session whose client does not read holds these, and its connection up to as many: 256 KiB in all. Fewer would cost
large messages their speed, as each call of a store that blocks is a change of threads."""

TOP_PIECE: Final = 16_384
"""Octets that are read at once for TOP, which needs the header and little more."""

_AHEAD: Final = 131_072
"""Octets of messages that are read in one call before they are asked for."""


class OpenMessage:
    """A message that is being read.

    Args:
        number: the message's.
        source: where it is read.
        excerpt: cuts it, for TOP; None: all of it is wanted.
        octets: its announced size.
    """

    def __init__(self, number: int, source: MessageStream, excerpt: Excerpt | None, octets: int) -> None:
        self.number: Final = number
        self.complete: bool = False  # all that is wanted was read, and the source is closed
        self._source: Final = source
        self._excerpt: Final = excerpt
        # A file reserves what is asked for: for a small message, little more than it has.
        self._at_once: Final = TOP_PIECE if excerpt is not None else max(octets + 1, TOP_PIECE)

    def read(self, most: int) -> Steps[bytes]:
        """Read the next piece of at most so many octets, and close the source behind the last."""
        source, excerpt = self._source, self._excerpt
        pieces: list[bytes] = []
        ended = False
        while most > 0 and not ended:
            octets = source.read(min(most, self._at_once))
            if type(octets) is not bytes:
                octets = yield from answered(octets)
            if not octets:
                ended = True
            elif excerpt is None:
                pieces.append(octets)
            else:
                pieces.append(excerpt.feed(octets))
                ended = excerpt.complete
            most -= len(octets)
        if ended:
            self.complete = True
            if isinstance(closing := source.close(), Awaitable):
                yield closing
        return b"".join(pieces)

    def close(self) -> Steps[None]:
        """Close the source, unless it is closed."""
        if not self.complete:
            self.complete = True
            yield from answered(self._source.close())


class MessageReader:
    """Reads the messages of one session; small ones ahead, if the client goes through them one by one.

    Args:
        maildrop: where they are.
        blocks: its calls may block.
        deleted: the numbers of those that the client cannot ask for; it may change.
    """

    def __init__(self, maildrop: Maildrop, deleted: Collection[int], *, blocks: bool) -> None:
        self._maildrop: Final = maildrop
        self._deleted: Final = deleted
        self._blocks: Final = blocks
        self._next = 0  # the number behind the one that was asked for last
        self._lines: int | None = None  # what was asked for last: TOP with so many lines; None: RETR
        self._ahead: dict[int, bytes] = {}

    def take(self, number: int, lines: int | None = None) -> bytes | None:
        """Return a message, or its top, that was read ahead, and forget it; None if it was not.

        Args:
            number: as in `begin`.
            lines: as in `begin`.
        """
        if lines != self._lines or (octets := self._ahead.pop(number, None)) is None:
            return None
        self._next = number + 1
        return octets

    def begin(self, number: int, lines: int | None = None) -> Procedure[tuple[bytes, OpenMessage | None]]:
        """Return the first piece of a message, and where the rest is read if there may be more.

        Args:
            number: the message's.
            lines: how many lines of the body TOP asks for; None: the whole message.

        Raises:
            Refused: it cannot be read.
        """
        if (octets := self.take(number, lines)) is not None:
            return octets, None
        follows = number == self._next and lines == self._lines
        if lines != self._lines:
            self._ahead.clear()
        self._next, self._lines = number + 1, lines
        following = self._following(number) if follows and self._reads_ahead else ()
        steps = _open_several(self._maildrop, (number, *following), lines)
        piece, message, ahead = yield from perform_steps(steps, blocks=self._blocks)
        if follows:
            self._ahead = ahead
        return piece, message

    def go_on(self, message: OpenMessage) -> Procedure[tuple[bytes, OpenMessage | None]]:
        """Return the next piece of a message, and the message unless that was the last.

        Raises:
            Broken: the rest cannot be read, and it is too late to refuse.
        """
        try:
            piece = yield from perform_steps(message.read(PIECE), blocks=self._blocks)
        except (OSError, Refused) as error:
            raise Broken(f"message {message.number} cannot be read to its end") from error
        return piece, None if message.complete else message

    def give_up(self, message: OpenMessage) -> Procedure[None]:
        """Close a message before its end."""
        yield from perform_steps(message.close(), blocks=self._blocks)

    @property
    def _reads_ahead(self) -> bool:
        return self._blocks or (self._lines is None and implements(self._maildrop, SupportsOpenMany))

    def _following(self, number: int) -> Sequence[int]:
        """Return the numbers of the messages behind one that are small enough to be read with it."""
        messages, room = self._maildrop.messages, _AHEAD
        following: list[int] = []
        while number < len(messages) and (room := room - self._cost(messages[number].octets)) > 0:
            number += 1
            if number not in self._deleted:
                following.append(number)
        return following

    def _cost(self, octets: int) -> int:
        return octets if self._lines is None else min(octets, TOP_PIECE)


def _open_several(
    maildrop: Maildrop, numbers: Sequence[int], lines: int | None
) -> Steps[tuple[bytes, OpenMessage | None, dict[int, bytes]]]:
    """Return the first piece of a message, the message if there may be more, and those that follow if they are whole.

    Raises:
        Refused: the first cannot be read.
    """
    waiting: list[OpenMessage] = []  # opened, and not yet read
    try:
        first, *waiting = yield from _open_first(maildrop, numbers, lines)
        piece = yield from _read_first(first)
        if not first.complete:
            return piece, first, {}
        opens_many = bool(waiting)
        ahead: dict[int, bytes] = {}
        for number in numbers[1:]:
            try:
                if not waiting:
                    if opens_many:
                        break
                    waiting.append((yield from _open(maildrop, number, lines)))
                octets = yield from waiting[0].read(PIECE if lines is None else TOP_PIECE)
            except Exception:  # noqa: BLE001 - it will be raised when that one is asked for
                break
            if not waiting[0].complete:  # it is larger than it was said to be
                break
            del waiting[0]
            ahead[number] = octets
        return piece, None, ahead
    finally:
        for message in waiting:
            with suppress(Exception):  # as above
                yield from message.close()


def _open_first(maildrop: Maildrop, numbers: Sequence[int], lines: int | None) -> Steps[list[OpenMessage]]:
    """Open a message; those behind it as well, if the maildrop opens many in one call."""
    messages = maildrop.messages
    try:
        if len(numbers) > 1 and lines is None and implements(maildrop, SupportsOpenMany):
            sources = yield from answered(maildrop.open_many(numbers))
            opened = [
                OpenMessage(number, source, None, messages[number - 1].octets)
                for number, source in zip(numbers, sources, strict=False)
            ]
            if not opened:
                raise LocalProtocolError("open_many() of the maildrop returned no message")
            return opened
        return [(yield from _open(maildrop, numbers[0], lines))]
    except OSError as error:
        raise _unreadable() from error


def _read_first(message: OpenMessage) -> Steps[bytes]:
    """Read the first piece of a message; close it if that fails."""
    try:
        return (yield from message.read(PIECE))
    except BaseException as error:
        yield from message.close()
        if isinstance(error, OSError):
            raise _unreadable() from error
        raise


def _unreadable() -> Unavailable:
    return Unavailable("the message cannot be read now")


def _open(maildrop: Maildrop, number: int, lines: int | None) -> Steps[OpenMessage]:
    octets = maildrop.messages[number - 1].octets
    excerpt = None if lines is None else Excerpt(lines)
    if lines is not None and implements(maildrop, SupportsTop):
        source = maildrop.top(number, lines)
    else:
        source = maildrop.open(number)
    if isinstance(source, Awaitable):
        source = cast("MessageStream", (yield source))
    return OpenMessage(number, source, excerpt, octets)


_LONGEST_BLANK: Final = 2  # octets of a line that may be the blank one: CR LF


class Excerpt:
    """Cuts a message that comes in chunks. Lines end with LF, or CRLF, as they are stored.

    Args:
        lines: how many lines of the body to let pass; more than it has is the whole message.
    """

    def __init__(self, lines: int) -> None:
        self.complete: bool = False  # all that TOP sends has passed
        self._lines = lines
        self._in_header = True
        self._line = b""  # the start of the header line that the last chunk has left open

    def feed(self, chunk: bytes) -> bytes:
        """Return the part of a chunk that belongs to the excerpt."""
        end = self._end_of_header(chunk) if self._in_header else 0
        while not self._in_header and not self.complete:
            if self._lines == 0:
                self.complete = True
                break
            newline = chunk.find(b"\n", end)
            if newline < 0:
                return chunk
            self._lines -= 1
            end = newline + 1
        return chunk[:end] if self.complete else chunk

    def _end_of_header(self, chunk: bytes) -> int:
        """Return the offset behind the blank line, and note that the body begins; or the length of the chunk."""
        start = 0
        while (newline := chunk.find(b"\n", start)) >= 0:
            line = self._line + chunk[start : min(newline, start + _LONGEST_BLANK)]
            self._line = b""
            start = newline + 1
            if line in (b"", b"\r"):
                self._in_header = False
                return start
        self._line = (self._line + chunk[start : start + _LONGEST_BLANK])[:_LONGEST_BLANK]
        return len(chunk)
