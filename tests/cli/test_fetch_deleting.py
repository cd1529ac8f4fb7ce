"""`pop3proto fetch`: which messages are known, and what is deleted on the server."""

import re
import time

import pytest

from pop3proto.cli import main
from pop3proto.fetching.downloading import download_new
from pop3proto.maildrops import MemoryStore
from tests.helpers.cli_servers import (
    HangUp,
    Scripted,
    at,
    body,
    fetch_in_clear as fetch,
    name_of,
    password_file,
    serving,
    stored,
)


def test_messages_that_share_a_unique_id_are_all_stored(target, capsys):
    answers = {
        "UIDL": body("1 same", "2 other", "3 same"),
        "LIST": body("1 5", "2 5", "3 7"),
        "RETR 1": body("one"),
        "RETR 2": body("two"),
        "RETR 3": body("three"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target) == 0
        assert fetch(server, target) == 0
        captured = capsys.readouterr()
        assert captured.out == f"{name_of(server)}: 3 messages fetched (17 B)\n"
        assert captured.err == f"{name_of(server)}: note: 2 messages share one unique id: 1, 3\n"
        assert fetch(server, target, "--delete") == 0
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 2"]
    assert stored(target) == [b"one\n", b"three\n", b"two\n"]


def test_of_two_that_share_an_id_the_one_that_was_refused_is_not_taken_for_the_other(target):
    both = {"UIDL": body("1 same", "2 same"), "DELE": b"+OK\r\n"}
    with Scripted(both | {"RETR 1": body("one")}) as server:
        address = server.address
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1"]
        server.answers |= {"UIDL": body("1 same"), "RETR 1": body("two")}  # the first is gone
        assert server.address == address
        assert fetch(server, target, "--delete") == 0
    assert stored(target) == [b"one\n", b"two\n"]


def test_of_two_that_share_an_id_and_are_stored_the_one_that_is_left_is_known(target, capsys):
    answers = {"UIDL": body("1 same", "2 same"), "RETR 1": body("one"), "RETR 2": body("two"), "DELE": b"+OK\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target) == 0
        server.answers |= {"UIDL": body("1 same"), "LIST": body("1 5"), "RETR 1": body("two")}
        capsys.readouterr()
        assert fetch(server, target) == 0
        assert capsys.readouterr() == ("", "")
        assert fetch(server, target, "--delete") == 0
        assert "DELE 1" not in server.heard  # which of the two it is, and what size it had, is not known
    assert stored(target) == [b"one\n", b"two\n"]


def test_a_second_message_with_a_known_id_is_fetched_and_the_first_is_not(target):
    with Scripted({"UIDL": body("1 same"), "RETR 1": body("one"), "RETR 2": body("two")}) as server:
        assert fetch(server, target) == 0
        server.answers["UIDL"] = body("1 same", "2 same")
        assert fetch(server, target) == 0
    assert stored(target) == [b"one\n", b"two\n"]


def test_unreadable_rows_are_left_and_told(target, capsys):
    answers = {
        "UIDL": body(f"1 {'x' * 71}", "2 good", "3 a", "3 b", "\x1b[31m"),
        "RETR 2": body("two"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line[:4] in {"RETR", "DELE"}] == ["RETR 2", "DELE 2"]
    captured = capsys.readouterr()
    assert captured.out == f"{name_of(server)}: 1 message fetched (5 B), 1 deleted on the server\n"
    assert captured.err.splitlines() == [
        f"{name_of(server)}: a message was left on the server: its row in UIDL cannot be read: 1 {'x' * 58}...",
        f"{name_of(server)}: a message was left on the server: its row in UIDL cannot be read: \\x1b[31m",
        f"{name_of(server)}: message 3 was left on the server: it has several unique ids",
    ]


def test_without_unique_ids_nothing_comes_twice(target, capsys):
    answers = {"LIST": body("1 5", "3 5"), "RETR 1": body("one"), "RETR 3": body("three"), "DELE": b"+OK\r\n"}
    with Scripted(answers) as server:
        for _ in range(2):
            assert fetch(server, target) == 0
        assert capsys.readouterr().out == f"{name_of(server)}: 2 messages fetched (12 B)\n"
        assert fetch(server, target, "--delete") == 0
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1", "DELE 3"]
    assert capsys.readouterr().out.startswith(f"{name_of(server)}: no new messages, 2 deleted on the server")
    assert stored(target) == [b"one\n", b"three\n"]


def test_a_server_that_has_unique_ids_and_cannot_tell_them_now(target, capsys):
    answers = {"CAPA": body("UIDL"), "UIDL": b"-ERR [SYS/TEMP] index is broken\r\n"}
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 75
        assert not any(line.startswith(("RETR", "DELE")) for line in server.heard)
    assert capsys.readouterr().err == f"{at(server)}the server refused UIDL: [SYS/TEMP] index is broken\n"


def test_a_refused_deletion_is_told(target, capsys):
    with Scripted({"UIDL": body("1 a"), "RETR": body("one"), "DELE": b"-ERR no\r\n"}) as server:
        assert fetch(server, target, "--delete") == 1
    why = "the server refused DELE 1: no; the message is stored, and stays on the server"
    assert capsys.readouterr() == (
        f"{name_of(server)}: 1 message fetched (5 B), 1 left: {why}\n",
        f"{name_of(server)}: {why}\n",
    )


@pytest.mark.parametrize(
    "answer, why",
    [
        (HangUp(b"-ERR some deleted messages not removed\r\n"), "the server may not have deleted all of 1 message: "),
        (HangUp(b""), "message 1 is stored, and cannot be deleted on the server: "),
    ],
)
def test_an_update_that_failed_is_told_and_made_up_for(target, capsys, monkeypatch, answer, why):
    answers = {"UIDL": body("1 a"), "LIST": body("1 5"), "RETR": body("one"), "DELE": b"+OK\r\n"}
    with Scripted(answers | {"QUIT": answer}) as server:
        assert fetch(server, target, "--delete") == 1
        captured = capsys.readouterr()
        assert captured.out.startswith(f"{name_of(server)}: 1 message fetched (")
        assert captured.err.startswith(f"{name_of(server)}: {why}")
        server.answers["QUIT"] = HangUp(b"+OK\r\n")
        monkeypatch.setitem(download_new.__kwdefaults__, "clock", lambda: time.time() + 86_400)
        assert fetch(server, target, "--delete") == 0
    assert capsys.readouterr().out == f"{name_of(server)}: no new messages, 1 deleted on the server\n"
    assert stored(target) == [b"one\n"]


def test_a_connection_lost_among_deletions_deletes_the_others_later(target, capsys):
    answers = {
        "UIDL": body("1 a", "2 b"),
        "LIST": body("1 6", "2 6"),
        "RETR": body("mail"),
        "DELE 1": b"+OK\r\n",
        "DELE 2": HangUp(b""),
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        first = server.heard.index("DELE 2")
        assert "QUIT" not in server.heard[:first]  # without it the server deletes nothing
        # Either may be the one that the server does not bear: each is tried by itself.
        assert [line for line in server.heard[first + 1 :] if line.startswith("DELE")] == ["DELE 1", "DELE 2"]
    told = capsys.readouterr()
    assert told.err.startswith(f"{name_of(server)}: message 2 is stored, and cannot be deleted on the server: ")
    assert re.search(r": 2 messages fetched \(\d+ B\), 1 deleted on the server, 1 left: ", told.out)
    assert stored(target) == [b"mail\n"] * 2


def test_a_hang_up_at_quit_does_not_matter_where_nothing_was_deleted(target, capsys):
    with Scripted({"UIDL": body("1 a"), "RETR": body("one"), "QUIT": HangUp(b"")}) as server:
        assert fetch(server, target) == 0
    assert capsys.readouterr() == (f"{name_of(server)}: 1 message fetched (5 B)\n", "")


def test_new_unique_ids_for_all_mail_are_noticed(target, capsys):
    def renamed(prefix: str) -> bytes:
        return body(*(f"{number} {prefix}{number}" for number in range(1, 13)))

    with Scripted({"UIDL": renamed("old"), "RETR": body("mail")}) as server:
        assert fetch(server, target) == 0
        server.answers["UIDL"] = renamed("new")
        capsys.readouterr()
        assert fetch(server, target) == 1
        assert capsys.readouterr().err == (
            f"{name_of(server)}: the server has 12 messages, but none of the 12 that the last fetch left there: "
            "its unique ids may have changed. Nothing was fetched; use --again to fetch all messages\n"
        )
        assert len(stored(target)) == 12
        assert fetch(server, target, "--again") == 0
        assert fetch(server, target) == 0
    assert len(stored(target)) == 24


@pytest.mark.parametrize("kind", ["", "files:"])
def test_mail_in_a_place_that_is_not_there_is_not_taken_for_deleted(tmp_path, capsys, kind):
    """An empty mount point: what is stored anew in it would hide that the rest is elsewhere."""
    place = tmp_path / "place"
    file = password_file(tmp_path)

    def fetch(*options: str) -> int:
        url, where = "pop://ann@{}:{}".format(*server.address), ("--journal", str(tmp_path / "journal"))
        return main(["fetch", url, f"{kind}{place}", "--when-gone", *where, "--password-file", str(file), *options])

    with serving(store := MemoryStore({"ann": [b"one\n", b"two\n"]})) as server:
        assert fetch("--allow-cleartext") == 0
        place.rename(tmp_path / "elsewhere")
        place.mkdir()
        store.deliver("ann", b"three\n")
        capsys.readouterr()
        for option in ((), ("--dry-run",), ("--status",)):
            assert fetch("--allow-cleartext", *option) == 78
            assert "is not there, or is empty, and mail was stored in it" in capsys.readouterr().err
        assert list(place.iterdir()) == []
        place.rmdir()
        (tmp_path / "elsewhere").rename(place)
        assert fetch("--allow-cleartext") == 0
        assert len(store.messages("ann")) == 3
