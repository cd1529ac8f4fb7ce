"""The reference of all keys of the configuration file, in Markdown: `python -m` and the name of this module."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import attrs

from .access import LoginWay, Pin, ProviderName
from .account import Account, MaxSize, SessionBounds
from .config import URL
from .keys import meaning
from .origins import Origin
from .providers import providers
from .proxy import SocksProxy
from .targets import Target
from .units import Octets, Seconds, show_octets, show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["reference"]

_HEAD: Final = ("| key | value | default | meaning |", "|---|---|---|---|")
_LISTS: Final = {str: "list of texts", Pin: "text, or list of them", Target: "table"}
_WORDS: Final[dict[object, str]] = {
    str: "text",
    bool: "true or false",
    int: "number",
    date: "date",
    Path: "path",
    Octets: "size",
    Seconds: "duration",
    LoginWay: "text",
    ProviderName: "text",
    SocksProxy: "URL",
    MaxSize: "size, or table",
    SessionBounds: "table",
}


def reference() -> str:
    """Return tables of all keys."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "### Keys of an account"
    yield ""
    yield from _HEAD
    yield f"| `url` | URL | | {URL} |"
    yield from _rows(Account)
    for title, kinds in (
        ("Tables of `password` and `token`", get_args(Origin)),
        ("Tables of `deliver`", get_args(Target)),
        ("The table of `max_size`", (MaxSize,)),
        ("The table of `session`", (SessionBounds,)),
    ):
        yield ""
        yield f"### {title}"
        yield ""
        yield from _HEAD
        for kind in kinds:
            yield from _rows(kind)
    yield ""
    yield "### Providers"
    yield ""
    yield "| provider | server | least `every` | login |"
    yield "|---|---|---|---|"
    for provider in providers().values():
        names = ", ".join(f"`{name}`" for name in (provider.name, *provider.names))
        server = f"{provider.host}, port {provider.port}" if provider.host else "none"
        floor = show_seconds(provider.every) if provider.every else ""
        yield _row(names, server, floor, provider.login or provider.no_pop3)


def _rows(kind: type[Any]) -> Iterator[str]:
    for field in attrs.fields(attrs.resolve_types(kind)):
        if (text := meaning(field)) is not None:
            yield _row(f"`{field.name}`", _value(field.type), _default(field), text)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _value(kind: Any) -> str:  # noqa: ANN401 - any type
    alternatives = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) is Literal:
        return " or ".join("`true`" if each is True else f'`"{each}"`' for each in alternatives)
    if get_origin(kind) is tuple:
        return _LISTS[alternatives[0]]
    if get_origin(kind) is frozenset:
        return "text, or list of them"
    if kind in _WORDS:
        return _WORDS[kind]
    words = dict.fromkeys(_WORDS.get(each) or (_value(each) if get_args(each) else "table") for each in alternatives)
    return " or ".join(words)


def _default(field: attrs.Attribute[Any]) -> str:
    default: Any = field.default
    if default is attrs.NOTHING:
        return "required"
    if field.type is Octets:
        return f'`"{show_octets(default)}"`'
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str) and default:
        return f'`"{default}"`'
    if isinstance(default, int | float):
        return f'`"{show_seconds(default)}"`' if field.type is Seconds else f"`{default}`"
    return ""


if __name__ == "__main__":
    sys.stdout.write(f"{reference()}\n")
