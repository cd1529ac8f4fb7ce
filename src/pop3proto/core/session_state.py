"""What may happen in each state of a session, and which state follows.

The rules are data: each command declares where it is legal and what its answers do (see `commands`); this module
applies the declarations, and derives from them the tables that people read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from .replies import Err, Ok
from .states import Fact, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .command import Command

__all__ = ["SessionState", "transitions"]


@attrs.frozen
class SessionState:
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

    def at(self, state: State | None) -> SessionState:
        """Return the standing in another state; None is the same one."""
        return self if state is None or state is self.state else SessionState(state, self.facts)

    def with_fact(self, fact: Fact) -> SessionState:
        """Return the standing in which a fact holds."""
        return SessionState(self.state, self.facts | {fact})

    def after(self, command: Command[object], reply: type[Ok | Err]) -> SessionState:
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
