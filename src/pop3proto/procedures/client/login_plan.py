"""The login plan of a client: which methods it tries, and in which order. A pure function.

Two rules protect passwords from an attacker between client and server. A method that shows a password or token is
planned only where `may_show_password` allows it. And without verified TLS, a refusal or a missing mechanism may come
from the attacker: then only the strongest of the remaining methods are planned, and nothing weaker follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.refusals import by_reason
from pop3proto.procedures.cleartext import IN_CLEAR, may_show_password
from pop3proto.sasl.credentials import Credentials, Password
from pop3proto.sasl.mechanism import Strength
from pop3proto.sasl.registry import CLIENT_MECHANISMS, ClientEntry, ClientMechanisms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.refusals import RefusedLogin
    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.sasl.channel import ChannelBinding, TlsInfo

__all__ = [
    "APOP",
    "ASK_FOR_IT",
    "UNANNOUNCED",
    "USER_PASS",
    "LoginContext",
    "LoginMethod",
    "LoginPlan",
    "obstacle",
    "plan_login",
]

APOP: Final = "APOP"
USER_PASS: Final = "USER/PASS"  # noqa: S105 - the name of a way

_WORDS: Final = {
    Strength.CLEAR: "shows the secret itself",
    Strength.DIGEST: "shows something to guess the password from",
    Strength.MUTUAL: "shows nothing, and the server proves itself",
    Strength.BOUND: "shows nothing, and is bound to this TLS channel",
    Strength.NO_SECRET: "has nothing to show",
}
ASK_FOR_IT: Final = "without verified TLS it must be asked for (only=)"
"""The advice after a method is withheld. `pop3proto fetch` says it in other words."""

UNANNOUNCED: Final = "the server does not announce it"
"""Why a method is not tried that the server does not say it has."""

_UNBOUND: Final = "there is nothing to bind it to"
_UNSTAMPED: Final = "the server's greeting has no timestamp for it, or came before TLS"
_LACKING: Final = frozenset({UNANNOUNCED, _UNBOUND, _UNSTAMPED})
_TWINS: Final = {"LOGIN": "PLAIN"}  # the draft of LOGIN, section 1: not where PLAIN is available


@attrs.frozen(kw_only=True)
class LoginContext:
    """What decides how to log in, apart from the credentials and the caller's arguments.

    Args:
        capabilities: what the server announces now; None: unknown, or the server has no CAPA.
        asked: the server was asked for its capabilities, since TLS began if there is TLS.
        timestamp: for APOP; None: the greeting has none, or it came before TLS.
        tls: what the handshake came to; None without TLS.
        loopback: the server is on this machine.
        cleartext: when passwords and tokens may be sent without verified TLS.
    """

    capabilities: Capabilities | None = None
    asked: bool = False
    timestamp: str | None = attrs.field(default=None, repr=False)
    tls: TlsInfo | None = None
    loopback: bool = False
    cleartext: Cleartext = "loopback"

    @property
    def verified(self) -> bool:
        """Whether TLS is active and the server's certificate was verified."""
        return self.tls is not None and self.tls.verified

    @property
    def may_show_password(self) -> bool:
        """Whether passwords and tokens may cross the wire as they are."""
        return may_show_password(self.cleartext, tls=self.verified, loopback=self.loopback)

    @property
    def binding(self) -> ChannelBinding | None:
        """What to bind to; None if there is nothing."""
        return self.tls.bindings[0] if self.tls is not None and self.tls.bindings else None

    def bound_to(self, binding: ChannelBinding) -> LoginContext:
        """Return the same with a channel binding before those that the stream has found.

        Args:
            binding: of this TLS channel.

        Raises:
            LocalProtocolError: there is no TLS.
        """
        if self.tls is None:
            raise LocalProtocolError("there is no TLS channel to bind to")
        return attrs.evolve(self, tls=attrs.evolve(self.tls, bindings=(binding, *self.tls.bindings)))

    @property
    def announced(self) -> frozenset[str]:
        """The mechanisms that the server says it has."""
        return frozenset(self.capabilities.sasl if self.capabilities is not None else ())


@attrs.frozen
class LoginMethod:
    """One login method.

    Args:
        name: a mechanism's, "APOP", or "USER/PASS".
        strength: what it shows.
        entry: how the mechanism is made; None for APOP and USER/PASS.
    """

    name: str
    strength: Strength
    entry: ClientEntry | None = attrs.field(default=None, repr=False)

    @override
    def __str__(self) -> str:
        return f"{self.name} {_WORDS[self.strength]}"


