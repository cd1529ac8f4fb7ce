"""Dot-stuffing, both ways: laws first, then the vectors of RFC 1939, then the mail that people really have."""

import array
import itertools
import random
import re
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import example, given, strategies as st

from pop3proto.core import dots
from pop3proto.core.dots import BodyDecoder, BodyEncoder
from pop3proto.core.errors import LocalProtocolError

# ------------------------------------------------------------------- the same, slowly and obviously


def canonical(message, bare_cr="keep"):
    """The message as a client must receive it: all lines end with CRLF."""
    out = bytearray()
    for index, octet in enumerate(message):
        before, behind = message[index - 1 : index], message[index + 1 : index + 2]
        bare_lf = octet == 10 and before != b"\r"
        made_line_end = octet == 13 and behind != b"\n" and bare_cr == "crlf"
        out += b"\r\n" if bare_lf or made_line_end else bytes([octet])
    if out and not out.endswith(b"\r\n"):
        out += b"\r\n"
    return bytes(out)


def lines_of(octets):
    """Cut behind every CRLF; what is behind the last one is no line yet."""
    *lines, rest = octets.split(b"\r\n")
    return [line + b"\r\n" for line in lines], rest


def stuffed(message):
    lines, rest = lines_of(message)
    assert not rest
    return b"".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


def unstuffed(wire):
    """Return (body, eof, unused, held)."""
    lines, rest = lines_of(wire)
    body = b""
    for index, line in enumerate(lines):
        if line == b".\r\n":
            return body, True, b"".join(lines[index + 1 :]) + rest, b""
        body += line.removeprefix(b".")
    if rest in {b".", b".\r"}:
        return body, False, b"", rest
    return body + rest.removeprefix(b"."), False, b"", b""


# ------------------------------------------------------------------------------------ what is drawn

PARTS = (
    *(b"\r", b"\n", b".", b"x", b"\0", b"\xff"),
    *(b"\r\n", b"\r\n.", b"\r\n..", b"\r\n.\r", b"\r\n.\r\n", b"\n.\n", b"\n.", b"text.\r\n", b"64" * 38 + b"\r\n"),
)
octets = st.lists(st.sampled_from(PARTS), max_size=24).map(b"".join)
few_octets = st.lists(st.sampled_from(PARTS[:-1]), max_size=8).map(b"".join)
long_octets = st.builds(lambda part, times, rest: part * times + rest, octets, st.integers(0, 40), octets)
any_octets = octets | long_octets | st.binary(max_size=40)
sizes = st.lists(st.integers(1, 7) | st.integers(1, 2000), min_size=1, max_size=12)
bare_cr_modes = st.sampled_from(["keep", "crlf"])


def cut(data, sizes):
    """Cut data into pieces of these sizes, over and over."""
    pieces, start = [], 0
    for size in itertools.cycle(sizes):
        if start >= len(data):
            return pieces
        pieces.append(data[start : start + size])
        start += size
    raise AssertionError


def decode(pieces):
    decoder = BodyDecoder()
    body = b"".join([decoder.feed(piece) for piece in pieces])
    kept = len(body) + len(decoder.unused_data) + (len(b".\r\n") if decoder.eof else len(decoder.held))
    assert decoder.removed == sum(map(len, pieces)) - kept
    return body, decoder.eof, decoder.unused_data, decoder.held


def encode(pieces, **how):
    encoder = BodyEncoder(**how)
    wire = b"".join([encoder.feed(piece) for piece in pieces])
    return wire + encoder.finish(), encoder.octets


# ------------------------------------------------------------------------------------- laws: decode


@given(any_octets, sizes)
@example(b"\r\n.x\r\n" * 30 + b".\r\nrest", [1000])
@example(b"\r\n.x\r\n" * 30 + b".\r", [1000])
@example(b"\r\n.x\r\n" * 30 + b".", [1000])
@example(b"x" + b"\r\n.y" * 4 + b"\r\n.", [1000])
@example(b"x" + b"\r\n.y" * 4 + b"\r\n.\r", [1000])
def test_decoder_does_what_a_loop_over_lines_does(wire, sizes):
    assert decode(cut(wire, sizes)) == unstuffed(wire)


