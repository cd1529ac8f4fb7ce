"""What clients must not do, and what they have done of it."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import TYPE_CHECKING, Final, Self, cast

import attrs
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ClientRule", "Offence", "OffencesFound", "check_rules"]


class ClientRule(Enum):
    """What a client must not do. `value` is a short name that stays; `text` says it, and which RFC does."""

    text: str

    def __new__(cls, value: str, text: str) -> Self:
        """Make a member of its name and its text."""
        member = object.__new__(cls)
        member._value_ = value
        member.text = text
        return member

    BEFORE_GREETING = "before-greeting", "a command before the greeting (RFC 1939 section 4)"
    PIPELINED = (
        "pipelined",
        "a command before the answer to the last one, though PIPELINING was not announced (RFC 2449 section 6.6)",
    )
    BEHIND_STLS = "behind-stls", "octets behind STLS before it was answered (RFC 2595 section 4)"
    BEHIND_LOGIN = "behind-login", "a line behind PASS, APOP or AUTH before it was answered"
    BEHIND_QUIT = "behind-quit", "a command behind QUIT"
    NO_QUIT = "no-quit", "a hang-up after login without QUIT: no message is removed (RFC 1939 section 6)"
    CLEAR_PASSWORD = (
        "clear-password",
        "a password or token without TLS, which the server has (RFC 8314 section 5.2)",
    )
    TOO_LONG = "too-long", "a command line of more than 255 octets (RFC 2449 section 4)"
    BARE_LF = "bare-lf", "a line that ends with LF alone (RFC 1939 section 3)"
    MALFORMED = "malformed", "no command, or not with these arguments (RFC 1939 section 3)"
    ILLEGAL = "illegal", "a command in a state in which it is not legal (RFC 1939 section 3)"
    BEHIND_USER = "behind-user", "a command behind USER that is neither PASS nor QUIT (RFC 1939 section 7)"
    UNANNOUNCED_RESPONSE = (
        "unannounced-response",
        "AUTH with an initial response, though SASL was not announced (RFC 5034 section 3)",
    )
    LOWER_CASE = "lower-case", "a verb that is not in capitals, as all clients write it"
    DELETED_UNREAD = "deleted-unread", "QUIT when a message was deleted that had not come whole"


@attrs.frozen
class Offence:
    """What a client has done.

    Args:
        rule: what it must not do.
        what: the line, as far as it cannot be a secret: its verb, numbers of messages, a mechanism; or how long it is.
            "" if there is none.
    """

    rule: ClientRule
    what: str = ""

    @override
    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.what}: {self.rule.text}" if self.what else self.rule.text


class OffencesFound(AssertionError):
    """Clients have done what they must not.

    Attributes:
        offences: all of them.
    """

    def __init__(self, offences: Iterable[Offence], text: str) -> None:
        super().__init__(text)
        self.offences: Final = tuple(offences)


def check_rules(given: object, name: str) -> frozenset[ClientRule]:
    """Return the rules that an argument names.

    Raises:
        TypeError: it is no collection of them.
    """
    rules = frozenset(cast("Collection[object]", given)) if isinstance(given, Collection) else frozenset({None})
    if all(isinstance(rule, ClientRule) for rule in rules):
        return cast("frozenset[ClientRule]", rules)
    known = ", ".join(rule.name for rule in ClientRule)
    raise TypeError(f"{name}= takes a collection of members of ClientRule, not {given!r:.50}; there are {known}")
