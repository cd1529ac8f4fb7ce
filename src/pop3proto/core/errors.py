"""The exceptions of the library, by what happened and whose fault it was.

The connections raise `LocalProtocolError`, `RemoteProtocolError` and, at end of stream, `ConnectionLost` or
`UncertainUpdate`; parsing a reply raises `MalformedReply`. The rest are raised by the procedures and the adapters.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType


__all__ = [
    "Broken",
    "Busy",
    "CertificateError",
    "ConnectionLost",
    "LocalProtocolError",
    "MalformedReply",
    "Pop3Error",
    "ProtocolError",
    "RemoteProtocolError",
    "TimedOut",
    "TlsAlert",
    "UncertainUpdate",
    "forget_locals",
    "forgetting_locals",
]


class Pop3Error(Exception):
    """The base class of all exceptions of this library."""


class ProtocolError(Pop3Error):
    """The protocol was violated: by this side (`LocalProtocolError`) or by the peer (`RemoteProtocolError`)."""


class LocalProtocolError(ProtocolError):
    """The caller asked for something that the protocol forbids.

    Nothing was sent and nothing has changed: the connection can still be used.
    """


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. The connection is over."""


class MalformedReply(Pop3Error):
    """A positive reply, or its body, could not be parsed as the answer to its command.

    Framing is intact, so the session goes on.
    """


class ConnectionLost(Pop3Error, ConnectionError):
    """There is no connection, or it ended while an answer was outstanding. The message says which."""


class CertificateError(ConnectionLost):
    """The server's certificate was not accepted, so the TLS handshake failed. Nothing was sent behind it.

    Attributes:
        host: the name that the server was asked for; "" if there was none.
        port: the server's port; 0 if it is not known.
        reason: what is wrong with the certificate.
    """

    def __init__(self, message: str, *, host: str = "", port: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.host = host
        self.port = port
        self.reason = reason


ABOUT_CERTIFICATES: Final = (
    "access denied",
    "bad certificate",
    "certificate expired",
    "certificate required",
    "certificate revoked",
    "certificate unknown",
    "unknown ca",
    "unsupported certificate",
)
"""Alerts by which a peer says that it does not accept a certificate, or wants one."""


class TlsAlert(ConnectionLost):
    """The peer has ended the connection by a TLS alert: it does not accept a certificate that it was shown, perhaps.

    Attributes:
        alert: its name, as "certificate expired" (RFC 8446 section 6.2).
    """

    def __init__(self, message: str, *, alert: str = "") -> None:
        super().__init__(message)
        self.alert = alert

    @property
    def about_certificate(self) -> bool:
        """Whether the peer does not accept the certificate that it was shown, or cannot verify it now, or wants one.

        A server whose list of revoked certificates is out of date says "certificate expired", too.
        """
        return self.alert in ABOUT_CERTIFICATES


class UncertainUpdate(ConnectionLost):
    """The stream ended before QUIT was answered: deletions may or may not have happened (RFC 1939 section 6)."""


class TimedOut(Pop3Error, TimeoutError):
    """A deadline passed. The connection is over."""


class Busy(Pop3Error):
    """Two tasks used one client at once, or a body was still open. Nothing was sent."""


class Broken(Pop3Error):
    """The client cannot be used after an earlier failure, which the message names."""


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of all finished calls in an error's traceback, and in those of the errors behind it.

    What failed while a password or token was in hand has it in its frames, and some loggers write these down.
    """
    seen: set[int] = set()
    following: list[BaseException | None] = [error]
    while following:
        if (each := following.pop()) is None or id(each) in seen:
            continue
        seen.add(id(each))
        traceback: TracebackType | None = each.__traceback__
        while traceback is not None:
            with suppress(RuntimeError):  # it is still running, and has to see to itself
                traceback.tb_frame.clear()
            traceback = traceback.tb_next
        following += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            following += cast("BaseExceptionGroup[BaseException]", each).exceptions


@contextmanager
def forgetting_locals() -> Generator[None]:
    """Apply `forget_locals` to whatever a block raises."""
    try:
        yield
    except BaseException as error:
        forget_locals(error)
        raise
