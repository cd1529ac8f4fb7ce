"""Commands under way and their answers, in order: one, or many pipelined; bodies as they come."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar, cast

from pop3proto.core.command import Command
from pop3proto.core.commands import Retr
from pop3proto.core.errors import Broken, Busy, LocalProtocolError, MalformedReply
from pop3proto.core.events import NEED_DATA, Answer, BodyChunk, BodyEnd, Signal
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Err, Ok
from pop3proto.core.states import State
from pop3proto.procedures.cleartext import IN_CLEAR
from pop3proto.procedures.operations import Procedure, Write

from .pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal

    from .session import Session

__all__ = ["DISCARD_LIMIT", "WINDOW", "Pipeline", "Retrieval", "check_command"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

DISCARD_LIMIT: Final = 1_048_576
"""Octets of unread answers that are read and discarded before a connection is given up."""

WINDOW: Final = 4_096
"""Octets of requests that may be unanswered. Small enough for any socket's buffer, so that neither side can block
with its own buffer full while the other waits for it to read (RFC 2449 section 6.6)."""

Part: TypeAlias = Answer | BodyChunk | BodyEnd


def check_command(command: object) -> None:
    """Check that something is a command.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(command, Command):
        raise TypeError(f"commands are instances of Command, such as Stat() or Retr(1), not {type(command).__name__}")


