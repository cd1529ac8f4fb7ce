"""Hides a secret in what a server says: it may repeat it anywhere, in many forms."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from pop3proto.core.text import visible
from pop3proto.sasl.credentials import Password, Token

if TYPE_CHECKING:
    from pop3proto.sasl.credentials import Credentials

__all__ = ["MASK", "Secrets"]

MASK: Final = "***"
_LEAST: Final = 4
"""Characters of base64 that count as part of a secret: fewer may be anything."""


class Secrets:
    """Hides a password or a token, in the forms in which a server may repeat it.

    Args:
        credentials: what has the secret; None: there is none. An empty one hides nothing.
        encoding: in which a password may have been sent, beside UTF-8.
    """

    def __init__(self, credentials: Credentials | None, encoding: str | None = None) -> None:
        forms: set[bytes] = set()
        match credentials:
            case Password(password=secret) | Token(token=secret):
                forms |= _forms(secret.encode("utf-8", "surrogateescape"))
                if encoding is not None:
                    forms |= _forms(secret.encode(encoding, "replace"))
            case _:
                pass
        self._forms: Final = sorted(forms, key=len, reverse=True)
        texts = {text for form in forms for text in _texts(form)}
        self._texts: Final = sorted(texts, key=len, reverse=True)

    def hidden_in(self, octets: bytes) -> bytes:
        """Return octets with a mask in place of the secret."""
        for form in self._forms:
            octets = octets.replace(form, MASK.encode())
        return octets

    def masked(self, text: str) -> str:
        """Return a text with a mask in place of the secret, also where it is escaped."""
        for each in self._texts:
            text = text.replace(each, MASK)
        return text


def _forms(secret: bytes) -> set[bytes]:
    forms = {secret, secret.strip(), base64.b64encode(secret)}
    for before in range(3):  # base64 of a text that has it anywhere: three ways, as three octets make four characters
        encoded = base64.b64encode(bytes(before) + secret)
        whole = encoded[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]
        if len(whole) >= _LEAST:
            forms.add(whole)
    return forms - {b""}


def _texts(form: bytes) -> set[str]:
    """Return how octets may stand in a text: decoded, or escaped in one of several ways."""
    decoded = {
        form.decode("utf-8", "surrogateescape"),  # as capabilities have it
        form.decode("utf-8", "backslashreplace"),
        form.decode("latin-1"),
    }
    return decoded | {*map(visible, decoded), *(ascii(text)[1:-1] for text in decoded), repr(form)[2:-1]}
