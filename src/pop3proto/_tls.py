"""What the adapters share of TLS."""

from __future__ import annotations

import ssl

from .procedures.operations import TlsInfo

__all__ = ["client_context", "tls_info"]


def client_context() -> ssl.SSLContext:
    """Return a context that verifies the server's certificate and name, with TLS 1.2 at least (RFC 8314 section 4)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_info(tls: ssl.SSLSocket | ssl.SSLObject) -> TlsInfo:
    """Return what a finished handshake came to."""
    context = tls.context
    verified = context.verify_mode is ssl.CERT_REQUIRED and (tls.server_side or context.check_hostname)
    return TlsInfo(tls.version() or "", verified)
