"""Whoever wants to see what happens in the sessions of a server, without its secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import attrs

from pop3proto.core.commands import Command
from pop3proto.core.events import AuthResponse, BadCommand
from pop3proto.core.replies import Challenge

if TYPE_CHECKING:
    from pop3proto.core.events import ServerEvent
    from pop3proto.core.server import Response
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["Observer", "masked"]

T = TypeVar("T")


class Observer(Protocol):
    """Is told all that a server hears and says. What it raises ends the session as the store's errors do."""

    def heard(self, session: SessionInfo, event: ServerEvent, /) -> None:
        """Take note of what a client sent: an event of `ServerConnection`, `masked`."""
        ...

    def said(self, session: SessionInfo, response: Response, /) -> None:
        """Take note of what the server answers: octets of messages too, and `masked`."""
        ...

    def ended(self, session: SessionInfo, error: BaseException | None, /) -> None:
        """Take note of the end of a session; without an error it ended by QUIT, or the client hung up."""
        ...


def masked(item: T) -> T:
    """Return an event or a response without the secret that it may hold."""
    if isinstance(item, Command):
        return cast("T", cast("Command[object]", item).redacted())
    match item:
        case AuthResponse() | Challenge():
            return attrs.evolve(item, data=b"")
        case BadCommand():
            return attrs.evolve(item, octets=b"")
        case _:
            return item
