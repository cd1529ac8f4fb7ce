"""What to do with each message of a maildrop. Pure: history, listing, policy and time in, plan out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto.core.text import counted

from .events import MessageIdentity, MessageState
from .guards import PLAUSIBLE, lost_ids, renamed_ids, what_is_missing
from .plan import Action, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Collection

    from .history import Entry, History
    from .listing import MaildropListing, Row
    from .policy import Policy

__all__ = ["HELD_BACK", "make_plan"]

IN_DOUBT: Final = "it may have been delivered before a crash"
HELD_BACK: Final = f"{IN_DOUBT}; --on-doubt again delivers it"

_UNDER_WAY: Final = (MessageState.SENDING, MessageState.SUSPECT, MessageState.SEEN)
"""What these were about is another message than the one that was stored under its unique id before."""

_CRLF: Final = 2


def make_plan(  # noqa: PLR0913 - each has its name
    history: History,
    listing: MaildropListing,
    policy: Policy,
    now: float,
    *,
    present: Collection[MessageIdentity] | None = None,
    undated: Collection[MessageIdentity] = (),
    untold: Collection[MessageIdentity] = (),
    older: Collection[MessageIdentity] = (),
    expires: bool = False,
    fresh: bool = False,
    told: Collection[MessageIdentity] = (),
) -> Plan:
    """Return what to do in a session.

    Args:
        history: what is known.
        listing: what the server says.
        policy: what the user wants.
        now: seconds since 1970.
        present: which of the stored messages are still in the destination; None: it cannot tell, or was not asked.
        undated: messages whose header has no date that can be read.
        untold: messages whose header the server does not send.
        older: messages that were not among the newest in an earlier session of this run, though they may be now.
        expires: the server announces that it deletes what was fetched (EXPIRE 0).
        fresh: headers have shown that the messages of which nothing is known are new.
        told: messages of which the user has heard in this run.
    """
    planner = _Planner(
        history,
        listing,
        policy,
        now,
        present=present,
        undated=undated,
        untold=untold,
        older=older,
        expires=expires,
        told=told,
    )
    steps = planner.steps()
    obstacles = [*listing.obstacles, *planner.obstacles]
    notes = list(listing.notes)
    if expires and any(step.action in {Action.FETCH, Action.RETRY} for step in steps):
        notes.append("this server may delete messages once they are fetched (it announces EXPIRE 0)")
    lost = lost_ids(history, listing, policy)
    renamed = None if lost or fresh or expires else renamed_ids(history, listing, policy, steps)
    return Plan(
        tuple(steps),
        tuple(notes),
        tuple(obstacles),
        lost or renamed,
        temporary=lost is not None,
        renamed=renamed is not None,
    )


class _Planner:
    def __init__(  # noqa: PLR0913 - those of `make_plan`
        self,
        history: History,
        listing: MaildropListing,
        policy: Policy,
        now: float,
        *,
        present: Collection[MessageIdentity] | None,
        undated: Collection[MessageIdentity],
        untold: Collection[MessageIdentity],
        older: Collection[MessageIdentity],
        expires: bool,
        told: Collection[MessageIdentity],
    ) -> None:
        self._history = history
        self._listing = listing
        self._policy = policy
        self._now = now
        self._present = present
        self._undated = undated
        self._untold = untold
        self._older = older
        self._expires = expires
        self._told = told
        newest = policy.newest
        self._oldest = 0 if newest is None or len(listing.rows) <= newest else listing.rows[-newest].number
        self._without_date = 0  # of how many messages the date is wanted and cannot be had
        self.obstacles: list[str] = []

    def steps(self) -> list[Step]:
        """Return one for each row."""
        self._refuse_mass_deletion()
        steps = [self._step(row) for row in self._listing.rows]
        if any(step.action is Action.CHECK for step in steps):  # unique ids are given again: any may be another's
            steps = [self._doubted(step) for step in steps]
        if self._policy.only is not None:
            listed = {row.identity.unique_id for row in self._listing.rows if row.identity is not None}
            unknown = sorted(self._policy.only - listed)
            self.obstacles += [f"no message on the server has the unique id {unique_id}" for unique_id in unknown]
        if self._without_date:
            self.obstacles.append(
                f"{counted(self._without_date, 'message')} left on the server: it does not send headers alone (TOP), "
                "so that their dates are unknown"
            )
        return self._without_headers(steps) if self._expires else steps

    def _without_headers(self, steps: list[Step]) -> list[Step]:
        """Leave messages of which the header alone was wanted: to ask for it may count as fetching the message."""
        wanted = (Action.HEADERS, Action.DATE)
        if left := sum(step.action in wanted for step in steps):
            self.obstacles.append(
                f"{counted(left, 'message')} left on the server: it may delete a message of which the header was "
                "fetched (it announces EXPIRE 0); --max-size without --headers-only leaves large ones"
            )
        why = "its header alone was wanted"
        return [attrs.evolve(step, action=Action.SKIP, reason=why) if step.action in wanted else step for step in steps]

    def _refuse_mass_deletion(self) -> None:
        """Take nothing for deleted in the destination if all of it is gone there: it may not be mounted."""
        if not self._policy.when_gone or self._present is None:
            return
        stored = [each for row in self._listing.rows if (each := self._entry(row)) is not None and each.is_here]
        if len(stored) > PLAUSIBLE and not any(entry.identity in self._present for entry in stored):
            self._present = None
            self.obstacles.append(
                f"none of the {len(stored):,} messages that were stored is in the destination any more: it may be the "
                "wrong one, or not mounted, so nothing is deleted on the server for that reason"
            )

    def _step(self, row: Row) -> Step:
        action, reason = self._decision(row, entry := self._entry(row))
        deletes = False
        if action in {Action.FETCH, Action.RETRY}:
            deletes = self._policy.deletes_at_once
        elif action in {Action.CHECK, Action.DELETE}:
            deletes = row.identity is not None and entry is not None and self._is_due(row.identity, entry) is not None
        return Step(row.number, row.identity, row.octets, action, reason, deletes, entry)

    def _entry(self, row: Row) -> Entry | None:
        """Return what is known of a message.

        If several messages share a unique id now and one message had it before, that one is taken to be the first. If
        one message has a unique id now that several shared before, it may be any of them: it counts as stored only if
        all of them are.
        """
        identity, history = row.identity, self._history
        if identity is None:
            return None
        if (entry := history.get(identity)) is not None and entry.state is not MessageState.SEEN:
            return entry
        if identity.copy == 1:
            return history.get(MessageIdentity(identity.unique_id))
        if not identity.copy and (copies := history.copies(identity.unique_id)):
            those = [history.get(MessageIdentity(identity.unique_id, copy)) for copy in range(1, copies + 1)]
            if all(each is not None and each.is_here for each in those):
                return those[0]
        return entry

    def _decision(self, row: Row, entry: Entry | None) -> tuple[Action, str]:
        policy, identity = self._policy, row.identity
        if policy.only is not None and (identity is None or identity.unique_id not in policy.only):
            return Action.KEEP if entry is not None and entry.is_here else Action.SKIP, "it was not asked for"
        if identity is None or entry is None:
            return self._decision_for_new(row, entry)
        if policy.again and entry.stored is not None:
            action, reason = self._decision_for_new(row, entry)
            return action, "it is stored, and to be fetched again" if action is Action.FETCH else reason
        if entry.is_here and entry.state not in _UNDER_WAY:
            return self._decision_for_stored(row, identity, entry)
        if entry.has_header and entry.state not in _UNDER_WAY and not self._completes(identity):
            if _has_another_size(row, entry):
                return Action.CHECK, "its header is stored, but LIST announces another size now"
            return Action.KEEP, "its header is stored"
        return self._decision_for_rest(row, entry)

    def _decision_for_rest(self, row: Row, entry: Entry) -> tuple[Action, str]:
        """Decide on a message of which something is known, and which is not stored whole."""
        in_doubt = entry.state is MessageState.SENDING
        if in_doubt and self._policy.on_doubt == "hold":
            self.obstacles.append(f"message {row.number} stays on the server: {HELD_BACK}")
            return Action.SKIP, IN_DOUBT
        if entry.state is MessageState.SUSPECT or (in_doubt and entry.failures):
            if self._pauses(row, entry):
                return Action.SKIP, "it failed before, and is tried again later"
            return Action.RETRY, f"it failed before: {entry.last.why}" if entry.last.why else "it failed before"
        if entry.has_header and entry.state not in _UNDER_WAY:
            return Action.FETCH, "its header is stored, and the rest was asked for"
        if in_doubt:
            return Action.FETCH, f"{IN_DOUBT}, and is delivered again"
        return self._decision_for_new(row, entry)

    def _completes(self, identity: MessageIdentity) -> bool:
        complete = self._policy.complete
        return complete if isinstance(complete, bool) else identity.unique_id in complete

    def _decision_for_new(self, row: Row, entry: Entry | None) -> tuple[Action, str]:
        policy = self._policy
        if row.number < self._oldest or row.identity in self._older:
            return Action.SKIP, f"not among the newest {policy.newest:,}"
        if policy.since is not None and row.identity is not None and row.identity not in self._undated:
            dated = None if entry is None else entry.last.dated
            if dated is None and row.identity in self._untold:
                self._without_date += 1
                return Action.SKIP, "its date is unknown"
            if dated is None:
                return Action.DATE, "its date decides"
            if dated < policy.since:
                return Action.SKIP, "received before the date that was given"
        if policy.max_octets is not None and row.octets is not None and row.octets > policy.max_octets:
            if policy.too_large == "headers" and row.identity is not None:
                return Action.HEADERS, f"larger than {policy.max_octets:,} octets"
            return Action.SKIP, f"larger than {policy.max_octets:,} octets"
        if policy.headers_only and row.identity is not None:
            return Action.HEADERS, "new"
        return (
            Action.FETCH,
            "new" if row.identity is not None else "without a unique id",
        )

    def _decision_for_stored(self, row: Row, identity: MessageIdentity, entry: Entry) -> tuple[Action, str]:
        if entry.identity != identity and (not entry.was_listed or _has_another_size(row, entry)):
            return self._decision_for_new(row, None)
        if entry.state is MessageState.DELETED:
            return Action.CHECK, "it was deleted, and its unique id is here again"
        if entry.state is MessageState.GONE:
            return Action.CHECK, "it was gone, and its unique id is here again"
        if _has_another_size(row, entry):
            return Action.CHECK, "LIST announces another size than before"
        if identity.copy or entry.identity != identity:
            return Action.KEEP, "it is stored, but other messages have its unique id"
        why = self._is_due(identity, entry)
        if why is None:
            missing = _missing(entry)
            return Action.KEEP, "it is stored" if missing is None else f"it is stored, but {missing}"
        if entry.state is MessageState.HELD and self._pauses(row, entry):
            return Action.KEEP, "deleting it failed before, and is tried again later"
        if row.octets is None or entry.stored is None or entry.stored.listed is None:
            return Action.CHECK, f"{why}, but its size is unknown"
        return Action.DELETE, why

    def _pauses(self, row: Row, entry: Entry) -> bool:
        """Return whether it is too early to try again what has failed; then the user is told."""
        last, pauses, policy = entry.last, self._policy.pauses, self._policy
        if last.when is None or not entry.failures or not pauses or policy.only is not None:
            return False
        pause = pauses[min(entry.failures, len(pauses)) - 1]
        seconds = min(last.when + pause - self._now, pause)  # the clock may have been ahead
        if seconds <= 0:
            return False
        if entry.identity in self._told:
            return True
        failed = "once" if entry.failures == 1 else f"{entry.failures} times"
        did = "cannot be deleted on" if entry.state is MessageState.HELD else "stays on"
        self.obstacles.append(
            f"message {row.number} {did} the server: {last.why or 'it failed before'} (failed {failed}; "
            f"tried again in {_words(seconds)})"
        )
        return True

    def _is_due(self, identity: MessageIdentity, entry: Entry) -> str | None:
        """Return why a message that is stored is to be deleted on the server; None: it is not."""
        policy, stored = self._policy, entry.stored
        if identity.copy or entry.identity != identity or stored is None or not entry.is_here or _missing(entry):
            return None
        if policy.when_gone and self._present is not None and identity not in self._present:
            return "it is gone from the destination"
        if policy.delete_after is None:
            return None
        if policy.delete_after == 0:
            return "it is stored"
        if stored.when is not None and self._now - stored.when >= policy.delete_after:
            return "it has been stored long enough"
        return None

    def _doubted(self, step: Step) -> Step:
        """Return the step for a message in a maildrop where some unique ids are given to other messages."""
        entry = step.entry
        if step.action not in {Action.KEEP, Action.DELETE} or entry is None or entry.identity != step.identity:
            return step
        if entry.stored is None or entry.stored.header is None or self._policy.only is not None:
            return step
        return attrs.evolve(step, action=Action.CHECK, reason="other unique ids seem to have been given again")


def _missing(entry: Entry) -> str | None:
    stored = entry.stored
    return None if stored is None else what_is_missing(stored.listed, stored.octets, stored.dots)


def _has_another_size(row: Row, entry: Entry) -> bool:
    """Return whether LIST announces another size than when the message was stored.

    Announced sizes are compared with each other: many servers estimate them.
    """
    stored = entry.stored
    if stored is None or row.octets is None:
        return False
    if stored.listed is not None:
        return stored.listed != row.octets
    # What was announced then is not known, but what came. Some servers do not count the CRLF that they add at the end.
    return stored.octets is not None and stored.octets - row.octets not in {0, _CRLF}


def _words(seconds: float) -> str:
    if seconds < 2 * 3600:
        return counted(math.ceil(seconds / 60), "minute")
    return counted(round(seconds / 3600), "hour")
