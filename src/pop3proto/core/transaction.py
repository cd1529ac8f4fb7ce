"""Commands of the TRANSACTION state, and those legal before login as well: RFC 1939, 2449 (CAPA), 6856 (LANG)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, Self

import attrs
from typing_extensions import override

from .capabilities import Capabilities
from .command import Command, NumberedCommand, PlainCommand, encode_row, parse_argument, parse_row
from .errors import LocalProtocolError, MalformedReply
from .limits import DEFAULT_LIMITS, MAX_DIGITS, NO_QUIRKS, Limits, Quirk
from .replies import Ok
from .results import Language, MaildropStatus, ScanListing, UniqueId, UniqueIdListing
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

_LANGUAGE_RANGE: Final = re.compile(r"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")  # RFC 4647 section 2.1
_LANGUAGE_TAG: Final = re.compile(r"[A-Za-z0-9-]+")


def _check_language(_command: object, _attribute: object, language: str) -> None:
    if not _LANGUAGE_RANGE.fullmatch(language):
        raise LocalProtocolError("LANG needs a language range such as 'de' or '*'")


@attrs.frozen
class Capa(Command[Capabilities]):
    """CAPA: lists the capabilities that the server has in this state (RFC 2449 section 5)."""

    verb = "CAPA"
    multi_line = True
    short_body = True
    legal_in = ANYWHERE

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> Capabilities:
        """Return the capabilities that the body lists."""
        return Capabilities.parse(body, lines=limits.text_lines)

    def answer(self, result: Capabilities, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that list these capabilities."""
        return Ok(text), result.encode()


