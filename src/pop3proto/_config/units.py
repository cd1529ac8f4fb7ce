"""Sizes and durations as people write them: `20M`, `14d`."""

from __future__ import annotations

import math
import re
from typing import Final, NewType

__all__ = ["Octets", "Seconds", "parse_octets", "parse_seconds", "show_octets", "show_seconds"]

Octets = NewType("Octets", int)
"""A size, in octets."""
Seconds = NewType("Seconds", float)
"""A duration, in seconds."""

_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)")
_OCTETS: Final = {
    "": 1,
    "B": 1,
    "K": 10**3,
    "KB": 10**3,
    "M": 10**6,
    "MB": 10**6,
    "G": 10**9,
    "GB": 10**9,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LARGEST: Final = 1 << 60  # octets
_LONGEST: Final = 100 * 366 * 86_400  # seconds


def parse_octets(value: str | int) -> Octets:
    """Return a size in octets.

    Args:
        value: octets; or a number with K, M or G (powers of 1,000) or KiB, MiB or GiB (powers of 1,024), in any case.

    Raises:
        ValueError: it is no size above 0.
    """
    number, unit = _split(str(value))
    octets = number * _OCTETS.get(unit.upper(), math.nan)
    if not 1 <= octets <= _LARGEST:
        raise ValueError('a size above 0 is expected, such as "20M" or "512KiB"')
    return Octets(round(octets))


def parse_seconds(value: str | float) -> Seconds:
    """Return a duration in seconds.

    Args:
        value: seconds; or a number with s, m, h, d or w: "90s", "10m", "2h", "14d".

    Raises:
        ValueError: it is no duration, or one of more than a hundred years.
    """
    number, unit = _split(str(value))
    seconds = number * _SECONDS.get(unit or "s", math.nan)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError('a duration is expected, such as "90s", "10m", "2h" or "14d"')
    return Seconds(seconds)


def _split(text: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text.strip())
    return (float(match[1]), match[2]) if match else (math.nan, "")


def show_octets(octets: int) -> str:
    """Return a size as `parse_octets` reads it, in the largest unit that fits."""
    for unit in ("G", "M", "K", "GiB", "MiB", "KiB"):
        factor = _OCTETS[unit.upper()]
        if octets % factor == 0:
            return f"{octets // factor}{unit}"
    return f"{octets}"


def show_seconds(seconds: float) -> str:
    """Return a duration as `parse_seconds` reads it, in the largest unit that fits."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.12g}{unit}"
    return f"{seconds:.12g}s"
