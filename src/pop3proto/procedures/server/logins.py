"""What a login waits for: the penalty of its address, and its turn among the logins of the server."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from pop3proto.core.errors import TimedOut
from pop3proto.procedures.operations import Now, Procedure, Sleep, Turn

from .penalties import LoginAttempt, LoginDelay, LoginPenalties

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .settings import ServiceSettings

__all__ = ["ENDS_IN_THREADS", "LOGINS_IN_THREADS", "LoginLimiter", "Turns"]

_Address: TypeAlias = "str | Turn"

LOGINS_IN_THREADS: Final = 4
"""Logins of one server that are in a thread at once, if its authenticator blocks."""

ENDS_IN_THREADS: Final = 4
"""Ends of sessions of one server of which its authenticator is told in a thread at once, if it blocks."""


class LoginLimiter:
    """The logins of all sessions of one server.

    Args:
        settings: has the bounds.
        key: secret octets of this process, 16 to 64.
        lock: what sessions in several threads share.
    """

    def __init__(self, settings: ServiceSettings, key: bytes, lock: AbstractContextManager[object]) -> None:
        self._penalties: LoginPenalties | None = None
        self._turns: Final = Turns(settings.logins_per_address)
        self._key: Final = key
        self._lock: Final = lock
        self.use(settings)

    def use(self, settings: ServiceSettings) -> None:
        """Take other bounds. Failures that were noted still count. The lock is held, or there are no sessions yet."""
        penalty = settings.login_penalty
        if penalty is None:
            self._penalties = None
        elif self._penalties is None:
            self._penalties = LoginPenalties(penalty)
        else:
            self._penalties.use(penalty)
        blocks = settings.authenticator.blocks
        self._turns.bound(settings.logins_per_address, LOGINS_IN_THREADS if blocks else math.inf)

    def attempt(self, method: str, now: float) -> LoginAttempt:
        """Return a new attempt, which begins now."""
        return LoginAttempt(method, now, self._key)

    def wait(self, origin: str, attempt: LoginAttempt, until: float) -> Procedure[Turn | None]:
        """Wait until the authenticator may be asked. The turn must be given to `done` in any case.

        None: it has waited too long.

        Args:
            origin: where the client is; "": it waits only for a thread.
            attempt: the delay counts from its begin, or from the last failure.
            until: how long it may wait.

        Raises:
            ConnectionLost: as the operations `Sleep` and `Turn`.
        """
        while (now := (yield from Now())) < until:
            with self._lock:
                delay = self._delay(origin, attempt, now)
                turn = None if delay.seconds else self._turns.take(origin, until, alone=delay.alone)
            if turn is None:
                yield from Sleep(min(delay.seconds, until - now))
                continue
            try:
                if not turn.has_come:
                    with suppress(TimedOut):  # then it is too late
                        yield from turn
                now = yield from Now()
            except BaseException:
                self.done(origin, turn)
                raise
            # The logins that came before may have failed, or have taken too long.
            with self._lock:
                new = self._delay(origin, attempt, now)
            if turn.has_come and not new.seconds and (delay.alone or not new.alone) and now < until:
                return turn
            self.done(origin, turn)
        return None

    def leave_thread(self, turn: Turn) -> None:
        """Note that a login, whose turn goes on, needs no thread any more."""
        with self._lock:
            self._turns.leave_thread(turn)

    def done(self, origin: str, turn: Turn) -> None:
        """Note that the authenticator has answered. A failure is noted before: the next login waits for it."""
        with self._lock:
            self._turns.give_back(origin, turn)

    def failed(self, origin: str, attempt: LoginAttempt, now: float) -> None:
        """Note that credentials were wrong: the next logins from there wait longer."""
        if origin and self._penalties is not None:
            with self._lock:
                self._penalties.failed(origin, attempt, now)

    def _delay(self, origin: str, attempt: LoginAttempt, now: float) -> LoginDelay:
        """Return what the address demands of an attempt. The lock is held."""
        return LoginDelay() if self._penalties is None else self._penalties.demand(origin, attempt.began, now)


class Turns:
    """Counts calls of the authenticator under way: of each address, and in threads. The others wait. Not thread-safe.

    There is one for logins, and one for the ends of sessions. A turn comes when its address has room and a thread is
    free. Those of one address come in order. The addresses with room take a thread one after the other, so that the
    calls of one do not hold up another.

    Args:
        most: calls under way for one address.
        threads: calls in threads; infinite: no call needs one.
        kind: the operation that waits.
    """

    def __init__(self, most: int, threads: float = math.inf, kind: type[Turn] = Turn) -> None:
        self._kind: Final = kind
        self._most = most
        self._threads = threads
        self._in_threads: Final[set[Turn]] = set()
        self._under_way: Final[Counter[_Address]] = Counter()
        self._waiting: Final[dict[_Address, dict[Turn, int]]] = {}  # with the room that each needs, in order
        self._ready: Final[dict[_Address, None]] = {}  # addresses that wait for a thread only, in order

    def bound(self, most: int, threads: float) -> None:
        """Take other bounds, for the calls to come."""
        self._most, self._threads = most, threads

    def take(self, address: str, until: float | None = None, *, alone: bool = False) -> Turn:
        """Return a turn, which has come if there is room. It must be given back in any case.

        Args:
            address: the client's; "": it counts alone, as if no other call had the same.
            until: how long it waits, as `Read`.
            alone: it comes when no other call of the address is under way.
        """
        turn = self._kind(until)
        self._waiting.setdefault(address or turn, {})[turn] = 1 if alone else self._most
        self._look_at(address or turn)
        self._let_come()
        return turn

    def leave_thread(self, turn: Turn) -> None:
        """Give the thread of a turn back, and not the turn."""
        self._in_threads.discard(turn)
        self._let_come()

    def give_back(self, address: str, turn: Turn) -> None:
        """End a call, or its waiting: the next one has its turn."""
        if turn.has_come:
            self._under_way[address or turn] -= 1
            self._in_threads.discard(turn)
        else:
            del self._waiting[address or turn][turn]
        self._look_at(address or turn)
        self._let_come()

    def _let_come(self) -> None:
        while self._ready and len(self._in_threads) < self._threads:
            address = next(iter(self._ready))
            turn = next(iter(self._waiting[address]))
            del self._ready[address], self._waiting[address][turn]
            self._under_way[address] += 1
            self._in_threads.add(turn)
            turn.come()
            self._look_at(address)

    def _look_at(self, address: _Address) -> None:
        """Note whether an address, of which something has changed, has room for the next of its calls."""
        waiting = self._waiting.get(address)
        if waiting and self._under_way[address] < waiting[next(iter(waiting))]:
            self._ready.setdefault(address)
        else:
            self._ready.pop(address, None)
        if not waiting:
            self._waiting.pop(address, None)
        if not self._under_way[address]:
            del self._under_way[address]
