"""The commands of the AUTHORIZATION state: RFC 1939, 2595 (STLS), 5034 (AUTH), 6856 (UTF8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Self

import attrs
from typing_extensions import override

from .command import Command, PlainCommand
from .errors import LocalProtocolError
from .limits import DEFAULT_LIMITS, NO_QUIRKS, Limits, Quirk
from .replies import Ok
from .states import BEFORE_LOGIN, Fact, State
from .text import (
    ascii_upper,
    check_text,
    decode_base64,
    decode_text,
    encode_base64,
    encode_text,
    is_mechanism,
    lines_of,
)

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


__all__ = ["Apop", "Auth", "AuthList", "Pass", "Stls", "User", "Utf8"]

_BLANK_AT_EDGE: Final = re.compile(r"\A | \Z")
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")  # MD5 in hexadecimal, RFC 1939 section 7


def _check_name(_command: object, _attribute: object, name: str) -> None:
    """Inner blanks are outside the grammar, but such names exist; at the edges they would be lost."""
    check_text(name, "a user name")
    if not name or _BLANK_AT_EDGE.search(name):
        raise LocalProtocolError("a user name must not be empty or have a blank at either end")


def _check_password(_command: object, _attribute: object, password: str) -> None:
    check_text(password, "a password")
    if not password:
        raise LocalProtocolError("a password must not be empty")


def _check_digest(_command: object, _attribute: object, digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise LocalProtocolError("a digest must have 32 hexadecimal digits")


def _check_mechanism(_command: object, _attribute: object, mechanism: str) -> None:
    if not is_mechanism(mechanism):
        raise LocalProtocolError("a mechanism has 1 to 20 upper-case letters, digits, hyphens and underscores")


def _lower(text: str) -> str:
    return text.lower()


@attrs.frozen
class User(PlainCommand):
    """USER, the first half of a login (RFC 1939 section 7). The server may accept names that it does not know.

    Args:
        name: the mailbox. UTF-8 only where the server announces `UTF8 USER` (RFC 6856 section 2.2).
    """

    verb = "USER"
    takes_arguments = True
    legal_in = frozenset({State.AUTHORIZATION, State.USER_GIVEN})  # a second USER replaces the first
    on_ok = State.USER_GIVEN
    on_err = State.AUTHORIZATION

    name: str = attrs.field(validator=_check_name)

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        return cls(decode_text(arguments))

    @override
    def encode(self) -> bytes:
        return self._line(encode_text(self.name))

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.name}"


@attrs.frozen
class Pass(PlainCommand):
    """PASS, the second half: legal directly after a positive USER only, and once (RFC 1939 section 7).

    Args:
        password: all that follows the first blank of the line, blanks included; not empty.
    """

    verb = "PASS"
    takes_arguments = True
    shows_secret = True
    trailing_blanks = True
    legal_in = frozenset({State.USER_GIVEN})
    barrier = True
    on_ok = State.TRANSACTION
    on_err = State.AUTHORIZATION

    password: str = attrs.field(repr=False, validator=_check_password)

    @override
    def redacted(self) -> Self:
        return attrs.evolve(self, password="***")  # noqa: S106 - none

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        return cls(decode_text(arguments))

    @override
    def encode(self) -> bytes:
        return self._line(encode_text(self.password))

    @override
    def __str__(self) -> str:
        return f"{self.verb} ***"


@attrs.frozen
class Apop(PlainCommand):
    """APOP, a login by digest (RFC 1939 section 7).

    Args:
        name: the mailbox.
        digest: MD5 of the greeting's timestamp and the shared secret, 32 hexadecimal digits, lower case.
    """

    verb = "APOP"
    takes_arguments = True
    legal_in = BEFORE_LOGIN
    barrier = True
    on_ok = State.TRANSACTION
    on_err = State.AUTHORIZATION

    name: str = attrs.field(validator=_check_name)
    digest: str = attrs.field(converter=_lower, repr=False, validator=_check_digest)

    @override
    def redacted(self) -> Self:
        return attrs.evolve(self, digest="0" * 32)

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        name, _, digest = decode_text(arguments).rpartition(" ")  # the last blank: names may hold some
        return cls(name, digest)

    @override
    def encode(self) -> bytes:
        return self._line(encode_text(f"{self.name} {self.digest}"))

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.name} ***"


@attrs.frozen
class Auth(PlainCommand):
    """AUTH, a login by SASL (RFC 5034 section 4). Challenges and responses may follow before the reply.

    Args:
        mechanism: its name, upper case.
        initial_response: octets, not base64. None is no initial response; empty is one, and travels as "=".
    """

    verb = "AUTH"
    takes_arguments = True
    challenged = True
    legal_in = BEFORE_LOGIN
    barrier = True
    on_ok = State.TRANSACTION
    on_err = State.AUTHORIZATION

    mechanism: str = attrs.field(converter=ascii_upper, validator=_check_mechanism)
    initial_response: bytes | None = attrs.field(default=None, repr=False)

    @override
    def redacted(self) -> Self:
        return self if self.initial_response is None else attrs.evolve(self, initial_response=b"")

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        mechanism, blank, encoded = arguments.partition(b" ")
        if not blank:
            return cls(decode_text(mechanism))
        initial_response = b"" if encoded == b"=" else decode_base64(encoded)
        if not encoded or initial_response is None:
            raise LocalProtocolError("the initial response is not base64")
        return cls(decode_text(mechanism), initial_response)

    @override
    def encode(self) -> bytes:
        if self.initial_response is None:
            return self._line(self.mechanism.encode())
        return self._line(self.mechanism.encode() + b" " + (encode_base64(self.initial_response) or b"="))

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.mechanism}" + ("" if self.initial_response is None else " ***")


@attrs.frozen
class AuthList(Command[tuple[str, ...]]):
    """AUTH alone: the mechanisms, one a line. No RFC has it; old clients ask, and most servers answer."""

    verb = "AUTH"
    multi_line = True
    legal_in = BEFORE_LOGIN
    barrier = True  # as AUTH: some servers lose what is behind it

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> tuple[str, ...]:
        """Return the names, upper case; lines that are none are left out."""
        names = (ascii_upper(decode_text(line).strip(" ")) for line in lines_of(body, limits.text_lines))
        return tuple(filter(is_mechanism, names))

    def answer(self, result: tuple[str, ...], text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that say this; the names are upper case."""
        for name in result:
            _check_mechanism(self, None, name)
        return Ok(text), "".join([f"{name}\r\n" for name in result]).encode()


@attrs.frozen
class Stls(PlainCommand):
    """STLS: the TLS handshake begins behind the CRLF of the positive reply (RFC 2595 section 4)."""

    verb = "STLS"
    legal_in = BEFORE_LOGIN
    excluded_by = frozenset({Fact.TLS, Fact.UTF8})  # RFC 6856 section 2.1: not after UTF8
    barrier = True
    on_ok = State.TLS_HANDSHAKE


@attrs.frozen
class Utf8(PlainCommand):
    """UTF8: from now on messages and listings may hold UTF-8 in their headers (RFC 6856 section 2)."""

    verb = "UTF8"
    legal_in = BEFORE_LOGIN
    barrier = True
    establishes = Fact.UTF8
