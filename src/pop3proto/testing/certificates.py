"""Certificates for test servers, made when they are needed. The extra `testing` is needed for that."""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import trustme

__all__ = ["NAMES", "authority", "certificate_file", "client_context"]

NAMES: Final = ("localhost", "127.0.0.1", "::1")
"""What the certificate of a test server is for."""


@cache
def authority() -> trustme.CA:
    """Return the authority that issues certificates in this process, which no other process trusts.

    Raises:
        ImportError: trustme is not installed.
    """
    try:
        import trustme  # noqa: PLC0415 - most tests do without TLS
    except ImportError as error:
        raise ImportError(
            "a certificate for a test server needs trustme: "
            "install pop3proto[testing], or give certificate= or context="
        ) from error
    return trustme.CA()


@cache
def _issued() -> trustme.LeafCert:
    return authority().issue_cert(*NAMES)


def certificate_file() -> AbstractContextManager[str]:
    """Return a context manager: inside its block, the path of a PEM file with certificate and key of a server."""
    return _issued().private_key_and_cert_chain_pem.tempfile()


def client_context() -> ssl.SSLContext:
    """Return a new context of a client that trusts this authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority().cert_pem.bytes().decode())
    return context
