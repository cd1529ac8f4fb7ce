"""Checks of the commands after login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .check import CheckTable

if TYPE_CHECKING:
    from pop3proto.procedures.operations import Procedure

    from .conversation import Conversation

__all__ = ["TABLE"]

TABLE: Final = CheckTable("transaction")


@TABLE.must("NOOP is accepted.", "1939 5")
def noop_accepted(talk: Conversation) -> Procedure[None]:
    yield from talk.accepted(b"NOOP")
