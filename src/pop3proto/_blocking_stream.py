"""What a blocking client needs of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .procedures.operations import Procedure

__all__ = ["Stream"]

T = TypeVar("T")


class Stream(Protocol):
    """What runs procedures over a connection."""

    def perform(self, procedure: Procedure[T]) -> T:
        """Run a procedure and return its result."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...

    def interrupt(self) -> None:
        """End what another thread is doing with it."""
        ...

    def beside(self, work: Callable[[], None]) -> AbstractContextManager[None]:
        """Do some work with it beside a block, until the block ends; then `GoingDown` is thrown into its `Read`."""
        ...
