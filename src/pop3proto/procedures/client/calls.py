"""Commands and what their answers mean: one, or many pipelined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar, cast, overload

from pop3proto.core.errors import LocalProtocolError, MalformedReply
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Err
from pop3proto.procedures.operations import Procedure, Write

from .pipeline import Pipeline
from .requests import check_command, check_exchange
from .secrets import HARMLESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pop3proto.core.commands import Command

    from .session import Session

__all__ = ["call", "call_all"]

T = TypeVar("T")


def call(session: Session, command: Command[T]) -> Procedure[T]:
    """Send a command and return what its answer means.

    Raises:
        CommandFailed: the server answered `-ERR`. The session goes on.
        MalformedReply: the answer makes no sense, or its body has more than `Command.body_limit` octets. The session
            goes on.
        LocalProtocolError, Busy: it cannot be sent now. Nothing was sent.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
        TypeError: it is not a command; raised at once.
    """
    check_command(command)
    return _call(session, command)


def _call(session: Session, command: Command[T]) -> Procedure[T]:
    """As a pipeline of one command, in half of the calls if the whole answer comes at once."""
    octets = b""

    def continued() -> Pipeline[T]:
        pipeline = Pipeline[T](session, ())
        pipeline.adopt(command, octets, deadline)
        session.release(finish, pipeline.finish)
        return pipeline

    def finish(everything: bool) -> Procedure[None]:  # noqa: FBT001 - as `Session.acquire` calls it
        return continued().finish(everything)

    deadline = yield from session.acquire(finish)
    try:
        if type(command) not in HARMLESS:
            check_exchange(session, command)
        octets = session.send(command)
    except LocalProtocolError:
        session.release(finish)
        raise
    yield Write(octets, deadline)
    yield from session.receive(deadline)
    if not (answers := session.whole_answers()):
        return cast("T", (yield from continued().result()))
    session.release(finish)
    reply, body = answers[0]
    session.last_reply = reply
    if isinstance(reply, Err):
        raise CommandFailed(command.redacted(), reply)
    return session.parse(command, reply, body)


@overload
def call_all(
    session: Session, commands: Iterable[Command[T]], *, return_exceptions: Literal[False] = False
) -> Procedure[list[T]]: ...
@overload
def call_all(
    session: Session, commands: Iterable[Command[T]], *, return_exceptions: bool
) -> Procedure[list[T | CommandFailed | MalformedReply]]: ...
def call_all(
    session: Session, commands: Iterable[Command[T]], *, return_exceptions: bool = False
) -> Procedure[list[T]] | Procedure[list[T | CommandFailed | MalformedReply]]:
    """Send commands, pipelined if the server announces that, and return what their answers mean, in order.

    Args:
        session: the session.
        commands: taken one by one.
        return_exceptions: a refusal or an answer that makes no sense is returned in its place among the results.

    Raises:
        CommandFailed, MalformedReply: the first failure, unless `return_exceptions` is true. Commands behind it may
            have been sent, and are then carried out; their answers are thrown away.
        LocalProtocolError: a command cannot be sent; those before it were, and were answered.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    return _call_all(Pipeline(session, commands), return_exceptions=return_exceptions)


def _call_all(pipeline: Pipeline[T], *, return_exceptions: bool) -> Procedure[list[T | CommandFailed | MalformedReply]]:
    yield from pipeline.begin()
    return (yield from pipeline.results(return_exceptions=return_exceptions))
