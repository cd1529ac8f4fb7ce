"""What programs do with the protocol, written once, as generators that ask the world for operations. No I/O.

`client` and `server` hold the procedures, `operations` what they may ask for. The names below are those that a
server's author needs: what it serves, and the protocols that a store and an authenticator of one's own implement.
"""

from __future__ import annotations

from pop3proto.sasl.authenticator import Authenticator
from pop3proto.sasl.channel import SessionInfo

from .maildrop import (
    InUse,
    Maildrop,
    MaildropStore,
    Message,
    MessageStream,
    ReadableFile,
    Refused,
    SupportsOpenMany,
    SupportsTop,
    Unavailable,
    wire_size,
)
from .observer import ClientObserver, Observer, ServerObserver
from .operations import Await, Operation, Procedure, Run
from .server.handlers import HANDLERS
from .server.service import Service
from .server.session import Handler, Handlers, ServerSession
from .server.settings import Deadlines

__all__ = [
    "HANDLERS",
    "Authenticator",
    "Await",
    "ClientObserver",
    "Deadlines",
    "Handler",
    "Handlers",
    "InUse",
    "Maildrop",
    "MaildropStore",
    "Message",
    "MessageStream",
    "Observer",
    "Operation",
    "Procedure",
    "ReadableFile",
    "Refused",
    "Run",
    "ServerObserver",
    "ServerSession",
    "Service",
    "SessionInfo",
    "SupportsOpenMany",
    "SupportsTop",
    "Unavailable",
    "wire_size",
]
