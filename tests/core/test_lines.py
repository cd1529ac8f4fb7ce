"""The receive buffer: lines over any chunking, in bounded memory and bounded time."""

import pytest
from hypothesis import example, given, strategies as st
from typing_extensions import override

from pop3proto.core import lines
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import Quirk
from pop3proto.core.lines import BareLf, CommandBuffer, Deviation, LenientBuffer, LineTooLong, ReceiveBuffer
from tests.helpers.strategies import chunkings

streams = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0", b"some words", b"\xff" * 9])).map(b"".join)


def buffer_with(*chunks):
    buffer = ReceiveBuffer()
    for chunk in chunks:
        buffer.feed(chunk)
    return buffer


def one_by_one(octets):
    return [octets[at : at + 1] for at in range(len(octets))]


def read(chunks, limit, *, skip):
    """The lines of a stream that comes in chunks, "too long" in place of those that are, and what is left."""
    buffer = ReceiveBuffer()
    found = []
    skipping = False
    for chunk in chunks:
        buffer.feed(chunk)
        while True:
            if skipping:
                if not buffer.skip_line():
                    break
                skipping = False
            try:
                line = buffer.next_line(limit)
            except LineTooLong:
                found.append("too long")
                if not skip:
                    return found
                skipping = True
            else:
                if line is None:
                    break
                found.append(line)
    return [*found, "..." if skipping else bytes(buffer.peek()[0][buffer.peek()[1] :])]


def expected(octets, limit, *, skip):
    """The same by the book: the whole stream at once, cut at each CRLF."""
    *whole, rest = octets.split(b"\r\n")
    found = []
    for line in whole:
        found.append(line if len(line) + 2 <= limit else "too long")
        if not skip and found[-1] == "too long":
            return found
    if len(rest) < limit:
        return [*found, rest]
    return [*found, "too long", "..."] if skip else [*found, "too long"]


# -------------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize("skip", [True, False])
@given(data=st.data(), octets=streams, limit=st.integers(2, 30))
def test_any_chunking_gives_the_same_lines(skip, data, octets, limit):
    chunks = data.draw(chunkings(octets))
    assert read(chunks, limit, skip=skip) == expected(octets, limit, skip=skip)


@pytest.mark.parametrize(
    "octets, found",
    [
        (b"", [b""]),
        (b"a", [b"a"]),
        (b"\r\n", [b"", b""]),
        (b"a\r\nb\r\n", [b"a", b"b", b""]),
        (b"a\nb\r\n", [b"a\nb", b""]),
        (b"a\rb\r\n", [b"a\rb", b""]),
        (b"a\r\r\nb\r", [b"a\r", b"b\r"]),
        (b"\n\r\r\n\n", [b"\n\r", b"\n"]),
        (b"\0\xff\r\n", [b"\0\xff", b""]),
    ],
)
def test_only_crlf_ends_a_line(octets, found):
    assert read([octets], 99, skip=True) == found
    assert read(one_by_one(octets), 99, skip=True) == found


@given(data=st.data(), length=st.integers(2, 40), longer=st.integers(-1, 1))
def test_the_limit_counts_the_crlf_and_is_about_the_line_in_any_chunking(data, length, longer):
    octets = b"a" * (length - 2) + b"\r\nnext\r\n"
    chunks = data.draw(chunkings(octets))
    limit = max(length + longer, 6)
    found = read(chunks, limit, skip=True)
    assert found == ["too long" if length > limit else b"a" * (length - 2), b"next", b""]


@pytest.mark.parametrize("tail", [b"", b"\r", b"\r\n", b"b\r\n"])
def test_a_line_is_too_long_as_soon_as_its_end_cannot_be_within_the_limit(tail):
    buffer = buffer_with(b"aaaaaaaa")
    assert buffer.next_line(9) is None
    buffer.feed(b"a" + tail)
    with pytest.raises(LineTooLong):
        buffer.next_line(9)


def test_a_line_that_is_too_long_stays_where_it_is():
    buffer = buffer_with(b"ok\r\n", b"aaaaaa\r\n")
    assert buffer.next_line(4) == b"ok"
    for _ in range(2):
        with pytest.raises(LineTooLong):
            buffer.next_line(7)
    assert len(buffer) == 8
    assert buffer.next_line(8) == b"aaaaaa"


def test_lines_are_bytes_whatever_they_were_cut_from():
    buffer = buffer_with(b"a", b"b\r\nc\r\n")
    assert [type(buffer.next_line(9)), type(buffer.next_line(9))] == [bytes, bytes]


# ---------------------------------------------------------------------------------- LF without a CR


