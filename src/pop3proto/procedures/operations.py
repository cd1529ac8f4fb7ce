"""All that a procedure may ask of the world.

A procedure is a generator. It yields an operation, is sent its result, and returns its own result:

    octets = yield from Read()

A driver performs the operations. If one fails, it throws the error in and performs on until the procedure returns:
it never closes the generator, so that what a `finally` asks for is done too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Generic, ParamSpec, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.errors import Pop3Error
from pop3proto.sasl.channel import TlsInfo

__all__ = [
    "Await",
    "Now",
    "Operation",
    "Procedure",
    "Random",
    "Read",
    "Run",
    "RunLogin",
    "ShuttingDown",
    "Sleep",
    "StartTls",
    "Write",
]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ShuttingDown(Pop3Error):
    """The server is to end. A driver throws this into a session's next `Read`, once, be it under way or to come."""


class Operation(Generic[T_co]):
    """One request; `T_co` is the type of its result, which `yield from` returns."""

    __slots__ = ()

    def __iter__(self) -> Generator[Operation[T_co], object, T_co]:
        """Yield the operation itself and return what the driver sends."""
        return cast("T_co", (yield self))


Procedure: TypeAlias = Generator[Operation[object], object, T]


@attrs.frozen
class Write(Operation[None]):
    """Write octets, all of them.

    Args:
        octets: what to write.
        until: the moment, on the clock of `Now`, after which `TimedOut` is thrown in; None is no such moment.

    Raises:
        ConnectionLost: the peer does not take them any more.
        TimedOut: it was too slow.
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
        ShuttingDown: in a session of a server that is to end. Nothing was read.
    """

    until: float | None = None


@attrs.frozen
class StartTls(Operation[TlsInfo]):
    """Shake hands, with nothing read in clear once it has begun.

    Args:
        last_words: octets to write in clear before the handshake begins.
        until: as in `Write`.

    Raises:
        ConnectionLost: the handshake failed.
        TimedOut: it was too slow.
    """

    last_words: bytes = attrs.field(default=b"", repr=False)
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
    """As `Run`, for work of a login.

    asyncio and trio have a few threads for these alone, so that guessing passwords never delays a session that is
    logged in, and reading mail never delays a login.
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


class Now(Operation[float]):
    """Ask for the time: seconds on a clock that never goes back."""

    __slots__ = ()


@attrs.frozen
class Sleep(Operation[None]):
    """Let time pass; none at all lets other tasks run.

    Args:
        seconds: how much.

    Raises:
        ConnectionLost: the connection was given up meanwhile.
    """

    seconds: float


@attrs.frozen
class Random(Operation[bytes]):
    """Ask for octets that nobody can guess.

    Args:
        count: how many.
    """

    count: int
