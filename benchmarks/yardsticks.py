"""Reference operations to compare codecs with: the minimum cost of processing octets in Python."""

from __future__ import annotations

from collections.abc import Sequence

from .harness.rounds import Contender

FIND = 'one count(b"\\r\\n.")'
COPY = "a memory copy"


def yardsticks(chunks: Sequence[bytes]) -> list[Contender]:
    def copy() -> list[bytes]:
        for chunk in chunks:
            bytearray(chunk)
        return []

    def find() -> list[bytes]:
        for chunk in chunks:
            chunk.count(b"\r\n.")
        return []

    return [
        Contender(FIND, find, output=None),
        Contender(COPY, copy, output=None),
    ]
