"""TOP's cut through a message: a law against a reference that reads it line by line."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.procedures.server.messages import Excerpt
from tests.helpers.strategies import chunkings, messages


def reference(message: bytes, lines: int) -> bytes:
    """The header, the blank line, and so many lines of the body (RFC 1939 section 7)."""
    taken = []
    left = None  # lines of the body; None: the header is not over
    for line in _lines(message):
        if left == 0:
            break
        taken.append(line)
        if left is not None:
            left -= 1
        elif line in (b"\n", b"\r\n"):
            left = lines
    return b"".join(taken)


def _lines(message: bytes) -> list[bytes]:
    """Lines end with LF, whatever stands before it."""
    lines = [line + b"\n" for line in message.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


# Messages in which headers end at all, and blank lines of every kind.
headed = st.lists(
    st.sampled_from([b"A: b", b"\n", b"\r\n", b"\r\r\n", b"\r", b".", b"\n\n", b"\r\n\r\n", b"x\n", b"\n\r\n"])
).map(b"".join)


@given(data=st.data(), message=messages | headed, lines=st.integers(0, 6) | st.just(10**20 - 1))
def test_it_is_the_header_the_blank_line_and_the_first_lines(data, message, lines):
    excerpt = Excerpt(lines)
    taken = []
    for chunk in data.draw(chunkings(message)):
        if excerpt.complete:
            break
        taken.append(excerpt.feed(chunk))
    assert b"".join(taken) == reference(message, lines)


@given(data=st.data(), message=messages | headed, lines=st.integers(0, 3))
def test_it_is_complete_as_soon_as_all_has_passed(data, message, lines):
    """A server stops reading there: the rest of a large message is never looked at."""
    excerpt = Excerpt(lines)
    passed = b""
    for chunk in data.draw(chunkings(message)):
        passed += excerpt.feed(chunk)
        header_is_over = any(line in (b"\n", b"\r\n") for line in _lines(passed))
        more = reference(passed + b"more\nand more\n", lines)
        assert excerpt.complete == (header_is_over and more == passed and passed.endswith(b"\n"))


@pytest.mark.parametrize("lines", [0, 1])
def test_what_comes_after_it_is_complete_is_dropped(lines):
    excerpt = Excerpt(lines)
    whole = b"A: b\n\n" + b"one\n" * lines
    assert excerpt.feed(whole + b"two\n") == whole
    assert excerpt.complete
    assert excerpt.feed(b"three\n") == b""


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"A: b\r", b"\n", b"\r", b"\nbody\r\n"], id="CR and LF in chunks of their own"),
        pytest.param([b"A: b\r\n\r", b"\nbody\r\n"], id="the blank line is cut"),
        pytest.param([b"A: b\r\n", b"\r\nbody\r\n"], id="cut before the blank line"),
        pytest.param([bytes([octet]) for octet in b"A: b\r\n\r\nbody\r\n"], id="octet by octet"),
    ],
)
def test_a_blank_line_may_lie_across_chunks(chunks):
    excerpt = Excerpt(0)
    assert b"".join(map(excerpt.feed, chunks)) == b"A: b\r\n\r\n"


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"x", b"\n"], id="an octet, then LF"),
        pytest.param([b"\r", b"\r", b"\n"], id="two CRs"),
        pytest.param([b"\rx", b"\n"], id="CR and an octet"),
        pytest.param([b"x" * 1000, b"\r\n"], id="a long line, then CRLF"),
        pytest.param([b"x", b"\r", b"\n"], id="an octet, CR, LF"),
    ],
)
def test_a_line_whose_end_comes_in_a_chunk_of_its_own_is_not_blank(chunks):
    excerpt = Excerpt(0)
    assert b"".join(map(excerpt.feed, [*chunks, b"B: c\n"])) == b"".join([*chunks, b"B: c\n"])
    assert not excerpt.complete


def test_an_open_header_line_is_held_in_constant_memory():
    excerpt = Excerpt(0)
    for _ in range(1000):
        excerpt.feed(b"x" * 1000)
    held = sum(len(value) for value in vars(excerpt).values() if isinstance(value, bytes))
    assert held <= 2


def test_lines_may_be_more_than_there_are():
    assert Excerpt(10**20 - 1).feed(b"A: b\n\none\ntwo") == b"A: b\n\none\ntwo"
