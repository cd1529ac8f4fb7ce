"""Secrets that a client has just sent: some servers repeat them in the text of an answer, and texts are logged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pop3proto.core.commands import Apop, Auth, List, ListOne, Noop, Pass, Retr, Stat, Top, Uidl, UidlOne
from pop3proto.core.events import AuthCancel, AuthResponse
from pop3proto.core.text import decode_text, encode_base64, encode_text

if TYPE_CHECKING:
    from pop3proto.core.client import Request
    from pop3proto.core.replies import Err, Ok

__all__ = ["HARMLESS", "reply_without", "secrets_of", "without"]

HARMLESS: Final[frozenset[type]] = frozenset({Stat, List, ListOne, Uidl, UidlOne, Retr, Top, Noop})
"""What holds no secret, and marks no message as deleted nor takes that back: most of what is sent."""

_LEAST: Final = 4  # octets
_LEAST_LETTERS: Final = 8  # a shorter word may stand in any text: "wrong name", of one whose password is "wrong"
_FIELDS: Final = re.compile(rb"[\0\1]")  # PLAIN (RFC 4616), OAUTHBEARER (RFC 7628)


def secrets_of(item: Request, before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the secrets that the server knows from a login, once it has this item of it.

    Args:
        item: what is sent.
        before: the secrets of what was sent before it.
    """
    match item:
        case Pass(password):
            return _forms(encode_text(password))
        case Apop(digest=digest):
            return (digest,)
        case Auth(initial_response=bytes(data)):
            return _forms(data)
        case AuthResponse(data):
            return (*before, *_forms(data))
        case AuthCancel():
            return before
        case _:
            return ()


def _forms(data: bytes) -> tuple[str, ...]:
    """Return in what forms a secret may be repeated: all of it, its last field, the last words of those; and base64."""
    fields = [field for field in _FIELDS.split(data) if field]
    secret = fields[-1:] if data.count(b"\0") else fields  # of PLAIN the password alone: a name may be shown
    plain = {data, *secret, *(field.rpartition(b" ")[2] for field in secret)}
    forms = {decode_text(form) for each in plain for form in (each, encode_base64(each)) if _is_telling(form)}
    return tuple(sorted(forms, key=len, reverse=True))


def _is_telling(form: bytes) -> bool:
    return len(form) >= (_LEAST_LETTERS if form.isalpha() else _LEAST)


def without(text: str, secrets: tuple[str, ...]) -> str:
    """Return a text with `***` in place of each secret that is a word of it, or several."""
    for secret in secrets:
        if secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text


def reply_without(reply: Ok | Err, secrets: tuple[str, ...]) -> Ok | Err:
    """Return a reply whose message has no secrets; its response code stays."""
    message = reply.message
    if (masked := without(message, secrets)) == message:
        return reply
    return type(reply)(reply.text.removesuffix(message) + masked)