@attrs.frozen
class LoginPlan:
    """The login methods to try, in order; `print` it to read it.

    Args:
        steps: the ways to log in, the best first.
        left_out: those that the credentials fit and that are not tried, each with the reason.
        attempts: what the client's latest login has tried in vain, and on which connection.
        withheld: those of `left_out` that would show more than this connection and the policy allow.
    """

    steps: tuple[LoginMethod, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    attempts: tuple[RefusedLogin, ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()

    @property
    def objections(self) -> str:
        """Why methods are left out, in one line. That the server lacks them is told only if nothing else is."""
        return by_reason([each for each in self.left_out if each[1] not in _LACKING] or self.left_out)

    @override
    def __str__(self) -> str:
        tried = [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        left_out = [f"not {name}: {why}" for name, why in self.left_out]
        refused = [f"refused on connection {attempt.connection}: {attempt}" for attempt in self.attempts]
        return "\n".join([*tried, *left_out, *refused])


def plan_login(
    credentials: Credentials,
    context: LoginContext,
    *,
    only: Collection[str] | None = None,
    mechanisms: ClientMechanisms = CLIENT_MECHANISMS,
) -> LoginPlan:
    """Return the ways to log in, the strongest first.

    Args:
        credentials: what there is to log in with.
        context: what is known of the server and of what lies between.
        only: the names of the methods that may be tried, in upper case; None: all. If the server announces none of the
            named ones, they are tried all the same. A method from which passwords can be guessed is tried without TLS
            only if it is named. One that shows the secret is never tried where that is not allowed.
        mechanisms: those that are known.
    """
    steps: list[LoginMethod] = []
    left_out: list[tuple[str, str]] = []
    withheld: list[tuple[str, str]] = []
    candidates = [step for step in _candidates(credentials, mechanisms) if only is None or step.name in only]
    unheard_of = only is not None and context.announced.isdisjoint(step.name for step in candidates)
    for step in candidates:
        objection = _objection(step, context, named=only is not None, unheard_of=unheard_of)
        if objection is not None and objection not in _LACKING:
            withheld.append((step.name, objection))
        if objection is None and only is None:
            objection = _spared(step, steps, context)
        if objection is None:
            steps.append(step)
        else:
            left_out.append((step.name, objection))
    if steps and not context.verified:
        weaker = [
            (step.name, f"without verified TLS nothing weaker than {steps[0].name} is tried")
            for step in steps
            if step.strength < steps[0].strength
        ]
        left_out += weaker
        withheld += weaker
        steps = [step for step in steps if step.strength == steps[0].strength]
    return LoginPlan(tuple(steps), tuple(left_out), withheld=tuple(withheld))


def _candidates(credentials: Credentials, mechanisms: ClientMechanisms) -> Iterator[LoginMethod]:
    """Yield the methods that fit the credentials, the strongest first."""
    steps = [
        LoginMethod(name, entry.strength, entry)
        for name, entry in mechanisms.items()
        if isinstance(credentials, entry.takes)
    ]
    if isinstance(credentials, Password) and not credentials.authzid:
        steps += [LoginMethod(APOP, Strength.DIGEST), LoginMethod(USER_PASS, Strength.CLEAR)]
    yield from sorted(steps, key=lambda step: -step.strength)  # stable: among equals as they stand in the table


def _objection(step: LoginMethod, context: LoginContext, *, named: bool, unheard_of: bool) -> str | None:
    """Return why a method cannot be tried at all; None if it can.

    Args:
        step: the method.
        context: what is known of the server and of the connection.
        named: the caller has named it.
        unheard_of: the server announces no method that the caller has named.
    """
    if step.name == APOP and context.timestamp is None:
        return _UNSTAMPED
    if step.entry is not None:
        if step.entry.binds and context.binding is None:
            return _UNBOUND
        if step.name not in context.announced and not unheard_of:
            return UNANNOUNCED
    if step.strength is Strength.CLEAR and not context.may_show_password:
        return f"it shows the password or token, {IN_CLEAR}"
    # APOP not even on loopback, where others than the server may have written the timestamp (CVE-2007-1558).
    trusted = context.verified if step.name == APOP else context.may_show_password
    if step.strength is Strength.DIGEST and not (named or trusted):
        return f"passwords can be guessed from it: {ASK_FOR_IT}"
    return None


def obstacle(step: LoginMethod, before: LoginContext, now: LoginContext, *, named: bool) -> str | None:
    """Return why a step of a plan must not be tried over another connection; None if it may be.

    The other connection must be no weaker: an attacker may have removed something there to get a weaker method.

    Args:
        step: of a plan.
        before: what the plan was made for.
        now: what is known over the other connection.
        named: the caller has named it.
    """
    if before.verified and not now.verified:
        return "the other connection has no verified TLS"
    if missing := sorted(before.announced - now.announced):
        return f"on the other connection the server does not announce {', '.join(missing)} any more"
    return _objection(step, now, named=named, unheard_of=step.name not in before.announced)


def _spared(step: LoginMethod, steps: list[LoginMethod], context: LoginContext) -> str | None:
    """Return why a method need not be tried; None if it should be. Each that is tried is one more wrong password."""
    if step.name.startswith("SCRAM-"):
        for better in steps:
            if better.name.startswith("SCRAM-") and better.strength is step.strength:
                return f"{better.name} stands for it"
    if (twin := _TWINS.get(step.name)) and any(each.name == twin for each in steps):
        return f"{twin} does the same"
    if step.name == APOP and any(each.entry is not None for each in steps):
        return f"{steps[0].name} is better"
    capabilities = context.capabilities
    if step.name == USER_PASS and steps and capabilities is not None and not capabilities.user:
        return UNANNOUNCED
    return None
