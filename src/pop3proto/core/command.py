"""What a command is: its syntax, where it is legal, how it is answered, what the answer does and what it means.

All that the protocol says about a verb stands in its class; the classes are in `commands`. A class declares its
arguments, where it is legal and what an answer does to the session. It knows what its reply means (`parse`, on the
client's side), and beside that stands how to say it (`answer`, on the server's): for every result,
`command.parse(*command.answer(result)) == result`.

Constructors validate, so a command that exists can be sent. They raise `LocalProtocolError`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

import attrs
from typing_extensions import override

from .errors import LocalProtocolError
from .limits import DEFAULT_LIMITS, NO_QUIRKS, Limits, Quirk
from .replies import Ok
from .text import numeric, read_number

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .states import Fact, State

__all__ = ["Command", "NumberedCommand", "PlainCommand"]

R_co = TypeVar("R_co", covariant=True)


@attrs.frozen
class Command(ABC, Generic[R_co]):
    """A request; `R_co` is what a positive answer means.

    `str(command)` is the request as people read it, secrets hidden.
    """

    verb: ClassVar[str]
    """The keyword, upper case."""
    takes_arguments: ClassVar[bool] = False
    """Whether this is the form of the verb with arguments; `LIST` and `LIST 1` are two classes."""
    trailing_blanks: ClassVar[bool] = False
    """Whether blanks at the end of the line belong to the argument. For all others they mean nothing."""
    multi_line: ClassVar[bool] = False
    """Whether a body follows a positive reply. A negative reply is always one line (RFC 1939 section 3)."""
    challenged: ClassVar[bool] = False
    """Whether challenges may come before the reply (RFC 5034 section 4)."""
    shows_secret: ClassVar[bool] = False
    """Whether a password can be read from its line, so that it must go under TLS (RFC 8314 section 4.1)."""
    barrier: ClassVar[bool] = False
    """Whether nothing may be sent behind it before it is answered, because what follows depends on the answer."""
    legal_in: ClassVar[frozenset[State]]
    """The states in which it may be sent."""
    excluded_by: ClassVar[frozenset[Fact]] = frozenset()
    """The facts that make it illegal all the same."""
    on_receipt: ClassVar[State | None] = None
    """The state of a server that executes it after login; None: it stays where it is."""
    on_ok: ClassVar[State | None] = None
    """The state after a positive reply; None: it stays where it is."""
    on_err: ClassVar[State | None] = None
    """The state after a negative reply; None: it stays where it is."""
    establishes: ClassVar[Fact | None] = None
    """What holds after a positive reply."""

    @classmethod
    def from_arguments(cls, arguments: bytes) -> Self:  # noqa: ARG003 - the forms with arguments read them
        """Return the command that a server reads.

        Args:
            arguments: the line behind the verb and one blank, without CRLF; not empty.

        Raises:
            LocalProtocolError: they are not what the verb takes.
        """
        raise LocalProtocolError(f"{cls.verb} takes no argument")

    def redacted(self) -> Self:
        """Return the command without the secret that it may hold, for whoever observes."""
        return self

    def encode(self) -> bytes:
        """Return the line with its CRLF."""
        return b"%b\r\n" % self.verb.encode()

    def _line(self, arguments: bytes) -> bytes:
        return b"%b %b\r\n" % (self.verb.encode(), arguments)

    @abstractmethod
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> R_co:
        """Return what a positive reply means.

        Args:
            reply: the reply.
            body: the body of a multi-line reply, un-stuffed, without its terminator.
            limits: how large a listing may be.
            quirks: the tolerances that are switched on.

        Raises:
            MalformedReply: it makes no sense. The session is in step all the same.
        """

    @override
    def __str__(self) -> str:
        return self.verb


class PlainCommand(Command[None]):
    """A command whose positive reply means that it was done, and nothing else."""

    __slots__ = ()

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> None:
        return None

    def answer(self, result: None = None, text: str = "") -> tuple[Ok, bytes]:  # noqa: ARG002 - as for all
        """Return the positive reply, with a text for people; the body is empty."""
        return Ok(text), b""


@attrs.frozen
class NumberedCommand(Command[R_co]):
    """A command about one message.

    Args:
        number: the message number, at least 1.
    """

    takes_arguments = True

    number: int = attrs.field(validator=numeric("a message number", minimum=1))

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        return cls(parse_argument(cls.verb, arguments))

    @override
    def encode(self) -> bytes:
        return self._line(b"%d" % self.number)

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.number}"


def parse_argument(verb: str, octets: bytes) -> int:
    """Return an argument that must be a number.

    Raises:
        LocalProtocolError: it is none.
    """
    if (number := read_number(octets)) is None:
        raise LocalProtocolError(f"{verb} needs a number")
    return number
