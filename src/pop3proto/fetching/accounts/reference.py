"""The reference of all keys of the configuration file, in Markdown: `python -m` and the name of this module."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, get_args

from pop3proto._config.reference import KeyTables, row
from pop3proto._config.units import show_seconds

from .access import LoginWay, Pin, ProviderName
from .account import Account, MaxSize, SessionBounds
from .config import URL
from .origins import Origin
from .providers import providers
from .proxy import SocksProxy
from .targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["reference"]

_TABLES: Final = KeyTables(
    words={
        LoginWay: "text",
        ProviderName: "text",
        SocksProxy: "URL",
        MaxSize: "size, or table",
        SessionBounds: "table",
    },
    lists={Pin: "text, or list of them", Target: "table"},
)


def reference() -> str:
    """Return tables of all keys."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "### Keys of an account"
    yield ""
    yield from _TABLES.HEAD
    yield f"| `url` | URL | | {URL} |"
    yield from _TABLES.rows(Account)
    for title, kinds in (
        ("Tables of `password` and `token`", get_args(Origin)),
        ("Tables of `deliver`", get_args(Target)),
        ("The table of `max_size`", (MaxSize,)),
        ("The table of `session`", (SessionBounds,)),
    ):
        yield ""
        yield f"### {title}"
        yield ""
        yield from _TABLES.HEAD
        for kind in kinds:
            yield from _TABLES.rows(kind)
    yield ""
    yield "### Providers"
    yield ""
    yield "| provider | server | least `every` | login |"
    yield "|---|---|---|---|"
    for provider in providers().values():
        names = ", ".join(f"`{name}`" for name in (provider.name, *provider.names))
        server = f"{provider.host}, port {provider.port}" if provider.host else "none"
        floor = show_seconds(provider.every) if provider.every else ""
        yield row(names, server, floor, provider.login or provider.no_pop3)


if __name__ == "__main__":
    sys.stdout.write(f"{reference()}\n")
