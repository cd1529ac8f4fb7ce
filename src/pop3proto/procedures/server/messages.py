"""How a session's messages are read from the store: in as few calls as possible.

A call of a store that blocks costs a change of threads, which for a small message is more than reading it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import Broken
from pop3proto.procedures.maildrop import Refused, Unavailable
from pop3proto.procedures.operations import Run

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pop3proto.procedures.maildrop import Maildrop, MessageStream
    from pop3proto.procedures.operations import Procedure

__all__ = ["PIECE", "Excerpt", "MessageReader"]

PIECE: Final = 1_048_576
"""Octets of a message that are read in one call."""

_AHEAD: Final = 131_072
"""Octets of messages that are read in one call before they are asked for."""


class MessageReader:
    """Reads the messages of one session; small ones ahead, if the client goes through them one by one.

    Args:
        maildrop: where they are.
        blocks: its calls may block.
        deleted: the numbers of those that nobody can ask for; it may change.
    """

    def __init__(self, maildrop: Maildrop, deleted: Collection[int], *, blocks: bool) -> None:
        self._maildrop: Final = maildrop
        self._deleted: Final = deleted
        self._blocks: Final = blocks
        self._next = 0  # the number behind the one that was asked for last
        self._ahead: dict[int, bytes] = {}

    def begin(self, number: int) -> Procedure[tuple[bytes, MessageStream | None]]:
        """Return the first piece of a message, and where the rest is to be had if there may be more.

        Raises:
            Refused: it cannot be read.
        """
        follows, self._next = number == self._next, number + 1
        if (piece := self._ahead.pop(number, None)) is not None:
            return piece, None
        if not self._blocks:
            return _open(self._maildrop, number)
        if not follows:
            return (yield from Run(partial(_open, self._maildrop, number)))
        piece, source, self._ahead = yield from Run(
            partial(_open_more, self._maildrop, number, self._following(number))
        )
        return piece, source

    def go_on(self, number: int, source: MessageStream) -> Procedure[tuple[bytes, MessageStream | None]]:
        """Return the next piece of a message, and the source unless that was the last.

        Raises:
            Broken: the rest cannot be read, and it is too late to refuse.
        """
        call = partial(_go_on_or_break, number, source)
        return (yield from Run(call)) if self._blocks else call()

    def give_up(self, source: MessageStream) -> Procedure[None]:
        """Let go of the rest of a message."""
        if self._blocks:
            yield from Run(source.close)
        else:
            source.close()

    def _following(self, number: int) -> Sequence[int]:
        """Return the numbers of the messages behind one that are small enough to be read with it."""
        messages, room = self._maildrop.messages, _AHEAD
        following: list[int] = []
        while number < len(messages) and (room := room - messages[number].octets) > 0:
            number += 1
            if number not in self._deleted:
                following.append(number)
        return following


def _open_more(
    maildrop: Maildrop, number: int, following: Sequence[int]
) -> tuple[bytes, MessageStream | None, dict[int, bytes]]:
    """Return what `_open` does, and the messages that follow as far as they can be had whole."""
    piece, source = _open(maildrop, number)
    ahead: dict[int, bytes] = {}
    if source is None:
        for later in following:
            try:
                ahead[later], rest = _open(maildrop, later)
            except Exception:  # noqa: BLE001 - it will be raised when that one is asked for
                break
            if rest is not None:  # it is larger than it was said to be
                del ahead[later]
                rest.close()
                break
    return piece, source, ahead


def _open(maildrop: Maildrop, number: int) -> tuple[bytes, MessageStream | None]:
    try:
        source = maildrop.open(number)
        try:
            return _go_on(source)
        except BaseException:
            source.close()
            raise
    except OSError as error:
        raise Unavailable("the message cannot be read now") from error


def _go_on_or_break(number: int, source: MessageStream) -> tuple[bytes, MessageStream | None]:
    try:
        return _go_on(source)
    except (OSError, Refused) as error:
        raise Broken(f"message {number} cannot be read to its end") from error


def _go_on(source: MessageStream) -> tuple[bytes, MessageStream | None]:
    """Return the next piece, and the source unless that was the last; then it is closed."""
    pieces: list[bytes] = []
    room = PIECE
    while room and (octets := source.read(room)):
        pieces.append(octets)
        room -= len(octets)
    if room:
        source.close()
    return b"".join(pieces), None if room else source


_LONGEST_BLANK: Final = 2  # octets of a line that may be the blank one: CR LF


class Excerpt:
    """Cuts a message that comes in chunks. Lines end with LF, or CRLF, as they are stored.

    Args:
        lines: how many lines of the body to let pass; more than it has is the whole message.
    """

    def __init__(self, lines: int) -> None:
        self.complete = False  # all that TOP sends has passed
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
