"""The store in memory: what it does beyond what every store does (test_store_contract)."""

import sys
import threading

import pytest

from pop3proto import maildrops
from pop3proto.core.capabilities import Capabilities, Expire
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures.maildrop import InUse
from pop3proto.sasl.channel import SessionInfo
from tests.helpers.processes import PATIENCE, join

SESSION = SessionInfo(address="192.0.2.1")


def test_a_store_may_begin_with_messages() -> None:
    store = MemoryStore({"ann": [b"a\n", b"b\n"], "bob": []})
    assert store.messages("ann") == [b"a\n", b"b\n"]
    assert store.messages("bob") == []


def test_a_user_without_messages_has_an_empty_maildrop() -> None:
    maildrop = MemoryStore().open("nobody", SESSION)
    assert maildrop.messages == ()


def test_it_does_not_block() -> None:
    assert MemoryStore().blocks is False


def test_users_do_not_lock_each_other_out() -> None:
    store = MemoryStore()
    store.open("ann", SESSION)
    store.open("bob", SESSION)
    with pytest.raises(InUse):
        store.open("ann", SESSION)


def test_deliver_returns_the_unique_id() -> None:
    store = MemoryStore()
    unique_id = store.deliver("ann", b"a\nb")
    [message] = store.open("ann", SESSION).messages
    assert message.unique_id == unique_id
    assert message.octets == len(b"a\r\nb\r\n")


def test_no_two_stores_use_the_same_unique_id() -> None:
    assert MemoryStore().deliver("ann", b"a\n") != MemoryStore().deliver("ann", b"a\n")


def test_a_correction_changes_nothing() -> None:
    maildrop = MemoryStore({"ann": [b"a\n"]}).open("ann", SESSION)
    before = maildrop.messages
    maildrop.correct(1, 99)
    assert maildrop.messages == before


@pytest.mark.parametrize(
    "days,left",
    [
        pytest.param(0, [b"c\n"], id="retrieved messages go at once"),
        pytest.param(1, [b"b\n", b"c\n"], id="they go later"),
        pytest.param(None, [b"b\n", b"c\n"], id="they stay"),
    ],
)
def test_expire(days: int | None, left: list[bytes]) -> None:
    announced = Capabilities(expire=Expire(days))
    store = MemoryStore({"ann": [b"a\n", b"b\n", b"c\n"]}, capabilities=announced)
    assert store.capabilities("ann") == announced
    maildrop = store.open("ann", SESSION)
    maildrop.commit(frozenset({1}), frozenset({1, 2}))
    assert store.messages("ann") == left


def test_threads_may_deliver_while_others_look() -> None:
    store = MemoryStore()
    start = threading.Barrier(5)

    def deliver() -> None:
        start.wait(PATIENCE)
        for _ in range(50):
            store.deliver("ann", b"a\n")

    threads = [threading.Thread(target=deliver, daemon=True) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        start.wait(PATIENCE)
        while any(thread.is_alive() for thread in threads):
            store.open("ann", SESSION).close()
    finally:
        join(*threads)
        sys.setswitchinterval(interval)
    unique_ids = {message.unique_id for message in store.open("ann", SESSION).messages}
    assert len(unique_ids) == 200


def test_the_package_has_the_stores_and_says_what_it_has_not() -> None:
    assert maildrops.MemoryStore is MemoryStore
    assert maildrops.MaildirStore.__name__ == "MaildirStore"
    with pytest.raises(AttributeError, match="NoSuchStore"):
        maildrops.NoSuchStore  # noqa: B018
