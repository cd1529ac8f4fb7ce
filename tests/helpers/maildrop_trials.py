"""A maildrop whose every step a test decides, and faults that are about one of its messages."""

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import attrs
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.results import UniqueId
from pop3proto.procedures.maildrop import InUse, Maildrop, MaildropStore, Message, MessageStream, wire_size_of
from pop3proto.sasl.channel import SessionInfo
from pop3proto.testing.faults import Body, End, Fault, HangUp, Here, Hold, Octets, Part, StatusLine, Step


@attrs.frozen
class Mail:
    """A message on the server.

    Args:
        unique_id: its unique id.
        octets: of it.
    """

    unique_id: str
    octets: bytes


class OneMaildrop(MaildropStore):
    """One maildrop for all users.

    Attributes:
        messages: what is in it now.
        listed: what the latest session has seen.
        removed: what sessions have deleted, in order.
        on_removal: is called with what a session is about to delete.
    """

    blocks = False

    def __init__(self, messages: Iterable[Mail] = ()) -> None:
        self.messages = list(messages)
        self.listed: Sequence[Mail] = ()
        self.removed: list[Mail] = []
        self.on_removal: Callable[[Sequence[Mail]], object] = lambda _: None
        self._lock = threading.Lock()

    @override
    def open(self, user: str, session: SessionInfo) -> Maildrop:
        if not self._lock.acquire(blocking=False):
            raise InUse
        self.listed = tuple(self.messages)
        return _Session(self, self.listed, self._lock)

    @override
    def capabilities(self, user: str | None) -> Capabilities:
        return Capabilities()


class _Session(Maildrop):
    def __init__(self, store: OneMaildrop, mail: Sequence[Mail], lock: threading.Lock) -> None:
        self._store, self._mail, self._lock = store, mail, lock
        self._messages = tuple(Message(wire_size_of(each.octets), UniqueId(each.unique_id)) for each in mail)

    @property
    @override
    def messages(self) -> tuple[Message, ...]:
        return self._messages

    @override
    def open(self, number: int) -> MessageStream:
        return io.BytesIO(self._mail[number - 1].octets)

    @override
    def correct(self, number: int, octets: int) -> None:
        pass

    @override
    def commit(self, deleted: frozenset[int], retrieved: frozenset[int]) -> None:
        gone = [self._mail[number - 1] for number in sorted(deleted)]
        self._store.on_removal(gone)
        self._store.removed += gone
        self._store.messages = [each for each in self._store.messages if not any(each is it for it in gone)]

    @override
    def close(self) -> None:
        self._lock.release()


End_: TypeAlias = Literal["before", "in the status line", "in the body", "behind", "by a reset", "by silence"]
ENDS: tuple[End_, ...] = ("before", "in the status line", "in the body", "behind", "by a reset", "by silence")


@attrs.frozen(eq=False)
class Breaks(Fault):
    """The session ends at the answer to a command about one message, whatever its number is then.

    Args:
        store: where the message is.
        verb: of the command.
        unique_id: of the message.
        how: before the answer, within it, behind it.
    """

    store: OneMaildrop
    verb: str
    unique_id: str
    how: End_ = "before"

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        asked = part.asked
        listed = self.store.listed
        number = asked.number or 0
        if asked.verb != self.verb or not 0 < number <= len(listed) or listed[number - 1].unique_id != self.unique_id:
            return (part,)
        match self.how, part:
            case "before", _:
                return (HangUp(),)
            case "by a reset", _:
                return (HangUp(reset=True),)
            case "by silence", _:
                return (Hold(),)
            case "in the status line", StatusLine():
                return (Octets(asked, part.octets[:2]), HangUp())
            case "in the body", Body():
                return (Octets(asked, part.octets[: len(part.octets) // 2]), HangUp())
            case "behind", End():
                return (part, HangUp())
            case "behind", StatusLine() if not asked.has_body:
                return (part, HangUp())
            case _:
                return (part,)


@attrs.frozen(eq=False)
class Rows(Fault):
    """Rows of LIST or UIDL are others.

    Args:
        verb: LIST or UIDL.
        change: takes a number and what is behind it, and returns what is there instead; None: there is no row.
        lines: takes the row of an answer about one message, and returns what is sent in its place.
    """

    verb: str
    change: Callable[[int, bytes], bytes | None] = lambda _, value: value
    lines: Callable[[bytes], bytes] | None = None

    @override
    def said(self, part: Part, here: Here) -> Iterable[Step]:
        own: Any = here.own
        asked = part.asked
        if asked.verb != self.verb:
            return (part,)
        if isinstance(part, StatusLine) and part.positive and asked.number is not None:
            row = self._row(part.text)
            if row is None:
                return (StatusLine(asked, b"-ERR no such message\r\n"),)
            return (part.with_text(row) if self.lines is None else Octets(asked, self.lines(row)),)
        if isinstance(part, Body):
            own.rows = getattr(own, "rows", b"") + part.octets
            return ()
        if isinstance(part, End):
            rows = [self._row(row) for row in getattr(own, "rows", b"").splitlines()]
            own.rows = b""
            return (Body(asked, b"".join(row + b"\r\n" for row in rows if row is not None)), part)
        return (part,)

    def _row(self, row: bytes) -> bytes | None:
        number, _, value = row.partition(b" ")
        changed = self.change(int(number), value)
        return None if changed is None else b"%b %b" % (number, changed)


class Changing(Fault):
    """Is now one fault, now another, or none: for a server that outlives them."""

    def __init__(self) -> None:
        self.now: Fault | None = None

    @override
    def asked(self, asked, here):
        return (asked,) if self.now is None else self.now.asked(asked, here)

    @override
    def said(self, part, here):
        return (part,) if self.now is None else self.now.said(part, here)

    @override
    def sent(self, octets, here):
        return (octets,) if self.now is None else self.now.sent(octets, here)


class QuitLies(Fault):
    """QUIT is refused although the server has deleted."""

    def said(self, part: Part, here: Here) -> Iterable[Step]:
        if part.asked.is_a("QUIT") and isinstance(part, StatusLine):
            part = StatusLine(part.asked, b"-ERR some deleted messages not removed\r\n")
        return (part,)
