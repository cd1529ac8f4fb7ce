"""How messages are read from a store: whole, in few calls, and never more ahead than is said."""

from typing import Any

from hypothesis import given, strategies as st

from pop3proto.procedures.maildrop import Refused
from pop3proto.procedures.operations import Run
from pop3proto.procedures.server import messages as reader_module
from pop3proto.procedures.server.messages import MessageReader
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.drivers import Actor, FakeStore

SMALL = [b"Subject: %d\n\n" % number for number in range(1, 9)]


def reader_of(store: FakeStore, deleted: set[int] | None = None) -> MessageReader:
    return MessageReader(store.open("ann", SessionInfo()), deleted or set(), blocks=store.blocks)


def read(reader: MessageReader, number: int) -> tuple[bytes, int]:
    """A message, and in how many calls of the store it was read."""
    calls = 0

    def perform(procedure: Any) -> Any:
        nonlocal calls
        actor = Actor(procedure).go()
        calls += sum(isinstance(operation, Run) for operation in actor.performed)
        return actor.outcome()

    piece, source = perform(reader.begin(number))
    pieces = [piece]
    while source is not None:
        piece, source = perform(reader.go_on(source))
        pieces.append(piece)
    return b"".join(pieces), calls


@given(
    sizes=st.lists(st.sampled_from([0, 1, 30_000, 70_000, 140_000]), min_size=1, max_size=8),
    blocks=st.booleans(),
    data=st.data(),
)
def test_every_message_is_read_as_it_is_in_any_order(sizes, blocks, data):
    messages = [bytes([48 + number]) * size for number, size in enumerate(sizes)]
    store = FakeStore(*messages, blocks=blocks)
    deleted: set[int] = set()
    reader = reader_of(store, deleted)
    for number in data.draw(st.lists(st.integers(1, len(messages)), max_size=20)):
        if number not in deleted:
            assert read(reader, number)[0] == messages[number - 1]
            if data.draw(st.booleans()):
                deleted.add(number)
    assert all(source.closings == 1 for source in store.sources)


def test_one_after_the_other_takes_few_calls():
    store = FakeStore(*SMALL)
    reader = reader_of(store)
    calls = [read(reader, number) for number in range(1, 9)]
    assert calls == [(message, count) for message, count in zip(SMALL, [1, 1, 0, 0, 0, 0, 0, 0], strict=True)]
    assert store.log == ["open", *(f"open {number}" for number in range(1, 9))]  # each of them once


def test_nothing_is_read_ahead_for_a_client_that_picks():
    store = FakeStore(*SMALL)
    reader = reader_of(store)
    for number in (1, 3, 5, 7, 6):
        assert read(reader, number) == (SMALL[number - 1], 1)
    assert store.log == ["open", "open 1", "open 3", "open 5", "open 7", "open 6"]


def test_a_store_that_does_not_block_is_not_read_ahead():
    store = FakeStore(*SMALL, blocks=False)
    reader = reader_of(store)
    assert [read(reader, number)[1] for number in (1, 2)] == [0, 0]
    assert store.log == ["open", "open 1", "open 2"]


def test_what_is_deleted_is_not_read():
    store = FakeStore(*SMALL)
    reader = reader_of(store, {4})
    for number in (1, 2, 3, 5):
        assert read(reader, number)[0] == SMALL[number - 1]
    assert "open 4" not in store.log


def test_no_more_is_read_ahead_than_is_said():
    half = b"x" * (reader_module._AHEAD // 2)
    store = FakeStore(*[half] * 6)
    reader = reader_of(store)
    read(reader, 1)
    read(reader, 2)
    # Each has a line end more than that, so only one fits.
    assert store.log == ["open", "open 1", "open 2", "open 3"]


def test_a_message_that_is_larger_than_announced_is_not_kept(monkeypatch):
    monkeypatch.setattr(reader_module, "PIECE", 100)
    store = FakeStore(b"1\n", b"2\n", b"3" * 1_000, b"4\n")
    store.announced[3] = 5
    reader = reader_of(store)
    for number in (1, 2, 3):
        assert read(reader, number)[0] == store.contents[number]
    assert [source.closings for source in store.sources] == [1, 1, 1, 1]  # the third was opened twice


def test_a_failure_ahead_is_told_when_that_message_is_asked_for():
    store = FakeStore(*SMALL)
    reader = reader_of(store)
    for failure in (Refused("it is locked"), RuntimeError("a fault")):
        store.failures["open 3"] = failure
        assert read(reader, 1)[0] == SMALL[0]
        assert read(reader, 2)[0] == SMALL[1]
        actor = Actor(reader.begin(3)).go()
        assert actor.error is failure
    del store.failures["open 3"]
    assert read(reader, 3)[0] == SMALL[2]
