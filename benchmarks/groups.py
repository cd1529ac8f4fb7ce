"""The groups of benchmarks by name. To add one, write a module and add a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from . import (
    client,
    commands,
    decode,
    drop_in,
    encode,
    fetch,
    imports,
    listings,
    load,
    memory,
    messages,
    server,
    sessions,
)
from .harness.report import Table
from .harness.rounds import Settings

Group = Callable[[Settings], Iterator[Table]]
"""Runs the measurements, and yields each table when it is ready."""

GROUPS: Final[Mapping[str, Group]] = {
    "decode": decode.tables,
    "encode": encode.tables,
    "listings": listings.tables,
    "messages": messages.tables,
    "commands": commands.tables,
    "client": client.tables,
    "poplib": drop_in.tables,
    "server": server.tables,
    "sessions": sessions.tables,
    "load": load.tables,
    "memory": memory.tables,
    "fetch": fetch.tables,
    "fetch-large": fetch.tables_of_large,
    "import": imports.tables,
}
