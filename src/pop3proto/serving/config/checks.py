"""Checks of numbers in the configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import attrs

__all__ = ["at_least_1", "positive"]


def at_least_1(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    """Check a number, if there is one.

    Raises:
        ValueError: it is less than 1.
    """
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be above 0")


def positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    """Check a duration.

    Raises:
        ValueError: it is 0.
    """
    if not value > 0:
        raise ValueError(f"{attribute.name} must be above 0")