@attrs.frozen
class Lang(Command["str | None"]):
    """LANG with a language: selects the language of reply texts, from the positive reply on (RFC 6856 section 3.2).

    Args:
        language: a basic language range; "*" lets the server choose.
    """

    verb = "LANG"
    takes_arguments = True
    legal_in = ANYWHERE
    barrier = True

    language: str = attrs.field(validator=_check_language)

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        """Parse the arguments of a command line: the language range."""
        return cls(decode_text(arguments))

    @override
    def encode(self) -> bytes:
        """Return the command line, with the language range, and its CRLF."""
        return self._line(self.language.encode())

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> str | None:
        """Return the tag of the selected language; None if the reply does not begin with one."""
        tag, _, _ = reply.text.partition(" ")
        return tag if _LANGUAGE_TAG.fullmatch(tag) else None

    def answer(self, result: str | None, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply that begins with this language tag.

        Raises:
            LocalProtocolError: the reply would be parsed as another language: `text` begins with what looks like a tag.
        """
        reply = Ok(text if result is None else f"{result} {text}".rstrip(" "))
        if self.parse(reply) != result:
            raise LocalProtocolError(f"the text {reply.text!r} would be parsed as another language than {result!r}")
        return reply, b""

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.language}"


@attrs.frozen
class LangList(Command[tuple[Language, ...]]):
    """LANG without arguments: lists the languages that the server supports (RFC 6856 section 3.2)."""

    verb = "LANG"
    multi_line = True
    short_body = True
    legal_in = ANYWHERE
    barrier = True

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> tuple[Language, ...]:
        """Return the languages; empty lines and repeated spaces are ignored."""
        lines = (decode_text(line).strip(" ").partition(" ") for line in lines_of(body, limits.text_lines))
        try:
            return tuple(Language(tag, description.lstrip(" ")) for tag, _, description in lines if tag)
        except LocalProtocolError as error:
            raise MalformedReply(f"the answer to LANG is not a list of languages: {error}") from error

    def answer(self, result: tuple[Language, ...], text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that list these languages."""
        return Ok(text), b"".join([language.encode() for language in result])


@attrs.frozen
class Quit(PlainCommand):
    """QUIT: ends the session, whatever the answer; after login, removes what DELE has marked (RFC 1939 section 6)."""

    verb = "QUIT"
    legal_in: ClassVar[frozenset[State]] = frozenset({State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION})
    barrier = True
    on_receipt: ClassVar[State | None] = State.UPDATE
    on_ok: ClassVar[State | None] = State.CLOSED
    on_err: ClassVar[State | None] = State.CLOSED


@attrs.frozen
class Stat(Command[MaildropStatus]):
    """STAT: the number of messages in the maildrop and their total size in octets (RFC 1939 section 5)."""

    verb = "STAT"
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> MaildropStatus:
        """Return the drop listing; text after the two numbers is ignored."""
        first, _, rest = encode_text(reply.text).partition(b" ")
        count, octets = read_number(first), read_number(rest.partition(b" ")[0])
        if octets is None and Quirk.STAT_WITHOUT_OCTETS in quirks:
            octets = 0
        if count is None or octets is None:
            raise MalformedReply(f"the answer to STAT does not begin with two numbers: {excerpt(reply.encode())}")
        return MaildropStatus(count, octets)

    def answer(self, result: MaildropStatus) -> tuple[Ok, bytes]:
        """Return the reply: two numbers and no text after them (RFC 1939 section 5)."""
        return Ok(f"{result.count:d} {result.octets:d}"), b""


@attrs.frozen
class List(Command[ScanListing]):
    """LIST without arguments: the size of each message in octets (RFC 1939 section 5)."""

    verb = "LIST"
    multi_line = True
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> ScanListing:
        """Return the sizes that the body lists."""
        return ScanListing.parse(body, entries=limits.listing_entries)

    def answer(self, result: ScanListing, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and the body with this listing."""
        return Ok(text), result.encode()


@attrs.frozen
class ListOne(NumberedCommand[int]):
    """LIST with a message number: the size of one message in octets (RFC 1939 section 5)."""

    verb = "LIST"
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> int:
        """Return the size in octets; text after it is ignored."""
        return parse_row(self, reply, ScanListing)

    def answer(self, result: int) -> tuple[Ok, bytes]:
        """Return the reply with the message number and this size in octets."""
        return encode_row(ScanListing({self.number: result}))


@attrs.frozen
class Uidl(Command[UniqueIdListing]):
    """UIDL without arguments: the unique id of each message (RFC 1939 section 7)."""

    verb = "UIDL"
    multi_line = True
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> UniqueIdListing:
        """Return the unique ids that the body lists."""
        return UniqueIdListing.parse(body, entries=limits.listing_entries, quirks=quirks)

    def answer(self, result: UniqueIdListing, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and the body with this listing."""
        return Ok(text), result.encode()


@attrs.frozen
class UidlOne(NumberedCommand[UniqueId]):
    """UIDL with a message number: the unique id of one message (RFC 1939 section 7)."""

    verb = "UIDL"
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> UniqueId:
        """Return the unique id of the message."""
        return parse_row(self, reply, UniqueIdListing, quirks)

    def answer(self, result: UniqueId) -> tuple[Ok, bytes]:
        """Return the reply with the message number and this unique id."""
        return encode_row(UniqueIdListing({self.number: result}))


@attrs.frozen
class Retr(NumberedCommand[bytes]):
    """RETR: retrieves a whole message (RFC 1939 section 5)."""

    verb = "RETR"
    multi_line = True
    legal_in = AFTER_LOGIN

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> bytes:
        """Return the body: the message."""
        return body

    def answer(self, result: bytes, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply, and these octets as the body."""
        return Ok(text), result


@attrs.frozen
class Top(NumberedCommand[bytes]):
    """TOP: retrieves the header of a message and the first lines of its body (RFC 1939 section 7).

    Args:
        number: the message number, at least 1.
        lines: how many lines of the body, at least 0. If the body has fewer, the server sends the whole message.
    """

    verb = "TOP"
    multi_line = True
    legal_in = AFTER_LOGIN

    lines: int = attrs.field(validator=numeric("a number of lines", minimum=0))

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        """Parse the arguments of a command line: the message number and the number of lines."""
        number, _, lines = arguments.partition(b" ")
        if lines.isdigit():
            lines = lines.lstrip(b"0")[:MAX_DIGITS] or b"0"  # a number with more digits means the whole message anyway
        return cls(parse_argument(cls.verb, number), parse_argument(cls.verb, lines))

    @override
    def encode(self) -> bytes:
        """Return the command line, with both numbers, and its CRLF."""
        return self._line(b"%d %d" % (self.number, self.lines))

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> bytes:
        """Return the body: the header of the message and the lines that were asked for."""
        return body

    def answer(self, result: bytes, text: str = "") -> tuple[Ok, bytes]:
        """Return the reply, and these octets as the body."""
        return Ok(text), result

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.number} {self.lines}"


@attrs.frozen
class Dele(NumberedCommand[None], PlainCommand):
    """DELE: marks a message as deleted; the server removes it at QUIT (RFC 1939 section 5)."""

    verb = "DELE"
    legal_in = AFTER_LOGIN


@attrs.frozen
class Noop(PlainCommand):
    """NOOP: does nothing; the server answers `+OK` (RFC 1939 section 5)."""

    verb = "NOOP"
    legal_in = AFTER_LOGIN


@attrs.frozen
class Rset(PlainCommand):
    """RSET: unmarks all messages that DELE marked in this session (RFC 1939 section 5)."""

    verb = "RSET"
    legal_in = AFTER_LOGIN
