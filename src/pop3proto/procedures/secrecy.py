"""Tracebacks without secrets."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["forget_locals"]


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of all finished calls in an error's traceback, and in those of the errors behind it.

    What failed while a password or token was in hand has it in its frames, and some loggers write these down.
    """
    seen: set[int] = set()
    following: list[BaseException | None] = [error]
    while following:
        if (each := following.pop()) is None or id(each) in seen:
            continue
        seen.add(id(each))
        traceback: TracebackType | None = each.__traceback__
        while traceback is not None:
            with suppress(RuntimeError):  # it is still running, and has to see to itself
                traceback.tb_frame.clear()
            traceback = traceback.tb_next
        following += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            following += cast("BaseExceptionGroup[BaseException]", each).exceptions
