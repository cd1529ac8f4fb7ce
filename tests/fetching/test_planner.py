"""The plan of a session: history, listing, policy and time in, one step a message out."""

from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.results import MaildropStatus, ScanListing, UniqueId, UniqueIdListing
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.guards import DIGEST_PREFIX
from pop3proto.fetching.history import History
from pop3proto.fetching.listing import MaildropListing
from pop3proto.fetching.plan import Action, Plan
from pop3proto.fetching.planner import HELD_BACK, make_plan
from pop3proto.fetching.policy import DAY, Policy

NOW = 1_800_000_000.0
KEEP = Policy()
AT_ONCE = Policy(delete_after=0)


def listing(*rows: tuple[str, int | None]) -> MaildropListing:
    ids = {number: UniqueId(uid) for number, (uid, _) in enumerate(rows, 1)}
    sizes = {number: octets for number, (_, octets) in enumerate(rows, 1) if octets is not None}
    status = MaildropStatus(len(rows), sum(sizes.values()))
    return MaildropListing.of(UniqueIdListing(ids), ScanListing(sizes), status)


def event(uid: str, state: MessageState, copy: int = 0, **facts: Any) -> Event:
    return Event(MessageIdentity(UniqueId(uid), copy), state, **{"when": NOW - DAY, **facts})


def stored(uid: str, copy: int = 0, **facts: Any) -> Event:
    return event(uid, MessageState.STORED, copy, **{"listed": 100, "octets": 100, "header": "h", **facts})


def plan(events: list[Event], rows: MaildropListing, policy: Policy = KEEP, **more: Any) -> Plan:
    return make_plan(History(events), rows, policy, NOW, **more)


def actions(*args: Any, **more: Any) -> list[Action]:
    return [step.action for step in plan(*args, **more).steps]


def test_new_messages_are_fetched_and_stored_ones_are_kept():
    made = plan([stored("a")], listing(("a", 100), ("b", 100)))
    assert [(step.number, step.action, step.reason, step.deletes) for step in made.steps] == [
        (1, Action.KEEP, "it is stored", False),
        (2, Action.FETCH, "new", False),
    ]


def test_with_delete_new_messages_go_in_the_same_session_and_stored_ones_are_made_sure_of():
    made = plan([stored("a")], listing(("a", 100), ("b", 100)), AT_ONCE)
    assert [(step.action, step.deletes) for step in made.steps] == [(Action.DELETE, True), (Action.FETCH, True)]


@pytest.mark.parametrize("age, action", [(14 * DAY, Action.DELETE), (14 * DAY - 1, Action.KEEP)])
def test_deletion_counts_from_when_a_message_was_stored(age, action):
    policy = Policy(delete_after=14 * DAY)
    assert actions([stored("a", when=NOW - age)], listing(("a", 100)), policy) == [action]
    assert actions([], listing(("a", 100)), policy) == [Action.FETCH]
    assert not plan([], listing(("a", 100)), policy).steps[0].deletes


def test_without_a_date_a_message_has_not_been_stored_long_enough():
    events = [stored("a", when=None)]
    assert actions(events, listing(("a", 100)), Policy(delete_after=DAY)) == [Action.KEEP]
    assert actions(events, listing(("a", 100)), AT_ONCE) == [Action.DELETE]


@pytest.mark.parametrize(
    "events",
    [
        [stored("a", listed=99)],
        [stored("a"), event("a", MessageState.DELETED)],
        [stored("a"), event("a", MessageState.GONE)],
    ],
)
def test_an_id_that_may_have_been_given_again_is_looked_at(events):
    assert actions(events, listing(("a", 100))) == [Action.CHECK]
    # ... and so are all others of which something to compare is known.
    others = [stored("b"), stored("c", header=None), *events]
    assert actions(others, listing(("a", 100), ("b", 100), ("c", 100))) == [Action.CHECK, Action.CHECK, Action.KEEP]


