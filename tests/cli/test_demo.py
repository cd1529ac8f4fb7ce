"""`pop3proto demo`, and the trace that it prints."""

import re

import pytest

from pop3proto.cli import demo, main
from pop3proto.cli.demo import SAMPLES
from pop3proto.cli.trace import Transcript, cut
from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import Auth, Pass, Retr, Uidl, User
from pop3proto.core.events import AuthCancel, AuthResponse, ConnectionClosed, Signal
from pop3proto.core.text import counted
from pop3proto.procedures.client.session import Session


def test_it_shows_a_session_and_that_every_message_arrived(capsys):
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert 60 <= len(lines) <= 105
    assert max(map(len, lines)) <= 110
    assert f"All {len(SAMPLES)} messages arrived octet for octet; 7 are left on the server." in lines
    assert re.fullmatch(r"  pop3proto serve .*\n  pop3proto fetch .*", "\n".join(lines[-2:]))
    assert [line for line in lines if line.startswith("C: ")] == [
        *("C: CAPA", "C: USER ann", "C: PASS ***", "C: UIDL"),
        *(f"C: RETR {number}" for number in range(1, 9)),
        *("C: DELE 1", "C: QUIT"),
    ]


def test_it_harms_no_terminal(capsys):
    assert main(["demo"]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


def test_pipelining_is_seen(capsys):
    assert main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("C: RETR 1")
    assert lines[first + 8].startswith("S: +OK")
    assert lines[first + 7] == "C: RETR 8"


def test_a_message_that_did_not_arrive_as_it_was_is_a_failure(monkeypatch, capsys):
    wire = demo._wire
    monkeypatch.setattr(demo, "_wire", lambda message: wire(message).replace(b"Lunch", b"lunch"))
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "pop3proto demo: messages differ from what was stored: 1\n"


@pytest.mark.parametrize(
    "stored, sent",
    [
        (b"", b""),
        (b"a", b"a\r\n"),
        (b"a\n\r\nb\r", b"a\r\n\r\nb\r\r\n"),
        (b"a\rb\r\n", b"a\rb\r\n"),
        (b"\r\r\n", b"\r\r\n"),
    ],
)
def test_the_wire_form(stored, sent):
    assert demo._wire(stored) == sent


def trace(dialogue: list[tuple[object, bytes]], **lines: int) -> list[str]:
    """What is written down of requests and the octets that answer them."""
    written: list[str] = []
    transcript = Transcript(written.append, **({"message_lines": 2, "listing_lines": 2} | lines))
    session = Session(ClientConnection(), observers=(transcript,))
    for request, octets in dialogue:
        if request is not None:
            session.send(request)
        session.connection.receive_data(octets)
        while not isinstance(session.poll(), Signal | ConnectionClosed):
            pass
    return written


def test_secrets_do_not_print():
    assert trace(
        [
            (None, b"+OK hello\r\n"),
            (Auth("PLAIN", b"\0ann\0secret"), b"-ERR no\r\n"),
            (Auth("X"), b"+ c2VjcmV0\r\n"),
            (AuthResponse(b"secret"), b"+ c2VjcmV0\r\n"),
            (AuthCancel(), b"-ERR cancelled\r\n"),
            (User("ann"), b"+OK\r\n"),
            (Pass("secret"), b"-ERR wrong\r\n"),
        ]
    ) == [
        "S: +OK hello",
        *("C: AUTH PLAIN ***", "S: -ERR no"),
        *("C: AUTH X", "S: + ***", "C: ***", "S: + ***", "C: *", "S: -ERR cancelled"),
        *("C: USER ann", "S: +OK", "C: PASS ***", "S: -ERR wrong"),
    ]


LOGIN = [(None, b"+OK\r\n"), (User("ann"), b"+OK\r\n"), (Pass("x"), b"+OK\r\n")]


@pytest.mark.parametrize(
    "body, shown",
    [
        (b"", []),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\nb\r\nc\r\n", ["a", "b", "... (9 octets in all)"]),
        (b"..a\r\n\r\n", ["..a", ""]),
        (b"\x1b[2J\0\x85\xe2\x80\xae\r\n", ["\\x1b[2J\\x00\\x85\\u202e"]),
        (b"x" * 1000 + b"\r\n", ["x" * 69 + "...", "... (1,002 octets in all)"]),
        (b"a\r\n" + b"x" * 1000 + b"\r\nb\r\n", ["a", "x" * 69 + "...", "... (1,008 octets in all)"]),
    ],
)
def test_bodies_are_shown_by_their_first_lines(body, shown):
    expected = [f"S: {line}" for line in shown]
    for octets in ([b"+OK\r\n" + body + b".\r\n"], [bytes([octet]) for octet in b"+OK\r\n" + body + b".\r\n"]):
        written = trace([*LOGIN, (Retr(1), octets[0]), *((None, rest) for rest in octets[1:])])
        assert written[5:] == ["C: RETR 1", "S: +OK", *expected, "S: ."]


def test_listings_may_show_more_than_messages():
    answer = b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"
    written = trace([*LOGIN, (Uidl(), answer), (Retr(1), answer)], listing_lines=3, message_lines=1)
    assert written[5:] == [
        *("C: UIDL", "S: +OK", "S: 1 a", "S: 2 b", "S: 3 c", "S: ."),
        *("C: RETR 1", "S: +OK", "S: 1 a", "S: ... (15 octets in all)", "S: ."),
    ]


def test_a_farewell_is_shown_and_a_hang_up_is_not_a_line():
    assert trace([*LOGIN, (None, b"-ERR too long idle\r\n"), (None, b"")])[5:] == ["S: -ERR too long idle"]


def test_words():
    assert cut("abcdef", 5) == "ab..."
    assert cut("abcde", 5) == "abcde"
    assert [counted(number, "octet") for number in (0, 1, 1000)] == ["0 octets", "1 octet", "1,000 octets"]
