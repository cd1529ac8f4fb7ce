"""Run procedures without I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from pop3proto import Pop3Error
from pop3proto.procedures import Operation, Procedure

__all__ = ["perform"]

T = TypeVar("T")


def perform(procedure: Procedure[T], result_of: Callable[[Operation[object]], object]) -> T:
    """Run a procedure to its end, and return its result.

    Args:
        procedure: the procedure; what it raises passes.
        result_of: performs an operation; a `Pop3Error` is thrown into the procedure.
    """
    result: object = None
    error: BaseException | None = None
    while True:
        try:
            operation = procedure.send(result) if error is None else procedure.throw(error)
        except StopIteration as end:
            return cast("T", end.value)
        result = error = None
        try:
            result = result_of(operation)
        except Pop3Error as raised:
            error = raised
