"""Hands messages to the destination and records them: many at once, when they are known to be complete."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.procedures.operations import Procedure, Run

from .destination import Arrival, NothingStored, NotTaken
from .events import Event, MessageState
from .history import was_under_way
from .incoming import Incoming
from .marks import mark_of
from .plan import Action
from .planner import HELD_BACK
from .report import Problem, ProblemKind, Received, Stored
from .run import StorageFailed
from .spool import Spool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from .destination import Writer
    from .events import MessageIdentity
    from .plan import Step
    from .run import FetchRun

__all__ = ["IN_MEMORY", "MOST_DELAYED", "Storing"]

IN_MEMORY: Final = 1 << 20
"""Octets of messages that are collected in memory before they are written."""

MOST_DELAYED: Final = 3
"""After so many messages in a row that a destination has put off, it is left alone."""


class Storing:
    """Stores the messages of one session, a batch at a time.

    Args:
        run: the run that it belongs to.
    """

    def __init__(self, run: FetchRun) -> None:
        self._run: Final = run
        self._batch: list[Incoming] = []
        self._held = 0

    def begin(self, step: Step) -> Incoming:
        """Begin a message of the batch."""
        incoming = Incoming(
            step, compared=step.action is Action.CHECK and step.entry is not None and step.entry.is_here
        )
        self._batch.append(incoming)
        return incoming

    def drop(self, incoming: Incoming) -> None:
        """Take a message out of the batch: the server has refused it."""
        self._batch.remove(incoming)

    def take(self, incoming: Incoming, octets: bytes) -> bool:
        """Take octets of a message; return whether so much is in memory now that `relieve` is to be called."""
        incoming.take(octets)
        self._held += len(octets)
        return self._held >= IN_MEMORY

    def relieve(self) -> Procedure[None]:
        """Write what is in memory; raises `StorageFailed`."""
        yield from self._run.storage(self._write_all)
        self._held = 0

    def commit(self) -> Procedure[list[Incoming]]:
        """Store the messages of the batch, which are complete, and record them.

        Returns:
            Those that are stored, now or earlier.

        Raises:
            StorageFailed: some may be stored and not recorded.
        """
        run = self._run
        yield from self._hold_back([incoming for incoming in self._batch if not self._is_known(incoming)])
        batch = self._batch
        new = [incoming for incoming in batch if not incoming.known]
        here = yield from self._recalled(new)
        new = [incoming for incoming in new if incoming not in here]
        if new and not run.destination.recalls:
            yield from run.record([self._event(incoming, MessageState.SENDING) for incoming in new])
        outcomes = (yield from self._hand_over(new)) if new else ()
        for incoming in new:
            incoming.writer = None  # it is no longer ours to abort
        events = [self._refreshed(incoming) for incoming in batch if incoming.known]
        stored = [incoming for incoming in batch if incoming.known]
        for incoming, refusal in zip((*here, *new), (*[None] * len(here), *outcomes), strict=True):
            if refusal is None:
                state = MessageState.HEADERS if incoming.step.action is Action.HEADERS else MessageState.STORED
                events.append(self._event(incoming, state))
                stored.append(incoming)
            else:
                events += self._refused(incoming, refusal)
        events += run.has_stored(incoming.identity for incoming in stored if incoming.identity is not None)
        yield from run.record(events)
        if stored:
            run.delayed = 0
        self._tell([incoming for incoming in stored if not incoming.known])
        yield from self.abort()
        for incoming in stored:
            incoming.release()
        if run.delayed >= MOST_DELAYED:
            raise StorageFailed(OSError(errno.EAGAIN, f"{run.destination.name} puts off each message: try again later"))
        return stored

    def _hand_over(self, batch: Sequence[Incoming]) -> Procedure[Sequence[NotTaken | None]]:
        try:
            return (yield from self._run.storage(self._deliver, batch))
        except StorageFailed as failure:
            if isinstance(failure.error, NothingStored) and not self._run.destination.recalls:
                yield from self._run.record([self._event(incoming, MessageState.SEEN) for incoming in batch])
            raise

    def abort(self) -> Procedure[None]:
        """Throw away what is not committed."""
        batch, self._batch, self._held = self._batch, [], 0
        if any(incoming.writer is not None or incoming.spool is not None for incoming in batch):
            yield from Run(_abort, batch)

    def _is_known(self, incoming: Incoming) -> bool:
        """Find out what only all of the octets tell: the identity, or whether it is the message that is stored."""
        if not incoming.waits:
            return False
        entry = incoming.step.entry
        if incoming.identity is None:
            incoming.identity = self._run.next_copy(incoming.unique_id)
            entry = self._run.history.get(incoming.identity)
            incoming.known = (
                entry is not None
                and entry.is_here
                and entry.was_listed
                and not self._run.is_wanted_again(incoming.identity)
            )
        else:
            stored = None if entry is None else entry.stored
            incoming.known = (
                stored is not None
                and stored.octets == incoming.octets
                and stored.header == incoming.header  # None, of an earlier version, tells nothing
            )
        return incoming.known

    def _hold_back(self, new: Sequence[Incoming]) -> Procedure[None]:
        """Take messages without a unique id out of the batch that may have been delivered, if the policy says so.

        Others are not retrieved then.
        """
        run = self._run
        for incoming in new if run.policy.on_doubt == "hold" else ():
            entry = None if incoming.identity is None else run.history.get(incoming.identity)
            if incoming.step.identity is None and entry is not None and entry.state is MessageState.SENDING:
                text = f"message {incoming.step.number} stays on the server: {HELD_BACK}"
                run.problem(Problem(ProblemKind.MESSAGE, text, incoming.identity))
                self.drop(incoming)
                yield from Run(incoming.abort)

    def _recalled(self, new: Sequence[Incoming]) -> Procedure[list[Incoming]]:
        """Return the messages that a crash has left in the destination and not in the journal.

        Most are found before they are retrieved. These are those of which only the octets tell which message it is.
        """
        run = self._run
        if not run.destination.recalls or run.policy.again:
            return []
        marks = {
            mark_of(run.journal.account, incoming.identity): incoming
            for incoming in new
            if incoming.identity is not None and self._is_found_late(incoming, incoming.identity)
        }
        if not marks:
            return []
        found = yield from run.storage(run.destination.recall, marks.keys())
        here: list[Incoming] = []
        for mark, what in found.items():
            incoming = marks[mark]
            same = incoming.step.identity is None or (what.header, what.octets) == (incoming.header, incoming.octets)
            if same and not what.header_only:
                here.append(incoming)
        return here

    def _is_found_late(self, incoming: Incoming, identity: MessageIdentity) -> bool:
        if incoming.step.identity is not None:
            return incoming.step.action is Action.CHECK
        entry = self._run.history.get(identity)
        return entry is None or was_under_way(entry.state)

    def _write_all(self) -> None:
        for incoming in self._batch:
            self._write(incoming)

    def _write(self, incoming: Incoming) -> None:
        sink: Writer | Spool
        if incoming.waits:
            sink = incoming.spool = incoming.spool or Spool(in_memory=0)
        else:
            sink = incoming.writer = incoming.writer or self._begin(incoming)
        for chunk in incoming.chunks:
            sink.write(chunk)
        incoming.chunks.clear()

    def _begin(self, incoming: Incoming) -> Writer:
        step, identity, run = incoming.step, incoming.identity, self._run
        assert identity is not None  # noqa: S101 - the octets have told it
        header_only = step.action is Action.HEADERS
        completes = not header_only and step.entry is not None and step.entry.has_header
        mark = mark_of(run.journal.account, identity)
        return run.destination.begin(
            Arrival(identity, mark, step.number, step.octets, header_only=header_only, completes=completes)
        )

    def _deliver(self, batch: Sequence[Incoming]) -> Sequence[NotTaken | None] | Awaitable[Sequence[NotTaken | None]]:
        writers: list[Writer] = []
        for incoming in batch:
            writer = incoming.writer = incoming.writer or self._begin(incoming)
            if incoming.spool is not None:
                for octets in incoming.spool.pieces():
                    writer.write(octets)
            for octets in incoming.chunks:
                writer.write(octets)
            incoming.chunks.clear()
            writers.append(writer)
        return self._run.destination.commit(writers)

    def _event(self, incoming: Incoming, state: MessageState, why: str = "") -> Event:
        assert incoming.identity is not None  # noqa: S101 - as above
        octets = None if state is MessageState.SENDING else incoming.octets
        dots = incoming.unstuffed if state is MessageState.STORED else 0
        listed, header = incoming.step.octets, incoming.header
        return Event(incoming.identity, state, self._run.clock(), listed, octets, header, why=why, dots=dots)

    def _refreshed(self, incoming: Incoming) -> Event:
        """Return the event for a message that was stored before: only what the server announces may be new."""
        event = self._event(incoming, MessageState.STORED)
        entry = self._run.history.get(event.identity)
        if entry is None or entry.stored is None:
            return event
        return attrs.evolve(event, state=entry.stored.state, when=entry.stored.when)

    def _refused(self, incoming: Incoming, refusal: NotTaken) -> list[Event]:
        text = f"message {incoming.step.number} stays on the server: {refusal}"
        self._run.problem(Problem(ProblemKind.LATER if refusal.later else ProblemKind.MESSAGE, text, incoming.identity))
        assert incoming.identity is not None  # noqa: S101 - as above
        self._run.leave(incoming.step)
        self._run.tried.add(incoming.identity)
        self._run.delayed = self._run.delayed + 1 if refusal.later else 0
        entry = incoming.step.entry
        if refusal.perhaps:  # as after a crash, but tried again later, as after a failure
            states = [MessageState.SUSPECT, MessageState.SENDING]
        elif not refusal.later:
            states = [MessageState.SUSPECT]
        elif entry is not None and entry.state is MessageState.SENDING:
            states = [MessageState.SENDING]  # an earlier doubt remains
        else:
            return [Event(incoming.identity, MessageState.SEEN, self._run.clock())]
        return [self._event(incoming, state, str(refusal)) for state in states]

    def _tell(self, stored: Sequence[Incoming]) -> None:
        report = self._run.report
        identities = tuple(incoming.identity for incoming in stored if incoming.identity is not None)
        headers = [each.identity for each in stored if each.step.action is Action.HEADERS and each.identity is not None]
        report.headers += headers
        report.stored += [identity for identity in identities if identity not in headers]
        report.stored_octets += sum(each.octets for each in stored if each.step.action is not Action.HEADERS)
        self._run.note(
            (
                f"message {each.step.number} is stored, but {each.missing}. It is not deleted on the server"
                for each in stored
                if each.unstuffed and each.step.action is not Action.HEADERS
            ),
            new=True,
        )
        if identities:
            self._run.tell(Stored(identities, sum(incoming.octets for incoming in stored)))

    def received(self, octets: int) -> None:
        """Tell that octets of messages have arrived."""
        self._run.report.octets += octets
        self._run.tell(Received(octets))


def _abort(batch: Sequence[Incoming]) -> None:
    for incoming in batch:
        incoming.abort()
