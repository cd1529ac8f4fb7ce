"""The server's side of a connection: octets in, commands out; answers in, octets out. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .commands import STANDARD, Command, Vocabulary
from .connection import Connection
from .dots import BodyEncoder
from .errors import LocalProtocolError, RemoteProtocolError
from .events import (
    NEED_DATA,
    PAUSED,
    AuthCancel,
    AuthResponse,
    BadCommand,
    BodyChunk,
    BodyEnd,
    ConnectionClosed,
    ServerEvent,
    Signal,
)
from .limits import DEFAULT_LIMITS, NO_QUIRKS, Limits
from .lines import LineTooLong
from .replies import Challenge, Err, Greeting, Ok
from .states import Fact, State
from .text import decode_base64

if TYPE_CHECKING:
    from collections.abc import Iterator, Set as AbstractSet

    from .limits import Quirk

__all__ = ["Response", "ServerConnection"]

Response: TypeAlias = Greeting | Ok | Err | Challenge | BodyChunk | BodyEnd


class ServerConnection(Connection):
    """What a server knows of one connection: where the session stands, and what it owes the client.

    It moves no octets. Feed `receive_data`; take events from `next_event`; send what `send` returns. One event is
    answered before the next is given out; what the client pipelines waits. The connection knows the syntax, the
    states and the framing. Which messages exist, and whether a password is right, is the caller's to know.

    Args:
        limits: how long lines may be, how many may be bad, and how much may wait.
        quirks: the deviations to tolerate.
        tls: the connection began with TLS.
        commands: the classes of the commands to read.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        quirks: AbstractSet[Quirk] = NO_QUIRKS,
        tls: bool = False,
        commands: AbstractSet[type[Command[object]]] = STANDARD,
    ) -> None:
        super().__init__(limits, quirks, tls=tls)
        self._vocabulary = Vocabulary(commands)
        self._due: ServerEvent | None = None  # the event that waits for its answer
        self._exchange: Command[object] | None = None  # the AUTH whose challenges are under way
        self._encoder: BodyEncoder | None = None  # the body that is under way
        self._body_octets = 0
        self._bad_commands = 0
        self._last_straw = False  # the bad command that is due ends the session
        self._overlong = b""  # the start of a line that is too long and is being skipped

    @property
    def current(self) -> Command[object] | None:
        """The command that is being answered; the AUTH during its whole exchange."""
        return self._due if isinstance(self._due, Command) else self._exchange

    @property
    def body_octets(self) -> int:
        """Un-stuffed octets of the body that is under way, or was sent last: what LIST should have announced."""
        return self._encoder.octets if self._encoder is not None else self._body_octets

    def events(self) -> Iterator[ServerEvent]:
        """Take events until there is none, or the connection is closed; `next_event` then says why.

        Answer each before taking the next.
        """
        while not isinstance(event := self.next_event(), Signal):
            yield event
            if isinstance(event, ConnectionClosed):
                break

    def next_event(self) -> ServerEvent | Signal:
        """Return what the client asks for next.

        Returns:
            A command that is legal now; a `BadCommand`, to be answered with the reply in it; the client's part of a
            SASL exchange; `ConnectionClosed`, once all that came before is answered. Or NEED_DATA; or PAUSED: until
            the greeting is sent, from an event until its whole answer is sent, from the positive answer to STLS
            until `tls_established`, and from the end of the session.

        Raises:
            RemoteProtocolError: the client sent octets behind STLS. The session is over; every further call raises
                again.
        """
        if self._error is not None:
            raise type(self._error)(*self._error.args)
        state = self.state
        if state is State.CLOSED:
            return ConnectionClosed() if self._buffer.ended or self._failure is not None else PAUSED
        self._check_nothing_behind_stls()
        if state is State.TLS_HANDSHAKE and self._buffer.ended:
            self._close()
            return ConnectionClosed()
        if self._due is not None or state in (State.GREETING, State.TLS_HANDSHAKE):
            return PAUSED
        event = self._read()
        if isinstance(event, ConnectionClosed):
            self._close()
        elif not isinstance(event, Signal):
            self._due = event
        return event

    def _read(self) -> ServerEvent | Signal:
        """Return the next line as an event. Whether it may be as long as an AUTH is seen once it is whole."""
        limit = self.limits.sasl_line
        if self.state is not State.SASL:
            limit = max(limit, self.limits.command_line)
        if not self._overlong:
            try:
                line = self._buffer.next_line(limit)
            except LineTooLong:
                data, start = self._buffer.peek()
                self._overlong = data[start : start + limit]
            else:
                if line is not None:
                    return self._response(line) if self.state is State.SASL else self._command(line)
        if self._overlong and self._buffer.skip_line():
            self._last_straw = self.state is State.SASL  # what the client is doing there is not to be known
            line, self._overlong = self._overlong, b""
            return self._bad(line, "the line is too long")
        return ConnectionClosed() if self._buffer.ended else NEED_DATA

    def _command(self, line: bytes) -> ServerEvent:
        try:
            command = self._vocabulary.parse(line)
        except LocalProtocolError as error:
            return self._bad(line, str(error))
        limit = self.limits.sasl_line if command.challenged else self.limits.command_line
        if len(line) + 2 > limit:
            return self._bad(line, "the line is too long")
        if (objection := self._standing.objection(command)) is not None:
            return self._bad(line, objection)
        if self.state is State.TRANSACTION:
            self._standing = self._standing.at(command.on_receipt)
        return command

    def _response(self, line: bytes) -> ServerEvent:
        if line == b"*":
            return AuthCancel()
        data = decode_base64(line)
        return self._bad(line, "the response is not base64") if data is None else AuthResponse(data)

    def _bad(self, line: bytes, reason: str) -> BadCommand:
        self._bad_commands += 1
        self._last_straw |= self._bad_commands >= self.limits.bad_commands
        return BadCommand(line, reason, Err(f"{reason}; closing the connection" if self._last_straw else reason))

    def send(self, item: Response) -> bytes:
        """Note that something is sent, and return its octets.

        Args:
            item: the greeting; or the answer, or the next part of the answer, to the event that `next_event` gave:
                `Ok` or `Err`; after `Ok` to a multi-line command any number of `BodyChunk` and one `BodyEnd`; to
                AUTH and its responses also `Challenge`; to a `BadCommand` its reply. Octets of a body may have any
                line ends and any cut.

        Raises:
            LocalProtocolError: it is no answer to what is due, or too long. Nothing has changed.
            RemoteProtocolError: the client sent octets behind STLS. The session is over and nothing may be sent.
        """
        self._check_open()
        # A str has an encode too, and would count as a positive answer.
        if not isinstance(item, Response):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a server cannot send a {type(item).__name__}")
        self._check_nothing_behind_stls()
        if isinstance(item, BodyChunk | BodyEnd):
            return self._send_body(item)
        octets = item.encode()
        if (objection := self._objection(item, octets)) is not None:
            raise LocalProtocolError(objection)
        if isinstance(item, Greeting):
            refused = isinstance(item.reply, Err)
            self._standing = self._standing.at(State.CLOSED if refused else State.AUTHORIZATION)
        elif isinstance(item, Challenge):
            self._exchange, self._due = self.current, None
            self._standing = self._standing.at(State.SASL)
        else:
            self._answer(item)
        return octets

    def _send_body(self, item: BodyChunk | BodyEnd) -> bytes:
        if self._encoder is None:
            raise LocalProtocolError(f"no body is under way for a {type(item).__name__}")
        if isinstance(item, BodyChunk):
            return self._encoder.feed(item.data)
        octets = self._encoder.finish()
        self._body_octets = self._encoder.octets
        self._encoder = self._due = None
        return octets

    def _objection(self, item: Greeting | Ok | Err | Challenge, octets: bytes) -> str | None:
        """Return why this cannot be sent now; None if it can."""
        kind = type(item).__name__
        limit = self.limits.sasl_line if isinstance(item, Challenge) else self.limits.reply_line_sent
        if len(octets) > limit:
            return f"the line has {len(octets)} octets; {limit} are allowed"
        if isinstance(item, Greeting):
            if self.state is not State.GREETING:
                return "the greeting was sent already"
            # RFC 2449 section 3: a "<" begins the timestamp, which some clients take from the first one.
            angles = item.reply.text.count("<") - (item.timestamp is not None)
            return "a greeting must not hold '<', except before a timestamp" if angles else None
        if self._due is None:
            return f"nothing is due that {kind} would answer"
        if self._encoder is not None:
            return f"a body is under way: {kind} cannot be sent before its end"
        if isinstance(item, Challenge):
            exchange = isinstance(self._due, AuthResponse) or (isinstance(self._due, Command) and self._due.challenged)
            return None if exchange else "a challenge can only answer AUTH and its responses"
        if isinstance(item, Ok) and isinstance(self._due, BadCommand | AuthCancel):
            return "what is no command, or was cancelled, must be answered with Err"
        return None

    def _answer(self, reply: Ok | Err) -> None:
        due, exchange = self._due, self._exchange
        self._due = self._exchange = None
        if isinstance(due, BadCommand) and self._last_straw:
            self._close()
        elif exchange is not None:
            self._standing = self._standing.after(exchange, type(reply))
        elif isinstance(due, Command):
            self._standing = self._standing.after(due, type(reply))
            if isinstance(reply, Ok) and due.multi_line:
                self._due, self._encoder = due, BodyEncoder()
        elif self.state is State.USER_GIVEN:
            # PASS is legal directly after USER only, whatever came between (RFC 1939 section 7).
            self._standing = self._standing.at(State.AUTHORIZATION)

    def _check_nothing_behind_stls(self) -> None:
        # They came in clear, and must not be read as if TLS had protected them (RFC 2595 section 9). The client
        # waits for the answer, so they are an attacker's.
        if not len(self._buffer):
            return
        unanswered = isinstance(self._due, Command) and self._due.on_ok is State.TLS_HANDSHAKE
        if unanswered or self.state is State.TLS_HANDSHAKE:
            self._error = RemoteProtocolError("the client sent octets behind STLS, before the TLS handshake")
            self._standing = self._standing.at(State.CLOSED)
            raise self._error

    def tls_established(self) -> None:
        """Resume after the TLS handshake that a positive answer to STLS announced.

        The state is AUTHORIZATION again, as after the greeting; there is no second greeting (RFC 2595 section 4).

        Raises:
            LocalProtocolError: no handshake is due; nothing has changed.
            RemoteProtocolError: the client sent octets in clear behind STLS. The session is over.
        """
        if self.state is not State.TLS_HANDSHAKE:
            raise LocalProtocolError("no TLS handshake is due")
        self._check_nothing_behind_stls()
        self._standing = self._standing.at(State.AUTHORIZATION).with_fact(Fact.TLS)
