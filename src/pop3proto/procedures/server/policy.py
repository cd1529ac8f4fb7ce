"""Policy: who may log in, from where and when, as a function from facts to a decision. Nothing here waits."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, cast, runtime_checkable

import attrs

from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.maildrop import Refused
from pop3proto.sasl.answers import is_coroutine_method
from pop3proto.sasl.authenticator import implements

from .checks import takes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from ipaddress import IPv4Network, IPv6Network

    from pop3proto.core.capabilities import LoginDelay
    from pop3proto.core.replies import ResponseCode

__all__ = [
    "ALLOW",
    "DENY",
    "ComparesNames",
    "CountsNetworks",
    "Decision",
    "Facts",
    "KnowsLoginDelay",
    "NotesLogins",
    "Policy",
    "check_policy",
    "counted_networks",
    "refusal_of",
]

_METHODS: Final = {
    "before_login": "facts",
    "at_login": "facts",
    "logged_in": "facts",
    "login_delay": "user",
    "user_key": "user",
}
_NO_NETWORKS: Final[Mapping[IPv4Network | IPv6Network, int]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Facts:
    """What a policy decides by. All numbers of sessions are of *other* sessions: this one is not among them.

    Args:
        address: the client's address, without its port; "" if it has none. Behind a proxy that announces it, the
            client's, and not the proxy's.
        now: date and time, aware, in UTC.
        listener: which listener took the connection, as `SessionInfo` has it.
        tls: the session is protected by TLS.
        server_name: the host name that the client asked for in the TLS handshake (SNI); None if it named none.
        user: whose maildrop is to be opened; None at the connection.
        acts_for: where a client acts for another user (the authorization identity of SASL), the policy is asked twice:
            first about `user`, whose credentials were right, with the name of the other one here; then about the other
            one, whose maildrop it is, and None here. Both must be allowed. None: it is the own maildrop.
        sessions: of the whole server.
        sessions_from_address: from the same address, or the same IPv6 network of 64 bits; 0 for an exempt address.
        sessions_by_network: from each of the networks that the policy has asked for.
        sessions_of_user: logged in as this user, or about to be.
    """

    address: str
    now: datetime
    listener: str = ""
    tls: bool = False
    server_name: str | None = None
    user: str | None = None
    acts_for: str | None = None
    sessions: int = 0
    sessions_from_address: int = 0
    sessions_by_network: Mapping[IPv4Network | IPv6Network, int] = _NO_NETWORKS
    sessions_of_user: int = 0


@attrs.frozen
class Decision:
    """What becomes of a connection, or of a login whose credentials are right. `ALLOW` and `DENY` are two of them.

    Args:
        allowed: it goes on.
        text: what a refusal says to the client, who learns by it that its credentials are right; "": the client is told
            that name or password is wrong, as late and in the same words as if they were.
        code: the response code of that text.
        close: the session ends with it.
        delay: seconds before that text is sent.
        reason: for the log; the client does not see it.

    Raises:
        LocalProtocolError: it is allowed and has a text; or a code, an end or a delay has no text to go with it.
    """

    allowed: bool
    text: str = ""
    code: ResponseCode | None = attrs.field(default=None, kw_only=True)
    close: bool = attrs.field(default=False, kw_only=True)
    delay: float = attrs.field(default=0, kw_only=True)
    reason: str = attrs.field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.allowed and self.text:
            raise LocalProtocolError("what is allowed has no text")
        if not self.text and (self.code is not None or self.close or self.delay):
            raise LocalProtocolError("a code, a delay or the end of the session needs a text that goes with it")
        if not self.delay >= 0:
            raise LocalProtocolError(f"a delay must be at least 0 seconds, not {self.delay}")


ALLOW: Final = Decision(allowed=True)
"""It goes on."""

DENY: Final = Decision(allowed=False)
"""It looks like a wrong password."""


def refusal_of(decision: Decision) -> Refused | None:
    """Return what refuses the client by a text of its own; None: the decision is another one."""
    if decision.allowed or not decision.text:
        return None
    return Refused(decision.text, decision.code, delay=decision.delay, close=decision.close)


class Policy(Protocol):
    """Decides on connections and on logins. It must neither wait nor block; several threads may call it at once.

    What it raises ends the session with [SYS/TEMP]: where it cannot decide, no client logs in. It may also have the
    methods of `NotesLogins`, `KnowsLoginDelay`, `CountsNetworks` and `ComparesNames`.
    """

    def before_login(self, facts: Facts, /) -> Decision:
        """Decide on a connection, before the greeting; with implicit TLS, after the handshake.

        A refusal with a text is the greeting, and ends the session. `DENY` lets the session go on, and each of its
        logins looks like one with a wrong password.
        """
        ...

    def at_login(self, facts: Facts, /) -> Decision:
        """Decide on a login whose credentials are right, before the maildrop is opened.

        For SCRAM, whose server shows that before the end, it is asked twice: before it shows that, and at the end.
        """
        ...


@runtime_checkable
class NotesLogins(Protocol):
    """A policy that takes note of logins."""

    def logged_in(self, facts: Facts, /) -> None:
        """Take note that a login which it had allowed has opened the maildrop. The facts are those of `at_login`."""
        ...


@runtime_checkable
class KnowsLoginDelay(Protocol):
    """A policy that demands a time between two logins, which CAPA announces (RFC 2449 section 6.5)."""

    def login_delay(self, user: str | None, /) -> LoginDelay | None:
        """Return the time that is demanded of a user; before login (None) the longest of all users."""
        ...


@runtime_checkable
class CountsNetworks(Protocol):
    """A policy that bounds the sessions of networks."""

    @property
    def networks(self) -> Sequence[IPv4Network | IPv6Network]:
        """The networks whose sessions are counted for it."""
        ...


@runtime_checkable
class ComparesNames(Protocol):
    """A policy to which different spellings name one user, as they do to the authenticator."""

    def user_key(self, user: str, /) -> str:
        """Return what all spellings of a name have in common. The sessions of a user are counted by it."""
        ...


def counted_networks(policy: Policy | None) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks whose sessions a policy wants to know of."""
    return tuple(policy.networks) if implements(policy, CountsNetworks) else ()


def check_policy(policy: object) -> None:
    """Refuse at once what would fail at the first client.

    Raises:
        TypeError: a method is missing, or takes other arguments, or is a coroutine method; or it is a class.
    """
    if policy is None:
        return
    if isinstance(policy, type):
        raise TypeError(f"the policy is a class, {policy.__name__}; pass an instance: {policy.__name__}(...)")
    for name, argument in _METHODS.items():
        method = cast("object", getattr(policy, name, None))
        if name in ("before_login", "at_login") and not callable(method):
            raise TypeError(f"a policy needs the methods before_login and at_login; {policy!r} has no {name}")
        if is_coroutine_method(method):
            raise TypeError(f"{name} of the policy {policy!r} is a coroutine method; it must be a plain one")
        if method is not None and not takes(method, (argument,)):
            raise TypeError(f"{name} of the policy {policy!r} must take one argument: {argument}")
