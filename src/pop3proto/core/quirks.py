"""The named tolerances: what a strict connection refuses, and a lenient one may let pass.

A deviation that hurts nobody is always tolerated and has no name here. The others are switched on one by one.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["NO_QUIRKS", "Quirk"]


class Quirk(Enum):
    """One deviation of real peers. Connections and parsers take a set of these; none is on by default.

    This version carries the names only: strictness is the same whatever the set holds.
    """

    BARE_LF = "LF alone ends a line"
    UIDL_ANY_UNIQUE_ID = "unique ids longer than 70 octets, or with octets outside 0x21-0x7E"
    UIDL_PREFIXED_ROWS = "+OK before each row of a UIDL listing"
    UIDL_WITHOUT_UNIQUE_ID = "rows of a UIDL listing that hold only the message number"
    STAT_WITHOUT_OCTETS = "a drop listing that holds only the message count"
    OK_AS_CHALLENGE = "+OK in place of a SASL challenge"
    UNENCODED_CHALLENGE = "text that is not base64 in a SASL challenge"
    STRAY_DOT = "a lone dot after a single-line answer"
    NO_PIPELINING = "PIPELINING is announced and does not work"


NO_QUIRKS: Final[frozenset[Quirk]] = frozenset()
