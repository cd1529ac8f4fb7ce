"""Reference operations to compare codecs with: the minimum cost of processing octets in Python."""

from __future__ import annotations

from collections.abc import Sequence

from .harness.rounds import Contender


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
        Contender('one count(b"\\r\\n.")', find, output=None),
        Contender("a memory copy", copy, output=None),
    ]
