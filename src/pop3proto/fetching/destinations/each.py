"""A base for destinations that take one message at a time."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import attrs

from pop3proto.fetching.destination import Found, NotTaken
from pop3proto.fetching.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Mapping, Sequence

    from pop3proto.fetching.destination import Arrival, Writer

__all__ = ["DeliverEach", "Delivered"]


@attrs.frozen
class Delivered:
    """A whole message that is to be delivered.

    Args:
        arrival: what is known of it.
        spool: its octets.
    """

    arrival: Arrival
    _spool: Spool

    @property
    def octets(self) -> int:
        """How many octets were received."""
        return self._spool.octets

    def open(self) -> BinaryIO:
        """Return the message as it was received, with CRLF line ends, as a file for reading.

        Each call begins at the start. Close one file before the next is opened.

        Raises:
            OSError: it cannot be opened.
        """
        return self._spool.open()


class DeliverEach(ABC):
    """A destination that is given one whole message at a time. A subclass says what is done with it.

    For example::

        class Printer(DeliverEach):
            name = "the printer"

            def deliver(self, message: Delivered) -> None:
                with message.open() as file:
                    status = subprocess.run(["lp"], input=file.read(), check=False).returncode
                if status:
                    raise NotTaken(f"lp: exit status {status}", later=True)

    Messages wait in memory below 1 MiB, else in a file without a name where temporary files belong.

    If `deliver` is a coroutine function, `commit` returns an awaitable: for fetches under asyncio and trio alone.

    Attributes:
        name: what it is called in messages: "the printer".
        recalls: whether the subclass has a `recall` that can tell which messages are there.
        batch: most messages that are committed at once. With 1, at most one message is in doubt after a crash.
    """

    name: str
    recalls: bool = False
    batch: int = 1

    @abstractmethod
    def deliver(self, message: Delivered, /) -> Awaitable[None] | None:
        """Deliver a message. When it returns, the message is safe.

        Raises:
            NotTaken: this message was not delivered. It stays on the server.
            OSError: nothing can be delivered now.
        """

    def begin(self, arrival: Arrival, /) -> Writer:
        """Begin a message."""
        return _Waiting(arrival)

    def commit(self, writers: Sequence[Writer], /) -> Sequence[NotTaken | None] | Awaitable[Sequence[NotTaken | None]]:
        """Deliver the messages, one after the other."""
        messages = cast("Sequence[_Waiting]", writers)
        if inspect.iscoroutinefunction(self.deliver):
            return self._deliver_all(messages)
        return [self._deliver(message) for message in messages]

    def recall(self, marks: Collection[str], /, *, headers: bool = True) -> Mapping[str, Found]:
        """Return nothing: this does not know what was delivered."""
        del marks, headers
        return {}

    def _deliver(self, message: _Waiting) -> NotTaken | None:
        try:
            self.deliver(Delivered(message.arrival, message.spool))
        except NotTaken as reason:
            return reason
        finally:
            message.abort()
        return None

    async def _deliver_all(self, messages: Sequence[_Waiting]) -> Sequence[NotTaken | None]:
        results: list[NotTaken | None] = []
        for message in messages:
            try:
                await cast("Awaitable[None]", self.deliver(Delivered(message.arrival, message.spool)))
            except NotTaken as reason:
                results.append(reason)
            else:
                results.append(None)
            finally:
                message.abort()
        return results


class _Waiting:
    """A message whose octets are being gathered."""

    __slots__ = ("arrival", "spool")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival: Final = arrival
        self.spool: Final = Spool()

    def write(self, octets: bytes, /) -> None:
        self.spool.write(octets)

    def abort(self) -> None:
        self.spool.close()
