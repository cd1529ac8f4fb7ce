"""Values of the configuration file become those of accounts."""

from __future__ import annotations

from typing import Any, Final, cast

from pop3proto._config.errors import MissingExtra
from pop3proto._config.structuring import NotExpected, Structuring, as_octets, as_text
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import quirks_named

from .access import LoginWay, Pin, ProviderName
from .account import MaxSize
from .errors import AccountError
from .origins import Origin
from .providers import provider_named
from .proxy import SocksProxy

__all__ = ["require_extra", "structured"]


def require_extra() -> None:
    """Raise unless the extra `cli` is installed.

    Raises:
        AccountError: it is not.
    """
    try:
        _STRUCTURING.require_extra()
    except MissingExtra as error:
        raise AccountError(str(error)) from None


def structured(value: object, kind: Any) -> object:  # noqa: ANN401 - any type
    """Return a value of the file as a value of a type.

    Args:
        value: as `tomllib` has it.
        kind: the type of a field.

    Raises:
        Exception: it cannot be one; `explain` says why.
    """
    return _STRUCTURING.value(value, kind)


def _provider(value: object, _: object) -> ProviderName:
    return ProviderName(provider_named(as_text(value)).name)


def _pin(value: object, _: object) -> Pin:
    from pop3proto._io.pins import parse_pin  # noqa: PLC0415 - few accounts need it

    return Pin(parse_pin(as_text(value)))


def _login_way(value: object, _: object) -> LoginWay:
    return LoginWay(as_text(value).upper())


def _proxy(value: object, _: object) -> SocksProxy:
    return SocksProxy.of_url(as_text(value))


def _quirks(value: object, _: object) -> frozenset[Quirk]:
    names = cast("list[object]", value) if isinstance(value, list) else [value]
    try:
        return quirks_named(",".join(as_text(each) for each in names))
    except LocalProtocolError as error:
        raise NotExpected(str(error)) from None


def _max_size(value: object, structuring: Structuring) -> object:
    return MaxSize(as_octets(value)) if isinstance(value, int | str) else structuring.table(value, MaxSize)


def _origin(value: object, structuring: Structuring) -> object:
    if isinstance(value, str):
        raise NotExpected(
            "a secret is not written into this file: say where it comes from, such as "
            '{ command = ["pass", "show", "mail"] }, { keyring = true } or { file = "~/.mail-password" }'
        )
    return structuring.one_of(value, Origin)


_STRUCTURING: Final = Structuring(
    "cli",
    {
        Pin: _pin,
        LoginWay: _login_way,
        ProviderName: _provider,
        SocksProxy: _proxy,
        MaxSize: _max_size,
        frozenset[Quirk]: _quirks,
        Origin: _origin,
        Origin | None: _origin,
    },
)
