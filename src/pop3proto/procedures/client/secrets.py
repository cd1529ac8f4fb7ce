"""Secrets of a client's logins: some servers repeat them in what they say, and that is logged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from pop3proto.core.commands import (
    Apop,
    Auth,
    AuthList,
    Capa,
    List,
    ListOne,
    Noop,
    Pass,
    Quit,
    Retr,
    Stat,
    Stls,
    Top,
    Uidl,
    UidlOne,
    User,
)
from pop3proto.core.errors import forget_locals
from pop3proto.core.events import Answer, AuthCancel, AuthResponse, BodyChunk, Farewell
from pop3proto.core.replies import Err, Greeting, Ok, ResponseCode
from pop3proto.core.text import decode_text, encode_base64, encode_text
from pop3proto.sasl.credentials import Credentials, Password, Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.client import Request
    from pop3proto.core.command import Command
    from pop3proto.core.events import ClientEvent

__all__ = ["HARMLESS", "OF_LOGIN", "SECRETIVE", "SPOKEN", "Secrets"]

R = TypeVar("R", bound=Ok | Err)

SECRETIVE: Final[frozenset[type]] = frozenset({Pass, Apop, Auth, AuthResponse})
"""What may hold a secret."""

HARMLESS: Final[frozenset[type]] = frozenset({Stat, List, ListOne, Uidl, UidlOne, Retr, Top, Noop})
"""What holds no secret, and marks no message as deleted nor takes that back: most of what is sent."""

OF_LOGIN: Final[frozenset[type]] = SECRETIVE | {User, AuthCancel, AuthList, Capa, Stls, Quit}
"""What a client sends before it is logged in, and as the last. The text of a positive answer to it is for people."""

SPOKEN: Final = (Answer, Farewell, Greeting)
"""Events with a text for people."""

_LEAST: Final = 4  # octets
_LEAST_WORD: Final = 8  # of letters alone; a shorter one may stand in any text: the password "wrong", in "wrong name"
_LASTING: Final = 8  # a shorter one may be any number in a refusal after login: "no message 1234"
_MOST: Final = 64  # forms; a login has some fifteen
_LONGEST_LINE: Final = 8_192  # octets of a body that are kept back to see a line whole
_EXCERPT: Final = 60  # octets of `excerpt`
_FIELDS: Final = re.compile(rb"[\0\1]")  # PLAIN (RFC 4616), OAUTHBEARER (RFC 7628)
_CODES: Final = frozenset(
    {
        ResponseCode.LOGIN_DELAY,
        ResponseCode.IN_USE,
        ResponseCode.AUTH,
        ResponseCode.SYS,
        ResponseCode.SYS_TEMP,
        ResponseCode.SYS_PERM,
        ResponseCode.UTF8,
    }
)
_STARS: Final = "***"


class Secrets:
    """The secrets of a session's logins, to be hidden where the server repeats them.

    Each is hidden in several forms: as it is, in base64, with the escapes of JSON, and as part of the message in which
    it was sent. In a form of eight octets or more that are not letters alone it is hidden wherever it stands, else only
    as a whole word. Words of up to seven letters, and whatever has less than four octets, stay: they may be there by
    chance, and stars would give them away. Forms of less than eight octets are forgotten with the first command after
    the login. Until then the start of a secret is hidden as a secret of its length is; in quotes a short word, too.

    Attributes:
        known: there are secrets.
        fresh: a login is under way, or no other command has followed it yet.
    """

    def __init__(self) -> None:
        self.known: bool = False
        self.fresh: bool = False
        self._forms: dict[str, None] = {}  # in the order in which they came
        self._names: set[bytes] = set()  # of users: no secrets, though LOGIN sends them as it sends passwords
        self._line = b""  # the beginning of a line of a body, which observers are told once it is whole

    def keep(self, credentials: Credentials) -> None:
        """Note the secret of a login that begins: the server may know it even if only a digest of it is sent."""
        match credentials:
            case Password(user, secret) | Token(user, secret):
                self._names |= _encodings(user.encode("utf-8", "surrogatepass"))
                self._add(_forms(secret.encode("utf-8", "surrogatepass")))
            case _:
                pass

    def note(self, item: Request) -> None:
        """Note the secrets in what is sent."""
        match item:
            case Pass(password):
                self._add(_forms(encode_text(password)))
            case Apop(digest=digest):
                self._add([encode_text(digest)])
            case Auth(initial_response=bytes(data)) | AuthResponse(data):
                self._add(_forms(data))
            case _:
                pass

    def follow(self, item: Request) -> None:
        """Note what is sent: the secrets in it, or that the login is over."""
        if type(item) in SECRETIVE:
            self.note(item)
        elif self.fresh and type(item) not in OF_LOGIN:
            self.fade()

    def fade(self) -> None:
        """Forget what is too short to be hidden in the rest of the session: the login is over."""
        self.fresh = False
        self._set(form for form in self._forms if len(encode_text(form)) >= _LASTING)

    def _add(self, forms: Iterable[bytes]) -> None:
        self.fresh = True
        texts = [decode_text(form) for form in forms if form not in self._names]
        texts += [text.replace("/", r"\/") for text in texts if "/" in text]  # as JSON may have it
        self._set([*(form for form in self._forms if form not in texts), *texts][-_MOST:])

    def _set(self, forms: Iterable[str]) -> None:
        self._forms = dict.fromkeys(forms)
        self.known = bool(self._forms)

    # Where they are hidden.

    def hide(self, text: str) -> str:
        """Return a text of the server with `***` in place of each secret."""
        text = _without(text, self._forms, _WORD_BEGINS)
        if "\\" in text:
            text = _without_escaped(text, self._forms)
        return self._without_starts(text) if self.fresh else text

    def _without_starts(self, text: str) -> str:
        """Return a text without what may be the start of a secret that the server has cut."""
        octets = encode_text(text)
        for form in map(encode_text, self._forms):
            at = octets.find(form[:_LEAST])
            while at >= 0:
                end = at + _common(form, octets[at : at + len(form)])
                start = octets[at:end]
                named = any(len(name) >= len(start) and octets.startswith(name, at) for name in self._names)
                if not named and _is_start(start, octets[at - 1 : at] if at else b"", octets[end : end + 1]):
                    octets = octets[:at] + _STARS.encode() + octets[end:]
                at = octets.find(form[:_LEAST], at + 1)
        return decode_text(octets)

    def hide_in_error(self, text: str) -> str:
        """As `hide`, for the message of an error, which may quote the server with escapes, and cut what it quotes."""
        escaped = {_escaped(encode_text(form)) for form in self._forms}
        plain = text.replace(r"\'", "'")  # whether it is escaped depends on what stands before or behind a secret
        hidden = _without(plain, escaped | self._forms.keys(), _BEHIND_ESCAPES)
        for quote in reversed(list(_QUOTE.finditer(hidden))):
            hidden = self._without_start(hidden[: quote.start()]) + hidden[quote.start() :]
        return text if hidden == plain else hidden

    def _without_start(self, text: str) -> str:
        """Return a quoted text without the start of a secret at its end, where it may have been cut."""
        for octets in map(encode_text, self._forms):
            if text[-_LEAST:] not in _escaped(octets):
                continue
            for length in range(min(len(octets), _EXCERPT), _LEAST - 1, -1):
                if text.endswith(start := _escaped(octets[:length])):
                    return text.removesuffix(start) + _STARS
        return text

    def hide_in_raised(self, error: BaseException) -> None:
        """Hide them in the message of an error that was raised; clear its frames, which hold what it quotes."""
        if self.known:
            error.args = tuple(self.hide_in_error(each) if isinstance(each, str) else each for each in error.args)
            forget_locals(error)

    def hide_in(self, event: Answer | Farewell | Greeting) -> Answer | Farewell | Greeting:
        """Return an event without secrets in its text.

        A positive answer that is to be parsed stays as it is: "+OK 2 1234" to STAT.
        """
        if isinstance(event, Answer) and isinstance(event.reply, Ok) and type(event.command) not in OF_LOGIN:
            return event
        match event:
            case Answer(command, reply):
                return Answer(command, self._hide_in_reply(reply))
            case Greeting(reply):
                return Greeting(self._hide_in_reply(reply))
            case Farewell(reply):
                return Farewell(self._hide_in_reply(reply))

    def hide_in_answers(
        self, commands: Iterable[Command[object]], answers: Iterable[tuple[Ok | Err, bytes]]
    ) -> list[tuple[Ok | Err, bytes]]:
        """As `hide_in`, for answers that have come whole, the oldest command first."""
        return [
            (self._hide_in_reply(reply) if isinstance(reply, Err) or type(command) in OF_LOGIN else reply, body)
            for command, (reply, body) in zip(commands, answers, strict=False)
        ]

    def hide_in_capabilities(self, capabilities: Capabilities) -> Capabilities:
        """Return capabilities without secrets in their free texts. The others are keywords, and names of mechanisms."""
        if not self.known:
            return capabilities
        implementation, other = capabilities.implementation, tuple(map(self.hide, capabilities.other))
        implementation = None if implementation is None else self.hide(implementation)
        return attrs.evolve(capabilities, implementation=implementation, other=other)

    def _hide_in_reply(self, reply: R) -> R:
        message = reply.message if reply.code in _CODES else reply.text
        if (hidden := self.hide(message)) == message:
            return reply
        return type(reply)(reply.text.removesuffix(message) + hidden)

    def told(self, event: ClientEvent) -> Iterator[ClientEvent]:
        """Yield what observers are told of an event within a login: of bodies, lines without secrets."""
        if isinstance(event, BodyChunk):
            lines, end, self._line = (self._line + event.data).rpartition(b"\n")
            if len(self._line) > _LONGEST_LINE:
                lines, end, self._line = lines + end + self._line, b"", b""
            if lines or end:
                yield self._chunk(lines + end)
            return
        if self._line:
            yield self._chunk(self._line)
            self._line = b""
        yield event

    def _chunk(self, octets: bytes) -> BodyChunk:
        return BodyChunk(encode_text(self.hide(decode_text(octets))))


_QUOTE: Final = re.compile("['\"]")
_QUOTES: Final = frozenset(bytes([octet]) for octet in b"'\"`<>()[]{}")
_WORD_BEGINS: Final = r"(?<!\w)"
_JSON: Final = re.compile(  # each match is one character: a pair of surrogates, another escape, or itself
    r"""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\["\\/]|.""", re.DOTALL
)
_BEHIND_ESCAPES: Final = r"(?:(?<!\w)|(?<=\\x[0-9a-f]{2})|(?<=\\[nrt]))"


