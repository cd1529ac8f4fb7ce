"""The octets of a message as a client gets them: how many, and their SHA-256."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from pop3proto.core.dots import BodyDecoder, BodyEncoder

if TYPE_CHECKING:
    from pop3proto.procedures.maildrop import ReadableFile

__all__ = ["WireDigest", "wire_digest"]

_CHUNK: Final = 1 << 18


class WireDigest:
    """Counts and digests a message as RETR sends it: line ends are CRLF, dots are not stuffed.

    Two files of one message, one with LF and one with CRLF, have the same digest.
    """

    def __init__(self) -> None:
        self._encoder = BodyEncoder()
        self._decoder = BodyDecoder()
        self._hash = hashlib.sha256()

    def feed(self, octets: bytes) -> None:
        """Add octets as they are in the file."""
        self._hash.update(self._decoder.feed(self._encoder.feed(octets)))

    def finish(self) -> tuple[int, str]:
        """Return the number of octets on the wire, and their SHA-256 in hex."""
        self._hash.update(self._decoder.feed(self._encoder.finish()))
        return self._encoder.octets, self._hash.hexdigest()


def wire_digest(source: ReadableFile) -> tuple[int, str]:
    """Return what `WireDigest.finish` does, of a message that is read to its end.

    Raises:
        OSError: it cannot be read.
    """
    digest = WireDigest()
    while octets := source.read(_CHUNK):
        digest.feed(octets)
    return digest.finish()
