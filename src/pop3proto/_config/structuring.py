"""Values of a configuration file become those of attrs classes, by cattrs; what is wrong is told with its key."""

from __future__ import annotations

from datetime import date
from functools import cached_property, partial
from pathlib import Path
from types import GenericAlias, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, Union, cast, get_args, get_origin

import attrs

from .errors import MissingExtra
from .keys import key_of, kind_of
from .nearest import did_you_mean
from .units import Octets, Seconds, parse_octets, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cattrs import Converter

__all__ = [
    "NotExpected",
    "Structuring",
    "as_octets",
    "as_path",
    "as_seconds",
    "as_text",
    "explain",
    "keys_of",
    "unknown_key",
]


class NotExpected(ValueError):
    """A value has a wrong type, or is not allowed."""


class Structuring:
    """Makes values of types.

    A type is a class of attrs, whose fields with metadata are keys (keys.py); or a text, number, path, size or
    duration; or a literal, union or tuple of these. Further types have a hook.

    Args:
        extra: that has cattrs.
        hooks: for one type each: a function of a value and this object.
    """

    def __init__(self, extra: str, hooks: dict[Any, Callable[[object, Structuring], object]] | None = None) -> None:
        self._extra: Final = extra
        self._hooks: Final = hooks or {}

    def require_extra(self) -> None:
        """Raise unless cattrs is installed.

        Raises:
            MissingExtra: it is not.
        """
        _ = self._converter

    def value(self, value: object, kind: Any) -> object:  # noqa: ANN401 - any type
        """Return a value of the file as a value of a type.

        Args:
            value: as `tomllib` has it.
            kind: the type of a field.

        Raises:
            MissingExtra: cattrs is not installed.
            Exception: it cannot be one; `explain` says why.
        """
        return self._converter.structure(value, kind)

    def table(self, value: object, kind: type[Any]) -> object:
        """Return a table of the file as a value of its class, whatever hook the class has.

        Raises:
            Exception: as `value`.
        """
        return _table_hook(self._converter, kind)(value, kind)

    def one_of(self, value: object, kind: Any) -> object:  # noqa: ANN401 - any type
        """Return a value of the file as one of the types of a union, whatever hook the union has.

        Raises:
            Exception: as `value`.
        """
        kinds = [each for each in get_args(kind) if each is not type(None)]
        if len(kinds) == 1:
            return self.value(value, kinds[0])
        words: list[object] = [word for each in kinds if get_origin(each) is Literal for word in get_args(each)]
        if any(_same(value, word) for word in words):
            return value
        if Path in kinds:
            return _path_or_word(value, words)
        if words and not _is_table(value):
            raise NotExpected(f"{_either(words)} or a table is expected{_nearest(value, words)}")
        tables = [each for each in kinds if get_origin(each) is not Literal]
        return self.value(value, tables[0] if len(tables) == 1 else _chosen(value, tables))

    @cached_property
    def _converter(self) -> Converter:
        try:
            from cattrs import Converter  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtra("a configuration file", self._extra, error) from None
        converter = Converter()
        for kind, hook in _HOOKS.items():
            converter.register_structure_hook(kind, partial(_call, hook))
        for origins, generic in (
            ({Literal}, _literal),
            ({Union, UnionType}, self.one_of),
            ({tuple}, self._tuple),
        ):
            converter.register_structure_hook_func(partial(_has_origin, origins), generic)
        converter.register_structure_hook_factory(attrs.has, partial(_table_hook, converter))
        for kind, ours in self._hooks.items():
            converter.register_structure_hook_func(partial(_is, kind), partial(self._hooked, ours))
        return converter

    def _hooked(self, hook: Callable[[object, Structuring], object], value: object, _: object) -> object:
        return hook(value, self)

    def _tuple(self, value: object, kind: Any) -> object:  # noqa: ANN401 - any type
        """One value stands for a list of it, but for a program, which has arguments."""
        item = get_args(kind)[0]
        values = cast("list[object]", value) if isinstance(value, list) else None if item is str else [value]
        if not values:
            raise NotExpected(
                'a list is expected, such as ["program", "argument"]' if item is str else "the list is empty"
            )
        items: Any = GenericAlias(list, (item,))
        return tuple(cast("list[object]", self.value(values, items)))


