"""Modification times that take more than 63 bits of nanoseconds, as far as the file system keeps them."""

from datetime import UTC, datetime
from typing import Final

FAR_YEARS: Final = (1600, 2300)


def far_time(year: int) -> tuple[int, int]:
    """Return the start of a year, for the argument `ns` of `os.utime`."""
    seconds = int((datetime(year, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return seconds * 10**9, seconds * 10**9
