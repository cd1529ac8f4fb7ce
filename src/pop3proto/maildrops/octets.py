"""How many octets a message is worth on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.dots import BodyEncoder

if TYPE_CHECKING:
    from pop3proto.procedures.maildrop import Octets

__all__ = ["count_octets"]

_CHUNK: Final = 1 << 18


def count_octets(source: Octets) -> int:
    """Return the size that STAT and LIST must announce for a message (RFC 1939 section 11).

    The encoder that sends a message counts it: two opinions on line ends would be one too many.

    Args:
        source: the message, at its start. It is read to its end, in constant memory.
    """
    encoder = BodyEncoder()
    while chunk := source.read(_CHUNK):
        encoder.feed(chunk)
    encoder.finish()
    return encoder.octets
