"""`pop3proto fetch`: what is not whole is neither stored nor deleted."""

import re

import pytest

from tests.helpers.cli_servers import (
    HangUp,
    Scripted,
    body,
    fetch_in_clear as fetch,
    name_of,
    stored,
)


def test_a_refused_message_does_not_keep_the_others(target, capsys):
    answers = {
        "UIDL": body("1 a", "2 b", "3 c"),
        "RETR 1": body("one"),
        "RETR 2": b"-ERR [SYS/TEMP] \x1b[31mnot now\r\n",
        "RETR 3": body("three"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
    captured = capsys.readouterr()
    assert captured.out == (
        f"{name_of(server)}: 2 messages fetched (12 B), 2 deleted on the server, "
        "1 left: the server refused RETR 2: [SYS/TEMP] \\x1b[31mnot now\n"
    )
    assert captured.err == f"{name_of(server)}: the server refused RETR 2: [SYS/TEMP] \\x1b[31mnot now\n"
    assert stored(target) == [b"one\n", b"three\n"]
    assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1", "DELE 3"]


# A server that does not stuff the first dot of a message lets a sender end it there, and write answers of his own.
EARLY_ENDS = {
    "a lone dot": b"+OK\r\n.\r\n.\r\n",
    "an answer to RETR": b"+OK\r\n.\r\n+OK\r\nfake\r\n.\r\n",
    "an answer to UIDL": b"+OK\r\n.\r\n+OK 2 x\r\n.\r\n",
    "an answer to UIDL without an id": b"+OK\r\n.\r\n+OK\r\n.\r\n",
    "a refusal": b"+OK\r\n.\r\n-ERR\r\n.\r\n",
}


@pytest.mark.deep(keep=4)
@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("answer", EARLY_ENDS.values(), ids=EARLY_ENDS)
def test_a_message_that_ends_early_is_left_and_the_others_are_fetched(request, target, capsys, answer, pipelining):
    if pipelining and answer == EARLY_ENDS["a refusal"]:
        request.applymarker(pytest.mark.xfail(strict=True, reason="a refusal is told before the batch is proved"))
    answers = {
        "CAPA": body("UIDL", *(["PIPELINING"] if pipelining else [])),
        "UIDL": body("1 a", "2 b", "3 c"),
        "LIST": body("1 5", "2 3", "3 7"),
        "RETR 1": body("one"),
        "RETR 2": answer,
        "RETR 3": body("three"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 1", "DELE 3"]
    told = capsys.readouterr()
    assert told.err.startswith(f"{name_of(server)}: message 2 stays on the server: ")
    assert re.search(r": 2 messages fetched \(\d+ B\), 2 deleted on the server, 1 left: ", told.out)
    assert stored(target) == [b"one\n", b"three\n"]
    assert list((target / "tmp").iterdir()) == []


def many_that_end_early(bad: int) -> dict[str, bytes | list[bytes]]:
    """Messages that end early, and three whole ones behind them."""
    return {
        "UIDL": body(*(f"{number} {number}" for number in range(1, bad + 4))),
        "LIST": body(*(f"{number} 5" for number in range(1, bad + 4))),
        "RETR": b"+OK\r\n.\r\n+OK\r\n.\r\n",
        "DELE": b"+OK\r\n",
        **{f"RETR {number}": body(f"{number:03}") for number in range(bad + 1, bad + 4)},
    }


def test_when_too_many_messages_end_early_it_gives_up(target, capsys):
    with Scripted(many_that_end_early(12)) as server:
        assert fetch(server, target, "--delete") == 1
        assert server.heard.count("USER ann") <= 21
    assert capsys.readouterr().out.endswith(": no messages fetched, 10 left; more is on the server: run it again\n")
    assert stored(target) == []


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("bad", [10, 11, 12, 25])
def test_what_ended_early_before_comes_last_and_keeps_no_other_mail(target, capsys, bad):
    with Scripted(many_that_end_early(bad)) as server:
        for _ in range(4):
            assert fetch(server, target, "--delete") == 1
        assert server.heard[-1] == "QUIT"
        deleted = {line for line in server.heard if line.startswith("DELE")}
        assert deleted == {f"DELE {number}" for number in range(bad + 1, bad + 4)}
    assert stored(target) == [b"%03d\n" % number for number in range(bad + 1, bad + 4)]


def test_without_unique_ids_a_message_that_ends_early_keeps_no_other_away(target, capsys):
    answers = {
        "LIST": body("1 5", "2 5", "3 7"),
        "RETR 1": body("one"),
        "RETR 2": b"+OK\r\n.\r\n.\r\n",
        "RETR 3": body("three"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert "DELE 2" not in server.heard
    assert f"{name_of(server)}: message 2 stays on the server: " in capsys.readouterr().err
    assert stored(target) == [b"one\n", b"three\n"]


@pytest.mark.parametrize("forged", [b"+OK\r\n" * 20, b"-ERR\r\n" * 20, b"+OK 1 a\r\n" * 20, b"rubbish\r\n"])
def test_answers_to_questions_drawn_by_lot_cannot_be_forged(target, forged):
    answers = {
        "UIDL": body("1 a", "2 b"),
        "LIST": body("1 5", "2 5"),
        "RETR 1": b"+OK\r\n.\r\n" + forged + body("forged") + b".\r\n",
        "RETR 2": body("two"),
        "DELE": b"+OK\r\n",
    }
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line.startswith("DELE")] == ["DELE 2"]
    assert stored(target) == [b"two\n"]


def test_messages_that_are_gone_do_not_weaken_the_proof_of_the_others(target):
    gone = 9
    rows = [f"{number} {number}" for number in range(1, gone + 3)]
    refusals = {f"{verb} {number}": b"-ERR gone\r\n" for verb in ("RETR", "UIDL") for number in range(1, gone + 1)}
    evil = b"+OK\r\nx\r\n.\r\n+OK\r\n+OK\r\nforged\r\n.\r\n+OK\r\n.\r\n"
    answers = {"UIDL": body(*rows), "DELE": b"+OK\r\n", **refusals}
    answers |= {f"RETR {gone + 1}": evil, f"RETR {gone + 2}": body("good")}
    with Scripted(answers) as server:
        assert fetch(server, target, "--delete") == 1
        assert [line for line in server.heard if line.startswith("DELE")] == [f"DELE {gone + 2}"]
    assert stored(target) == [b"good\n"]


@pytest.mark.parametrize("pipelining", [True, False])
def test_messages_that_refuse_their_unique_ids_too_cost_no_session(target, pipelining):
    """Another client has deleted them meanwhile."""
    answers = {
        "CAPA": body("UIDL", *(["PIPELINING"] if pipelining else [])),
        "UIDL": body(*(f"{number} {number}" for number in range(1, 11))),
        "RETR": b"-ERR gone\r\n",
        "RETR 1": body("one"),
        "RETR 10": body("ten"),
        **{f"UIDL {number}": b"-ERR gone\r\n" for number in range(2, 10)},
    }
    with Scripted(answers) as server:
        assert fetch(server, target) == 1
        assert server.heard.count("USER ann") == 1
    assert stored(target) == [b"one\n", b"ten\n"]


def test_a_connection_lost_in_the_middle_keeps_what_is_whole(target, capsys):
    answers = {"UIDL": body("1 a", "2 b"), "RETR 1": body("one"), "RETR 2": HangUp(b"+OK\r\nhalf of i")}
    with Scripted(answers) as server:
        assert fetch(server, target) == 1
    assert capsys.readouterr().err.startswith(
        f"{name_of(server)}: message 2 stays on the server: "
        "the server closed the connection in the middle of the body of RETR 2"
    )
    assert stored(target) == [b"one\n"]
    assert list((target / "tmp").iterdir()) == []
