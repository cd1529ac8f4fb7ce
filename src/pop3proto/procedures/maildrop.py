"""What a server keeps mail in: the protocols that a store implements.

A store may be called from different threads, but never from two at once for one maildrop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import attrs

from pop3proto.core.dots import BodyEncoder
from pop3proto.core.errors import Pop3Error
from pop3proto.core.replies import Err, ResponseCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.results import UniqueId
    from pop3proto.sasl.channel import SessionInfo
from pop3proto.core.results import check_unique_id
from pop3proto.core.text import numeric

__all__ = ["InUse", "Maildrop", "MaildropStore", "Message", "MessageStream", "Refused", "Unavailable", "wire_size"]

_CHUNK: Final = 1 << 18  # octets


class Refused(Pop3Error):
    """A maildrop cannot be opened, or one of its messages cannot be read.

    Args:
        text: why; it goes to the client.
        code: the response code that goes with it.
    """

    def __init__(self, text: str, code: ResponseCode | None = None) -> None:
        super().__init__(text)
        self.code = code

    @property
    def reply(self) -> Err:
        """The answer to the client."""
        return Err(str(self)) if self.code is None else Err.coded(self.code, str(self))


class InUse(Refused):
    """Another session holds the lock of the maildrop (RFC 2449 section 8.1.2)."""

    def __init__(self, text: str = "another session has this maildrop open") -> None:
        super().__init__(text, ResponseCode.IN_USE)


class Unavailable(Refused):
    """It cannot be had now, and may be had later (RFC 3206 section 4)."""

    def __init__(self, text: str = "the maildrop cannot be reached now") -> None:
        super().__init__(text, ResponseCode.SYS_TEMP)


@attrs.frozen
class Message:
    """A message as its maildrop announces it.

    Args:
        octets: exactly what RETR sends, CRLF line ends, before dots are stuffed (RFC 1939 section 11).
            `pop3proto.BodyEncoder.octets` counts it.
        unique_id: its name for as long as it exists; no other message ever has it.

    Raises:
        LocalProtocolError: the octets are negative, or the unique id is not 1 to 70 octets in 0x21-0x7E.
    """

    octets: int = attrs.field(validator=numeric("octets", minimum=0))
    unique_id: UniqueId = attrs.field(converter=check_unique_id)


class MessageStream(Protocol):
    """An open message: a binary file that is read from start to end. Its line ends may be LF or CRLF."""

    def read(self, size: int, /) -> bytes:
        """Return at most this many octets; none at the end.

        Raises:
            OSError: the rest cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Maildrop(Protocol):
    """A maildrop, locked for one session, as it was when it was opened (RFC 1939 section 4)."""

    @property
    def messages(self) -> Sequence[Message]:
        """The messages; number n of the session is at n - 1. It never changes, except by `correct`."""
        ...

    def open(self, number: int) -> MessageStream:
        """Return a message's octets.

        Raises:
            Refused: it cannot be read; the session goes on.
        """
        ...

    def correct(self, number: int, octets: int) -> None:
        """Take note that RETR sent another number of octets than `messages` announced."""
        ...

    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        """Remove the deleted messages; it is called in the UPDATE state only, at most once.

        Args:
            deleted: the numbers of the messages to remove, and no other may be removed (RFC 1939 section 6) ...
            retrieved: ... except, under a policy of EXPIRE 0, those whose bodies were sent whole (RFC 2449 6.7).

        Raises:
            Refused: some are still there.
        """
        ...

    def close(self) -> None:
        """Release the lock. It is called once, however the session ends, and does not fail."""
        ...


class MaildropStore(Protocol):
    """All the maildrops of a server."""

    @property
    def blocks(self) -> bool:
        """Whether calls may wait for a disk or a network, so that they must not be made in an event loop."""
        ...

    def open(self, user: str, session: SessionInfo) -> Maildrop:
        """Lock a user's maildrop and return it as it is now.

        Raises:
            Refused: it cannot be opened; the lock is not held.
        """
        ...

    def capabilities(self, user: str | None) -> Capabilities:
        """Return what this store adds to the server's capabilities: EXPIRE, LOGIN-DELAY, private ones.

        Args:
            user: who is logged in; None before login, when the values must hold for every user (RFC 2449 6.5, 6.7).
        """
        ...


def wire_size(source: MessageStream) -> int:
    """Return the size that STAT and LIST must announce for a message (RFC 1939 section 11).

    The encoder that sends a message counts it: two opinions on line ends would be one too many.

    Args:
        source: the message, at its start. It is read to its end, in constant memory.
    """
    encoder = BodyEncoder()
    while chunk := source.read(_CHUNK):
        encoder.feed(chunk)
    encoder.finish()
    return encoder.octets