@given(few_octets)
def test_decoder_does_not_care_where_the_wire_is_cut(wire):
    whole = decode([wire])
    assert decode(cut(wire, [1])) == whole
    for first, second in itertools.combinations(range(len(wire) + 1), 2):
        assert decode([wire[:first], wire[first:second], wire[second:]]) == whole


@given(any_octets, sizes)
def test_decoder_holds_back_only_what_may_be_the_end(wire, sizes):
    decoder = BodyDecoder()
    seen = out = b""
    for piece in cut(wire, sizes):
        seen += piece
        out += decoder.feed(piece)
        body, eof, _, held = unstuffed(seen)
        assert (out, decoder.eof, decoder.held) == (body, eof, held)
        assert len(decoder.held) <= 2


@given(any_octets, any_octets, sizes)
@example(b"\r", b"\n.\r\n", [1])
@example(b"\r", b"\n", [1])
@example(b"\r\n", b".\r\n", [1])
@example(b"\r\n.", b"\r\n.\r\n", [2])
@example(b".", b"64\r\n" * 30, [50])
def test_decode_works_inside_of_a_larger_buffer(before, wire, sizes):
    """What is in front of the offset is not looked at, and what is behind the end is not consumed."""
    decoder = BodyDecoder()
    body, buffer, offset = b"", before, len(before)
    for piece in [b"", *cut(wire, sizes)]:
        buffer += piece
        octets, offset = decoder.decode(buffer, offset)
        body += octets
        assert decoder.eof or offset == len(buffer)
    assert (body, decoder.eof, buffer[offset:], decoder.held) == unstuffed(wire)
    assert decoder.decode(buffer, offset) == (b"", offset)


@given(st.lists(octets, max_size=6))
def test_bodies_in_one_buffer_are_decoded_one_after_the_other(messages):
    buffer = b"".join(encode([message])[0] for message in messages)
    offset = 0
    for message in messages:
        decoder = BodyDecoder()
        body, offset = decoder.decode(buffer, offset)
        assert decoder.eof
        assert body == canonical(message)
    assert offset == len(buffer)


@given(octets, octets, sizes)
def test_the_end_is_told_in_the_words_of_zlib(body, rest, sizes):
    ours, theirs = BodyDecoder(), zlib.decompressobj()
    ours.feed(encode([body])[0])
    theirs.decompress(zlib.compress(body))
    for piece in cut(rest, sizes):
        assert ours.feed(piece) == theirs.decompress(piece) == b""
    assert (ours.eof, ours.unused_data) == (theirs.eof, theirs.unused_data) == (True, rest)
    for name in ("eof", "unused_data"):
        for decoder in (ours, theirs):
            with pytest.raises(AttributeError):
                setattr(decoder, name, b"")


# ------------------------------------------------------------------------------------- laws: encode


@given(any_octets, sizes, bare_cr_modes)
@example(b"a\r\n.b\r\n" * 30, [1000], "keep")
@example(b"a\r\n" * 30 + b"b\n" + b".a\r\n" * 30, [1000], "keep")
@example(b"a\r\n.b\r\n.c\nd\r\n", [1000], "keep")
def test_encoder_does_what_a_loop_over_lines_does(message, sizes, bare_cr):
    expected = canonical(message, bare_cr)
    assert encode(cut(message, sizes), bare_cr=bare_cr) == (stuffed(expected), len(expected))


@given(few_octets, bare_cr_modes, st.booleans())
def test_encoder_does_not_care_where_the_message_is_cut(message, bare_cr, trusted_crlf):
    how = {"bare_cr": bare_cr, "trusted_crlf": trusted_crlf}
    whole = encode([message], **how)
    assert encode(cut(message, [1]), **how) == whole
    assert encode([b"", *cut(message, [1]), b""], **how) == whole
    for first, second in itertools.combinations(range(len(message) + 1), 2):
        assert encode([message[:first], message[first:second], message[second:]], **how) == whole


