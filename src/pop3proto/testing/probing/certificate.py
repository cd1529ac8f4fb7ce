"""What a certificate says, read from its DER. Nothing about it is verified here."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Certificate"]

_DAY: Final = 86_400
_UTC_TIME: Final = 0x17
_SET, _SEQUENCE, _OID, _INTEGER, _BIT_STRING = 0x31, 0x30, 0x06, 0x02, 0x03
_VERSION, _EXTENSIONS, _DNS, _IP = 0xA0, 0xA3, 0x82, 0x87
_COMMON_NAME: Final = bytes.fromhex("550403")
_NAMES: Final = (_COMMON_NAME, bytes.fromhex("55040a"), bytes.fromhex("55040b"))
"""Of the parts of a name: the common name, the organisation, the unit; the first that there is, is shown."""
_ALTERNATIVE_NAMES: Final = bytes.fromhex("551d11")
_KEYS: Final = {
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2a864886f70d01010a"): "RSA-PSS",
    bytes.fromhex("2a8648ce3d0201"): "EC",
    bytes.fromhex("2b6570"): "Ed25519",
    bytes.fromhex("2b6571"): "Ed448",
    bytes.fromhex("2a8648ce380401"): "DSA",
}
_OLD_SIGNATURES: Final = {
    bytes.fromhex("2a864886f70d010104"): "MD5",
    bytes.fromhex("2a864886f70d010105"): "SHA-1",
    bytes.fromhex("2b0e03021d"): "SHA-1",
    bytes.fromhex("2a8648ce3d0401"): "SHA-1",
    bytes.fromhex("2a8648ce380403"): "SHA-1",
}


@attrs.frozen(kw_only=True)
class Certificate:
    """What a certificate says.

    Args:
        subject: whose it is: the common name, or what there is in its place.
        names: the host names and addresses that it is for.
        issuer: who has issued it.
        begins: from when it is valid, seconds since 1970.
        ends: until when.
        key: its kind and size, "RSA 2048" for example.
        pin: SHA-256 of its public key (SPKI), in base64, as RFC 7469 writes it.
        fingerprint: SHA-256 of all of it, hexadecimal.
        old_signature: the hash function of the signature, if that is one that can be broken.
        self_issued: subject and issuer are the same: nobody vouches for it.
    """

    subject: str
    names: tuple[str, ...]
    issuer: str
    begins: float
    ends: float
    key: str
    pin: str
    fingerprint: str
    old_signature: str | None
    self_issued: bool

    def days_left(self, now: float) -> int:
        """Return how many whole days it is still valid; negative if it is not any more.

        Args:
            now: seconds since 1970.
        """
        return int((self.ends - now) // _DAY)

    @classmethod
    def parse(cls, der: bytes) -> Certificate:
        """Read a certificate (RFC 5280 section 4.1).

        Raises:
            ValueError: it is none.
        """
        try:
            return cls._parse(der)
        except (ValueError, IndexError, StopIteration, OverflowError) as error:
            raise ValueError(f"this is not a certificate: {error}") from error

    @classmethod
    def _parse(cls, der: bytes) -> Certificate:
        ((_, certificate, _),) = _elements(der)
        (_, body, _), (_, algorithm, _), _ = _elements(certificate)
        fields = list(_elements(body))
        if fields[0][0] == _VERSION:
            fields.pop(0)
        _, _, issuer, validity, subject, spki = fields[:6]
        begins, ends = (_moment(tag, octets) for tag, octets, _ in _elements(validity[1]))
        extensions = next((octets for tag, octets, _ in fields[6:] if tag == _EXTENSIONS), b"")
        return cls(
            subject=_name(subject[1]),
            names=tuple(_alternative_names(extensions)) or _common_names(subject[1]),
            issuer=_name(issuer[1]),
            begins=begins,
            ends=ends,
            key=_key(spki[1]),
            pin=b64encode(hashlib.sha256(spki[2]).digest()).decode(),
            fingerprint=hashlib.sha256(der).hexdigest(),
            old_signature=_OLD_SIGNATURES.get(next(_elements(algorithm))[1]),
            self_issued=subject[1] == issuer[1],
        )


def _elements(octets: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each element of DER: its tag, its contents, all of it."""
    at = 0
    while at < len(octets):
        tag, length, start = octets[at], octets[at + 1], at + 2
        if length >= 0x80:  # noqa: PLR2004 - the long form
            count = length - 0x80
            length, start = int.from_bytes(octets[start : start + count], "big"), start + count
        end = start + length
        if end > len(octets):
            raise ValueError("it is cut off")
        yield tag, octets[start:end], octets[at:end]
        at = end


def _moment(tag: int, octets: bytes) -> float:
    text = octets.decode("ascii")
    if tag == _UTC_TIME:  # RFC 5280 section 4.1.2.5.1
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _name(octets: bytes) -> str:
    parts = dict(_parts(octets))
    known = next((parts[each] for each in _NAMES if each in parts), "")
    return known or next(iter(parts.values()), "")


def _parts(name: bytes) -> Iterator[tuple[bytes, str]]:
    for _, entry, _ in _elements(name):
        for _, pair, _ in _elements(entry):
            (_, kind, _), (_, value, _) = _elements(pair)
            yield kind, visible(value.decode("utf-8", "replace"))


def _common_names(subject: bytes) -> tuple[str, ...]:
    return tuple(value for kind, value in _parts(subject) if kind == _COMMON_NAME)


def _alternative_names(extensions: bytes) -> Iterator[str]:
    for _, several, _ in _elements(extensions):
        for _, extension, _ in _elements(several):
            fields = list(_elements(extension))
            if fields[0][1] != _ALTERNATIVE_NAMES:
                continue
            for _, names, _ in _elements(fields[-1][1]):
                for tag, value, _ in _elements(names):
                    if tag == _DNS:
                        yield visible(value.decode("ascii", "replace"))
                    elif tag == _IP:
                        yield str(ip_address(value))


def _key(spki: bytes) -> str:
    (_, algorithm, _), (_, bits, _) = _elements(spki)
    identifier, *parameters = (octets for _, octets, _ in _elements(algorithm))
    kind = _KEYS.get(identifier, "of an unknown kind")
    if kind.startswith("RSA"):
        ((_, numbers, _),) = _elements(bits[1:])
        modulus = next(_elements(numbers))[1]
        return f"{kind} {int.from_bytes(modulus, 'big').bit_length()}"
    if kind == "EC" and parameters:
        curves = {"2a8648ce3d030107": "P-256", "2b81040022": "P-384", "2b81040023": "P-521"}
        return f"EC {curves.get(parameters[0].hex(), 'with another curve')}"
    return kind
