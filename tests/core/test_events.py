"""Events: which are equal, what crosses the wire, what is not shown."""

import pytest
from hypothesis import given

from pop3proto.core.commands import Apop, Auth, Pass, Stat
from pop3proto.core.events import (
    NEED_DATA,
    PAUSED,
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BadCommand,
    BodyChunk,
    BodyEnd,
    ConnectionClosed,
    Farewell,
    Signal,
)
from pop3proto.core.replies import Challenge, Err, Ok
from pop3proto.core.text import decode_base64
from tests.helpers import strategies as some

SECRET = b"S3cretMarker"


@given(some.auth_responses)
def test_a_response_is_a_line_of_base64(response):
    line = response.encode()
    assert line.endswith(b"\r\n")
    assert decode_base64(line[:-2]) == response.data


def test_the_client_s_lines_in_an_exchange():
    # RFC 5034 section 4: an empty response is an empty line; "=" is for initial responses only.
    assert AuthResponse().encode() == b"\r\n"
    assert AuthResponse(b"\0tim\0tanstaaf").encode() == b"AHRpbQB0YW5zdGFhZg==\r\n"
    assert AuthCancel().encode() == b"*\r\n"


def test_events_are_compared_by_value():
    assert Answer(Stat(), Ok("2 320")) == Answer(Stat(), Ok("2 320"))
    assert Answer(Stat(), Ok("2 320")) != Answer(Stat(), Err("2 320"))
    assert BodyChunk(b"a") != BodyChunk(b"b")
    assert Farewell(Err("x")) == Farewell(Err("x"))
    assert BodyEnd() == BodyEnd()
    assert BodyEnd() != ConnectionClosed()
    assert AuthResponse() != Challenge()


def test_signals_are_no_events():
    assert list(Signal) == [NEED_DATA, PAUSED]


@pytest.mark.parametrize(
    "event",
    [
        AuthResponse(SECRET),
        Challenge(SECRET),
        BadChallenge(SECRET),
        BodyChunk(SECRET),
        BadCommand(b"PASS " + SECRET, "PASS is not legal after login", Err("no")),
        Answer(Pass(SECRET.decode()), Ok()),
        Answer(Auth("PLAIN", SECRET), Err("no")),
        Answer(Apop("ann", SECRET.hex().ljust(32, "0")), Ok()),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_show_no_secret(event):
    shown = f"{event} {event!r}"
    assert type(event).__name__ in shown
    assert SECRET.decode() not in shown
    assert SECRET.hex() not in shown
