"""How text, numbers and SASL data stand on a line, and how they are read back."""

import base64
import re

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.text import (
    ascii_lower,
    ascii_upper,
    check_text,
    counted,
    decode_base64,
    decode_text,
    encode_base64,
    encode_text,
    excerpt,
    is_mechanism,
    numeric,
    read_number,
    visible,
)
from tests.helpers import strategies as some

# ----------------------------------------------------------------------------------------------- text


@given(st.binary())
def test_every_octet_survives(octets):
    assert encode_text(decode_text(octets)) == octets


@given(some.texts(80))
def test_what_can_cross_the_wire_passes(text):
    check_text(text, "a text")
    assert decode_text(encode_text(text)) == text


@given(st.text(st.characters() | st.sampled_from("\r\n\0\ud800\udcc3\udca9\udc80")))
def test_what_passes_can_cross_the_wire(text):
    try:
        check_text(text, "a text")
    except LocalProtocolError:
        return
    octets = encode_text(text)
    assert not set(octets) & set(b"\r\n\0")
    assert decode_text(octets) == text


@pytest.mark.parametrize("octet", ["\r", "\n", "\0"])
@pytest.mark.parametrize("form", ["{}", "a{}", "{}a", "a{}a", "\N{LATIN SMALL LETTER E WITH ACUTE}{}\udcff"])
def test_cr_lf_and_nul_do_not_pass(form, octet):
    with pytest.raises(LocalProtocolError, match=r"^a thing must not contain CR, LF or NUL$"):
        check_text(form.format(octet), "a thing")


@pytest.mark.parametrize(
    "text", [chr(0xD800), chr(0xDC00), chr(0xDC7F), chr(0xDFFF), "\udcc3\udca9", "a\udce2\udc82\udcac"]
)
def test_surrogates_that_stand_for_no_octets_do_not_pass(text):
    # The last two stand for octets that are UTF-8 together, and would come back as other text.
    with pytest.raises(LocalProtocolError, match=r"^a thing contains surrogates that cannot be encoded$"):
        check_text(text, "a thing")


@pytest.mark.parametrize(
    "text", ["", "a", " ", "\t", "\x7f", "\x85", "\u2028", "\udc80", "\udcff\udcff", "\udcc3 \udca9", "\U0010ffff"]
)
def test_what_else_is_odd_passes(text):
    check_text(text, "a thing")


@pytest.mark.parametrize(
    "text, upper",
    [
        ("plain", "PLAIN"),
        ("Sys/Temp-1_x", "SYS/TEMP-1_X"),
        ("", ""),
        ("stra\N{LATIN SMALL LETTER SHARP S}e", "stra\N{LATIN SMALL LETTER SHARP S}e"),
        ("u\N{LATIN SMALL LETTER DOTLESS I}dl", "u\N{LATIN SMALL LETTER DOTLESS I}dl"),
        ("a\udcff", "a\udcff"),
    ],
)
def test_only_ascii_is_turned_into_upper_case(text, upper):
    assert ascii_upper(text) == upper


@pytest.mark.parametrize(
    "text, lower",
    [
        ("Ann@Example.ORG", "ann@example.org"),
        ("", ""),
        (
            "\N{KELVIN SIGN}\N{LATIN CAPITAL LETTER A WITH DIAERESIS}Z",
            "\N{KELVIN SIGN}\N{LATIN CAPITAL LETTER A WITH DIAERESIS}z",
        ),
        ("A\udcff", "a\udcff"),
    ],
)
def test_only_ascii_is_turned_into_lower_case(text, lower):
    assert ascii_lower(text) == lower


@given(st.text(max_size=25) | st.text("AZaz09-_.", max_size=25))
def test_names_of_mechanisms(name):
    # RFC 4422 section 3.1.
    legal = 1 <= len(name) <= 20 and set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert is_mechanism(name) is legal


@given(some.mechanisms)
def test_names_of_mechanisms_are_known_as_such(name):
    assert is_mechanism(name)
    assert not is_mechanism(f"{name}\n")


# -------------------------------------------------------------------------------------------- numbers


@given(st.binary(max_size=25) | st.text("0123456789+- _.", max_size=22).map(str.encode))
def test_a_number_has_1_to_20_ascii_digits(octets):
    number = read_number(octets)
    if 1 <= len(octets) <= 20 and set(octets) <= set(b"0123456789"):
        assert number == int(octets)
    else:
        assert number is None


