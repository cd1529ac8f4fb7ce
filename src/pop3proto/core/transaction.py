"""The commands of the TRANSACTION state, and those of both states: RFC 1939, 2449 (CAPA), 6856 (LANG)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Self, TypeVar

import attrs
from typing_extensions import override

from .capabilities import Capabilities
from .command import Command, NumberedCommand, PlainCommand, parse_argument
from .errors import LocalProtocolError, MalformedReply
from .limits import DEFAULT_LIMITS, MAX_DIGITS, NO_QUIRKS, Limits, Quirk
from .replies import Ok
from .results import Language, Listing, MaildropStatus, ScanListing, UniqueId, UniqueIdListing
from .states import AFTER_LOGIN, ANYWHERE, State
from .text import decode_text, encode_text, excerpt, lines_of, numeric, read_number

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


__all__ = [
    "Capa",
    "Dele",
    "Lang",
    "LangList",
    "List",
    "ListOne",
    "Noop",
    "Quit",
    "Retr",
    "Rset",
    "Stat",
    "Top",
    "Uidl",
    "UidlOne",
]

V = TypeVar("V")

_LANGUAGE_RANGE: Final = re.compile(r"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")  # RFC 4647 section 2.1
_LANGUAGE_TAG: Final = re.compile(r"[A-Za-z0-9-]+")


def _check_language(_command: object, _attribute: object, language: str) -> None:
    if not _LANGUAGE_RANGE.fullmatch(language):
        raise LocalProtocolError("LANG needs a language range")


@attrs.frozen
class Capa(Command[Capabilities]):
    """CAPA: what the server can do, in this state (RFC 2449 section 5)."""

    verb = "CAPA"
    multi_line = True
    legal_in = ANYWHERE

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> Capabilities:
        return Capabilities.parse(body, lines=limits.text_lines)

    def answer(self, result: Capabilities, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that say this."""
        return Ok(text), result.encode()


