"""Answers of authenticators and stores that may be awaitable: of plain methods and of coroutine methods alike.

`Steps` are written once for both. They yield what has to be awaited, and go on with its result:

    right = yield from answered(verifier.check_password(user, password, session))
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Generator
from typing import TypeAlias, TypeVar, cast

__all__ = ["Steps", "answered", "is_coroutine_method", "settled"]

T = TypeVar("T")

Steps: TypeAlias = Generator[Awaitable[object], object, T]
"""Yields awaitables, is sent their results (or is thrown what they raise), and returns its own result."""


def answered(answer: T | Awaitable[T]) -> Steps[T]:
    """Return an answer; if it is awaitable, yield it first.

    Args:
        answer: what a method returned.
    """
    if not isinstance(answer, Awaitable):
        return answer
    return cast("T", (yield answer))


def is_coroutine_method(method: object) -> bool:
    """Return whether to call this returns a coroutine: a coroutine function, or an object whose `__call__` is one."""
    return inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(getattr(method, "__call__", None))  # noqa: B004 - it is not asked whether it can be called


def settled(steps: Steps[T]) -> T | Awaitable[T]:
    """Return the result of steps; an awaitable of it, if one of them has to be awaited.

    Args:
        steps: not yet begun.
    """
    try:
        awaitable = next(steps)
    except StopIteration as end:
        return cast("T", end.value)
    return _settle(steps, awaitable)


async def _settle(steps: Steps[T], awaitable: Awaitable[object]) -> T:
    try:
        while True:
            try:
                answer = await awaitable
            except BaseException as error:  # noqa: BLE001 - the steps decide what becomes of it
                awaitable = steps.throw(error)
            else:
                awaitable = steps.send(answer)
                del answer  # there may be a secret in it
    except StopIteration as end:
        return cast("T", end.value)
