"""Calls of stores and authenticators, whose methods may block, or be coroutines, or neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.operations import Await, Procedure, Run

if TYPE_CHECKING:
    from pop3proto.sasl.answers import Steps

__all__ = ["awaited", "close_without_waiting", "perform_steps"]

T = TypeVar("T")


def awaited(answer: T | Awaitable[T]) -> Procedure[T]:
    """Return an answer; if it is awaitable, await it first, to its end.

    Args:
        answer: what a method of a store or an authenticator returned.
    """
    if not isinstance(answer, Awaitable):
        return answer
    return (yield from Await(cast("Awaitable[T]", answer)))


def close_without_waiting(close: Callable[[], object]) -> None:
    """Close a maildrop where nothing can be awaited: a coroutine is run as long as it does not wait.

    Args:
        close: its method.

    Raises:
        LocalProtocolError: a coroutine has waited, or has failed.
    """
    if not isinstance(answer := close(), Awaitable):
        return
    failure: Exception | None = None
    if isinstance(answer, Coroutine):
        coroutine = cast("Coroutine[object, None, object]", answer)
        try:
            coroutine.send(None)
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - it has looked for an event loop, for example
            failure = error
        coroutine.close()
    raise LocalProtocolError(
        "the maildrop may still be locked: its close is a coroutine method, which the blocking server cannot await"
    ) from failure


@attrs.frozen
class _Done(Generic[T]):
    result: T


_Step: TypeAlias = Awaitable[object] | _Done[T]


def perform_steps(steps: Steps[T], *, blocks: bool) -> Procedure[T]:
    """Perform steps to their end: as many at once as need no waiting in the event loop.

    Args:
        steps: not yet begun.
        blocks: they call what may block, so that each goes through `Run`.
    """
    move: Callable[[], _Step[T]] = partial(_send, steps, None)
    while True:
        step = (yield from Run(move)) if blocks else move()
        if isinstance(step, _Done):
            return step.result
        try:
            answer = yield from Await(step)
        except BaseException as error:  # noqa: BLE001 - the steps decide what becomes of it
            move = partial(_throw, steps, error)
        else:
            move = partial(_send, steps, answer)


def _send(steps: Steps[T], answer: object) -> _Step[T]:
    try:
        return steps.send(answer)
    except StopIteration as end:
        return _Done(cast("T", end.value))


def _throw(steps: Steps[T], error: BaseException) -> _Step[T]:
    try:
        return steps.throw(error)
    except StopIteration as end:
        return _Done(cast("T", end.value))
