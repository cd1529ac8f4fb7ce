"""What the adapters share of TLS."""

from __future__ import annotations

import ssl

from .procedures.operations import TlsInfo

__all__ = ["client_context", "tls_info", "verifies_server"]


def client_context() -> ssl.SSLContext:
    """Return a context that verifies the server's certificate and name, with TLS 1.2 at least (RFC 8314 section 4)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def verifies_server(context: ssl.SSLContext) -> bool:
    """Return whether a client that uses this context knows, after the handshake, whom it talks to."""
    return context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname


def tls_info(tls: ssl.SSLSocket | ssl.SSLObject) -> TlsInfo:
    """Return what a finished handshake came to."""
    context = tls.context
    verified = context.verify_mode is ssl.CERT_REQUIRED if tls.server_side else verifies_server(context)
    return TlsInfo(tls.version() or "", verified)
