"""What is known of large providers, by name and by host. The facts are in `providers.toml`."""

from __future__ import annotations

import tomllib
from datetime import date  # noqa: TC003 - part of the class
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from pop3proto._config.nearest import did_you_mean
from pop3proto.core.limits import NO_QUIRKS, Quirk
from pop3proto.core.quirks import PROFILES

from .errors import AccountError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Provider", "provider_named", "provider_of", "providers"]

_FACTS: Final = Path(__file__).with_name("providers.toml")


@attrs.frozen(kw_only=True)
class Provider:
    """What is known of a provider.

    Args:
        name: its name in the configuration.
        host: its server for POP3; "": there is none, and `no_pop3` says why.
        port: the server's port, with TLS from the first octet.
        hosts: other names of the server.
        names: other names of the provider.
        quirks: deviations of its server.
        every: seconds that must lie between two checks.
        partial_from: so many messages or more may be only a part of the maildrop; None: the server shows all.
        login: what to log in with, in words for a user whose login was refused.
        no_pop3: why there is no POP3; "": there is.
        source: where this is from.
        checked: when that was looked at.
    """

    name: str
    host: str = ""
    port: int = 995
    hosts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    quirks: frozenset[Quirk] = NO_QUIRKS
    every: float = 0
    partial_from: int | None = None
    login: str = ""
    no_pop3: str = ""
    source: str
    checked: date


@cache
def providers() -> Mapping[str, Provider]:
    """Return all providers, by name."""
    return {name: _provider(name, row) for name, row in tomllib.loads(_FACTS.read_text("utf-8")).items()}


def _provider(name: str, row: dict[str, Any]) -> Provider:
    facts: dict[str, Any] = {key: tuple(row.get(key, ())) for key in ("hosts", "names")}
    facts["quirks"] = PROFILES[row.get("quirks", "strict")]
    return Provider(name=name, **row | facts)


def provider_named(name: str) -> Provider:
    """Return a provider.

    Args:
        name: one of its names, in any case.

    Raises:
        AccountError: it is not known; or it has no POP3.
    """
    for provider in providers().values():
        if name.lower() in {provider.name, *provider.names}:
            if provider.no_pop3:
                raise AccountError(provider.no_pop3)
            return provider
    raise AccountError(f"no provider {name!r} is known{did_you_mean(name, providers())}; host = names any server")


def provider_of(host: str) -> Provider | None:
    """Return the provider to which a host belongs; None: it is not known."""
    host = host.lower().rstrip(".")
    return next((each for each in providers().values() if host in {each.host, *each.hosts}), None)
