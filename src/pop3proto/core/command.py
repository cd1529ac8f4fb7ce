"""The base classes of commands: `Command`, `PlainCommand`, `NumberedCommand`.

Each command is a class in `authorization` or `transaction`, and holds everything that the protocol says about its
verb: the arguments, the states in which it is legal, and how each answer changes the state. `parse` reads a reply on
the client's side; `answer` makes that reply on the server's side. They are inverse: for every result,
`command.parse(*command.answer(result)) == result`.

Constructors validate and raise `LocalProtocolError`, so every command object can be sent.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

import attrs
from typing_extensions import override

from .errors import LocalProtocolError, MalformedReply
from .limits import DEFAULT_LIMITS, NO_QUIRKS, Limits, Quirk
from .replies import Ok
from .text import encode_text, excerpt, numeric, read_number

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .results import Listing
    from .states import Fact, State

__all__ = ["Command", "NumberedCommand", "PlainCommand"]

R_co = TypeVar("R_co", covariant=True)
V = TypeVar("V")


class _CommandType(ABCMeta):
    """As `ABCMeta`, without virtual subclasses, for which each `isinstance` would take five times as long."""

    if not TYPE_CHECKING:
        __instancecheck__ = type.__instancecheck__


@attrs.frozen
class Command(Generic[R_co], metaclass=_CommandType):
    """The base class of commands; `R_co` is the type of the result that `parse` returns.

    `str(command)` is the command line for error messages and logs, with secrets masked.
    """

    verb: ClassVar[str]
    """The keyword of the command line, upper case."""
    takes_arguments: ClassVar[bool] = False
    """Whether this is the form of the verb with arguments: `LIST` and `LIST 1` are two classes."""
    trailing_blanks: ClassVar[bool] = False
    """Whether spaces at the end of the line belong to the argument. For other commands they are ignored."""
    multi_line: ClassVar[bool] = False
    """Whether a body follows a positive reply. A negative reply is always one line (RFC 1939 section 3)."""
    short_body: ClassVar[bool] = False
    """Whether the body is short, so that a client holds no more of it than `Limits.text_octets`."""
    challenged: ClassVar[bool] = False
    """Whether challenges may come before the reply (RFC 5034 section 4)."""
    shows_secret: ClassVar[bool] = False
    """Whether the line contains a readable password, so that it needs TLS (RFC 8314 section 4.1)."""
    barrier: ClassVar[bool] = False
    """Whether nothing may be pipelined behind it, because what may follow depends on its answer."""
    legal_in: ClassVar[frozenset[State]]
    """The states in which it is legal."""
    excluded_by: ClassVar[frozenset[Fact]] = frozenset()
    """Facts that make it illegal even in those states."""
    on_receipt: ClassVar[State | None] = None
    """The state of a server while it executes the command after login; None: unchanged."""
    on_ok: ClassVar[State | None] = None
    """The state after a positive reply; None: unchanged."""
    on_err: ClassVar[State | None] = None
    """The state after a negative reply; None: unchanged."""
    establishes: ClassVar[Fact | None] = None
    """The fact that a positive reply adds to the session."""

    @classmethod
    def from_arguments(cls, arguments: bytes) -> Self:  # noqa: ARG003 - subclasses with arguments use it
        """Parse the arguments of a command line, on the server's side.

        Args:
            arguments: the line after the verb and one space, without CRLF; not empty.

        Raises:
            LocalProtocolError: the arguments are not valid for this verb.
        """
        raise LocalProtocolError(f"{cls.verb} takes no arguments")

    def body_limit(self, limits: Limits) -> int:
        """Return how many octets of the body, un-stuffed, a client holds to parse it."""
        return limits.text_octets if self.short_body else limits.body

    def redacted(self) -> Self:
        """Return the command with its secret, if any, replaced; for observers and errors."""
        return self

    def encode(self) -> bytes:
        """Return the command line with its CRLF."""
        return b"%b\r\n" % self.verb.encode()

    def _line(self, arguments: bytes) -> bytes:
        return b"%b %b\r\n" % (self.verb.encode(), arguments)

    @abstractmethod
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> R_co:
        """Parse a positive reply and its body.

        Args:
            reply: the reply.
            body: the body of a multi-line reply, un-stuffed, without its terminator.
            limits: maximum sizes of listings.
            quirks: deviations of the server to tolerate.

        Raises:
            MalformedReply: the reply or its body is not valid for this command. The session goes on.
        """

    @override
    def __str__(self) -> str:
        return self.verb


class PlainCommand(Command[None]):
    """A command whose positive reply carries no result: `parse` returns None."""

    __slots__ = ()

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> None:
        """Return None: the positive reply carries no result."""

    def answer(self, result: None = None, text: str = "") -> tuple[Ok, bytes]:  # noqa: ARG002 - the same signature for all commands
        """Return the positive reply, with a human-readable text, and an empty body."""
        return Ok(text), b""


@attrs.frozen
class NumberedCommand(Command[R_co]):
    """The base class of commands about one message.

    Args:
        number: the message number, at least 1.
    """

    takes_arguments = True

    number: int = attrs.field(validator=numeric("a message number", minimum=1))

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        """Parse the arguments of a command line: the message number."""
        return cls(parse_argument(cls.verb, arguments))

    @override
    def encode(self) -> bytes:
        """Return the command line, with the message number, and its CRLF."""
        return b"%b %d\r\n" % (self.verb.encode(), self.number)

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.number}"


def parse_argument(verb: str, octets: bytes) -> int:
    """Parse a numeric argument.

    Raises:
        LocalProtocolError: it is not a number; the message is suitable as the text of the reply.
    """
    if (number := read_number(octets)) is None:
        raise LocalProtocolError(f"{verb} needs a number")
    return number


def parse_row(
    command: NumberedCommand[V], reply: Ok, listing: type[Listing[V]], quirks: AbstractSet[Quirk] = NO_QUIRKS
) -> V:
    """Parse a reply that is one row of a listing, and return the value of the command's message.

    Raises:
        MalformedReply: the reply has no valid row for that message.
    """
    rows = listing.parse(encode_text(reply.text) + b"\r\n", entries=1, quirks=quirks)
    if command.number not in rows:
        raise MalformedReply(f"the answer to {command} has no valid row for that message: {excerpt(reply.encode())}")
    return rows[command.number]


def encode_row(listing: Listing[V]) -> tuple[Ok, bytes]:
    """Return the reply that is the only row of a listing, and an empty body."""
    return Ok(listing.encode().decode("ascii").removesuffix("\r\n")), b""
