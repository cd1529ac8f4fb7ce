"""The policy of a site: rules, limits and the delay between logins."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.capabilities import LoginDelay
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.replies import ResponseCode
from pop3proto.core.text import ascii_lower
from pop3proto.procedures.server.networks import address_of, networks_of
from pop3proto.procedures.server.policy import ALLOW, Decision

from .login_times import LoginPace, LoginTimes
from .rules import Rule, check_type, matches, several

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from pop3proto.procedures.server.policy import Facts

__all__ = ["AccessPolicy"]

_NO_LIMITS: Final[Mapping[IPv4Network | IPv6Network, int]] = MappingProxyType({})


def _limits(
    given: Mapping[str, int] | Mapping[IPv4Network | IPv6Network, int],
) -> Mapping[IPv4Network | IPv6Network, int]:
    found: dict[IPv4Network | IPv6Network, int] = {}
    for name, most in given.items():
        [network] = networks_of(str(name))
        check_type(int, most)
        if most < 1:
            raise LocalProtocolError(f"the limit of {network} must be 1 session at least, not {most}")
        found[network] = most
    return MappingProxyType(found)


def _rules(given: Rule | Iterable[Rule]) -> tuple[Rule, ...]:
    return several(Rule, given)


def _paces(given: LoginPace | Iterable[LoginPace]) -> tuple[LoginPace, ...]:
    return several(LoginPace, given)


def _check_most(_policy: object, _attribute: object, most: int | None) -> None:
    if most is not None:
        check_type(int, most)
    if most is not None and most < 1:
        raise LocalProtocolError(f"the limit of a user must be 1 session at least, not {most}")


@attrs.frozen(kw_only=True)
class AccessPolicy:
    """Who may log in, from where and when: a `Policy` for `Service`.

    `Service` itself bounds the sessions of the whole server and of each address.

    Args:
        rules: the first that fits a login decides; if none fits, it is allowed.
        sessions_per_user: sessions of one user at once; more are refused with [IN-USE]. None: no limit.
        sessions_by_network: sessions at once from networks; more are greeted with [SYS/TEMP]. An address counts for
            each network that has it.
        paces: how often users may log in; the first that fits a user counts. More often is refused with [LOGIN-DELAY],
            once the password was right.
        times: when users have logged in. A policy that takes the place of another should have its `times`.
        ignore_case: upper and lower case are the same in names of users, as they are to the authenticator.

    Raises:
        LocalProtocolError: a limit is less than 1, or something is no network.
        TypeError: something is of another type.
    """

    rules: tuple[Rule, ...] = attrs.field(
        default=(), converter=_rules, metadata={"about": "the first that fits a login decides"}
    )
    sessions_per_user: int | None = attrs.field(
        default=None, validator=_check_most, metadata={"about": "sessions of one user at once"}
    )
    sessions_by_network: Mapping[IPv4Network | IPv6Network, int] = attrs.field(
        default=_NO_LIMITS, converter=_limits, metadata={"about": "sessions at once from networks, by their names"}
    )
    paces: tuple[LoginPace, ...] = attrs.field(
        default=(),
        converter=_paces,
        metadata={"about": "how often users may log in; the first that fits counts"},
    )
    times: LoginTimes = attrs.field(factory=LoginTimes, repr=False, eq=False)
    ignore_case: bool = attrs.field(
        default=False, metadata={"about": "upper and lower case are the same in names of users"}
    )

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks whose sessions are counted."""
        return tuple(self.sessions_by_network)

    def before_login(self, facts: Facts, /) -> Decision:
        """Decide on a connection: by its network, and by the rules that are about all users.

        A refusal without a text waits for the login: it has to look like a wrong password.
        """
        number = address_of(facts.address)
        for network, most in self.sessions_by_network.items():
            if number is not None and number in network and facts.sessions_by_network.get(network, 0) >= most:
                return Decision(
                    allowed=False,
                    text="too many sessions from your network",
                    code=ResponseCode.SYS_TEMP,
                    reason=f"more than {most} sessions from {network}",
                )
        for place, rule in enumerate(self.rules, 1):
            decision = rule.decide(facts, f"rule {place}", ignore_case=self.ignore_case)
            if decision is not None:
                return decision if rule.is_about_all and decision.text else ALLOW
        return ALLOW

    def at_login(self, facts: Facts, /) -> Decision:
        """Decide on a login whose credentials are right: by the rules, the limit of the user, and the last logins."""
        for place, rule in enumerate(self.rules, 1):
            decision = rule.decide(facts, f"rule {place}", ignore_case=self.ignore_case)
            if decision is not None:
                if not decision.allowed:
                    return decision
                break
        if facts.acts_for is not None:  # the limits are those of whose maildrop it is
            return ALLOW
        if self.sessions_per_user is not None and facts.sessions_of_user >= self.sessions_per_user:
            return Decision(
                allowed=False,
                text="too many sessions of this user",
                code=ResponseCode.IN_USE,
                reason=f"more than {self.sessions_per_user} sessions of the user",
            )
        user = facts.user or ""
        pace = self._pace(user)
        if pace is not None and (seconds := self.times.wait(self.user_key(user), pace, facts.now.timestamp())):
            return Decision(
                allowed=False,
                text=f"log in again in {math.ceil(seconds)} seconds",
                code=ResponseCode.LOGIN_DELAY,
                reason="the last login is not long enough ago",
            )
        return ALLOW

    def logged_in(self, facts: Facts, /) -> None:
        """Take note of a login, for the time until the next."""
        user = facts.user or ""
        if (pace := self._pace(user)) is not None:
            self.times.note(self.user_key(user), pace, facts.now.timestamp())

    def login_delay(self, user: str | None, /) -> LoginDelay | None:
        """Return what CAPA announces: the time between the logins of a user, or before login the longest of all.

        None: there is none, or it is 0 seconds.
        """
        if user is not None:
            pace = self._pace(user)
            return LoginDelay(math.ceil(pace.every)) if pace is not None and pace.every else None
        longest = max((math.ceil(pace.every) for pace in self.paces), default=0)
        if not longest:
            return None
        alike = len(self.paces) == 1 and "*" in self.paces[0].user
        return LoginDelay(longest, per_user=not alike)

    def user_key(self, user: str, /) -> str:
        """Return what all spellings of a name have in common."""
        return ascii_lower(user) if self.ignore_case else user

    def _pace(self, user: str) -> LoginPace | None:
        return next((pace for pace in self.paces if matches(pace.user, user, ignore_case=self.ignore_case)), None)
