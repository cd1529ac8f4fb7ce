"""DER (X.690): take the elements of a certificate apart."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BIT_STRING",
    "INTEGER",
    "OBJECT_IDENTIFIER",
    "SEQUENCE",
    "SET",
    "NotDer",
    "only",
    "public_key_info",
    "subject",
    "take",
]

SEQUENCE: Final = 0x30
OBJECT_IDENTIFIER: Final = 0x06
SET: Final = 0x31
BIT_STRING: Final = 0x03
INTEGER: Final = 0x02
_VERSION: Final = 0xA0  # [0], RFC 5280 section 4.1
_LONG_LENGTH: Final = 0x80
_LENGTH_OCTETS: Final = 4  # a certificate is shorter than 4 GiB


class NotDer(Exception):
    """These octets are not the DER that they should be."""


def public_key_info(certificate: bytes) -> bytes:
    """Return the public key of a certificate with its algorithm: `subjectPublicKeyInfo` (RFC 5280 section 4.1), DER.

    Args:
        certificate: DER. Nothing about it is verified.

    Raises:
        NotDer: it is no certificate.
    """
    _, rest = take(SEQUENCE, _from_subject_on(certificate))
    _, after = take(SEQUENCE, rest)
    return rest[: len(rest) - len(after)]


def subject(certificate: bytes) -> bytes:
    """Return the contents of the `subject` of a certificate, whose public key follows it.

    Args:
        certificate: DER. Nothing about it is verified.

    Raises:
        NotDer: it is no certificate.
    """
    return take(SEQUENCE, _from_subject_on(certificate))[0]


def _from_subject_on(certificate: bytes) -> bytes:
    signed, _ = take(SEQUENCE, only(SEQUENCE, certificate))
    rest = take(_VERSION, signed)[1] if signed[:1] == bytes([_VERSION]) else signed
    for tag in (INTEGER, SEQUENCE, SEQUENCE, SEQUENCE):  # serial number, algorithm, issuer, validity
        _, rest = take(tag, rest)
    return rest


def only(tag: int, octets: bytes) -> bytes:
    """Return the contents of an element behind which nothing follows."""
    contents, rest = take(tag, octets)
    if rest:
        raise NotDer
    return contents


def take(tag: int, octets: bytes) -> tuple[bytes, bytes]:
    """Return the contents of the first element, which must have this tag, and what follows it."""
    if len(octets) < 2 or octets[0] != tag:  # noqa: PLR2004 - a tag and a length
        raise NotDer
    start, length = 2, octets[1]
    if length >= _LONG_LENGTH:
        start += length - _LONG_LENGTH
        length = _long_length(octets[2:start])
    if len(octets) < start + length:
        raise NotDer
    return octets[start : start + length], octets[start + length :]


def _long_length(octets: bytes) -> int:
    """Return a length that did not fit into seven bits. DER allows its shortest form alone."""
    length = int.from_bytes(octets, "big")
    if not 1 <= len(octets) <= _LENGTH_OCTETS or octets[0] == 0 or length < _LONG_LENGTH:
        raise NotDer
    return length
