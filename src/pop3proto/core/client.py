"""Client side of a POP3 connection, without I/O: commands in, octets out; octets in, answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from typing_extensions import override

from .commands import Auth, Command
from .dots import BodyDecoder
from .errors import LocalProtocolError
from .events import (
    NEED_DATA,
    PAUSED,
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BodyChunk,
    BodyEnd,
    ClientEvent,
    ConnectionClosed,
    Farewell,
    Signal,
    Tolerated,
)
from .limits import DEFAULT_LIMITS, NO_QUIRKS, Limits, Quirk
from .lines import Deviation, LineTooLong
from .replies import Challenge, Err, Greeting, Ok, parse_challenge, parse_reply
from .states import Fact, State
from .text import decode_base64, encode_text, excerpt
from .whole_answers import WholeAnswers

if TYPE_CHECKING:
    from collections.abc import Iterator, Set as AbstractSet

__all__ = ["ClientConnection", "Request"]

Request: TypeAlias = Command[object] | AuthResponse | AuthCancel

_BODY_END: Final = BodyEnd()
# Before Python 3.12, to read a member of an Enum takes ten times as long as to read a variable.
_TRANSACTION: Final = State.TRANSACTION
_TLS_HANDSHAKE: Final = State.TLS_HANDSHAKE
_CLOSED: Final = State.CLOSED


def _is_challenge(line: bytes) -> bool:
    return line.startswith(b"+ ") or line == b"+"


class ClientConnection(WholeAnswers):
    r"""The client side of a POP3 connection: tracks state and outstanding commands. Does no I/O.

    Write to the socket what `send` returns; pass what you read to `receive_data`; take events from `next_event` until
    it returns NEED_DATA. Several commands may be outstanding; each answer names its command, in order. Send several
    at once only if the server announces PIPELINING (RFC 2449 section 6.6); this class does not check that.

    For example::

        connection = ClientConnection()
        connection.receive_data(b"+OK ready\r\n")
        assert connection.next_event() == Greeting(Ok("ready"))
        assert connection.send(Capa()) == b"CAPA\r\n"

    Args:
        limits: maximum lengths of lines, and how much may be buffered.
        quirks: deviations of the server to tolerate.
        tls: TLS is already active (implicit TLS).
    """

    def __init__(
        self, *, limits: Limits = DEFAULT_LIMITS, quirks: AbstractSet[Quirk] = NO_QUIRKS, tls: bool = False
    ) -> None:
        super().__init__(limits, quirks, tls=tls)
        self._expected = self._session  # the state if every outstanding command is answered +OK
        self._challenged = False  # the server waits for a SASL response
        self._undecodable = False  # ... to a challenge that is not valid base64
        self._deviating: Challenge | None = None  # a challenge that was tolerated, and is the next event
        self._cancelled = False  # AuthCancel was sent; the reply to AUTH is due

    @property
    def outstanding(self) -> tuple[Command[object], ...]:
        """Commands whose answer is not complete, oldest first."""
        return tuple(self._outstanding)

    @property
    def unasked(self) -> bool:
        """Whether unsolicited octets are buffered; `next_event` reports them once they are a complete line."""
        return not self._outstanding and self._buffer.filled

    def can_send(self, item: Request) -> bool:
        """Whether `send` would accept this now."""
        try:
            self._encode(item)
        except LocalProtocolError:
            return False
        return True

    def send(self, item: Request) -> bytes:
        """Record that a command or SASL response is sent, and return its line, to be written to the server.

        Args:
            item: a command; or `AuthResponse` or `AuthCancel`, as the answer to a `Challenge`; or `AuthCancel`, as that
                to a `BadChallenge`.

        Raises:
            LocalProtocolError: `item` is not legal now, or its line is too long. Nothing has changed.
            RemoteProtocolError: the server sent cleartext octets after its answer to STLS. The session is over.
        """
        if self._session.state is _TLS_HANDSHAKE:
            self._next_of_handshake()
        octets = self._encode(item)
        if isinstance(item, Command):
            self._outstanding.append(item)
            self._expected = self._expected.after(item, Ok)
        else:
            self._challenged = False
            self._deviating = None
            self._cancelled = isinstance(item, AuthCancel)
        return octets

    def _encode(self, item: Request) -> bytes:
        if self._session.state is _CLOSED:
            raise self._is_over()
        if isinstance(item, Command):
            objection, limit = self._objection(item), self.limits.command_line
        # A str has an encode method too; its octets would be sent unchecked.
        elif isinstance(item, (AuthResponse, AuthCancel)):  # pyright: ignore[reportUnnecessaryIsInstance]
            objection, limit = self._objection_to_response(item), self.limits.sasl_line
        else:
            raise TypeError(f"send() takes a Command, AuthResponse or AuthCancel, not {type(item).__name__}")
        if objection is not None:
            raise LocalProtocolError(objection)
        octets = item.encode()
        if (length := len(octets)) > limit:
            del octets  # it may contain a password, and a traceback would keep it
            what = item.verb if isinstance(item, Command) else "SASL response"
            raise LocalProtocolError(f"the {what} line has {length} octets; the limit is {limit}")
        return octets

    def _objection(self, command: Command[object]) -> str | None:
        """Return why a command cannot be sent now, or None if it can."""
        if self._challenged:
            return "a challenge is waiting for its response: send AuthResponse or AuthCancel"
        if self._outstanding and (latest := self._outstanding[-1]).barrier:
            return f"nothing can be sent until {latest.verb} is answered"
        if self._buffer.ended:
            return "the server has closed the connection"
        if self._outstanding:
            if command.on_ok is _TLS_HANDSHAKE:  # so that early octets are noticed
                return f"{command.verb} cannot be sent until all other commands are answered"
        elif self._buffer.filled:
            # It cannot be the answer to a command that was not sent; next_event() says what it is.
            return "unsolicited data received; call next_event() first"
        return self._expected.objection(command)

    def _objection_to_response(self, item: AuthResponse | AuthCancel) -> str | None:
        if not self._challenged:
            return "no challenge is waiting for a response"
        if self._undecodable and not isinstance(item, AuthCancel):
            return "the challenge is not valid base64: send AuthCancel"
        return None

    def events(self) -> Iterator[ClientEvent]:
        """Yield events until more data or an action is needed (see `next_event`), or the connection is closed."""
        while (event := self.next_event()) is not NEED_DATA and event is not PAUSED:
            yield event
            if isinstance(event, ConnectionClosed):
                break

    def next_event(self) -> ClientEvent | Signal:
        """Return the next event from the server.

        Returns:
            The event; NEED_DATA if `receive_data` must be called first; or PAUSED, after a `Challenge` or
            `BadChallenge` until its response is sent, and after a positive answer to STLS until `tls_established` is
            called.

        Raises:
            RemoteProtocolError: the server broke the protocol. The session is over; every further call raises again.
            ConnectionLost: the stream ended before all commands were answered. The session is over; every further
                call raises again.
        """
        if self._body is not None:
            return self._next_of_body(self._body)
        if self._session.state is not _TRANSACTION and (event := self._next_of_pause()) is not None:
            return event
        buffer = self._buffer
        if not buffer.filled:
            return self._end_of_stream() if buffer.ended else NEED_DATA
        command = self._outstanding[0] if self._outstanding else None
        limit = self.limits.reply_line
        if command is not None and command.challenged:
            limit = max(limit, self.limits.sasl_line)
        try:
            line = buffer.next_line(limit)
            if line is None:
                return self._end_of_stream() if buffer.ended else NEED_DATA
            return self._unsolicited(line) if command is None else self._answer(command, line)
        except LineTooLong:
            data, start = self._buffer.peek()
            hint = self._hint(data[start : start + limit])
            raise self._broken(f"the server sent a line longer than {limit} octets{hint}") from None
        except Deviation as met:
            return Tolerated(met.quirk)

    def _answer(self, command: Command[object], line: bytes) -> ClientEvent:
        if command.challenged and (event := self._within_exchange(command, line)) is not None:
            return event
        reply = self._reply(line)
        self._last_body = None
        before, self._session = self._session, self._session.after(command, type(reply))
        if type(reply) is Ok and command.multi_line:
            self._body = BodyDecoder()
            return Answer(command, reply)
        self._outstanding.popleft()
        if type(reply) is Err and self._session != before.after(command, Ok):  # else what is expected stays
            self._expected = self._session
            for later in self._outstanding:
                self._expected = self._expected.after(later, Ok)
        return Answer(command, reply)

    def _within_exchange(self, command: Command[object], line: bytes) -> ClientEvent | None:
        """Return the event of a line within a SASL exchange; None if it is the reply that ends it."""
        if _is_challenge(line) and not self._cancelled:
            if (challenge := parse_challenge(line)) is not None:
                self._await_response()
                return challenge
            if Quirk.UNENCODED_CHALLENGE in self.quirks:
                return self._tolerate(Quirk.UNENCODED_CHALLENGE, Challenge())
            self._await_response(undecodable=True)
            return BadChallenge(line[2:])
        reply = self._reply(line)
        if isinstance(reply, Ok) and self._cancelled:
            raise self._broken(f"the server answered +OK to {command} after the client cancelled it")
        if isinstance(reply, Ok) and Quirk.OK_AS_CHALLENGE in self.quirks and self._is_first_step(command):
            return self._tolerate(Quirk.OK_AS_CHALLENGE, Challenge(decode_base64(encode_text(reply.text)) or b""))
        self._cancelled = False
        return None

    def _is_first_step(self, command: Command[object]) -> bool:
        # No mechanism is complete before the client has said something.
        return isinstance(command, Auth) and command.initial_response is None and self.state is not State.SASL

    def _tolerate(self, quirk: Quirk, challenge: Challenge) -> Tolerated:
        self._await_response()
        self._deviating = challenge
        return Tolerated(quirk)

    def _await_response(self, *, undecodable: bool = False) -> None:
        self._challenged = True
        self._undecodable = undecodable
        self._session = self._session.at(State.SASL)

    def _unsolicited(self, line: bytes) -> ClientEvent:
        reply = self._reply(line)
        if self.state is State.GREETING:
            self._session = self._session.at(State.CLOSED if isinstance(reply, Err) else State.AUTHORIZATION)
            self._expected = self._session
            return Greeting(reply)
        if isinstance(reply, Ok):
            raise self._broken(f"the server sent {excerpt(line)} {self._context()}{self._hint()}")
        self._close()
        return Farewell(reply)

    def _reply(self, line: bytes) -> Ok | Err:
        try:
            reply = parse_reply(line)
        except LocalProtocolError as error:
            raise self._broken(f"the server sent {excerpt(line)}: {error}") from None
        if reply is not None:
            return reply
        if _is_challenge(line) and self._outstanding:
            raise self._broken(f"the server sent a challenge {self._context()}{self._hint()}")
        if line == b"." and Quirk.STRAY_DOT in self.quirks and self._may_stray:
            raise Deviation(Quirk.STRAY_DOT)
        raise self._broken(f"the server sent {excerpt(line)} {self._context()}{self._hint(line)}")

    @property
    def _may_stray(self) -> bool:
        return self.state is not State.GREETING and self._last_body is None

    def _next_of_body(self, decoder: BodyDecoder) -> ClientEvent | Signal:
        buffer = self._buffer
        if buffer.filled and not self._body_ended:
            octets, offset = decoder.decode(*buffer.peek())
            buffer.consume(offset)
            self._body_ended = decoder.eof
            if octets:
                return BodyChunk(octets)
        if self._body_ended:
            self._body, self._body_ended = None, False
            self.removed_dots = {0: removed} if (removed := decoder.removed) else {}
            self._last_body = self._outstanding.popleft()
            return _BODY_END
        return self._end_of_stream() if buffer.ended else NEED_DATA

    def _next_of_pause(self) -> ClientEvent | Signal | None:
        """Return the next event if it is not a line of the server; None if it is. After login it is."""
        if self._challenged:
            challenge, self._deviating = self._deviating, None
            return challenge or PAUSED
        if self.state is _TLS_HANDSHAKE:
            return self._next_of_handshake()
        return self._next_of_end() if self.state is _CLOSED else None

    def _next_of_handshake(self) -> Signal:
        if self._buffer.filled:
            # Cleartext octets, which must not be processed as if TLS had protected them (RFC 2595 section 9).
            raise self._broken("the server sent data after its answer to STLS, before the TLS handshake")
        if self._buffer.ended:
            raise self._lost("before the TLS handshake")
        return PAUSED

    def _next_of_end(self) -> ClientEvent | Signal:
        if self._error is not None:
            raise type(self._error)(*self._error.args)
        if self._failure is not None:
            return ConnectionClosed()
        if self._buffer.filled:
            raise self._broken("the server sent data after the end of the session")
        return ConnectionClosed() if self._buffer.ended else NEED_DATA

    def tls_established(self) -> None:
        """Resume after the TLS handshake that follows a positive answer to STLS.

        The state is AUTHORIZATION again, as after the greeting (RFC 2595 section 4). Discard what the server sent
        before, its capabilities above all: TLS did not protect it.

        Raises:
            LocalProtocolError: no STLS was accepted. Nothing has changed.
            RemoteProtocolError: the server sent cleartext octets after its answer to STLS. The session is over.
            ConnectionLost: the server closed the connection. The session is over.
        """
        if self.state is not State.TLS_HANDSHAKE:
            raise LocalProtocolError("tls_established() is only legal after a positive answer to STLS")
        self._next_of_handshake()
        self._session = self._expected = self._session.at(State.AUTHORIZATION).with_fact(Fact.TLS)

    @override
    def _close(self) -> None:
        super()._close()
        self._body, self._body_ended = None, False
        self._challenged = False
