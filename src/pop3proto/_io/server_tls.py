"""The TLS of a server: its context, and the certificate that SCRAM binds to."""

from __future__ import annotations

import errno
import re
import ssl
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.procedures.cleartext import TlsMode, default_port

from .alpn import allow_pop3_only
from .client_certificates import accept_certificates
from .server_name import note_server_names
from .tls import check_role

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["ServerTls", "first_certificate"]

_READINGS: Final = 3  # of a certificate that changes meanwhile
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@attrs.frozen
class ServerTls:
    """TLS settings of a server.

    Args:
        context: for the handshake.
        certificate: its own certificate, DER; None: clients cannot bind to it (RFC 5929 section 4).
        pop3_only: refuse a client that offers other protocols (ALPN).

    Raises:
        ValueError, TypeError: as `check_role`.
    """

    context: ssl.SSLContext
    certificate: bytes | None = attrs.field(default=None, repr=False)
    pop3_only: bool = False

    def __attrs_post_init__(self) -> None:
        check_role(self.context, server_side=True)
        note_server_names(self.context)

    @classmethod
    def load(
        cls,
        certificate: str | PathLike[str],
        key: str | PathLike[str] | None = None,
        client_ca: str | PathLike[str] | None = None,
    ) -> ServerTls:
        """Load certificate and key from files; TLS 1.2 at least.

        Args:
            certificate: a file with the server's certificate and the intermediate ones, PEM.
            key: a file with its private key; None: it is in the same file.
            client_ca: a file with the authorities whose client certificates are accepted, PEM (for EXTERNAL); None:
                clients are not asked for one.

        Raises:
            OSError: a file cannot be read, or is not valid (`ssl.SSLError`).
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        own = _load_certificate(context, certificate, key)
        if client_ca is not None:
            accept_certificates(context, client_ca)
        allow_pop3_only(context)
        return cls(context, own, pop3_only=True)

    @classmethod
    def choose(
        cls,
        tls: TlsMode,
        *,
        certificate: str | PathLike[str] | None = None,
        key: str | PathLike[str] | None = None,
        client_ca: str | PathLike[str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> ServerTls | None:
        """Return what the arguments of `serve` ask for; None for no TLS.

        Raises:
            ValueError: there is no such mode; TLS without a certificate or context, or the other way round; both a
                certificate and a context; or the context is for a client.
            OSError: as `load`.
        """
        default_port(tls)  # raises if there is no such mode
        files = [file for file in (certificate, key, client_ca) if file is not None]
        if tls == "none":
            if files or context is not None:
                raise ValueError('a certificate or a context needs tls="starttls" or tls="implicit"')
            return None
        if context is not None and not files:
            return cls(context)
        if context is not None or certificate is None:
            raise ValueError("TLS needs a certificate, or a context instead")
        return cls.load(certificate, key, client_ca)


def _load_certificate(
    context: ssl.SSLContext, certificate: str | PathLike[str], key: str | PathLike[str] | None
) -> bytes | None:
    """Load a certificate and its key, and return it, DER: for SCRAM it must be the one that the context has.

    Raises:
        OSError: a file cannot be used, or is written again and again meanwhile; or the key is encrypted.
    """
    for _ in range(_READINGS):
        before = first_certificate(certificate)
        context.load_cert_chain(certificate, key, _refuse_to_ask)
        if first_certificate(certificate) == before:
            return before
    raise OSError(errno.EAGAIN, "it was written while it was read; try again")


def _refuse_to_ask() -> str:
    raise OSError(errno.EACCES, "its key is encrypted, and a server cannot ask for the password")


def first_certificate(path: str | PathLike[str]) -> bytes | None:
    """Return the first certificate of a PEM file, DER: the one that belongs to the key."""
    from pathlib import Path  # noqa: PLC0415 - slow to import, and most clients read no such file

    match = _PEM.search(Path(path).read_text("ascii", "replace"))
    return ssl.PEM_cert_to_DER_cert(match[0]) if match else None
