"""A client's and a server's connection that talk to each other through a pipe: it cuts, and may change octets."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from fuzz.corpus import dialogues
from fuzz.target import Choices, Target, Violation, check, patched, seed
from pop3proto import (
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BadCommand,
    BodyChunk,
    BodyEnd,
    Challenge,
    ClientConnection,
    Command,
    ConnectionClosed,
    ConnectionLost,
    Err,
    Farewell,
    Greeting,
    LocalProtocolError,
    Ok,
    RemoteProtocolError,
    Request,
    Response,
    ServerConnection,
    Signal,
    State,
    Tolerated,
)
from pop3proto.core import client
from pop3proto.core.commands import Vocabulary
from pop3proto.core.replies import parse_reply

from .codec import naive_lines

_SIZES: Final = (1, 2, 3, 5, 17, 100, 10_000)
_VOCABULARY: Final = Vocabulary()
_ROUNDS: Final = 200_000
_PATIENCE: Final = 60  # answers


class _Pipe:
    """Octets on their way; they arrive in pieces."""

    def __init__(self, size: int, change_at: int, change: int) -> None:
        self._octets = bytearray()
        self._size = size
        self._change_at = change_at  # an offset in the whole stream; negative: nothing is changed
        self._change = change
        self._put = 0

    def put(self, octets: bytes) -> None:
        changed = bytearray(octets)
        if self._put <= self._change_at < self._put + len(octets):
            changed[self._change_at - self._put] ^= self._change
        self._put += len(octets)
        self._octets += changed

    def take(self) -> bytes:
        piece = bytes(self._octets[: self._size])
        del self._octets[: self._size]
        return piece


class _Talk:
    """A client that has commands to send, and a server that answers each."""

    def __init__(self, choices: Choices) -> None:
        self.changes = bool(choices.number(2))
        size = _SIZES[choices.number(len(_SIZES))]
        at = choices.number(256) if self.changes else -1
        to_server = bool(choices.number(2))
        change = 1 << choices.number(8)
        self._up = _Pipe(size, at if to_server else -1, change)
        self._down = _Pipe(size, -1 if to_server else at, change)
        self._window = 1 + choices.number(5)
        self._plan = choices.numbers(8, 8)
        self._turn = 0
        self.client = ClientConnection()
        self.server = ServerConnection()
        self.requested: list[Request] = []  # what the client sent
        self.requests: list[Request | BadCommand] = []  # what the server was told
        self.sent: list[object] = []  # what the server sent
        self.received: list[object] = []  # what the client was told
        self._body: list[bytes] = []
        self._texts = [""]
        self._queue: list[Command[object]] = []
        for line in choices.rest().split(b"\n"):
            try:
                self._queue.append(_VOCABULARY.parse(line.removesuffix(b"\r")))
            except LocalProtocolError:
                self._texts.append(line.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")[:200])

    def play(self) -> None:
        self._say(Greeting(Ok("ready")))
        for _ in range(_ROUNDS):
            before = len(self.requested), len(self.received), len(self.requests)
            moved = self._request()
            for connection, pipe in ((self.server, self._up), (self.client, self._down)):
                if octets := pipe.take():
                    connection.receive_data(octets)
                    moved = True
            self._serve()
            self._read()
            if moved or before != (len(self.requested), len(self.received), len(self.requests)):
                continue
            if not self._queue:
                return
            del self._queue[0]  # it is not legal, and will not become so
        raise Violation("they do not stop talking")

    def _next(self) -> int:
        self._turn += 1
        return self._plan[self._turn % len(self._plan)]

    def _request(self) -> bool:
        """Send what the client can send now."""
        moved = False
        while self._queue and len(self.client.outstanding) < self._window:
            if not self.client.can_send(self._queue[0]):
                break
            command = self._queue.pop(0)
            self._up.put(self.client.send(command))
            self.requested.append(command)
            moved = True
        return moved

    def _serve(self) -> None:
        while not isinstance(event := self.server.next_event(), Signal | ConnectionClosed):
            if isinstance(event, Tolerated):  # a note, which needs no answer
                continue
            self.requests.append(event)
            self._answer(event)
        if self.server.state is State.TLS_HANDSHAKE and self.client.state is State.TLS_HANDSHAKE:
            self.client.tls_established()
            self.server.tls_established()

    def _answer(self, event: object) -> None:
        choice = self._next() if self._turn < _PATIENCE else 0  # no exchange goes on for ever
        text = self._texts[choice % len(self._texts)]
        match event:
            case BadCommand(reply=reply):
                self._say(reply)
            case AuthCancel():
                self._say(Err(text))
            case AuthResponse():
                self._say((Err(text), Ok(text), Challenge(text.encode("utf-8", "surrogateescape")))[choice % 3])
            case Command() if choice == 0:
                self._say(Err(text))
            case Command() if event.challenged and choice < 6:
                self._say(Challenge(text.encode("utf-8", "surrogateescape")))
            case Command() if event.multi_line:
                self._say(Ok(text))
                body = "\n".join(self._texts[: choice + 1]).encode("utf-8", "surrogateescape")
                for piece in (body[: choice * 3], body[choice * 3 :]):
                    self._down.put(self.server.send(BodyChunk(piece)))
                self._down.put(self.server.send(BodyEnd()))
                self.sent.append(naive_lines(body, "keep"))
            case _:
                self._say(Ok(text))

    def _say(self, item: Response) -> None:
        self._down.put(self.server.send(item))
        self.sent.append(item)

    def _read(self) -> None:
        while not isinstance(event := self.client.next_event(), Signal | ConnectionClosed):
            match event:
                case BodyChunk(data):
                    self._body.append(data)
                case BodyEnd():
                    self.received.append(b"".join(self._body))
                    self._body = []
                case Challenge():
                    self.received.append(event)
                    item = AuthCancel() if self._next() == 7 else AuthResponse(event.data[::-1])
                    self._up.put(self.client.send(item))
                    self.requested.append(item)
                case BadChallenge():
                    self.received.append(event)
                    self._up.put(self.client.send(AuthCancel()))
                    self.requested.append(AuthCancel())
                case Answer(_, reply):
                    self.received.append(reply)
                case Greeting() | Farewell():
                    self.received.append(event)
                case Tolerated():
                    pass


def _run(octets: bytes) -> Hashable:
    talk = _Talk(Choices(octets))
    try:
        talk.play()
    except (RemoteProtocolError, ConnectionLost) as error:
        check(talk.changes, f"nothing was changed on the way, and still: {error}")
        return type(error).__name__, str(error)[:50]
    if not talk.changes:
        # What was sent behind a command that was then refused may not be legal any more.
        told = [each.octets + b"\r\n" if isinstance(each, BadCommand) else each.encode() for each in talk.requests]
        sent = [each.encode() for each in talk.requested]
        check(told == sent, f"the server was told {told!r:.300} for {sent!r:.300}")
        legal = [each for each in talk.requests if not isinstance(each, BadCommand)]
        check(all(map(talk.requested.__contains__, legal)), "a command was read as another")
        check(talk.received == talk.sent, f"the client was told {talk.received!r:.300} for {talk.sent!r:.300}")
        check(talk.client.state is talk.server.state, f"{talk.client.state} is not {talk.server.state}")
        check((talk.client.tls, talk.client.utf8) == (talk.server.tls, talk.server.utf8), "they differ on TLS or UTF8")
        check(not talk.client.outstanding, "something is unanswered")
    return tuple(type(each).__name__ for each in talk.requests)[:8]


def _seeds() -> Iterator[bytes]:
    for dialogue in dialogues():
        said = b"".join(octets for _, octets in dialogue.steps)
        for start in (b"", b"USER ann\r\nPASS tanstaaf\r\n", b"STLS\r\nUTF8\r\nAUTH PLAIN\r\n"):
            yield seed(start + said, 0, len(said) % 7, 0, 0, len(said) % 5, 1, 2, 3, 4, 5, 6, 7, 1)
            yield seed(
                start + said,
                1,
                len(said) % 7,
                len(said) * 7 % 256,
                len(said) % 2,
                len(said) % 8,
                4,
                5,
                6,
                7,
                1,
                2,
                3,
                4,
                1,
            )


def _plant() -> AbstractContextManager[None]:
    """A client that makes one blank of several in a reply."""

    def squeezed(line: bytes) -> Ok | Err | None:
        return parse_reply(re.sub(rb"  +", b" ", line))

    return patched(client, "parse_reply", squeezed)


TARGET: Final = Target(
    "joined",
    "a client and a server connection that talk through a pipe: it cuts, or changes octets",
    _run,
    _seeds,
    _plant,
    seed(b"USER a\n\n  x", 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 1),
)
