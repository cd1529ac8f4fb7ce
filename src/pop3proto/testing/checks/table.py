"""All checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import greeting, transaction

if TYPE_CHECKING:
    from .check import Check

__all__ = ["CHECKS"]

CHECKS: Final[tuple[Check, ...]] = tuple(
    check for table in (greeting.TABLE, transaction.TABLE) for check in table.checks
)
"""All checks, in the order in which a session goes."""
