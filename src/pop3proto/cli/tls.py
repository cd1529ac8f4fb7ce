"""The TLS of `serve`: whether, where it comes in, and with which certificate."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from .failures import USAGE, Failure, reason

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pop3proto.procedures.policy import TlsMode

__all__ = ["ServerTls", "add_tls_arguments"]

_PEM_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----")
_PEM_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")


def add_tls_arguments(parser: ArgumentParser) -> None:
    """Say which arguments tell of TLS."""
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="offer TLS with the certificate in this file (PEM), which those between it and its authority follow",
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the private key (PEM), if it is not in the file of the certificate"
    )
    parser.add_argument(
        "--tls",
        choices=("starttls", "implicit"),
        help="where TLS comes in: by STLS (the default with --certificate), or from the first octet",
    )


@attrs.frozen
class ServerTls:
    """Where TLS comes in, and the files that it takes.

    Args:
        mode: where.
        certificate: the file; None without TLS.
        key: the file, if it is another.
    """

    mode: TlsMode
    certificate: Path | None
    key: Path | None

    @classmethod
    def of(cls, arguments: Namespace) -> ServerTls:
        """Return what the arguments ask for.

        Raises:
            Failure: they make no sense together, or the files cannot be used.
        """
        certificate: Path | None = arguments.certificate
        key: Path | None = arguments.key
        mode: TlsMode | None = arguments.tls
        if certificate is None:
            if mode is not None or key is not None:
                raise Failure(f"{'--key' if mode is None else '--tls'} goes with --certificate", USAGE)
            return cls("none", None, None)
        _check(certificate, key)
        return cls(mode or "starttls", certificate, key)

    @property
    def port(self) -> int:
        """The default port: the registered one and 1,000, so that nobody has to be root."""
        return 1995 if self.mode == "implicit" else 1110

    @property
    def words(self) -> str:
        """Where TLS comes in, for people."""
        return {"none": "without TLS", "starttls": "with STLS", "implicit": "over TLS"}[self.mode]


def _check(certificate: Path, key: Path | None) -> None:
    """Find out what is wrong before the server is told to use the files: OpenSSL does not say which file it is."""
    if _PEM_CERTIFICATE.search(_read(certificate, "certificate")) is None:
        raise Failure(f"{certificate} holds no certificate (PEM)")
    key_file = key or certificate
    if _PEM_KEY.search(_read(key_file, "private key")) is None:
        raise Failure(f"{key_file} holds no private key (PEM){'' if key else '; --key names another file'}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _refuse_to_ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Failure(f"the key in {key_file} does not belong to the certificate in {certificate}") from error
        why = error.reason.replace("_", " ").lower() if error.reason else "OpenSSL cannot read them"
        raise Failure(f"cannot use the certificate in {certificate} with its key: {why}") from error
    except _Encrypted:
        raise Failure(f"the key in {key_file} is encrypted: there is nobody to ask for its passphrase") from None


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read the {what}: {reason(error)}") from error


class _Encrypted(Exception):
    """The key has a passphrase."""


def _refuse_to_ask() -> NoReturn:
    raise _Encrypted