def test_what_was_received_is_not_compared_with_what_is_announced():
    assert actions([stored("a", listed=1024, octets=700)], listing(("a", 1024)), AT_ONCE) == [Action.DELETE]


@pytest.mark.parametrize("noted", [None, 100])
def test_nothing_is_deleted_for_its_id_alone(noted):
    octets = 100 if noted is None else None
    assert actions([stored("a", listed=noted)], listing(("a", octets)), AT_ONCE) == [Action.CHECK]


def test_messages_that_share_an_id_are_never_deleted_later():
    rows = listing(("a", 100), ("a", 100), ("b", 100))
    assert actions([stored("a", 1), stored("a", 2), stored("b")], rows, AT_ONCE) == [
        Action.KEEP,
        Action.KEEP,
        Action.DELETE,
    ]


def test_one_message_had_an_id_that_two_have_now():
    assert actions([stored("a")], listing(("a", 100), ("a", 100)), AT_ONCE) == [Action.KEEP, Action.FETCH]


@pytest.mark.parametrize("copies, action", [([1], Action.FETCH), ([1, 2], Action.KEEP)])
def test_two_messages_had_an_id_that_one_has_now(copies, action):
    seen = [event("a", MessageState.SEEN, 1), event("a", MessageState.SEEN, 2)]
    assert actions([*seen, *(stored("a", copy) for copy in copies)], listing(("a", 100)), AT_ONCE) == [action]


@pytest.mark.parametrize(
    "state, action",
    [
        (MessageState.SEEN, Action.FETCH),
        (MessageState.SKIPPED, Action.FETCH),
        (MessageState.FORGOTTEN, Action.FETCH),
        (MessageState.SUSPECT, Action.RETRY),
        (MessageState.SENDING, Action.FETCH),
        (MessageState.HEADERS, Action.KEEP),
        (MessageState.JUNK, Action.KEEP),
        (MessageState.STORED, Action.KEEP),
    ],
)
def test_every_state(state, action):
    assert actions([event("a", state, listed=100)], listing(("a", 100))) == [action]


@pytest.mark.parametrize("state", [MessageState.HELD, MessageState.DELETE_SENT])
def test_a_deletion_that_was_not_carried_out_is_tried_again(state):
    events = [stored("a"), event("a", state)]
    assert actions(events, listing(("a", 100)), AT_ONCE) == [Action.DELETE]
    assert actions(events, listing(("a", 100))) == [Action.KEEP]


def test_what_was_forgotten_is_fetched_although_it_was_stored():
    assert actions([stored("a"), event("a", MessageState.FORGOTTEN)], listing(("a", 100))) == [Action.FETCH]


@pytest.mark.parametrize("failures, pause", [(1, 300), (2, 1_800), (5, DAY), (9, DAY)])
def test_a_message_that_failed_waits_for_its_next_try_and_is_told(failures, pause):
    def made(since: float, policy: Policy = KEEP) -> Plan:
        return plan(
            [event("a", MessageState.SUSPECT, when=NOW - since, why="lost")] * failures, listing(("a", 1)), policy
        )

    assert made(pause).of(Action.RETRY)
    assert not made(pause).obstacles
    assert made(pause - 1).of(Action.SKIP)
    [told] = made(pause - 1).obstacles
    assert told.startswith("message 1 stays on the server: lost (failed ")
    assert "tried again in " in told
    assert made(0, Policy(only=frozenset({"a"}))).of(Action.RETRY), "it was asked for"


def test_a_message_without_a_unique_id_was_not_asked_for():
    rows = MaildropListing.of(None, ScanListing({1: 100}), MaildropStatus(1, 100))
    made = plan([], rows, Policy(only=frozenset(["a"]), again=True, delete_after=0))
    assert [(step.action, step.deletes) for step in made.steps] == [(Action.SKIP, False)]


