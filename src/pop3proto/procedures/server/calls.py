"""Calls of stores and authenticators, whose methods may block, or be coroutines, or neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, TimedOut
from pop3proto.procedures.operations import Await, Procedure, Run

if TYPE_CHECKING:
    from pop3proto.sasl.answers import Steps

__all__ = ["CLIENT_ERRORS", "awaited", "call", "close_without_waiting", "fault", "for_thread", "perform_steps"]

T = TypeVar("T")

CLIENT_ERRORS: Final = (ConnectionLost, TimedOut, RemoteProtocolError)
"""What ends a session through its client. A store that asks another server may raise them, too."""


def fault(whose: str, error: BaseException) -> RuntimeError:
    """Return what stands for an error that would be mistaken, one of `CLIENT_ERRORS` for example; raise it from that.

    Args:
        whose: what has raised it: "the store".
        error: what was raised, about which the client can do nothing.
    """
    return RuntimeError(f"{whose} raised {type(error).__name__}: {error}")


def for_thread(whose: str, function: Callable[[], T]) -> Callable[[], T]:
    """Return a function to be called in a thread, where nothing that it raises asks for the end of the whole server.

    Args:
        whose: as in `fault`.
        function: it may raise `SystemExit`, for example.
    """

    def called() -> T:
        try:
            return function()
        except (SystemExit, KeyboardInterrupt) as error:
            raise fault(whose, error) from error

    return called


def call(whose: str, function: Callable[[], T | Awaitable[T]], *, blocks: bool) -> Procedure[T]:
    """Call a function, and await what it returns if it is awaitable.

    Args:
        whose: as in `fault`.
        function: plain, or a coroutine function; it takes no arguments.
        blocks: it may wait, so it is called in a worker thread.

    Raises:
        RuntimeError: it raised one of `CLIENT_ERRORS`.
    """
    try:
        answer = (yield from Run(for_thread(whose, function))) if blocks else function()
        return (yield from awaited(answer))
    except CLIENT_ERRORS as error:
        raise fault(whose, error) from error


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
    """Perform steps of the store to their end: as many at once as need no waiting in the event loop.

    Args:
        steps: not yet begun.
        blocks: they call what may block, so that each goes through `Run`.

    Raises:
        RuntimeError: they raised one of `CLIENT_ERRORS`.
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
    except CLIENT_ERRORS as error:
        raise fault("the store", error) from error


def _throw(steps: Steps[T], error: BaseException) -> _Step[T]:
    try:
        return steps.throw(error)
    except StopIteration as end:
        return _Done(cast("T", end.value))
    except CLIENT_ERRORS as raised:
        raise fault("the store", raised) from raised
