"""What every store keeps to, whatever it keeps mail in."""

import io
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.dots import BodyDecoder, BodyEncoder
from pop3proto.core.replies import ResponseCode
from pop3proto.core.results import check_unique_id
from pop3proto.maildrops import MaildirStore, MemoryStore
from pop3proto.procedures.maildrop import InUse, Maildrop, MaildropStore, Message, Refused, wire_size, wire_size_of
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.strategies import messages

NASTY = {
    "nothing": b"",
    "a line end": b"\n",
    "LF": b"From: a\n\nb\n",
    "CRLF": b"From: a\r\n\r\nb\r\n",
    "mixed": b"From: a\r\n\nb\n\r\n",
    "no line end at the end": b"From: a\n\nb",
    "a header without body": b"From: a\n",
    "a dot to begin with": b".hidden\n",
    "a lone dot": b"a\n.\nb\n",
    "the end of a body": b"a\r\n.\r\nb",
    "CR to end with": b"a\r",
    "CRs to end with": b"a\n\r\r",
    "CR CR LF": b"a\r\r\nb\r\n",
    "NUL": b"a\0b\n",
    "8 bit": b"Subject: \xe4\xff\n\n\x80",
}


class Kept(ABC):
    """A store of one kind, with a user "ann" in it, and what a test wants to do behind its back."""

    store: MaildropStore

    @abstractmethod
    def deliver(self, message: bytes) -> None: ...

    @abstractmethod
    def left(self) -> list[bytes]: ...

    def open(self) -> Maildrop:
        return self.store.open("ann", SessionInfo())

    def look(self) -> list[Message]:
        maildrop = self.open()
        maildrop.close()
        return list(maildrop.messages)


class KeptInMemory(Kept):
    def __init__(self, _folder: Path) -> None:
        self.store = self.memory = MemoryStore()

    @override
    def deliver(self, message: bytes) -> None:
        self.memory.deliver("ann", message)

    @override
    def left(self) -> list[bytes]:
        return self.memory.messages("ann")


class KeptInMaildir(Kept):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        for name in ("cur", "new", "tmp"):
            (folder / name).mkdir()
        self.store = MaildirStore({"ann": folder})

    @override
    def deliver(self, message: bytes) -> None:
        self.count += 1
        # With its size in its name, no message is taken for a compressed one, whatever octets it begins with.
        (self.folder / "new" / f"{self.count}.test,S={len(message)}").write_bytes(message)

    @override
    def left(self) -> list[bytes]:
        files = sorted((self.folder / "new").iterdir(), key=lambda file: int(file.stem))
        return [file.read_bytes() for file in files]


@contextmanager
def kept_in(kind: Callable[[Path], Kept]) -> Generator[Kept]:
    with tempfile.TemporaryDirectory() as folder:
        yield kind(Path(folder))


each_kind = pytest.mark.parametrize("kind", [KeptInMemory, KeptInMaildir])


def read(maildrop: Maildrop, number: int, size: int = 7) -> bytes:
    source = maildrop.open(number)
    try:
        return b"".join(iter(lambda: source.read(size), b""))
    finally:
        source.close()


def sent(octets: bytes) -> bytes:
    """What a client has when a server has sent these octets."""
    encoder = BodyEncoder()
    wire = encoder.feed(octets) + encoder.finish()
    return BodyDecoder().feed(wire)


# ---------------------------------------------------------------------------------------------- sizes


@given(messages, st.integers(1, 5))
def test_counted_is_what_is_sent_in_any_pieces(message: bytes, size: int) -> None:
    class Morsels(io.BytesIO):
        @override
        def read(self, _size: int | None = -1, /) -> bytes:
            return super().read(size)

    assert wire_size(Morsels(message)) == wire_size_of(message) == len(sent(message))


@each_kind
@given(st.lists(messages, max_size=5))
def test_announced_octets_are_what_is_sent(kind: Callable[[Path], Kept], mail: list[bytes]) -> None:
    with kept_in(kind) as kept:
        for message in mail:
            kept.deliver(message)
        maildrop = kept.open()
        assert len(maildrop.messages) == len(mail)
        for number, message in enumerate(maildrop.messages, start=1):
            octets = read(maildrop, number)
            assert message.octets == len(sent(octets))
            assert sent(octets) == sent(mail[number - 1])
        maildrop.close()


