"""Pins: the server's certificate, or its public key, must be one of a few that are known by their digests.

They are checked at the end of each handshake of a context: of the first connection, after STLS, and of a connection
that a login makes anew. Nothing can be sent before that, as there is no channel yet. Only a context that makes its own
kind of `ssl.SSLObject` sees all of them; the documentation of `ssl` allows that (`SSLContext.sslobject_class`).
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from typing import TYPE_CHECKING, ClassVar, Final

from typing_extensions import override

from pop3proto.sasl.der import NotDer, public_key_info

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["NotPinned", "fingerprints", "has_pins", "parse_pin", "pin_server"]

_PIN: Final = re.compile(
    r"sha256:(?:(?P<hex>[0-9a-f]{2}(?::?[0-9a-f]{2}){31})|(?P<base64>[0-9a-z+/]{43}=?))", re.IGNORECASE
)


class NotPinned(ssl.SSLCertVerificationError):
    """The server's certificate has none of the pins.

    Args:
        certificate: what it has shown, DER; None: nothing.
    """

    remedy: Final = "if the server has a new certificate, and you know from elsewhere that this is it, change the pin"

    def __init__(self, certificate: bytes | None) -> None:
        shown = "nothing" if certificate is None else f"sha256:{hashlib.sha256(certificate).hexdigest()}"
        super().__init__(ssl.SSL_ERROR_SSL, "the certificate has none of the pins")
        self.verify_code = -1  # OpenSSL has accepted it, or was not asked
        self.verify_message = f"none of the pins fits; it is {shown}"


def parse_pin(text: str) -> bytes:
    """Return the digest that a pin names.

    Args:
        text: `sha256:` and the SHA-256 of a certificate, or of its public key (`subjectPublicKeyInfo`), in hexadecimal
            digits, with or without colons, or in base64.

    Raises:
        ValueError: it is no pin.
    """
    match = _PIN.fullmatch(text.strip())
    if match is None:
        raise ValueError("a pin is sha256: and 64 hexadecimal digits, or 44 characters of base64")
    if (digits := match["hex"]) is not None:
        return bytes.fromhex(digits.replace(":", ""))
    return base64.b64decode(f"{match['base64'].rstrip('=')}=")


def fingerprints(certificate: bytes) -> frozenset[bytes]:
    """Return the digests of a certificate that a pin may name: its own, and that of its public key.

    Args:
        certificate: DER.
    """
    try:
        parts = [certificate, public_key_info(certificate)]
    except NotDer:
        parts = [certificate]
    return frozenset(hashlib.sha256(part).digest() for part in parts)


class _Pinned(ssl.SSLObject):
    """A TLS connection whose handshake fails unless the server's certificate has a pin."""

    pins: ClassVar[frozenset[bytes]]

    @override
    def do_handshake(self) -> None:
        super().do_handshake()
        certificate = self.getpeercert(binary_form=True)
        if certificate is None or self.pins.isdisjoint(fingerprints(certificate)):
            raise NotPinned(certificate)


def pin_server(context: ssl.SSLContext, pins: Collection[bytes], *, only: bool = False) -> None:
    """Let a client's context accept only servers whose certificate has one of the pins.

    Args:
        context: it is changed.
        pins: as `parse_pin` returns them.
        only: the pins replace the verification of certificate and name; else they are checked beside it.

    Raises:
        ValueError: there are no pins.
    """
    if not pins:
        raise ValueError("at least one pin is needed")
    if only:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = type("Pinned", (_Pinned,), {"pins": frozenset(pins)})


def has_pins(context: ssl.SSLContext) -> bool:
    """Return whether `pin_server` has changed a context."""
    return issubclass(context.sslobject_class, _Pinned)
