"""`POP3_SSL`: a session under TLS from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from typing_extensions import override

from .errors import error_proto
from .pop3 import POP3, UNSAID
from .standard import StandardPOP3_SSL
from .tls import default_context, over_tls

if TYPE_CHECKING:
    import socket
    import ssl
    from os import PathLike

__all__ = ["POP3_SSL", "POP3_SSL_PORT"]

POP3_SSL_PORT: Final = 995


class POP3_SSL(POP3, StandardPOP3_SSL):  # noqa: N801 - its name
    """A session under TLS from the start, with the methods of `POP3`.

    Args:
        host: the server's name: the certificate must be for it.
        port: its port.
        keyfile: a file with the key of a client certificate, PEM; the standard library has it up to Python 3.11.
        certfile: a file with that certificate; likewise.
        timeout: as for `POP3`.
        context: for TLS; None: certificate and name are verified.

    Raises:
        CertificateRefused: the server's certificate was not accepted.
        error_proto, OSError, ValueError: as for `POP3`; or there is a context, and a file as well.
    """

    _context_given = True

    def __init__(  # noqa: PLR0913, PLR0917 - those of the standard library
        self,
        host: str,
        port: int = POP3_SSL_PORT,
        keyfile: str | bytes | PathLike[str] | PathLike[bytes] | None = None,
        certfile: str | bytes | PathLike[str] | PathLike[bytes] | None = None,
        timeout: float | None = UNSAID,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if context is not None and (keyfile is not None or certfile is not None):
            raise ValueError("context and keyfile or certfile arguments are mutually exclusive")
        if keyfile is not None and certfile is None:
            raise ValueError("certfile must be specified")
        self.keyfile: str | bytes | PathLike[str] | PathLike[bytes] | None = keyfile
        self.certfile: str | bytes | PathLike[str] | PathLike[bytes] | None = certfile
        self._context_given = context is not None
        self.context: ssl.SSLContext = context or default_context()
        if certfile is not None:
            self.context.load_cert_chain(certfile, keyfile)
        POP3.__init__(self, host, port, timeout)

    @override
    def _create_socket(self, timeout: float | None) -> socket.socket:
        sock = super()._create_socket(timeout)
        try:
            return over_tls(sock, self.host, self.port, self.context, given=self._context_given)
        except BaseException:
            sock.close()
            raise

    @override
    def stls(self, *_: object, **__: object) -> NoReturn:
        """Refuse: TLS is active.

        Raises:
            error_proto: always. Nothing was sent.
        """
        raise error_proto("-ERR TLS session already established")
