"""State transitions of a session: which commands are legal, and which state follows an answer.

Each command class declares where it is legal and how its answers change the state. This module applies these
declarations, and makes the table of all transitions from them.
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
    """The state of a session and its facts: everything that the legality of a command depends on."""

    state: State = State.GREETING
    facts: frozenset[Fact] = frozenset()

    def objection(self, command: Command[object]) -> str | None:
        """Return why a command is not legal in this state, or None if it is legal."""
        if self.state not in command.legal_in:
            if self.state is State.AUTHORIZATION and State.USER_GIVEN in command.legal_in:
                return f"{command.verb} is not legal yet; send USER first"
            if self.state is State.TRANSACTION:
                return f"{command.verb} is not legal: already logged in"
            return f"{command.verb} is not legal {self.state.value}"
        if self.facts.isdisjoint(command.excluded_by):
            return None
        fact = next(fact for fact in Fact if fact in self.facts & command.excluded_by)
        return f"{command.verb} is not legal because {fact.value}"

    def at(self, state: State | None) -> SessionState:
        """Return a copy with another state; None returns this object."""
        return self if state is None or state is self.state else SessionState(state, self.facts)

    def with_fact(self, fact: Fact) -> SessionState:
        """Return a copy with one more fact."""
        return SessionState(self.state, self.facts | {fact})

    def after(self, command: Command[object], reply: type[Ok | Err]) -> SessionState:
        """Return the state after an answer to a command.

        The command need not be legal in this state: it was checked when it was sent, and its answer counts even if an
        earlier pipelined command failed.
        """
        if reply is Err:
            return self if command.on_err is None else self.at(command.on_err)
        there = self if command.on_ok is None else self.at(command.on_ok)
        return there if command.establishes is None else there.with_fact(command.establishes)


Reply: TypeAlias = "type[Ok | Err]"


def transitions(commands: Iterable[type[Command[object]]]) -> Mapping[tuple[State, str, Reply], State]:
    """Return the table of state transitions: (state, name of the command class, `Ok` or `Err`) to the next state.

    Combinations that are not in the table are not legal. The session leaves the intermediate states SASL,
    TLS_HANDSHAKE and UPDATE with the answer to the command that led there.
    """
    table: dict[tuple[State, str, Reply], State] = {}
    for command in commands:
        for state in command.legal_in:
            table[state, command.__name__, Ok] = command.on_ok or state
            table[state, command.__name__, Err] = command.on_err or state
    return table
