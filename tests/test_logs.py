"""What the ready observer writes: one line for each thing that is said, no secrets, no messages."""

import logging

import pytest

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.logs import LogObserver
from tests.helpers.drivers import FakeStore, Serving, sessions_come_to_their_end  # noqa: F401 - it is a fixture

AUTHENTICATOR = MemoryAuthenticator({"ann": "tanstaaf"})


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.DEBUG, "pop3proto.sessions")

    def said(*chunks, level=logging.DEBUG):
        store = FakeStore(b"Subject: marker\n\nmarker\n")
        session = Serving(store, AUTHENTICATOR, observer=LogObserver(level=level), failure_delay=0).greeted()
        for chunk in chunks:
            session.ask(chunk)
        session.hang_up()
        return [record.getMessage().removeprefix("- ") for record in caplog.records]

    return said


def test_a_session(said):
    lines = said(b"USER ann\r\nPASS tanstaaf\r\n", b"RETR 1\r\n", b"NOPE\r\n", b"QUIT\r\n")
    assert lines[0].startswith("S: +OK POP3 server ready <")
    assert lines[1:] == [
        "C: USER ann",
        "S: +OK send the password",
        "C: PASS ***",
        "S: +OK maildrop has 1 messages (27 octets)",
        "C: RETR 1",
        "S: +OK 27 octets",
        "S: (24 octets)",
        "S: .",
        "C: (unknown command)",
        "S: -ERR unknown command",
        "C: QUIT",
        "S: +OK bye",
        "-: the session ended",
    ]


def test_sasl(said):
    lines = said(b"AUTH PLAIN\r\n", b"*\r\n", b"AUTH PLAIN AGFubgB0YW5zdGFhZg==\r\n", b"QUIT\r\n")
    assert lines[1:5] == ["C: AUTH PLAIN", "S: + ***", "C: *", "S: -ERR the exchange is cancelled"]
    assert lines[5] == "C: AUTH PLAIN ***"


def test_an_end_by_an_error(caplog):
    caplog.set_level(logging.DEBUG, "pop3proto.sessions")
    session = Serving(FakeStore(), AUTHENTICATOR, observer=LogObserver()).greeted()
    session.actor.sleep(1_000)
    assert caplog.records[-1].getMessage() == "- -: the session ended by TimedOut: the deadline has passed"


def test_nobody_writes_lines_of_his_own(said):
    for line in said(b"USER a\x0bb\x1b[2J\xff\r\n", b"\x00\x85\r\n"):
        assert line.isprintable()
        assert line.isascii()


def test_it_costs_nothing_where_nobody_listens(said):
    assert said(b"NOOP\r\n", level=logging.DEBUG - 1) == []
