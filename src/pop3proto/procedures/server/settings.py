"""Settings that all sessions of a server share: its store, its users, its deadlines and limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
from attrs.validators import optional

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import DEFAULT_LIMITS, NO_QUIRKS, Limits, Quirk
from pop3proto.procedures.cleartext import check_cleartext
from pop3proto.procedures.observer import ServerObserver, observers_of
from pop3proto.sasl.mechanism import Strength
from pop3proto.sasl.registry import SERVER_MECHANISMS, ServerEntry, ServerMechanisms

from .checks import check_authenticator, check_plain, check_store, coroutine_methods
from .deadlines import DEFAULT_DEADLINES, Deadlines
from .networks import networks_of
from .penalties import LoginPenalty
from .policy import Policy, check_policy
from .session_events import check_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set as AbstractSet
    from ipaddress import IPv4Network, IPv6Network

    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.procedures.maildrop import MaildropStore
    from pop3proto.sasl.authenticator import Authenticator
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["ServiceSettings"]

_HOSTNAME: Final = re.compile(r"[A-Za-z0-9.-]+")  # what else stands in a timestamp, some clients do not take for one


def _takes(kind: type[object], example: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator that raises `TypeError` for what is not of a type: callers may do without a type checker."""

    def check(_service: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"{attribute.name} takes a {kind.__name__}, such as {example}, not {value!r}")

    return check


