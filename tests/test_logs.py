"""What the ready observer writes: one line for each thing that is said, no secrets, no messages."""

import logging

import pytest

from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.core.client import Request
from pop3proto.core.commands import Auth, Pass, Retr
from pop3proto.core.events import (
    Answer,
    AuthCancel,
    AuthResponse,
    BodyChunk,
    BodyEnd,
    ClientEvent,
    ConnectionClosed,
    Farewell,
    Tolerated,
)
from pop3proto.core.limits import Quirk
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.logs import LogObserver
from pop3proto.procedures.observer import Observers
from pop3proto.sasl.channel import SessionInfo
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
        return [record.getMessage() for record in caplog.records]

    return said


def test_a_session(said):
    lines = said(b"USER ann\r\nPASS tanstaaf\r\n", b"RETR 1\r\n", b"NOPE\r\n", b"QUIT\r\n")
    assert lines[0].startswith("- - - S: +OK POP3 server ready <")
    assert lines[1:] == [
        "- - - C: USER ann",
        "- - - S: +OK send the password",
        "- - - C: PASS ***",
        "- - ann S: +OK maildrop has 1 message (27 octets)",
        "- - ann C: RETR 1",
        "- - ann S: +OK 27 octets",
        "- - ann S: (24 octets)",
        "- - ann S: .",
        "- - ann C: (unknown command)",
        "- - ann S: -ERR unknown command",
        "- - ann C: QUIT",
        "- - ann S: +OK bye",
        "- - ann -: the session ended",
    ]


def test_sasl(said):
    lines = said(b"AUTH PLAIN\r\n", b"*\r\n", b"AUTH PLAIN AGFubgB0YW5zdGFhZg==\r\n", b"QUIT\r\n")
    assert lines[1:5] == [
        "- - - C: AUTH PLAIN",
        "- - - S: + ***",
        "- - - C: *",
        "- - - S: -ERR the exchange is cancelled",
    ]
    assert lines[5] == "- - - C: AUTH PLAIN ***"


def test_an_end_by_an_error(caplog):
    caplog.set_level(logging.DEBUG, "pop3proto.sessions")
    session = Serving(FakeStore(), AUTHENTICATOR, observer=LogObserver()).greeted()
    session.actor.sleep(1_000)
    assert caplog.records[-1].getMessage() == "- - - -: the session ended by TimedOut: the deadline has passed"


def test_a_client_writes_the_same_lines(caplog):
    caplog.set_level(logging.DEBUG, "pop3proto.sessions")
    info = SessionInfo("192.0.2.1", id=7, user="ann")
    client: Observers[ClientEvent, Request] = Observers((LogObserver(),))
    client.heard(info, Greeting(Ok("ready")))
    for command in (Pass("tanstaaf"), Retr(1), Auth("PLAIN", b"\0ann\0tanstaaf")):
        client.said(info, command)
        client.heard(info, Answer(command, Ok("done")))
    client.heard(info, BodyChunk(b"marker"))
    client.heard(info, BodyEnd())
    client.heard(info, Challenge(b"tanstaaf"))
    client.said(info, AuthResponse(b"tanstaaf"))
    client.said(info, AuthCancel())
    client.heard(info, Tolerated(Quirk.STRAY_DOT))
    client.heard(info, Farewell(Err("going down")))
    client.heard(info, ConnectionClosed())
    client.ended(info, None)
    assert [record.getMessage().removeprefix("7 192.0.2.1 ann ") for record in caplog.records] == [
        "S: +OK ready",
        *("C: PASS ***", "S: +OK done"),
        *("C: RETR 1", "S: +OK done"),
        *("C: AUTH PLAIN ***", "S: +OK done"),
        *("S: (6 octets)", "S: ."),
        *("S: + ***", "C: ***", "C: *"),
        "-: tolerated: a line with a single dot after a single-line answer",
        "S: -ERR going down",
        "-: the session ended",
    ]


def test_the_peer_cannot_write_lines_or_columns(said):
    for line in said(b"USER a\x0bb\x1b[2J\xff\r\n", b"\x00\x85\r\n"):
        assert line.isprintable()
        assert line.isascii()


def test_a_name_is_one_column(caplog):
    caplog.set_level(logging.DEBUG, "pop3proto.sessions")
    LogObserver().said(SessionInfo("192.0.2.1", id=1, user="ann C: QUIT\n\u00e9"), Ok("bye"))
    assert caplog.records[-1].getMessage() == r"1 192.0.2.1 ann\x20C:\x20QUIT\n\xe9 S: +OK bye"


def test_it_costs_nothing_where_the_level_is_off(said):
    assert said(b"NOOP\r\n", level=logging.DEBUG - 1) == []
