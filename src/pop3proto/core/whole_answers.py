"""Answers that have come whole, taken in one step: what makes many small messages fast.

Event by event, an answer takes five objects and a call for each. Where nothing but status line and body matters, and
both are there, one search finds the end of the body, and two slices are the answer. This module knows no
deviation, no change of state and no error: it leaves these to `next_event`. A law of its tests is that both ways tell
the same.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from .client_errors import ClientErrors
from .errors import LocalProtocolError
from .replies import Err, Ok, parse_reply
from .states import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized

__all__ = ["WholeAnswers"]

_TRANSACTION: Final = State.TRANSACTION
_NONE: Final[Mapping[int, int]] = MappingProxyType({})
_NEAR: Final = 65_536  # a body that is longer is decoded as it comes, and not searched for its end before


class WholeAnswers(ClientErrors):
    """Hands over answers that have come whole. The base of `ClientConnection`.

    Attributes:
        removed_dots: how many dots of stuffing were removed, where they were any: from each of the last
            `whole_answers`, by its index; or at 0 from the body of the last `BodyEnd`, whichever came later. A server
            that does not stuff dots announces a size that is so much larger than what is left.
    """

    removed_dots: Mapping[int, int] = _NONE

    def whole_answers(self) -> list[tuple[Ok | Err, bytes]]:
        r"""Take the answers of which all is buffered, as long as they are ordinary ones.

        Each stands for the events `Answer`, `BodyChunk` and `BodyEnd` of the oldest command in `outstanding`, and takes
        a fraction of their time. Its use is optional: if the list is empty, take events, until an answer has ended.

        For example::

            connection.send(Retr(1))
            connection.receive_data(b"+OK\r\nSubject: hello\r\n\r\n.\r\n")
            assert connection.whole_answers() == [(Ok(), b"Subject: hello\r\n\r\n")]

        Returns:
            For each answer, in order, the reply and the body, un-stuffed; the body is empty if none belongs to the
            reply. What comes next is not complete; or it is to be taken as events: before login, in the middle of a
            body, a body of more than 64 KiB or than `Command.body_limit`, what changes the state, what breaks the
            protocol.
        """
        answers: list[tuple[Ok | Err, bytes]] = []
        removed_dots: dict[int, int] = {}
        self.removed_dots = removed_dots
        buffer, outstanding, limits = self._buffer, self._outstanding, self.limits
        if not buffer.filled or self._session.state is not _TRANSACTION or self._body is not None or buffer.deviating:
            return answers
        data, start = buffer.peek()
        kind: type | None = None
        line, reply, multi_line, most = b"", None, False, 0
        while outstanding:
            command = outstanding[0]
            if type(command) is not kind:  # what is true of a class is asked once
                kind = type(command)
                if command.on_ok is not None or command.on_err is not None or command.establishes is not None:
                    break
                multi_line, most = command.multi_line, min(command.body_limit(limits), _NEAR)
            end = data.find(b"\r\n", start, start + limits.reply_line)
            if end < 0:
                break
            if data[start:end] != line or reply is None:  # many servers say the same each time
                line = data[start:end]
                if (reply := _plain_reply(line)) is None:
                    break
            if multi_line and type(reply) is Ok:
                if (found := _find_body(data, end, end + most, answers, removed_dots)) is None:
                    break
                body, start = found
                self._last_body = command
            else:
                body, start = b"", end + 2
                self._last_body = None
            outstanding.popleft()
            answers.append((reply, body))
        buffer.consume(start)
        return answers


def _plain_reply(line: bytes) -> Ok | Err | None:
    try:
        return parse_reply(line)
    except LocalProtocolError:
        return None


def _find_body(
    data: bytes, start: int, limit: int, before: Sized, removed_dots: dict[int, int]
) -> tuple[bytes, int] | None:
    """Return the body behind the CRLF at `start`, un-stuffed, and the offset behind its end; None: it is not whole.

    Args:
        data: octets.
        start: where the search begins.
        limit: where it ends.
        before: the answers before this one.
        removed_dots: if dots are removed, how many is noted there at the index of the answer.
    """
    # As a rule, the first line that begins with a dot is the end: this takes one pass. The CRLF of the status line
    # counts as that before the first line, so that a body begins to be searched there.
    end = data.find(b"\r\n.", start, limit + 3)
    if end < 0:
        return None
    if data.startswith(b"\r\n", end + 3):
        return data[start + 2 : end + 2], end + 5
    end = data.find(b"\r\n.\r\n", end, limit + 5)
    if end < 0:
        return None
    body = data[start : end + 2].replace(b"\r\n.", b"\r\n")[2:]
    removed_dots[len(before)] = end - start - len(body)
    return body, end + 5
