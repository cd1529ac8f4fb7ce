"""One session of a fetch: list, plan, check, retrieve, delete, QUIT."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import counted

from .deleting import Deletion, delete, leave
from .events import Event, MessageState
from .guards import DIGEST_PREFIX
from .looking import check, list_maildrop, make_session_plan
from .plan import Action, Plan, Step
from .report import Planned, Problem, ProblemKind
from .retrieving import Retrieving, try_questions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pop3proto.core.results import MaildropStatus
    from pop3proto.procedures.operations import Procedure

    from .events import MessageIdentity
    from .incoming import Incoming
    from .listing import MaildropListing
    from .run import FetchRun

__all__ = ["Outcome", "visit"]

_UNSTEADY: Final = (
    "the messages of this session came in this run before, under other unique ids: the server gives new ones in each "
    "session. They are stored again; no other session was begun"
)

_RETRIEVED: Final = {Action.FETCH, Action.HEADERS, Action.RETRY}
_CHECKED: Final = {Action.CHECK, Action.DELETE}


@attrs.frozen
class Outcome:
    """What is left after one session.

    Args:
        more: messages of the plan are left for another session.
        perhaps: the server may have messages that it did not show.
        apart: messages to be deleted each in a session of its own.
        uncertain: why it is unknown what was deleted: another session will see; "": it is known.
        failed: messages that failed in earlier runs, to be tried last: those that failed the fewest times come first.
        held: as `apart`, where the deletion has failed in earlier runs.
    """

    more: bool = False
    perhaps: bool = False
    failed: tuple[MessageIdentity, ...] = ()
    held: tuple[MessageIdentity, ...] = ()
    apart: tuple[MessageIdentity, ...] = ()
    uncertain: str = ""


def visit(run: FetchRun, only: Collection[MessageIdentity] | None = None) -> Procedure[Outcome]:
    """Have one session, from the listing to QUIT.

    Args:
        run: its client is logged in.
        only: the messages to fetch or delete, one by one; None: all but those that failed in earlier runs.

    Raises:
        StorageFailed: destination or journal cannot be used. What is recorded is stored.
        CommandFailed: the server does not list the maildrop. The session goes on.
        OutOfStep, RemoteProtocolError, ConnectionLost, TimedOut, Broken: the session is over. What is recorded is
            stored, and nothing was deleted.
    """
    run.begin_session()
    listing, status = yield from list_maildrop(run.session)
    run.status = status
    plan = yield from make_session_plan(run, listing)
    _tell(run, plan)
    if plan.stop is not None:
        run.stop(ProblemKind.LATER if plan.temporary else ProblemKind.SERVER, plan.stop)
        yield from leave(run, ())
        return Outcome()
    yield from _note_skipped(run, plan)
    steps = [step for step in plan.steps if not run.is_left(step)]
    failed = [step for step in steps if step.action is Action.RETRY]
    held = [step for step in steps if _is_held(step)]
    apart = [step for step in steps if step.identity in run.apart and step not in held]
    if only is None and _is_last(run):  # what failed before is tried here, after all others
        numbers = {step.number for step in failed}
        steps = [*(step for step in steps if step.number not in numbers), *failed]
        run.be_careful(failed)
        failed, held, apart = [], [], []
    elif only is None:
        others = {step.number for step in (*failed, *held, *apart)}
        steps = [step for step in steps if step.number not in others]
    else:
        steps = [step for step in steps if step.identity in only]
        run.be_careful(steps)
    bound = None if _is_last(run) or not listing.unique_ids else run.most
    before = _stored_before(run, listing)
    retrieved, deletions, more = yield from _checked(run, steps, bound)
    retrieved, too_many = _within_bounds(run, retrieved)
    more = more or too_many
    perhaps = False
    if retrieved:
        retrieving = yield from _retrieve(run, listing, status, retrieved)
        deletions += _deletions(run, retrieving.stored)
        news = [incoming.identity for incoming in retrieving.stored if not incoming.known]
        more = more or retrieving.cut
        perhaps = bool(news) and run.policy.partial_from is not None and len(listing.rows) >= run.policy.partial_from
        if news and _contents(run, news) <= before:
            run.stop(ProblemKind.SERVER, _UNSTEADY)
            more = perhaps = False
    deletions.sort(key=lambda deletion: deletion.number)
    if bound is not None and len(deletions) > bound:
        deletions, more = deletions[:bound], True
    accepted = (yield from delete(run, deletions)) if deletions else []
    uncertain = yield from leave(run, accepted)
    failed.sort(key=lambda step: 0 if step.entry is None else step.entry.failures)
    return Outcome(more, perhaps, _identities(failed), _identities(held), _identities(apart), uncertain)


def _stored_before(run: FetchRun, listing: MaildropListing) -> set[tuple[object, ...]]:
    """Return what earlier sessions of this run have stored, if the server lists none of it by the same unique id."""
    stored = {*run.report.stored, *run.report.headers}
    return _contents(run, stored) if stored.isdisjoint(row.identity for row in listing.rows) else set()


def _contents(run: FetchRun, stored: Iterable[MessageIdentity | None]) -> set[tuple[object, ...]]:
    """Return by what stored messages can be compared that have different unique ids."""
    entries = (run.history.get(identity) for identity in stored if identity is not None)
    events = (entry.stored for entry in entries if entry is not None)
    return {(event.state, event.header, event.octets) for event in events if event is not None}


def _identities(steps: Iterable[Step]) -> tuple[MessageIdentity, ...]:
    return tuple(step.identity for step in steps if step.identity is not None)


def _tell(run: FetchRun, plan: Plan) -> None:
    run.note(plan.notes)
    for obstacle in plan.obstacles:
        run.problem(Problem(ProblemKind.MESSAGE, obstacle))
    if run.report.sessions == 1:
        run.report.here = sum(step.entry is not None and step.entry.stored is not None for step in plan.steps)
        run.report.skipped = len(plan.of(Action.SKIP))
    run.tell(Planned(plan))


def _is_held(step: Step) -> bool:
    return step.deletes and step.entry is not None and step.entry.state is MessageState.HELD


def _note_skipped(run: FetchRun, plan: Plan) -> Procedure[None]:
    """Record messages that the policy leaves on the server, and tell of each once."""
    steps = [
        step
        for step in plan.of(Action.SKIP)
        if step.identity is not None
        and (step.entry is None or step.entry.state in {MessageState.SEEN, MessageState.GONE})
    ]
    if run.policy.only is None and steps:
        reasons = Counter(step.reason for step in steps)
        texts = (f"{counted(count, 'message')} skipped: {reason}" for reason, count in reasons.items())
        run.note(texts, new=True)
        yield from run.record(
            [
                Event(step.identity, MessageState.SKIPPED, run.clock(), step.octets, why=step.reason)
                for step in steps
                if step.identity is not None
            ]
        )


def _checked(run: FetchRun, steps: list[Step], bound: int | None) -> Procedure[tuple[list[Step], list[Deletion], bool]]:
    """Return the steps to retrieve, the stored messages to delete, and whether some are left for another session.

    Args:
        run: the run.
        steps: of the plan.
        bound: so many are checked at most; None: all.
    """
    retrieved = [step for step in steps if step.action in _RETRIEVED]
    checked = [step for step in steps if step.action in _CHECKED]
    more = bound is not None and len(checked) > bound
    checked = checked[:bound]
    if not checked:
        return retrieved, [], more
    uncertain, same = yield from check(run, checked)
    run.note(f"message {step.number} is fetched again and compared: {step.reason}" for step in uncertain)
    retrieved += [attrs.evolve(step, action=Action.CHECK) for step in uncertain]
    retrieved.sort(key=lambda step: (step.action is Action.CHECK, step.number))  # new mail comes first
    deletions = [
        Deletion(step.number, step.identity, retrieved=False)
        for step in same
        if step.deletes and step.identity is not None
    ]
    return retrieved, deletions, more


def _is_last(run: FetchRun) -> bool:
    """Return whether no other session can follow soon."""
    capabilities = run.session.capabilities
    delay = None if capabilities is None else capabilities.login_delay
    return run.single or (delay is not None and delay.seconds > run.policy.patience)


def _within_bounds(run: FetchRun, steps: list[Step]) -> tuple[list[Step], bool]:
    """Return the steps that one session takes, and whether some are left."""
    policy, octets = run.policy, 0
    if _is_last(run) or any(step.identity is None for step in steps):
        return steps, False  # no other session will bring the rest; or it would begin with the same messages
    steps = sorted(steps, key=lambda step: not run.is_first(step))
    for index, step in enumerate(steps):
        octets += step.octets or 0
        if index >= run.most or (index and octets > policy.session_octets):
            return steps[:index], True
    return steps, False


def _retrieve(
    run: FetchRun, listing: MaildropListing, status: MaildropStatus | None, steps: list[Step]
) -> Procedure[Retrieving]:
    retrieving = Retrieving(run, (yield from try_questions(run, listing, status)), last=_is_last(run))
    yield from retrieving.retrieve(steps)
    if not listing.unique_ids and len(retrieving.stored) == len(listing.rows):
        # All of the maildrop has come: what is known and has not come is gone. The same octets may come anew.
        yield from run.record(
            [
                Event(entry.identity, MessageState.GONE, run.clock())
                for entry in run.history
                if entry.was_listed
                and not run.has_met(entry.identity)
                and entry.identity.unique_id.startswith(DIGEST_PREFIX)
            ]
        )
    return retrieving


def _deletions(run: FetchRun, stored: Iterable[Incoming]) -> list[Deletion]:
    """Return those of the messages that were retrieved which are deleted in this session."""
    return [
        Deletion(incoming.step.number, incoming.identity, retrieved=True)
        for incoming in stored
        if incoming.identity is not None and _is_deleted_now(run, incoming, incoming.identity)
    ]


def _is_deleted_now(run: FetchRun, incoming: Incoming, identity: MessageIdentity) -> bool:
    step, after = incoming.step, run.policy.delete_after
    missing = None if step.action is Action.HEADERS else incoming.missing
    entry = run.history.get(identity)
    if step.identity is None and incoming.known and after is not None and entry is not None:
        when = None if entry.stored is None else entry.stored.when
        return missing is None and when is not None and run.clock() - when >= after
    if step.action is Action.CHECK and not incoming.known:  # it is another message than the one that was due
        return missing is None and run.policy.deletes_at_once
    if not step.deletes or step.action is Action.HEADERS:
        return False
    if incoming.unstuffed:
        return False  # it was told when it was stored
    if missing is not None:
        text = f"message {step.number} is stored, and stays on the server: {missing}"
        run.problem(Problem(ProblemKind.MESSAGE, text, identity))
        return False
    return True
