"""`file` of a POP3 object: answers that are read whole, and a binary file like any other."""

import io
import poplib
import socket
from unittest.mock import patch

import pytest
from hypothesis import given, strategies as st

from pop3proto import Limits, RemoteProtocolError, TimedOut
from pop3proto.core.limits import DEFAULT_LIMITS
from pop3proto.poplib import POP3, CommandRefused, EndOfStream, OutOfStep, SessionEnded
from pop3proto.poplib.answers import AnswerFile
from tests.helpers.dialogues import talking

LINES = st.lists(
    st.one_of(st.binary(max_size=8), st.sampled_from([b".", b"..", b".x", b"..x", b"", b"\r", b"x" * 3_000]))
    .map(lambda line: line.replace(b"\n", b""))
    .filter(lambda line: not line.startswith(b"\r")),  # poplib takes that for a line end of its own kind
    max_size=8,
)
CUTS = st.lists(st.integers(1, 9), max_size=30)


def chunks_of(octets, cuts):
    chunks, start = [], 0
    for cut in cuts:
        chunks.append(octets[start : start + cut])
        start += cut
    return [chunk for chunk in (*chunks, octets[start:]) if chunk]


def answers_in(*chunks, limits=DEFAULT_LIMITS):
    """A file whose connection brings these chunks, and then ends."""
    coming = iter(chunks)
    return AnswerFile(io.BytesIO(), None, limits, lambda _: next(coming, b""))


def body_by_poplib(wire):
    client = poplib.POP3.__new__(poplib.POP3)
    client.file, client._debugging = io.BytesIO(b"+OK\r\n" + wire), 0
    with patch.object(poplib, "_MAXLINE", 1 << 20):
        return client._getlongresp()[1:]


def stuffed(lines):
    return b"".join(b".%b\r\n" % line if line.startswith(b".") else line + b"\r\n" for line in lines) + b".\r\n"


@given(LINES, CUTS)
def test_a_body_is_what_poplib_makes_of_it_however_it_is_cut(lines, cuts):
    wire = stuffed(lines)
    answers = answers_in(*chunks_of(wire + b"+OK next\r\n", cuts))
    assert answers.body() == body_by_poplib(wire) == (lines, sum(len(line) + 2 for line in lines))
    assert answers.readline() == b"+OK next\r\n"


@given(CUTS)
def test_only_a_line_that_crlf_has_ended_before_is_the_end_or_is_stuffed(cuts):
    octets = b"\n.\r\na\n.\r\nb\n..c\r\n..d\n.\n\n..\r\n"
    answers = answers_in(*chunks_of(octets + b".\r\n", cuts))
    assert answers.body() == ([b"", b".", b"a", b".", b"b", b"..c", b".d", b".", b"", b".."], len(octets) - 1)


def test_a_cr_alone_is_content():
    answers = answers_in(b"a\rb\nc\r\nd\r\r\n.\r\n")
    assert answers.body() == ([b"a\rb", b"c", b"d\r"], 11)


@given(st.binary(max_size=60), CUTS)
def test_any_octets_are_a_body_or_an_end_of_the_stream(octets, cuts):
    answers = answers_in(*chunks_of(octets, cuts))
    try:
        lines, size = answers.body()
    except EndOfStream:
        assert b"\r\n.\r\n" not in b"\r\n" + octets
    else:
        body, _, rest = (b"\r\n" + octets).partition(b"\r\n.\r\n")
        assert b"\n".join(lines).replace(b"\r\n", b"\n").count(b"\n") == max(len(lines) - 1, 0)
        assert size == len((body + b"\r\n").replace(b"\r\n..", b"\r\n.")) - 2
        assert answers.read() == rest


@given(st.lists(st.sampled_from([b"+OK\r\n", b"+OK\n", b"\r\n", b"\n", b"-ERR no\r\n"]), min_size=1), CUTS)
def test_lines_come_as_they_are(lines, cuts):
    answers = answers_in(*chunks_of(b"".join(lines), cuts))
    for line in lines:
        assert answers.line() == line
        assert answers.crlf is line.endswith(b"\r\n")
    with pytest.raises(EndOfStream):
        answers.line()


@given(
    st.lists(st.sampled_from([b"a", b"b\n", b"\r\n", b"cde"]), max_size=12).map(b"".join),
    CUTS,
    st.lists(st.tuples(st.sampled_from(["read", "readline", "read1", "peek"]), st.integers(0, 7)), max_size=10),
)
def test_it_is_a_file_like_any_other(octets, cuts, reads):
    answers, other = answers_in(*chunks_of(octets, cuts)), io.BytesIO(octets)
    for method, size in reads:
        got = getattr(answers, method)(size)
        if method == "peek":
            assert other.getvalue().startswith(got, other.tell())
        elif method == "read1":
            assert got == other.read(len(got))
            assert len(got) <= size
        else:
            assert got == getattr(other, method)(size)
    assert [*answers] == [*other]
    assert answers.read() == answers.readline() == b""


def test_it_is_a_binary_file_for_whoever_asks():
    answers = answers_in(b"a\r\nb\n", b"c")
    assert isinstance(answers, io.BufferedIOBase)
    for name in dir(io.BufferedIOBase):
        if not name.startswith("_") and name not in ("detach", "seek", "tell", "truncate", "write", "writelines"):
            assert hasattr(answers, name), name
    assert not any([answers.seekable(), answers.isatty(), answers.closed])
    answers.flush()
    assert next(answers) == b"a\r\n"
    assert answers.readlines() == [b"b\n", b"c"]
    with pytest.raises(StopIteration):
        next(answers)
    assert answers_in(b"a\nb\nc\n").readlines(3) == [b"a\n", b"b\n"]
    with answers_in(b"a\r\n\xe9") as answers, io.TextIOWrapper(answers, "latin-1") as text:
        assert text.read() == "a\n\xe9"
    assert answers.closed


