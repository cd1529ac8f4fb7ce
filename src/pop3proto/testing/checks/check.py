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
    """What a check needs. Without it the check is skipped, and the reason is told."""

    LOGIN = "a user who can log in"
    PASSWORD = "a user with a password, and leave to show it, or what it can be guessed from"  # noqa: S105 - not a secret
    TLS = "TLS"
    STLS = "STLS on this port"
    TWO_SESSIONS = "two connections at once"
    MESSAGES = "a message in the maildrop"
    DELETING = "leave to delete messages: a test account"
    DELIVERY = "a way to deliver messages"
    SLOW = "leave to wait for minutes"
    NETWORK = "a server that is not on this machine"
    CAPA = "CAPA"
    TOP = "TOP"
    UIDL = "UIDL"
    USER = "USER and PASS"
    APOP = "APOP"
    SASL = "SASL"
    PLAIN = "SASL PLAIN"
    CRAM_MD5 = "SASL CRAM-MD5"
    SCRAM = "SASL SCRAM"
    PIPELINING = "PIPELINING"
    RESP_CODES = "RESP-CODES"
    AUTH_RESP_CODE = "AUTH-RESP-CODE"
    LOGIN_DELAY = "LOGIN-DELAY"
    EXPIRE = "EXPIRE"
    UTF8 = "UTF8"
    UTF8_USER = "UTF8 USER"
    LANG = "LANG"


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
