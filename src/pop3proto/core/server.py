"""Server side of a POP3 connection, without I/O: octets in, commands out; answers in, octets out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from .commands import STANDARD, Command, vocabulary_of
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
    Tolerated,
)
from .limits import DEFAULT_LIMITS, NO_QUIRKS, Limits
from .lines import BareLf, CommandBuffer, Deviation, LineTooLong
from .replies import Challenge, Err, Greeting, Ok
from .states import Fact, State
from .text import decode_base64

if TYPE_CHECKING:
    from collections.abc import Iterator, Set as AbstractSet

    from .limits import Quirk

__all__ = ["Response", "ServerConnection"]

Response: TypeAlias = Greeting | Ok | Err | Challenge | BodyChunk | BodyEnd

# Tuples: `isinstance` takes them as they are, and would make a union again at each call.
_RESPONSES: Final = (Greeting, Ok, Err, Challenge, BodyChunk, BodyEnd)
_BODY: Final = (BodyChunk, BodyEnd)

# As in `client`: before Python 3.12, to read a member of an Enum takes ten times as long as to read a variable.
_AUTHORIZATION: Final = State.AUTHORIZATION
_CLOSED: Final = State.CLOSED
_GREETING: Final = State.GREETING
_SASL: Final = State.SASL
_TLS_HANDSHAKE: Final = State.TLS_HANDSHAKE
_TRANSACTION: Final = State.TRANSACTION
_USER_GIVEN: Final = State.USER_GIVEN


class ServerConnection(Connection):
    r"""The server side of a POP3 connection: parses commands, tracks state and encodes answers. Does no I/O.

    Pass what you read to `receive_data`; take events from `next_event`; write to the socket what `send` returns. Each
    event must be answered before `next_event` returns the next one; pipelined commands stay in the buffer. This class
    knows syntax, states and framing; the caller knows the messages and checks passwords.

    For example::

        connection = ServerConnection()
        assert connection.send(Greeting(Ok("ready"))) == b"+OK ready\r\n"
        connection.receive_data(b"USER ann\r\n")
        assert connection.next_event() == User("ann")
        assert connection.send(Ok()) == b"+OK\r\n"

    Args:
        limits: maximum lengths of lines, number of bad commands, and size of the buffer.
        quirks: deviations of the client to tolerate.
        tls: TLS is already active (implicit TLS).
        commands: the command classes to accept.
    """

    _strict_buffer = CommandBuffer

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        quirks: AbstractSet[Quirk] = NO_QUIRKS,
        tls: bool = False,
        commands: AbstractSet[type[Command[object]]] = STANDARD,
    ) -> None:
        super().__init__(limits, quirks, tls=tls)
        self._vocabulary = vocabulary_of(frozenset(commands))
        self._due: ServerEvent | None = None  # the event that must be answered next
        self._asked: Command[object] | None = None  # that, if it is a command
        self._exchange: Command[object] | None = None  # the AUTH whose SASL exchange is in progress
        self._encoder: BodyEncoder | None = None  # the body that is being sent
        self._body_octets = 0
        self._stls = False  # from STLS to its refusal, or to the end of the handshake: nothing may arrive in clear
        self._longest_line = max(limits.sasl_line, limits.command_line)
        self._bad_commands = 0
        self._closing = False  # the answer to the current bad command ends the session
        self._overlong = b""  # the start of a line that is too long, while the rest is skipped

    @property
    def current(self) -> Command[object] | None:
        """The command that is being answered; AUTH during its whole SASL exchange; None between commands."""
        return self._asked or self._exchange

    @property
    def body_octets(self) -> int:
        """Size of the current or last body in octets, un-stuffed: the number that LIST should have announced."""
        return self._encoder.octets if self._encoder is not None else self._body_octets

    def events(self) -> Iterator[ServerEvent]:
        """Yield events until more data or an action is needed (see `next_event`), or the connection is closed.

        Answer each event before taking the next.
        """
        while not isinstance(event := self.next_event(), Signal):
            yield event
            if isinstance(event, ConnectionClosed):
                break

    def next_event(self) -> ServerEvent | Signal:
        """Return the next event from the client.

        Returns:
            A command that is legal now; a `BadCommand`, which must be answered with its `reply`; an `AuthResponse` or
            `AuthCancel`; `Tolerated`, which needs no answer; or `ConnectionClosed`, once everything received before is
            answered. NEED_DATA if `receive_data` must be called first. PAUSED until the greeting is sent, after an
            event until its whole answer is sent, after a positive answer to STLS until `tls_established` is called,
            and after the end of the session.

        Raises:
            RemoteProtocolError: the client sent cleartext octets after STLS. The session is over; every further call
                raises again.
        """
        if self._error is not None:
            raise type(self._error)(*self._error.args)
        state = self._session.state
        if state is _CLOSED:
            return ConnectionClosed() if self._buffer.ended or self._failure is not None else PAUSED
        if self._stls:
            self._check_nothing_behind_stls()
        if state is _TLS_HANDSHAKE and self._buffer.ended:
            self._close()
            return ConnectionClosed()
        if self._due is not None or state is _GREETING or state is _TLS_HANDSHAKE:
            return PAUSED
        try:
            event = self._read()
        except Deviation as met:
            return Tolerated(met.quirk)
        if isinstance(event, ConnectionClosed):
            self._close()
        elif not isinstance(event, Signal):
            self._due = event
        return event

    def _read(self) -> ServerEvent | Signal:
        """Return the next line as an event. `_command` checks the limit that depends on the verb."""
        in_exchange = self._session.state is _SASL
        limit = self.limits.sasl_line if in_exchange else self._longest_line
        if not self._overlong:
            try:
                line = self._buffer.next_line(limit)
            except LineTooLong:
                data, start = self._buffer.peek()
                self._overlong = data[start : start + limit]
            except BareLf as bare:
                return self._bad(bare.line, "a line must end with CRLF, not with LF alone")
            else:
                if line is not None:
                    return self._response(line) if in_exchange else self._command(line)
        if self._overlong and self._buffer.skip_line():
            self._closing = in_exchange  # the state of the SASL exchange is unknown
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
        session = self._session
        if session.state is _USER_GIVEN and _USER_GIVEN not in command.legal_in:
            session = session.at(_AUTHORIZATION)  # some clients send CAPA, AUTH or STLS between USER and PASS
        if (objection := session.objection(command)) is not None:
            return self._bad(line, objection)
        self._bad_commands = 0
        self._asked = command
        self._stls = command.on_ok is _TLS_HANDSHAKE
        if session.state is _TRANSACTION:
            self._session = session.at(command.on_receipt)
        elif command.on_ok is not None or command.establishes is not None:
            self._session = session  # CAPA and the like change nothing, and PASS may still follow
        return command

    def _response(self, line: bytes) -> ServerEvent:
        if line == b"*":
            return AuthCancel()
        data = decode_base64(line)
        return self._bad(line, "the response is not valid base64") if data is None else AuthResponse(data)

    def _bad(self, line: bytes, reason: str) -> BadCommand:
        self._bad_commands += 1
        logged_in = self.state is _TRANSACTION
        most = self.limits.bad_commands_after_login if logged_in else self.limits.bad_commands
        self._closing |= self._bad_commands >= most
        return BadCommand(line, reason, Err(f"{reason}; closing the connection" if self._closing else reason))

    def send(self, item: Response) -> bytes:
        """Record that an answer, or a part of it, is sent, and return its octets, to be written to the client.

        Args:
            item: the greeting; or the answer to the last event: `Ok` or `Err`; after `Ok` to a multi-line command,
                any number of `BodyChunk`s and one `BodyEnd`; for AUTH and `AuthResponse` also `Challenge`; for a
                `BadCommand` its reply. Bodies may have any line ends, and be split anywhere.

        Raises:
            LocalProtocolError: `item` does not answer the last event, or its line is too long. Nothing has changed.
            RemoteProtocolError: the client sent cleartext octets after STLS. The session is over, and nothing can be
                sent.
        """
        if self._session.state is _CLOSED:
            raise self._is_over()
        # A str has an encode method too, and would count as a positive answer.
        if not isinstance(item, _RESPONSES):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"send() takes a reply, challenge or part of a body, not {type(item).__name__}")
        if self._stls:
            self._check_nothing_behind_stls()
        if isinstance(item, _BODY):
            return self._send_body(item)
        octets = item.encode()
        if (objection := self._objection(item, octets)) is not None:
            raise LocalProtocolError(objection)
        if isinstance(item, (Ok, Err)):
            self._answer(item)
        elif isinstance(item, Challenge):
            self._exchange, self._due, self._asked = self.current, None, None
            self._session = self._session.at(_SASL)
        else:
            refused = isinstance(item.reply, Err)
            self._session = self._session.at(_CLOSED if refused else _AUTHORIZATION)
        return octets

    def send_whole(self, reply: Ok, body: bytes) -> bytes:
        """Send a whole answer to a multi-line command: as `send` with the reply, a `BodyChunk` and `BodyEnd`.

        Args:
            reply: the status line.
            body: as in `BodyChunk`; may be empty.

        Raises:
            LocalProtocolError: no multi-line command is to be answered, or the line is too long. Nothing has changed.
            RemoteProtocolError: as `send`.
        """
        if self._session.state is _CLOSED:
            raise self._is_over()
        asked = self._asked
        if asked is None or not asked.multi_line or not isinstance(reply, Ok):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise LocalProtocolError("a body can only be sent with Ok to a multi-line command")
        line = reply.encode()
        if (objection := self._objection(reply, line)) is not None:
            raise LocalProtocolError(objection)
        encoder = BodyEncoder()
        octets, end = encoder.feed(body), encoder.finish()
        self._body_octets = encoder.octets
        self._due = self._asked = None
        self._session = self._session.after(asked, Ok)
        return b"".join((line, octets, end))

    def _send_body(self, item: BodyChunk | BodyEnd) -> bytes:
        if self._encoder is None:
            raise LocalProtocolError(f"{type(item).__name__} can only be sent after Ok to a multi-line command")
        if isinstance(item, BodyChunk):
            return self._encoder.feed(item.data)
        octets = self._encoder.finish()
        self._body_octets = self._encoder.octets
        self._encoder = self._due = self._asked = None
        return octets

    def _objection(self, item: Greeting | Ok | Err | Challenge, octets: bytes) -> str | None:
        """Return why this cannot be sent now, or None if it can."""
        reply = isinstance(item, (Ok, Err))
        limit = self.limits.reply_line_sent if reply or isinstance(item, Greeting) else self.limits.sasl_line
        if len(octets) > limit:
            return f"the line has {len(octets)} octets; the limit is {limit}"
        if not reply and isinstance(item, Greeting):
            if self.state is not _GREETING:
                return "the greeting was already sent"
            # RFC 2449 section 3: a "<" begins the timestamp; some clients search for the first one.
            angles = item.reply.text.count("<") - (item.timestamp is not None)
            return "a greeting must not contain '<', except at the start of a timestamp" if angles else None
        if self._due is None:
            return f"{type(item).__name__} answers nothing: call next_event() first"
        if self._encoder is not None:
            return f"{type(item).__name__} cannot be sent within a body; send BodyEnd first"
        if not reply:
            exchange = isinstance(self._due, AuthResponse) or (self._asked is not None and self._asked.challenged)
            return None if exchange else "a challenge can only answer AUTH or AuthResponse"
        if self._asked is None and isinstance(item, Ok) and isinstance(self._due, (BadCommand, AuthCancel)):
            return "BadCommand and AuthCancel must be answered with Err"
        return None

    def _answer(self, reply: Ok | Err) -> None:
        due, asked, exchange = self._due, self._asked, self._exchange
        self._due = self._asked = self._exchange = None
        if isinstance(due, BadCommand) and self._closing:
            self._close()
        elif exchange is not None:
            self._session = self._session.after(exchange, type(reply))
        elif asked is not None:
            self._session = self._session.after(asked, type(reply))
            self._stls = self._session.state is _TLS_HANDSHAKE
            if asked.multi_line and isinstance(reply, Ok):
                self._due, self._asked, self._encoder = due, asked, BodyEncoder()
        elif self.state is _USER_GIVEN:
            # PASS is legal only directly after USER; a bad command in between ends that (RFC 1939 section 7).
            self._session = self._session.at(_AUTHORIZATION)

    def _check_nothing_behind_stls(self) -> None:
        # Cleartext octets must not be processed as if TLS had protected them (RFC 2595 section 9). A client waits for
        # the answer to STLS, so these octets come from an attacker.
        if len(self._buffer):
            self._error = RemoteProtocolError("the client sent data after STLS, before the TLS handshake")
            self._session = self._session.at(_CLOSED)
            raise self._error

    def tls_established(self) -> None:
        """Resume after the TLS handshake that follows a positive answer to STLS.

        The state is AUTHORIZATION again, as after the greeting; no second greeting is sent (RFC 2595 section 4).

        Raises:
            LocalProtocolError: no STLS was accepted. Nothing has changed.
            RemoteProtocolError: the client sent cleartext octets after STLS. The session is over.
        """
        if self.state is not _TLS_HANDSHAKE:
            raise LocalProtocolError("tls_established() is only legal after a positive answer to STLS")
        self._check_nothing_behind_stls()
        self._stls = False
        self._session = self._session.at(_AUTHORIZATION).with_fact(Fact.TLS)
