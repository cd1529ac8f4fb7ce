"""What the policy of a server says of one session: at its connection, and at its logins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from pop3proto.procedures.operations import Operation, Procedure, UtcNow
from pop3proto.sasl.authenticator import implements

from .calls import CLIENT_ERRORS, fault
from .policy import ALLOW, ComparesNames, Decision, Facts, KnowsLoginDelay, NotesLogins, counted_networks, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.core.capabilities import LoginDelay
    from pop3proto.procedures.maildrop import Refused
    from pop3proto.sasl.channel import SessionInfo

    from .limits import Place
    from .policy import Policy

__all__ = ["SessionPolicy"]

T = TypeVar("T")


class SessionPolicy:
    """Asks the policy about one session, and counts its user.

    Args:
        break_off: ends the session at once; nothing more is written.
        policy: what to ask; None: all is allowed.
        place: the session's place among those of the server.
    """

    def __init__(self, break_off: Callable[[], None], policy: Policy | None, place: Place) -> None:
        self._break_off: Final = break_off
        self._policy: Final = policy
        self._place: Final = place
        self._denied: Decision | None = None  # what the connection was told, if each login is to look like a wrong one
        self._facts: Facts | None = None  # of the login under way

    def at_connect(self, info: SessionInfo) -> Procedure[Refused | None]:
        """Return why the session has to end at once; None: it goes on."""
        if self._policy is None:
            return None
        decision = _decided(self._policy.before_login, (yield from self._learn(info, None)))
        if not decision.allowed and not decision.text:
            self._denied = decision
        return refusal_of(decision)

    def on_behalf(self, info: SessionInfo, user: str, other: str) -> Procedure[Decision]:
        """Decide whether a user whose credentials are right may log in at all, to act for another.

        Args:
            info: of the session.
            user: whose credentials are right.
            other: whose maildrop is to be opened. `at_login` decides on this one.
        """
        if self._policy is None:
            return ALLOW
        facts = yield from self._learn(info, user, other)
        return self._denied or _decided(self._policy.at_login, facts)

    def at_login(self, info: SessionInfo, user: str) -> Procedure[Decision]:
        """Decide on a login whose credentials are right. What is allowed counts, until `login_failed`.

        Args:
            info: of the session.
            user: whose maildrop is to be opened.
        """
        decision = ALLOW
        # Counted first: of two sessions that log in at once, each sees the other. It counts without a policy, too: the
        # server may have one later.
        self._place.claim(self._key(user))
        if self._policy is not None:
            self._facts = yield from self._learn(info, user)
            decision = self._denied or _decided(self._policy.at_login, self._facts)
        if not decision.allowed:
            self._place.unclaim()
        return decision

    def login_failed(self) -> None:
        """Take note that the maildrop was not opened."""
        self._place.unclaim()

    def logged_in(self) -> None:
        """Take note that the maildrop was opened."""
        noting, facts = self._policy, self._facts
        if facts is not None and implements(noting, NotesLogins):
            _own(lambda: noting.logged_in(facts))

    def login_delay(self, user: str | None) -> LoginDelay | None:
        """Return what the policy demands between two logins, as CAPA announces it."""
        return self._policy.login_delay(user) if implements(self._policy, KnowsLoginDelay) else None

    def _key(self, user: str) -> str:
        """Return by what the sessions of a user are counted."""
        return self._policy.user_key(user) if implements(self._policy, ComparesNames) else user

    def _tell(self, clock: Operation[T]) -> Procedure[T]:
        """Return what a clock tells."""
        try:
            return (yield from clock)
        except BaseException:
            self._break_off()
            raise

    def _learn(self, info: SessionInfo, user: str | None, acts_for: str | None = None) -> Procedure[Facts]:
        now = yield from self._tell(UtcNow())
        others = self._place.others(None if user is None else self._key(user), counted_networks(self._policy))
        return Facts(
            address=info.address,
            now=now,
            listener=info.listener,
            tls=info.tls is not None,
            server_name=info.server_name,
            user=user,
            acts_for=acts_for,
            sessions=others.sessions,
            sessions_from_address=others.from_address,
            sessions_by_network=others.by_network,
            sessions_of_user=others.of_user,
        )


def _decided(method: Callable[[Facts], Decision], facts: Facts) -> Decision:
    """Return what a policy decides.

    Raises:
        TypeError: it has not decided.
        Exception: what it has raised.
    """
    decision = cast("object", _own(lambda: method(facts)))
    if not isinstance(decision, Decision):
        raise TypeError(f"the policy must answer with a Decision, not {decision!r}")
    return decision


def _own(call: Callable[[], T]) -> T:
    """Call a method of the policy; what it raises is not about the client."""
    try:
        return call()
    except CLIENT_ERRORS as error:
        raise fault("the policy", error) from error
