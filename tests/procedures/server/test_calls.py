"""How many calls a command and a message cost the server: they are most of its time, and are not to creep back."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

import pop3proto
from tests.helpers.drivers import FakeStore, Serving

OURS = (pop3proto.__path__[0], "<attrs generated")
COUNT = 60


def calls_of(work: Callable[[], object]) -> int:
    """How many functions this package calls meanwhile, and how often its generators are resumed."""
    calls = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"} and frame.f_code.co_filename.startswith(OURS)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def commands(line: bytes) -> list[bytes]:
    return [(line % number if b"%" in line else line) + b"\r\n" for number in range(1, COUNT + 1)]


@pytest.mark.parametrize(
    "line, one_by_one, pipelined",
    [(b"NOOP", 105, 56), (b"STAT", 115, 66), (b"RETR %d", 160, 110), (b"LIST %d", 128, 80)],
)
def test_calls_for_each_command(line, one_by_one, pipelined):
    for bound, chunks in ((one_by_one, commands(line)), (pipelined, [b"".join(commands(line))])):
        session = Serving(FakeStore(*[b"Subject: x\n\n" + b"line\n" * 100] * COUNT)).logged_in()
        session.actor.take()
        calls = calls_of(lambda session=session, chunks=chunks: session.actor.receive(*chunks))
        assert session.actor.take().count(b"+OK") == COUNT
        assert calls <= bound * COUNT
