"""Rules of access: whom each is about, and what it decides. The first that fits decides."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, cast

import attrs

from pop3proto.core.replies import ResponseCode
from pop3proto.core.text import ascii_lower
from pop3proto.procedures.server.networks import address_of, networks_of
from pop3proto.procedures.server.policy import ALLOW, Decision

from .hours import Hours

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network, IPv6Network
    from types import UnionType

    from pop3proto.procedures.server.policy import Facts

__all__ = ["CodeName", "Refusal", "Rule", "check_type", "matches", "several", "texts", "user_patterns"]

CodeName: TypeAlias = Literal["SYS/PERM", "SYS/TEMP", "IN-USE", "LOGIN-DELAY"]

T = TypeVar("T")

_ALL: Final = "*"


def texts(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return one text, or several.

    Raises:
        ValueError: there is none: nothing would fit.
        TypeError: something is no text.
    """
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found:
        raise ValueError("there is no pattern, so that nothing would fit; '*' is everything")
    for each in found:
        if not isinstance(each, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers may do without a checker
            raise TypeError(f"a pattern is a text, such as 'kiosk*', not {each!r}")
    return found


def _hours(given: Hours | Iterable[Hours]) -> tuple[Hours, ...]:
    return several(Hours, given)


def several(kind: type[T], given: T | Iterable[T]) -> tuple[T, ...]:
    """Return one or several of a type.

    Raises:
        TypeError: something is of another type.
    """
    found: tuple[T, ...] = (given,) if isinstance(given, kind) else tuple(cast("Iterable[T]", given))
    for each in found:
        check_type(kind, each)
    return found


def check_type(kind: type[object] | UnionType, value: object) -> None:
    """Refuse what would fail at the first client.

    Raises:
        TypeError: it is of another type.
    """
    if not isinstance(value, kind):
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        raise TypeError(f"{name} is expected, not {value!r}")


def _refusal(given: Refusal | None) -> Refusal | None:
    if given is not None:
        check_type(Refusal, given)
    return given


def matches(patterns: tuple[str, ...], text: str, *, ignore_case: bool = False) -> bool:
    """Return whether one of some patterns fits: "*" is any text, "?" a character, and all else stands for itself."""
    if ignore_case:
        text, patterns = ascii_lower(text), tuple(map(ascii_lower, patterns))
    return any(_compiled(pattern).fullmatch(text) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(character) or re.escape(character) for character in pattern), re.DOTALL)


def user_patterns(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return patterns of users' names.

    Raises:
        ValueError: there is none; or it has brackets, which other programs give a meaning.
    """
    patterns = texts(given)
    for pattern in patterns:
        if "[" in pattern or "]" in pattern:
            raise ValueError(f"a pattern of user names has * and ?, and no brackets, unlike {pattern!r}")
    return patterns


@attrs.frozen(kw_only=True)
class Refusal:
    """How a client is refused.

    Args:
        text: what it is told; "": that name or password is wrong, whether or not they are. At a login, a text tells
            that they are right.
        code: the response code of the text.
        close: the session ends with it.

    Raises:
        LocalProtocolError: there is a code, or an end, and no text.
    """

    text: str = attrs.field(
        default="", metadata={"about": "what the client is told; without it, that name or password is wrong"}
    )
    code: CodeName | None = attrs.field(default=None, metadata={"about": "the response code of the text"})
    close: bool = attrs.field(default=False, metadata={"about": "the session ends with it"})

    def __attrs_post_init__(self) -> None:
        self.decision("")

    def decision(self, reason: str) -> Decision:
        """Return it as a decision.

        Args:
            reason: for the log.
        """
        code = None if self.code is None else ResponseCode(self.code)
        return Decision(allowed=False, text=self.text, code=code, close=self.close, reason=reason)


@attrs.frozen(kw_only=True)
class Rule:
    """Says what becomes of some logins. What it does not fit, the next rule decides.

    A rule fits if all fit that it names: the user, the address, the listener and the hours. With `otherwise` it fits
    all logins of its users: those that come from elsewhere, or at another time, are refused.

    Args:
        user: patterns of names, of which one must fit.
        networks: addresses or networks, of which one must have the client's address; none: any address.
        listener: patterns of names of listeners, of which one must fit.
        hours: of which one must have the moment; none: any moment.
        refuse: how to refuse what fits; None: it is allowed.
        otherwise: how to refuse the same users from elsewhere, over another listener, or at another time.

    Raises:
        LocalProtocolError: something is neither an address nor a network.
        ValueError: it refuses what fits, and has an `otherwise`; or nothing can fit; or a pattern has brackets.
        TypeError: something is of another type.
    """

    user: tuple[str, ...] = attrs.field(
        default=(_ALL,), converter=user_patterns, metadata={"about": 'whose logins: patterns of names, as "kiosk*"'}
    )
    networks: tuple[IPv4Network | IPv6Network, ...] = attrs.field(
        default=(), converter=networks_of, metadata={"about": "from where: addresses or networks"}
    )
    listener: tuple[str, ...] = attrs.field(
        default=(_ALL,), converter=texts, metadata={"about": "over which listeners: patterns of their names"}
    )
    hours: tuple[Hours, ...] = attrs.field(default=(), converter=_hours, metadata={"about": "when"})
    refuse: Refusal | None = attrs.field(
        default=None, converter=_refusal, metadata={"about": "how such logins are refused; without it they are allowed"}
    )
    otherwise: Refusal | None = attrs.field(
        default=None,
        converter=_refusal,
        metadata={"about": "how the same users are refused from elsewhere, or at another time"},
    )

    def __attrs_post_init__(self) -> None:
        if self.refuse is not None and self.otherwise is not None:
            raise ValueError("a rule refuses either what fits, or what does not")

    def decide(self, facts: Facts, reason: str, *, ignore_case: bool) -> Decision | None:
        """Return what it decides; None: it does not fit.

        Args:
            facts: of a login, or of a connection whose user is not known.
            reason: for the log.
            ignore_case: upper and lower case are the same in names of users.
        """
        if facts.user is not None and not matches(self.user, facts.user, ignore_case=ignore_case):
            return None
        if self._fits(facts):
            return ALLOW if self.refuse is None else self.refuse.decision(reason)
        return None if self.otherwise is None else self.otherwise.decision(reason)

    @property
    def is_about_all(self) -> bool:
        """Whether it fits every user."""
        return _ALL in self.user

    def _fits(self, facts: Facts) -> bool:
        if not matches(self.listener, facts.listener):
            return False
        if self.networks:
            number = address_of(facts.address)
            if number is None or not any(number in network for network in self.networks):
                return False
        return not self.hours or any(hours.contains(facts.now) for hours in self.hours)
