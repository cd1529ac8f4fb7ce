"""Server capabilities, parsed from and encoded to the answer to CAPA (RFC 2449 section 5 and its IANA registry)."""

from __future__ import annotations

import re
from typing import Any, Final, Self

import attrs

from .errors import LocalProtocolError
from .limits import DEFAULT_LIMITS
from .text import ascii_upper, check_text, decode_text, encode_text, is_mechanism, lines_of, numeric, read_number

__all__ = ["Capabilities", "Expire", "LoginDelay"]

_LINE_LIMIT: Final = 512  # octets with CRLF, RFC 2449 section 3
_TAGGED: Final = re.compile(r"[!-\-/-\x7f]+(?: |\Z)")  # no dot in a tag, RFC 2449 section 3

# Capabilities without parameters: tag and field name.
_FLAGS: Final = {
    "TOP": "top",
    "USER": "user",
    "UIDL": "uidl",
    "RESP-CODES": "resp_codes",
    "AUTH-RESP-CODE": "auth_resp_code",
    "PIPELINING": "pipelining",
    "STLS": "stls",
    "LANG": "lang",
}


@attrs.frozen
class LoginDelay:
    """Minimum time between two logins (RFC 2449 section 6.5).

    Args:
        seconds: the minimum, at least 0.
        per_user: the minimum differs by user; before login this is the largest, after login the user's own.
    """

    seconds: int = attrs.field(validator=numeric("a login delay", minimum=0))
    per_user: bool = False


@attrs.frozen
class Expire:
    """How long messages stay on the server (RFC 2449 section 6.7).

    Args:
        days: the minimum. None means NEVER (messages are kept); 0 means that retrieved messages may be removed at QUIT.
        per_user: the minimum differs by user; before login this is the smallest, after login the user's own.
    """

    days: int | None = attrs.field(
        validator=attrs.validators.optional(numeric("the number of days of EXPIRE", minimum=0))
    )
    per_user: bool = False


