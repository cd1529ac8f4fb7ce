"""Replies of a server: greeting, `+OK`, `-ERR`, SASL challenges, and response codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, Self, final

import attrs
from typing_extensions import override

from .errors import LocalProtocolError
from .text import ascii_upper, check_text, decode_base64, encode_base64, encode_text

if TYPE_CHECKING:
    from collections.abc import Callable

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

# RFC 2449 section 3: a level is printable ASCII (and DEL) without "/" and "]"; a code is only valid at the start.
_LEVEL: Final = r"[!-.0-\\^-\x7f]+"
_CODE: Final = re.compile(rf"\[({_LEVEL}(?:/{_LEVEL})*)\] ?")
# RFC 1939 section 7, APOP: an RFC 822 msg-id. Only printable ASCII with one "@": anything else in angle brackets is
# ordinary text, or an attack on MD5. Possessive quantifiers, so that a million "<" take linear time.
_TIMESTAMP: Final = re.compile(r"<[!-;=?A-~]++@[!-;=?A-~]++>")


def _check_code(_code: object, _attribute: object, name: str) -> None:
    if not _CODE.fullmatch(f"[{name}]"):
        raise LocalProtocolError(f"{name!r} is not a valid response code")


def _check_reply(_reply: object, _attribute: object, text: str) -> None:
    check_text(text, "the text of a reply")


@attrs.frozen
class ResponseCode:
    """An extended response code such as `SYS/TEMP` (RFC 2449 section 8, RFC 3206, RFC 6856 section 5).

    Case does not matter; `str(code)` is the name. The registered codes are attributes of this class.

    Args:
        name: the levels, from general to specific, joined by "/"; made upper case.

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
        """The parts of the name, the most general first."""
        return tuple(self.name.split("/"))

    def within(self, other: ResponseCode) -> bool:
        """Whether this code is `other` or more specific: `SYS/TEMP` is within `SYS`.

        A client treats a code that it does not know like the more general one.
        """
        return f"{self.name}/".startswith(f"{other.name}/")

    @override
    def __str__(self) -> str:
        return self.name


ResponseCode.LOGIN_DELAY = ResponseCode("LOGIN-DELAY")  # RFC 2449 section 8.1.1: the last login was too recent
ResponseCode.IN_USE = ResponseCode("IN-USE")  # RFC 2449 section 8.1.2: password accepted, but the maildrop is locked
ResponseCode.AUTH = ResponseCode("AUTH")  # RFC 3206 section 5: a problem with the credentials
ResponseCode.SYS = ResponseCode("SYS")  # RFC 3206 section 4: a system failure, not a user error
ResponseCode.SYS_TEMP = ResponseCode("SYS/TEMP")  # ... which is temporary: try again later
ResponseCode.SYS_PERM = ResponseCode("SYS/PERM")  # ... which is permanent until an administrator acts
ResponseCode.UTF8 = ResponseCode("UTF8")  # RFC 6856 section 5: the message requires UTF-8 mode


# What servers without response codes say, in English, from the most certain guess to the least.
_GUESSES: Final = (
    (re.compile(r"\block(?:ed)?\b|\bin use\b|already (?:open|logged|in session)", re.IGNORECASE), ResponseCode.IN_USE),
    (re.compile(r"\btoo (?:many|often|frequent)|login delay|\bwait\b", re.IGNORECASE), ResponseCode.LOGIN_DELAY),
    (re.compile(r"try (?:again|later)|temporar|unavailable|\bbusy\b", re.IGNORECASE), ResponseCode.SYS_TEMP),
)