@pytest.mark.parametrize("before", [[], [event("a", MessageState.HEADERS)]])
def test_a_message_in_doubt_may_be_held(before):
    policy = Policy(on_doubt="hold", complete=True)
    made = plan([*before, event("a", MessageState.SENDING)], listing(("a", 100)), policy)
    assert [(step.action, step.reason) for step in made.steps] == [
        (Action.SKIP, "it may have been delivered before a crash")
    ]
    assert made.obstacles == (f"message 1 stays on the server: {HELD_BACK}",)


@pytest.mark.parametrize(
    "policy, action",
    [
        (Policy(max_octets=100), Action.FETCH),
        (Policy(max_octets=99), Action.SKIP),
        (Policy(max_octets=99, too_large="headers"), Action.HEADERS),
        (Policy(headers_only=True), Action.HEADERS),
        (Policy(newest=1), Action.FETCH),
        (Policy(only=frozenset({"b"})), Action.SKIP),
    ],
)
def test_policies_for_new_messages(policy, action):
    assert actions([], listing(("a", 100)), policy) == [action]


def test_the_newest_are_those_at_the_end_of_the_maildrop():
    rows = listing(("a", 1), ("b", 1), ("c", 1))
    assert actions([], rows, Policy(newest=2)) == [Action.SKIP, Action.FETCH, Action.FETCH]
    assert actions([], rows, Policy(newest=9)) == [Action.FETCH] * 3


def test_a_size_that_is_not_known_is_no_reason_to_skip():
    assert actions([], listing(("a", None)), Policy(max_octets=1)) == [Action.FETCH]


def test_the_date_decides_once_it_is_known():
    policy = Policy(since=NOW)
    old, new = (event(uid, MessageState.SKIPPED, dated=int(NOW) + more) for uid, more in (("old", -1), ("new", 0)))
    rows = listing(("old", 1), ("new", 1), ("unknown", 1), ("without", 1))
    without = {MessageIdentity(UniqueId("without"))}
    assert actions([old, new], rows, policy, undated=without) == [
        Action.SKIP,
        Action.FETCH,
        Action.DATE,
        Action.FETCH,
    ]


@pytest.mark.parametrize(
    "complete, action",
    [(False, Action.KEEP), (True, Action.FETCH), (frozenset({"a"}), Action.FETCH), (frozenset({"b"}), Action.KEEP)],
)
def test_the_rest_of_a_message_is_fetched_when_it_is_asked_for(complete, action):
    assert actions([event("a", MessageState.HEADERS, listed=100)], listing(("a", 100)), Policy(complete=complete)) == [
        action
    ]


def test_a_message_of_which_the_header_is_stored_is_never_deleted():
    made = plan([event("a", MessageState.HEADERS, listed=100)], listing(("a", 100)), AT_ONCE)
    assert [(step.action, step.deletes) for step in made.steps] == [(Action.KEEP, False)]


def test_again_fetches_what_is_stored():
    assert actions([stored("a")], listing(("a", 100)), Policy(again=True)) == [Action.FETCH]


# ------------------------------------------------------------------------------------------ gone locally

GONE = Policy(when_gone=True)


def test_what_is_gone_from_the_destination_is_deleted():
    events, rows = [stored("a"), stored("b")], listing(("a", 100), ("b", 100))
    present = {MessageIdentity(UniqueId("a"))}
    assert actions(events, rows, GONE, present=present) == [Action.KEEP, Action.DELETE]
    assert actions(events, rows, GONE, present=None) == [Action.KEEP, Action.KEEP]


def test_a_destination_that_has_lost_everything_deletes_nothing():
    few, many = ([(f"{n}", 100) for n in range(count)] for count in (10, 11))
    assert set(actions([stored(uid) for uid, _ in few], listing(*few), GONE, present=set())) == {Action.DELETE}
    made = plan([stored(uid) for uid, _ in many], listing(*many), GONE, present=set())
    assert {step.action for step in made.steps} == {Action.KEEP}
    assert "none of the 11 messages" in made.obstacles[0]


