"""When a message arrived, and when it was deleted, as its file tells."""

from __future__ import annotations

from typing import Final

from pop3proto.maildrops.names import delivery_time

__all__ = ["arrived"]

_PLAUSIBLE: Final = 1 << 33  # seconds: a larger number in front of a name is no time
_SIGN: Final = 1 << 63  # modification times are modulo 2**64
_BILLION: Final = 10**9


def arrived(name: str, modified: int) -> float:
    """Return when a message arrived, in seconds: by its name, or by the time of its file if that is later.

    A copy or a touched file counts from then, so that nothing is removed too early.

    Args:
        name: the file's name.
        modified: its modification time, in nanoseconds modulo 2**64.
    """
    named = delivery_time(name)
    touched = 0.0 if modified >= _SIGN else modified / _BILLION
    return max(float(named) if named < _PLAUSIBLE else 0.0, touched)
