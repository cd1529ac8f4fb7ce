"""Limits on the number of concurrent sessions: in total, before login, and per address."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, TypeVar

from pop3proto.procedures.operations import EndTurn, RunLogin

from .calls import for_thread
from .logins import ENDS_IN_THREADS, LoginLimiter, Turns
from .networks import origin
from .policy import counted_networks
from .session_counts import OtherSessions, SessionCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from ipaddress import IPv4Network, IPv6Network

    from pop3proto.procedures.operations import Procedure, Turn

    from .penalties import LoginAttempt
    from .settings import ServiceSettings

__all__ = ["Place", "SessionLimiter"]

T = TypeVar("T")


class SessionLimiter:
    """Counts the sessions of one server against its limits, and slows down guesses at passwords: `Service.limiter`.

    Args:
        settings: has the limits.
        key: secret octets of this process, 16 to 64: credentials that failed are remembered as digests with this key.
        lock: what the sessions share if they run in several threads.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        key: bytes = b"",
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._lock: Final[AbstractContextManager[object]] = nullcontext() if lock is None else lock
        self._logins: Final = LoginLimiter(settings, key, self._lock)
        self._ends: Final = Turns(1, ENDS_IN_THREADS, EndTurn)
        self._settings = settings
        self._counts: Final = SessionCounts(counted_networks(settings.policy))
        self._sessions = 0
        self._by_origin: Counter[str] = Counter()
        self._strangers: dict[Place, None] = {}  # sessions before login, the oldest first

    def use(self, settings: ServiceSettings) -> None:
        """Take other limits for the sessions and logins that begin from now on. What was counted stays.

        Raises:
            Exception: what the policy has raised when it was asked for its networks. Nothing has changed then.
        """
        networks = counted_networks(settings.policy)
        with self._lock:
            self._counts.count_networks(networks)  # it is the only one that may raise
            self._settings = settings
            self._logins.use(settings)

    def enter(self, address: str, displace: Callable[[], object] | None = None) -> Place | str:
        """Count a session in, if there is room; if there are too many before login, the oldest of these has to go.

        Args:
            address: the client's address; "" for a client that has none, to which no limit per address applies.
            displace: ends this session, if it has to go. It must not wait, nor call this object.

        Returns:
            Its place; or the reason for `refuse`.
        """
        settings = self._settings
        place = self.place(address, displace)
        with self._lock:
            if self._sessions >= settings.max_sessions:
                return "too many sessions"
            most = settings.max_sessions_per_address
            if place.origin and most is not None and self._by_origin[place.origin] >= most:
                return "too many sessions from your address"
            self._sessions += 1
            self._by_origin[place.origin] += 1
            self._counts.enter(address)
            place.counted = True
            if len(self._strangers) >= settings.most_before_login:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                oldest.displace()
            self._strangers[place] = None
        return place

    def place(self, address: str, displace: Callable[[], object] | None = None) -> Place:
        """Return a place that is not counted, for a session without others.

        Args:
            address: as in `enter`.
            displace: as in `enter`.
        """
        return Place(self, self._logins, address, origin(address, self._settings.exempt), displace)

    def know(self, place: Place) -> None:
        """Note that a session's credentials were verified."""
        with self._lock:
            self._strangers.pop(place, None)

    def run_end(self, function: Callable[[], T]) -> Procedure[T]:
        """Call what an authenticator does at the end of a session, in a thread; four at once, first come first served.

        Args:
            function: as `RunLogin` calls it.
        """
        with self._lock:
            turn = self._ends.take("")
        try:
            if not turn.has_come:
                yield from turn
            return (yield from RunLogin(for_thread("the authenticator", function)))
        finally:
            with self._lock:
                self._ends.give_back("", turn)

    def leave(self, place: Place) -> None:
        """Count a session out."""
        with self._lock:
            self._strangers.pop(place, None)
            self._sessions -= 1
            self._by_origin[place.origin] -= 1
            if not self._by_origin[place.origin]:
                del self._by_origin[place.origin]
            self._counts.leave(place.address)
            place.counted = False
        self.unclaim(place)

    def claim(self, place: Place, user: str) -> None:
        """Count a session among those of a user, in place of the one before."""
        self.unclaim(place)
        with self._lock:
            self._counts.claim(user)
            place.user = user

    def unclaim(self, place: Place) -> None:
        """Count a session out of those of its user, if it is among them."""
        with self._lock:
            if place.user is not None:
                self._counts.unclaim(place.user)
                place.user = None

    def others(self, place: Place, user: str | None, networks: Iterable[IPv4Network | IPv6Network]) -> OtherSessions:
        """Return the numbers of sessions beside one."""
        with self._lock:
            itself = int(place.counted)
            return OtherSessions(
                sessions=self._sessions - itself,
                from_address=self._by_origin[place.origin] - itself if place.origin else 0,
                by_network=self._counts.by_network(place.address, networks),
                of_user=self._counts.of_user(user) - (user is not None and place.user == user),
            )