@given(any_octets, sizes, sizes, bare_cr_modes)
def test_what_is_encoded_is_decoded(message, sizes, other_sizes, bare_cr):
    wire, size = encode(cut(message, sizes), bare_cr=bare_cr)
    body, eof, unused, _ = decode(cut(wire, other_sizes))
    assert (body, eof, unused) == (canonical(message, bare_cr), True, b"")
    assert len(body) == size


@given(any_octets, sizes, bare_cr_modes)
def test_nothing_on_the_wire_ends_a_body_before_its_end(message, sizes, bare_cr):
    """Not for a client that takes a bare LF for a line end, either."""
    wire, _ = encode(cut(message, sizes), bare_cr=bare_cr)
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    assert re.search(rb"(?<!\r)\n", wire) is None
    if bare_cr == "crlf":
        assert re.search(rb"\r(?!\n)", wire) is None


@given(any_octets, sizes)
def test_encoder_keeps_no_octet_but_a_last_cr(message, sizes):
    encoder = BodyEncoder()
    seen = b""
    wire = b""
    for piece in cut(message, sizes):
        seen += piece
        wire += encoder.feed(piece)
        line_ended = canonical(seen.removesuffix(b"\r"))
        assert wire == stuffed(line_ended).removesuffix(b".\r\n")[: len(wire)]
        assert encoder.octets == len(line_ended) - (
            0 if seen.removesuffix(b"\r").endswith(b"\n") or not line_ended else 2
        )
        assert wire.count(b"x") == seen.count(b"x")


@given(any_octets.map(canonical), sizes)
def test_trusted_crlf_changes_nothing_for_a_message_with_crlf(message, sizes):
    message = message.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
    assert encode(cut(message, sizes), trusted_crlf=True) == encode([message])


def test_trusted_crlf_does_not_look_for_bare_lf():
    assert encode([b"a\nb"], trusted_crlf=True) == (b"a\nb\r\n.\r\n", 5)


@given(octets)
def test_a_finished_encoder_stays_as_it_is(message):
    encoder = BodyEncoder()
    encoder.feed(message)
    encoder.finish()
    size = encoder.octets
    with pytest.raises(LocalProtocolError, match="finished"):
        encoder.feed(message)
    with pytest.raises(LocalProtocolError, match="finished"):
        encoder.finish()
    assert encoder.octets == size


def test_the_size_is_not_to_be_set():
    with pytest.raises(AttributeError):
        BodyEncoder().octets = 7


# ------------------------------------------------------------------------------- buffers and memory


class Liar(bytes):
    """A subclass may do anything."""

    __slots__ = ()

    def find(self, *args):
        return -1


@pytest.mark.parametrize("codec", [BodyDecoder, BodyEncoder])
@pytest.mark.parametrize("data", [b"no dots, no line ends", b"64" * 38 + b"\r\nx", b"a.b\r\nc"])
def test_bytes_may_go_out_uncopied(codec, data):
    codec = codec()
    codec.feed(b"x")
    assert codec.feed(data) is data


@pytest.mark.parametrize("codec", [BodyDecoder, BodyEncoder])
@pytest.mark.parametrize("view", [bytearray, memoryview])
def test_any_other_buffer_is_copied(codec, view):
    octets = bytearray(b"abcd")
    out = codec().feed(view(octets))
    octets[0] = 0
    assert type(out) is bytes
    assert out == b"abcd"


@pytest.mark.parametrize("codec", [BodyDecoder, BodyEncoder])
@pytest.mark.parametrize("buffer", [Liar(b"a\r\n.b"), memoryview(b"a-\r-\n-.-b")[::2]])
def test_only_the_octets_of_a_buffer_count(codec, buffer):
    out = codec().feed(buffer)
    assert type(out) is bytes
    assert out == codec().feed(b"a\r\n.b")


@pytest.mark.parametrize("codec", [BodyDecoder, BodyEncoder])
def test_a_buffer_is_its_octets(codec):
    assert codec().feed(array.array("H", [0x6161, 0x6262])) == b"aabb"