def _without(text: str, forms: Iterable[str], border: str) -> str:
    """Return a text without secrets.

    Args:
        text: of the server.
        forms: the secrets; the longest is hidden first.
        border: a pattern of what must be true where a whole word begins.
    """
    for form in sorted((form for form in forms if form in text), key=len, reverse=True):
        text = _pattern(form, border).sub(_STARS, text)
    return text


def _without_escaped(text: str, forms: Iterable[str]) -> str:
    """Return a text without secrets that have characters escaped as in JSON (RFC 8259 section 7)."""
    parts: list[str] = _JSON.findall(text)
    plain = "".join(map(_unescaped, parts))
    for form in sorted((form for form in forms if form in plain), key=len, reverse=True):
        for match in _pattern(form, _WORD_BEGINS).finditer(plain):
            length = len(form)
            parts[match.start() : match.end()] = [_STARS, *[""] * (length - 1)]
            plain = plain[: match.start()] + "\0" * length + plain[match.end() :]
    return "".join(parts)


def _unescaped(part: str) -> str:
    if len(part) == 1:
        return part
    return part[1] if part[1] != "u" else bytes.fromhex(part.replace("\\u", "")).decode("utf-16-be", "surrogatepass")


def _pattern(form: str, border: str) -> re.Pattern[str]:
    return re.compile(re.escape(form) if _is_strong(form) else rf"{border}{re.escape(form)}(?!\w)", re.ASCII)


