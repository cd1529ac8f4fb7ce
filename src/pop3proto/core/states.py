"""The states of a session, and the facts that go with them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

__all__ = ["AFTER_LOGIN", "ANYWHERE", "BEFORE_LOGIN", "Fact", "State"]


class State(Enum):
    """The state of a session. AUTHORIZATION, TRANSACTION and UPDATE are those of RFC 1939.

    The values complete the sentence "the command is not legal ...", for errors and replies.
    """

    GREETING = "before the greeting"
    AUTHORIZATION = "before login"
    USER_GIVEN = "between USER and PASS"
    SASL = "during AUTH"
    TLS_HANDSHAKE = "before the TLS handshake is complete"
    TRANSACTION = "after login"
    UPDATE = "after QUIT"
    CLOSED = "after the end of the session"

    if not TYPE_CHECKING:
        __hash__ = object.__hash__  # that of Enum is written in Python


class Fact(Enum):
    """A condition besides the state that can make a command illegal; the value describes it."""

    TLS = "TLS is already active"
    UTF8 = "the session is in UTF-8 mode"

    if not TYPE_CHECKING:
        __hash__ = object.__hash__


BEFORE_LOGIN: Final = frozenset({State.AUTHORIZATION})
AFTER_LOGIN: Final = frozenset({State.TRANSACTION})
ANYWHERE: Final = BEFORE_LOGIN | AFTER_LOGIN
