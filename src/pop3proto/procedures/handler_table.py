"""A table of what answers each class of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.commands import Command
    from pop3proto.core.events import AuthResponse

    from .operations import Procedure
    from .server import Handler, ServerSession

__all__ = ["HandlerTable"]

C = TypeVar("C", bound="Command[object] | AuthResponse")


class HandlerTable(dict[type[object], "Handler"]):
    """Handlers by the class of what they answer."""

    def answers(
        self, kind: type[C]
    ) -> Callable[[Callable[[ServerSession, C], Procedure[None] | None]], Callable[[ServerSession, C], object]]:
        """Return a decorator that enters a handler."""

        def enter(
            handler: Callable[[ServerSession, C], Procedure[None] | None],
        ) -> Callable[[ServerSession, C], object]:
            self[kind] = cast("Handler", handler)
            return handler

        return enter
