"""What is known of the messages of an account: the sum of the events, and what compaction keeps of it."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.results import UniqueId
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.history import MOST_FAILURES, Entry, History
from tests.fetching.events import lives

X = MessageIdentity(UniqueId("x"))


def entry_of(*events: Event | MessageState) -> Entry:
    """What is known after these."""
    entry = History(Event(X, each) if isinstance(each, MessageState) else each for each in events).get(X)
    assert entry is not None
    return entry


STORING = MessageState.STORED, MessageState.JUNK, MessageState.HEADERS

# ----------------------------------------------------------------------------------------------- the sum


@pytest.mark.parametrize("state", [MessageState.STORED, MessageState.JUNK])
def test_what_is_stored_is_here(state):
    entry = entry_of(MessageState.SENDING, state)
    assert entry.is_here
    assert not entry.has_header
    assert entry.stored == Event(X, state)


def test_a_header_is_not_the_message():
    assert not entry_of(MessageState.HEADERS).is_here
    assert entry_of(MessageState.HEADERS).has_header
    assert entry_of(MessageState.HEADERS, MessageState.STORED).is_here
    # What is on the server now under this id may be another message than the one that was stored.
    assert not entry_of(MessageState.STORED, MessageState.HEADERS).is_here


@pytest.mark.parametrize("state", [state for state in MessageState if state not in STORING])
def test_what_is_not_stored_is_not_here(state):
    assert not entry_of(state).is_here
    assert not entry_of(state).has_header


@pytest.mark.parametrize("state", sorted(set(MessageState) - {MessageState.HEADERS, MessageState.FORGOTTEN}, key=str))
def test_what_is_stored_stays_stored(state):
    entry = entry_of(MessageState.STORED, state)
    assert entry.is_here
    assert entry.state is state


def test_what_is_forgotten_is_not_known():
    event = Event(X, MessageState.FORGOTTEN, 2.0)
    assert entry_of(Event(X, MessageState.STORED, 1.0, 3, 4, "z", 5), MessageState.SUSPECT, event) == Entry(event)


@pytest.mark.parametrize("state", MessageState)
def test_what_the_server_lists(state):
    assert entry_of(MessageState.STORED, state).was_listed == (state not in {MessageState.DELETED, MessageState.GONE})
    assert entry_of(state, MessageState.SEEN).was_listed


def test_facts_stay_until_there_are_others():
    first = Event(X, MessageState.STORED, 1.0, 3, 4, "z", 5, "first")
    assert entry_of(first, MessageState.DELETE_SENT).last == Event(X, MessageState.DELETE_SENT, None, 3, 4, "z", 5)
    assert entry_of(first, Event(X, MessageState.STORED, 2.0, 6, 7, "y", 8)).stored == Event(
        X, MessageState.STORED, 2.0, 6, 7, "y", 8
    )
    assert entry_of(first, MessageState.SEEN).stored == first


def test_failures_are_counted_until_it_is_stored():
    assert entry_of(MessageState.SUSPECT).failures == 1
    assert entry_of(MessageState.SUSPECT, MessageState.SKIPPED, MessageState.SUSPECT).failures == 2
    assert entry_of(MessageState.SUSPECT, MessageState.SKIPPED).failures == 1
    for state in (MessageState.STORED, MessageState.JUNK, MessageState.HEADERS, MessageState.FORGOTTEN):
        assert entry_of(MessageState.SUSPECT, state).failures == 0
    assert entry_of(*[MessageState.SUSPECT] * 2 * MOST_FAILURES).failures == MOST_FAILURES


def test_shared_unique_ids():
    history = History(Event(MessageIdentity(UniqueId("x"), copy), MessageState.SEEN) for copy in (1, 3, 2))
    assert history.copies(UniqueId("x")) == 3
    assert history.copies(UniqueId("y")) == 0
    assert len(history) == 3
    assert history.get(X) is None


# --------------------------------------------------------------------------------------------- compaction


def known(history: History) -> tuple[list[Entry], list[int]]:
    return list(history), [history.copies(entry.identity.unique_id) for entry in history]


@given(lives, st.integers(0, 10))
def test_compaction_keeps_all_but_what_is_gone_for_long(events, moment):
    history = History(events)
    gone = {
        entry.identity
        for entry in history
        if entry.state in {MessageState.GONE, MessageState.DELETED}
        and (entry.last.when is None or entry.last.when < moment)
    }
    compacted = history.compacted(forget_before=moment)
    assert known(History(compacted)) == known(History(event for event in events if event.identity not in gone))


@given(lives)
def test_compaction_makes_no_more_of_it(events):
    compacted = History(events).compacted(forget_before=0)
    assert len(compacted) <= len(events)
    assert History(compacted).compacted(forget_before=0) == compacted


def test_a_message_that_always_fails_takes_a_limited_room():
    history = History([Event(X, MessageState.SUSPECT, float(when)) for when in range(10 * MOST_FAILURES)])
    assert len(history.compacted(forget_before=0)) == MOST_FAILURES