@attrs.frozen(kw_only=True)
class Capabilities:
    r"""The capabilities that a server announces.

    `tag in capabilities` works for every tag, private ones included, in any case::

        capabilities = Capabilities.parse(b"TOP\r\nSASL PLAIN\r\nX-FAST\r\n")
        assert capabilities.sasl == ("PLAIN",)
        assert "x-fast" in capabilities

    Args:
        top: TOP is supported.
        user: USER and PASS are supported, perhaps not for every user.
        uidl: UIDL is supported.
        sasl: SASL mechanisms for AUTH, upper case, in the server's order.
        resp_codes: a reply text that begins with "[" contains a response code.
        auth_resp_code: failed logins carry [AUTH] if the credentials were the cause (RFC 3206 section 6).
        pipelining: several commands may be sent before the first is answered.
        stls: STLS is supported and legal in this state (RFC 2595 section 4).
        lang: LANG is supported (RFC 6856 section 3.1).
        utf8: UTF8 is supported (RFC 6856 section 2).
        utf8_user: names and passwords may be UTF-8 (RFC 6856 section 2.2); requires `utf8`.
        login_delay: the minimum time between logins.
        expire: how long messages are kept.
        implementation: name and version of the server software.
        other: lines that are unknown, malformed or repeat an earlier tag, unchanged. Valid names on a malformed SASL
            line are in `sasl` as well.
    """

    top: bool = False
    user: bool = False
    uidl: bool = False
    sasl: tuple[str, ...] = ()
    resp_codes: bool = False
    auth_resp_code: bool = False
    pipelining: bool = False
    stls: bool = False
    lang: bool = False
    utf8: bool = False
    utf8_user: bool = False
    login_delay: LoginDelay | None = None
    expire: Expire | None = None
    implementation: str | None = None
    other: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the lines of the answer to CAPA, without CRLF."""
        lines = [tag for tag, field in _FLAGS.items() if getattr(self, field)]
        if self.sasl:
            lines.append(" ".join(("SASL", *self.sasl)))
        if self.utf8:
            lines.append("UTF8 USER" if self.utf8_user else "UTF8")
        if (delay := self.login_delay) is not None:
            lines.append(f"LOGIN-DELAY {delay.seconds}{_user(delay.per_user)}")
        if (expire := self.expire) is not None:
            days = "NEVER" if expire.days is None else expire.days
            lines.append(f"EXPIRE {days}{_user(expire.per_user)}")
        if self.implementation is not None:
            lines.append(f"IMPLEMENTATION {self.implementation}")
        return [*lines, *self.other]

    def __contains__(self, tag: str) -> bool:
        """Whether a tag is announced; case does not matter (RFC 2449 section 5)."""
        return ascii_upper(tag) in {ascii_upper(line.strip(" ").partition(" ")[0]) for line in self.lines()}

    def encode(self) -> bytes:
        """Return the body that a server sends: CRLF lines, not dot-stuffed.

        Raises:
            LocalProtocolError: parsing the body would not give these capabilities back: a line is too long, contains
                a line end or does not begin with a tag; a mechanism name is invalid; or `other` repeats a field.
        """
        lines = self.lines()
        for line in lines:
            check_text(line, "a capability line")
            if not _TAGGED.match(line):
                raise LocalProtocolError(f"the capability line {line!r} does not begin with a tag")
        octets = [encode_text(f"{line}\r\n") for line in lines]
        if any(len(line) > _LINE_LIMIT for line in octets):
            raise LocalProtocolError(f"a capability line is longer than {_LINE_LIMIT} octets")
        body = b"".join(octets)
        if self.parse(body, lines=len(lines)) != self:
            raise LocalProtocolError("these capabilities are not valid: a client would parse other values from them")
        return body

    @classmethod
    def parse(cls, body: bytes, *, lines: int = DEFAULT_LIMITS.text_lines) -> Self:
        """Parse the body of the answer to CAPA.

        Tags may have any case and order. Empty lines and repeated spaces are ignored. If a tag is repeated, the first
        line counts; the mechanisms of all SASL lines are combined.

        Args:
            body: CRLF lines, un-stuffed.
            lines: the maximum number of lines.

        Raises:
            MalformedReply: there are more than `lines` lines.
        """
        fields: dict[str, Any] = {}
        sasl: list[str] = []
        other: list[str] = []
        for line in map(decode_text, lines_of(body, lines)):
            tag, _, rest = line.strip(" ").partition(" ")
            tag, words = ascii_upper(tag), [ascii_upper(word) for word in rest.split(" ") if word]
            if tag == "SASL" and words:
                names = list(filter(is_mechanism, words))
                sasl += names
                understood = names == words
            else:
                found = _read(tag, words, rest.strip(" "))
                understood = bool(found) and not found.keys() & fields.keys()
                if understood:
                    fields |= found
            if tag and not understood:
                other.append(line)
        return cls(sasl=tuple(dict.fromkeys(sasl)), other=tuple(other), **fields)


def _user(per_user: bool) -> str:  # noqa: FBT001 - a flag that becomes a word
    return " USER" if per_user else ""


def _read(tag: str, words: list[str], rest: str) -> dict[str, object]:
    """Return the fields that a line sets; empty if the tag is unknown or the line malformed.

    Args:
        tag: upper case.
        words: the parameters, upper case.
        rest: the parameters, unchanged.
    """
    match tag, words:
        case _, [] if tag in _FLAGS:
            return {_FLAGS[tag]: True}
        case "UTF8", []:
            return {"utf8": True}
        case "UTF8", ["USER"]:
            return {"utf8": True, "utf8_user": True}
        case "LOGIN-DELAY", [number, *user] if user in ([], ["USER"]):
            seconds = read_number(number.encode("utf-8", "replace"))
            return {} if seconds is None else {"login_delay": LoginDelay(seconds, bool(user))}
        case "EXPIRE", [number, *user] if user in ([], ["USER"]):
            days = read_number(number.encode("utf-8", "replace"))
            return {"expire": Expire(days, bool(user))} if days is not None or number == "NEVER" else {}
        case "IMPLEMENTATION", [_, *_]:
            # The rest of the line: names of programs contain spaces (RFC 5034 section 3 has an example).
            return {"implementation": rest}
        case _:
            return {}
