"""Habits of some kinds of servers: what they do at a login, which messages they show, how they word their answers."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

import attrs
from attrs.validators import ge
from typing_extensions import override

from .behaviour import refused_by
from .dialogue import Asked, Body, ChallengeLine, End, Query, StatusLine, names_an_answer
from .line import Fault, HangUp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .dialogue import Part
    from .line import Here, Step

__all__ = [
    "ExtraBlanks",
    "ListsAll",
    "LoseBehind",
    "NoInitialResponse",
    "NoJsonChallenge",
    "OldestOnly",
    "Reword",
    "ShortTop",
]

_TOKENS: Final = {"XOAUTH2", "OAUTHBEARER"}
_ABOUT_ONE: Final = {"LIST", "UIDL", "RETR", "TOP", "DELE"}


# ------------------------------------------------------------------------------------------------ logins


@attrs.frozen
class NoInitialResponse(Fault):
    """AUTH with an initial response in its line is refused, and the connection ends: as Microsoft's cloud does it.

    Args:
        text: of the refusal.
    """

    text: str = "Protocol error. Connection is closed. 10"

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        yield refused_by(asked, None, self.text) if _has_initial_response(asked) else asked

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        yield part
        if isinstance(part, StatusLine) and _has_initial_response(part.asked):
            yield HangUp()


def _has_initial_response(asked: Asked) -> bool:
    return asked.is_a("AUTH") and len(asked.words) > 2  # noqa: PLR2004 - the verb, the mechanism, and more


@attrs.frozen
class NoJsonChallenge(Fault):
    """An OAuth token is refused by `-ERR` at once, where other servers send a challenge with JSON before it."""

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, ChallengeLine) and part.asked.words[1].upper() in _TOKENS and _is_json(part):
            yield Asked(b"\r\n", response=True)  # that which a client sends for `-ERR` to come
        else:
            yield part


def _is_json(challenge: ChallengeLine) -> bool:
    try:
        return base64.b64decode(challenge.octets[1:].strip()).startswith(b"{")
    except binascii.Error:
        return False


@attrs.frozen
class LoseBehind(Fault):
    """What the client sends behind a command before that is answered is lost: `LoseBehind("PASS")`.

    Args:
        command: as `after` of `Cut`.
    """

    command: str = attrs.field(validator=names_an_answer)

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.is_a(self.command):
            here.own.waiting = True
        elif getattr(here.own, "waiting", False) and not asked.response:
            return
        yield asked

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.asked.is_a(self.command):
            here.own.waiting = False
        yield part


# ---------------------------------------------------------------------------------------- which messages


@attrs.frozen
class OldestOnly(Fault):
    """A session shows the oldest messages only, as Gmail does it; the others come when those are gone.

    With each STAT the server is asked LIST before it, to count what is shown.

    Args:
        messages: how many.
    """

    messages: int = attrs.field(default=250, validator=ge(1))

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.is_a("STAT"):
            yield Query(b"LIST\r\n")
        elif asked.verb in _ABOUT_ONE and not asked.response and (asked.number or 0) > self.messages:
            asked = refused_by(asked, None, "no such message")
        yield asked

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        asked = part.asked
        if isinstance(part, StatusLine) and part.positive and asked.is_a("STAT"):
            yield self._counted(part, here.own.__dict__.pop("shown", None))
        elif asked.verb in {"LIST", "UIDL"} and asked.has_body:
            yield from self._of_listing(part, here)
        else:
            yield part

    def _of_listing(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, Body):
            here.own.listing = getattr(here.own, "listing", b"") + part.octets
        elif isinstance(part, End):
            rows: list[bytes] = here.own.__dict__.pop("listing", b"").splitlines(keepends=True)
            shown = [row for row in rows if _number(row, 0) <= self.messages]
            if isinstance(part.asked, Query):
                here.own.shown = shown if len(shown) < len(rows) else None
            else:
                yield Body(part.asked, b"".join(shown))
                yield part
        elif not isinstance(part.asked, Query):
            yield part

    def _counted(self, stat: StatusLine, shown: list[bytes] | None) -> StatusLine:
        """Return the answer to STAT for the rows that are shown; None: for all."""
        if shown is None:
            return stat
        return stat.with_text(b"%d %d" % (len(shown), sum(_number(row, 1) for row in shown)))


def _number(row: bytes, field: int) -> int:
    fields = row.split()
    return int(fields[field]) if len(fields) > field and fields[field].isdigit() else 0


@attrs.frozen
class ShortTop(Fault):
    """TOP sends no more than so many octets, and ends as if that were all.

    Args:
        octets: how many, un-stuffed.
    """

    octets: int = attrs.field(default=65_536, validator=ge(0))

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if part.asked.is_a("TOP") and isinstance(part, Body):
            sent = getattr(here.own, "sent", 0)
            here.own.sent = sent + len(part.octets)
            part = attrs.evolve(part, octets=part.octets[: max(0, self.octets - sent)])
        elif part.asked.is_a("TOP"):
            here.own.sent = 0
        yield part


# ---------------------------------------------------------------------------------------------- answers


@attrs.frozen
class ListsAll(Fault):
    """The number is ignored: `UIDL 3` is answered as `UIDL`, in many lines.

    Args:
        on: "UIDL" or "LIST".
    """

    on: str = "UIDL"

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.is_a(self.on) and asked.number is not None:
            asked = attrs.evolve(asked, octets=f"{self.on}\r\n".encode())
        yield asked


@attrs.frozen
class ExtraBlanks(Fault):
    """Rows of LIST and UIDL have a blank before them, and several between their fields."""

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, Body) and part.asked.verb in {"LIST", "UIDL"}:
            *rows, here.own.row = (getattr(here.own, "row", b"") + part.octets).split(b"\r\n")  # whole rows
            part = attrs.evolve(part, octets=b"".join(b" " + row.replace(b" ", b"   ") + b"\r\n" for row in rows))
        yield part


@attrs.frozen
class Reword(Fault):
    """A status line has another text: `Reword("PASS", "Logged in.")`. Numbers in STAT, LIST n and UIDL n stay.

    Args:
        to: as `after` of `Cut`.
        text: what stands behind `+OK` or `-ERR`.
        refusal: the response code of the `-ERR` that is worded otherwise, which then is gone; None: it is `+OK`.
    """

    to: str = attrs.field(validator=names_an_answer)
    text: str
    refusal: str | None = attrs.field(default=None, kw_only=True)

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if isinstance(part, StatusLine) and part.asked.is_a(self.to) and self._is_meant(part):
            part = part.with_text(self.text.encode())
        yield part

    def _is_meant(self, line: StatusLine) -> bool:
        if self.refusal is not None:
            return not line.positive and line.text.startswith(f"[{self.refusal}]".encode())
        has_numbers = line.asked.verb == "STAT" or (line.asked.verb in {"LIST", "UIDL"} and not line.asked.has_body)
        return line.positive and not has_numbers
