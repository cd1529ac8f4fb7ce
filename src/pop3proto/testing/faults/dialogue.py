"""What client and server say to each other, told apart: whose answer each part is, where a body begins and ends.

It follows any server and any client, also ones that break the protocol, and never raises.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
from typing_extensions import override

from pop3proto.core.dots import BodyDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "GREETING",
    "Asked",
    "Body",
    "ChallengeLine",
    "Dialogue",
    "End",
    "Part",
    "Query",
    "StatusLine",
    "names_an_answer",
]

_VERB: Final = re.compile("[A-Za-z][A-Za-z0-9]{2,3}")
_ALWAYS_WITH_BODY: Final = {"CAPA", "RETR", "TOP"}
_WITH_BODY_ALONE: Final = {"AUTH", "LANG", "LIST", "UIDL"}  # if they have no argument


@attrs.frozen
class Asked:
    """What is answered: a line of the client, or the connection, which the greeting answers.

    Args:
        octets: the line, with its line end; empty for the connection.
        response: it is a response within a SASL exchange.
        silent: the client did not say it, so it gets no answer.
        answer: the client gets this answer, and the server is not asked; None: the server answers.
    """

    octets: bytes
    response: bool = attrs.field(default=False, kw_only=True)
    silent: bool = attrs.field(default=False, kw_only=True)
    answer: Sequence[Part] | None = attrs.field(default=None, kw_only=True, eq=False)

    @property
    def words(self) -> list[str]:
        """The verb in capitals, and the arguments."""
        verb, *arguments = self.octets.decode("latin-1").split() or ["greeting" if not self.octets else ""]
        return [verb.upper() if self.octets else verb, *arguments]

    @property
    def verb(self) -> str:
        """The verb in capitals; "greeting"."""
        return self.words[0]

    @property
    def number(self) -> int | None:
        """The message that it is about, if it names one."""
        words = self.words
        return int(words[1]) if len(words) > 1 and words[1].isascii() and words[1].isdigit() else None

    def is_a(self, pattern: str) -> bool:
        """Return whether it is what a pattern says: "RETR", "RETR 3", "greeting"; "" is anything."""
        if self.response:
            return False
        words = pattern.split()
        if words and words[0].lower() == "greeting":
            return not self.octets
        return not words or [words[0].upper(), *words[1:]] == self.words[: len(words)]

    @property
    def has_body(self) -> bool:
        """Whether a body follows a positive answer."""
        words = self.words
        return words[0] in _ALWAYS_WITH_BODY or (len(words) == 1 and words[0] in _WITH_BODY_ALONE)


@attrs.frozen
class Query(Asked):
    """What a fault asks the server for itself: no other fault takes it for a command of the client."""

    @override
    def is_a(self, pattern: str) -> bool:
        return False


def names_an_answer(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Check a pattern for `Asked.is_a`: a validator of attrs.

    Raises:
        TypeError: it is no text.
        ValueError: no command can fit it.
    """
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{attribute.name} takes a command such as 'RETR 3', not {value!r}")
    verb, *arguments = value.split() or [""]
    if not (verb in {"", GREETING.verb} or _VERB.fullmatch(verb)) or any(map(_LEADING_ZERO.fullmatch, arguments)):
        raise ValueError(f"{attribute.name} takes a command such as 'RETR 3'; no client says {value!r}")


_LEADING_ZERO: Final = re.compile(r"0[0-9]+")
_LONGEST: Final = 65_536  # octets of a line

GREETING: Final = Asked(b"")
"""What the greeting answers."""


@attrs.frozen
class StatusLine:
    """A status line.

    Args:
        asked: what it answers.
        octets: the line, with its line end.
    """

    asked: Asked
    octets: bytes

    @property
    def positive(self) -> bool:
        """Whether it is `+OK`."""
        return self.octets[:3].upper() == b"+OK"

    def with_text(self, text: bytes) -> StatusLine:
        """Return another one with this text behind `+OK` or `-ERR`."""
        return attrs.evolve(self, octets=b"%s %s\r\n" % (self.octets.split(b" ")[0].strip(), text))

    @property
    def text(self) -> bytes:
        """What is behind `+OK` or `-ERR`."""
        return self.octets.partition(b" ")[2].strip()


