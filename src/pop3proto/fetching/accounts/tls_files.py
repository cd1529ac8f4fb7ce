"""The files of an account for TLS: authorities, and the client's certificate with its key."""

from __future__ import annotations

import re
import shlex
import ssl
from typing import TYPE_CHECKING, Final, NoReturn

from pop3proto._io.tls import words_of
from pop3proto.fetching.wording import cannot

from .errors import AccountError
from .exposure import exposure

if TYPE_CHECKING:
    from pathlib import Path

    from .access import Access

__all__ = ["key_exposure", "show_certificate", "trust_authorities"]

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_PKCS12: Final = re.compile(rb"\x30(?:\x80|\x82..|\x83...)\x02\x01\x03", re.DOTALL)  # RFC 7292 section 4
_DER: Final = b"\x30"
_UNLIKE: Final = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED", "NO_PRIVATE_KEY_ASSIGNED"}
"""What OpenSSL says of a key that belongs to another certificate; the last two, if it is of another kind."""


def trust_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    """Let a client's TLS context trust the authorities in a file, too.

    Raises:
        AccountError: the file cannot be read, or holds no certificates.
    """
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise AccountError(f"{ca_file} holds no certificates (PEM) of authorities") from error
    except OSError as error:
        raise AccountError(cannot("read certificate authorities from", ca_file, error)) from error


def show_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None = None) -> None:
    """Let a client's TLS context show a certificate to servers that want one.

    Args:
        context: it is changed.
        certificate: the file with the client's certificate, and those between it and its authority behind it.
        key: the file with its private key; None: it is in the same file.

    Raises:
        AccountError: a file cannot be read, or does not hold what it should, in words that name it.
    """
    octets = _read("the client certificate", certificate)
    if _CERTIFICATE.search(octets) is None:
        raise AccountError(f"there is no certificate (PEM) in {certificate}{_conversion(octets, certificate, 'x509')}")
    holder, private = (certificate, octets) if key is None else (key, _read("the private key", key))
    if _KEY.search(private) is None:
        elsewhere = "; put it there, or name its file by certificate_key (--certificate-key FILE)"
        advice = _conversion(private, holder, "pkey") if key else elsewhere
        raise AccountError(f"there is no private key (PEM) in {holder}{advice}")
    try:
        context.load_cert_chain(certificate, key, _no_passphrase)
    except _Encrypted:
        raise AccountError(
            f"the private key in {holder} is encrypted, and its passphrase cannot be asked for; decrypt it: "
            f"openssl pkey -in {shlex.quote(str(holder))} -out NEW"
        ) from None
    except ssl.SSLError as error:
        if error.reason in _UNLIKE:
            first = "the certificate" if len(_CERTIFICATE.findall(octets)) == 1 else "the first certificate"
            raise AccountError(f"the private key in {holder} does not belong to {first} in {certificate}") from error
        why = words_of(error) if error.reason else "one of them is incomplete, or no PEM"
        raise AccountError(
            f"the client certificate {certificate} and the private key in {holder} cannot be used: {why}"
        ) from error
    except OSError as error:
        raise AccountError(cannot("read the client certificate", certificate, error)) from error


def key_exposure(access: Access) -> str:
    """Return a note if other users may read the private key of an account; else, or if there is none, ""."""
    if (holder := access.certificate_key or access.certificate) is None:
        return ""
    try:
        return exposure(holder, holder, "private key") if _KEY.search(holder.read_bytes()) else ""
    except OSError:
        return ""  # to use it fails, and tells why


def _read(what: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AccountError(cannot(f"read {what}", path, error)) from error


def _conversion(octets: bytes, path: Path, kind: str) -> str:
    """Return how to make PEM of what is in a file; "" if it is unknown what that is.

    Args:
        octets: what is in it.
        path: of the file.
        kind: the command of OpenSSL for what should be in it.
    """
    name = shlex.quote(str(path))
    if _PKCS12.match(octets):
        return f"; it seems to be PKCS #12: openssl pkcs12 -in {name} -nodes -out NEW"
    if octets.startswith(_DER):
        return f"; it seems to be DER: openssl {kind} -inform DER -in {name} -out NEW"
    return ""


class _Encrypted(Exception):
    """The key has a passphrase."""


def _no_passphrase() -> NoReturn:
    raise _Encrypted
