"""Lists of revoked certificates (RFC 5280 section 5): whose they are, and until when they are good."""

from __future__ import annotations

import base64
import binascii
import calendar
import errno
import math
import re
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.sasl.der import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, NotDer, only, take

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from os import PathLike

__all__ = ["RevocationList", "ending_lists", "faults_of_lists", "labels", "read_lists"]

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_LIST: Final = b"X509 CRL"
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_BMP_STRING: Final = 0x1E
_CENTURY: Final = 50  # RFC 5280 section 5.1.2.4: a year from 50 on is in the last one
_COMMON_NAME: Final = bytes.fromhex("550403")  # 2.5.4.3
_SOON: Final = 86_400  # seconds


@attrs.frozen
class RevocationList:
    """A list of revoked certificates.

    Args:
        issuer: the name of its authority, the contents of the DER.
        begin: from when on it is good, in seconds since 1970.
        end: until when; infinite if it does not say.
    """

    issuer: bytes
    begin: float
    end: float


def read_lists(path: str | PathLike[str]) -> tuple[RevocationList, ...]:
    """Return the lists in a PEM file.

    Raises:
        OSError: it cannot be read, or has something else in it: a certificate would become an authority.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
        octets = file.read()
    if others := {*labels(octets)} - {_LIST.decode()}:
        raise _unusable(f"it holds a {min(others).lower()}: only lists (X509 CRL) belong there")
    try:
        found = tuple(_parsed(base64.b64decode(match[2])) for match in _BLOCK.finditer(octets))
    except (NotDer, ValueError, binascii.Error):
        raise _unusable("a list in it is damaged") from None
    if len(found) != octets.count(b"-----BEGIN"):
        raise _unusable("the last list in it has no end: it may be half written")
    if not found:
        raise _unusable("there is no list (X509 CRL, PEM) in it; `openssl crl -inform DER` makes PEM of DER")
    return found


def labels(octets: bytes) -> Iterator[str]:
    """Yield what the blocks of a PEM file are: "CERTIFICATE", "X509 CRL"."""
    return (label.decode() for label in re.findall(rb"-----BEGIN ([A-Z0-9 ]+)-----", octets))


def faults_of_lists(lists: Sequence[RevocationList], authorities: Iterable[bytes], now: float) -> Iterator[str]:
    """Yield why the certificates of authorities are refused: their lists are missing or out of date.

    Args:
        lists: those that a server has.
        authorities: the names of the authorities whose certificates it takes, the contents of the DER.
        now: seconds since 1970.
    """
    for name, own, last in _by_authority(lists, authorities, now):
        if not own:
            yield f"there is no list of {name}: all its certificates are refused"
        elif last is None:
            yield f"the list of {name} begins on {_moment(own[0].begin)}: all its certificates are refused before"
        elif last.end <= now:
            yield f"the list of {name} ended on {_moment(last.end)}: all its certificates are refused"


def ending_lists(lists: Sequence[RevocationList], now: float) -> Iterator[str]:
    """Yield which lists that are good now end soon: within a day, or the last tenth of their time if that is less.

    Args:
        lists: as for `faults_of_lists`.
        now: seconds since 1970.
    """
    for name, _, last in _by_authority(lists, (), now):
        if last is not None and now < last.end <= now + min(_SOON, (last.end - last.begin) / 10):
            yield f"the list of {name} ends on {_moment(last.end)}: all its certificates are refused from then on"


def _by_authority(
    lists: Sequence[RevocationList], authorities: Iterable[bytes], now: float
) -> Iterator[tuple[str, Sequence[RevocationList], RevocationList | None]]:
    """Yield each authority, its lists, and of those that have begun the one that ends last."""
    issuers = [*authorities, *(each.issuer for each in lists)]  # clients may send those between them and `authorities`
    for parts, issuer in {_parts(each): each for each in issuers}.items():
        own = [each for each in lists if _parts(each.issuer) == parts]
        last = max((each for each in own if each.begin <= now), key=lambda each: each.end, default=None)
        yield _short_name(issuer), own, last


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _parsed(octets: bytes) -> RevocationList:
    """Return what a `CertificateList` says of itself."""
    rest, _ = take(SEQUENCE, only(SEQUENCE, octets))  # tbsCertList
    if rest[:1] == bytes([INTEGER]):  # the version
        _, rest = take(INTEGER, rest)
    _, rest = take(SEQUENCE, rest)  # the algorithm
    issuer, rest = take(SEQUENCE, rest)
    begin, rest = _time(rest)
    end = _time(rest)[0] if rest[:1] in (bytes([_UTC_TIME]), bytes([_GENERALIZED_TIME])) else math.inf
    return RevocationList(issuer, begin, end)


def _time(octets: bytes) -> tuple[float, bytes]:
    long = octets[:1] == bytes([_GENERALIZED_TIME])
    contents, rest = take(_GENERALIZED_TIME if long else _UTC_TIME, octets)
    text = contents.decode("ascii")
    if not long:
        text = ("19" if int(text[:2]) >= _CENTURY else "20") + text
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))), rest


def _short_name(name: bytes) -> str:
    """Return the last CN of a name, or its last part if it has none."""
    found = dict(_pairs(name))
    return found.get(_COMMON_NAME) or next(reversed(found.values()), "an authority without a name")


def _parts(name: bytes) -> tuple[tuple[bytes, str], ...]:
    """Return the parts of a name as they are compared: without case and blanks (RFC 5280 section 7.1)."""
    return tuple((identifier, " ".join(text.split()).casefold()) for identifier, text in _pairs(name))


def _pairs(name: bytes) -> Iterator[tuple[bytes, str]]:
    with suppress(NotDer, IndexError):
        while name:
            parts, name = take(SET, name)
            while parts:
                pair, parts = take(SEQUENCE, parts)
                identifier, value = take(OBJECT_IDENTIFIER, pair)
                encoding = "utf-16-be" if value[0] == _BMP_STRING else "utf-8"
                yield identifier, take(value[0], value)[0].decode(encoding, "replace")


def _unusable(why: str) -> ssl.SSLError:
    return ssl.SSLError(errno.EINVAL, why)
