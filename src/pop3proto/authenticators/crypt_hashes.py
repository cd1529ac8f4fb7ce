"""Hashes of crypt(3) that Python does not compute: SHA-256-crypt, SHA-512-crypt, MD5-crypt and that of Apache.

The first two are those of "Unix crypt using SHA-256 and SHA-512" (Drepper, version 0.6); the others those of FreeBSD
and of Apache's htpasswd, which are weak, and read because they are there.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["md5_crypt", "sha_crypt"]

_ALPHABET: Final = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MD5_ROUNDS: Final = 1_000

# The order in which the octets of a digest are written, three at a time: the last may lack some.
_MD5_ORDER: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5), (11,))


def _rotated(size: int, down: bool) -> tuple[tuple[int, ...], ...]:  # noqa: FBT001 - a direction
    """Return the order for SHA-2: columns of a third of the digest, which change places from row to row."""
    third = size // 3
    rows: list[tuple[int, ...]] = []
    for row in range(third):
        columns = (row, row + third, row + 2 * third)
        turn = (-row if down else row) % 3
        rows.append(columns[turn:] + columns[:turn])
    return (*rows, tuple(range(size - 1, 3 * third - 1, -1)))


_SHA_ORDER: Final = {"sha256": _rotated(32, down=True), "sha512": _rotated(64, down=False)}


def sha_crypt(name: str, password: bytes, salt: bytes, rounds: int) -> bytes:
    """Return the hash that stands behind the last "$" of `$5$` and `$6$`. The time is proportional to `rounds`.

    Args:
        name: "sha256" or "sha512".
        password: as it is.
        salt: at most 16 octets.
        rounds: 1,000 to 999,999,999.
    """
    other = hashlib.new(name, password + salt + password).digest()
    hashing = hashlib.new(name, password + salt + _stretched(other, len(password)))
    bits = len(password)
    while bits:
        hashing.update(other if bits & 1 else password)
        bits >>= 1
    digest = hashing.digest()
    p = _stretched(hashlib.new(name, password * len(password)).digest(), len(password))
    s = _stretched(hashlib.new(name, salt * (16 + digest[0])).digest(), len(salt))
    for turn in range(rounds):
        data = (p if turn & 1 else digest) + (s if turn % 3 else b"") + (p if turn % 7 else b"")
        digest = hashlib.new(name, data + (digest if turn & 1 else p)).digest()
    return _encoded(digest, _SHA_ORDER[name])


def md5_crypt(magic: bytes, password: bytes, salt: bytes) -> bytes:
    """Return the hash that stands behind the last "$" of `$1$` and `$apr1$`.

    Args:
        magic: which of them.
        password: as it is.
        salt: at most 8 octets.
    """
    other = _md5(password + salt + password)
    first = password + magic + salt + _stretched(other, len(password))
    bits = len(password)
    while bits:
        first += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = _md5(first)
    for turn in range(_MD5_ROUNDS):
        data = (password if turn & 1 else digest) + (salt if turn % 3 else b"") + (password if turn % 7 else b"")
        digest = _md5(data + (digest if turn & 1 else password))
    return _encoded(digest, _MD5_ORDER)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _stretched(octets: bytes, length: int) -> bytes:
    """Return octets again and again, up to a length."""
    return (octets * (length // len(octets) + 1))[:length]


def _encoded(digest: bytes, order: tuple[tuple[int, ...], ...]) -> bytes:
    text = bytearray()
    for places in order:
        number = int.from_bytes(bytes(digest[place] for place in places))
        for _ in range((len(places) * 8 + 5) // 6):
            text.append(_ALPHABET[number & 63])
            number >>= 6
    return bytes(text)
