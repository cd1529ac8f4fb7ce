"""Answers that have come whole, taken in one step: what makes many small messages fast.

Event by event, an answer takes five objects and a call for each. Where nothing but status line and body matters, and
both are there, one search finds the end of the body, and two slices are the answer. This module knows no
deviation, no change of state and no error: it leaves these to `next_event`, and has then changed nothing. A law of
its tests is that both ways tell the same.
"""

from __future__ import annotations

from typing import Final

from .client_errors import ClientErrors
from .errors import LocalProtocolError
from .replies import Err, Ok, parse_reply
from .states import State

__all__ = ["WholeAnswers"]

_TRANSACTION: Final = State.TRANSACTION
_NEAR: Final = 65_536  # a body that is longer is decoded as it comes, and not searched for its end before


class WholeAnswers(ClientErrors):
    """Hands over answers that have come whole. The base of `ClientConnection`."""

    def whole_answer(self, most: int = _NEAR) -> tuple[Ok | Err, bytes] | None:
        r"""Take the answer to the oldest outstanding command, if all of it is buffered and it is an ordinary one.

        The result stands for the events `Answer`, `BodyChunk` and `BodyEnd`, and takes a fraction of their time. Its
        use is optional: whenever it is None, take events; whenever a body has ended or a command has no body, try
        again.

        For example::

            connection.send(Retr(1))
            connection.receive_data(b"+OK\r\nSubject: hello\r\n\r\n.\r\n")
            assert connection.whole_answer() == (Ok(), b"Subject: hello\r\n\r\n")

        Args:
            most: how many octets its body may have; at most 65,536 are looked at.

        Returns:
            The reply and the body, un-stuffed; the body is empty if none belongs to the reply. None if the answer is
            not complete, or is to be taken as events for another reason: before login, in the middle of a body, if it
            changes the state, if it breaks the protocol. Nothing has changed then.
        """
        buffer, outstanding = self._buffer, self._outstanding
        if self._session.state is not _TRANSACTION or not outstanding or self._body is not None or buffer.deviating:
            return None
        command = outstanding[0]
        if command.on_ok is not None or command.on_err is not None or command.establishes is not None:
            return None
        data, start = buffer.peek()
        end = data.find(b"\r\n", start, start + self.limits.reply_line)
        if end < 0:
            return None
        try:
            reply = parse_reply(data[start:end])
        except LocalProtocolError:
            return None
        if type(reply) is Ok and command.multi_line:
            if (found := _find_body(data, end, end + min(most, _NEAR))) is None:
                return None
            body, after = found
            self._last_body = command
        elif reply is None:
            return None
        else:
            body, after = b"", end + 2
            self._last_body = None
        buffer.consume(after)
        outstanding.popleft()
        return reply, body


def _find_body(data: bytes, start: int, limit: int) -> tuple[bytes, int] | None:
    """Return the body behind the CRLF at `start`, un-stuffed, and the offset behind its end; None: it is not whole."""
    # As a rule, the first line that begins with a dot is the end: this takes one pass. The CRLF of the status line
    # counts as that before the first line, so that a body begins to be searched there.
    end = data.find(b"\r\n.", start, limit + 3)
    if end < 0:
        return None
    if data.startswith(b"\r\n", end + 3):
        return data[start + 2 : end + 2], end + 5
    end = data.find(b"\r\n.\r\n", end, limit + 5)
    return None if end < 0 else (data[start : end + 2].replace(b"\r\n.", b"\r\n")[2:], end + 5)
