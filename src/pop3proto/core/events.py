"""Events that `next_event()` returns, besides commands and replies.

Both unions, `ClientEvent` and `ServerEvent`, are closed: a `match` over them may end in `assert_never`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from .commands import Command
from .replies import Challenge, Err, Greeting, Ok
from .text import encode_base64

if TYPE_CHECKING:
    from .limits import Quirk

__all__ = [
    "NEED_DATA",
    "PAUSED",
    "Answer",
    "AuthCancel",
    "AuthResponse",
    "BadChallenge",
    "BadCommand",
    "BodyChunk",
    "BodyEnd",
    "ClientEvent",
    "ConnectionClosed",
    "Farewell",
    "ServerEvent",
    "Signal",
    "Tolerated",
]


class Signal(Enum):
    """Returned by `next_event` instead of an event: what the caller must do first."""

    NEED_DATA = "call receive_data() first"
    PAUSED = "call send() or tls_established() first"


# Final, so that type checkers narrow by `is NEED_DATA`.
NEED_DATA: Final = Signal.NEED_DATA
PAUSED: Final = Signal.PAUSED


@attrs.frozen
class Answer:
    """The server answered a command.

    After an `Ok` to a multi-line command, its body follows: `BodyChunk`s and one `BodyEnd`.

    Args:
        command: the command that is answered, equal to the one that was sent.
        reply: `Ok` or `Err`; a negative reply is not an exception.
    """

    command: Command[object]
    reply: Ok | Err


@attrs.frozen
class BodyChunk:
    """A piece of a body, un-stuffed, with its CRLFs. Chunk borders have no meaning.

    It belongs to the command of the last `Answer`: between that and `BodyEnd` there is no other event.

    Args:
        data: at least one octet when received. When sent, it may have any line ends.
    """

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class BodyEnd:
    """The body of the last `Answer` is complete: the answer to its command has come whole."""


@attrs.frozen
class Farewell:
    """The server sent `-ERR` while no command was outstanding, before it closes. Only end of stream may follow.

    Args:
        reply: the negative reply.
    """

    reply: Err


@attrs.frozen
class ConnectionClosed:
    """The connection is closed: end of stream with no answer outstanding, or `fail` was called."""


@attrs.frozen
class Tolerated:
    """The peer has deviated from the protocol in a way that is tolerated. It needs no answer.

    It comes before the event in which the deviation is; BARE_LF is reported once in a connection, the others each
    time.

    Args:
        quirk: the deviation.
    """

    quirk: Quirk


@attrs.frozen
class AuthResponse:
    """A SASL response from the client (RFC 5034 section 4).

    Args:
        data: raw octets, not base64; may be empty.
    """

    data: bytes = attrs.field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Return the line with its CRLF; an empty response is an empty line."""
        return encode_base64(self.data) + b"\r\n"


@attrs.frozen
class AuthCancel:
    """The client cancels a SASL exchange; the server must answer `-ERR` (RFC 5034 section 4)."""

    def encode(self) -> bytes:
        """Return the line with its CRLF."""
        return b"*\r\n"


@attrs.frozen
class BadChallenge:
    """A SASL challenge that is not valid base64. `AuthCancel` is the only answer to it (RFC 5034 section 4).

    Args:
        octets: what stands in place of the base64. It may contain a secret.
    """

    octets: bytes = attrs.field(repr=False)


@attrs.frozen
class BadCommand:
    """A line that is not a valid command, or a command that is not legal now.

    Args:
        octets: the line without its CRLF; its start if it was too long. It may contain a secret.
        reason: what is wrong with the line.
        reply: the reply to send.
    """

    octets: bytes = attrs.field(repr=False)
    reason: str
    reply: Err


ClientEvent: TypeAlias = (
    Greeting | Answer | Challenge | BadChallenge | BodyChunk | BodyEnd | Farewell | ConnectionClosed | Tolerated
)
ServerEvent: TypeAlias = Command[object] | AuthResponse | AuthCancel | BadCommand | ConnectionClosed | Tolerated
