"""The states of a session, and what may happen in each.

The rules are data: each command declares where it is legal and what its answers do (see `commands`); this module
applies the declarations, and derives from them the tables that people read.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from .replies import Err, Ok

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .commands import Command

__all__ = ["AFTER_LOGIN", "ANYWHERE", "BEFORE_LOGIN", "Fact", "Standing", "State", "transitions"]


class State(Enum):
    """Where a session stands. AUTHORIZATION, TRANSACTION and UPDATE are those of RFC 1939."""

    GREETING = "connected, before the greeting"
    AUTHORIZATION = "before login"
    USER_GIVEN = "before login, between a positive USER and its PASS"
    SASL = "in the exchange of an AUTH"
    TLS_HANDSHAKE = "between a positive STLS and the end of the handshake"
    TRANSACTION = "logged in"
    UPDATE = "in QUIT after login: the server removes what was deleted"
    CLOSED = "over"


class Fact(Enum):
    """What else may make a command illegal; the value says it in words."""

    TLS = "TLS is already active"
    UTF8 = "the session is in UTF-8 mode"


BEFORE_LOGIN: Final = frozenset({State.AUTHORIZATION})
AFTER_LOGIN: Final = frozenset({State.TRANSACTION})
ANYWHERE: Final = BEFORE_LOGIN | AFTER_LOGIN


@attrs.frozen
class Standing:
    """All that the legality of a command depends on."""

    state: State = State.GREETING
    facts: frozenset[Fact] = frozenset()

    def objection(self, command: Command[object]) -> str | None:
        """Return why the command is not legal here; None if it is."""
        if self.state not in command.legal_in:
            return f"{command.verb} is not legal in the {self.state.name} state"
        if self.facts.isdisjoint(command.excluded_by):
            return None
        fact = next(fact for fact in Fact if fact in self.facts & command.excluded_by)
        return f"{command.verb} is not legal because {fact.value}"

    def at(self, state: State | None) -> Standing:
        """Return the standing in another state; None is the same one."""
        return self if state is None or state is self.state else Standing(state, self.facts)

    def with_fact(self, fact: Fact) -> Standing:
        """Return the standing in which a fact holds."""
        return Standing(self.state, self.facts | {fact})

    def after(self, command: Command[object], reply: type[Ok | Err]) -> Standing:
        """Return the standing once a command is answered.

        The command need not be legal here: an answer has its effect even if an earlier one came out otherwise than
        the sender expected.
        """
        if issubclass(reply, Err):
            return self.at(command.on_err)
        there = self.at(command.on_ok)
        return there if command.establishes is None else there.with_fact(command.establishes)


Reply: TypeAlias = "type[Ok | Err]"


def transitions(commands: Iterable[type[Command[object]]]) -> Mapping[tuple[State, str, Reply], State]:
    """Return the flat table of a vocabulary: (state, command's class name, kind of answer) to the state after it.

    What is not in the table is not legal. The intermediate states, SASL, TLS_HANDSHAKE and UPDATE, are left by the
    answer to the command that led there.
    """
    table: dict[tuple[State, str, Reply], State] = {}
    for command in commands:
        for state in command.legal_in:
            table[state, command.__name__, Ok] = command.on_ok or state
            table[state, command.__name__, Err] = command.on_err or state
    return table
