"""What a server says: the greeting, `+OK`, `-ERR`, challenges; and the response codes in them."""

from __future__ import annotations

import re
from typing import ClassVar, Final, Self, final

import attrs
from typing_extensions import override

from .errors import LocalProtocolError
from .text import ascii_upper, check_text, decode_base64, decode_text, encode_base64, encode_text

__all__ = [
    "Challenge",
    "Err",
    "Greeting",
    "Ok",
    "Reply",
    "ResponseCode",
    "parse_challenge",
    "parse_reply",
]

# RFC 2449 section 3: a level is printable ASCII (and DEL) without "/" and "]"; a code stands at the very start.
_LEVEL: Final = r"[!-.0-\\^-\x7f]+"
_CODE: Final = re.compile(rf"\[({_LEVEL}(?:/{_LEVEL})*)\] ?")
# RFC 1939 section 7, APOP: an RFC 822 msg-id. Printable ASCII and one @ only: what else is in angle brackets is
# decoration, or an attack on MD5. Possessive, so that a million "<" take linear time.
_TIMESTAMP: Final = re.compile(r"<[!-;=?A-~]++@[!-;=?A-~]++>")


def _check_code(_code: object, _attribute: object, name: str) -> None:
    if not _CODE.fullmatch(f"[{name}]"):
        raise LocalProtocolError(f"{name!r} is no response code")


def _check_reply(_reply: object, _attribute: object, text: str) -> None:
    check_text(text, "the text of a reply")


@attrs.frozen
class ResponseCode:
    """An extended response code, `SYS/TEMP` say (RFC 2449 section 8, RFC 3206, RFC 6856 section 5).

    Codes are compared without case; `str(code)` is the name. The registered ones are attributes of the class.

    Args:
        name: the levels, from general to special, joined by "/".

    Raises:
        LocalProtocolError: the name does not follow the grammar of RFC 2449 section 3.
    """

    LOGIN_DELAY: ClassVar[ResponseCode]
    IN_USE: ClassVar[ResponseCode]
    AUTH: ClassVar[ResponseCode]
    SYS: ClassVar[ResponseCode]
    SYS_TEMP: ClassVar[ResponseCode]
    SYS_PERM: ClassVar[ResponseCode]
    UTF8: ClassVar[ResponseCode]

    name: str = attrs.field(converter=ascii_upper, validator=_check_code)

    @property
    def levels(self) -> tuple[str, ...]:
        """The parts of the name, the general one first."""
        return tuple(self.name.split("/"))

    def within(self, other: ResponseCode) -> bool:
        """Whether this is `other` or a special case of it: what a client does not know in detail, it reads as that."""
        return f"{self.name}/".startswith(f"{other.name}/")

    @override
    def __str__(self) -> str:
        return self.name


ResponseCode.LOGIN_DELAY = ResponseCode("LOGIN-DELAY")  # RFC 2449 section 8.1.1: the last login was too recent
ResponseCode.IN_USE = ResponseCode("IN-USE")  # RFC 2449 section 8.1.2: right password, but the maildrop is locked
ResponseCode.AUTH = ResponseCode("AUTH")  # RFC 3206 section 5: something is wrong with the credentials
ResponseCode.SYS = ResponseCode("SYS")  # RFC 3206 section 4: the system failed, not the user
ResponseCode.SYS_TEMP = ResponseCode("SYS/TEMP")  # ... and it may work later
ResponseCode.SYS_PERM = ResponseCode("SYS/PERM")  # ... and somebody has to mend it
ResponseCode.UTF8 = ResponseCode("UTF8")  # RFC 6856 section 5: the message needs UTF-8 mode