@attrs.frozen
class Reply:
    """A status line. Use `Ok` or `Err`.

    Args:
        text: the line after the indicator and one space, including a response code.

    Raises:
        LocalProtocolError: the text contains CR, LF or NUL, or cannot be encoded.
    """

    _indicator: ClassVar[bytes]

    text: str = attrs.field(default="", validator=_check_reply)

    @classmethod
    def coded(cls, code: ResponseCode, text: str) -> Self:
        """Return a reply with a response code: `Err.coded(ResponseCode.IN_USE, "maildrop locked")`."""
        return cls(f"[{code}] {text}" if text else f"[{code}]")

    @property
    def code(self) -> ResponseCode | None:
        """The response code at the start of the text; None if it is missing or malformed.

        Text in brackets is only certain to be a response code if the server announces RESP-CODES (RFC 2449 section
        6.4).
        """
        match = _CODE.match(self.text)
        return ResponseCode(match[1]) if match else None

    @property
    def guessed_code(self) -> ResponseCode | None:
        """The response code that the words of a text without one suggest; None if there is a code, or no guess.

        It is for a hint to people ("try again later"): words differ by server and language, so decide nothing by it.
        """
        if self.code is not None:
            return None
        return next((code for words, code in _GUESSES if words.search(self.text)), None)

    @property
    def message(self) -> str:
        """The human-readable text: without the response code."""
        match = _CODE.match(self.text)
        return self.text[match.end() :] if match else self.text

    def encode(self) -> bytes:
        """Return the line with its CRLF."""
        return b"%b %b\r\n" % (self._indicator, encode_text(self.text)) if self.text else self._indicator + b"\r\n"

    def has(self, code: ResponseCode) -> bool:
        """Whether the reply has this response code or a more specific one."""
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
    """The greeting: the line that a server sends first (RFC 1939 section 4).

    Args:
        reply: `Ok`; or `Err`, if the server refuses the session.
    """

    reply: Ok | Err

    @property
    def timestamp(self) -> str | None:
        """The timestamp for APOP, with angle brackets (RFC 1939 section 7); None if APOP is not offered."""
        match = _TIMESTAMP.search(self.reply.text)
        return match[0] if match and isinstance(self.reply, Ok) else None

    def encode(self) -> bytes:
        """Return the line with its CRLF."""
        return self.reply.encode()


@attrs.frozen
class Challenge:
    """A SASL challenge from the server (RFC 5034 section 4).

    Args:
        data: raw octets, not base64; may be empty.
    """

    data: bytes = attrs.field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Return the line with its CRLF. The space after "+" is required even if `data` is empty."""
        return b"+ %b\r\n" % encode_base64(self.data)


_INDICATORS: Final[dict[bytes, type[Ok | Err]]] = {b"+OK": Ok, b"-ERR": Err}
_new: Final[Callable[[type[Ok | Err]], Ok | Err]] = object.__new__
_set_text: Final[Callable[[Reply, str], None]] = vars(Reply)["text"].__set__


def parse_reply(line: bytes) -> Ok | Err | None:
    """Parse a status line without its CRLF; None if it is not a status line.

    The indicator may have any case, and the text may be missing (RFC 1957). `+OKAY` is not a status line.

    Raises:
        LocalProtocolError: the text contains CR, LF or NUL. The connection turns this into a `RemoteProtocolError`.
    """
    indicator, _, text = line.partition(b" ")
    reply = _INDICATORS.get(indicator) or _INDICATORS.get(indicator.upper())
    if reply is None:
        return None
    decoded = text.decode("utf-8", "surrogateescape")
    if not decoded.isprintable():
        return reply(decoded)
    # The constructor would check it again, and take four times as long.
    made = _new(reply)
    _set_text(made, decoded)
    return made


def parse_challenge(line: bytes) -> Challenge | None:
    """Parse a line that is `+` or begins with `+ `; None if the rest is not valid base64.

    Some servers send `+` without the space for an empty challenge.
    """
    data = decode_base64(line[2:])
    return None if data is None else Challenge(data)


IMPLICIT_TLS: Final = "use implicit TLS"
"""The advice where a server waits for TLS. `pop3proto fetch` says it in other words."""

_OTHER_PROTOCOLS: Final = (
    (re.compile(rb"\* (?:OK|BYE|PREAUTH)\b", re.IGNORECASE), "IMAP"),
    (re.compile(rb"220[ -](?!.*SMTP).*F(?:TP|ileZilla)", re.IGNORECASE), "FTP"),
    (re.compile(rb"220[ -]"), "SMTP"),
    (re.compile(rb"HTTP/[0-9]"), "HTTP"),
    (re.compile(rb"SSH-[0-9]"), "SSH"),
    (re.compile(rb"[\x15\x16]\x03[\x00-\x04]"), "TLS"),
)


def looks_like(octets: bytes) -> str:
    """Name the protocol that the first octets of a server belong to, if it is a known one and not POP3.

    Returns:
        Text to append to an error message, such as " (this looks like IMAP, not POP3)"; or "".
    """
    for pattern, name in _OTHER_PROTOCOLS:
        if pattern.match(octets):
            remedy = f"; {IMPLICIT_TLS} on this port" if name == "TLS" else ""
            return f" (this looks like {name}, not POP3{remedy})"
    return ""