def commands(chunks, limit):
    """What a server's buffer finds: lines, the octets of those that end with LF alone, and those that are too long."""
    buffer = CommandBuffer()
    found = []
    skipping = False
    for chunk in chunks:
        buffer.feed(chunk)
        while not skipping or buffer.skip_line():
            skipping = False
            try:
                line = buffer.next_line(limit)
            except LineTooLong:
                found.append("too long")
                skipping = True
            except BareLf as bare:
                found.append(("bare", bare.line))
            else:
                if line is None:
                    break
                found.append(line)
    return [*found, "..." if skipping else bytes(buffer.peek()[0][buffer.peek()[1] :])]


@given(data=st.data(), octets=streams, limit=st.integers(2, 30))
def test_a_server_finds_each_line_at_its_lf_in_any_chunking(data, octets, limit):
    *whole, rest = octets.split(b"\n")
    found = []
    for line in whole:
        if len(line) + 1 > limit:
            found.append("too long")
        else:
            found.append(line[:-1] if line.endswith(b"\r") else ("bare", line))
    found += [rest] if len(rest) < limit else ["too long", "..."]
    assert commands([octets], limit) == found
    assert commands(data.draw(chunkings(octets)), limit) == found


def test_a_server_skips_a_line_that_is_too_long_up_to_its_lf():
    octets = b"a" * 20 + b"\r\nb\r\n" + b"c" * 20
    found = ["too long", b"b", "too long", "..."]
    assert commands([octets], 9) == commands(one_by_one(octets), 9) == found


def lenient(chunks, limit):
    """What a buffer finds that takes LF for CRLF."""
    buffer = LenientBuffer()
    found = []
    for chunk in chunks:
        buffer.feed(chunk)
        while True:
            try:
                line = buffer.next_line(limit)
            except Deviation as met:
                line = met.quirk
            if line is None:
                break
            found.append(line)
    return [*found, bytes(buffer.peek()[0][buffer.peek()[1] :])]


@given(data=st.data(), octets=streams)
def test_lf_may_count_as_crlf_and_that_is_reported_once(data, octets):
    *lines, rest = octets.replace(b"\r\n", b"\n").split(b"\n")
    ends = octets.split(b"\n")[:-1]
    bare = [number for number, line in enumerate(ends) if not line.endswith(b"\r")]
    found = lines if not bare else [*lines[: bare[0]], Quirk.BARE_LF, *lines[bare[0] :]]
    assert lenient([octets], 1_000_000) == [*found, rest]
    assert lenient(data.draw(chunkings(octets)), 1_000_000) == [*found, rest]


def test_a_bare_lf_in_what_was_consumed_is_reported_with_the_next_line():
    buffer = LenientBuffer()
    for chunk in (b"a\n.\r\n", b"+O", b"K\r"):
        buffer.feed(chunk)
        if chunk.startswith(b"a"):
            assert buffer.peek() == (b"a\r\n.\r\n", 0)
            buffer.consume(6)
        assert buffer.next_line(9) is None
    buffer.feed(b"\n")
    with pytest.raises(Deviation):
        buffer.next_line(9)
    assert buffer.next_line(9) == b"+OK"


def test_a_line_that_is_too_long_with_lf_as_its_end():
    with pytest.raises(LineTooLong):
        lenient([b"a" * 9 + b"\n"], 9)


# --------------------------------------------------------------------------------------------- feed


@pytest.mark.parametrize("kind", [bytearray, memoryview, type("Bytes", (bytes,), {})])
def test_other_buffers_are_copied(kind):
    octets = bytearray(b"a\r\nb")
    buffer = buffer_with(kind(octets))
    octets[:] = b"xxxx"
    data, offset = buffer.peek()
    assert (data, offset, type(data)) == (b"a\r\nb", 0, bytes)


def test_bytes_are_not_copied():
    octets = b"a whole chunk\r\n"
    assert buffer_with(octets).peek()[0] is octets


def test_a_memoryview_with_gaps_is_read_as_what_it_shows():
    assert buffer_with(memoryview(b"a.b.\r.\n.")[::2]).next_line(9) == b"ab"


@pytest.mark.parametrize("wrong", [3, "text", None, [1, 2]])
def test_what_is_no_buffer_is_refused(wrong):
    buffer = ReceiveBuffer()
    with pytest.raises(TypeError):
        buffer.feed(wrong)
    assert (len(buffer), buffer.ended) == (0, False)