def explain(error: Exception, path: str) -> Iterator[str]:
    """Yield what is wrong with a value, a line each.

    Args:
        error: what `Structuring.value` has raised.
        path: the key of the value.
    """
    from cattrs import (  # noqa: PLC0415 - an extra
        ClassValidationError,
        ForbiddenExtraKeysError,
        IterableValidationError,
        IterableValidationNote,
    )

    if isinstance(error, ClassValidationError | IterableValidationError):
        inner, others = error.group_exceptions()
        for each, place in inner:
            at = f"[{place.index}]" if isinstance(place, IterableValidationNote) else f".{key_of(place.name)}"
            yield from explain(each, f"{path}{at}".removeprefix("."))
        for each in others:
            yield from explain(each, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield f"{path}: {unknown_key(key, keys_of(error.cl))}".removeprefix(": ")
    elif isinstance(error, KeyError):
        yield f"{path} is missing"
    else:
        yield f"{path}: {error}".removeprefix(": ")


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the words for a key that does not exist."""
    return f'unknown key "{key}"{did_you_mean(key, known)}'


def keys_of(kind: type[Any]) -> list[str]:
    """Return the keys of a table."""
    return [key_of(field.name) for field in attrs.fields(kind) if field.metadata]


def as_text(value: object) -> str:
    """Return a text that is not empty.

    Raises:
        NotExpected: it is none.
    """
    if not isinstance(value, str) or not value:
        raise NotExpected("a text is expected, in quotes and not empty")
    return value


def as_path(value: object) -> Path:
    """Return a path that does not depend on the current folder; `~` is a home folder.

    Raises:
        NotExpected: it is none.
    """
    path = Path(as_text(value))
    if str(path).startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            raise NotExpected(f"there is no home folder for {path.parts[0]}") from None
    if not path.is_absolute():  # it would depend on where the command is run
        raise NotExpected("the path must begin with / or ~")
    return path


def as_octets(value: object) -> Octets:
    """Return a size.

    Raises:
        ValueError: it is none.
    """
    return parse_octets(value if isinstance(value, int | str) and not isinstance(value, bool) else "")


def as_seconds(value: object) -> Seconds:
    """Return a duration.

    Raises:
        ValueError: it is none.
    """
    return parse_seconds(value if isinstance(value, int | float | str) and not isinstance(value, bool) else "")


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise NotExpected("true or false is expected")
    return value


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotExpected("a whole number is expected")
    return value


def _float(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise NotExpected("a number is expected")
    return float(value)


def _date(value: object) -> date:
    if not isinstance(value, date):  # a datetime is one
        raise NotExpected("a date is expected, without quotes, such as 2026-01-31")
    return value


_HOOKS: Final[dict[Any, Callable[[object], object]]] = {
    str: as_text,
    bool: _bool,
    int: _int,
    float: _float,
    date: _date,
    Path: as_path,
    Octets: as_octets,
    Seconds: as_seconds,
}


def _call(hook: Callable[[object], object], value: object, _: object) -> object:
    return hook(value)


def _is(kind: object, other: object) -> bool:
    return kind == other


def _as_kind(converter: Converter, kind: Any, value: object, _: object) -> object:  # noqa: ANN401 - any type
    return converter.structure(value, kind)


def _has_origin(origins: set[Any], kind: Any) -> bool:  # noqa: ANN401 - any type
    return get_origin(kind) in origins


def _table_hook(converter: Converter, kind: type[Any]) -> Callable[[object, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415 - an extra

    keys: dict[str, Any] = {
        field.name: override(
            rename=key_of(field.name),
            struct_hook=partial(_as_kind, converter, kind_of(field)) if "kind" in field.metadata else None,
        )
        for field in attrs.fields(kind)
        if field.name.endswith("_") or "kind" in field.metadata
    }
    inner = make_dict_structure_fn(
        kind, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **keys
    )

    def structure(value: object, _: object) -> object:
        if not isinstance(value, dict):
            raise NotExpected(f"a table is expected, with the keys {', '.join(keys_of(kind))}")
        return inner(cast("dict[str, Any]", value), kind)

    return structure


def _literal(value: object, kind: Any) -> object:  # noqa: ANN401 - any type
    allowed = get_args(kind)
    if not any(_same(value, each) for each in allowed):
        raise NotExpected(f"{_either(allowed)} is expected")
    return value


def _same(value: object, word: object) -> bool:
    return value == word and type(value) is type(word)


def _either(words: Iterable[object]) -> str:
    return " or ".join("true" if each is True else f'"{each}"' for each in words)


def _nearest(value: object, words: Iterable[object]) -> str:
    return did_you_mean(value, [each for each in words if isinstance(each, str)]) if isinstance(value, str) else ""


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _path_or_word(value: object, words: list[object]) -> Path:
    try:
        return as_path(value)
    except NotExpected as error:
        raise NotExpected(f"{error}{_nearest(value, words)}") from None


def _chosen(value: object, kinds: list[type[Any]]) -> type[Any]:
    """Return the class of a table: that whose first key it has."""
    by_key = {keys_of(kind)[0]: kind for kind in kinds}
    if not isinstance(value, dict):
        raise NotExpected(f"a table is expected, with one of the keys {', '.join(by_key)}")
    table = cast("dict[str, object]", value)
    found = [by_key[key] for key in table if key in by_key]
    if len(found) != 1:
        wrong = "; there is more than one" if found else "".join(did_you_mean(key, by_key) for key in table)
        raise NotExpected(f"one of the keys {', '.join(by_key)} is expected{wrong}")
    return found[0]
