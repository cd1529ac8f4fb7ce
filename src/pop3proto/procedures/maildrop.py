"""Where a server keeps mail: the protocols that a store implements.

Each method may be plain or a coroutine method. Under asyncio and trio the server awaits what a method returns, in the
event loop; the blocking server takes plain methods only. Plain methods are called in worker threads if the store
`blocks`: in different ones, but never in two at once for one maildrop. A store whose methods are all coroutines says
`blocks = False`. An await goes on to its end even if the session is cancelled meanwhile, so that no lock stays behind.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import attrs

from pop3proto.core.dots import BodyEncoder
from pop3proto.core.errors import LocalProtocolError, Pop3Error
from pop3proto.core.replies import Err, ResponseCode
from pop3proto.core.results import check_unique_id
from pop3proto.core.text import check_text, numeric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.results import UniqueId
    from pop3proto.sasl.channel import SessionInfo

__all__ = [
    "InUse",
    "Maildrop",
    "MaildropStore",
    "Message",
    "MessageStream",
    "ReadableFile",
    "Refused",
    "SupportsNotice",
    "SupportsOpenMany",
    "SupportsTop",
    "Unavailable",
    "wire_size",
    "wire_size_of",
]

_CHUNK: Final = 1 << 18  # octets
_UNSAFE: Final = re.compile(r"[\r\n\0]+")


class Refused(Pop3Error):
    """A maildrop cannot be opened, or one of its messages cannot be read.

    Args:
        text: why; it goes to the client. A line end becomes a space, and what makes the line longer than
            `Limits.reply_line_sent` is cut off.
        code: the response code that goes with it.
        delay: seconds before it is sent.
        close: the session ends with it.
    """

    def __init__(self, text: str, code: ResponseCode | None = None, *, delay: float = 0, close: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.delay = delay
        self.close = close

    @property
    def reply(self) -> Err:
        """The answer to the client, before it is cut."""
        text = str(self)
        try:
            check_text(text, "the text of a reply")
        except LocalProtocolError:
            text = _UNSAFE.sub(" ", text.encode("utf-8", "replace").decode()).strip()
        return Err(text) if self.code is None else Err.coded(self.code, text)


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
        retrieved: it was retrieved in an earlier session, as far as the maildrop knows.

    Raises:
        LocalProtocolError: the octets are negative, or the unique id is not 1 to 70 octets in 0x21-0x7E.
    """

    octets: int = attrs.field(validator=numeric("octets", minimum=0))
    unique_id: UniqueId = attrs.field(converter=check_unique_id)
    retrieved: bool = attrs.field(default=False, kw_only=True)


class MessageStream(Protocol):
    """An open message: a binary file that is read from start to end. Its line ends may be LF or CRLF."""

    def read(self, size: int, /) -> bytes | Awaitable[bytes]:
        """Return at most this many octets; empty at the end.

        Raises:
            OSError: the rest cannot be read.
        """
        ...

    def close(self) -> Awaitable[None] | None:
        """Release it. It is called once."""
        ...


class Maildrop(Protocol):
    """A maildrop, locked for one session, as it was when it was opened (RFC 1939 section 4).

    It may have what `SupportsTop`, `SupportsOpenMany` and `SupportsNotice` name, too; they are used if it has them.
    """

    @property
    def messages(self) -> Sequence[Message]:
        """The messages; number n of the session is at n - 1. It never changes, except by `correct`."""
        ...

    def open(self, number: int) -> MessageStream | Awaitable[MessageStream]:
        """Return a message's octets.

        Raises:
            Refused: it cannot be read; the session goes on.
        """
        ...

    def correct(self, number: int, octets: int) -> Awaitable[None] | None:
        """Take note that RETR sent another number of octets than `messages` announced."""
        ...

    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> Awaitable[None] | None:
        """Remove the deleted messages; it is called in the UPDATE state only, at most once.

        Args:
            deleted: the numbers of the messages to remove, and no other may be removed (RFC 1939 section 6) ...
            retrieved: ... except, under a policy of EXPIRE 0, those whose bodies were sent whole (RFC 2449 6.7).

        Raises:
            Refused: some are still there.
        """
        ...

    def close(self) -> Awaitable[None] | None:
        """Release the lock. It is called once, however the session ends, and does not fail."""
        ...


@runtime_checkable
class SupportsTop(Protocol):
    """A maildrop that can read the top of a message alone, where reading all of it costs more (over a network)."""

    def top(self, number: int, lines: int) -> MessageStream | Awaitable[MessageStream]:
        """Return the header of a message, the blank line, and the first lines of the body (RFC 1939 section 7).

        It may hold more: the server sends what TOP asks for, and reads no further.

        Raises:
            Refused: it cannot be read; the session goes on.
        """
        ...


@runtime_checkable
class SupportsNotice(Protocol):
    """A maildrop that tells its user something at login, such as how much of a quota is used."""

    @property
    def notice(self) -> str:
        """One line of text, which follows the number of messages in the answer to PASS, APOP or AUTH; "" for none.

        It is computed when the maildrop is opened: to read it takes no time.
        """
        ...


@runtime_checkable
class SupportsOpenMany(Protocol):
    """A maildrop that opens several messages in one call, where each call costs a round trip (a database)."""

    def open_many(self, numbers: Sequence[int]) -> Sequence[MessageStream] | Awaitable[Sequence[MessageStream]]:
        """Return the octets of messages, in the order of the numbers.

        The client has asked for the first; the others are read ahead and may be left out, from any one to the last.

        Raises:
            Refused: the first cannot be read; the session goes on.
        """
        ...


class MaildropStore(Protocol):
    """All the maildrops of a server."""

    @property
    def blocks(self) -> bool:
        """Whether plain methods may wait for a disk or a network, so that an event loop must not call them."""
        ...

    def open(self, user: str, session: SessionInfo) -> Maildrop | Awaitable[Maildrop]:
        """Lock a user's maildrop and return it as it is now.

        Raises:
            Refused: it cannot be opened; the lock is not held.
        """
        ...

    def capabilities(self, user: str | None) -> Capabilities | Awaitable[Capabilities]:
        """Return what this store adds to the server's capabilities: EXPIRE, LOGIN-DELAY, private ones.

        Args:
            user: who is logged in; None before login, when the values must hold for every user (RFC 2449 6.5, 6.7).
        """
        ...


class ReadableFile(Protocol):
    """A binary file that can be read."""

    def read(self, size: int, /) -> bytes:
        """Return at most this many octets; empty at the end."""
        ...


def wire_size(source: ReadableFile) -> int:
    """Return the size that STAT and LIST must announce for a message (RFC 1939 section 11).

    The encoder that sends a message counts it, so that the two cannot differ.

    Args:
        source: the message, at its start. It is read to its end, in constant memory.
    """
    return _counted(iter(lambda: source.read(_CHUNK), b""))


def wire_size_of(message: bytes) -> int:
    """As `wire_size`, of a message in memory."""
    line_feeds = message.count(b"\n")
    if b"\r" in message and not message.count(b"\r\n") == message.count(b"\r") == line_feeds:
        return _counted([message])
    # All line ends are LF, or all are CRLF, so that the encoder need not look for others.
    octets = len(message) if b"\r" in message else len(message) + line_feeds
    return octets if not message or message.endswith(b"\n") else octets + 2


def _counted(chunks: Iterable[bytes]) -> int:
    encoder = BodyEncoder()
    for chunk in chunks:
        encoder.feed(chunk)
    encoder.finish()
    return encoder.octets
