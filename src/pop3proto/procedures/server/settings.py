"""Settings that all sessions of a server share: its store, its users, its deadlines and limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import DEFAULT_LIMITS, NO_QUIRKS, Limits, Quirk
from pop3proto.procedures.cleartext import check_cleartext
from pop3proto.procedures.observer import ServerObserver, observers_of
from pop3proto.sasl.mechanism import Strength
from pop3proto.sasl.registry import SERVER_MECHANISMS, ServerEntry, ServerMechanisms

from .parts import check_authenticator, check_store, coroutine_methods

if TYPE_CHECKING:
    from collections.abc import Sequence, Set as AbstractSet

    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.procedures.maildrop import MaildropStore
    from pop3proto.sasl.authenticator import Authenticator
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["Deadlines", "ServiceSettings"]

_LONGEST: Final = 1_000_000  # operating systems have a bound, too
_HOSTNAME: Final = re.compile(r"[A-Za-z0-9.-]+")  # what else stands in a timestamp, some clients do not take for one
_LEAST_IDLE: Final = 600  # RFC 1939 section 3: an autologout timer must be of at least ten minutes


@attrs.frozen(kw_only=True)
class Deadlines:
    """Timeouts of a server in seconds. When one passes, the server closes the connection silently, and deletes nothing.

    Args:
        login: for the whole time from the greeting to a successful login.
        idle: for the next command after login.
        write: for the client to read each megabyte of an answer.
        grace: for the next command after a shutdown began; it is answered with [SYS/TEMP], except QUIT.
        short_idle: allow `idle` of less than ten minutes, which RFC 1939 section 3 forbids.

    Raises:
        LocalProtocolError: a deadline is not positive (`grace` may be 0), or `idle` is too short.
    """

    login: float = 60
    idle: float = _LEAST_IDLE
    write: float = 60
    grace: float = 5
    short_idle: bool = False

    def __attrs_post_init__(self) -> None:
        if not all(0 < deadline <= _LONGEST for deadline in (self.login, self.idle, self.write)):
            raise LocalProtocolError(f"a deadline must be positive, and at most {_LONGEST} seconds")
        if not 0 <= self.grace <= _LONGEST:
            raise LocalProtocolError(f"the grace must be at least 0 and at most {_LONGEST} seconds")
        if self.idle < _LEAST_IDLE and not self.short_idle:
            raise LocalProtocolError(f"RFC 1939 wants at least {_LEAST_IDLE} idle seconds; short_idle=True overrides")


def _check_hostname(_service: object, _attribute: object, hostname: str) -> None:
    if not _HOSTNAME.fullmatch(hostname):
        raise LocalProtocolError("a hostname has letters, digits, dots and hyphens")


def _observers(given: ServerObserver | Sequence[ServerObserver] | None) -> tuple[ServerObserver, ...]:
    return observers_of(given)


@attrs.frozen(kw_only=True)
class ServiceSettings:
    """What all sessions of a server share, except how commands are answered.

    Args:
        store: the maildrops.
        authenticator: checks logins.
        cleartext: when passwords are accepted without TLS: "never"; "loopback": from this machine; "always".
        deadlines: timeouts.
        max_sessions: maximum number of concurrent sessions; more are greeted with [SYS/TEMP].
        max_sessions_per_address: maximum number of concurrent sessions from one address; None: no limit.
        login_attempts: number of refused logins that end a session.
        failure_delay: seconds before a refused login is answered.
        greeting: the text of the greeting; no "<" in it (RFC 2449 section 3).
        hostname: the server's name in challenges and timestamps; letters, digits, dots and hyphens.
        implementation: the name that CAPA announces (RFC 2449 section 6.9).
        mechanisms: the SASL mechanisms; those are offered that the authenticator can verify.
        limits: the bounds of each connection.
        quirks: the deviations of clients that are tolerated; only BARE_LF is one of clients.
        observer: one observer or a sequence of them (`pop3proto.procedures.observer`): they receive all that sessions
            hear and say, with secrets masked.

    Raises:
        LocalProtocolError: the hostname cannot be sent.
        TypeError: the store, the authenticator or an observer lacks a method, or has it with other arguments.
    """

    store: MaildropStore
    authenticator: Authenticator
    cleartext: Cleartext = "loopback"
    deadlines: Deadlines = Deadlines()
    max_sessions: int = 1_000
    max_sessions_per_address: int | None = 100
    login_attempts: int = 5
    failure_delay: float = 2
    greeting: str = "POP3 server ready"
    hostname: str = attrs.field(default="localhost", validator=_check_hostname)
    implementation: str = "pop3proto"
    mechanisms: ServerMechanisms = attrs.field(default=SERVER_MECHANISMS, repr=False)
    limits: Limits = attrs.field(default=DEFAULT_LIMITS, repr=False)
    quirks: AbstractSet[Quirk] = attrs.field(default=NO_QUIRKS, repr=False)
    observer: tuple[ServerObserver, ...] = attrs.field(default=(), converter=_observers, repr=False)

    def __attrs_post_init__(self) -> None:
        check_cleartext(self.cleartext)
        check_store(self.store)
        check_authenticator(self.authenticator)

    @property
    def coroutine_methods(self) -> tuple[str, ...]:
        """The coroutine methods of the store and the authenticator, which asyncio and trio await."""
        return coroutine_methods(self.store, self.authenticator)

    def check_plain(self) -> None:
        """Refuse a service that a driver without `Await` cannot serve.

        Raises:
            TypeError: a method of the store or the authenticator is a coroutine method.
        """
        if methods := self.coroutine_methods:
            raise TypeError(
                f"the blocking server cannot await coroutine methods ({', '.join(methods)}): "
                "make them plain methods, or use serve of pop3proto.asyncio or pop3proto.trio"
            )

    def offers(self, info: SessionInfo, *, may_show_password: bool) -> dict[str, ServerEntry]:
        """Return the mechanisms that a client can use."""
        return {
            name: entry
            for name, entry in self.mechanisms.items()
            if (may_show_password or entry.strength > Strength.CLEAR) and entry.suits(self.authenticator, info)
        }
