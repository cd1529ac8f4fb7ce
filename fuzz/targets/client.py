"""A client's connection: commands are outstanding, and a server says anything."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from fuzz.corpus import dialogues
from fuzz.target import Choices, Target, Violation, check, patched, seed
from pop3proto import (
    Answer,
    Apop,
    Auth,
    AuthCancel,
    AuthList,
    AuthResponse,
    BadChallenge,
    BodyChunk,
    BodyDecoder,
    BodyEnd,
    Capa,
    Challenge,
    ClientConnection,
    Command,
    ConnectionClosed,
    ConnectionLost,
    Dele,
    Greeting,
    Lang,
    LangList,
    Limits,
    List,
    ListOne,
    LocalProtocolError,
    Noop,
    Ok,
    Pass,
    Quit,
    RemoteProtocolError,
    Retr,
    Rset,
    Signal,
    Stat,
    State,
    Stls,
    Top,
    Uidl,
    UidlOne,
    User,
    Utf8,
)

from .cutting import check_same, chosen_quirks, cuttings
from .results import check_answer

_BEFORE_LOGIN: Final[tuple[Command[object], ...]] = (
    *(Capa(), User("ann"), Apop("ann", "0" * 32), Auth("PLAIN"), Auth("SCRAM-SHA-256", b"n,,n=ann,r=x")),
    *(AuthList(), Stls(), Utf8(), Lang("en"), LangList(), Quit()),
)
_AFTER_LOGIN: Final[tuple[Command[object], ...]] = (
    *(Stat(), List(), ListOne(1), Uidl(), UidlOne(1), Retr(1), Top(1, 0), Dele(1), Noop(), Rset(), Capa()),
    *(Lang("*"), LangList(), Quit(), ListOne(2), UidlOne(2), Retr(2)),
)
_LIMITS: Final = (
    Limits(),
    Limits(command_line=64, reply_line=80, sasl_line=100, listing_entries=3, text_lines=3, body=100, buffered=120),
    Limits(reply_line=100, sasl_line=80, command_line=64, buffered=100),
)


def _prepared(choices: Choices) -> ClientConnection:
    """Return a connection on which commands are outstanding."""
    kind = choices.number(4)
    limits, tls = _LIMITS[choices.number(3)], bool(choices.number(2))
    connection = ClientConnection(limits=limits, quirks=chosen_quirks(choices), tls=tls)
    if kind == 0:
        return connection
    connection.receive_data(b"+OK ready\r\n")
    check(connection.next_event() == Greeting(Ok("ready")), "the greeting was not read")
    if kind > 1:
        for command in (User("ann"), Pass("tanstaaf")):
            connection.send(command)
            connection.receive_data(b"+OK\r\n")
            check(connection.next_event() == Answer(command, Ok()), "the login was not read")
    menu = _AFTER_LOGIN if kind > 1 else _BEFORE_LOGIN
    for number in choices.numbers(1 + choices.number(6), len(menu)):
        if connection.can_send(menu[number]):
            connection.send(menu[number])
    return connection


class _Reader:
    """Takes the events of a connection, and checks what must hold for each."""

    def __init__(self, connection: ClientConnection) -> None:
        self.seen: list[object] = []
        self._connection = connection
        self._body: list[bytes] | None = None
        self._longest = max(connection.limits.reply_line, connection.limits.sasl_line)

    def play(self, chunks: list[bytes]) -> list[object]:
        for chunk in [*chunks, b""]:
            self._connection.receive_data(chunk)
            try:
                while self._take(self._connection.next_event()):
                    pass
            except (RemoteProtocolError, ConnectionLost) as error:
                self._give_up(error)
                break
        return self.seen

    def _take(self, event: object) -> bool:
        """Take an event; return whether there may be more."""
        if isinstance(event, Signal):
            self._check_signal(event)
            return False
        match event:
            case BodyChunk(data):
                check(self._body is not None and data, "a part of a body came outside of a body, or was empty")
                if self._body is not None:
                    self._body.append(data)
                return True
            case BodyEnd():
                answer = self.seen[-1]
                body = b"".join(self._body or [])
                self._body = None
                if isinstance(answer, Answer) and isinstance(answer.reply, Ok):
                    check_answer(answer.command, answer.reply, body, self._connection.limits)
                self.seen += [body, event]
                return True
            case Answer(command, Ok() as reply):
                if command.multi_line:
                    self._body = []
                else:
                    check_answer(command, reply, b"", self._connection.limits)
            case Challenge(data):
                self.seen.append(event)
                cancels = zlib.crc32(data) % 3 == 0
                self._connection.send(AuthCancel() if cancels else AuthResponse(data[:20]))
                return True
            case BadChallenge():
                self.seen.append(event)
                check(not self._connection.can_send(AuthResponse()), "what is not base64 can be responded to")
                self._connection.send(AuthCancel())
                return True
            case _:
                pass
        self.seen.append(event)
        return not isinstance(event, ConnectionClosed)

    def _check_signal(self, signal: Signal) -> None:
        if signal is Signal.PAUSED:
            check(self._connection.state is State.TLS_HANDSHAKE, "it is paused without a reason")
            return
        held = len(vars(self._connection)["_buffer"])
        check(held < self._longest, f"{held} octets are held, and no line has more than {self._longest}")

    def _give_up(self, error: Exception) -> None:
        connection = self._connection
        self.seen += [b"".join(self._body or []), type(error).__name__, str(error)]
        check(connection.state is State.CLOSED, "after an error the state is not CLOSED")
        for command in (Noop(), Quit(), Capa(), AuthResponse()):
            check(not connection.can_send(command), "after an error something can be sent")
        try:
            connection.next_event()
        except (RemoteProtocolError, ConnectionLost) as again:
            check((type(again), str(again)) == (type(error), str(error)), "the second error is not the first")
        else:
            raise Violation("an error is raised only once")
        try:
            connection.send(Noop())
        except LocalProtocolError:
            pass
        else:
            raise Violation("after an error something was sent")


def _run(octets: bytes) -> Hashable:
    outcomes: list[list[object]] = []
    for cutting in cuttings(octets):
        choices = Choices(octets)
        connection = _prepared(choices)
        length = len(choices.rest())
        chunks: list[bytes] = []
        for chunk in cutting:  # without the choices
            chunks.append(chunk[:length])
            length -= len(chunks[-1])
        outcomes.append(_Reader(connection).play([chunk for chunk in chunks if chunk]))
        check_same(outcomes[0], outcomes[-1])
    return tuple(type(each).__name__ if not isinstance(each, str) else each[:60] for each in outcomes[0])[:12]


def _seed(said: bytes, kind: int, limits: int = 0, *commands: int) -> bytes:
    return seed(said, kind, limits, 0, 0, max(len(commands) - 1, 0), *commands)


def _seeds() -> Iterator[bytes]:
    for dialogue in dialogues():
        said = b"".join(dialogue.said_by("S"))
        yield _seed(said, 0)
        for command in range(len(_BEFORE_LOGIN)):
            yield _seed(said, 1, command % 3, command)
        for command in range(len(_AFTER_LOGIN)):
            yield _seed(said, 2, 0, command, command)
    for command in range(len(_AFTER_LOGIN)):
        yield _seed(b"+OK 1 2\r\n1 2\r\n.x\r\n.\r\n+OK\r\n", 2, command % 3, command, (command + 3) % 17)
    for command in range(len(_BEFORE_LOGIN)):
        yield _seed(b"+OK en x\r\nTOP\r\n.\r\n+ \r\n+OK\r\n", 1, command % 3, command)


def _plant() -> AbstractContextManager[None]:
    """A decoder that loses the dot which it held back at the end of a chunk."""
    decode = BodyDecoder.decode

    def forgetful(decoder: BodyDecoder, data: bytes, start: int) -> tuple[bytes, int]:
        held = decoder.held
        octets, offset = decode(decoder, data, start)
        return octets.removeprefix(b".") if held else octets, offset

    return patched(BodyDecoder, "decode", forgetful)


TARGET: Final = Target(
    "client",
    "a client's connection: any octets from the server, whole and cut",
    _run,
    _seeds,
    _plant,
    _seed(b"+OK\r\n\r\n..", 2, 0, 1),
)