def _at_least(least: int) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator that raises `TypeError` for what is not a number, and `ValueError` for one that is smaller."""

    def check(_service: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, int | float):
            raise TypeError(f"{attribute.name} takes a number, not {value!r}")
        if not least <= value < math.inf:
            raise ValueError(f"{attribute.name} must be at least {least}, not {value!r}")

    return check


def _check_hostname(_service: object, _attribute: object, hostname: str) -> None:
    if not _HOSTNAME.fullmatch(hostname):
        raise LocalProtocolError("a hostname has letters, digits, dots and hyphens")


# Clients that take the strongest mechanism whether or not they can bind do not log in where -PLUS is offered.
_UNBOUND: Final[ServerMechanisms] = {
    name: entry for name, entry in SERVER_MECHANISMS.items() if entry.strength is not Strength.BOUND
}


def _mechanisms(given: ServerMechanisms | Iterable[str]) -> ServerMechanisms:
    if isinstance(given, Mapping):
        return cast("ServerMechanisms", given)
    names = [given] if isinstance(given, str) else [*given]
    for name in names:
        if name not in SERVER_MECHANISMS:
            raise LocalProtocolError(f"no mechanism {name!r}; there are {', '.join(SERVER_MECHANISMS)}")
    return {name: SERVER_MECHANISMS[name] for name in names}


def _observers(given: ServerObserver | Sequence[ServerObserver] | None) -> tuple[ServerObserver, ...]:
    observers = observers_of(given)
    check_events(observers)
    return observers


@attrs.frozen(kw_only=True)
class ServiceSettings:
    """What all sessions of a server share, except how commands are answered: a `Service` is one.

    Args:
        store: the maildrops.
        authenticator: checks logins.
        cleartext: when passwords are accepted without TLS: "never"; "loopback": from this machine; "always".
        deadlines: timeouts.
        max_sessions: maximum number of concurrent sessions; more are greeted with [SYS/TEMP].
        max_sessions_before_login: maximum number of sessions that have not logged in; the oldest of them makes room
            for a new one. None: half of `max_sessions`.
        max_sessions_per_address: maximum number of concurrent sessions from one address; None: no limit. The addresses
            of one IPv6 network of 64 bits count as one, here and in what follows.
        logins_per_address: number of logins from one address that are verified at once; others wait for their turn.
            It is one while the address has a penalty.
        login_penalty: how long a login waits after failures from its address; None: not at all.
        exempt: addresses or networks ("192.0.2.7", "10.0.0.0/8") to which no limit per address and no penalty applies:
            those of proxies and webmail, behind which there are many users.
        policy: decides who may connect and log in, beside what the authenticator says; None: all may.
        login_attempts: number of refused logins that end a session.
        failure_delay: seconds before a refused login is answered.
        greeting: the text of the greeting; no "<" in it (RFC 2449 section 3).
        hostname: the server's name in challenges and timestamps; letters, digits, dots and hyphens.
        implementation: the name that CAPA announces (RFC 2449 section 6.9).
        mechanisms: the SASL mechanisms, by name or as a table like `SERVER_MECHANISMS`; those are offered that the
            authenticator can verify. By default all but SCRAM's -PLUS, which keep some clients from logging in.
        user_pass: whether USER and PASS are offered, if the authenticator can verify passwords.
        apop: whether APOP is offered, if the authenticator has the passwords.
        lower_case_users: whether names of users are folded to lower case (ASCII) before an authenticator, a policy or a
            store gets them: clients may write them as they like.
        limits: the bounds of each connection.
        quirks: the deviations of clients that are tolerated; only BARE_LF is one of clients.
        observer: one observer or a sequence of them (`pop3proto.procedures.observer`): they receive all that sessions
            hear and say, with secrets masked.

    Raises:
        LocalProtocolError: the hostname cannot be sent.
        TypeError: the store, the authenticator, the policy or an observer lacks a method, or has it with other
            arguments; or another setting is of the wrong type.
        ValueError: a number is too small.
    """

    store: MaildropStore
    authenticator: Authenticator
    cleartext: Cleartext = "loopback"
    deadlines: Deadlines = attrs.field(default=DEFAULT_DEADLINES, validator=_takes(Deadlines, "Deadlines(idle=900)"))
    max_sessions: int = attrs.field(default=1_000, validator=_at_least(0))
    max_sessions_before_login: int | None = attrs.field(default=None, validator=optional(_at_least(1)))
    max_sessions_per_address: int | None = attrs.field(
        default=cast("int | None", 100), validator=optional(_at_least(1))
    )
    logins_per_address: int = attrs.field(default=2, validator=_at_least(1))
    login_penalty: LoginPenalty | None = attrs.field(
        factory=LoginPenalty, validator=optional(_takes(LoginPenalty, "LoginPenalty(most=5)"))
    )
    exempt: tuple[IPv4Network | IPv6Network, ...] = attrs.field(default=(), converter=networks_of)
    policy: Policy | None = attrs.field(default=None, repr=False)
    login_attempts: int = attrs.field(default=5, validator=_at_least(1))
    failure_delay: float = attrs.field(default=2, validator=_at_least(0))
    greeting: str = "POP3 server ready"
    hostname: str = attrs.field(default="localhost", validator=_check_hostname)
    implementation: str = "pop3proto"
    mechanisms: ServerMechanisms = attrs.field(default=_UNBOUND, converter=_mechanisms, repr=False)
    user_pass: bool = True
    apop: bool = True
    lower_case_users: bool = False
    limits: Limits = attrs.field(default=DEFAULT_LIMITS, repr=False)
    quirks: AbstractSet[Quirk] = attrs.field(default=NO_QUIRKS, repr=False)
    observer: tuple[ServerObserver, ...] = attrs.field(default=(), converter=_observers, repr=False)

    def __attrs_post_init__(self) -> None:
        check_cleartext(self.cleartext)
        check_store(self.store)
        check_authenticator(self.authenticator)
        check_policy(self.policy)

    @property
    def most_before_login(self) -> int:
        """Maximum number of sessions that have not logged in."""
        most = self.max_sessions_before_login
        return max(1, self.max_sessions // 2 if most is None else most)

    @property
    def coroutine_methods(self) -> tuple[str, ...]:
        """The coroutine methods of the store and the authenticator, which asyncio and trio await."""
        return coroutine_methods(self.store, self.authenticator)

    def check_plain(self) -> None:
        """Refuse a service that a driver without `Await` cannot serve.

        Raises:
            TypeError: a method of the store or the authenticator is a coroutine method.
        """
        check_plain(self.coroutine_methods)

    def offers(self, info: SessionInfo, *, may_show_password: bool) -> dict[str, ServerEntry]:
        """Return the mechanisms that a client can use."""
        return {
            name: entry
            for name, entry in self.mechanisms.items()
            if (may_show_password or entry.strength > Strength.CLEAR) and entry.suits(self.authenticator, info)
        }
