"""Tables of the keys of a configuration file, in Markdown."""

from __future__ import annotations

from datetime import date
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import attrs

from .keys import key_of, kind_of, meaning
from .units import Octets, Seconds, show_octets, show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KeyTables", "row"]

_WORDS: Final[dict[object, str]] = {
    str: "text",
    bool: "true or false",
    int: "number",
    float: "number",
    date: "date",
    Path: "path",
    Octets: "size",
    Seconds: "duration",
}


class KeyTables:
    """Makes tables of keys.

    Args:
        words: what the values of further types are called.
        lists: what lists are called, by the type of an item.
    """

    HEAD: Final = ("| key | value | default | meaning |", "|---|---|---|---|")

    def __init__(self, words: Mapping[object, str], lists: Mapping[object, str]) -> None:
        self._words: Final = {**_WORDS, **words}
        self._lists: Final = {str: "list of texts", **lists}

    def rows(self, kind: type[Any]) -> Iterator[str]:
        """Yield a row for each key of a class."""
        for field in attrs.fields(attrs.resolve_types(kind)):
            if (text := meaning(field)) is not None:
                yield row(f"`{key_of(field.name)}`", self._value(kind_of(field)), _default(field), text)

    def _value(self, kind: Any) -> str:  # noqa: ANN401 - any type
        alternatives = [each for each in get_args(kind) if each is not type(None)]
        if get_origin(kind) is Literal:
            return " or ".join("`true`" if each is True else f'`"{each}"`' for each in alternatives)
        if get_origin(kind) is tuple:
            return self._lists[alternatives[0]]
        if get_origin(kind) is frozenset:
            return "text, or list of them"
        if kind in self._words:
            return self._words[kind]
        words = dict.fromkeys(
            self._words.get(each) or (self._value(each) if get_args(each) else "table") for each in alternatives
        )
        return " or ".join(words)


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _default(field: attrs.Attribute[Any]) -> str:
    default: Any = field.default
    kind = kind_of(field)
    if default is attrs.NOTHING:
        return "required"
    if default is None:
        return ""
    if kind is Octets:
        return f'`"{show_octets(default)}"`'
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, Enum):
        return f'`"{default.value}"`'
    if isinstance(default, str) and default:
        return f'`"{default}"`'
    if isinstance(default, int | float):
        return f'`"{show_seconds(default)}"`' if kind is Seconds else f"`{default}`"
    return ""
