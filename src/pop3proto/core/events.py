"""What `next_event()` returns, beside the commands and replies themselves.

Both unions are closed: a `match` over them may end in `assert_never`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

import attrs

from .commands import Command
from .replies import Challenge, Err, Greeting, Ok
from .text import encode_base64

__all__ = [
    "NEED_DATA",
    "PAUSED",
    "Answer",
    "AuthCancel",
    "AuthResponse",
    "BadCommand",
    "BodyChunk",
    "BodyEnd",
    "ClientEvent",
    "ConnectionClosed",
    "Farewell",
    "ServerEvent",
    "Signal",
]


class Signal(Enum):
    """Why there is no event."""

    NEED_DATA = "call receive_data() first"
    PAUSED = "call send() or tls_established() first"


# Final, so that `is NEED_DATA` narrows in type checkers.
NEED_DATA: Final = Signal.NEED_DATA
PAUSED: Final = Signal.PAUSED


@attrs.frozen
class Answer:
    """The server answered a command.

    After an `Ok` to a multi-line command its body follows, as `BodyChunk` and one `BodyEnd`.

    Args:
        command: the command, as it was sent.
        reply: `Ok` or `Err`; a negative reply is data, not an exception.
    """

    command: Command[object]
    reply: Ok | Err


@attrs.frozen
class BodyChunk:
    """Some octets of a body, dots un-stuffed, CRLF kept. Where chunks are cut means nothing.

    Args:
        data: at least one octet when it was received; any line ends when it is sent.
    """

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class BodyEnd:
    """The body is complete."""


@attrs.frozen
class Farewell:
    """The server said `-ERR` out of turn, as many do before they hang up. Only end of stream may follow.

    Args:
        reply: what it said.
    """

    reply: Err


@attrs.frozen
class ConnectionClosed:
    """The connection is over: end of stream with nothing owed, or `fail` was called."""


@attrs.frozen
class AuthResponse:
    """A line of a SASL exchange from the client (RFC 5034 section 4).

    Args:
        data: the octets, not base64; empty is a response too.
    """

    data: bytes = attrs.field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Return the line with its CRLF; an empty response is an empty line."""
        return encode_base64(self.data) + b"\r\n"


@attrs.frozen
class AuthCancel:
    """The client gives up a SASL exchange; the server answers `-ERR` (RFC 5034 section 4)."""

    def encode(self) -> bytes:
        """Return the line with its CRLF."""
        return b"*\r\n"


@attrs.frozen
class BadCommand:
    """A line that is no command, or one that is not legal now.

    Args:
        octets: the line without its CRLF; the start of it if it was too long. It may hold a secret.
        reason: what is wrong with it.
        reply: what to answer.
    """

    octets: bytes = attrs.field(repr=False)
    reason: str
    reply: Err


ClientEvent: TypeAlias = Greeting | Answer | Challenge | BodyChunk | BodyEnd | Farewell | ConnectionClosed
ServerEvent: TypeAlias = Command[object] | AuthResponse | AuthCancel | BadCommand | ConnectionClosed