# ------------------------------------------------------------------------------------------ reasons to stop


def test_all_unique_ids_have_changed():
    events = [stored(f"old-{number}") for number in range(11)]
    rows = listing(*((f"new-{number}", 100) for number in range(11)))
    assert "may have changed" in (plan(events, rows).stop or "")
    assert plan(events, rows, Policy(again=True)).stop is None
    assert plan(events[1:], rows).stop is None  # so few may be gone
    assert plan([*events, stored("new-3")], rows).stop is None
    gone = [attrs.evolve(each, state=MessageState.GONE) for each in events]
    assert plan([*events, *gone], rows).stop is None


def test_unique_ids_are_missed_where_they_were_known():
    rows = MaildropListing.of(None, ScanListing({1: 100}), MaildropStatus(1, 100))
    made = plan([stored("a")], rows)
    assert "which it had before" in (made.stop or "")
    assert made.temporary
    assert plan([stored(DIGEST_PREFIX + "0")], rows).stop is None


def test_headers_alone_are_not_fetched_from_a_server_that_deletes_by_itself():
    rows = listing(("small", 100), ("large", 200))
    made = plan([], rows, Policy(max_octets=100, too_large="headers"), expires=True)
    assert [step.action for step in made.steps] == [Action.FETCH, Action.SKIP]
    assert "1 message left on the server" in made.obstacles[0]
    assert "EXPIRE 0" in made.notes[0]
    assert actions([], rows, Policy(headers_only=True), expires=True) == [Action.SKIP, Action.SKIP]


# ------------------------------------------------------------------------------------------ laws

IDS = st.sampled_from(["a", "b", "c"])
EVENTS = st.lists(
    st.builds(
        lambda uid, state, copy, facts: event(uid, state, copy, **facts),
        IDS,
        st.sampled_from(MessageState),
        st.integers(0, 2),
        st.fixed_dictionaries(
            {
                "listed": st.sampled_from([None, 100, 101]),
                "octets": st.sampled_from([None, 100]),
                "header": st.sampled_from([None, "h"]),
                "when": st.sampled_from([None, NOW - 30 * DAY, NOW]),
            }
        ),
    ),
    max_size=8,
)
ROWS = st.lists(st.tuples(IDS, st.sampled_from([None, 100, 101])), max_size=4)
POLICIES = st.builds(
    Policy,
    delete_after=st.sampled_from([None, 0, DAY]),
    when_gone=st.booleans(),
    max_octets=st.sampled_from([None, 100]),
    too_large=st.sampled_from(["skip", "headers"]),
    headers_only=st.booleans(),
    complete=st.sampled_from([False, True, frozenset({"a"})]),
    newest=st.sampled_from([None, 1]),
    since=st.sampled_from([None, NOW - DAY]),
    only=st.sampled_from([None, frozenset({"a"})]),
    again=st.booleans(),
    on_doubt=st.sampled_from(["again", "hold"]),
)


@given(EVENTS, ROWS, POLICIES, st.sampled_from([None, set[MessageIdentity]()]))
def test_laws(events, rows, policy, present):
    maildrop = listing(*rows)
    made = make_plan(History(events), maildrop, policy, NOW, present=present)
    assert [step.number for step in made.steps] == [row.number for row in maildrop.rows]  # none is left out
    for step in made.steps:
        here = step.entry is not None and step.entry.is_here
        if step.deletes:
            # Deleted is only what is fetched now, or stored whole and made sure of.
            assert policy.deletes
            assert step.action in {Action.FETCH, Action.RETRY} or (
                here and step.action in {Action.CHECK, Action.DELETE} and step.identity == step.entry.identity
            )
        if step.action is Action.DELETE:
            assert step.deletes
            assert step.octets == step.entry.stored.listed is not None
        if step.action is Action.FETCH and here:
            assert policy.again