@attrs.frozen
class ChallengeLine:
    """A challenge of a SASL exchange.

    Args:
        asked: AUTH, or a response.
        octets: the line, with its line end.
    """

    asked: Asked
    octets: bytes


@attrs.frozen
class Body:
    """Octets of a body, without the dots that were stuffed.

    Args:
        asked: what is answered.
        octets: they may end anywhere.
    """

    asked: Asked
    octets: bytes


@attrs.frozen
class End:
    """The end of a body, `.CRLF`.

    Args:
        asked: what was answered.
    """

    asked: Asked


Part: TypeAlias = StatusLine | ChallengeLine | Body | End


class Dialogue:
    """Follows one session."""

    def __init__(self) -> None:
        self._due: Final[deque[Asked]] = deque([GREETING])  # what is to be answered
        self._heard: bytes = b""  # the beginning of a line of the client
        self._said: bytes = b""  # the beginning of a line of the server
        self._decoder: BodyDecoder | None = None
        self._challenged = False  # the next line of the client is a response

    def client(self, octets: bytes) -> Iterator[Asked]:
        """Take what the client sends, and yield its lines. What is passed on to the server is to be told to `ask`."""
        lines = (self._heard + octets).split(b"\n")
        self._heard = lines.pop()
        if len(self._heard) > _LONGEST:  # it is no command: the server may say what it thinks of it
            lines.append(self._heard)
            self._heard = b""
        for line in lines:
            response, self._challenged = self._challenged, False
            whole = len(line) <= _LONGEST
            yield Asked(line + b"\n" if whole else line, response=response or not whole)

    def ask(self, asked: Asked) -> None:
        """Note that something is to be answered, after all that was asked before."""
        if asked.response:
            self._challenged = False
        else:
            self._due.append(asked)

    def server(self, octets: bytes) -> Iterator[Part]:
        """Take what the server sends, and yield its parts."""
        self._said += octets
        while self._said:
            if self._decoder is not None:
                yield from self._of_body(self._decoder, self._due[0])
                continue
            line, end, rest = self._said.partition(b"\n")
            if not end:
                return
            self._said = rest
            yield self._of_line(line + end)

    @property
    def unfinished(self) -> bool:
        """Whether the client has begun a line that has not ended."""
        return bool(self._heard)

    @property
    def due(self) -> Sequence[Asked]:
        """What is to be answered still, the first one first."""
        return self._due

    def rest(self) -> bytes:
        """Return the beginning of a line of the server whose end has not come, and forget it."""
        octets, self._said = self._said, b""
        return octets

    def answers(self) -> Iterator[Part]:
        """Yield the answers that are due now, and that the server does not give."""
        while self._due and self._decoder is None and (answer := self._due[0].answer) is not None:
            self._due.popleft()
            self._challenged = any(isinstance(part, ChallengeLine) for part in answer)
            yield from answer

    def _of_line(self, line: bytes) -> Part:
        asked = self._due[0] if self._due else Asked(b"\r\n")
        if asked.verb == "AUTH" and line.startswith(b"+") and line[1:2] in {b" ", b"\r", b"\n"}:
            self._challenged = True
            return ChallengeLine(asked, line)
        status = StatusLine(asked, line)
        if status.positive and asked.has_body:
            self._decoder = BodyDecoder()
        elif self._due:
            self._due.popleft()
        return status

    def _of_body(self, decoder: BodyDecoder, asked: Asked) -> Iterator[Part]:
        octets, offset = decoder.decode(self._said, 0)
        self._said = self._said[offset:]
        if octets:
            yield Body(asked, octets)
        if decoder.eof:
            self._decoder = None
            self._due.popleft()
            yield End(asked)
