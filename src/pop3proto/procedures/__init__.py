"""What programs do with the protocol, written once, as generators that ask the world for operations. No I/O.

`client` and `server` hold the procedures, `operations` what they may ask for. The names below are those that a
server's author needs: what it serves, and the protocols that a store and an authenticator of one's own implement.
"""

from __future__ import annotations

from pop3proto.sasl.authenticator import Authenticator
from pop3proto.sasl.channel import SessionInfo

from .handlers import HANDLERS
from .maildrop import InUse, Maildrop, MaildropStore, Message, Octets, Refused, Unavailable
from .operations import Procedure
from .server import Handler, Handlers, ServerSession
from .service import Deadlines, Service

__all__ = [
    "HANDLERS",
    "Authenticator",
    "Deadlines",
    "Handler",
    "Handlers",
    "InUse",
    "Maildrop",
    "MaildropStore",
    "Message",
    "Octets",
    "Procedure",
    "Refused",
    "ServerSession",
    "Service",
    "SessionInfo",
    "Unavailable",
]
