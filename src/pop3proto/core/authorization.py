"""Commands of the AUTHORIZATION state: RFC 1939, 2595 (STLS), 5034 (AUTH), 6856 (UTF8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, Self

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

_SPACE_AT_END: Final = re.compile(r"\A | \Z")
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")  # MD5 in hexadecimal, RFC 1939 section 7


def _check_name(_command: object, _attribute: object, name: str) -> None:
    """Check a user name: no space at either end, where it would be lost.

    Spaces inside are outside the grammar of RFC 1939, but such names exist.
    """
    check_text(name, "a user name")
    if not name or _SPACE_AT_END.search(name):
        raise LocalProtocolError("a user name must not be empty, or begin or end with a space")


def _check_password(_command: object, _attribute: object, password: str) -> None:
    check_text(password, "a password")
    if not password:
        raise LocalProtocolError("a password must not be empty")


def _check_digest(_command: object, _attribute: object, digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise LocalProtocolError("an APOP digest must be 32 hexadecimal digits")


def _check_mechanism(_command: object, _attribute: object, mechanism: str) -> None:
    if not is_mechanism(mechanism):
        raise LocalProtocolError("a mechanism name must be 1 to 20 upper-case letters, digits, hyphens or underscores")


def _lower(text: str) -> str:
    return text.lower()


@attrs.frozen
class User(PlainCommand):
    """USER: the first half of a login (RFC 1939 section 7). Servers may answer `+OK` to unknown names.

    Args:
        name: the mailbox. Non-ASCII only if the server announces `UTF8 USER` (RFC 6856 section 2.2).
    """

    verb = "USER"
    takes_arguments = True
    # A second USER replaces the first.
    legal_in: ClassVar[frozenset[State]] = frozenset({State.AUTHORIZATION, State.USER_GIVEN})
    on_ok: ClassVar[State | None] = State.USER_GIVEN
    on_err: ClassVar[State | None] = State.AUTHORIZATION

    name: str = attrs.field(validator=_check_name)

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        """Parse the arguments of a command line: the mailbox."""
        return cls(decode_text(arguments))

    @override
    def encode(self) -> bytes:
        """Return the command line, with the mailbox in UTF-8, and its CRLF."""
        return self._line(encode_text(self.name))

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.name}"


@attrs.frozen
class Pass(PlainCommand):
    """PASS: the second half of a login; legal once, directly after a positive USER (RFC 1939 section 7).

    Args:
        password: everything after the first space of the line, further spaces included; not empty.
    """

    verb = "PASS"
    takes_arguments = True
    shows_secret = True
    trailing_blanks = True
    legal_in: ClassVar[frozenset[State]] = frozenset({State.USER_GIVEN})
    barrier = True
    on_ok: ClassVar[State | None] = State.TRANSACTION
    on_err: ClassVar[State | None] = State.AUTHORIZATION

    password: str = attrs.field(repr=False, validator=_check_password)

    @override
    def redacted(self) -> Self:
        """Return the command with `***` in place of the password."""
        return attrs.evolve(self, password="***")  # noqa: S106 - a placeholder

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        """Parse the arguments of a command line: the password, spaces included."""
        return cls(decode_text(arguments))

    @override
    def encode(self) -> bytes:
        """Return the command line, with the password in UTF-8, and its CRLF."""
        return self._line(encode_text(self.password))

    @override
    def __str__(self) -> str:
        return f"{self.verb} ***"


@attrs.frozen
class Apop(PlainCommand):
    """APOP: a login by MD5 digest (RFC 1939 section 7).

    Args:
        name: the mailbox.
        digest: MD5 of the greeting's timestamp and the shared secret; 32 hexadecimal digits, made lower case.
    """

    verb = "APOP"
    takes_arguments = True
    legal_in = BEFORE_LOGIN
    barrier = True
    on_ok: ClassVar[State | None] = State.TRANSACTION
    on_err: ClassVar[State | None] = State.AUTHORIZATION

    name: str = attrs.field(validator=_check_name)
    digest: str = attrs.field(converter=_lower, repr=False, validator=_check_digest)

    @override
    def redacted(self) -> Self:
        """Return the command with zeros in place of the digest."""
        return attrs.evolve(self, digest="0" * 32)

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        """Parse the arguments of a command line: the mailbox, and after the last space the digest."""
        name, _, digest = decode_text(arguments).rpartition(" ")  # at the last space: names may contain spaces
        return cls(name, digest)

    @override
    def encode(self) -> bytes:
        """Return the command line, with the mailbox in UTF-8, and its CRLF."""
        return self._line(encode_text(f"{self.name} {self.digest}"))

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.name} ***"


@attrs.frozen
class Auth(PlainCommand):
    """AUTH: a login by SASL (RFC 5034 section 4). Challenges and responses may come before the reply.

    Args:
        mechanism: the name of the SASL mechanism, made upper case.
        initial_response: raw octets, not base64. None sends no initial response; b"" sends an empty one, which is
            written "=".
    """

    verb = "AUTH"
    takes_arguments = True
    challenged = True
    legal_in = BEFORE_LOGIN
    barrier = True
    on_ok: ClassVar[State | None] = State.TRANSACTION
    on_err: ClassVar[State | None] = State.AUTHORIZATION

    mechanism: str = attrs.field(converter=ascii_upper, validator=_check_mechanism)
    initial_response: bytes | None = attrs.field(default=None, repr=False)

    @override
    def redacted(self) -> Self:
        """Return the command with an empty initial response in place of one that it has."""
        return self if self.initial_response is None else attrs.evolve(self, initial_response=b"")

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        """Parse the arguments of a command line: the mechanism and the initial response, if any, in base64."""
        mechanism, blank, encoded = arguments.partition(b" ")
        if not blank:
            return cls(decode_text(mechanism))
        initial_response = b"" if encoded == b"=" else decode_base64(encoded)
        if not encoded or initial_response is None:
            raise LocalProtocolError("the initial response of AUTH is not valid base64")
        return cls(decode_text(mechanism), initial_response)

    @override
    def encode(self) -> bytes:
        """Return the command line, with the initial response in base64, and its CRLF."""
        if self.initial_response is None:
            return self._line(self.mechanism.encode())
        return self._line(self.mechanism.encode() + b" " + (encode_base64(self.initial_response) or b"="))

    @override
    def __str__(self) -> str:
        return f"{self.verb} {self.mechanism}" + ("" if self.initial_response is None else " ***")


@attrs.frozen
class AuthList(Command[tuple[str, ...]]):
    """AUTH without arguments: lists the SASL mechanisms, one per line.

    It is in no RFC, but old clients send it and most servers answer it.
    """

    verb = "AUTH"
    multi_line = True
    short_body = True
    legal_in = BEFORE_LOGIN
    barrier = True  # like AUTH: some servers drop what is pipelined behind it

    @override
    def parse(
        self, reply: Ok, body: bytes = b"", *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS
    ) -> tuple[str, ...]:
        """Return the mechanism names, upper case; lines that are not valid names are skipped."""
        names = (ascii_upper(decode_text(line).strip(" ")) for line in lines_of(body, limits.text_lines))
        return tuple(filter(is_mechanism, names))

    def answer(self, result: tuple[str, ...], text: str = "") -> tuple[Ok, bytes]:
        """Return the reply and body that list these mechanisms.

        Raises:
            LocalProtocolError: a name is not a valid mechanism name in upper case.
        """
        for name in result:
            _check_mechanism(self, None, name)
        return Ok(text), "".join([f"{name}\r\n" for name in result]).encode()


@attrs.frozen
class Stls(PlainCommand):
    """STLS: the TLS handshake starts right after the CRLF of the positive reply (RFC 2595 section 4)."""

    verb = "STLS"
    legal_in = BEFORE_LOGIN
    excluded_by: ClassVar[frozenset[Fact]] = frozenset({Fact.TLS, Fact.UTF8})  # RFC 6856 section 2.1: not after UTF8
    barrier = True
    on_ok: ClassVar[State | None] = State.TLS_HANDSHAKE


@attrs.frozen
class Utf8(PlainCommand):
    """UTF8: switches to UTF-8 mode, in which headers and listings may contain UTF-8 (RFC 6856 section 2)."""

    verb = "UTF8"
    legal_in = BEFORE_LOGIN
    barrier = True
    establishes: ClassVar[Fact | None] = Fact.UTF8
