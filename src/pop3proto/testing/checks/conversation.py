"""A connection as the scripts of checks use it: octets out, replies in, by the parsers of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from pop3proto.core.commands import Capa, Command
from pop3proto.core.dots import BodyDecoder
from pop3proto.core.errors import ConnectionLost, LocalProtocolError, TimedOut
from pop3proto.core.replies import Challenge, Err, Ok, parse_challenge, parse_reply
from pop3proto.core.text import excerpt
from pop3proto.procedures.operations import Operation, Procedure, Read, StartTls, Write

from .transcript import without_secret
from .verdicts import CheckFailed, ServerHungUp, ServerSilent, expect

if TYPE_CHECKING:
    from pop3proto.core.capabilities import Capabilities
    from pop3proto.sasl.channel import TlsInfo

    from .facts import Facts
    from .target import Link, Target

__all__ = ["Conversation", "Deliver", "HangUp", "Open", "Over", "Pause", "open_conversation"]

T = TypeVar("T")


@attrs.frozen
class Over(Operation[T]):
    """Perform an operation over one of the connections.

    Args:
        number: of the connection.
        operation: what to do.
    """

    number: int
    operation: Operation[T]


@attrs.frozen
class Open(Operation["tuple[int, Link]"]):
    """Open another connection; the result is its number, and itself."""


@attrs.frozen
class Deliver(Operation[None]):
    """Deliver a message into the maildrop.

    Args:
        message: with CRLF line ends.
    """

    message: bytes


@attrs.frozen
class Pause(Operation[None]):
    """Let time pass; it counts for no limit.

    Args:
        seconds: how long.
    """

    seconds: float


@attrs.frozen
class HangUp(Operation[None]):
    """Close a connection.

    Args:
        number: which one.
    """

    number: int


class Conversation:
    """A connection with the server that is checked. Its methods are procedures: `yield from talk.ask(b"NOOP")`.

    What is sent is sent as it is. Replies are read by the core's parsers; a line may end with LF alone.

    Args:
        target: the server.
        facts: what is known of it.
        number: of the connection.
        link: the connection.

    Attributes:
        target: the server.
        facts: what is known of it.
        tls: the result of the handshake; None: there is no TLS.
        greeting: the line, once it was read.
    """

    def __init__(self, target: Target, facts: Facts, number: int, link: Link) -> None:
        self.target: Final = target
        self.facts: Final = facts
        self.loopback: Final[bool] = link.loopback
        self.tls: TlsInfo | None = None
        self.greeting: bytes = b""
        self._number: Final = number
        self._buffer = b""
        self._asked = "the connection"
        self._challenged = False  # what is sent next is a response

    def another(self) -> Procedure[Conversation]:
        """Open another connection."""
        return open_conversation(self.target, self.facts)

    def hang_up(self) -> Procedure[None]:
        """Close the connection, without QUIT."""
        yield from HangUp(self._number)

    def deliver(self, message: bytes) -> Procedure[None]:
        """Deliver a message into the maildrop, with a Message-ID of its own; the next session sees it."""
        yield from Deliver(message)

    def pause(self, seconds: float) -> Procedure[None]:
        """Let time pass; it counts for no limit."""
        yield from Pause(seconds)

    def run(self, procedure: Procedure[T]) -> Procedure[T]:
        """Run a procedure of a client over this connection."""
        result: object = None
        error: Exception | None = None
        while True:
            try:
                operation = procedure.send(result) if error is None else procedure.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            result = error = None
            try:
                result = yield Over(self._number, operation)
            except Exception as raised:  # noqa: BLE001 - it belongs to the procedure
                error = raised

    # Octets and lines.

    def send(self, octets: bytes) -> Procedure[None]:
        """Send octets, in one write."""
        line = without_secret(octets.partition(b"\r\n")[0])
        self._asked = "a SASL response" if self._challenged else excerpt(line) if line else "an empty line"
        self._challenged = False
        try:
            yield from Over(self._number, Write(octets))
        except ConnectionLost as error:
            raise ServerHungUp(f"the server had hung up before {self._asked} was sent: {error}") from error

    def read(self) -> Procedure[bytes]:
        """Return the next octets; empty: the end of the stream.

        Raises:
            TimedOut: nothing came.
        """
        if self._buffer:
            octets, self._buffer = self._buffer, b""
            return octets
        return (yield from Over(self._number, Read()))

    def line(self) -> Procedure[bytes]:
        """Return the next line, with its line end.

        Raises:
            CheckFailed: the server is silent, or hung up.
        """
        while b"\n" not in self._buffer:
            yield from self._more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def _more(self) -> Procedure[None]:
        try:
            octets = yield from Over(self._number, Read())
        except TimedOut as error:
            why = f"no answer to {self._asked} in time"
            if not self._buffer:
                raise ServerSilent(why) from error
            raise CheckFailed(f"{why}; only {excerpt(self._buffer)} came") from error
        except ConnectionLost as error:
            raise ServerHungUp(f"the connection broke before {self._asked} was answered: {error}") from error
        if not octets:
            came = f" in the middle of {excerpt(self._buffer)}" if self._buffer else ""
            raise ServerHungUp(f"the server hung up before it answered {self._asked}{came}")
        self._buffer += octets

    def reply(self) -> Procedure[Ok | Err]:
        """Return the next line as a reply.

        Raises:
            CheckFailed: it is none.
        """
        line = yield from self.line()
        try:
            reply = parse_reply(line.rstrip(b"\r\n"))
        except LocalProtocolError as error:
            raise CheckFailed(f"the answer to {self._asked} is {excerpt(line)}: {error}") from error
        if reply is None:
            raise CheckFailed(f"the answer to {self._asked} is no status line: {excerpt(line)}")
        return reply

    def positive(self) -> Procedure[Ok]:
        """Return the next line as a positive reply.

        Raises:
            CheckFailed: it is none.
        """
        reply = yield from self.reply()
        if isinstance(reply, Err):
            raise CheckFailed(f"{self._asked} was refused: {reply.text}")
        return reply

    def body(self) -> Procedure[bytes]:
        """Return the body that comes next, un-stuffed, without its end."""
        wire = yield from self.raw_body()
        return BodyDecoder().feed(wire)

    def raw_body(self) -> Procedure[bytes]:
        """Return the body that comes next as it is on the wire, with its end."""
        decoder, wire = BodyDecoder(), b""
        while True:
            fed, self._buffer = self._buffer, b""
            decoder.feed(fed)
            wire += fed
            if decoder.eof:
                self._buffer = decoder.unused_data
                return wire[: len(wire) - len(self._buffer)]
            yield from self._more()

    # Commands.

    def ask(self, line: bytes) -> Procedure[Ok | Err]:
        """Send a command line, without its CRLF, and return the reply."""
        yield from self.send(line + b"\r\n")
        return (yield from self.reply())

    def ask_for_body(self, line: bytes) -> Procedure[bytes]:
        """Send a command line, and return the body that follows its `+OK`."""
        yield from self.accepted(line)
        return (yield from self.body())

    def accepted(self, line: bytes) -> Procedure[Ok]:
        """Send a command line that the server must accept, and return the reply."""
        yield from self.send(line + b"\r\n")
        return (yield from self.positive())

    def refused(self, line: bytes) -> Procedure[Err]:
        """Send a command line that the server must refuse, and return the reply."""
        reply = yield from self.ask(line)
        if isinstance(reply, Ok):
            raise CheckFailed(f"{self._asked} was accepted: +OK {reply.text}")
        return reply

    def call(self, command: Command[T]) -> Procedure[T]:
        """Send a command that the server must accept, and return what its answer means.

        Raises:
            CheckFailed: it is refused.
            MalformedReply: the answer does not follow the grammar.
        """
        reply = yield from self.accepted(command.encode().removesuffix(b"\r\n"))
        body = (yield from self.body()) if command.multi_line else b""
        return command.parse(reply, body)

    def capabilities(self) -> Procedure[Capabilities | None]:
        """Return what CAPA announces now; None: it is refused."""
        if isinstance((yield from self.ask(b"CAPA")), Err):
            return None
        return Capa().parse(Ok(""), (yield from self.body()))

    def challenge(self, line: bytes) -> Procedure[Challenge | Ok | Err]:
        """Send a line of a SASL exchange, and return the challenge, or the reply."""
        yield from self.send(line + b"\r\n")
        answer = yield from self.line()
        if answer.rstrip(b"\r\n") != b"+" and not answer.startswith(b"+ "):
            self._buffer = answer + self._buffer
            return (yield from self.reply())
        challenge = parse_challenge(answer.rstrip(b"\r\n"))
        if challenge is None:
            raise CheckFailed(f"a challenge that is not valid base64: {excerpt(answer)}")
        self._challenged = True
        return challenge

    def ends(self) -> Procedure[None]:
        """Expect that the server hangs up, and says no more."""
        rest, self._buffer = self._buffer, b""
        try:
            while octets := (yield from Over(self._number, Read())):
                rest += octets
        except TimedOut as error:
            raise CheckFailed(f"the server did not hang up after {self._asked}") from error
        except ConnectionLost:
            pass  # a hang-up, if not a polite one
        expect(not rest, f"the server said more after {self._asked}: {excerpt(rest)}")

    # The beginning of a session.

    def greet(self) -> Procedure[Ok]:
        """Wait for the greeting."""
        self._asked = "the connection, by a greeting"
        self.greeting = yield from self.line()
        reply = parse_reply(self.greeting.rstrip(b"\r\n"))
        if not isinstance(reply, Ok):
            raise CheckFailed(f"the greeting is not positive: {excerpt(self.greeting)}")
        return reply

    def start_tls(self) -> Procedure[TlsInfo]:
        """Do the TLS handshake."""
        try:
            self.tls = yield from Over(self._number, StartTls())
        except ConnectionLost as error:
            raise CheckFailed(f"TLS did not begin: {error}") from error
        return self.tls

    def stls(self) -> Procedure[TlsInfo]:
        """Begin TLS by STLS."""
        yield from self.accepted(b"STLS")
        expect(not self._buffer, "octets in clear came behind the answer to STLS")
        return (yield from self.start_tls())

    def begin(self) -> Procedure[None]:
        """Come into the AUTHORIZATION state: greeting, and STLS where the target is to be used so."""
        yield from self.greet()
        if self.target.tls == "starttls":
            yield from self.stls()


def open_conversation(target: Target, facts: Facts) -> Procedure[Conversation]:
    """Open a connection, with implicit TLS if the target has it."""
    number, link = yield from Open()
    talk = Conversation(target, facts, number, link)
    if target.tls == "implicit":
        yield from talk.start_tls()
    return talk
