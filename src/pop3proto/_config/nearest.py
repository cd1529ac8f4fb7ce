"""The right name that is nearest to a wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """Return a question to put behind an error; "" if no name is near.

    Args:
        wrong: a name that does not exist.
        names: those that do.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and seldom needed

    near = get_close_matches(wrong.lower(), names, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