@pytest.mark.parametrize("end", [b"", bytearray(), memoryview(b"")])
def test_an_empty_buffer_is_end_of_stream_and_nothing_follows_it(end):
    buffer = buffer_with(b"a")
    assert not buffer.ended
    buffer.feed(end)
    buffer.feed(end)
    assert buffer.ended
    with pytest.raises(LocalProtocolError, match="data received after end of stream"):
        buffer.feed(b"b")
    assert buffer.peek() == (b"a", 0)


# ---------------------------------------------------------------------------------------- skip_line


def test_skipping_needs_no_memory():
    buffer = buffer_with(b"a" * 1000)
    for chunk in [b"b" * 1000, b"c" * 999 + b"\r", b"\r", b"d\r"]:
        assert not buffer.skip_line()
        assert len(buffer) <= 1
        buffer.feed(chunk)
    assert not buffer.skip_line()
    assert len(buffer) == 1
    buffer.feed(b"\nnext\r\nlast")
    assert buffer.skip_line()
    assert buffer.next_line(9) == b"next"
    assert buffer.skip_line() is False
    assert len(buffer) == 0


def test_skipping_ends_with_the_line_even_if_all_of_it_was_consumed():
    buffer = buffer_with(b"line\r\n")
    assert buffer.next_line(9) == b"line"
    assert buffer.skip_line() is False
    assert len(buffer) == 0


def test_a_consumed_cr_is_no_part_of_the_line_that_is_skipped():
    buffer = buffer_with(b"line\r")
    buffer.consume(len(buffer.peek()[0]))
    assert buffer.skip_line() is False
    buffer.feed(b"\nstill the same line\r\n")
    assert buffer.skip_line()
    assert len(buffer) == 0


# ---------------------------------------------------------------------------------- peek and consume


@given(data=st.data(), octets=streams)
def test_peek_and_consume_take_what_waits_from_the_front(data, octets):
    buffer = ReceiveBuffer()
    taken = b""
    for chunk in data.draw(chunkings(octets)):
        buffer.feed(chunk)
        waiting, offset = buffer.peek()
        upto = data.draw(st.integers(offset, len(waiting)))
        taken += waiting[offset:upto]
        buffer.consume(upto)
        assert len(buffer) == len(waiting) - upto
    waiting, offset = buffer.peek()
    assert taken + waiting[offset:] == octets


def test_a_line_is_found_behind_what_was_consumed():
    buffer = buffer_with(b"bo", b"dy\r\n+OK\r\n")
    data, offset = buffer.peek()
    assert (data, offset) == (b"body\r\n+OK\r\n", 0)
    buffer.consume(6)
    assert buffer.next_line(9) == b"+OK"


# ------------------------------------------------------------------------------------- time and memory


@pytest.fixture
def searched(monkeypatch):
    """How many octets each search had before it."""
    counts = []

    class Counting(bytearray):
        @override
        def find(self, sub, start=0, end=None):
            found = super().find(sub, start, len(self) if end is None else end)
            stop = min(len(self) if end is None else end, len(self)) if found < 0 else found + len(sub)
            counts.append(stop - start)
            return found

    monkeypatch.setattr(lines, "bytearray", Counting, raising=False)
    return counts


@pytest.mark.parametrize("size", [1, 7, 100])
def test_an_octet_is_searched_at_most_twice_however_long_the_line(searched, size):
    octets = b"a" * 10_000 + b"\r\n"
    buffer = ReceiveBuffer()
    for start in range(0, len(octets), size):
        assert buffer.next_line(20_000) is None
        buffer.feed(octets[start : start + size])
    assert buffer.next_line(20_000) == b"a" * 10_000
    assert len(octets) - size <= sum(searched) <= 2 * len(octets)


@example(pieces=[b"NOOP\r\nN", b"OOP\r\nN"])
@given(
    pieces=st.lists(
        st.sampled_from([b"NOOP\r\nN", b"OOP\r\nN", b"OOP\r", b"\n", b"A", b"\r\n\r\nB"]), min_size=2, max_size=9
    )
)
def test_consumed_lines_leave_memory_even_if_no_chunk_ends_with_a_line(pieces):
    buffer = ReceiveBuffer()
    for chunk in pieces * 20:
        buffer.feed(chunk)
        assert len(buffer._data) == len(buffer)
        while buffer.next_line(1000) is not None:
            pass


@pytest.mark.parametrize("take", ["next_line", "consume"])
def test_what_is_consumed_is_let_go(take):
    # A password may be in it, and it may be as large as a chunk.
    buffer = ReceiveBuffer()
    buffer.feed(b"PASS secret\r\n")
    if take == "next_line":
        buffer.next_line(255)
    else:
        data, _ = buffer.peek()
        buffer.consume(len(data))
    assert b"secret" not in bytes(buffer._data)
