"""TLS over a socket, verified unless a program says otherwise."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

from pop3proto._io.tls import client_context, handshake_failure

from .errors import CertificateRefused

if TYPE_CHECKING:
    import socket

    from pop3proto.core.errors import CertificateError

__all__ = ["default_context", "insecure", "over_tls", "verify_by_default"]

_WAY_OUT = (
    ", or set SSL_CERT_FILE to a file of all certificates to be trusted; to verify nothing, as poplib does, so that an "
    "attacker in between can read the password, pass context=pop3proto.poplib.insecure(), or --insecure to "
    "python -m pop3proto.poplib"
)


class _Default:
    """What is done for programs that pass no context."""

    verifies = True


def verify_by_default(verify: bool) -> None:  # noqa: FBT001 - it is the only thing that it takes
    """Choose whether TLS is verified where a program passes no context."""
    _Default.verifies = verify


def insecure() -> ssl.SSLContext:
    """Return a context that verifies nothing, as that which `poplib` uses by default.

    An attacker between client and server can read the password and the mail. To trust one certificate or authority
    more, pass `context=ssl.create_default_context()`, on which you have called `load_verify_locations`, instead.
    """
    context = client_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def default_context() -> ssl.SSLContext:
    """Return the context for a program that passes none."""
    return client_context() if _Default.verifies else insecure()


def over_tls(sock: socket.socket, host: str, port: int, context: ssl.SSLContext, *, given: bool) -> ssl.SSLSocket:
    """Shake hands over a connected socket, which is taken over, and closed if that fails.

    Args:
        sock: the socket.
        host: the server's name.
        port: its port, for messages.
        context: for the handshake.
        given: the program has given it.

    Raises:
        CertificateRefused: a default context did not accept the server's certificate.
        OSError: the handshake failed.
    """
    if given:
        return context.wrap_socket(sock, server_hostname=host)
    tls = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        tls.do_handshake()
    except ssl.SSLCertVerificationError as error:
        failure = cast("CertificateError", handshake_failure(error, tls, port=port))
        tls.close()
        raise _refused(error, failure) from error
    except BaseException:
        tls.close()
        raise
    return tls


def _refused(error: ssl.SSLCertVerificationError, failure: CertificateError) -> CertificateRefused:
    refused = CertificateRefused(error.errno, f"{failure}{_WAY_OUT}")
    refused.host, refused.port, refused.reason = failure.host, failure.port, failure.reason
    refused.verify_code, refused.verify_message = error.verify_code, error.verify_message
    return refused
