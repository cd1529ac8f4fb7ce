"""Delete stored messages on the server: DELE, a record of it, QUIT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from pop3proto.core.commands import Dele, Retr
from pop3proto.core.errors import MalformedReply, Pop3Error
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.text import counted
from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.commands import quit_session
from pop3proto.procedures.client.pipeline import Pipeline

from .events import Event, MessageIdentity, MessageState
from .header import HeaderDigest
from .report import Problem, ProblemKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pop3proto.procedures.operations import Procedure

    from .run import FetchRun

__all__ = ["Deletion", "delete", "leave"]


@attrs.frozen
class Deletion:
    """A message that is stored, and to be deleted.

    Args:
        number: its number in this session.
        identity: its identity.
        retrieved: it was retrieved in this session.
    """

    number: int
    identity: MessageIdentity
    retrieved: bool


def delete(run: FetchRun, deletions: Sequence[Deletion]) -> Procedure[list[Deletion]]:
    """Send DELE for messages, pipelined if the server takes that; return those that were accepted.

    Raises:
        StorageFailed: the journal cannot be written.
        RemoteProtocolError, ConnectionLost, TimedOut, Broken: the session is over, and nothing was deleted. The message
            at which that happened is deleted in a session of its own from now on; if it was, that is recorded, and it
            is left alone in this run.
    """
    accepted: list[Deletion] = []
    pipeline = Pipeline[None](run.session, (Dele(deletion.number) for deletion in deletions))
    refused: list[tuple[Deletion, CommandFailed | MalformedReply]] = []
    done = 0
    try:
        yield from pipeline.begin()
        for deletion in deletions:
            result = yield from pipeline.result(return_exceptions=True)
            done += 1
            if result is None:
                accepted.append(deletion)
            else:
                refused.append((deletion, result))
        pipeline.poll()
    except Pop3Error as error:
        if len(deletions) == 1:
            yield from _hold(run, deletions[0], error)
        else:  # it may have hung up behind its last answer, or after so many commands
            run.apart.update(deletion.identity for deletion in deletions[max(done - 1, 0) : done + 1])
            run.lower_bound(done)
        raise
    for deletion, failure in refused:
        if (yield from _is_deleted_otherwise(run, deletion, alone=len(deletions) == 1)):
            accepted.append(deletion)
        else:
            run.problem(
                Problem(
                    ProblemKind.MESSAGE, f"{failure}; the message is stored, and stays on the server", deletion.identity
                )
            )
            run.kept.add(deletion.identity)
    return accepted


def _hold(run: FetchRun, deletion: Deletion, error: Pop3Error) -> Procedure[None]:
    text = f"message {deletion.number} is stored, and cannot be deleted on the server: {error}"
    run.problem(Problem(ProblemKind.MESSAGE, text, deletion.identity))
    run.kept.add(deletion.identity)
    yield from run.record([Event(deletion.identity, MessageState.HELD, run.clock(), why=str(error))])


def _is_deleted_otherwise(run: FetchRun, deletion: Deletion, *, alone: bool) -> Procedure[bool]:
    """Try again with a message whose DELE was refused; return whether it was accepted."""
    if deletion.retrieved:
        return False
    try:
        return (yield from _retrieve_and_delete(run, deletion))
    except Pop3Error as error:
        if alone:
            yield from _hold(run, deletion, error)
        else:
            run.apart.add(deletion.identity)
        raise


def _retrieve_and_delete(run: FetchRun, deletion: Deletion) -> Procedure[bool]:
    """Some servers delete only what was retrieved in the same session: do that, and throw the octets away."""
    entry = run.history.get(deletion.identity)
    digest, octets = HeaderDigest(), 0
    pipeline = Pipeline[object](run.session, [Retr(deletion.number)])
    body = Body(pipeline, Retr(deletion.number))
    try:
        yield from body.open(begin=True)
        while (chunk := (yield from body.chunk())) is not None:
            digest.feed(chunk)
            octets += len(chunk)
        stored = None if entry is None else entry.stored
        if stored is None or (stored.header, stored.octets) != (digest.digest, octets):
            return False
        again = Pipeline[None](run.session, [Dele(deletion.number)])
        yield from again.begin()
        return (yield from again.result(return_exceptions=True)) is None
    except CommandFailed:
        return False


def leave(run: FetchRun, accepted: Sequence[Deletion]) -> Procedure[str]:
    """Send QUIT, so that the server deletes what was accepted.

    Returns:
        Why it is unknown whether it has; "": it has, or has said that it has not, or nothing was to be deleted.

    Raises:
        StorageFailed: the journal cannot be written. QUIT may have been sent.
    """
    identities = [deletion.identity for deletion in accepted]
    yield from run.record([Event(identity, MessageState.DELETE_SENT, run.clock()) for identity in identities])
    marked = counted(len(accepted), "message")
    try:
        yield from quit_session(run.session)
        run.session.poll()  # octets behind the last answer: it was not the last, and perhaps none of the server's
    except CommandFailed as failure:
        if accepted:
            run.problem(Problem(ProblemKind.MESSAGE, f"the server may not have deleted all of {marked}: {failure}"))
    except Pop3Error as error:
        run.session.fail(error)
        if not accepted:
            return ""
        if [deletion.identity for deletion in accepted if deletion.identity in run.apart] == identities:
            yield from _hold(run, accepted[0], error)
            return ""
        run.apart.add(identities[-1])  # the server may have hung up because of it, or after so many commands
        run.lower_bound(len(accepted))
        return f"it is unknown whether the server has deleted {marked}: {error}"
    else:
        yield from run.record([Event(identity, MessageState.DELETED, run.clock()) for identity in identities])
        run.deleted(identities)
    return ""
