"""How clients log in, and how many of them there may be."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cattrs reads the annotations
from typing import cast

import attrs

from pop3proto._config.keys import about
from pop3proto._config.units import Seconds, show_seconds
from pop3proto.procedures.cleartext import Cleartext  # noqa: TC001 - cattrs reads the annotations
from pop3proto.procedures.server.deadlines import DEFAULT_DEADLINES, Deadlines
from pop3proto.procedures.server.penalties import LoginPenalty
from pop3proto.serving.access.hours import Hours  # noqa: TC001 - as above
from pop3proto.serving.access.login_times import LoginPace
from pop3proto.serving.access.rules import Refusal, Rule

from .checks import at_least_1
from .values import MethodName, NetworkName, UserPattern

__all__ = ["AccessRule", "LoginDelayRule", "LoginSettings", "Penalty", "SessionLimits", "Timeouts"]


@attrs.frozen(kw_only=True)
class Penalty:
    """How long logins wait after failures from the same address.

    Raises:
        LocalProtocolError: the times do not go together.
    """

    first: Seconds = attrs.field(
        default=Seconds(LoginPenalty().first), metadata=about("the delay after the first failure; each next doubles it")
    )
    most: Seconds = attrs.field(default=Seconds(LoginPenalty().most), metadata=about("the longest delay"))
    forget_after: Seconds = attrs.field(
        default=Seconds(LoginPenalty().forget_after),
        metadata=about("an address without a new failure for so long has no delay any more"),
    )

    def __attrs_post_init__(self) -> None:
        self.value()

    def value(self) -> LoginPenalty:
        """Return it as the server takes it."""
        return LoginPenalty(first=self.first, most=self.most, forget_after=self.forget_after)


@attrs.frozen(kw_only=True)
class LoginDelayRule:
    """How often some users may log in.

    Raises:
        ValueError: a number is too small, or too large.
    """

    every: Seconds = attrs.field(metadata=about("the time between two logins of a user; 0: as often as they like"))
    burst: int = attrs.field(default=1, metadata=about("so many logins are free after a pause"))
    user: tuple[UserPattern, ...] = attrs.field(
        default=(UserPattern("*"),),
        metadata=about("whose logins: patterns of names, such as `kiosk*`; the first table that fits a user counts"),
    )

    def __attrs_post_init__(self) -> None:
        self.value()

    def value(self) -> LoginPace:
        """Return it as the policy takes it."""
        return LoginPace(user=self.user, every=self.every, burst=self.burst)


@attrs.frozen(kw_only=True)
class AccessRule:
    """What becomes of some logins.

    Raises:
        ValueError: it refuses what fits, and has an `else`.
    """

    user: tuple[UserPattern, ...] = attrs.field(
        default=(UserPattern("*"),), metadata=about("whose logins: patterns of names, such as `kiosk*`")
    )
    from_: tuple[NetworkName, ...] = attrs.field(
        default=(), metadata=about("from where: addresses or networks; without it, from anywhere")
    )
    listener: tuple[UserPattern, ...] = attrs.field(
        default=(UserPattern("*"),),
        metadata=about("over which listeners: patterns of their addresses and ports, such as `*:110`, or their names"),
    )
    hours: tuple[Hours, ...] = attrs.field(default=(), metadata=about("when; without it, at any time"))
    refuse: Refusal | None = attrs.field(
        default=None, metadata=about("what fits is refused, and how; without it, it is allowed")
    )
    else_: Refusal | None = attrs.field(
        default=None,
        metadata=about("how the same users are refused from elsewhere, at another time, or over another listener"),
    )

    def __attrs_post_init__(self) -> None:
        self.value()

    def value(self) -> Rule:
        """Return it as the policy takes it."""
        return Rule(
            user=self.user,
            networks=self.from_,
            listener=self.listener,
            hours=self.hours,
            refuse=self.refuse,
            otherwise=self.else_,
        )


@attrs.frozen(kw_only=True)
class LoginSettings:
    """How clients log in."""

    methods: tuple[MethodName, ...] | None = attrs.field(
        default=None,
        metadata=about(
            "the login methods: SASL mechanisms, `USER/PASS`, `APOP`; without it, all that suit the users except -PLUS"
        ),
    )
    cleartext: Cleartext = attrs.field(
        default="loopback",
        metadata=about(
            "when passwords are accepted without TLS: never, from this machine, always. Behind a proxy the client's "
            "address counts"
        ),
    )
    attempts: int = attrs.field(
        default=5, metadata=about("the session ends after so many refused logins"), validator=at_least_1
    )
    failure_delay: Seconds = attrs.field(
        default=Seconds(2), metadata=about("the time before a refused login is answered")
    )
    penalty: Penalty = attrs.field(
        default=Penalty(), metadata=about("how long logins wait after failures from the same address: a table")
    )
    delay: tuple[LoginDelayRule, ...] = attrs.field(
        default=(), metadata=about("how often users may log in, which CAPA announces: a table, or a list of them")
    )
    delay_file: Path | None = attrs.field(
        default=None, metadata=about("a file that keeps the times of logins over a restart; without it, they are lost")
    )
    ignore_case: bool = attrs.field(
        default=False, metadata=about("upper and lower case are the same in the patterns of user names")
    )


@attrs.frozen(kw_only=True)
class SessionLimits:
    """How many sessions there may be."""

    sessions: int = attrs.field(default=1000, metadata=about("sessions at once"), validator=at_least_1)
    before_login: int | None = attrs.field(
        default=None,
        metadata=about(
            "sessions that have not logged in; the oldest makes room for a new one. Without it, half of `sessions`"
        ),
        validator=at_least_1,
    )
    per_address: int | None = attrs.field(
        default=cast("int | None", 100),
        metadata=about("sessions at once from one address, or one /64 of IPv6"),
        validator=at_least_1,
    )
    logins_per_address: int = attrs.field(
        default=2,
        metadata=about("logins from one address that are checked at once; others wait"),
        validator=at_least_1,
    )
    per_user: int | None = attrs.field(
        default=None, metadata=about("sessions at once of one user; without it, any number"), validator=at_least_1
    )
    per_network: dict[NetworkName, int] = attrs.field(
        factory=dict[NetworkName, int],
        metadata=about('sessions at once from networks: `{ "10.0.0.0/8" = 20 }`'),
    )
    exempt: tuple[NetworkName, ...] = attrs.field(
        default=(),
        metadata=about("addresses and networks without limit per address and without penalty: webmail, for example"),
    )


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long the server waits.

    Raises:
        ValueError: `idle` is too short.
        LocalProtocolError: another time is 0.
    """

    login: Seconds = attrs.field(
        default=Seconds(DEFAULT_DEADLINES.login), metadata=about("from the greeting to the end of the login")
    )
    idle: Seconds = attrs.field(
        default=Seconds(DEFAULT_DEADLINES.idle),
        metadata=about("for the next command after login; RFC 1939 wants 10 minutes at least"),
    )
    write: Seconds = attrs.field(
        default=Seconds(DEFAULT_DEADLINES.write), metadata=about("for a client to read each megabyte")
    )
    grace: Seconds = attrs.field(
        default=Seconds(DEFAULT_DEADLINES.grace), metadata=about("for sessions to end when the server is stopped")
    )

    def __attrs_post_init__(self) -> None:
        if self.idle < DEFAULT_DEADLINES.idle:
            raise ValueError(f"idle must be at least {show_seconds(DEFAULT_DEADLINES.idle)} (RFC 1939 section 3)")
        self.value()

    def value(self) -> Deadlines:
        """Return them as the server takes them."""
        return Deadlines(login=self.login, idle=self.idle, write=self.write, grace=self.grace)
