"""Faults of unique ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs.validators import ge
from typing_extensions import override

from .dialogue import Asked, Body, End, StatusLine
from .line import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .dialogue import Part
    from .line import Here, Step

__all__ = ["LongUids", "NewUids", "NoUid", "ReuseUid", "SameUid"]


class _Uids(Fault):
    """Changes unique ids: in a listing, and in the answers about one message."""

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        asked = part.asked
        if asked.verb != "UIDL":
            yield part
        elif isinstance(part, StatusLine) and part.positive and part.text[:1].isdigit() and asked.number is not None:
            number, _, uid = part.text.partition(b" ")
            (row,) = self.rows([(int(number), uid)], here, whole=False)
            yield part.with_text(_row(*row))
        elif isinstance(part, Body):
            here.own.listing = getattr(here.own, "listing", b"") + part.octets
        elif isinstance(part, End):
            rows = [line.partition(b" ") for line in getattr(here.own, "listing", b"").splitlines()]
            here.own.listing = b""
            known = [(int(number), uid) for number, _, uid in rows if number.isdigit()]
            changed = self.rows(known, here, whole=True)
            yield Body(asked, b"".join(_row(*row) + b"\r\n" for row in changed))
            yield part
        else:
            yield part

    def rows(self, rows: Sequence[tuple[int, bytes]], here: Here, *, whole: bool) -> Sequence[tuple[int, bytes]]:
        """Return the rows as they shall be: number and unique id, which may be empty. `whole`: it is a listing."""
        raise NotImplementedError


def _row(number: int, uid: bytes) -> bytes:
    return b"%d %b" % (number, uid) if uid else b"%d" % number


@attrs.frozen
class SameUid(_Uids):
    """Several messages have one unique id.

    Args:
        numbers: which messages have it.
        uid: the unique id that they have.
    """

    numbers: tuple[int, ...] = (1, 2)
    uid: bytes = b"the-same"

    @override
    def rows(self, rows: Sequence[tuple[int, bytes]], here: Here, *, whole: bool) -> Sequence[tuple[int, bytes]]:
        return [(number, self.uid if number in self.numbers else uid) for number, uid in rows]


@attrs.frozen
class NewUids(_Uids):
    """All unique ids are new ones in each session, as after a migration of the server.

    Args:
        since: the first session in which they are; before it, they are as they are.
    """

    since: int = 1

    @override
    def rows(self, rows: Sequence[tuple[int, bytes]], here: Here, *, whole: bool) -> Sequence[tuple[int, bytes]]:
        if here.session < self.since:
            return rows
        return [(number, b"%b.%d" % (uid[:60], here.session)) for number, uid in rows]


@attrs.frozen
class LongUids(_Uids):
    """Unique ids are longer than the 70 octets that RFC 1939 allows, as names of files may be.

    Args:
        octets: their length.
    """

    octets: int = attrs.field(default=90, validator=ge(71))

    @override
    def rows(self, rows: Sequence[tuple[int, bytes]], here: Here, *, whole: bool) -> Sequence[tuple[int, bytes]]:
        return [(number, uid.ljust(self.octets, b"_")) for number, uid in rows]


@attrs.frozen
class ReuseUid(_Uids):
    """A message that is new gets the unique id of one that is gone. It does not tell users apart."""

    @override
    def rows(self, rows: Sequence[tuple[int, bytes]], here: Here, *, whole: bool) -> Sequence[tuple[int, bytes]]:
        given: dict[bytes, bytes] = here.shared.__dict__.setdefault("given", {})
        now = {uid for _, uid in rows}
        if whole or not given:
            free = [shown for uid, shown in given.items() if uid not in now]
            for uid in now - given.keys():
                given[uid] = free.pop(0) if free else uid
            for uid in [*given]:
                if uid not in now and given[uid] in {given[each] for each in now}:
                    del given[uid]
        return [(number, given.get(uid, uid)) for number, uid in rows]


@attrs.frozen
class NoUid(_Uids):
    """Rows of UIDL have no unique id.

    Args:
        numbers: of which messages; none: UIDL is refused.
    """

    numbers: tuple[int, ...] = ()

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.verb == "UIDL" and not asked.response and not self.numbers:
            asked = attrs.evolve(asked, answer=(StatusLine(asked, b"-ERR unknown command\r\n"),))
        yield asked

    @override
    def rows(self, rows: Sequence[tuple[int, bytes]], here: Here, *, whole: bool) -> Sequence[tuple[int, bytes]]:
        return [(number, b"" if number in self.numbers else uid) for number, uid in rows]
