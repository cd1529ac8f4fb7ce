"""Quirks by name (`quirks_named`), in sets (`PROFILES`), and which of them an answer needs (`parse_tolerantly`)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .errors import LocalProtocolError, MalformedReply
from .limits import NO_QUIRKS, Quirk
from .results import UniqueIdListing
from .transaction import Stat, Uidl, UidlOne

if TYPE_CHECKING:
    from collections.abc import Mapping, Set as AbstractSet

    from .command import Command
    from .limits import Limits
    from .replies import Ok

__all__ = ["PROFILES", "SERVER_QUIRKS", "parse_tolerantly", "quirks_named"]

T = TypeVar("T")

PROFILES: Final[Mapping[str, frozenset[Quirk]]] = MappingProxyType(
    {
        "strict": NO_QUIRKS,
        "lenient": frozenset(Quirk),
        # None of these announces PIPELINING; where something in front of them does, it is not to be relied on.
        "gmail": frozenset({Quirk.NO_PIPELINING}),
        "microsoft365": frozenset({Quirk.NO_PIPELINING}),
        "exchange": frozenset({Quirk.NO_PIPELINING, Quirk.OK_AS_CHALLENGE}),
        # Its unique ids were file names for a long time.
        "courier": frozenset({Quirk.UIDL_ANY_UNIQUE_ID}),
    }
)
"""Sets of quirks by name: `quirks=PROFILES["courier"]`."""

SERVER_QUIRKS: Final = frozenset({Quirk.BARE_LF})
"""The quirks that a server can tolerate in its clients; the others are deviations of servers."""

_UIDL: Final = frozenset({Quirk.UIDL_ANY_UNIQUE_ID, Quirk.UIDL_PREFIXED_ROWS})
_OF_PARSERS: Final[Mapping[type[Command[Any]], frozenset[Quirk]]] = {
    Stat: frozenset({Quirk.STAT_WITHOUT_OCTETS}),
    Uidl: _UIDL,
    UidlOne: _UIDL,
}


def quirks_named(names: str, *, known: AbstractSet[Quirk] = frozenset(Quirk)) -> frozenset[Quirk]:
    """Return the quirks that a text names: `quirks_named("courier, bare_lf")`.

    Args:
        names: names of quirks and profiles in any case, separated by commas.
        known: the quirks that may be named. Only profiles that have one of them may be named, and "strict".

    Raises:
        LocalProtocolError: a name is not known, or may not be named here. The message lists the names.
    """
    sets = {quirk.name.lower(): frozenset({quirk}) for quirk in Quirk if quirk in known}
    sets |= {name: quirks & known for name, quirks in PROFILES.items() if quirks & known or not quirks}
    found: frozenset[Quirk] = NO_QUIRKS
    for name in filter(None, (each.strip().lower() for each in names.split(","))):
        if name not in sets:
            elsewhere = name in PROFILES or name.upper() in Quirk.__members__
            wrong = f"{name!r} does not apply here" if elsewhere else f"there is no quirk {name!r}"
            raise LocalProtocolError(f"{wrong}; the names are {', '.join(sets)}")
        found |= sets[name]
    return found


def parse_tolerantly(
    command: Command[T], reply: Ok, body: bytes, *, limits: Limits, quirks: AbstractSet[Quirk]
) -> tuple[T, tuple[Quirk, ...]]:
    """Parse an answer as `Command.parse`, and tell which quirks it needs: without them the result would be another.

    Raises:
        MalformedReply: as `Command.parse`.
    """
    result = command.parse(reply, body, limits=limits, quirks=quirks)
    if type(command) not in _OF_PARSERS:
        return result, ()
    concerned = _OF_PARSERS[type(command)] & quirks

    def same_without(those: AbstractSet[Quirk]) -> bool:
        try:
            other = command.parse(reply, body, limits=limits, quirks=quirks - those)
        except MalformedReply:
            return False
        return _key(other) == _key(result)

    if not concerned or same_without(concerned):
        return result, ()
    return result, tuple(quirk for quirk in Quirk if quirk in concerned and not same_without({quirk}))


def _key(result: object) -> object:
    return (result, result.unreadable) if isinstance(result, UniqueIdListing) else result
