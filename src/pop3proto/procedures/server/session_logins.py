"""The logins of one session: what they wait for, how they end, and what is noted of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar, cast

from pop3proto.core.errors import TimedOut
from pop3proto.core.replies import ResponseCode
from pop3proto.procedures.maildrop import Refused
from pop3proto.procedures.operations import AwaitLogin, Now, Procedure, RunLogin, Turn
from pop3proto.sasl.mechanism import CredentialsRejected, MechanismError

from .calls import CLIENT_ERRORS, fault, for_thread

if TYPE_CHECKING:
    from .limits import Place
    from .penalties import LoginAttempt
    from .session_events import LoginFailure
    from .session_record import SessionRecord

__all__ = ["SessionLogins"]

T = TypeVar("T")

_WHOSE: Final = "the authenticator"


async def _own(answer: Awaitable[T]) -> T:
    """Await an answer. A `TimedOut` that it raises itself is not that of its deadline."""
    try:
        return await answer
    except CLIENT_ERRORS as error:
        raise fault(_WHOSE, error) from error


def _too_late() -> Refused:
    return Refused("the login cannot be checked in time", ResponseCode.SYS_TEMP)


class SessionLogins:
    """The logins of one session.

    Args:
        break_off: ends the session at once; nothing more is written.
        place: the session's place among those of the server.
        record: what the session has done.
        tell_failure: is told of each login that has failed: how, whose by the name that was given, and why.

    Attributes:
        attempt: the login under way; None between logins.
        method: how the client has shown that its credentials are right; "" before.
        acts: who may act for whom, as far as the authenticator has said so for the login under way; None: it has not.
        failed: number of refused logins, those included whose messages made no sense.
        until: deadline of the login.
    """

    def __init__(
        self,
        break_off: Callable[[], None],
        place: Place,
        record: SessionRecord,
        tell_failure: Callable[[str, str, LoginFailure], object] = lambda _method, _user, _why: None,
    ) -> None:
        self.attempt: LoginAttempt | None = None
        self.method: str = ""
        self.acts: tuple[str, str] | None = None
        self.failed: int = 0
        self.until: float = 0.0
        self._break_off: Final = break_off
        self._place: Final = place
        self._record: Final = record
        self._tell_failure: Final = tell_failure

    def begin(self, method: str, now: float) -> LoginAttempt:
        """Begin an attempt to log in, and return it: add to it what the client shows, a name and a password.

        Args:
            method: a SASL mechanism, or another name for the log.
            now: the time.
        """
        self.acts = None
        self.attempt = self._place.begin_login(method, now)
        return self.attempt

    def call(
        self,
        attempt: LoginAttempt,
        function: Callable[[], T | Awaitable[T]],
        *,
        blocks: bool,
        claimed_user: Callable[[], str] = str,
        rejected: Callable[[], bool] = bool,
    ) -> Procedure[T]:
        """Call a function of the authenticator, when the failures from this address and other logins allow it.

        Args:
            attempt: for which attempt to log in.
            function: plain, or a coroutine function; it takes no arguments.
            blocks: it may wait, so it is called in a thread.
            claimed_user: returns whom the client says that it is, for the log; "" if it has not said it.
            rejected: returns whether the credentials turned out to be wrong, though the function returned.

        Raises:
            CredentialsRejected, MechanismError: the function raised it; the failure was noted.
            Refused: the deadline of the login has passed, even if the credentials are right; the session ends.
        """
        turn = yield from self._wait(attempt)
        try:
            answer = yield from self._ask(function, turn, blocks=blocks)
        except CredentialsRejected:
            yield from self._note_failure(attempt, claimed_user())
            raise
        except MechanismError:  # no credentials were read: this counts for the session, and not for its address
            self.failed += 1
            self.attempt = None
            self._not_checked(attempt, claimed_user())
            raise
        except Exception:
            self._not_checked(attempt, claimed_user())
            raise
        else:
            if rejected():
                yield from self._note_failure(attempt, claimed_user())
            elif (yield from self._now()) >= self.until:  # what is in a thread cannot be cancelled, and took too long
                self._not_checked(attempt, claimed_user())
                raise _too_late()
            return answer
        finally:
            # Only now: the next login, maybe in another thread, has to wait for a failure of this one.
            if turn is not None:
                self._place.end_turn(turn)

    def _ask(self, function: Callable[[], T | Awaitable[T]], turn: Turn | None, *, blocks: bool) -> Procedure[T]:
        if turn is None:
            raise _too_late()
        try:
            answer = (yield from RunLogin(for_thread(_WHOSE, function))) if blocks else function()
        except CLIENT_ERRORS as error:
            raise fault(_WHOSE, error) from error
        if not isinstance(answer, Awaitable):
            return answer
        self._place.leave_thread(turn)
        try:
            return (yield from AwaitLogin(_own(cast("Awaitable[T]", answer)), self.until))
        except TimedOut:
            raise _too_late() from None

    def _note_failure(self, attempt: LoginAttempt, user: str) -> Procedure[None]:
        now = attempt.began
        try:
            now = yield from self._now()
        finally:
            self.note_failure(user, now)  # also that of a session that was cut off meanwhile

    def _now(self) -> Procedure[float]:
        try:
            return (yield from Now())
        except BaseException:
            self._break_off()
            raise

    def _wait(self, attempt: LoginAttempt) -> Procedure[Turn | None]:
        try:
            return (yield from self._place.wait_to_log_in(attempt, self.until))
        except BaseException:
            self._break_off()
            raise

    def note_failure(self, user: str, now: float) -> None:
        """Note that the credentials of the attempt were wrong.

        Args:
            user: the name that the client gave; "" if it gave none.
            now: the time.
        """
        self.failed += 1
        if (attempt := self.attempt) is not None:
            self.attempt = None
            self._record.login_failed(attempt.method, user)
            self._place.login_failed(attempt, now)
            self._tell_failure(attempt.method, user, "credentials")

    def note_refusal(self) -> Procedure[None]:
        """Count a login that the policy refuses as one whose credentials were wrong."""
        now = yield from self._now()
        self.failed += 1
        if (attempt := self.attempt) is not None:
            self.attempt = None
            self._place.login_failed(attempt, now)

    def _not_checked(self, attempt: LoginAttempt, user: str) -> None:
        self._record.login_not_checked(attempt.method, user)
        self._tell_failure(attempt.method, user, "not checked")

    def note_told(self, user: str) -> None:
        """Note that the credentials of the attempt were right, and that the client is told why it is refused.

        It is still a session before login, and one more refused login; the penalty of its address does not grow.

        Args:
            user: whose they are.
        """
        self._record.user = user
        self.failed += 1
        self.attempt = None

    def note_success(self, user: str) -> None:
        """Note that the credentials of the attempt were right, and that the policy allows the login.

        Args:
            user: whose they are.
        """
        self._record.user = user
        self._place.login_succeeded()
        if (attempt := self.attempt) is not None:
            self.attempt = None
            self.method = attempt.method
