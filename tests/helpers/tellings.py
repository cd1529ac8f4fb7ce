"""Tellings, plans and reports as a fetch makes them."""

from hypothesis import strategies as st

from pop3proto.core.results import UniqueId
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.history import Entry
from pop3proto.fetching.plan import Action, Plan, Step
from pop3proto.fetching.report import Deleted, Noted, Planned, Problem, ProblemKind, Received, Report, Stored, Waiting

# What servers and senders may bring into a line: escapes, bidi controls, octets that were not UTF-8, line ends.
texts = st.text(st.characters(max_codepoint=0x2FFFF), max_size=30) | st.sampled_from(
    ["\x1b[31mred", "\udcff", "a\r\nb", "\u202eexe", '"}', "\x9b2J", ""]
)
identities = st.builds(
    MessageIdentity,
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=70),
    st.integers(0, 3),
)
entries = (
    st.builds(
        lambda identity, state: Entry(Event(identity, state), Event(identity, state)),
        identities,
        st.sampled_from([MessageState.STORED, MessageState.JUNK, MessageState.HEADERS]),
    )
    | st.none()
)
steps = st.builds(
    Step,
    number=st.integers(1, 10**6),
    identity=identities,
    octets=st.none() | st.integers(0, 10**12),
    action=st.sampled_from(Action),
    reason=texts,
    deletes=st.booleans(),
    entry=entries,
)
plans = st.builds(
    Plan,
    st.lists(steps, max_size=8, unique_by=lambda step: step.identity).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
    st.none() | texts,
)
problems = st.builds(Problem, st.sampled_from(ProblemKind), texts, st.none() | identities)
_several = st.lists(identities, max_size=4).map(tuple)
tellings = st.one_of(
    st.builds(Planned, plans),
    st.builds(Received, st.integers(0, 10**9)),
    st.builds(Stored, _several, st.integers(0, 10**9)),
    st.builds(Deleted, _several),
    st.builds(Waiting, st.floats(0, 1e6), texts),
    st.builds(Noted, texts),
    problems,
)
reports = st.builds(
    Report,
    stored=st.lists(identities, max_size=4),
    headers=st.lists(identities, max_size=2),
    deleted=st.lists(identities, max_size=2),
    here=st.integers(0, 10**6),
    skipped=st.integers(0, 10**6),
    octets=st.integers(0, 10**12),
    sessions=st.integers(0, 9),
    problems=st.lists(problems, max_size=4),
    more=st.booleans(),
)


def identity(number: int) -> MessageIdentity:
    return MessageIdentity(UniqueId(f"uid{number}"))


def step(number: int, action: Action = Action.FETCH, reason: str = "new", **options: object) -> Step:
    values: dict[str, object] = {"octets": 1_000, **options}
    return Step(number=number, identity=identity(number), action=action, reason=reason, **values)  # type: ignore[arg-type]


def known(number: int, state: MessageState) -> Entry:
    event = Event(identity(number), state)
    return Entry(event, event)
