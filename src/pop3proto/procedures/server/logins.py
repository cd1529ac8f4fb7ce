"""What a login waits for: the penalty of its address, and its turn among the logins from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import TimedOut
from pop3proto.procedures.operations import Now, Procedure, Sleep, Turn

from .penalties import LoginAttempt, LoginPenalties
from .turns import LoginTurns

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from .settings import ServiceSettings

__all__ = ["LoginLimiter"]


class LoginLimiter:
    """The logins of all sessions of one server.

    Args:
        settings: has the bounds.
        key: secret octets of this process, 16 to 64.
        lock: what sessions in several threads share.
    """

    def __init__(self, settings: ServiceSettings, key: bytes, lock: AbstractContextManager[object]) -> None:
        penalty = settings.login_penalty
        self._penalties: Final = None if penalty is None else LoginPenalties(penalty)
        self._turns: Final = LoginTurns(settings.logins_per_address)
        self._key: Final = key
        self._lock: Final = lock

    def attempt(self, method: str, now: float) -> LoginAttempt:
        """Return a new attempt, which begins now."""
        return LoginAttempt(method, now, self._key)

    def wait(self, origin: str, attempt: LoginAttempt, until: float) -> Procedure[Turn | None]:
        """Wait until the authenticator may be asked. The turn must be given to `done` in any case.

        Args:
            origin: where the client is; "": it need not wait.
            attempt: the delay counts from its begin, or from the last failure.
            until: how long it may wait.

        Raises:
            TimedOut: it has waited until then.
            ConnectionLost: as the operations `Sleep` and `Turn`.
        """
        if not origin:
            return None
        while True:
            now = yield from Now()
            with self._lock:
                seconds = self._seconds(origin, attempt, now)
                turn = None if seconds else self._turns.take(origin, until, alone=seconds is not None)
            if turn is None:
                if now >= until:
                    raise TimedOut("the delay of logins from this address is too long")
                yield from Sleep(min(seconds or 0, until - now))
                continue
            try:
                if not turn.has_come:
                    yield from turn
                now = yield from Now()
            except BaseException:
                self.done(origin, turn)
                raise
            # The logins that came before may have failed.
            with self._lock:
                seconds = self._seconds(origin, attempt, now)
            if not seconds:
                return turn
            self.done(origin, turn)

    def done(self, origin: str, turn: Turn | None) -> None:
        """Note that the authenticator has answered. A failure is noted before: the next login waits for it."""
        if turn is not None:
            with self._lock:
                self._turns.give_back(origin, turn)

    def failed(self, origin: str, attempt: LoginAttempt, now: float) -> None:
        """Note that credentials were wrong: the next logins from there wait longer."""
        if origin and self._penalties is not None:
            with self._lock:
                self._penalties.failed(origin, attempt, now)

    def _seconds(self, origin: str, attempt: LoginAttempt, now: float) -> float | None:
        """Return how long an attempt has to wait; None if its address has no penalty. The lock is held."""
        if self._penalties is None or (seconds := self._penalties.wait(origin, attempt.began, now)) is None:
            return None
        return max(0, seconds)
