"""Values of the configuration file become those of a server."""

from __future__ import annotations

from typing import Any, Final, cast

from pop3proto._config.structuring import NotExpected, Structuring, as_text
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import SERVER_QUIRKS, quirks_named
from pop3proto.serving.template import Template

from .values import (
    DomainName,
    MethodName,
    NetworkName,
    SocketAddress,
    UserPattern,
    parse_domain,
    parse_login_method,
    parse_network,
    parse_pattern,
)

__all__ = ["STRUCTURING"]


def _address(value: object, _: Structuring) -> SocketAddress:
    return SocketAddress.parse(as_text(value))


def _network(value: object, _: Structuring) -> NetworkName:
    return parse_network(as_text(value))


def _domain(value: object, _: Structuring) -> DomainName:
    return parse_domain(as_text(value))


def _pattern(value: object, _: Structuring) -> UserPattern:
    return parse_pattern(as_text(value))


def _method(value: object, _: Structuring) -> MethodName:
    return parse_login_method(as_text(value))


def _template(value: object, _: Structuring) -> Template:
    return Template.parse(as_text(value))


def _quirks(value: object, _: Structuring) -> frozenset[Quirk]:
    names = cast("list[object]", value) if isinstance(value, list) else [value]
    try:
        quirks = quirks_named(",".join(as_text(each) for each in names))
    except LocalProtocolError as error:
        raise NotExpected(str(error)) from None
    if quirks - SERVER_QUIRKS:
        clients = ", ".join(sorted(each.name.lower() for each in SERVER_QUIRKS))
        raise NotExpected(f"that is a quirk of servers; those of clients are {clients}")
    return quirks


_HOOKS: Final[dict[Any, Any]] = {
    SocketAddress: _address,
    NetworkName: _network,
    DomainName: _domain,
    UserPattern: _pattern,
    MethodName: _method,
    Template: _template,
    frozenset[Quirk]: _quirks,
}

STRUCTURING: Final = Structuring("server", _HOOKS)
"""Makes values of the classes of this package."""
