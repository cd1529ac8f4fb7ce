"""All checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .rules import capabilities, deleting, exchanges, greeting, login, maildrop, sessions, stls

if TYPE_CHECKING:
    from .check import Check

__all__ = ["CHECKS"]

_TABLES: Final = (
    greeting.CONNECTED,
    greeting.AFTER,
    stls.TABLE,
    capabilities.BEFORE_LOGIN,
    login.TABLE,
    exchanges.TABLE,
    capabilities.AFTER_LOGIN,
    maildrop.TABLE,
    sessions.LOGGED_IN,
    sessions.BEFORE_LOGIN,
    deleting.TABLE,
)

CHECKS: Final[tuple[Check, ...]] = tuple(check for table in _TABLES for check in table.checks)
"""All checks, in the order in which they are run."""
