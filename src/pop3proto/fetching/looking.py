"""Look into a maildrop: list it, bring the history up to date, plan, and look at single headers."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import attrs

from pop3proto.core.commands import List, Stat, Top, Uidl
from pop3proto.core.errors import ConnectionLost, MalformedReply, Pop3Error
from pop3proto.core.events import Answer, BodyChunk, Signal
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Err
from pop3proto.core.results import MaildropStatus, ScanListing, UniqueIdListing
from pop3proto.procedures.client.body import Body
from pop3proto.procedures.client.calls import call_all
from pop3proto.procedures.client.pipeline import Pipeline

from .events import Event, MessageIdentity, MessageState
from .header import Header, received_date
from .history import was_under_way
from .listing import MaildropListing
from .marks import mark_of
from .plan import Action, Plan, Step
from .planner import make_plan
from .proof import OutOfStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pop3proto.core.commands import Command
    from pop3proto.procedures.client.session import Session
    from pop3proto.procedures.operations import Procedure

    from .destination import Found
    from .run import FetchRun

__all__ = ["check", "list_maildrop", "make_session_plan"]

_CRLF: Final = 2
_SAMPLE: Final = 100
"""Messages of which the headers are looked at, to see whether unique ids have changed."""


def list_maildrop(session: Session) -> Procedure[tuple[MaildropListing, MaildropStatus | None]]:
    """Ask for the drop listing, the unique ids and the sizes, in one go if the server takes that.

    Returns:
        The listing; and the answer to STAT, None if it was refused or makes no sense.

    Raises:
        CommandFailed: the server has unique ids, and does not tell them now; or it tells nothing at all.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    commands: list[Command[Any]] = [Stat(), Uidl(), List()]
    status, unique_ids, sizes = yield from call_all(session, commands, return_exceptions=True)
    listed = [each for each in (unique_ids, sizes) if isinstance(each, UniqueIdListing | ScanListing)]
    if isinstance(status, MaildropStatus) and not status.count and not any(listed):
        return MaildropListing(()), status
    if isinstance(unique_ids, MalformedReply):
        unique_ids = yield from _first_rows(session, Uidl(), UniqueIdListing)
    if isinstance(sizes, MalformedReply):
        sizes = yield from _first_rows(session, List(), ScanListing)
    if isinstance(unique_ids, CommandFailed) and session.capabilities is not None and session.capabilities.uidl:
        raise unique_ids
    if isinstance(unique_ids, CommandFailed) and isinstance(sizes, CommandFailed):
        raise sizes
    ids = unique_ids if isinstance(unique_ids, UniqueIdListing) else None
    octets = sizes if isinstance(sizes, ScanListing) else None
    if isinstance(status, MaildropStatus):
        return MaildropListing.of(ids, octets, status), status
    return MaildropListing.of(ids, octets, MaildropStatus(len(octets or ids or ()), 0)), None


def _first_rows(
    session: Session, command: List | Uidl, listing: type[UniqueIdListing | ScanListing]
) -> Procedure[UniqueIdListing | ScanListing | None]:
    """Return as much of a listing as the limit allows: it has more rows."""
    limits = session.connection.limits
    pipeline = Pipeline[object](session, [command])
    body = Body(pipeline, command)
    try:
        yield from body.open(begin=True)
    except CommandFailed:
        return None
    lines, octets = 0, bytearray()
    while (chunk := (yield from body.chunk())) is not None:
        if lines < limits.listing_entries:
            octets += chunk
            lines += chunk.count(b"\n")
    end = len(octets)
    while lines > limits.listing_entries or (lines == limits.listing_entries and end < len(octets)):
        end = octets.rfind(b"\n", 0, end - 1) + 1
        lines -= 1
    return listing.parse(bytes(octets[: octets.rfind(b"\n", 0, end) + 1]), entries=limits.listing_entries)


