"""Checks of the greeting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .check import CheckTable

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure

    from .conversation import Conversation

__all__ = ["TABLE"]

TABLE: Final = CheckTable("connection")


@TABLE.must("The server greets with +OK.", "1939 4")
def greeting_positive(talk: Conversation) -> Procedure[None]:
    yield from talk.greet()
