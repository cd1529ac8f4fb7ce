"""Other protocols, recognised by their first octets: a wrong port is the commonest mistake of all."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["looks_like"]

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