def make_session_plan(run: FetchRun, listing: MaildropListing) -> Procedure[Plan]:
    """Bring the history up to date with what the server lists and the destination has, and plan.

    Raises:
        StorageFailed: destination or journal cannot be used.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over.
    """
    yield from run.record((yield from _recalled(run, listing)))
    present = (yield from _present(run)) if run.policy.when_gone else None
    if run.older is None:
        newest = run.policy.newest
        older = () if newest is None else listing.rows[:-newest]
        run.older = {row.identity for row in older if row.identity is not None}
    fresh = False
    undated: set[MessageIdentity] = set()
    untold: set[MessageIdentity] = set()
    while True:
        plan = make_plan(
            run.history,
            listing,
            run.policy,
            run.clock(),
            present=present,
            undated=undated,
            untold=untold,
            older=run.older,
            expires=_expires(run.session),
            fresh=fresh,
            told=run.kept.union(key for key in run.tried if isinstance(key, MessageIdentity)),
        )
        if plan.renamed:
            fresh = yield from _are_new(run, plan.steps)
            if fresh:
                continue
        if plan.stop is not None:
            return plan
        if not (steps := plan.of(Action.DATE)):
            yield from run.record(_changes(run, listing))
            return plan
        yield from _look_for_dates(run, steps, undated, untold)


