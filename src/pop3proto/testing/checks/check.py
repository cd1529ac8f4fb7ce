"""What a check is: a rule of POP3, and a script that finds out whether a server follows it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from pop3proto.procedures.operations import Procedure

    from .conversation import Conversation

__all__ = ["Check", "CheckTable", "Level", "Need", "Script", "Stage"]

Stage: TypeAlias = Literal["connection", "authorization", "transaction"]
"""What has happened before the script begins: the connection, with implicit TLS; the greeting and STLS; the login."""


class Level(Enum):
    """How binding a rule is."""

    MUST = "MUST"
    """An RFC demands it. RFC 1939 writes many of its rules without this word."""
    SHOULD = "SHOULD"
    """An RFC recommends it."""
    PRACTICE = "PRACTICE"
    """No RFC says so, but clients get on better with servers that do it."""


class Need(Enum):
    """What a check needs. Without it the check is skipped, and the reason is told.

    From SASL on: what the server announces. The values never change.
    """

    LOGIN = "login"
    """A user who can log in."""
    PASSWORD = "password"  # noqa: S105 - not a secret
    """A user with a password, and leave to show it, or what it can be guessed from."""
    TLS = "tls"
    STLS = "stls"
    """STLS on this port."""
    MESSAGES = "messages"
    """A message in the maildrop, and leave to read it."""
    DELETING = "deleting"
    """Leave to delete messages: a test account."""
    DELIVERY = "delivery"
    """A way to deliver messages."""
    SLOW = "slow"
    """Leave to wait for minutes."""
    NETWORK = "network"
    """A server that is not on this machine."""
    CAPA = "capa"
    TOP = "top"
    UIDL = "uidl"
    USER = "user"
    APOP = "apop"
    SASL = "sasl"
    PLAIN = "plain"
    CRAM_MD5 = "cram-md5"
    SCRAM = "scram"
    PIPELINING = "pipelining"
    RESP_CODES = "resp-codes"
    AUTH_RESP_CODE = "auth-resp-code"
    LOGIN_DELAY = "login-delay"
    EXPIRE = "expire"
    UTF8 = "utf8"
    UTF8_USER = "utf8-user"
    LANG = "lang"


Script: TypeAlias = "Callable[[Conversation], Procedure[None]]"


@attrs.frozen
class Check:
    """A rule of POP3, and the script that finds out whether a server follows it.

    Args:
        id: a short name that never changes.
        title: the rule in plain words.
        rfc: the number of the RFC; None: no RFC says so.
        section: the section of that RFC; "" if there is none.
        level: how binding it is.
        state: what has happened before the script begins.
        needs: what it needs.
        script: talks to the server; raises `CheckFailed` if it does not follow the rule, and `CheckSkipped` if that
            cannot be found out.
    """

    id: str
    title: str
    rfc: int | None
    section: str
    level: Level
    state: Stage
    needs: frozenset[Need]
    script: Script = attrs.field(repr=False)

    @property
    def source(self) -> str:
        """Where the rule comes from: "RFC 1939 section 3", or "practice"."""
        return f"RFC {self.rfc} section {self.section}" if self.rfc is not None else "practice"


class CheckTable:
    """A table of checks that is written beside their scripts.

    Attributes:
        checks: in the order in which they were added.
    """

    def __init__(self, state: Stage) -> None:
        self.checks: Final[list[Check]] = []
        self._state: Final[Stage] = state

    def must(self, title: str, source: str, *needs: Need) -> Callable[[Script], Script]:
        """Return a decorator that adds a check of what an RFC demands; its id is the name of the script.

        Args:
            title: the rule.
            source: the RFC and its section: "1939 3".
            needs: what it needs, beside what its state needs.
        """
        return self._add(Level.MUST, title, source, needs)

    def should(self, title: str, source: str, *needs: Need) -> Callable[[Script], Script]:
        """As `must`, of what an RFC recommends."""
        return self._add(Level.SHOULD, title, source, needs)

    def practice(self, title: str, source: str, *needs: Need) -> Callable[[Script], Script]:
        """As `must`, of what is good practice; `source` may be empty."""
        return self._add(Level.PRACTICE, title, source, needs)

    def _add(self, level: Level, title: str, source: str, needs: tuple[Need, ...]) -> Callable[[Script], Script]:
        rfc, _, section = source.partition(" ")
        every = {*needs, Need.LOGIN} if self._state == "transaction" or Need.PASSWORD in needs else set(needs)

        def add(script: Script) -> Script:
            name = getattr(script, "__name__", "").replace("_", "-")
            number = int(rfc) if rfc else None
            self.checks.append(Check(name, title, number, section, level, self._state, frozenset(every), script))
            return script

        return add
