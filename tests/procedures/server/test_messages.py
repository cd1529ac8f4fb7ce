"""How messages are read from a store: whole, in few calls, and never more ahead than is said."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import LocalProtocolError
from pop3proto.procedures.maildrop import MessageStream, Refused
from pop3proto.procedures.operations import Run
from pop3proto.procedures.server import messages as reader_module
from pop3proto.procedures.server.messages import MessageReader
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.drivers import Actor, FakeMaildrop, FakeStore, Source

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


# --------------------------------------------------------------------------------------------------- TOP


def top(reader: MessageReader, number: int, lines: int) -> tuple[bytes, int]:
    """The top of a message, and in how many calls of the store it was read."""
    actor = Actor(reader.begin(number, lines)).go()
    piece, message = actor.outcome()
    assert message is None
    return piece, sum(isinstance(operation, Run) for operation in actor.performed)


LARGE = b"A: b\n\n" + b"x" * 99 + b"\n" + b"y" * 1_000_000


def test_top_reads_little_of_a_large_message():
    store = FakeStore(LARGE)
    assert top(reader_of(store), 1, 1) == (LARGE[:106], 1)
    [source] = store.sources
    assert source.closings == 1
    assert source.was_read <= reader_module.TOP_PIECE


def test_tops_one_after_the_other_are_read_ahead():
    store = FakeStore(*[LARGE] * 12)
    reader = reader_of(store)
    calls = [top(reader, number, 0)[1] for number in range(1, 13)]
    assert calls[:2] == [1, 1]
    assert sum(calls) < 6
    assert all(source.closings == 1 for source in store.sources)
    assert len(store.sources) == 12, "each was opened once"
    assert sum(source.was_read for source in store.sources) <= 12 * reader_module.TOP_PIECE


def test_what_was_read_ahead_for_top_is_not_taken_for_a_message():
    store = FakeStore(*[b"A: b\n\n1\n2\n"] * 6)
    reader = reader_of(store)
    for number in (1, 2):
        assert top(reader, number, 0)[0] == b"A: b\n\n"
    assert top(reader, 3, 1)[0] == b"A: b\n\n1\n"
    assert read(reader, 4)[0] == b"A: b\n\n1\n2\n"


# ------------------------------------------------------------------------------------- what a maildrop may have


class WithTop(FakeMaildrop):
    """It can read the top of a message; it returns one line more than it must."""

    def top(self, number: int, lines: int) -> MessageStream:
        self._store.note(f"top {number} {lines}")
        header, _, body = self._octets[number - 1].partition(b"\n\n")
        part = header + b"\n\n" + b"".join(body.splitlines(keepends=True)[: lines + 1])
        self.sources.append(Source(part, None, OSError()))
        return self.sources[-1]


class WithOpenMany(FakeMaildrop):
    """It opens several messages in one call, but not more than `most`."""

    most = 100

    def open_many(self, numbers: Sequence[int]) -> Sequence[MessageStream]:
        self._store.note(f"open many {len(numbers)}")
        return [self.open(number) for number in numbers[: self.most]]


def reader_over(kind: type[FakeMaildrop], store: FakeStore) -> MessageReader:
    store.locked = True
    return MessageReader(kind(store), set(), blocks=store.blocks)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_maildrop_that_has_top_is_asked_for_it(blocks):
    store = FakeStore(b"A: b\n\n1\n2\n3\n", blocks=blocks)
    reader = reader_over(WithTop, store)
    assert top(reader, 1, 1)[0] == b"A: b\n\n1\n"
    assert read(reader, 1)[0] == b"A: b\n\n1\n2\n3\n"
    assert store.log == ["top 1 1", "open 1"]


@pytest.mark.parametrize("blocks", [True, False])
def test_a_maildrop_that_opens_many_is_asked_once(blocks):
    store = FakeStore(*SMALL, blocks=blocks)
    maildrop_reader = reader_over(WithOpenMany, store)
    assert [read(maildrop_reader, number)[0] for number in range(1, 9)] == SMALL
    assert store.log == ["open 1", "open many 7", *(f"open {number}" for number in range(2, 9))]


@pytest.mark.parametrize("most", [1, 3])
def test_a_maildrop_may_open_fewer_than_it_is_asked_for(most, monkeypatch):
    monkeypatch.setattr(WithOpenMany, "most", most)
    store = FakeStore(*SMALL)
    reader = reader_over(WithOpenMany, store)
    assert [read(reader, number)[0] for number in range(1, 9)] == SMALL
    assert store.log.count("open 5") == 1


def test_a_message_that_opens_with_others_and_cannot_be_read_is_refused_alone():
    store = FakeStore(*SMALL)
    store.breaks_at[4] = 0
    reader = reader_over(WithOpenMany, store)
    for number in (1, 2, 3):
        assert read(reader, number)[0] == SMALL[number - 1]
    assert isinstance(Actor(reader.begin(4)).go().error, Refused)
    assert read(reader, 5)[0] == SMALL[4]
    [opened] = {id(reader._maildrop): reader._maildrop}.values()
    assert all(source.closings == 1 for source in opened.sources)


def test_a_maildrop_that_opens_none_is_at_fault(monkeypatch):
    monkeypatch.setattr(WithOpenMany, "most", 0)
    reader = reader_over(WithOpenMany, FakeStore(*SMALL))
    read(reader, 1)
    with pytest.raises(LocalProtocolError, match="open_many"):
        Actor(reader.begin(2)).go().outcome()
