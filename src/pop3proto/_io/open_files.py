"""How many files this process may open."""

from __future__ import annotations

import contextlib
import math

__all__ = ["allow_open_files", "most_open_files"]


def most_open_files() -> tuple[float, float]:
    """Return how many files this process may open, and how far it may raise that; infinite where there is no limit."""
    try:
        import resource  # noqa: PLC0415 - POSIX systems alone have it
    except ImportError:
        return math.inf, math.inf
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    return (math.inf if soft == infinite else soft), (math.inf if hard == infinite else hard)


def allow_open_files(number: int) -> None:
    """Let this process open so many files, if that is allowed."""
    import resource  # noqa: PLC0415 - as above; without it there is no limit to raise

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
