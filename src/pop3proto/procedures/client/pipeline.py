"""Commands under way and their answers, in order: one, or many pipelined; bodies as they come."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from pop3proto.core.errors import Broken, Busy, LocalProtocolError, MalformedReply
from pop3proto.core.events import NEED_DATA, Answer, BodyChunk, BodyEnd, Signal
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Err, Ok
from pop3proto.procedures.operations import Procedure, Write

from .pace import Pace
from .requests import WINDOW, Requests, check_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal

    from pop3proto.core.command import Command

    from .session import Session

__all__ = ["DISCARD_LIMIT", "WINDOW", "Pipeline", "check_command"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

DISCARD_LIMIT: Final = 1_048_576
"""Octets of unread answers that are read and discarded before a connection is given up."""

Part: TypeAlias = Answer | BodyChunk | BodyEnd


class Pipeline(Requests[T_co]):
    """Commands under way and their answers, in order.

    `begin` it; then `poll` until it says NEED_DATA, `step`, and so on; `poll` returns None when all is answered.

    Args:
        session: whose commands they are.
        commands: taken one by one, as there is room; pipelined if the server announces that.
    """

    def __init__(self, session: Session, commands: Iterable[Command[T_co]]) -> None:
        super().__init__(session, commands)
        self.locked: bool = False  # an answer is being read: no other pipeline may begin
        self.answered: int = 0  # commands that are wholly answered
        self._begun = False
        self._failed = False  # a refusal was raised: what is due behind it was not left unread by the caller
        self._deadline: float | None = None  # of the reply that is waited for now
        self._in_body = False  # the rest of a body is waited for
        self._ready: deque[tuple[Ok | Err, bytes]] = deque()  # whole answers, of the first of those unanswered
        self._removed_dots: Mapping[int, int] = {}  # of these whole answers, or of the last body that came in parts
        self._index = 0  # of the answer that was taken last, among these
        self._held: bytes | None = None  # a whole body that has come with its reply; b"": its end is due
        self._pace: Final = Pace(session)
        self._abandoned = False

    def adopt(self, command: Command[T_co], octets: bytes, deadline: float | None = None) -> None:
        """Begin with a command that has been sent already, and of whose answer nothing was taken.

        Args:
            command: the session was acquired for it.
            octets: its line.
            deadline: for the reply; None: a new one.
        """
        self._begun = True
        self._count_as_sent(command, octets)
        self._deadline = deadline

    def begin(self) -> Procedure[None]:
        """Send the first commands.

        Raises:
            LocalProtocolError: the first one is not legal now, or this was begun before. Nothing was sent.
            Busy, Broken, ConnectionLost: as `Session.acquire`.
        """
        if self._begun:
            raise LocalProtocolError("these commands were given before")
        deadline = yield from self._session.acquire(self.finish)
        self._begun = True
        self._advance()
        if octets := self._refill():
            yield Write(octets, deadline)
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
        if self._unanswered:
            return self._next_part()
        if self._next is not None:
            return NEED_DATA
        self._session.release(self.finish)
        if self._objection is not None:
            raise self._objection
        return None

    def _check_turn(self) -> None:
        if self._abandoned:
            raise Broken(
                "these answers are lost, as another command was given before all were taken: "
                "take them first, or give all commands in one go"
            )

    def _next_part(self) -> Part | Literal[Signal.NEED_DATA]:
        if self._held is not None:
            return self._next_of_held(self._held)
        if (whole := self._whole()) is not None:
            command, reply, self._held = whole
            if isinstance(reply, Err) or not command.multi_line:
                self._held = None
                self._end_of_answer()
            return Answer(command, reply)
        event = self._session.poll()
        if isinstance(event, BodyChunk) or event is NEED_DATA:
            return event
        if isinstance(event, Answer):
            self._session.last_reply = event.reply
            if isinstance(event.reply, Err) or not event.command.multi_line:
                self._end_of_answer()
            else:
                self._in_body = True
                self._pace.begin()
            return event
        if isinstance(event, BodyEnd):
            self._in_body = False
            self._removed_dots, self._index = self._session.connection.removed_dots, 0
            self._end_of_answer()
            return event
        raise LocalProtocolError(f"the connection was used by hand, beside this client: {type(event).__name__}")

    def _next_of_held(self, octets: bytes) -> BodyChunk | BodyEnd:
        if octets:
            self._held = b""
            return BodyChunk(octets)
        self._held = None
        self._end_of_answer()
        return BodyEnd()

    def _whole(self) -> tuple[Command[T_co], Ok | Err, bytes] | None:
        """Return the next answer if all of it has come, and no part of it was taken. The caller says when it ends."""
        if not self._unanswered or self._in_body or self._held is not None or self._abandoned:
            return None
        if not self._ready:
            self._ready.extend(self._session.whole_answers())
            if not self._ready:
                return None
            self._removed_dots, self._index = self._session.connection.removed_dots, -1
        self._index += 1
        reply, body = self._ready.popleft()
        self._session.last_reply = reply
        return self._unanswered[0][0], reply, body

    def take_body(self, most: int | None = None) -> bytes | None:
        """Return the body of an answer that has come whole, and end the answer; None: `poll` for its parts.

        Args:
            most: how many octets it may have; None: any number.

        Raises:
            Broken: as `poll`.
        """
        self._check_turn()
        if (body := self._held) is None or (most is not None and len(body) > most):
            return None
        self._held = None
        self._end_of_answer()
        return body

    @property
    def removed_dots(self) -> int:
        """How many dots of stuffing were removed from the body that has ended last."""
        return self._removed_dots.get(self._index, 0)

    def step(self) -> Procedure[None]:
        """Read once; and before that, if half the window is free, send what fits into it, in one write.

        Raises:
            RemoteProtocolError, ConnectionLost: the server sent something unsolicited.
        """
        if not self._unanswered:
            yield from self._session.await_idle()
        if self._next is not None and self._in_flight * 2 <= WINDOW and (octets := self._refill()):
            yield Write(octets, (yield from self._session.deadline()))
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
        while True:
            while (whole := self._whole()) is not None:  # as `result`, without a generator for each
                self._end_of_answer()
                try:
                    results.append(self._meaning(*whole))
                except (CommandFailed, MalformedReply) as failure:
                    results.append(self._failure(failure, return_exceptions=return_exceptions))
            if self.command is None:
                break
            results.append((yield from self.result(return_exceptions=return_exceptions)))
        self.poll()
        return results

    def _meaning(self, command: Command[T_co], reply: Ok | Err, body: bytes) -> T_co:
        if isinstance(reply, Err):
            raise CommandFailed(command.redacted(), reply)
        return self._session.parse(command, reply, body)

    def _failure(
        self, failure: CommandFailed | MalformedReply, *, return_exceptions: bool
    ) -> CommandFailed | MalformedReply:
        if not return_exceptions:
            self._failed = isinstance(failure, CommandFailed)
            raise failure
        self._abandoned = False
        return failure

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
            self._failure(failure, return_exceptions=return_exceptions)
            yield from self.skip(index)
            return failure

    def _result(self) -> Procedure[T_co]:
        if (command := self.command) is None:
            raise LocalProtocolError("all commands of this exchange are answered")
        if (whole := self._whole()) is not None:
            self._end_of_answer()
            return self._meaning(*whole)
        reply: Ok | Err | None = None
        body: list[bytes] = []
        limits = self._session.connection.limits
        room = most = command.body_limit(limits)
        before = self.answered
        while self.answered == before:
            part = self.poll()
            if part is NEED_DATA:
                yield from self.step()
            elif isinstance(part, BodyChunk):
                body.append(part.data)
                room -= len(part.data)
                if room < 0:
                    self._abandoned = True  # what is left of it must not pass for the whole
                    raise MalformedReply(f"the answer to {command} has more than {most} octets")
            elif isinstance(part, Answer):
                reply = part.reply
        assert reply is not None  # noqa: S101 - an answer has come
        return self._meaning(command, reply, b"".join(body))

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

    def finish(self, everything: bool) -> Procedure[None]:  # noqa: FBT001 - one of a kind with `Session.acquire`
        """Discard what is still to come, for other commands; from now on every use raises.

        Args:
            everything: discard all of it, however much it is. So is done if a message may be marked as deleted: the end
                of the session would lose that.

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

    def _end_of_answer(self) -> None:
        _, length = self._unanswered.popleft()
        self._in_flight -= length
        self._deadline = None
        self.answered += 1
        if self.command is None:
            self._session.release(self.finish)
