"""Transcripts of dialogues, and how they are played: whole, or in pieces of any size."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Command
from pop3proto.core.errors import MalformedReply, RemoteProtocolError
from pop3proto.core.events import Answer, BodyChunk, BodyEnd, Signal, Tolerated
from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import parse_tolerantly
from pop3proto.core.replies import Ok
from pop3proto.core.results import Listing
from pop3proto.core.states import State

Cut = Callable[[bytes], Iterable[bytes]]

HANG_UP = b""
"""What a peer says last."""


@attrs.frozen
class Got:
    """A positive answer, and what it means.

    Args:
        result: a listing is a dictionary.
        unreadable: rows of a listing.
    """

    result: Any = None
    unreadable: Sequence[bytes] = ()

    @classmethod
    def of(cls, result: object) -> "Got":
        return cls(dict(result), result.unreadable) if isinstance(result, Listing) else cls(result)


class _Part(str):
    """A text that equals each text of which it is a part."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and (str.__contains__(other, self) or str.__contains__(self, other))


@attrs.frozen
class Fails:
    """An error: of the answer if it is a `MalformedReply`, else of the session.

    Args:
        kind: its class.
        text: part of its message.
    """

    kind: type[Exception]
    text: str = attrs.field(eq=_Part)


@attrs.frozen
class Turn:
    """What a client sends, what the server says then, and what the client makes of that.

    Args:
        sent: one request or several, pipelined; () for nothing.
        said: the server's octets; HANG_UP is end of stream, None is nothing.
        heard: events, but `Got` in place of a positive answer with its body, and quirks in place of `Tolerated`.
    """

    sent: Any
    said: bytes | None
    heard: Sequence[object] = ()


@attrs.frozen
class OfServer:
    """What a server does, as a client meets it.

    Args:
        row: its row on the page about deviations.
        title: what it does.
        turns: the dialogue.
        quirks: those that the client has switched on.
        state: where the dialogue begins.
    """

    row: str
    title: str
    turns: Sequence[Turn]
    quirks: frozenset[Quirk] = frozenset()
    state: State = State.TRANSACTION


@attrs.frozen
class OfClient:
    """What a client does, as a server meets it.

    Args:
        row: its row on the page about deviations.
        title: what it does.
        turns: the client's octets, and the server's.
        quirks: those that the server has switched on.
        login: the dialogue begins behind a login.
        ends: the server hangs up behind it.
    """

    row: str
    title: str
    turns: Sequence[tuple[bytes, bytes]]
    quirks: frozenset[Quirk] = frozenset()
    login: bool = True
    ends: bool = False


def whole(octets: bytes) -> list[bytes]:
    """All in one piece."""
    return [octets]


def octet_by_octet(octets: bytes) -> list[bytes]:
    """Cut at every octet."""
    return [octets[at : at + 1] for at in range(len(octets))] or [octets]


def cut_once(at: int) -> Cut:
    """Cut in two."""
    return lambda octets: [octets[:at], octets[at:]] if 0 < at < len(octets) else [octets]


def play(transcript: OfServer, connection: ClientConnection, cut: Cut) -> None:
    """Play a transcript, and compare what is heard in each turn."""
    for number, turn in enumerate(transcript.turns):
        for item in turn.sent if isinstance(turn.sent, tuple) else (turn.sent,):
            connection.send(item)
        heard = Ears(connection)
        for chunk in [] if turn.said is None else cut(turn.said):
            connection.receive_data(chunk)
            heard.listen()
        assert heard.of_all == list(turn.heard), f"{transcript.title}, turn {number}"


class Ears:
    """What a client hears, in the words of `Turn.heard`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.of_all: list[object] = []
        self._connection = connection
        self._answered: tuple[Command[Any], Ok] | None = None
        self._body = b""
        self._over = False

    def listen(self) -> None:
        """Take all events that there are."""
        try:
            while not self._over and not isinstance(event := self._connection.next_event(), Signal):
                self._hear(event)
                self._over = type(event).__name__ == "ConnectionClosed"
        except (RemoteProtocolError, ConnectionError) as error:
            self._over = True
            if self._body:
                self.of_all.append(self._body)
            self.of_all.append(Fails(type(error), str(error)))

    def _hear(self, event: object) -> None:
        match event:
            case Answer(command, Ok() as reply):
                self._answered = command, reply
                if not command.multi_line:
                    self._understand()
            case Answer(_, reply):
                self.of_all.append(reply)
            case BodyChunk(data):
                self._body += data
            case BodyEnd():
                self._understand()
            case Tolerated(quirk):
                self.of_all.append(quirk)
            case _:
                self.of_all.append(event)

    def _understand(self) -> None:
        assert self._answered is not None
        command, reply = self._answered
        body, self._body = self._body, b""
        connection = self._connection
        try:
            result, used = parse_tolerantly(command, reply, body, limits=connection.limits, quirks=connection.quirks)
        except MalformedReply as error:
            self.of_all.append(Fails(MalformedReply, str(error)))
        else:
            self.of_all += [*used, Got.of(result)]
