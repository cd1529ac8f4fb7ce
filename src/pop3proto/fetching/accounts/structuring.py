"""Values of the configuration file become those of accounts, by cattrs; what is wrong is told with its key."""

from __future__ import annotations

from datetime import date
from functools import cache, partial
from pathlib import Path
from types import GenericAlias, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin

import attrs

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import quirks_named

from .access import LoginWay, Pin, ProviderName
from .account import MaxSize
from .errors import missing_extra
from .nearest import did_you_mean
from .origins import Origin
from .providers import provider_named
from .proxy import SocksProxy
from .units import Octets, Seconds, parse_octets, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cattrs import Converter

__all__ = ["explain", "keys_of", "require_extra", "structured", "unknown_key"]


class _NotExpected(ValueError):
    """A value has a wrong type, or is not allowed."""


def require_extra() -> None:
    """Raise unless the extra `cli` is installed.

    Raises:
        AccountError: it is not.
    """
    _converter()


def structured(value: object, kind: Any) -> object:  # noqa: ANN401 - any type
    """Return a value of the file as a value of a type.

    Args:
        value: as `tomllib` has it.
        kind: the type of a field.

    Raises:
        Exception: it cannot be one; `explain` says why.
    """
    return _converter().structure(value, kind)


def explain(error: Exception, path: str) -> Iterator[str]:
    """Yield what is wrong with a value, a line each.

    Args:
        error: what `structured` has raised.
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
            at = f"[{place.index}]" if isinstance(place, IterableValidationNote) else f".{place.name}"
            yield from explain(each, f"{path}{at}")
        for each in others:
            yield from explain(each, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield f"{path}: {unknown_key(key, keys_of(error.cl))}"
    elif isinstance(error, KeyError):
        yield f"{path} is missing"
    else:
        yield f"{path}: {error}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the words for a key that does not exist."""
    return f'unknown key "{key}"{did_you_mean(key, known)}'


def keys_of(kind: type[Any]) -> list[str]:
    """Return the keys of a table."""
    return [field.name for field in attrs.fields(kind) if field.metadata]


@cache
def _converter() -> Converter:
    try:
        from cattrs import Converter  # noqa: PLC0415 - an extra
    except ImportError:
        raise missing_extra("a configuration file", "cli") from None
    converter = Converter()
    for kind, hook in {
        str: _text,
        bool: _bool,
        int: _int,
        date: _date,
        Path: _path,
        Octets: _octets,
        Seconds: _seconds,
        Pin: _pin,
        LoginWay: _login_way,
        ProviderName: _provider,
    }.items():
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_func(lambda kind: kind == frozenset[Quirk], _quirks)
    for origins, generic in (({Literal}, _literal), ({Union, UnionType}, _union), ({tuple}, _tuple)):
        converter.register_structure_hook_func(partial(_has_origin, origins), generic)
    converter.register_structure_hook_factory(attrs.has, partial(_table_hook, converter))
    converter.register_structure_hook(SocksProxy, _proxy)
    sizes = _table_hook(converter, MaxSize)
    converter.register_structure_hook(
        MaxSize,
        lambda value, kind: MaxSize(_octets(value, kind)) if isinstance(value, int | str) else sizes(value, kind),
    )
    return converter


def _table_hook(converter: Converter, kind: type[Any]) -> Callable[[object, Any], Any]:
    from cattrs.gen import make_dict_structure_fn  # noqa: PLC0415 - an extra

    inner = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True)

    def structure(value: object, _: object) -> object:
        if not isinstance(value, dict):
            raise _NotExpected(f"a table is expected, with the keys {', '.join(keys_of(kind))}")
        return inner(cast("dict[str, Any]", value), kind)

    return structure


def _has_origin(origins: set[Any], kind: Any) -> bool:  # noqa: ANN401 - any type
    return get_origin(kind) in origins


def _text(value: object, _: object) -> str:
    if not isinstance(value, str) or not value:
        raise _NotExpected("a text is expected, in quotes and not empty")
    return value


