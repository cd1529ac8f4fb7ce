"""pop3proto over blocking sockets: `connect` for clients, `serve` for servers with a thread for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._io.peers import Peer
    from pop3proto.procedures.cleartext import Cleartext, TlsMode
    from pop3proto.procedures.client.login_plan import LoginMethod, LoginPlan

    from .client import Client
    from .connecting import connect, connect_over
    from .message import IncomingMessage
    from .server import Server, serve

__all__ = [
    "Cleartext",
    "Client",
    "IncomingMessage",
    "LoginMethod",
    "LoginPlan",
    "Peer",
    "Server",
    "TlsMode",
    "connect",
    "connect_over",
    "serve",
]

export(
    globals(),
    {
        "pop3proto._io.peers": "Peer",
        "pop3proto.procedures.cleartext": "Cleartext TlsMode",
        "pop3proto.procedures.client.login_plan": "LoginMethod LoginPlan",
        ".client": "Client",
        ".connecting": "connect connect_over",
        ".message": "IncomingMessage",
        ".server": "Server serve",
    },
)