@pytest.mark.parametrize("codec", [BodyDecoder, BodyEncoder])
@pytest.mark.parametrize("wrong", ["text", 3, None, [65]])
def test_what_is_no_buffer_is_refused(codec, wrong):
    with pytest.raises(TypeError):
        codec().feed(wrong)


def test_unused_data_is_copied_too():
    decoder = BodyDecoder()
    buffer = bytearray(b".\r\nrest")
    decoder.feed(buffer)
    buffer[:] = b"changed"
    assert decoder.unused_data == b"rest"


@pytest.mark.parametrize("codec", [BodyDecoder, BodyEncoder])
def test_nothing_is_kept_however_long_the_message(codec):
    codec = codec()
    chunk = b"x\r\n..line\r\nanother line" * 40 + b"\r\n."
    codec.feed(chunk)
    tracemalloc.start()
    try:
        for _ in range(1000):
            codec.feed(chunk)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50 * len(chunk)  # the interpreter keeps some things of its own


# ----------------------------------------------------------------------------------- work, not time


class Watched(bytes):
    """Octets that count how many of them were looked at, in pieces of them too."""

    __slots__ = ()
    looked_at = 0

    def find(self, wanted, start=0):
        found = super().find(wanted, start)
        Watched.looked_at += (len(self) if found < 0 else found + len(wanted)) - start
        return found

    def rsplit(self, wanted, times=-1):
        first, *pieces = super().rsplit(wanted, times)
        all_split = times < 0 or len(pieces) < times
        Watched.looked_at += len(self) if all_split else len(self) - len(first)
        return [Watched(first), *pieces]

    def replace(self, old, new):
        Watched.looked_at += 2 * len(self)
        return super().replace(old, new)

    def __getitem__(self, key):
        got = super().__getitem__(key)
        Watched.looked_at += len(got) if isinstance(got, bytes) else 1
        return Watched(got) if isinstance(got, bytes) else got


class WatchedPattern:
    """A pattern that counts how much it searched."""

    def __init__(self, pattern):
        self.pattern = pattern

    def finditer(self, data, start):
        looked = start
        for match in self.pattern.finditer(data, start):
            Watched.looked_at += match.end() - looked
            looked = match.end()
            yield match
        Watched.looked_at += len(data) - looked


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(dots, "_LEADING_DOT", WatchedPattern(dots._LEADING_DOT))
    monkeypatch.setattr(Watched, "looked_at", 0)
    return Watched