@pytest.mark.parametrize(
    "octets", [b"", b"+1", b"-1", b" 1", b"1 ", b"1\n", b"1_0", b"1.0", b"0x1", "\u0661".encode(), b"1" * 21]
)
def test_what_is_no_number(octets):
    assert read_number(octets) is None


@pytest.mark.parametrize("octets, number", [(b"0", 0), (b"007", 7), (b"9" * 20, 10**20 - 1), (b"0" * 20, 0)])
def test_numbers(octets, number):
    assert read_number(octets) == number


@attrs.frozen
class Pair:
    ordinal: int = attrs.field(validator=numeric("an ordinal", minimum=1))
    count: int = attrs.field(default=0, validator=numeric("a count", minimum=0))


def test_numbers_that_are_given_have_bounds():
    for good in (Pair(1), Pair(10**20 - 1), Pair(1, 10**20 - 1)):
        assert good.ordinal >= 1
    for ordinal in (0, -1, 10**20):
        with pytest.raises(LocalProtocolError, match=r"^an ordinal must be at least 1 and have at most 20 digits$"):
            Pair(ordinal)
    for count in (-1, 10**20):
        with pytest.raises(LocalProtocolError, match=r"^a count must be at least 0 and have at most 20 digits$"):
            Pair(1, count)


@pytest.mark.parametrize("thing", ["1", 1.0, None, b"1"])
def test_numbers_that_are_given_are_integers(thing):
    with pytest.raises(TypeError):
        Pair(thing)


# --------------------------------------------------------------------------------------------- base64


@given(st.binary())
def test_base64_there_and_back(octets):
    encoded = encode_base64(octets)
    assert encoded == base64.b64encode(octets)
    assert decode_base64(encoded) == octets


# RFC 4648 section 4: whole groups of four, padding in the last one only.
GRAMMAR = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@given(
    st.binary(max_size=12)
    | st.text("AB+/=", max_size=12).map(str.encode)
    | st.text("A= \n-_", max_size=8).map(str.encode)
)
def test_base64_is_read_by_the_grammar_and_no_further(octets):
    if GRAMMAR.fullmatch(octets):
        assert decode_base64(octets) == base64.b64decode(octets)
    else:
        assert decode_base64(octets) is None


@pytest.mark.parametrize(
    "octets",
    [
        *(b"=AAA", b"AAA=BBB", b"AA", b"AA== ", b"A A=", b"A", b"A===", b"AAAA=", b"AAAA==", b"AAAA===", b"AAAA===="),
        *(b"=", b"==", b"====", b"AA==AA==", b"AAA=AAAA", b"AAAA\r\n", b"AA-_", b"AAA\xff", b"\0AAA", b"*"),
    ],
)
def test_what_is_no_base64(octets):
    # RFC 5034 section 4. Python before 3.13 lets some of it pass.
    assert decode_base64(octets) is None


@pytest.mark.parametrize(
    "octets, data", [(b"", b""), (b"AAAA", b"\0\0\0"), (b"AA==", b"\0"), (b"AB==", b"\0"), (b"QUIT", b"A\x42\x13")]
)
def test_base64(octets, data):
    assert decode_base64(octets) == data


# ------------------------------------------------------------------------------------------- excerpts


def test_an_excerpt_is_short_and_printable():
    assert excerpt(b"") == "''"
    assert excerpt(b"* OK\r\n") == r"'* OK\r\n'"
    assert excerpt(b"\xff\0") == r"'\xff\x00'"
    assert excerpt(b"a" * 60) == "'" + "a" * 60 + "'"
    assert excerpt(b"a" * 61) == "'" + "a" * 60 + "'..."


@given(st.binary() | st.just(b"\xff" * 10_000))
def test_any_excerpt_is_short_and_printable(octets):
    assert re.fullmatch(r"[ -~]{2,245}", excerpt(octets))


@pytest.mark.parametrize("number, counted_messages", [(0, "0 messages"), (1, "1 message"), (1_234, "1,234 messages")])
def test_counted(number, counted_messages):
    assert counted(number, "message") == counted_messages


# ------------------------------------------------------------------------------------- printing and logging


def test_what_would_move_the_cursor_or_end_the_line_is_escaped():
    assert visible("caf\u00e9 \x1b\x9b\u202e\u2028\udcff\r\n") == "caf\u00e9 \\x1b\\x9b\\u202e\\u2028\\xff\\r\\n"


@given(st.text(st.characters() | st.sampled_from("\r\n\0\ud800\udcc3\udca9\udc80")))
def test_what_is_shown_is_printable(text):
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)
