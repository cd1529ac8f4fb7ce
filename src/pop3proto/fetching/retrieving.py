"""Retrieve the messages of a plan: pipelined, proved complete batch by batch, and stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from pop3proto.core.commands import Retr, Top
from pop3proto.core.errors import ConnectionLost, Pop3Error
from pop3proto.core.events import Answer, BodyChunk, Signal
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Err
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.procedures.operations import Now, Procedure, Random

from .plan import Action
from .proof import SEED, OutOfStep, Proof, Question, trial_questions
from .report import Problem, ProblemKind
from .run import StorageFailed
from .storing import IN_MEMORY, Storing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pop3proto.core.commands import Command
    from pop3proto.core.results import MaildropStatus

    from .incoming import Incoming
    from .listing import MaildropListing
    from .plan import Step
    from .run import FetchRun

__all__ = ["Retrieving", "try_questions"]

Batch: TypeAlias = "list[Step]"


def try_questions(run: FetchRun, listing: MaildropListing, status: MaildropStatus | None) -> Procedure[Proof]:
    """Find out by which questions this server can prove that messages are complete.

    Raises:
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over. A question that the server does not answer
            as it should is not asked again in this run.
    """
    questions = [each for each in trial_questions(listing, status) if type(each.command) not in run.unusable]
    answers: list[object] = []
    pipeline = Pipeline[object](run.session, [each.command for each in questions])
    try:
        yield from pipeline.begin()
        while pipeline.command is not None:
            answers.append((yield from pipeline.result(return_exceptions=True)))
        pipeline.poll()
    except Pop3Error:
        right = [answer == each.answer for each, answer in zip(questions, answers, strict=False)]
        wrong = right.index(False) if False in right else len(right)
        run.unusable.update(type(each.command) for each in questions[wrong : wrong + 1])
        raise
    # What was refused in this run may be gone, so that nothing can be asked about it.
    rows = tuple(row for row in listing.rows if row.identity not in run.tried)
    return Proof.of_trial(attrs.evolve(listing, rows=rows), status, questions, answers)


class Retrieving:
    """Retrieves messages in one session.

    Args:
        run: the run.
        proof: of completeness.
        last: no other session follows, so that what may break this one comes last.
    """

    def __init__(self, run: FetchRun, proof: Proof, *, last: bool) -> None:
        self._run: Final = run
        self._last: Final = last
        self._proof: Final = proof
        self._storing: Final = Storing(run)
        self.stored: Final[list[Incoming]] = []
        self.cut: bool = False  # the session has lasted long enough, and messages are left

    def retrieve(self, steps: Sequence[Step]) -> Procedure[None]:
        """Retrieve and store messages: those that may break the session by themselves, the others in batches.

        Raises:
            StorageFailed: what is recorded is stored.
            OutOfStep, RemoteProtocolError, ConnectionLost, TimedOut, Broken: the session is over. What is recorded is
                stored.
        """
        run = self._run
        try:
            single: list[Step] = []
            others: list[Step] = []
            for step in steps:
                (single if run.is_careful(step) else others).append(step)
            # What failed before comes last; and if there is little room, the small ones still come.
            single.sort(key=lambda step: (not run.is_first(step), step.action is Action.RETRY, step.octets or 0))
            batches = _batches(others, run.destination.batch)
            if batches and self._last:
                yield from self._retrieve_batches(batches)
            for step in single:
                yield from self._retrieve_single(step)
            if batches and not self._last:
                yield from self._retrieve_batches(batches)
        finally:
            yield from self._storing.abort()

    def _retrieve_single(self, step: Step) -> Procedure[None]:
        """Retrieve one message with nothing else under way, so that it is known which one breaks the session."""
        try:
            yield from self._retrieve_batches([[step]])
        except (Pop3Error, StorageFailed) as error:
            if self.stored and not self._last and isinstance(error, ConnectionLost):
                self._run.try_first(step)  # the server may end each session after so many commands
                self._run.lower_bound(len(self.stored))
            else:
                self._run.most = self._run.policy.session_messages  # it was the message
                if not (isinstance(error, StorageFailed) and error.fatal):
                    yield from self._run.blame(step, error)
            raise

    def _retrieve_batches(self, batches: Sequence[Batch]) -> Procedure[None]:
        run = self._run
        seeds = yield from Random(SEED * len(batches))
        questions = [self._proof.questions(seeds[start : start + SEED]) for start in range(0, len(seeds), SEED)]
        until = (yield from Now()) + run.policy.session_seconds
        pipeline = Pipeline[object](run.session, self._commands(batches, questions))
        yield from pipeline.begin()
        unproved: Batch = []
        try:
            for batch, asked in zip(batches, questions, strict=True):
                if pipeline.command is None:
                    break
                unproved += batch
                for step in batch:
                    yield from self._receive(pipeline, step)
                if (yield from self._is_proved(pipeline, unproved, asked)):
                    self.stored.extend((yield from self._storing.commit()))
                    unproved = []
                self.cut = self.cut or run.ending() or (yield from Now()) >= until
            pipeline.poll()
            if unproved:
                yield from self._prove_and_commit(unproved)
        except (Pop3Error, StorageFailed) as error:
            yield from run.warn_of(unproved, error)
            raise

    def _prove_and_commit(self, batch: Batch) -> Procedure[None]:
        """Ask about messages that the server has sent, after all questions were about those that it has refused."""
        rows = tuple(row for row in self._proof.rows if row.number not in self._run.refused)
        questions = attrs.evolve(self._proof, rows=rows).questions((yield from Random(SEED)))
        pipeline = Pipeline[object](self._run.session, [question.command for question in questions])
        yield from pipeline.begin()
        if not (yield from self._is_proved(pipeline, batch, questions)):
            raise _out_of_step(batch, questions[0])
        pipeline.poll()
        self.stored.extend((yield from self._storing.commit()))

    def _commands(self, batches: Sequence[Batch], questions: Sequence[Sequence[Question]]) -> Iterator[Command[object]]:
        for batch, asked in zip(batches, questions, strict=True):
            if self.cut:
                return
            for step in batch:
                yield Top(step.number, 0) if step.action is Action.HEADERS else Retr(step.number)
            for question in asked:
                yield question.command

    def _is_proved(self, pipeline: Pipeline[object], batch: Batch, questions: Sequence[Question]) -> Procedure[bool]:
        """Return whether the answers prove that the messages before them are complete; False: they say nothing.

        Raises:
            OutOfStep: they are wrong.
        """
        right = refused = 0
        for question in questions:
            answer: Any = yield from pipeline.result(return_exceptions=True)
            if answer == question.answer:
                right += 1
            elif not isinstance(answer, CommandFailed):
                raise _out_of_step(batch, question)
            elif getattr(question.command, "number", None) not in self._run.refused:
                refused += 1  # it may have been removed meanwhile
        if refused and right <= refused:
            raise _out_of_step(batch, questions[0])
        return right > 0 or not questions

    def _receive(self, pipeline: Pipeline[object], step: Step) -> Procedure[None]:
        storing = self._storing
        incoming = storing.begin(step)
        while isinstance(part := pipeline.poll(), Signal):
            yield from pipeline.step()
        assert isinstance(part, Answer)  # noqa: S101 - the first part of every answer
        if isinstance(part.reply, Err):
            storing.drop(incoming)
            self._refused(step, CommandFailed(part.command, part.reply))
            return
        if (body := pipeline.take_body()) is not None:
            incoming.removed_dots = pipeline.removed_dots
            storing.received(len(body))
            if storing.take(incoming, body):
                yield from storing.relieve()
            return
        told = 0
        while True:
            part = pipeline.poll()
            if isinstance(part, BodyChunk):
                told += len(part.data)
                if storing.take(incoming, part.data):
                    storing.received(told)
                    told = 0
                    yield from storing.relieve()
            elif isinstance(part, Signal):
                yield from pipeline.step()
            else:
                break
        incoming.removed_dots = pipeline.removed_dots
        storing.received(told)

    def _refused(self, step: Step, failure: CommandFailed) -> None:
        run = self._run
        run.problem(Problem(ProblemKind.MESSAGE, str(failure), step.identity))
        run.leave(step)
        run.refused.add(step.number)


def _batches(steps: Sequence[Step], most: int) -> list[Batch]:
    """Return the messages in groups that are proved, stored and recorded together."""
    batches: list[Batch] = []
    octets = IN_MEMORY
    for step in steps:
        size = step.octets or 0
        if not batches or len(batches[-1]) >= most or octets + size > IN_MEMORY:
            batches.append([])
            octets = 0
        batches[-1].append(step)
        octets += size
    return batches


def _out_of_step(batch: Batch, question: Question) -> OutOfStep:
    which = f"message {batch[0].number}" if len(batch) == 1 else "a message"
    return OutOfStep(
        f"{which} seems to end early (the server may not have dot-stuffed it): {question.command} was not answered as "
        "before"
    )
