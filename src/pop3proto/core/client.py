"""The client's side of a connection: commands in, octets out; octets in, answers out. No I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from typing_extensions import override

from .commands import Command
from .connection import Connection
from .dots import BodyDecoder
from .errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, UncertainUpdate
from .events import (
    NEED_DATA,
    PAUSED,
    Answer,
    AuthCancel,
    AuthResponse,
    BodyChunk,
    BodyEnd,
    ClientEvent,
    ConnectionClosed,
    Farewell,
    Signal,
)
from .limits import DEFAULT_LIMITS, NO_QUIRKS, Limits
from .lines import LineTooLong
from .replies import Err, Greeting, Ok, looks_like, parse_challenge, parse_reply
from .states import Fact, State
from .text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator, Set as AbstractSet

    from .limits import Quirk

__all__ = ["ClientConnection", "Request"]

Request: TypeAlias = Command[object] | AuthResponse | AuthCancel

_BODY_END: Final = BodyEnd()


class ClientConnection(Connection):
    """What a client knows of one connection: where the session stands, and which answers are due.

    It moves no octets. Send what `send` returns; feed `receive_data`; take events from `next_event` until it says
    NEED_DATA. Several commands may be outstanding; each answer comes with its command, in order. Whether a server
    can take that (PIPELINING, RFC 2449 section 6.6) is the caller's to know.

    Args:
        limits: how long lines may be, and how much may wait.
        quirks: the deviations to tolerate.
        tls: the connection began with TLS.
    """

    def __init__(
        self, *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS, tls: bool = False
    ) -> None:
        super().__init__(limits, quirks, tls=tls)
        self._expected = self._standing  # once all outstanding commands are answered, each positively
        self._outstanding: deque[Command[object]] = deque()
        self._body: BodyDecoder | None = None  # the body that follows the answer to outstanding[0]
        self._last_body: Command[object] | None = None
        self._challenged = False  # the server waits for a SASL response
        self._cancelled = False  # the exchange was given up

    @property
    def outstanding(self) -> tuple[Command[object], ...]:
        """The commands that are not wholly answered, the oldest first."""
        return tuple(self._outstanding)

    @property
    def unasked(self) -> bool:
        """Whether octets wait that answer nothing; once they are a whole line, `next_event` tells what it is."""
        return not self._outstanding and len(self._buffer) > 0

    def can_send(self, item: Request) -> bool:
        """Whether `send` would take this now."""
        try:
            self._encode(item)
        except LocalProtocolError:
            return False
        return True

    def send(self, item: Request) -> bytes:
        """Note that something is sent, and return its octets: one whole line.

        Args:
            item: a command; or the answer to a `Challenge`.

        Raises:
            LocalProtocolError: it is not legal now, or too long. Nothing has changed.
            RemoteProtocolError: the server sent octets in clear behind its answer to STLS. The session is over.
        """
        if self.state is State.TLS_HANDSHAKE:
            self._next_of_handshake()
        octets = self._encode(item)
        if isinstance(item, Command):
            self._outstanding.append(item)
            self._expected = self._expected.after(item, Ok)
        else:
            self._challenged = False
            self._cancelled = isinstance(item, AuthCancel)
        return octets

    def _encode(self, item: Request) -> bytes:
        self._check_open()
        # A str has an encode too, and would go out as it is.
        if not isinstance(item, Command | AuthResponse | AuthCancel):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a client cannot send a {type(item).__name__}")
        if (objection := self._objection(item)) is not None:
            raise LocalProtocolError(objection)
        octets = item.encode()
        limit = self.limits.command_line if isinstance(item, Command) else self.limits.sasl_line
        if (length := len(octets)) > limit:
            del octets  # a traceback would keep it, and there may be a password in it
            what = item.verb if isinstance(item, Command) else "SASL response"
            raise LocalProtocolError(f"the {what} line has {length} octets; {limit} are allowed")
        return octets

    def _objection(self, item: Request) -> str | None:
        """Return why this cannot be sent now; None if it can."""
        if not isinstance(item, Command):
            return None if self._challenged else "no challenge waits for a response"
        if self._challenged:
            return "a challenge waits for its response"
        if self._outstanding and self._outstanding[-1].barrier:
            return f"nothing may be sent before {self._outstanding[-1].verb} is answered"
        if self._buffer.ended:
            return "the server has closed the connection"
        if self._outstanding and item.on_ok is State.TLS_HANDSHAKE:
            return f"{item.verb} may not be sent before all else is answered"  # so that what comes early is noticed
        if self.unasked:
            # It cannot be the answer to what has not been asked. next_event() tells what it is.
            return "the server has sent something unasked: take the next event first"
        return self._expected.objection(item)

    def events(self) -> Iterator[ClientEvent]:
        """Take events until there is none, or the connection is closed; `next_event` then says why."""
        while not isinstance(event := self.next_event(), Signal):
            yield event
            if isinstance(event, ConnectionClosed):
                break

    def next_event(self) -> ClientEvent | Signal:
        """Return what the server said next.

        Returns:
            The event; NEED_DATA; or PAUSED, from a `Challenge` until its response is sent, and from the positive
            answer to STLS until `tls_established`.

        Raises:
            RemoteProtocolError: the server broke the protocol. The session is over; every further call raises again.
            ConnectionLost: the stream ended while answers were due. Likewise.
        """
        if self._error is not None:
            raise type(self._error)(*self._error.args)
        if self._body is not None:
            return self._next_of_body(self._body)
        if self._challenged:
            return PAUSED
        state = self._standing.state
        if state is State.TLS_HANDSHAKE:
            return self._next_of_handshake()
        if state is State.CLOSED:
            return self._next_of_end()
        limit = self.limits.reply_line
        if self._outstanding and self._outstanding[0].challenged:
            limit = max(limit, self.limits.sasl_line)
        try:
            line = self._buffer.next_line(limit)
        except LineTooLong:
            data, start = self._buffer.peek()
            blame = self._blame(data[start : start + limit])
            raise self._broken(f"the server sent a line of more than {limit} octets{blame}") from None
        if line is None:
            return self._end_of_stream() if self._buffer.ended else NEED_DATA
        if self._outstanding:
            return self._answer(self._outstanding[0], line)
        return self._unasked(line)

    def _answer(self, command: Command[object], line: bytes) -> ClientEvent:
        if line.startswith(b"+ ") or line == b"+":
            return self._challenge(command, line)
        reply = self._reply(line)
        if self._cancelled and isinstance(reply, Ok):
            raise self._broken(f"the server accepted {command}, which was cancelled")
        self._cancelled = False
        self._last_body = None
        assumed = self._standing.after(command, Ok)
        self._standing = self._standing.after(command, type(reply))
        if isinstance(reply, Err):
            self._outstanding.popleft()
            if self._standing != assumed:  # else what is expected is as it was
                self._expected = self._standing
                for later in self._outstanding:
                    self._expected = self._expected.after(later, Ok)
        elif command.multi_line:
            self._body = BodyDecoder()
        else:
            self._outstanding.popleft()
        return Answer(command, reply)

    def _challenge(self, command: Command[object], line: bytes) -> ClientEvent:
        if not command.challenged or self._cancelled:
            raise self._broken(f"the server sent a challenge in place of an answer to {command}{self._blame()}")
        if (challenge := parse_challenge(line)) is None:
            raise self._broken(f"the server sent a challenge for {command} that is not base64")
        self._challenged = True
        self._standing = self._standing.at(State.SASL)
        return challenge

    def _unasked(self, line: bytes) -> ClientEvent:
        reply = self._reply(line)
        if self.state is State.GREETING:
            self._standing = self._standing.at(State.CLOSED if isinstance(reply, Err) else State.AUTHORIZATION)
            self._expected = self._standing
            return Greeting(reply)
        if isinstance(reply, Ok):
            raise self._broken(f"the server sent {excerpt(line)} unasked{self._blame()}")
        self._close()
        return Farewell(reply)

    def _reply(self, line: bytes) -> Ok | Err:
        try:
            reply = parse_reply(line)
        except LocalProtocolError as error:
            raise self._broken(f"the server sent {excerpt(line)}: {error}") from None
        if reply is None:
            raise self._broken(f"the server sent {excerpt(line)}, which is not {self._due()}{self._blame(line)}")
        return reply

    def _due(self) -> str:
        if self._outstanding:
            return f"an answer to {self._outstanding[0]}"
        return "a greeting" if self.state is State.GREETING else "anything that was asked for"

    def _next_of_body(self, decoder: BodyDecoder) -> ClientEvent | Signal:
        if not decoder.eof:
            data, offset = self._buffer.peek()
            if offset < len(data):
                octets, offset = decoder.decode(data, offset)
                self._buffer.consume(offset)
                if octets:
                    return BodyChunk(octets)
        if decoder.eof:
            self._body = None
            self._last_body = self._outstanding.popleft()
            return _BODY_END
        return self._end_of_stream() if self._buffer.ended else NEED_DATA

    def _next_of_handshake(self) -> Signal:
        if len(self._buffer):
            # Octets in clear that would be read as if TLS had protected them (RFC 2595 section 9).
            raise self._broken("the server sent octets behind its answer to STLS, before the TLS handshake")
        if self._buffer.ended:
            raise self._lost("before the TLS handshake")
        return PAUSED

    def _next_of_end(self) -> ClientEvent | Signal:
        if self._failure is not None:
            return ConnectionClosed()
        if len(self._buffer):
            raise self._broken("the server went on although it had ended the session")
        return ConnectionClosed() if self._buffer.ended else NEED_DATA

    def _end_of_stream(self) -> ConnectionClosed:
        waiting, _ = self._buffer.peek()
        if self._body is not None:
            dot = " after a lone dot, which ends nothing without its CRLF" if self._body.held else ""
            raise self._lost(f"in the middle of the body of {self._outstanding[0]}{dot}")
        if self._outstanding:
            raise self._lost(f"before answering {self._outstanding[0]}")
        if self.state is State.GREETING:
            raise self._lost(f"before its greeting{looks_like(waiting)}")
        if len(self._buffer):
            raise self._lost("in the middle of a line")
        self._close()
        return ConnectionClosed()

    def _lost(self, when: str) -> ConnectionLost:
        message = f"the server closed the connection {when}"
        if any(command.on_receipt is State.UPDATE for command in self._outstanding) and self.state is State.TRANSACTION:
            message += "; deletions may or may not have happened"
            self._error = UncertainUpdate(message)
        else:
            self._error = ConnectionLost(message)
        self._close()
        return self._error

    def _broken(self, message: str) -> RemoteProtocolError:
        self._error = RemoteProtocolError(message)
        self._close()
        return self._error

    def _blame(self, line: bytes = b"") -> str:
        """Return a guess at the reason why the stream makes no sense, for the end of a message."""
        if self.state is State.GREETING:
            return looks_like(line)
        if self._last_body is not None:
            return f" (the body of {self._last_body} may have ended early: does the server stuff dots?)"
        return ""

    def tls_established(self) -> None:
        """Resume after the TLS handshake that a positive answer to STLS announced.

        The state is AUTHORIZATION again, as after the greeting (RFC 2595 section 4). What the server said before,
        its capabilities above all, was not protected: forget it.

        Raises:
            LocalProtocolError: no handshake is due; nothing has changed.
            RemoteProtocolError: the server sent octets in clear behind its answer. The session is over.
            ConnectionLost: the server has closed the connection. Likewise.
        """
        if self.state is not State.TLS_HANDSHAKE:
            raise LocalProtocolError("no TLS handshake is due")
        self._next_of_handshake()
        self._standing = self._expected = self._standing.at(State.AUTHORIZATION).with_fact(Fact.TLS)

    @override
    def _close(self) -> None:
        super()._close()
        self._body = None
        self._challenged = False