class Place:
    """The place of one session among those of its server.

    Args:
        limiter: counts the sessions.
        logins: what logins from the same address wait for.
        address: the client's address; "" if it has none.
        origin: what counts as its address; "": no limit per address applies.
        displace: as in `SessionLimiter.enter`.

    Attributes:
        address: the client's address.
        origin: what counts as its address.
        displaced: it had to go, before login.
        counted: it is among the sessions of the server.
        user: among whose sessions it counts; None before login.
    """

    def __init__(
        self,
        limiter: SessionLimiter,
        logins: LoginLimiter,
        address: str,
        origin: str,
        displace: Callable[[], object] | None,
    ) -> None:
        self.address: Final[str] = address
        self.origin: Final[str] = origin
        self.displaced: bool = False
        self.counted: bool = False
        self.user: str | None = None
        self._limiter: Final = limiter
        self._logins: Final = logins
        self._displace: Final = displace

    def displace(self) -> None:
        """End the session, for a newer one."""
        self.displaced = True
        if self._displace is not None:
            self._displace()

    def leave(self) -> None:
        """Give the place back, after the end of the session."""
        self._limiter.leave(self)

    def claim(self, user: str) -> None:
        """Count the session among those of a user, who is about to log in.

        Args:
            user: a name, or what all spellings of it have in common.
        """
        self._limiter.claim(self, user)

    def unclaim(self) -> None:
        """Count the session out of those of its user, if it is among them."""
        self._limiter.unclaim(self)

    def others(self, user: str | None, networks: Iterable[IPv4Network | IPv6Network] = ()) -> OtherSessions:
        """Return the numbers of the other sessions of the server.

        Args:
            user: whose sessions to count, as in `claim`; None: of no user.
            networks: whose sessions to count.
        """
        return self._limiter.others(self, user, networks)

    def run_end(self, function: Callable[[], T]) -> Procedure[T]:
        """As `SessionLimiter.run_end`."""
        return self._limiter.run_end(function)

    def begin_login(self, method: str, now: float) -> LoginAttempt:
        """Return a new attempt to log in, which begins now.

        Args:
            method: a SASL mechanism, "USER/PASS" or "APOP".
            now: the time, on a clock that all sessions of the server share and that never goes back.
        """
        return self._logins.attempt(method, now)

    def wait_to_log_in(self, attempt: LoginAttempt, until: float) -> Procedure[Turn | None]:
        """Wait until the authenticator may be asked. The turn must be given to `end_turn` in any case.

        None: it has waited too long.

        Args:
            attempt: the delay counts from its begin, or from the last failure.
            until: how long it may wait.

        Raises:
            ConnectionLost: as the operations `Sleep` and `Turn`.
        """
        return self._logins.wait(self.origin, attempt, until)

    def leave_thread(self, turn: Turn) -> None:
        """Note that the login needs no thread any more: another one may have it, before `end_turn`."""
        self._logins.leave_thread(turn)

    def end_turn(self, turn: Turn) -> None:
        """Note that the authenticator has answered. A failure is noted before: the next login waits for it."""
        self._logins.done(self.origin, turn)

    def login_failed(self, attempt: LoginAttempt, now: float) -> None:
        """Note that credentials were wrong: the next logins from there wait longer."""
        self._logins.failed(self.origin, attempt, now)

    def login_succeeded(self) -> None:
        """Note that credentials were right: the session is not displaced any more."""
        self._limiter.know(self)
