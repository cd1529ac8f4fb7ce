"""A server's connection: a client says anything, and every event is answered in some way."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Final, cast

from fuzz.corpus import dialogues
from fuzz.target import Choices, Target, Violation, check, patched, seed
from pop3proto import (
    PAUSED,
    AuthCancel,
    AuthResponse,
    BadCommand,
    BodyChunk,
    BodyEnd,
    Challenge,
    Command,
    ConnectionClosed,
    Err,
    Greeting,
    Limits,
    LocalProtocolError,
    Ok,
    Pass,
    RemoteProtocolError,
    Response,
    ServerConnection,
    ServerEvent,
    Signal,
    State,
)
from pop3proto.core.commands import Vocabulary
from pop3proto.core.lines import CommandBuffer

from .codec import naive_lines, naive_stuffed
from .cutting import check_same, chosen_quirks, cuttings

_LIMITS: Final = (
    Limits(),
    Limits(command_line=40, sasl_line=60, reply_line=64, bad_commands=3, buffered=64),
    Limits(command_line=80, sasl_line=50, reply_line=64, bad_commands=1000, buffered=80),
)
_LOGIN: Final = b"USER ann\r\nPASS tanstaaf\r\n"
_VOCABULARY: Final = Vocabulary()
_ASKED: Final = (Command, AuthResponse, AuthCancel, BadCommand)


class _Server:
    """Answers events by a plan, and checks what must hold for each."""

    def __init__(self, choices: Choices) -> None:
        self.seen: list[object] = []
        self.stls = False
        self._logs_in = choices.number(2)
        limits, tls = _LIMITS[choices.number(3)], bool(choices.number(2))
        self._connection = ServerConnection(limits=limits, quirks=chosen_quirks(choices), tls=tls)
        self._plan = choices.numbers(6, 6)
        self._answered = 0
        self._longest = max(limits.command_line, limits.sasl_line)

    def play(self, chunks: list[bytes]) -> list[object]:
        connection = self._connection
        check(connection.next_event() is PAUSED, "it does not wait for its greeting")
        connection.send(Greeting(Ok("ready")))
        if self._logs_in:
            connection.receive_data(_LOGIN)
            for _ in range(2):
                connection.next_event()
                connection.send(Ok())
            check(connection.state is State.TRANSACTION, "the login did not work")
        for chunk in [*chunks, b""]:
            try:
                connection.receive_data(chunk)
            except LocalProtocolError:
                check(connection.state is State.CLOSED, "octets were not taken")
                break
            try:
                while self._take(connection.next_event()):
                    pass
            except RemoteProtocolError as error:
                self._give_up(error)
                break
        return self.seen

    def _take(self, event: object) -> bool:
        connection = self._connection
        if event is Signal.NEED_DATA:
            held = len(vars(connection)["_buffer"]) + len(vars(connection)["_overlong"])
            check(held <= 2 * self._longest, f"{held} octets are held, and no line has more than {self._longest}")
            return False
        if event is Signal.PAUSED:
            check(connection.state is State.CLOSED, "it is paused without a reason")
            return False
        self.seen.append(event)
        if isinstance(event, ConnectionClosed):
            check(connection.state is State.CLOSED, "it is closed, and its state is not")
            return False
        if isinstance(event, _ASKED):  # else it is a note, which needs no answer
            check(connection.next_event() is PAUSED, "an event came before the last one was answered")
            self._answer(cast("ServerEvent", event))
        if connection.state is State.TLS_HANDSHAKE:
            self.stls = True
            connection.next_event()
            connection.tls_established()
        return True

    def _check_command(self, command: Command[object]) -> None:
        limits = self._connection.limits
        line = command.encode()
        check(_VOCABULARY.parse(line.removesuffix(b"\r\n")) == command, f"{command} does not survive")
        check(len(line) <= (limits.sasl_line if command.challenged else limits.command_line), "a line grows")
        check(self._connection.current == command, "it does not know what it answers")
        if isinstance(command, Pass) and len(command.password) > 10:
            shown = f"{command} {command!r} {command.redacted()!r}"
            check(command.password not in shown, "a command shows its secret")

    def _answer(self, event: ServerEvent) -> None:
        if isinstance(event, Command):
            self._check_command(event)
        choice = self._plan[self._answered % len(self._plan)]
        self._answered += 1
        match event:
            case BadCommand(reply=reply):
                self._send(reply)
            case AuthCancel():
                self._send(Err("cancelled"))
            case AuthResponse():
                self._send((Ok(), Err("no"), Challenge(b"more"))[choice % 3])
            case Command() if choice == 0:
                self._send(Err("no"))
            case Command() if event.challenged and choice < 4:
                self._send(Challenge(b"say more"))
            case Command() if event.multi_line:
                self._send(Ok("here"))
                body = (b"", b".a\r\n", b"a\n.", b"\r\n.\r\n", b"1 2\r", b"..")[choice]
                sent = self._connection.send(BodyChunk(body)) + self._connection.send(BodyEnd())
                check(sent == naive_stuffed(naive_lines(body, "keep")), "a body is sent in another way")
            case _:
                self._send(Ok("here"))

    def _send(self, item: Response) -> None:
        octets = self._connection.send(item)
        check(octets.endswith(b"\r\n") and octets.count(b"\n") == 1 == octets.count(b"\r"), "no line was sent")
        check(len(octets) <= 512, "a line is too long")
        self.seen.append(octets)

    def _give_up(self, error: Exception) -> None:
        connection = self._connection
        self.seen.append(str(error))
        check(connection.state is State.CLOSED, "after an error the state is not CLOSED")
        try:
            connection.next_event()
        except RemoteProtocolError as again:
            check(str(again) == str(error), "the second error is not the first")
        else:
            raise Violation("an error is raised only once")
        try:
            connection.send(Ok())
        except LocalProtocolError:
            pass
        else:
            raise Violation("after an error something was sent")


def _run(octets: bytes) -> Hashable:
    outcomes: list[list[object]] = []
    broken = False
    for cutting in cuttings(octets):
        choices = Choices(octets)
        server = _Server(choices)
        length = len(choices.rest())
        chunks: list[bytes] = []
        for chunk in cutting:
            chunks.append(chunk[:length])
            length -= len(chunks[-1])
        outcomes.append(server.play([chunk for chunk in chunks if chunk]))
        if isinstance(outcomes[-1][-1], str):
            broken = True
            outcomes[-1].pop()
        # Octets behind STLS end the session only if they are there before it is answered.
        check_same(outcomes[0], outcomes[-1], only_beginning=broken)
    return tuple(
        each.reason[:40] if isinstance(each, BadCommand) else type(each).__name__
        for each in outcomes[0]
        if not isinstance(each, bytes)
    )[:10]


def _seeds() -> Iterator[bytes]:
    for dialogue in dialogues():
        said = b"".join(dialogue.said_by("C"))
        for limits in range(3):
            yield seed(said, 0, limits, 0, 0, 1, 2, 3, 4, 5, 1)
            yield seed(said, 1, limits, 0, 0, 1, 2, 3, 4, 5, 0)
            yield seed(_LOGIN + said, 0, limits, 1, 0, 5, 5, 0, 4, 5, 1)


def _plant() -> AbstractContextManager[None]:
    """A buffer that drops the rest of a chunk together with a line that is too long."""
    skip_line = CommandBuffer.skip_line

    def hasty(buffer: CommandBuffer) -> bool:
        found = skip_line(buffer)
        if found:
            data, _ = buffer.peek()
            buffer.consume(len(data))
        return found

    return patched(CommandBuffer, "skip_line", hasty)


TARGET: Final = Target(
    "server",
    "a server's connection: any octets from the client, whole and cut",
    _run,
    _seeds,
    _plant,
    seed(b"x" * 62 + b"\r\nNOOP\r\n", 0, 1, 0, 0, 1, 2, 3, 4, 5, 1),
)
