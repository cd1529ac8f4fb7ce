"""What a server says that it can do (RFC 2449 section 5, and the registry that it opened)."""

from __future__ import annotations

import re
from typing import Any, Final, Self

import attrs

from .errors import LocalProtocolError
from .limits import DEFAULT_LIMITS
from .text import ascii_upper, check_text, decode_text, encode_text, is_mechanism, lines_of, numeric, read_number

__all__ = ["Capabilities", "Expire", "LoginDelay"]

_LINE_LIMIT: Final = 512  # octets with CRLF, RFC 2449 section 3
_TAGGED: Final = re.compile(r"[!-\-/-\x7f]+(?: |\Z)")  # a tag has no dot in it, RFC 2449 section 3

# Capabilities without parameters: the tag and the field that holds it.
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
    """How long a client must wait between two logins (RFC 2449 section 6.5).

    Args:
        seconds: the time.
        per_user: this is the longest of all users' times; after login the user's own is announced.
    """

    seconds: int = attrs.field(validator=numeric("a login delay", minimum=0))
    per_user: bool = False


@attrs.frozen
class Expire:
    """How long messages stay on the server (RFC 2449 section 6.7).

    Args:
        days: the least; None is NEVER; with 0, what was retrieved may vanish at QUIT.
        per_user: this is the shortest of all users' times; after login the user's own is announced.
    """

    days: int | None = attrs.field(validator=attrs.validators.optional(numeric("the days of EXPIRE", minimum=0)))
    per_user: bool = False


@attrs.frozen(kw_only=True)
class Capabilities:
    """The capabilities of a server, as values.

    `"X-TAG" in capabilities` asks for any tag, private ones included.

    Args:
        top: TOP works.
        user: USER and PASS work, perhaps not for all users.
        uidl: UIDL works.
        sasl: mechanisms of AUTH, upper case, in the server's order.
        resp_codes: a reply text that begins with "[" holds a response code.
        auth_resp_code: failed logins carry [AUTH] if the credentials were at fault (RFC 3206 section 6).
        pipelining: several commands may be sent before the first is answered.
        stls: STLS works, in this state (RFC 2595 section 4).
        lang: LANG works (RFC 6856 section 3.1).
        utf8: UTF8 works (RFC 6856 section 2).
        utf8_user: and names and passwords may be UTF-8 (RFC 6856 section 2.2); never without `utf8`.
        login_delay: the least time between logins.
        expire: the retention of messages.
        implementation: the name of the server's program.
        other: all lines that are not registered, repeat another, or are malformed (of a SASL line, the names that
            are well formed are in `sasl` all the same): as they came.
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
        """Return the lines of the listing, without line ends."""
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
        """Whether a tag is announced, in any case (RFC 2449 section 5)."""
        return ascii_upper(tag) in {ascii_upper(line.strip(" ").partition(" ")[0]) for line in self.lines()}

    def encode(self) -> bytes:
        """Return the body that a server sends, dots not stuffed.

        Raises:
            LocalProtocolError: it would not be read as it is meant: a line is too long, holds a line end or does not
                begin with a tag, a mechanism's name is none, or `other` repeats what a field says.
        """
        lines = self.lines()
        for line in lines:
            check_text(line, "a capability")
            if not _TAGGED.match(line):
                raise LocalProtocolError(f"the capability line {line!r} does not begin with a tag")
        octets = [encode_text(f"{line}\r\n") for line in lines]
        if any(len(line) > _LINE_LIMIT for line in octets):
            raise LocalProtocolError(f"a capability line has more than {_LINE_LIMIT} octets")
        body = b"".join(octets)
        if self.parse(body, lines=len(lines)) != self:
            raise LocalProtocolError("these capabilities would not be read as they are meant")
        return body

    @classmethod
    def parse(cls, body: bytes, *, lines: int = DEFAULT_LIMITS.text_lines) -> Self:
        """Return the capabilities that a body lists.

        Tags have any case and any order; blank lines and runs of blanks are passed over; of a tag that comes twice
        the first line counts, except that mechanisms are gathered.

        Args:
            body: CRLF lines, un-stuffed.
            lines: how many it may have.

        Raises:
            MalformedReply: it has more.
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


def _user(per_user: bool) -> str:  # noqa: FBT001 - a word that is there or not
    return " USER" if per_user else ""


def _read(tag: str, words: list[str], rest: str) -> dict[str, object]:
    """Return the fields that a line sets; none if it is not registered or malformed.

    Args:
        tag: upper case.
        words: the parameters, upper case.
        rest: the parameters as they came.
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
            # The rest of the line: programs have blanks in their names (RFC 5034 section 3 shows one).
            return {"implementation": rest}
        case _:
            return {}
