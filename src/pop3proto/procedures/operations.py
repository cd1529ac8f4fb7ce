"""Operations: what a procedure asks its driver to do.

A procedure is a generator. It yields an operation, receives the result of the operation, and returns its own result:

    octets = yield from Read()

A driver performs the operations. If one fails, the driver throws the error into the procedure, and goes on performing
operations until the procedure returns. It never closes the generator, so operations in a `finally` block are performed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from datetime import datetime
from functools import partial
from typing import Final, Generic, ParamSpec, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.errors import Pop3Error
from pop3proto.sasl.channel import SessionInfo, TlsInfo

__all__ = [
    "NOW",
    "Await",
    "AwaitLogin",
    "Displaced",
    "EndTurn",
    "Look",
    "NewConnection",
    "Now",
    "Operation",
    "Procedure",
    "Random",
    "Read",
    "Reconnect",
    "Reset",
    "Run",
    "RunLogin",
    "ShuttingDown",
    "Sleep",
    "StartTls",
    "Turn",
    "UtcNow",
    "Write",
]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ShuttingDown(Pop3Error):
    """The server is shutting down. A driver throws this once into a session's `Read`: the present one or the next."""


class Displaced(Pop3Error):
    """A session that has not logged in has to make room for a newer one. A driver throws this into its `Read`."""


class Operation(Generic[T_co]):
    """The base of all operations; `T_co` is the type of the result, which `yield from` returns."""

    __slots__ = ()

    def __iter__(self) -> Generator[Operation[T_co], object, T_co]:
        """Yield the operation itself and return what the driver sends."""
        return cast("T_co", (yield self))


Procedure: TypeAlias = Generator[Operation[object], object, T]


@attrs.frozen
class Write(Operation[None]):
    """Write all of the octets.

    Args:
        octets: the octets.
        until: deadline on the clock of `Now`, after which `TimedOut` is thrown in; None: no deadline.

    Raises:
        ConnectionLost: the connection cannot be written to any more.
        TimedOut: the peer was too slow.
    """

    octets: bytes = attrs.field(repr=False)
    until: float | None = None


@attrs.frozen
class Read(Operation[bytes]):
    """Read at least one octet; the result is empty at end of stream.

    Args:
        until: as in `Write`.

    Raises:
        TimedOut: nothing came in time.
        ShuttingDown: the server is shutting down. Nothing was read.
        Displaced: the session has to end. Nothing was read.
    """

    until: float | None = None


class Look(Operation["bytes | None"]):
    """Return octets that have arrived already, without waiting; None if there are none, b"" at end of stream.

    A driver that cannot know without waiting returns None.

    Raises:
        ConnectionLost: the connection failed or was given up.
    """

    __slots__ = ()


@attrs.frozen
class StartTls(Operation[TlsInfo]):
    """Do the TLS handshake; nothing is read in clear once it has begun.

    Args:
        last_words: octets to write in clear before the handshake begins.
        until: as in `Write`.

    Raises:
        ConnectionLost: the handshake failed.
        TimedOut: it was too slow.
    """

    last_words: bytes = attrs.field(default=b"", repr=False)
    until: float | None = None


class Reset(Operation[None]):
    """End the connection at once, so that the peer gets a reset (RST) where the system can do that. For tests."""

    __slots__ = ()


@attrs.frozen
class NewConnection:
    """The result of `Reconnect`.

    Args:
        info: of the session that begins.
        loopback: the server is on this machine.
    """

    info: SessionInfo
    loopback: bool = False


@attrs.frozen
class Reconnect(Operation[NewConnection]):
    """Close the connection, and make another one to the same server. Nothing is read or written over it, TLS neither.

    The drivers of clients that `connect` has made perform it.

    Args:
        until: as in `Write`.

    Raises:
        ConnectionLost: there is no connection, or it was given up meanwhile.
        TimedOut: it was not made in time.
        LocalProtocolError: this driver does not know where to connect to.
    """

    until: float | None = None


class Run(Operation[T]):
    """Call a function that may block. It goes on to its end even if the procedure is cancelled meanwhile.

    Args:
        function: what to call.
        args: with what.
        kwargs: with what, by name.

    Raises:
        Exception: whatever the function raises.
    """

    __slots__ = ("call",)

    def __init__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        self.call: Callable[[], T] = partial(function, *args, **kwargs)


class RunLogin(Run[T]):
    """As `Run`, for work of a login: it begins at once, in a thread that it shares with nothing else.

    So a login never delays the reading of mail, nor the other way round. How many there are at once, the procedure
    bounds: the others wait for a `Turn`, which ends with the session, where a queue of threads would keep what has not
    begun.
    """

    __slots__ = ()


class Await(Operation[T]):
    """Await something. It goes on to its end even if the procedure is cancelled meanwhile, as `Run` does.

    asyncio and trio perform it. The blocking driver refuses it.

    Args:
        awaitable: what a coroutine method of a store or an authenticator returned.

    Raises:
        LocalProtocolError: the driver cannot await.
        Exception: whatever the awaitable raises.
    """

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self.awaitable: Awaitable[T] = awaitable


class AwaitLogin(Operation[T]):
    """Await something, as work of a login, which has no lock to release: it is cancelled where `Await` goes on.

    Args:
        awaitable: what a coroutine method of an authenticator returned.
        until: as in `Write`.

    Raises:
        LocalProtocolError: the driver cannot await.
        TimedOut: it took too long, and was cancelled.
        Exception: whatever the awaitable raises.
    """

    __slots__ = ("awaitable", "until")

    def __init__(self, awaitable: Awaitable[T], until: float | None = None) -> None:
        self.awaitable: Awaitable[T] = awaitable
        self.until: float | None = until


class Now(Operation[float]):
    """Return the time: seconds on a monotonic clock."""

    __slots__ = ()


NOW: Final = Now()
"""For places that are passed often, as `cast("float", (yield NOW))`: no new object, and no generator."""


class UtcNow(Operation[datetime]):
    """Return date and time, aware, in UTC. Unlike `Now`, it may go back, when the clock is set."""

    __slots__ = ()


@attrs.frozen
class Sleep(Operation[None]):
    """Wait for some seconds; 0 lets other tasks run.

    Args:
        seconds: how long.

    Raises:
        ConnectionLost: the connection was given up meanwhile.
    """

    seconds: float


@attrs.frozen
class Random(Operation[bytes]):
    """Return random octets, fit for secrets.

    Args:
        count: how many.
    """

    count: int


class Turn(Operation[None]):
    """Wait until another session calls `come`, without a thread where the driver can do that.

    Args:
        until: as in `Write`.

    Raises:
        TimedOut: it did not come in time.
        ConnectionLost: the connection was given up meanwhile.
    """

    __slots__ = ("_wake", "has_come", "until")

    def __init__(self, until: float | None = None) -> None:
        self.until: float | None = until
        self.has_come: bool = False
        self._wake: Callable[[], object] | None = None

    def come(self) -> None:
        """Let the session that waits go on. It may be called in any thread in which sessions run."""
        self.has_come = True
        if (wake := self._wake) is not None:
            wake()

    def wake_by(self, wake: Callable[[], object]) -> None:
        """For drivers: set what `come` calls. If the turn has come already, it is called at once.

        Args:
            wake: wakes the driver; it may be called twice.
        """
        self._wake = wake
        if self.has_come:
            wake()


class EndTurn(Turn):
    """As `Turn`, for work at the end of a session. As `Run`, it goes on even if the procedure is cancelled meanwhile.

    Neither does it end by a deadline, or because the connection was given up: the other sessions let it come.
    """

    __slots__ = ()