def _are_new(run: FetchRun, steps: Sequence[Step]) -> Procedure[bool]:
    """Return whether the headers of messages, or of some of them, show that none of these messages is stored."""
    known = {entry.stored.header for entry in run.history if entry.stored is not None and entry.was_listed}
    found: list[bool] = []

    def look(_: Step, header: Header | None) -> None:
        found.append(header is not None and header.digest not in known)

    yield from _look_at_headers(run, steps[:: -(-len(steps) // _SAMPLE)], look)
    return all(found)


def _expires(session: Session) -> bool:
    expire = session.capabilities.expire if session.capabilities is not None else None
    return expire is not None and expire.days == 0


def _changes(run: FetchRun, listing: MaildropListing) -> list[Event]:
    """Return the events that the listing itself tells: what is gone, and what shares a unique id."""
    if not listing.unique_ids:
        return []
    now, listed = run.clock(), {row.identity for row in listing.rows}
    events = [
        Event(row.identity, MessageState.SEEN, now)
        for row in listing.rows
        if row.identity is not None and row.identity.copy and run.history.get(row.identity) is None
    ]
    if not listing.complete or run.policy.partial_from is not None:  # what is not listed may be there all the same
        return events
    ids = {identity.unique_id for identity in listed if identity is not None}
    for entry in run.history:
        if entry.was_listed and entry.identity not in listed and entry.identity.unique_id not in ids:
            deleted = entry.state is MessageState.DELETE_SENT
            events.append(Event(entry.identity, MessageState.DELETED if deleted else MessageState.GONE, now))
            if deleted:
                run.deleted([entry.identity])
    return events


def _recalled(run: FetchRun, listing: MaildropListing) -> Procedure[list[Event]]:
    """Return events for messages that are in the destination, and not in the journal: a crash came between."""
    unknown = [row for row in listing.rows if row.identity is not None and _is_uncertain(run, row.identity)]
    if not unknown or not run.destination.recalls or run.policy.again:
        return []
    marks = {mark_of(run.journal.account, row.identity): row for row in unknown if row.identity is not None}
    found: Mapping[str, Found] = yield from run.storage(run.destination.recall, marks.keys())
    events: list[Event] = []
    for mark, what in found.items():
        row = marks[mark]
        assert row.identity is not None  # noqa: S101 - as above
        entry = run.history.get(row.identity)
        if entry is not None and entry.has_header and (what.header_only or what.header != entry.last.header):
            continue  # it is the header that is known, or another message, which had this unique id before
        # Where the size is another, it may be another message of the same unique id: then nothing is known of LIST.
        alike = what.octets is not None and row.octets is not None and what.octets - row.octets in {0, _CRLF}
        events.append(what.event(row.identity, run.clock(), row.octets if alike or what.header_only else None))
    return events


def _is_uncertain(run: FetchRun, identity: MessageIdentity) -> bool:
    """Return whether a message may be in the destination, with more of it than the journal says."""
    entry = run.history.get(identity)
    if entry is None or was_under_way(entry.state):
        return True
    return entry.has_header and bool(run.policy.complete)


def _present(run: FetchRun) -> Procedure[set[MessageIdentity] | None]:
    """Return which stored messages are still in the destination; None: it cannot tell."""
    if not run.destination.recalls:
        return None
    marks = {mark_of(run.journal.account, entry.identity): entry.identity for entry in run.history if entry.is_here}
    found: set[str] = set()
    for _ in range(2):  # another program may rename files while they are looked for, so that one look misses some
        missing = marks.keys() - found
        found.update((yield from run.storage(run.destination.recall, missing, headers=False)))
    return {marks[mark] for mark in found}


def _look_at_headers(
    run: FetchRun, steps: Sequence[Step], look: Callable[[Step, Header | None], None]
) -> Procedure[None]:
    """Ask for the headers of messages (TOP), and hand each to a function: None if the server does not tell it.

    Raises:
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over. TOP is not sent again in this run.
    """
    if not run.tops:
        for step in steps:
            look(step, None)
        return
    questions = [] if run.status is None else [Stat()]
    commands: Iterator[Command[Any]] = chain((Top(step.number, 0) for step in steps), questions)
    pipeline = Pipeline[object](run.session, commands)
    try:
        yield from pipeline.begin()
        for step in steps:
            look(step, (yield from _header(pipeline)))
        if questions and (yield from pipeline.result(return_exceptions=True)) != run.status:
            raise OutOfStep("a header seems to end early: STAT was not answered as before")
        pipeline.poll()
    except Pop3Error:
        run.tops = False
        raise


def _header(pipeline: Pipeline[object]) -> Procedure[Header | None]:
    """Return a header, in constant memory; None: the server refuses to send it."""
    header: Header | None = None
    while True:
        part = pipeline.poll()
        if isinstance(part, Signal):
            yield from pipeline.step()
        elif isinstance(part, Answer):
            if isinstance(part.reply, Err):
                return None
            header = Header()
        elif isinstance(part, BodyChunk) and header is not None:
            header.feed(part.data)
        else:
            return header


def _look_for_dates(
    run: FetchRun, steps: Sequence[Step], undated: set[MessageIdentity], untold: set[MessageIdentity]
) -> Procedure[None]:
    """Ask for the dates of messages and record them; add those that have none, and those of which none is told."""
    events: list[Event] = []

    def look(step: Step, header: Header | None) -> None:
        assert step.identity is not None  # noqa: S101 - no others are planned for this
        if header is None:
            untold.add(step.identity)
        elif (dated := received_date(header.start)) is None:
            undated.add(step.identity)
        else:
            events.append(Event(step.identity, MessageState.SKIPPED, run.clock(), step.octets, dated=dated))

    yield from _look_at_headers(run, steps, look)
    yield from run.record(events)


def check(run: FetchRun, steps: Sequence[Step]) -> Procedure[tuple[list[Step], list[Step]]]:
    """Look whether messages are those that are stored under their unique ids, by their headers (TOP).

    Returns:
        Steps for those of which it is uncertain, to be fetched and compared; and those that are the same.

    Raises:
        StorageFailed: the journal cannot be written.
        RemoteProtocolError, ConnectionLost, TimedOut: the session is over. If the server has hung up at one of several
            messages, the next sessions check fewer; else TOP is not sent again in this run.
    """
    uncertain: list[Step] = []
    same: list[Step] = []
    events: list[Event] = []

    def look(step: Step, header: Header | None) -> None:
        stored = None if step.entry is None else step.entry.stored
        if header is None and stored is not None and step.octets == stored.listed and not step.deletes:
            return  # only other messages have raised the doubt: it stays as it is
        if header is None or stored is None or header.digest != stored.header:
            uncertain.append(step)
            return
        same.append(step)
        if step.action is Action.CHECK:  # from now on this is what LIST announces
            events.append(attrs.evolve(stored, listed=step.octets))

    try:
        yield from _look_at_headers(run, steps, look)
    except ConnectionLost:
        if len(steps) > 1:  # it may have been too many; how many were answered is not known: answers may be lost
            run.tops = True
            run.lower_bound(len(steps) // 2)
        raise
    yield from run.record(events)
    return uncertain, same