def _bool(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise _NotExpected("true or false is expected")
    return value


def _int(value: object, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _NotExpected("a whole number is expected")
    return value


def _date(value: object, _: object) -> date:
    if not isinstance(value, date):  # a datetime is one
        raise _NotExpected("a date is expected, without quotes, such as 2026-01-31")
    return value


def _path(value: object, _: object) -> Path:
    path = Path(_text(value, _))
    if str(path).startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            raise _NotExpected(f"there is no home folder for {path.parts[0]}") from None
    if not path.is_absolute():  # it would depend on where the command is run
        raise _NotExpected("the path must begin with / or ~")
    return path


def _octets(value: object, _: object) -> Octets:
    return parse_octets(value if isinstance(value, int | str) and not isinstance(value, bool) else "")


def _seconds(value: object, _: object) -> Seconds:
    return parse_seconds(value if isinstance(value, int | float | str) and not isinstance(value, bool) else "")


def _provider(value: object, _: object) -> ProviderName:
    return ProviderName(provider_named(_text(value, _)).name)


def _pin(value: object, _: object) -> Pin:
    from pop3proto._io.pins import parse_pin  # noqa: PLC0415 - few accounts need it

    return Pin(parse_pin(_text(value, _)))


def _login_way(value: object, _: object) -> LoginWay:
    return LoginWay(_text(value, _).upper())


def _proxy(value: object, _: object) -> SocksProxy:
    return SocksProxy.of_url(_text(value, _))


def _quirks(value: object, _: object) -> frozenset[Quirk]:
    names = cast("list[object]", value) if isinstance(value, list) else [value]
    try:
        return quirks_named(",".join(_text(each, _) for each in names))
    except LocalProtocolError as error:
        raise _NotExpected(str(error)) from None


def _literal(value: object, kind: Any) -> object:  # noqa: ANN401 - any type
    allowed = get_args(kind)
    if not any(value == each and type(value) is type(each) for each in allowed):
        words = ("true" if each is True else f'"{each}"' for each in allowed)
        raise _NotExpected(f"{' or '.join(words)} is expected")
    return value


def _tuple(value: object, kind: Any) -> object:  # noqa: ANN401 - any type
    """One value stands for a list of it, but for a program, which has arguments."""
    item = get_args(kind)[0]
    values = cast("list[object]", value) if isinstance(value, list) else None if item is str else [value]
    if not values:
        raise _NotExpected(
            'a list is expected, such as ["program", "argument"]' if item is str else "the list is empty"
        )
    items: Any = GenericAlias(list, (item,))
    return tuple(cast("list[object]", structured(values, items)))


def _union(value: object, kind: Any) -> object:  # noqa: ANN401 - any type
    kinds = [each for each in get_args(kind) if each is not type(None)]
    if len(kinds) == 1:
        return structured(value, kinds[0])
    if Path in kinds:
        return True if value is True else _path(value, kind)
    return structured(value, _chosen(value, kinds))


def _chosen(value: object, kinds: list[type[Any]]) -> type[Any]:
    """Return the class of a table: that whose first key it has."""
    by_key = {keys_of(kind)[0]: kind for kind in kinds}
    if isinstance(value, str) and set(kinds) == set(get_args(Origin)):
        raise _NotExpected(
            "a secret is not written into this file: say where it comes from, such as "
            '{ command = ["pass", "show", "mail"] }, { keyring = true } or { file = "~/.mail-password" }'
        )
    if not isinstance(value, dict):
        raise _NotExpected(f"a table is expected, with one of the keys {', '.join(by_key)}")
    table = cast("dict[str, object]", value)
    found = [by_key[key] for key in table if key in by_key]
    if len(found) != 1:
        wrong = "" if found else "".join(did_you_mean(key, by_key) for key in table)
        raise _NotExpected(f"one of the keys {', '.join(by_key)} is expected{wrong}")
    return found[0]