def _common(one: bytes, other: bytes) -> int:
    """Return how many octets two byte strings have in common at their beginning."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other))


def _is_start(start: bytes, before: bytes, behind: bytes) -> bool:
    """Return whether this is hidden as the start of a secret, between these octets."""
    if len(start) >= _LEAST_WORD and not start.isalpha():
        return True
    whole = not re.match(rb"\w", before) and not re.match(rb"\w", behind)
    # Outside quotes a short word is one of the server's own.
    return whole and (_is_telling(start) or before in _QUOTES or behind in _QUOTES)


def _is_strong(form: str) -> bool:
    octets = encode_text(form)
    return len(octets) >= _LEAST_WORD and not octets.isalpha()


def _escaped(octets: bytes) -> str:
    return repr(octets)[2:-1].replace(r"\'", "'")


def _forms(data: bytes) -> set[bytes]:
    """Return in what forms a secret may be repeated: all of it, its last field, the last words of those; and base64."""
    fields = [field for field in _FIELDS.split(data) if field]
    secret = fields[-1:] if data.count(b"\0") else fields  # of PLAIN the password alone: a name may be shown
    plain = {data, *secret, *(field.rpartition(b" ")[2] for field in secret)}
    return {form for each in plain for form in _encodings(each) if _is_telling(form)}


def _encodings(octets: bytes) -> set[bytes]:
    encoded = encode_base64(octets)
    return {octets, encoded, encoded.rstrip(b"=")}


def _is_telling(form: bytes) -> bool:
    return len(form) >= (_LEAST_WORD if form.isalpha() else _LEAST)
