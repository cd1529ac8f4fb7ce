"""The standard library's `poplib`, without its faults: `from pop3proto import poplib`, and the rest stays.

Names, arguments, results and errors are those of `poplib`. TLS is verified, lines of messages have no limit, and what
was not read to its end never passes for another answer. `install` lets programs that import `poplib` have this module.
"""

from __future__ import annotations

import socket as socket
import ssl as ssl
from typing import Final

from .beyond import ListedMessage
from .errors import (
    CertificateRefused,
    CommandRefused,
    EndOfStream,
    ForbiddenCharacter,
    Garbled,
    LoginRefused,
    Malformed,
    OutOfStep,
    QuitTimedOut,
    SessionEnded,
    UncertainQuit,
    error_proto,
)
from .hooks import CR, CRLF, LF, LongAnswer
from .installing import install, uninstall
from .pop3 import POP3, POP3_PORT, TIMEOUT
from .pop3_ssl import POP3_SSL, POP3_SSL_PORT
from .tls import insecure

__all__ = [
    "CR",
    "CRLF",
    "HAVE_SSL",
    "LF",
    "POP3",
    "POP3_PORT",
    "POP3_SSL",
    "POP3_SSL_PORT",
    "TIMEOUT",
    "CertificateRefused",
    "CommandRefused",
    "EndOfStream",
    "ForbiddenCharacter",
    "Garbled",
    "ListedMessage",
    "LoginRefused",
    "LongAnswer",
    "Malformed",
    "OutOfStep",
    "QuitTimedOut",
    "SessionEnded",
    "UncertainQuit",
    "error_proto",
    "insecure",
    "install",
    "uninstall",
]

HAVE_SSL: Final = True

_MAXLINE = 2048
"""Nothing: programs set it, so that `poplib` takes longer lines. Here those of messages have no limit."""
