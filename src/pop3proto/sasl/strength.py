"""How much a way to log in keeps from whoever listens, or poses as the server."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Strength"]


class Strength(IntEnum):
    """What is shown on the wire, the worst first."""

    CLEAR = 0
    """The password or the token itself."""

    DIGEST = 1
    """Something from which passwords can be guessed at leisure; the server proves nothing (CRAM-MD5, APOP)."""

    MUTUAL = 2
    """Nothing but what a guess could be tried on, and the server proves that it knows the password, too (SCRAM)."""

    BOUND = 3
    """And the proof holds for this TLS channel alone (SCRAM-...-PLUS)."""

    NO_SECRET = 4
    """There is nothing that could be shown (EXTERNAL, ANONYMOUS)."""