@each_kind
@pytest.mark.parametrize("message", NASTY.values(), ids=NASTY.keys())
def test_a_nasty_message_comes_back_as_it_is(kind: Callable[[Path], Kept], message: bytes) -> None:
    with kept_in(kind) as kept:
        kept.deliver(message)
        for _ in range(2):  # the second time, what was counted is remembered
            maildrop = kept.open()
            assert read(maildrop, 1) == message
            assert maildrop.messages[0].octets == len(sent(message))
            maildrop.close()


# ----------------------------------------------------------------------------------------- unique ids


@each_kind
@given(st.lists(st.sampled_from([b"the same\n", b"another\n"]), max_size=6), st.data())
def test_unique_ids_stay_and_are_never_used_again(
    kind: Callable[[Path], Kept], mail: list[bytes], data: st.DataObject
) -> None:
    with kept_in(kind) as kept:
        for message in mail:
            kept.deliver(message)
        before = [message.unique_id for message in kept.look()]
        assert [message.unique_id for message in kept.look()] == before
        assert len({check_unique_id(unique_id) for unique_id in before}) == len(mail)

        gone = data.draw(st.sets(st.sampled_from(range(1, len(mail) + 1)))) if mail else set[int]()
        maildrop = kept.open()
        maildrop.commit(frozenset(gone), frozenset())
        maildrop.close()
        kept.deliver(b"the same\n")

        *stayed, new = [message.unique_id for message in kept.look()]
        assert stayed == [unique_id for number, unique_id in enumerate(before, 1) if number not in gone]
        assert new not in before


# ------------------------------------------------------------------------------------------ deletions


@each_kind
@given(st.sets(st.integers(1, 5)), st.sets(st.integers(1, 5)))
def test_a_commit_removes_what_was_deleted_and_nothing_else(
    kind: Callable[[Path], Kept], deleted: set[int], retrieved: set[int]
) -> None:
    mail = [b"%d\n" % number for number in range(1, 6)]
    with kept_in(kind) as kept:
        for message in mail:
            kept.deliver(message)
        maildrop = kept.open()
        for number in retrieved:
            read(maildrop, number)
        assert kept.left() == mail
        maildrop.commit(frozenset(deleted), frozenset(retrieved))
        assert kept.left() == [message for number, message in enumerate(mail, 1) if number not in deleted]
        maildrop.close()


@each_kind
def test_without_a_commit_nothing_is_removed(kind: Callable[[Path], Kept]) -> None:
    with kept_in(kind) as kept:
        kept.deliver(b"a\n")
        maildrop = kept.open()
        read(maildrop, 1)
        maildrop.close()
        assert kept.left() == [b"a\n"]


@each_kind
def test_a_session_sees_the_maildrop_as_it_was(kind: Callable[[Path], Kept]) -> None:
    with kept_in(kind) as kept:
        kept.deliver(b"a\n")
        maildrop = kept.open()
        kept.deliver(b"new\n")
        assert len(maildrop.messages) == 1
        maildrop.commit(frozenset({1}), frozenset())
        maildrop.close()
        assert kept.left() == [b"new\n"]
        assert len(kept.look()) == 1


# ----------------------------------------------------------------------------------------------- lock


@each_kind
def test_a_second_session_is_refused_until_the_first_is_closed(kind: Callable[[Path], Kept]) -> None:
    with kept_in(kind) as kept:
        maildrop = kept.open()
        with pytest.raises(InUse) as refused:
            kept.open()
        assert refused.value.reply.has(ResponseCode.IN_USE)
        maildrop.close()
        kept.open().close()


@each_kind
def test_a_commit_that_comes_before_the_close_frees_nothing(kind: Callable[[Path], Kept]) -> None:
    with kept_in(kind) as kept:
        maildrop = kept.open()
        maildrop.commit(frozenset(), frozenset())
        with pytest.raises(Refused):
            kept.open()
        maildrop.close()


@each_kind
def test_a_store_adds_no_capabilities_unless_it_is_told_to(kind: Callable[[Path], Kept]) -> None:
    with kept_in(kind) as kept:
        assert kept.store.capabilities(None) == kept.store.capabilities("ann") == Capabilities()
