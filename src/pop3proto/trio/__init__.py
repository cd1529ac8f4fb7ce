"""pop3proto over trio: `connect` for clients, `serve` for servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio as _  # noqa: F401 - where trio is not installed, this package cannot be imported

from pop3proto._exports import export

if TYPE_CHECKING:
    from pop3proto._aio.client import AsyncClient
    from pop3proto._aio.message import AsyncIncomingMessage
    from pop3proto._aio.session import Connecting
    from pop3proto._io.peers import Peer
    from pop3proto.procedures.cleartext import Cleartext, TlsMode
    from pop3proto.procedures.client.login_plan import LoginMethod, LoginPlan

    from .connecting import connect, connect_over
    from .server import Server, serve

__all__ = [
    "AsyncClient",
    "AsyncIncomingMessage",
    "Cleartext",
    "Connecting",
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
        "pop3proto._aio.client": "AsyncClient",
        "pop3proto._aio.message": "AsyncIncomingMessage",
        "pop3proto._aio.session": "Connecting",
        "pop3proto._io.peers": "Peer",
        "pop3proto.procedures.cleartext": "Cleartext TlsMode",
        "pop3proto.procedures.client.login_plan": "LoginMethod LoginPlan",
        ".connecting": "connect connect_over",
        ".server": "Server serve",
    },
)
