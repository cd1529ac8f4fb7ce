"""The DER of certificates, as far as a channel binding needs it, against a reader that knows no shortcut."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from fuzz.target import Target, check, patched
from pop3proto.sasl import channel, der
from pop3proto.sasl.channel import server_end_point

_PSS: Final = bytes.fromhex("2a864886f70d01010a")


class _NoDer(Exception):
    """It is not DER."""


def _elements(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the contents of each element; raise if what follows is none."""
    at = 0
    while at < len(octets):
        if at + 2 > len(octets):
            raise _NoDer
        tag, length = octets[at], octets[at + 1]
        at += 2
        if length > 127:
            count = length - 128
            digits = octets[at : at + count]
            if not 1 <= count <= 4 or len(digits) != count or digits[0] == 0:
                raise _NoDer
            length = 0
            for digit in digits:
                length = length * 256 + digit
            if length < 128:
                raise _NoDer
            at += count
        if at + length > len(octets):
            raise _NoDer
        yield tag, octets[at : at + length]
        at += length


def _naive(certificate: bytes) -> bytes | None:
    """Return the identifier that names the hash function, with `pss:` before it where the parameters name it."""
    [(outer, body)] = list(_elements(certificate))
    [(first, _), (second, algorithm), (third, _)] = list(_elements(body))
    if (outer, first, second, third) != (0x30, 0x30, 0x30, 0x03):
        return None
    parts = _elements(algorithm)
    tag, identifier = next(parts)
    if tag != 0x06:
        return None
    if identifier != _PSS:
        return identifier
    parameters = algorithm[len(algorithm) - _left(algorithm) :]
    [(tag, fields)] = list(_elements(parameters))
    if tag != 0x30:
        return None
    if not fields or fields[0] != 0xA0:
        return b"pss"  # the default
    _, tagged = next(_elements(fields))
    [(tag, function)] = list(_elements(tagged))
    tag_of_name, name = next(_elements(function))
    return b"pss:" + name if (tag, tag_of_name) == (0x30, 0x06) else None


def _left(algorithm: bytes) -> int:
    """Return how many octets follow the first element."""
    header = 2 if algorithm[1] < 128 else 2 + algorithm[1] - 128
    _, contents = next(_elements(algorithm))
    return len(algorithm) - header - len(contents)


def _expected(certificate: bytes) -> str | None:
    try:
        identifier = _naive(certificate)
    except (_NoDer, ValueError, StopIteration):  # other elements than there should be
        return None
    if identifier is None:
        return None
    if identifier == b"pss":
        return "sha256"
    if identifier.startswith(b"pss:"):
        hash_name: str | None = vars(channel)["_HASHES"].get(identifier[4:])
        return hash_name
    name: str | None = vars(channel)["_SIGNATURES"].get(identifier)
    return name


def _run(octets: bytes) -> Hashable:
    binding = server_end_point(octets)
    name = _expected(octets)
    if binding is None:
        check(name is None, f"no binding, and the certificate is signed with {name}")
        return None
    check(name is not None, "a binding of what is no certificate")
    if name is not None:
        check(binding.octets == hashlib.new(name, octets).digest(), f"the binding is not that of {name}")
    check(server_end_point(octets + b"\0") is None, "octets behind the certificate are passed over")
    return name


def _element(tag: int, *contents: bytes) -> bytes:
    octets = b"".join(contents)
    if len(octets) < 128:
        return bytes([tag, len(octets)]) + octets
    digits = len(octets).to_bytes((len(octets).bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(digits)]) + digits + octets


def _seeds() -> Iterator[bytes]:
    null, signature = _element(0x05), _element(0x03, bytes(20))
    sha_384 = _element(0x30, _element(0x06, bytes.fromhex("608648016503040202")), null)
    algorithms = [
        *(_element(0x06, identifier) + null for identifier in vars(channel)["_SIGNATURES"]),
        _element(0x06, bytes.fromhex("2b6570")),  # Ed25519
        _element(0x06, _PSS) + _element(0x30),
        _element(0x06, _PSS) + _element(0x30, _element(0xA0, sha_384), _element(0xA2, b"\x02\x01\x20")),
        _element(0x06, _PSS) + _element(0x30, _element(0xA2, b"\x02\x01\x20")),
        _element(0x06, _PSS),
    ]
    for algorithm in algorithms:
        for size in (3, 200, 400):
            yield _element(0x30, _element(0x30, bytes(size)), _element(0x30, algorithm), signature)


def _plant() -> AbstractContextManager[None]:
    """A reader that takes a length of no octets."""

    def long_length(octets: bytes) -> int:
        return int.from_bytes(octets, "big")

    return patched(der, "_long_length", long_length)


TARGET: Final = Target(
    "der",
    "the DER of certificates, against a reader without shortcuts",
    _run,
    _seeds,
    _plant,
    _element(0x30, b"0\x83\0\0\0", _element(0x30, bytes.fromhex("06052b0e03021d0500")), _element(0x03, bytes(20))),
)
