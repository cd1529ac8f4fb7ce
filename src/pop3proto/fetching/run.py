"""The state of one run: what it works with, what it knows, and what it has done so far."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar, cast

from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.operations import Await, Procedure, Run

from .events import Event, MessageIdentity, MessageState
from .history import History
from .report import Deleted, Noted, Problem, ProblemKind, Report, Tell
from .wording import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pop3proto.core.commands import Command
    from pop3proto.core.errors import Pop3Error
    from pop3proto.core.results import MaildropStatus, UniqueId
    from pop3proto.procedures.client.session import Session

    from .destination import Destination, Journal
    from .plan import Step
    from .policy import Policy

__all__ = ["NOT_THERE", "FetchRun", "StorageFailed"]

P = ParamSpec("P")
T = TypeVar("T")

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_OF_THE_DISK: Final = {*_FULL, errno.EIO, errno.EROFS}
"""Errors that are no fault of one message."""

NOT_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
"""Errors of a place that does not exist, or is something else: it does not help to try again."""

_Row: TypeAlias = tuple[int, "int | None"]
"""Number and size of a message without a unique id: what it is known by in this run."""


class StorageFailed(Exception):
    """The destination or the journal cannot be used. What is recorded is stored.

    Args:
        error: why.

    Attributes:
        fatal: nothing can be stored, or nothing be recorded, so that what would be stored now would come again.
        kind: of the problem. CONFIGURATION: what the user has named is not there, which is the fault of no message.
    """

    def __init__(self, error: OSError) -> None:
        full = "; make room, and run it again" if error.errno in _FULL else ""
        super().__init__(reason(error) + full)
        self.error = error
        self.kind: ProblemKind = ProblemKind.CONFIGURATION if error.errno in NOT_THERE else ProblemKind.STORAGE
        self.fatal: bool = self.kind is ProblemKind.CONFIGURATION


class FetchRun:
    """One run.

    Args:
        session: of the client.
        journal: records what is stored.
        destination: stores it.
        policy: what is wanted.
        tell: hears of what happens.
        clock: returns seconds since 1970.
        single: there can be no other session.
        ending: says whether to begin nothing more.
        explain: has the words for an error that ends the run.
        records: events are written to the journal; else they are only known in this run.

    Attributes:
        history: what is known of the messages.
        report: what was done so far.
        tried: messages that have failed in this run: they are left alone until the next one.
        kept: messages whose deletion has failed in this run; likewise.
        status: the answer to STAT in this session; None: the server refuses it.
        refused: numbers of the messages that the server has refused to send in this session.
        delayed: how many messages in a row the destination has put off.
        older: messages that were not among the newest in the first session; None: there was no session.
        most: messages that are checked, that are fetched, and that are deleted in one session at most. Some servers end
            each session after so many commands.
        apart: messages at whose deletion a session broke, or next to one: each is deleted in a session of its own.
        unusable: types of commands with an argument that the server does not answer as it should.
        tops: TOP may be sent. The server has not hung up on it in this run.
        blamed: how many messages have broken a session of this run, or could not be stored.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all of it is needed
        self,
        session: Session,
        journal: Journal,
        destination: Destination,
        policy: Policy,
        tell: Tell,
        clock: Callable[[], float],
        *,
        records: bool = True,
        single: bool = False,
        ending: Callable[[], bool] = bool,
        explain: Callable[[Pop3Error], str] = str,
    ) -> None:
        self.session: Final = session
        self.journal: Final = journal
        self.destination: Final = destination
        self.policy: Final = policy
        self.tell: Final = tell
        self.clock: Final = clock
        self.history: History = History()
        self.report: Final = Report()
        self.tried: Final[set[MessageIdentity | _Row]] = set()
        self.kept: Final[set[MessageIdentity]] = set()
        self.older: set[MessageIdentity] | None = None
        self.most: int = policy.session_messages
        self.apart: Final[set[MessageIdentity]] = set()
        self.refused: Final[set[int]] = set()
        self.delayed: int = 0
        self.status: MaildropStatus | None = None
        self.unusable: Final[set[type[Command[Any]]]] = set()
        self.tops: bool = True
        self.blamed: int = 0
        self._unstorable: list[Event] = []  # messages that could not be stored, unless nothing can
        self._careful: Final[set[MessageIdentity | _Row]] = set()
        self._first: Final[set[MessageIdentity | _Row]] = set()
        self.single: Final = single
        self.ending: Final = ending
        self.explain: Final = explain
        self._records: Final = records
        self._stored: Final[set[MessageIdentity]] = set()
        self._deleted: Final[set[MessageIdentity]] = set()
        self._noted: Final[set[str]] = set()
        self._copies: Counter[UniqueId] = Counter()

    def read_journal(self) -> Procedure[None]:
        """Begin with what is recorded; raises `StorageFailed`."""
        self.history = History((yield from self.storage(self.journal.read)))

    def record(self, events: Sequence[Event]) -> Procedure[None]:
        """Write events to the journal, and know them from now on; raises `StorageFailed`."""
        if events:
            if self._records:
                try:
                    yield from self.storage(self.journal.append, events)
                except StorageFailed as failure:
                    failure.fatal = True
                    raise
            for event in events:
                self.history.apply(event)

    def storage(self, function: Callable[P, T | Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Procedure[T]:
        """Call a method of the destination or the journal, and await its result if that is needed.

        Raises:
            StorageFailed: it raised OSError.
            TypeError: its result is to be awaited, and a blocking client cannot.
        """
        try:
            result = yield from Run(function, *args, **kwargs)
            if isinstance(result, Awaitable):
                return (yield from Await(cast("Awaitable[T]", result)))
        except LocalProtocolError as error:
            whose = f"the journal or of {self.destination.name}"
            raise TypeError(f"a method of {whose} is a coroutine: it needs a client of asyncio or trio") from error
        except OSError as error:
            raise StorageFailed(error) from error
        return result

    def lower_bound(self, done: int) -> None:
        """Note that a session broke after so many messages: the next ones have half as many."""
        self.most = max(1, min(self.most, done) // 2)

    def begin_session(self) -> None:
        """Forget what belongs to one session."""
        self.report.sessions += 1
        self._copies.clear()
        self.refused.clear()

    @property
    def progress(self) -> tuple[int, ...]:
        """Something that changes whenever a session brings something, if only the knowledge of what breaks it."""
        report = self.report
        known = self.tried, self.kept, self.apart, self.unusable, self._careful, self._first
        return (*map(len, (report.stored, report.headers, report.deleted, *known)), self.tops, self.most)

    @property
    def brought(self) -> tuple[int, int, int]:
        """How much was stored and deleted so far."""
        return len(self.report.stored), len(self.report.headers), len(self.report.deleted)

    def has_met(self, identity: MessageIdentity) -> bool:
        """Return whether a message without a unique id has come in this session."""
        return identity.copy < self._copies[identity.unique_id]

    def next_copy(self, unique_id: UniqueId) -> MessageIdentity:
        """Return the identity of a message that has no unique id, but the octets from which this one was made."""
        copy = self._copies[unique_id]
        self._copies[unique_id] += 1
        return MessageIdentity(unique_id, copy)

    def problem(self, problem: Problem) -> None:
        """Report and tell a problem."""
        if problem.text not in self._noted:
            self._noted.add(problem.text)
            self.report.problems.append(problem)
            self.tell(problem)

    def stop(self, kind: ProblemKind, text: str) -> None:
        """Report and tell why the run ends before all is done."""
        lasts = kind in {ProblemKind.SERVER, ProblemKind.CONFIGURATION}
        self.report.more = self.report.sessions > 0 and not lasts
        self.problem(Problem(kind, text))

    def note(self, texts: Iterable[str], *, new: bool = False) -> None:
        """Tell what the user should know, once in a run.

        Args:
            texts: what, a line each.
            new: no other run tells it.
        """
        for text in texts:
            if text not in self._noted:
                self._noted.add(text)
                self.tell(Noted(text, new))

    def deleted(self, identities: Sequence[MessageIdentity]) -> None:
        """Report and tell that the server has deleted messages."""
        new = [identity for identity in identities if identity not in self._deleted]
        self._deleted.update(new)
        if new:
            self.report.deleted.extend(new)
            self.tell(Deleted(tuple(new)))

    def is_careful(self, step: Step) -> bool:
        """Return whether a message is fetched by itself: it was under way when some session broke."""
        entry = step.entry
        return _key(step) in self._careful or (
            entry is not None and entry.state is MessageState.SEEN and bool(entry.last.why)
        )

    def is_first(self, step: Step) -> bool:
        """Return whether a message is fetched before all others: a session broke at it, but not at the first one."""
        return _key(step) in self._first

    def try_first(self, step: Step) -> None:
        """Fetch a message before all others in the next session."""
        self._first.add(_key(step))

    def be_careful(self, steps: Sequence[Step]) -> None:
        """Fetch messages by themselves from now on."""
        self._careful.update(map(_key, steps))

    def warn_of(self, steps: Sequence[Step], error: Exception) -> Procedure[None]:
        """Record that messages were under way when a session broke, so that the next run is careful, too.

        Raises:
            StorageFailed: it cannot be recorded.
        """
        new = [step for step in steps if not self.is_careful(step)]
        self.be_careful(new)
        if not isinstance(error, StorageFailed):
            yield from self.record(
                [
                    Event(
                        step.identity,
                        MessageState.SEEN,
                        self.clock(),
                        step.octets,
                        why=f"under way when this happened: {error}",
                    )
                    for step in new
                    if step.identity is not None and (step.entry is None or step.entry.stored is None)
                ]
            )

    def leave(self, step: Step) -> None:
        """Note that a message is to be left alone in this run."""
        self.tried.add(_key(step))

    def is_left(self, step: Step) -> bool:
        """Return whether a message is to be left alone in this run."""
        if _key(step) in self.tried or step.identity in self.kept:
            return True
        return self.policy.again and step.identity in self._stored  # it has been fetched again in this run

    def is_wanted_again(self, identity: MessageIdentity) -> bool:
        """Return whether a message is to be stored once more: the policy says so, and this run has not done it yet."""
        return self.policy.again and identity not in self._stored

    def blame(self, step: Step, error: Exception) -> Procedure[None]:
        """Record that a message has broken a session by itself, or could not be stored: it is tried last from now on.

        Raises:
            StorageFailed: it cannot be recorded.
        """
        self.blamed += 1
        self.leave(step)
        no_room = isinstance(error, StorageFailed) and error.error.errno in _OF_THE_DISK
        kind = ProblemKind.STORAGE if no_room else ProblemKind.MESSAGE
        self.problem(Problem(kind, f"message {step.number} stays on the server: {error}", step.identity))
        if step.identity is None:
            return
        event = Event(step.identity, MessageState.SUSPECT, self.clock(), step.octets, why=str(error))
        if isinstance(error, StorageFailed):
            if not self._is_held_back(step.identity):
                self._unstorable.append(event)  # if nothing can be stored, it is not the message
        else:
            yield from self.record([event])

    def _is_held_back(self, identity: MessageIdentity) -> bool:
        """Return whether a message is in doubt, and that must stay known."""
        entry = self.history.get(identity)
        return entry is not None and entry.state is MessageState.SENDING and self.policy.on_doubt == "hold"

    def has_stored(self, identities: Iterable[MessageIdentity]) -> list[Event]:
        """Note that messages are stored, so that the destination works; return what else is to be recorded then."""
        if self.policy.again:
            self._stored.update(identities)
        events, self._unstorable = self._unstorable, []
        return events


def _key(step: Step) -> MessageIdentity | _Row:
    return step.identity if step.identity is not None else (step.number, step.octets)
