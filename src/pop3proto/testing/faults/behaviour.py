"""Faults of what a server does: it refuses, hangs up, deletes by itself, or lets nobody in."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

import attrs
from attrs.validators import ge
from typing_extensions import override

from .dialogue import Asked, ChallengeLine, End, StatusLine, names_an_answer
from .line import Fault, HangUp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .dialogue import Part
    from .line import Here, Step

__all__ = [
    "CloseAfter",
    "DeleteOnRetr",
    "HideAfterRetr",
    "JsonChallenge",
    "Refuse",
    "SlowLock",
    "Throttle",
    "TooEarly",
    "refused_by",
]

_LOGINS: Final = {"PASS", "APOP", "AUTH"}


def refused_by(asked: Asked, code: str | None, text: str) -> Asked:
    """Return a command that is refused, and that the server does not hear of."""
    words = f"[{code}] {text}" if code else text
    return attrs.evolve(asked, answer=(StatusLine(asked, f"-ERR {words}\r\n".encode()),))


@attrs.frozen
class Refuse(Fault):
    """A command is refused; the server does not hear of it: `Refuse("DELE 2")`, `Refuse("PASS", "AUTH", times=1)`.

    Args:
        command: as `after` of `Cut`.
        code: the response code, "SYS/TEMP" for example.
        text: what follows it.
        times: how often in a session; None: always.
        session: in which session of the server, 1 is the first; None: in each.
    """

    command: str = attrs.field(validator=names_an_answer)
    code: str | None = None
    text: str = "refused by a fault"
    times: int | None = None
    session: int | None = attrs.field(default=None, kw_only=True)

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        refused = getattr(here.own, "refused", 0)
        is_here = self.session in {None, here.session} and asked.is_a(self.command)
        if is_here and (self.times is None or refused < self.times):
            here.own.refused = refused + 1
            asked = refused_by(asked, self.code, self.text)
        yield asked


@attrs.frozen
class CloseAfter(Fault):
    """The connection ends behind an answer: `CloseAfter("PASS", refused=True)` does what many servers do.

    Args:
        command: as `after` of `Cut`.
        refused: only if the answer is `-ERR`.
    """

    command: str = attrs.field(validator=names_an_answer)
    refused: bool = False

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        yield part
        if not part.asked.is_a(self.command):
            return
        ends = isinstance(part, StatusLine) and not (part.positive and part.asked.has_body)
        negative = isinstance(part, StatusLine) and not part.positive
        if (ends or isinstance(part, End)) and (negative or not self.refused):
            yield HangUp()


@attrs.frozen
class Throttle(Fault):
    """After so many messages, RETR and TOP are refused; the count goes on from session to session.

    Args:
        messages: how many are sent.
        code: the response code of the refusals.
        text: what follows it.
    """

    messages: int = attrs.field(validator=ge(0))
    code: str | None = "SYS/TEMP"
    text: str = "download limit exceeded, try again later"

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.verb in {"RETR", "TOP"} and not asked.response:
            sent = getattr(here.shared, "sent", 0)
            here.shared.sent = sent + 1
            if sent >= self.messages:
                asked = refused_by(asked, self.code, self.text)
        yield asked


@attrs.frozen
class HideAfterRetr(Fault):
    """A message that was retrieved is gone after QUIT, without DELE: as Gmail does by default.

    It is gone also if RSET came between. A RETR that was refused, or that did not end, hides nothing. The server is
    told to delete it, so that behind a proxy a real server loses the message.
    """

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        own = here.own.__dict__
        due: list[Asked] = own.setdefault("due", [])  # each RETR that is not answered yet
        late: list[Asked] = own.setdefault("late", [])  # QUIT, and what came behind it
        if late or (asked.is_a("QUIT") and due):
            late.append(asked)
            return
        if asked.is_a("RETR"):
            due.append(asked)
        elif asked.is_a("QUIT"):
            yield from self._deletions(here)
        yield asked

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        yield part
        due: list[Asked] = getattr(here.own, "due", [])
        refused = isinstance(part, StatusLine) and not part.positive
        if not due or not part.asked.is_a("RETR") or not (refused or isinstance(part, End)):
            return
        due.pop(0)
        if not refused and part.asked.number is not None:
            here.own.__dict__.setdefault("retrieved", []).append(part.asked.number)
        if here.own.late and not due:
            yield from self._deletions(here)
            yield from here.own.late

    def _deletions(self, here: Here) -> Iterable[Step]:
        return map(_deletion, getattr(here.own, "retrieved", []))


@attrs.frozen
class DeleteOnRetr(Fault):
    """A message that was retrieved is gone, even if the client does not say QUIT."""

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        yield part
        if isinstance(part, End) and part.asked.is_a("RETR") and part.asked.number is not None:
            here.own.deletes = True
            yield _deletion(part.asked.number)

    @override
    def hung_up(self, here: Here) -> Iterable[Step]:
        if hasattr(here.own, "deletes"):
            yield Asked(b"QUIT\r\n", silent=True)


def _deletion(number: int) -> Asked:
    return Asked(b"DELE %d\r\n" % number, silent=True)


@attrs.frozen
class SlowLock(Fault):
    """The maildrop stays locked for a while after a session, however that ends: the next logins are refused.

    It does not tell users apart.

    Args:
        logins: how many after each session.
    """

    logins: int = attrs.field(default=1, validator=ge(0))

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        if asked.verb in _LOGINS and not asked.response and len(asked.words) > 1:
            left = getattr(here.shared, "left", 0)
            if left > 0:
                here.shared.left = left - 1
                asked = refused_by(asked, *self._why())
        yield asked

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        yield part
        if isinstance(part, StatusLine) and part.positive and part.asked.verb in _LOGINS and not part.asked.has_body:
            here.own.logged_in = True
        if isinstance(part, StatusLine) and part.positive and part.asked.is_a("QUIT"):
            yield from self.hung_up(here)

    @override
    def hung_up(self, here: Here) -> Iterable[Step]:
        if here.own.__dict__.pop("logged_in", False):
            here.shared.left = self.logins
        return ()

    def _why(self) -> tuple[str, str]:
        return "IN-USE", "the maildrop is locked"


@attrs.frozen
class TooEarly(SlowLock):
    """After a session with a login, the next logins come too early (RFC 2449 section 8.1.1), whatever time has passed.

    It does not tell users apart.

    Args:
        logins: how many after each session.
    """

    @override
    def _why(self) -> tuple[str, str]:
        return "LOGIN-DELAY", "the last login is too recent"


@attrs.frozen
class JsonChallenge(Fault):
    """A token is refused as Google and Microsoft do it: by a challenge with JSON, and `-ERR` when that is answered.

    Args:
        body: what the JSON says.
    """

    body: Mapping[str, str] = attrs.field(
        factory=lambda: {"status": "400", "schemes": "bearer", "scope": "https://mail.google.com/"}
    )

    @override
    def asked(self, asked: Asked, here: Here) -> Iterable[Step]:
        due: list[str] = here.own.__dict__.setdefault("due", [])
        verb, mechanism, *token = [*asked.words, ""]
        if verb == "AUTH" and not asked.response and mechanism.upper() in {"XOAUTH2", "OAUTHBEARER"}:
            due[:] = ["json", "refusal"] if any(token) else ["nothing", "json", "refusal"]
        if not due:
            yield asked
            return
        step, asked = due.pop(0), attrs.evolve(asked, response=False)
        if step == "refusal":
            yield refused_by(asked, "AUTH", "Invalid credentials")
            return
        challenge = json.dumps(dict(self.body)).encode() if step == "json" else b""
        yield attrs.evolve(asked, answer=(ChallengeLine(asked, b"+ " + base64.b64encode(challenge) + b"\r\n"),))