@attrs.frozen
class Lang(Command["str | None"]):
    """LANG with a language: the server's texts are in it from the positive reply on (RFC 6856 section 3.2).

    Args:
        language: a basic language range; "*" is the server's choice.
    """

    verb = "LANG"
    takes_arguments = True
    legal_in = ANYWHERE
    barrier = True

    language: str = attrs.field(validator=_check_language)

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        return cls(decode_text(arguments))

    @override
    def encode(self) -> bytes:
        return self._line(self.language.encode())

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> str | None:
        """Return the tag of the language that was chosen; None if the server does not say."""
        tag, _, _ = reply.text.partition(" ")
        return tag if _LANGUAGE_TAG.fullmatch(tag) else None

    def answer(self, result: str | None, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply that says this; a text without a tag before it must not look like one."""
        reply = Ok(text if result is None else f"{result} {text}".rstrip(" "))
        if self.parse(reply) != result:
            raise LocalProtocolError(f"{reply.text!r} would not be read as the language {result!r}")
        return reply, b""

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.language}"


@attrs.frozen
class LangList(Command[tuple[Language, ...]]):
    """LANG alone: the languages that the server speaks (RFC 6856 section 3.2)."""

    verb = "LANG"
    multi_line = True
    legal_in = ANYWHERE
    barrier = True

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> tuple[Language, ...]:
        """Return the languages; blank lines and runs of blanks are passed over."""
        lines = (decode_text(line).strip(" ").partition(" ") for line in lines_of(body, limits.text_lines))
        try:
            return tuple(Language(tag, description.lstrip(" ")) for tag, _, description in lines if tag)
        except LocalProtocolError as error:
            raise MalformedReply(f"the answer to LANG lists no languages: {error}") from error

    def answer(self, result: tuple[Language, ...], text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that say this."""
        return Ok(text), b"".join([language.encode() for language in result])


@attrs.frozen
class Quit(PlainCommand):
    """QUIT: the server removes what was deleted, answers and closes, whatever the answer (RFC 1939 section 6)."""

    verb = "QUIT"
    legal_in = frozenset({State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION})
    barrier = True
    on_receipt = State.UPDATE
    on_ok = State.CLOSED
    on_err = State.CLOSED


@attrs.frozen
class Stat(Command[MaildropStatus]):
    """STAT: how many messages there are, and their octets in all (RFC 1939 section 5)."""

    verb = "STAT"
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> MaildropStatus:
        """Return the drop listing; what follows the two numbers is ignored."""
        count, _, rest = encode_text(reply.text).partition(b" ")
        numbers = read_number(count), read_number(rest.partition(b" ")[0])
        if numbers[0] is None or numbers[1] is None:
            raise MalformedReply(f"the answer to STAT is no drop listing: {excerpt(reply.encode())}")
        return MaildropStatus(numbers[0], numbers[1])

    def answer(self, result: MaildropStatus) -> tuple[Ok, bytes]:
        """Return the reply that says this; nothing should follow the numbers."""
        return Ok(f"{result.count:d} {result.octets:d}"), b""


@attrs.frozen
class List(Command[ScanListing]):
    """LIST alone: the octets of each message (RFC 1939 section 5)."""

    verb = "LIST"
    multi_line = True
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> ScanListing:
        return ScanListing.parse(body, entries=limits.listing_entries)

    def answer(self, result: ScanListing, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that say this."""
        return Ok(text), result.encode()


@attrs.frozen
class ListOne(NumberedCommand[int]):
    """LIST with a number: the octets of one message (RFC 1939 section 5)."""

    verb = "LIST"
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> int:
        """Return the octets; text behind them is ignored."""
        return _own_row(self, reply, ScanListing)

    def answer(self, result: int) -> tuple[Ok, bytes]:
        """Return the reply that says this."""
        return _row(ScanListing({self.number: result}))


@attrs.frozen
class Uidl(Command[UniqueIdListing]):
    """UIDL alone: the unique id of each message (RFC 1939 section 7)."""

    verb = "UIDL"
    multi_line = True
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> UniqueIdListing:
        return UniqueIdListing.parse(body, entries=limits.listing_entries)

    def answer(self, result: UniqueIdListing, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that say this."""
        return Ok(text), result.encode()


@attrs.frozen
class UidlOne(NumberedCommand[UniqueId]):
    """UIDL with a number: the unique id of one message (RFC 1939 section 7)."""

    verb = "UIDL"
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> UniqueId:
        return _own_row(self, reply, UniqueIdListing)

    def answer(self, result: UniqueId) -> tuple[Ok, bytes]:
        """Return the reply that says this."""
        return _row(UniqueIdListing({self.number: result}))


@attrs.frozen
class Retr(NumberedCommand[bytes]):
    """RETR: a message (RFC 1939 section 5)."""

    verb = "RETR"
    multi_line = True
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> bytes:
        return body

    def answer(self, result: bytes, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that say this."""
        return Ok(text), result


@attrs.frozen
class Top(NumberedCommand[bytes]):
    """TOP: the header of a message, the blank line, and the first lines of its body (RFC 1939 section 7).

    Args:
        number: the message number, at least 1.
        lines: how many lines of the body, at least 0; more than it has is the whole message.
    """

    verb = "TOP"
    multi_line = True
    legal_in = AFTER_LOGIN

    lines: int = attrs.field(validator=numeric("a number of lines", minimum=0))

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        number, _, lines = arguments.partition(b" ")
        if lines.isdigit():
            lines = lines.lstrip(b"0")[:MAX_DIGITS] or b"0"  # so many lines no message has, however many more
        return cls(parse_argument(cls.verb, number), parse_argument(cls.verb, lines))

    @override
    def encode(self) -> bytes:
        return self._line(b"%d %d" % (self.number, self.lines))

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> bytes:
        return body

    def answer(self, result: bytes, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that say this."""
        return Ok(text), result

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.number} {self.lines}"


@attrs.frozen
class Dele(NumberedCommand[None], PlainCommand):
    """DELE: mark a message as deleted; it is removed at QUIT (RFC 1939 section 5)."""

    verb = "DELE"
    legal_in = AFTER_LOGIN


@attrs.frozen
class Noop(PlainCommand):
    """NOOP: nothing (RFC 1939 section 5)."""

    verb = "NOOP"
    legal_in = AFTER_LOGIN


@attrs.frozen
class Rset(PlainCommand):
    """RSET: take back every DELE of this session (RFC 1939 section 5)."""

    verb = "RSET"
    legal_in = AFTER_LOGIN


def _own_row(command: NumberedCommand[V], reply: Ok, listing: type[Listing[V]]) -> V:
    """Return the value of a reply that is one row of a listing, about the command's message."""
    rows = listing.parse(encode_text(reply.text) + b"\r\n", entries=1)
    if command.number not in rows:
        raise MalformedReply(f"the answer to {command} says nothing of that message: {excerpt(reply.encode())}")
    return rows[command.number]


def _row(listing: Listing[V]) -> tuple[Ok, bytes]:
    return Ok(listing.encode().decode("ascii").removesuffix("\r\n")), b""
