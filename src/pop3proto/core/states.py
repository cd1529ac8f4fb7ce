"""The states of a session, and the facts that go with them."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["AFTER_LOGIN", "ANYWHERE", "BEFORE_LOGIN", "Fact", "State"]


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
