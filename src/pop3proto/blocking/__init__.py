"""pop3proto over blocking sockets: `connect` for clients, `serve` for servers with a thread for each connection."""

from __future__ import annotations

from pop3proto._io.peers import Peer

from .client import Client
from .connecting import connect, connect_over
from .message import IncomingMessage
from .server import Server, serve

__all__ = ["Client", "IncomingMessage", "Peer", "Server", "connect", "connect_over", "serve"]
