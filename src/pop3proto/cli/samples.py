"""Messages as mailboxes hold them, and those that break mail programs."""

from __future__ import annotations

import base64
from typing import Final

__all__ = ["SAMPLES"]


def _message(subject: str, body: bytes) -> bytes:
    return f"Subject: {subject}\n\n".encode() + body


def _attachment() -> bytes:
    """A message of some 200 KB, as programs make them."""
    octets = bytes(range(256)) * 580
    return (
        b"From: Ann <ann@example.org>\n"
        b"Subject: the photo\n"
        b"MIME-Version: 1.0\n"
        b"Content-Type: image/jpeg\n"
        b"Content-Transfer-Encoding: base64\n"
        b"\n" + base64.encodebytes(octets)
    )


SAMPLES: Final = (
    b"From: Bob <bob@example.org>\nTo: Ann <ann@example.org>\n\nLunch?\n",
    b".A dot before everything else\n\n.\n..profile\n",
    _message("replies that are none", b".\r\n+OK 320 octets\r\n-ERR no such message\r\nQUIT\r\n"),
    _message("line ends", b"one Internet\r\none CR\rone Unix\nand none at the end"),
    _message("octets", b"NUL \0, bell \a, \x1b[31mred\x1b[0m, Latin-1 caf\xe9, UTF-8 caf\xc3\xa9\n"),
    b"",
    _message("one long line", b"la" * 5_000 + b"\n"),
    _attachment(),
)
"""The messages, as they lie in a Maildir: line ends as they come."""
