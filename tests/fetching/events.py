"""What hypothesis draws from: events of a fetch."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pop3proto.core.results import UniqueId
from pop3proto.fetching.events import Event, MessageIdentity, MessageState

_LATEST = 253_402_300_799  # the last second of year 9999
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

_ids = st.one_of(
    st.sampled_from(["1", "QhdPYR:00WBw1Ph7x7", "stored", "sha256:" + "0" * 64, "a=b", "%41"]),
    st.text(_VISIBLE, min_size=1, max_size=100),
    st.text(min_size=1),
    st.binary(min_size=1, max_size=9).map(lambda octets: octets.decode("utf-8", "surrogateescape")),
)
_numbers = st.none() | st.integers(0, 10**20)
_texts = st.text() | st.binary(max_size=20).map(lambda octets: octets.decode("utf-8", "surrogateescape"))

identities: SearchStrategy[MessageIdentity] = st.builds(MessageIdentity, _ids.map(UniqueId), st.integers(0, 3))

events: SearchStrategy[Event] = st.builds(
    Event,
    identities,
    st.sampled_from(MessageState),
    when=st.none() | st.integers(-62_135_596_800, _LATEST).map(float),
    listed=_numbers,
    octets=_numbers,
    header=st.none() | st.just("Zk3+/=") | _texts,
    dated=st.none() | st.integers(),
    why=_texts,
    dots=st.just(0) | st.integers(0, 10**6),
)
"""Any events with a date in whole seconds."""

few_identities: SearchStrategy[MessageIdentity] = st.builds(
    MessageIdentity, st.sampled_from(["a", "b"]).map(UniqueId), st.integers(0, 2)
)
lives: SearchStrategy[list[Event]] = st.lists(
    st.builds(
        Event,
        few_identities,
        st.sampled_from(MessageState),
        when=st.none() | st.integers(0, 9).map(float),
        listed=st.none() | st.integers(0, 3),
        octets=st.none() | st.integers(0, 3),
        header=st.none() | st.sampled_from("xy"),
        dated=st.none() | st.integers(0, 3),
        why=st.sampled_from(["", "because"]),
        dots=st.sampled_from([0, 0, 1]),
    ),
    max_size=30,
)
"""Many events of few messages, at 0 to 9 seconds, in any order of time."""