def test_it_reads_into_buffers():
    answers = answers_in(b"abc", b"def")
    buffer = bytearray(4)
    assert answers.readinto(buffer) == 4
    assert buffer == b"abcd"
    assert answers.readinto1(buffer) == 2
    assert answers.readable()
    assert not answers.writable()


def test_a_status_line_has_a_limit_and_a_line_of_a_message_has_none():
    answers = answers_in(*[b"x" * 1_000] * 20, b"\r\n")
    assert len(answers.line()) == 20_002
    answers = answers_in(*[b"x" * 1_000] * 20, b"\r\n")
    answers.expects_reply = True
    with pytest.raises(RemoteProtocolError, match="longer than 8,192 octets"):
        answers.line()
    with pytest.raises(OutOfStep, match="nothing was sent: the server sent a line longer"):
        answers.check()


def test_a_body_has_a_limit_of_memory():
    answers = answers_in(*[b"x" * 1_000] * 20, b"\r\n.\r\n", limits=Limits(body=10_000))
    with pytest.raises(RemoteProtocolError, match="more than 10,000 octets"):
        answers.body()
    with pytest.raises(OutOfStep):
        answers.check()


@pytest.fixture
def pair():
    """A file over a socket, and the server's end."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)
    with ours, theirs, AnswerFile(ours.makefile("rb"), ours, DEFAULT_LIMITS, ours.recv) as answers:
        yield answers, theirs


def test_what_comes_right_behind_an_answer_is_seen(pair):
    """In two pieces, as under TLS each record is read by itself."""
    answers, server = pair
    server.sendall(b"+OK first\r\n")
    assert answers.line() == b"+OK first\r\n"
    server.sendall(b"+OK 1 100\r\n")
    with pytest.raises(OutOfStep):
        answers.check()


def test_what_was_not_asked_for_is_seen_before_a_command(pair):
    answers, server = pair
    answers.check()
    server.sendall(b"+OK twice\r\n")
    with pytest.raises(OutOfStep, match="which nothing had asked for"):
        answers.check()


def test_a_farewell_is_raised_as_what_the_server_says(pair):
    answers, server = pair
    server.sendall(b"-ERR idle for too long\r\n")
    with pytest.raises(SessionEnded) as caught:
        answers.check()
    assert caught.value.args == (b"-ERR idle for too long",)
    assert isinstance(caught.value, EndOfStream)
    assert not isinstance(caught.value, CommandRefused)
    assert not caught.value.sent
    assert str(caught.value) == "nothing was sent: the server has ended the session: idle for too long"
    with pytest.raises(OutOfStep):
        answers.check()


def test_a_server_that_has_hung_up_is_seen_before_a_command(pair):
    answers, server = pair
    server.close()
    with pytest.raises(EndOfStream) as caught:
        answers.check()
    assert not caught.value.sent


def test_who_pipelines_by_hand_is_left_alone(pair):
    answers, server = pair
    answers.due = 2
    server.sendall(b"+OK 1\r\n+OK 2\r\n")
    answers.check()
    answers.expects_reply = True
    assert answers.line() == b"+OK 1\r\n"
    answers.check()
    answers.expects_reply = True
    assert answers.line() == b"+OK 2\r\n"
    answers.check()
    assert answers.due == 0


def test_a_body_that_brings_too_little_is_given_up():
    class Clock:
        now = 0.0

    sock = socket.socket()
    clocks = [patch(f"pop3proto.poplib.{name}.monotonic", lambda: Clock.now) for name in ("pace", "connection_file")]
    with sock, clocks[0], clocks[1]:
        sock.settimeout(10)

        def receive(_size):
            Clock.now += 4
            assert Clock.now < 100
            return b"x"

        answers = AnswerFile(io.BytesIO(), sock, Limits(least_rate=100), receive)
        with pytest.raises(TimedOut, match="too slow"):
            answers.body()
        assert sock.gettimeout() == 10
        assert Clock.now < 30
        with pytest.raises(OutOfStep):
            answers.check()


def test_closing_it_closes_what_it_reads():
    source = io.BytesIO()
    AnswerFile(source, None, DEFAULT_LIMITS).close()
    assert source.closed


@pytest.mark.parametrize("end", [b"\n.\r\n", b"\n.\n", b"\r\n.\n"])
@pytest.mark.parametrize("cut", [0, 1])
def test_a_body_that_ends_with_a_dot_that_is_none_of_its_ends_is_explained(end, cut):
    """As of a server that parts lines by LF, and its own by CRLF. To take it for the end would let authors of messages
    write the answers that follow."""
    body = b"+OK\r\nSubject: x\n\nhello" + end
    answers = {b"RETR": [body[:-cut], body[-cut:]] if cut else body}
    with talking(POP3, answers, timeout=0.1) as (client, _):
        with pytest.raises(TimeoutError, match="dot behind an LF without CR"):
            client.retr(1)
        with pytest.raises(OutOfStep):
            client.dele(1)
    for answer, why in ((answers[b"RETR"], "-ERR EOF: it ended with a dot"), (b"+OK\r\nhello\r\n", r"-ERR EOF$")):
        with talking(POP3, {b"RETR": answer}, last=b"RETR") as (client, _), pytest.raises(EndOfStream, match=why):
            client.retr(1)
