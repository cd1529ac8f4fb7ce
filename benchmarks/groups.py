"""The groups of benchmarks by name: a new one is a module and a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from . import decode, encode
from .harness.rounds import Settings

Group = Callable[[Settings], Iterator[str]]
"""Measures, and yields its tables as they are ready."""

GROUPS: Final[Mapping[str, Group]] = {
    "decode": decode.tables,
    "encode": encode.tables,
}
