"""The driver of asyncio and trio: what they add to the shared one."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final, TypeVar

from typing_extensions import override

from pop3proto._io.driver import Driver
from pop3proto.procedures.operations import Await, AwaitLogin, EndTurn, Operation, Procedure, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from pop3proto._io.peers import Peer
    from pop3proto._io.tls_channel import MakeChannel

__all__ = ["AsyncStream"]

T = TypeVar("T")

# What is to be finished in any case, as a lock may have to be released. `AwaitLogin` sees to a cancellation itself.
_FINISHED: Final = (Run, Await, AwaitLogin, EndTurn)


class AsyncStream(Driver):
    """A connected stream, and the driver of the procedures that talk over it, one at a time.

    Args:
        peer: the other end.
        channel: makes the TLS channel; None: there is no TLS.
    """

    def __init__(self, peer: Peer, channel: MakeChannel | None = None) -> None:
        super().__init__(peer, channel)
        # asyncio cancels a task once: a cancellation during a `Run` or `Await` is kept for the next operation.
        self._cancellation: BaseException | None = None

    @abstractmethod
    def run_in_background(
        self, work: Callable[[], Coroutine[object, object, None]]
    ) -> AbstractAsyncContextManager[None]:
        """Do some work with this stream in a task, until a block ends, and raise what it raises.

        The end of the block throws `ShuttingDown` into its `Read`.
        """

    @override
    async def perform(self, procedure: Procedure[T], first: Operation[object] | None = None) -> T:
        try:
            return await super().perform(procedure, first)
        finally:
            self._raise_cancellation()

    @override
    def _perform(self, operation: Operation[object]) -> Coroutine[object, object, object]:
        if self._cancellation is not None and not isinstance(operation, _FINISHED):
            self._raise_cancellation()
        return super()._perform(operation)

    def _raise_cancellation(self) -> None:
        if (cancellation := self._cancellation) is not None:
            self._cancellation = None
            raise cancellation
