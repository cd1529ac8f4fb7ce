"""What replies mean: drop listings, scan listings, unique ids, languages.

A message number is at least 1. Octets are the size of a message as it crosses the wire, CRLF line ends, before dots
are stuffed (RFC 1939 section 11).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Set as AbstractSet
from functools import cache
from typing import ClassVar, Final, Generic, NewType, Self, TypeVar, cast

import attrs
from typing_extensions import override

from .errors import LocalProtocolError
from .limits import MAX_DIGITS, NO_QUIRKS, Quirk
from .text import check_text, decode_text, encode_text, lines_of, numeric

__all__ = ["Language", "Listing", "MaildropStatus", "ScanListing", "UniqueId", "UniqueIdListing", "check_unique_id"]

UniqueId = NewType("UniqueId", str)
"""What a server calls a message for as long as it exists: 1 to 70 octets in 0x21-0x7E (RFC 1939 section 7)."""

V = TypeVar("V")

_UNIQUE_ID: Final = "[!-~]{1,70}"
_is_unique_id: Final = re.compile(_UNIQUE_ID).fullmatch


def check_unique_id(text: str) -> UniqueId:
    """Return a text as a unique id.

    Raises:
        LocalProtocolError: it is empty, longer than 70 octets, or holds an octet outside 0x21-0x7E.
    """
    if not _is_unique_id(text):
        raise LocalProtocolError(f"{text!r} is no unique id: 1 to 70 octets in 0x21-0x7E")
    return UniqueId(text)


@attrs.frozen
class MaildropStatus:
    """The drop listing that answers STAT (RFC 1939 section 5).

    Args:
        count: messages in the maildrop, without those that are marked as deleted.
        octets: their size in all.
    """

    count: int = attrs.field(validator=numeric("a count of messages", minimum=0))
    octets: int = attrs.field(validator=numeric("a count of octets", minimum=0))


@attrs.frozen
class Language:
    """A language that a server can speak (RFC 6856 section 3).

    Args:
        tag: the language tag.
        description: its name, in itself; may be empty.

    Raises:
        LocalProtocolError: they cannot stand on one line, or blanks in them would be lost.
    """

    tag: str
    description: str = ""

    def __attrs_post_init__(self) -> None:
        check_text(self.tag, "a language tag")
        check_text(self.description, "the description of a language")
        if not self.tag or " " in self.tag:
            raise LocalProtocolError("a language tag must not be empty or hold blanks")
        if self.description != self.description.strip(" "):
            raise LocalProtocolError("the description of a language must not have a blank at either end")

    def encode(self) -> bytes:
        """Return the line of the listing, with its CRLF."""
        return encode_text(f"{self.tag} {self.description}".rstrip(" ") + "\r\n")


@attrs.frozen(eq=False, repr=False)
class Listing(Mapping[int, V], Generic[V]):
    """A listing as a read-only mapping from message number to value, in the server's order.

    Numbers may have gaps (deleted messages). Equality is that of mappings. A row that does not follow the grammar is
    not in the mapping: check `complete` before you conclude that a message is gone.

    Args:
        rows: the mapping.
        unreadable: rows that do not follow the grammar, as they came.
        duplicates: rows that named a number which an earlier row had named already; the earlier one stands.
    """

    rows: Mapping[int, V]
    unreadable: tuple[bytes, ...] = ()
    duplicates: tuple[tuple[int, V], ...] = ()

    _strict: ClassVar[re.Pattern[bytes]]  # any number of rows as the RFC writes them, each with its CRLF
    _format: ClassVar[str]

    @property
    def complete(self) -> bool:
        """Whether every row was readable; if not, `unreadable` has the others and the mapping lacks them."""
        return not self.unreadable

    @override
    def __repr__(self) -> str:
        rest = {"unreadable": self.unreadable, "duplicates": self.duplicates}
        shown = "".join(f", {name}={value!r}" for name, value in rest.items() if value)
        return f"{type(self).__name__}({self.rows!r}{shown})"

    @override
    def __getitem__(self, number: int) -> V:
        return self.rows[number]

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)

    @override
    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    @abstractmethod
    def _values(cls, fields: list[str]) -> list[V]:
        """Return the values that stand in rows of the grammar."""

    def encode(self) -> bytes:
        """Return the body that a server sends, dots not stuffed.

        Raises:
            LocalProtocolError: a number or a value cannot stand in such a listing, or it has unreadable rows or
                duplicates.
        """
        octets = "".join([self._format % row for row in self.rows.items()]).encode("utf-8", "surrogatepass")
        # A value with line ends in it could look like rows of its own.
        follows = octets.count(b"\n") == len(self.rows) and self._strict.fullmatch(octets)
        if self.unreadable or self.duplicates or not follows:
            raise LocalProtocolError(f"this {type(self).__name__} does not follow the grammar of RFC 1939")
        return octets

    @classmethod
    def parse(cls, body: bytes, *, entries: int, quirks: AbstractSet[Quirk] = NO_QUIRKS) -> Self:
        """Return the listing that a body holds.

        Runs of blanks, a leading or trailing blank and blank lines are passed over.

        Args:
            body: CRLF lines, un-stuffed.
            entries: how many rows it may have, blank lines included.
            quirks: deviations to tolerate.

        Raises:
            MalformedReply: it has more.
        """
        count = body.count(b"\n")
        if count <= entries and body.endswith(b"\r\n"):
            rows = cls._rows_at_once(body, count)
            if rows is not None and len(rows) == count:
                return cls(rows)
        return cls._parse_each(lines_of(body, entries), quirks)

    @classmethod
    def _rows_at_once(cls, body: bytes, count: int) -> dict[int, V] | None:  # noqa: ARG003 - subclasses use it
        """Return the rows of a body of `count` lines that ends with CRLF, or None if it may not follow the grammar."""
        # Before Python 3.11.5, a possessive group keeps what its last repetition has matched before it failed, so that
        # "1" follows the grammar. Where a line ends, it cannot have stopped.
        if not cls._strict.fullmatch(body):
            return None
        fields = decode_text(body).split()
        return dict(zip(map(int, fields[::2]), cls._values(fields[1::2]), strict=True))

    @classmethod
    @abstractmethod
    def _row(cls, quirks: AbstractSet[Quirk]) -> re.Pattern[bytes]:
        """Return the pattern of one row as servers write it, without its CRLF: (number), (value)."""

    @classmethod
    def _parse_each(cls, lines: list[bytes], quirks: AbstractSet[Quirk] = NO_QUIRKS) -> Self:
        row = cls._row(quirks)
        rows: dict[int, V] = {}
        unreadable: list[bytes] = []
        duplicates: list[tuple[int, V]] = []
        for line in lines:
            if match := row.fullmatch(line):
                number, [value] = int(match[1]), cls._values([decode_text(match[2])])
                if number in rows:
                    duplicates.append((number, value))
                elif number:
                    rows[number] = value
                else:
                    unreadable.append(line)
            elif line.strip(b" "):
                unreadable.append(line)
        return cls(rows, tuple(unreadable), tuple(duplicates))


# Message numbers as a server writes them, and numbers as it may write them (leading zeros).
_NUMBER: Final = rf"[1-9][0-9]{{0,{MAX_DIGITS - 1}}}"
_DIGITS: Final = rf"[0-9]{{1,{MAX_DIGITS}}}"

_ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
_TOO_LONG: Final = b"0" * (MAX_DIGITS + 1)
_TO_COMMAS: Final = bytes.maketrans(b" \n", b",,")

_SCAN_ROW: Final = re.compile(rf" *({_DIGITS}) +({_DIGITS})(?: .*)?".encode(), re.DOTALL)


class ScanListing(Listing[int]):
    """What LIST answers: message number to octets (RFC 1939 section 5). Text behind the octets is ignored."""

    __slots__ = ()

    _strict = re.compile(rf"(?:{_NUMBER} {_DIGITS}\r\n)*+".encode())
    _format = "%d %d\r\n"

    @classmethod
    @override
    def _row(cls, quirks: AbstractSet[Quirk]) -> re.Pattern[bytes]:
        return _SCAN_ROW

    @classmethod
    @override
    def _values(cls, fields: list[str]) -> list[int]:
        return list(map(int, fields))

    @classmethod
    @override
    def _rows_at_once(cls, body: bytes, count: int) -> dict[int, int] | None:
        # A few passes in C prove the grammar, and the scanner of JSON reads numbers in half the time of int(). What is
        # left without digits does not tell whether one stood between CR and LF.
        if body.count(b"\r\n") != count or body.translate(None, b"0123456789") != b" \r\n" * count:
            return None
        if _TOO_LONG in body.translate(_ALIKE):
            return None
        from json import loads  # noqa: PLC0415 - who lists nothing need not wait for it

        try:
            pairs = iter(loads(body[:-2].translate(_TO_COMMAS, b"\r").join((b"[", b"]"))))
        except ValueError:  # a field is empty, or has a leading zero
            return None
        rows = dict(zip(pairs, pairs, strict=True))
        return None if 0 in rows else rows


@cache
def _unique_id_row(prefixed: bool, any_id: bool) -> re.Pattern[bytes]:  # noqa: FBT001 - two quirks
    prefix = r" *(?:\+OK +)?" if prefixed else " *"
    unique_id = r"[^ \r\n\0](?:[^\r\n\0]*[^ \r\n\0])?" if any_id else _UNIQUE_ID
    return re.compile(rf"{prefix}({_DIGITS}) +({unique_id}) *".encode())


class UniqueIdListing(Listing[UniqueId]):
    """What UIDL answers: message number to unique id (RFC 1939 section 7).

    Messages whose id could not be read, because it is longer than 70 octets for example, are not in the mapping:
    `complete` is then False, and `unreadable` has their rows, which `repr` shows. With `Quirk.UIDL_ANY_UNIQUE_ID` such
    ids are taken as they are.
    """

    __slots__ = ()

    _strict = re.compile(rf"(?:{_NUMBER} {_UNIQUE_ID}\r\n)*+".encode())
    _format = "%d %s\r\n"

    @classmethod
    @override
    def _row(cls, quirks: AbstractSet[Quirk]) -> re.Pattern[bytes]:
        return _unique_id_row(Quirk.UIDL_PREFIXED_ROWS in quirks, Quirk.UIDL_ANY_UNIQUE_ID in quirks)

    @property
    def shared(self) -> Mapping[UniqueId, tuple[int, ...]]:
        """The unique ids that more than one message has, with their numbers (RFC 1939 section 7 allows copies)."""
        if len(set(self.rows.values())) == len(self.rows):
            return {}
        numbers: dict[UniqueId, list[int]] = {}
        for number, unique_id in self.rows.items():
            numbers.setdefault(unique_id, []).append(number)
        return {unique_id: tuple(those) for unique_id, those in numbers.items() if len(those) > 1}

    @classmethod
    @override
    def _values(cls, fields: list[str]) -> list[UniqueId]:
        return cast("list[UniqueId]", fields)  # the pattern has checked them