@attrs.frozen
class Reply:
    """A status line. Use `Ok` or `Err`.

    Args:
        text: what stands behind the indicator and one blank, a response code included.

    Raises:
        LocalProtocolError: the text cannot stand on one line.
    """

    _indicator: ClassVar[bytes]

    text: str = attrs.field(default="", validator=_check_reply)

    @classmethod
    def coded(cls, code: ResponseCode, text: str) -> Self:
        """Return a reply that carries a response code: `Err.coded(ResponseCode.IN_USE, "...")`."""
        return cls(f"[{code}] {text}" if text else f"[{code}]")

    @property
    def code(self) -> ResponseCode | None:
        """The response code at the start of the text; None if there is none, or it is malformed.

        Only a server that announces RESP-CODES promises that what looks like a code is one (RFC 2449 section 6.4).
        """
        match = _CODE.match(self.text)
        return ResponseCode(match[1]) if match else None

    @property
    def message(self) -> str:
        """The text for people: without the response code."""
        match = _CODE.match(self.text)
        return self.text[match.end() :] if match else self.text

    def encode(self) -> bytes:
        """Return the line with its CRLF."""
        return b"%b %b\r\n" % (self._indicator, encode_text(self.text)) if self.text else self._indicator + b"\r\n"

    def has(self, code: ResponseCode) -> bool:
        """Whether the reply carries this response code or a special case of it."""
        return (own := self.code) is not None and own.within(code)


@final
@attrs.frozen
class Ok(Reply):
    """A positive reply, `+OK` (RFC 1939 section 3)."""

    _indicator: ClassVar[bytes] = b"+OK"


@final
@attrs.frozen
class Err(Reply):
    """A negative reply, `-ERR` (RFC 1939 section 3)."""

    _indicator: ClassVar[bytes] = b"-ERR"


@attrs.frozen
class Greeting:
    """The one line that a server sends unasked (RFC 1939 section 4).

    Args:
        reply: `Ok`; or `Err`, by which a server refuses the session.
    """

    reply: Ok | Err

    @property
    def timestamp(self) -> str | None:
        """What APOP digests, angle brackets included (RFC 1939 section 7); None if the server offers no APOP."""
        match = _TIMESTAMP.search(self.reply.text)
        return match[0] if match and isinstance(self.reply, Ok) else None

    def encode(self) -> bytes:
        """Return the line with its CRLF."""
        return self.reply.encode()


@attrs.frozen
class Challenge:
    """A line of a SASL exchange from the server (RFC 5034 section 4).

    Args:
        data: the octets, not base64; empty is a challenge too.
    """

    data: bytes = attrs.field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Return the line with its CRLF. The blank is part of it, also where nothing follows."""
        return b"+ %b\r\n" % encode_base64(self.data)


_INDICATORS: Final[dict[bytes, type[Ok | Err]]] = {b"+OK": Ok, b"-ERR": Err}


def parse_reply(line: bytes) -> Ok | Err | None:
    """Return the reply of a status line without its CRLF; None if it is no status line.

    The indicator may have any case and the text may be missing (RFC 1957). `+OKAY` is no status.

    Raises:
        LocalProtocolError: the text holds CR, LF or NUL; the connection says whose fault that was.
    """
    indicator, _, text = line.partition(b" ")
    reply = _INDICATORS.get(indicator) or _INDICATORS.get(indicator.upper())
    return None if reply is None else reply(decode_text(text))


def parse_challenge(line: bytes) -> Challenge | None:
    """Return the challenge of a line that is `+` alone or begins with `+ `; None if the rest is not base64.

    `+` without the blank is what some servers send for an empty challenge.
    """
    data = decode_base64(line[2:])
    return None if data is None else Challenge(data)


_STRANGERS: Final = (
    (re.compile(rb"\* (?:OK|BYE|PREAUTH)\b", re.IGNORECASE), "IMAP"),
    (re.compile(rb"220[ -]"), "SMTP"),
    (re.compile(rb"HTTP/[0-9]"), "HTTP"),
    (re.compile(rb"SSH-[0-9]"), "SSH"),
    (re.compile(rb"[\x15\x16]\x03[\x00-\x04]"), "TLS"),
)


def looks_like(octets: bytes) -> str:
    """Return " (this looks like IMAP, not POP3)" for the first octets of an IMAP server, and so on; else ""."""
    for pattern, name in _STRANGERS:
        if pattern.match(octets):
            return f" (this looks like {name}, not POP3)"
    return ""