class Pipeline(Generic[T_co]):
    """Commands under way and their answers, in order.

    `begin` it; then `poll` until it says NEED_DATA, `step`, and so on; `poll` returns None when all is answered.

    Args:
        session: whose commands they are.
        commands: taken one by one, as there is room; pipelined if the server announces that.
    """

    def __init__(self, session: Session, commands: Iterable[Command[T_co]]) -> None:
        self.locked: bool = False  # an answer is being read: no other pipeline may begin
        self.answered: int = 0  # commands that are wholly answered
        self._session = session
        self._commands: Iterator[Command[T_co]] = iter(commands)
        self._next: Command[T_co] | None = None  # the one to send next
        self._unanswered: deque[tuple[Command[T_co], int]] = deque()  # with the length of each request
        self._in_flight = 0  # octets of these
        self._objection: Exception | None = None  # to the next command; raised once the others are answered
        self._begun = False
        self._failed = False  # a refusal was raised: what is due behind it was not left unread by the caller
        self._deadline: float | None = None  # of the reply that is waited for now
        self._in_body = False  # the rest of a body is waited for
        self._pace: Final = Pace(session)
        self._abandoned = False

    @property
    def command(self) -> Command[T_co] | None:
        """The command whose answer comes next; None if all are answered."""
        return self._unanswered[0][0] if self._unanswered else self._next

    def begin(self) -> Procedure[None]:
        """Send the first commands.

        Raises:
            LocalProtocolError: the first one is not legal now, or this was begun before. Nothing was sent.
            Busy, Broken, ConnectionLost: as `Session.acquire`.
        """
        if self._begun:
            raise LocalProtocolError("these commands were given before")
        yield from self._session.acquire(self._finish)
        self._begun = True
        self._advance()
        if octets := self._refill():
            yield from Write(octets, (yield from self._session.deadline()))
        else:
            self.poll()  # there is nothing to do, or the first command is refused

    def poll(self) -> Part | Literal[Signal.NEED_DATA] | None:
        """Return the next part of the answers, without any I/O.

        Returns:
            An answer; a part of its body; NEED_DATA: `step` first; None: all is answered.

        Raises:
            RemoteProtocolError, ConnectionLost: as the connection. The session is over.
            LocalProtocolError: a command was not legal; those before it are answered. Likewise whatever the iterable of
                the commands raised.
            Broken: another exchange has taken its place.
        """
        self._check_turn()
        if self.command is None:
            self._session.release(self._finish)
            if self._objection is not None:
                raise self._objection
            return None
        return self._next_part() if self._unanswered else NEED_DATA

    def _check_turn(self) -> None:
        if self._abandoned:
            raise Broken(
                "these answers are lost, as another command was given before all were taken: "
                "take them first, or give all commands in one go"
            )

    def _next_part(self) -> Part | Literal[Signal.NEED_DATA]:
        event = self._session.poll()
        match event:
            case Answer(command, reply) as answer:
                self._session.last_reply = reply
                self._deadline = None
                if isinstance(reply, Err) or not command.multi_line:
                    self._end_of_answer()
                else:
                    self._in_body = True
                    self._pace.begin()
                return answer
            case BodyChunk() as chunk:
                return chunk
            case BodyEnd() as end:
                self._in_body = False
                self._deadline = None
                self._end_of_answer()
                return end
            case Signal.NEED_DATA:
                return NEED_DATA
            case event:
                raise LocalProtocolError(f"the connection was used by hand, beside this client: {type(event).__name__}")

    def step(self) -> Procedure[None]:
        """Read once; and before that, if half the window is free, send what fits into it, in one write.

        Raises:
            RemoteProtocolError, ConnectionLost: the server sent something unsolicited.
        """
        if not self._unanswered:
            yield from self._session.await_idle()
        if self._in_flight * 2 <= WINDOW and (octets := self._refill()):
            yield from Write(octets, (yield from self._session.deadline()))
        if self._in_body:
            yield from self._pace.receive()
        elif self._unanswered:
            if self._deadline is None:
                self._deadline = yield from self._session.deadline()
            yield from self._session.receive(self._deadline)

    def results(self, *, return_exceptions: bool = False) -> Procedure[list[T_co | CommandFailed | MalformedReply]]:
        """Return what all answers mean, in order.

        Args:
            return_exceptions: failures are returned among the results; else the first one is raised, and what was not
                sent before it is not sent.

        Raises:
            CommandFailed, MalformedReply: as `result`.
            LocalProtocolError: a command is not legal; it and those behind it were not sent.
        """
        results: list[T_co | CommandFailed | MalformedReply] = []
        while self.command is not None:
            results.append((yield from self.result(return_exceptions=return_exceptions)))
        self.poll()
        return results

    def result(self, *, return_exceptions: bool = False) -> Procedure[T_co | CommandFailed | MalformedReply]:
        """Return what the answer to the next command means.

        Args:
            return_exceptions: return a failure in place of the result, and be ready for the next one.

        Raises:
            CommandFailed: the server answered `-ERR`. The next result can be asked for.
            MalformedReply: the answer makes no sense, and the next result can be asked for; or its body has more than
                `Command.body_limit` octets, and what is left of it must be skipped or discarded.
            LocalProtocolError: the next command is not legal, or there is none.
        """
        index = self.answered
        try:
            return (yield from self._result())
        except (CommandFailed, MalformedReply) as failure:
            if not return_exceptions:
                self._failed = isinstance(failure, CommandFailed)
                raise
            self._abandoned = False
            yield from self.skip(index)
            return failure

    def _result(self) -> Procedure[T_co]:
        if (command := self.command) is None:
            raise LocalProtocolError("all commands of this exchange are answered")
        reply: Ok | Err = Err()
        body: list[bytes] = []
        limits = self._session.connection.limits
        room = most = command.body_limit(limits)
        before = self.answered
        while self.answered == before:
            match self.poll():
                case Answer(_, reply):
                    pass
                case BodyChunk(data):
                    body.append(data)
                    room -= len(data)
                    if room < 0:
                        self._abandoned = True  # what is left of it must not pass for the whole
                        raise MalformedReply(f"the answer to {command} has more than {most} octets")
                case Signal.NEED_DATA:
                    yield from self.step()
                case BodyEnd() | None:
                    pass
        if isinstance(reply, Err):
            raise CommandFailed(command.redacted(), reply)
        return self._session.parse(command, reply, b"".join(body))

    def skip(self, index: int) -> Procedure[None]:
        """Throw away what is left of one answer.

        Args:
            index: what `answered` was before it.

        Raises:
            Broken: another exchange has taken its place.
        """
        self._check_turn()  # if it was interrupted in that, there is still a next command, but no answer to it
        while self.answered == index:
            if self.poll() is NEED_DATA:
                yield from self.step()

    def _finish(self, everything: bool) -> Procedure[None]:  # noqa: FBT001 - one of a kind with `Session.acquire`
        """Discard what is still to come, for other commands; from now on every use raises.

        Args:
            everything: nothing is too much; nor is it if a message may be marked as deleted, which would be lost.

        Raises:
            Busy: an answer is being read.
            Broken: there is more to come than `DISCARD_LIMIT`. The session is over.
        """
        everything = everything or self._failed or self._session.marked
        if self.locked:
            raise Busy(f"the answer to {self.command} is being read")
        command, limit = self.command, DISCARD_LIMIT
        self._next = self._objection = None
        self._abandoned = False  # a body that was too long, perhaps
        try:
            while (part := self.poll()) is not None:
                if isinstance(part, Signal):
                    yield from self.step()
                elif isinstance(part, BodyChunk):
                    limit -= len(part.data)
                    if limit < 0 and not everything:
                        broken = Broken(f"the answer to {command} was left unread, and is too long to be discarded")
                        self._session.end(str(broken), broken)
                        raise broken
        finally:
            self._abandoned = True  # also if it is interrupted, and another goes on with it

    def _refill(self) -> bytes:
        """Return the requests that fit into the window; one, if the server does not take more at once."""
        requests: list[bytes] = []
        while (command := self._next) is not None and (not self._unanswered or self._has_room(command)):
            try:
                octets = self._session.send(self._checked(command))
            except LocalProtocolError as error:
                self._next, self._objection = None, error
                break
            requests.append(octets)
            self._unanswered.append((command, len(octets)))
            self._in_flight += len(octets)
            self._advance()
        return b"".join(requests)

    def _checked(self, command: Command[T]) -> Command[T]:
        """Refuse what needs more than commands and answers, and passwords that others could read."""
        if command.challenged or command.on_ok is State.TLS_HANDSHAKE:
            raise LocalProtocolError(f"{command.verb} has a procedure of its own")
        if command.shows_secret and not self._session.context.may_show_password:
            raise LocalProtocolError(f"{command.verb} shows the password, {IN_CLEAR}")
        return command

    def _advance(self) -> None:
        # What the caller's iterable raises must not keep back the requests before it: they count as sent.
        try:
            if (command := next(self._commands, None)) is not None:
                check_command(command)
            self._next = command
        except Exception as error:  # noqa: BLE001 - it is raised in its turn
            self._next, self._objection = None, error

    def _has_room(self, command: Command[object]) -> bool:
        if not self._session.pipelining or self._unanswered[-1][0].barrier:
            return False
        return self._in_flight + len(command.encode()) <= WINDOW

    def _end_of_answer(self) -> None:
        _, length = self._unanswered.popleft()
        self._in_flight -= length
        self.answered += 1
        if self.command is None:
            self._session.release(self._finish)


class Retrieval:
    """Whole messages in order, one in memory at a time.

    Args:
        session: logged in.
        numbers: of the messages; taken one by one.
        return_exceptions: as in `Pipeline.result`.
    """

    def __init__(self, session: Session, numbers: Iterable[int], *, return_exceptions: bool) -> None:
        self._pipeline = Pipeline(session, map(Retr, numbers))
        self._return_exceptions = return_exceptions
        self._begun = False

    def next(self) -> Procedure[tuple[int, bytes | CommandFailed | MalformedReply] | None]:
        """Return the next message with its number; None behind the last.

        Raises:
            CommandFailed, MalformedReply, LocalProtocolError: as `Pipeline.result`.
        """
        if not self._begun:
            yield from self._pipeline.begin()
            self._begun = True
        if (command := self._pipeline.command) is None:
            self._pipeline.poll()
            return None
        result = yield from self._pipeline.result(return_exceptions=self._return_exceptions)
        return cast("Retr", command).number, result
