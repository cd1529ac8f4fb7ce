"""Futures of asyncio: of a call in a thread of its own, and waiting for several in any case."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["all_done", "in_new_thread"]

T = TypeVar("T")


def in_new_thread(call: Callable[[], object]) -> asyncio.Future[object]:
    """Call a function in a thread of its own; return what will have its result."""
    result: Future[object] = Future()
    threading.Thread(target=_work, args=(call, result), name="pop3proto-login", daemon=True).start()
    return asyncio.wrap_future(result)


def _work(call: Callable[[], object], result: Future[object]) -> None:
    try:
        result.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
        result.set_exception(error)
        del call, result  # it holds this frame


async def all_done(futures: Collection[asyncio.Future[T]], *, cancel: bool = False) -> asyncio.CancelledError | None:
    """Wait until all are done, in any case; return a cancellation that came meanwhile, to be raised.

    Args:
        futures: what to wait for.
        cancel: hand the cancellation on to them.
    """
    cancellation: asyncio.CancelledError | None = None
    pending = futures  # those that are done as well: other tasks run, and a cancellation arrives, in any case
    while pending:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancellation = error
            for future in pending if cancel else ():
                future.cancel()
        pending = [future for future in futures if not future.done()]
    return cancellation
