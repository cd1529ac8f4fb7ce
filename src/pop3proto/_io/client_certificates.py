"""Certificates of clients: whose a server takes, and which of them are revoked."""

from __future__ import annotations

import errno
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from pop3proto.sasl.der import NotDer, subject

from .revocation import labels, read_lists

if TYPE_CHECKING:
    from os import PathLike

    from .revocation import RevocationList

__all__ = ["ClientCertificates", "accept_certificates", "refuse_revoked"]


@attrs.frozen
class ClientCertificates:
    """What a server knows of those who issue its clients' certificates.

    Args:
        authorities: their names, the contents of the DER.
        lists: of what they have revoked; None: that is not looked at.
        path: of the file of the lists.
    """

    authorities: tuple[bytes, ...]
    lists: tuple[RevocationList, ...] | None = None
    path: str = ""


def accept_certificates(context: ssl.SSLContext, client_ca: str | PathLike[str]) -> tuple[bytes, ...]:
    """Have a server's TLS context ask clients for a certificate, and accept those of the authorities in a file.

    There are no tickets: a session that is resumed is not verified again. Without tickets TLS 1.2 can still resume one;
    `tls_info` says then that the certificate is not verified.

    Returns:
        The names of these authorities, the contents of the DER.

    Raises:
        OSError: the file cannot be used.
    """
    with open(client_ca, "rb") as file:  # noqa: PTH123 - pathlib takes long to import
        if "X509 CRL" in labels(file.read()):
            raise ssl.SSLError(errno.EINVAL, "it holds a list of revoked certificates, which belongs in client_crl")
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    # Python 3.13 sets both: the same certificates shall be taken by each Python.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    found: list[bytes] = []
    for each in context.get_ca_certs(binary_form=True):
        with suppress(NotDer):  # OpenSSL takes some that are not quite DER
            found.append(subject(each))
    return tuple(found)


def refuse_revoked(context: ssl.SSLContext, client_crl: str | PathLike[str]) -> tuple[RevocationList, ...]:
    """Have a server's TLS context refuse the certificates that their authorities have revoked, and all those below.

    Returns:
        The lists of the file.

    Raises:
        OSError: the file cannot be used, or holds something else than lists.
    """
    lists = read_lists(client_crl)
    context.load_verify_locations(client_crl)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return lists