TEXT = b"sixteen octets.\n"
BODIES = [
    *(b"", b"short\r\n", b".\r\n" * 40, b"..." * 1000, b"line of text.\r\n.dot\r\n" * 30, b"\r\n\r\n.\r" * 100),
    *(TEXT * 200 + b"\r\n.dot\r\n" + TEXT * 200, (TEXT * 200 + b"\r\n.dot\r\n") * 5, TEXT * 200 + b".\r\n" * 800),
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("times", [1, 100])
def test_octets_are_looked_at_a_fixed_number_of_times_whatever_waits_behind(watched, body, times):
    wire = encode([body])[0]
    data = watched(wire * times)
    offset = 0
    for _ in range(times):
        decoder = BodyDecoder()
        _, offset = decoder.decode(data, offset)
        assert decoder.eof
    assert offset == len(data)
    assert watched.looked_at <= 5 * len(data) + 20 * times


@pytest.mark.parametrize("end", [b".", b".\r", b"\r", b"\r\n", b""])
def test_octets_are_looked_at_a_fixed_number_of_times_at_the_borders_of_chunks(watched, end):
    data = watched(b"x\r\n..\r\n" + end)
    decoder = BodyDecoder()
    for _ in range(100):
        decoder.decode(data, 0)
    assert not decoder.eof
    assert watched.looked_at <= 100 * (5 * len(data) + 20)


def steps(function, *args):
    """Count the calls that it makes, of Python and of C."""
    count = 0

    def profile(frame, event, arg):
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function(*args)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("codec", [BodyDecoder, BodyEncoder])
@pytest.mark.parametrize(
    "line",
    [b".\r\n", b"..\r\n", b"\r\n.", b".x\r\n", b"\r\n.\r", b"..\r\n\r\n", b"\n", b"\r", b".\n", b"a\n.b\r\n.c\r", b"."],
)
def test_a_chunk_takes_few_steps_of_python_whatever_is_in_it(codec, line):
    small, large = b"x" + line * 1000, b"x" + line * 30_000
    assert steps(codec().feed, large) <= steps(codec().feed, small) + 10


@pytest.mark.parametrize("end", [b"", (b"." + b"x" * 41 + b"\r\n") * 20], ids=["all alike", "the last ones rare"])
@pytest.mark.parametrize("line", [b".abc\r\n", b".\r\n"])
def test_many_leading_dots_take_no_object_each(line, end):
    """Or memory would grow with their number, and speed would fall: whoever has written the message decides both."""
    message = line * 10_000 + end
    wire, _ = encode([message])
    for codec, chunk in ((BodyEncoder(), message), (BodyDecoder(), wire)):
        tracemalloc.start()
        try:
            codec.feed(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 5 * len(wire)


def test_what_is_before_the_offset_costs_no_steps():
    wire = b"\r\n..x" * 1000
    offset = 1_000_000
    assert steps(BodyDecoder().decode, b"x" * offset + wire, offset) <= steps(BodyDecoder().decode, wire, 0) + 10


def test_sparse_dots_take_a_few_steps_each():
    wire = (b"x" * 5000 + b"\r\n.") * 100
    for codec in (BodyDecoder, BodyEncoder):
        assert steps(codec().feed, wire) <= 100 * 8 + 50


# --------------------------------------------------------- vectors: RFC 1939 section 3, both directions

VECTORS = [
    # the message as it is stored, its size, what goes over the wire
    (b"", 0, b".\r\n"),
    (b"\r\n", 2, b"\r\n.\r\n"),
    (b"a\r\n", 3, b"a\r\n.\r\n"),
    (b"a", 3, b"a\r\n.\r\n"),
    (b".\r\n", 3, b"..\r\n.\r\n"),
    (b".", 3, b"..\r\n.\r\n"),
    (b"..\r\n", 4, b"...\r\n.\r\n"),
    (b".a\r\n", 4, b"..a\r\n.\r\n"),
    (b"a.b\r\n", 5, b"a.b\r\n.\r\n"),
    (b"a\r\n.\r\nb\r\n", 9, b"a\r\n..\r\nb\r\n.\r\n"),
    (b". \r\n", 4, b".. \r\n.\r\n"),
    (b"a\r\n.", 6, b"a\r\n..\r\n.\r\n"),
    (b"a\n.\nb\n", 9, b"a\r\n..\r\nb\r\n.\r\n"),
    (b"H: x\r\n\r\n", 8, b"H: x\r\n\r\n.\r\n"),  # TOP 1 0 of the message in the next row
    (b"H: x\r\n\r\n.b\r\n", 12, b"H: x\r\n\r\n..b\r\n.\r\n"),
]


@pytest.mark.parametrize("message, size, wire", VECTORS)
def test_vectors_to_the_wire(message, size, wire):
    for at in range(len(message) + 1):
        assert encode([message[:at], message[at:]]) == (wire, size)
    assert encode(cut(message, [1])) == (wire, size)


@pytest.mark.parametrize("message, size, wire", VECTORS)
def test_vectors_from_the_wire(message, size, wire):
    expected = (canonical(message), True, b"+OK", b"")
    assert len(expected[0]) == size
    wire += b"+OK"
    for at in range(len(wire) + 1):
        assert decode([wire[:at], wire[at:]]) == expected
    assert decode(cut(wire, [1])) == expected


@pytest.mark.parametrize(
    "line, octets",
    [
        (b"..\r\n", b".\r\n"),
        (b"...\r\n", b"..\r\n"),
        (b".a\r\n", b"a\r\n"),  # the server forgot to stuff; the rule takes a dot away all the same
        (b". \r\n", b" \r\n"),
        (b".\t\r\n", b"\t\r\n"),
        (b".\rX\r\n", b"\rX\r\n"),
        (b".\r\r\n", b"\r\r\n"),
        (b".\n\r\n", b"\n\r\n"),
        (b".\0\r\n", b"\0\r\n"),
        (b"\r\n", b"\r\n"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"a\r\n"])
def test_lines_from_the_wire(before, line, octets):
    wire = before + line + b".\r\n"
    for at in range(len(wire) + 1):
        assert decode([wire[:at], wire[at:]]) == (before + octets, True, b"", b"")
    assert decode(cut(wire, [1])) == (before + octets, True, b"", b"")


@pytest.mark.parametrize(
    "wire", [b"a\n.\n", b"a\n.\r\n", b"a\r\n.\n", b"a\r.\r\n", b"a\r\r.\r\n", b"a.\r\n", b".\r\r\n", b"\n.\r\n"]
)
def test_nothing_else_ends_a_body(wire):
    assert decode([wire])[1] is False
    assert decode(cut(wire, [1]))[1] is False


@pytest.mark.parametrize(
    "wire, out, held",
    [
        (b"a\r", b"a\r", b""),
        (b"a\r\n", b"a\r\n", b""),
        (b"a\r\n.", b"a\r\n", b"."),
        (b"a\r\n.\r", b"a\r\n", b".\r"),
        (b"a\r\n..", b"a\r\n.", b""),
        (b"a.", b"a.", b""),
        (b"", b"", b""),
        (b".", b"", b"."),
        (b".\r", b"", b".\r"),
        (b".\r\r", b"\r\r", b""),
    ],
)
def test_what_goes_out_at_once_and_what_is_held(wire, out, held):
    assert decode([wire]) == decode(cut(wire, [1])) == (out, False, b"", held)


# ---------------------------------------------------------------- messages, as a maildrop holds them


@pytest.mark.parametrize(
    "message, body",
    [
        (b"unix\nline ends\n", b"unix\r\nline ends\r\n"),
        (b"mixed\r\nline\nends\r\n", b"mixed\r\nline\r\nends\r\n"),
        (b"no line end at the end", b"no line end at the end\r\n"),
        (b"H: header without body\n", b"H: header without body\r\n"),
        (b".first line with a dot\n", b".first line with a dot\r\n"),
        (b".\n", b".\r\n"),
        (b"a\n.\n", b"a\r\n.\r\n"),
        (b"\n\n\n", b"\r\n\r\n\r\n"),
        (b"NUL \0 and 8-bit \x80\xff\n", b"NUL \0 and 8-bit \x80\xff\r\n"),
        (b"\r\n\n\r\n", b"\r\n\r\n\r\n"),
        (b"too many\r\r\n", b"too many\r\r\n"),
        (b"bare \r inside\n", b"bare \r inside\r\n"),
        (b"\r", b"\r\r\n"),
        (b"ends with cr\r", b"ends with cr\r\r\n"),
        (b"a\r.\n", b"a\r.\r\n"),
        (b"x" * 100_000, b"x" * 100_000 + b"\r\n"),
    ],
)
def test_mail_as_it_is(message, body):
    for pieces in ([message], cut(message, [1]), cut(message, [7])):
        wire, size = encode(pieces)
        assert size == len(body)
        assert decode([wire]) == (body, True, b"", b"")


@pytest.mark.parametrize(
    "message, keep, crlf",
    [
        (b"a\rb", b"a\rb\r\n", b"a\r\nb\r\n"),
        (b"a\r", b"a\r\r\n", b"a\r\n"),
        (b"\r\r", b"\r\r\r\n", b"\r\n\r\n"),
        (b"a\r\r\n", b"a\r\r\n", b"a\r\n\r\n"),
        (b"a\r.\rb\n", b"a\r.\rb\r\n", b"a\r\n.\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"mac\rlines\r", b"mac\rlines\r\r\n", b"mac\r\nlines\r\n"),
    ],
)
def test_bare_cr(message, keep, crlf):
    for pieces in ([message], cut(message, [1])):
        assert encode(pieces) == encode(pieces, bare_cr="keep") == (stuffed(keep), len(keep))
        assert encode(pieces, bare_cr="crlf") == (stuffed(crlf), len(crlf))


@pytest.mark.deep(keep=10)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("chunk", [1460, 65_536])
@pytest.mark.parametrize("gap", [1, 20, 200, 2000, 20_000])
def test_leading_dots_at_any_distance(line_end, chunk, gap):
    """Few and many take different ways."""
    chance = random.Random(gap)
    lines = [b"." * chance.randrange(4) + b"x" * chance.randrange(2 * gap) + b"." for _ in range(100_000 // gap)]
    message = line_end.join(lines) + line_end
    body = message.replace(line_end, b"\r\n")
    wire, size = encode(cut(message, [chunk]))
    assert wire == stuffed(body)
    assert size == len(body)
    assert decode(cut(wire + wire, [chunk])) == (body, True, wire, b"")


PROSE = b"Some words, and a dot. Some more of them.\r\n"
DOTTED = b"." + PROSE
RARE = PROSE * 40 + b".\r\n" + PROSE * 40 + b"..x\r\n"
WAYS = {
    "no leading dot": PROSE * 100,
    "no dot": b"base64+/\r\n" * 400,
    "few leading dots": RARE * 6,
    "many leading dots": DOTTED * 200,
    "nothing but leading dots": b".\r\n" * 2_000,
    "few, then many": RARE * 4 + DOTTED * 300,
    "many, then few": DOTTED * 300 + RARE * 4,
    "few, then nothing but": RARE * 4 + b".\r\n" * 4_000,
    "nothing but, then few": b".\r\n" * 1_000 + RARE * 4,
    "a bare LF behind few": RARE * 4 + b"\n." + RARE,
    "a bare LF behind many": DOTTED * 100 + b"bare\n.\n" + DOTTED * 100,
    "a bare LF in front": b"bare\n" + RARE + DOTTED * 10,
    "LF alone": (RARE * 3 + DOTTED * 100 + b".\r\n" * 500).replace(b"\r\n", b"\n"),
    "bare CR": RARE.replace(b"words", b"wo\rds") * 3 + b"\r.\r\r\n." + DOTTED * 50,
    "one long line": b"." * 5_000 + b"x" * 5_000,
}


@pytest.mark.parametrize("bare_cr", ["keep", "crlf"])
@pytest.mark.parametrize("message", WAYS.values(), ids=WAYS)
def test_each_way_through_the_codec_does_the_same(message, bare_cr):
    """Whatever the dots of a chunk make it take."""
    body = canonical(message, bare_cr)
    forgotten = b"x\r\n" + body.replace(b"\r\n.\r\n", b"\r\n. \r\n")  # by a server that does not stuff dots
    for size in (1_000, 1_460, 4_096, 1 << 20):
        wire, octets = encode(cut(message, [size]), bare_cr=bare_cr)
        assert (wire, octets) == (stuffed(body), len(body))
        assert decode(cut(wire + b"+OK\r\n.", [size])) == (body, True, b"+OK\r\n.", b"")
        assert decode(cut(forgotten, [size])) == unstuffed(forgotten)


@pytest.mark.parametrize("message", WAYS.values(), ids=WAYS)
def test_each_way_through_the_codec_finds_the_same_end(message):
    wire, _ = encode([message])
    body = canonical(message)
    for at in range(len(wire) - 6, len(wire) + 1):
        assert decode([wire[:at], wire[at:] + wire]) == (body, True, wire, b"")


@pytest.mark.parametrize("held", [b".", b".\r"])
@pytest.mark.parametrize("message", WAYS.values(), ids=WAYS)
def test_what_was_held_back_comes_first_in_each_way(message, held):
    wire = b"y\r\n" + encode([message])[0]
    assert decode([b"x\r\n" + held, wire]) == unstuffed(b"x\r\n" + held + wire)
