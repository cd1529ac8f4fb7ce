"""SASLprep (RFC 4013)."""

import stringprep
from unicodedata import ucd_3_2_0

import pytest
from hypothesis import example, given, strategies as st

from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.saslprep import _decomposed, prepare
from tests.helpers.sasl_exchanges import SECRET, VECTORS, assert_without_secret, names

[VECTOR] = [vector for vector in VECTORS if vector["mechanism"] == "SASLprep"]
ROWS = [pytest.param(row, id=ascii(row["input"])) for row in VECTOR["inputs"]["table"]]

accents = st.text(st.sampled_from("e\u0301\u0316\u0345\u0323\u3099\u0591\u1ab0"), max_size=40)


def plainly(text):
    """Section 2 step by step, as slow as it comes."""
    spaced = [" " if stringprep.in_table_c12(c) else c for c in text]
    return ucd_3_2_0.normalize("NFKC", "".join(c for c in spaced if not stringprep.in_table_b1(c)))


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("row", ROWS)
def test_vectors(row, stored):
    if row["error"]:
        with pytest.raises(MechanismError):
            prepare(row["input"], stored=stored)
    else:
        assert prepare(row["input"], stored=stored) == row["output"]


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_printable_ascii_stays_as_it_is(text):
    assert prepare(text, stored=True) == text


@given(names | accents)
@example("e" + "\u0301\u0316" * 200)
def test_it_maps_and_normalizes(text):
    assert prepare(text, stored=False) == plainly(text)


@given(names)
def test_what_is_prepared_stays_as_it_is(text):
    once = prepare(text, stored=False)
    assert prepare(once, stored=False) == once


@given(st.text(st.characters()), st.booleans())
def test_any_text_is_prepared_or_refused(text, stored):
    try:
        prepared = prepare(text, stored=stored)
    except MechanismError as refusal:
        assert_without_secret(refusal, *([text] if len(text) > 2 else []))
        return
    prepared.encode()
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in prepared)


@given(st.text(st.characters()))
def test_what_may_be_stored_may_be_asked_for(text):
    try:
        prepared = prepare(text, stored=True)
    except MechanismError:
        return
    assert prepare(text, stored=False) == prepared


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\0", id="C.2.1 NUL"),
        pytest.param("\n", id="C.2.1 LF"),
        pytest.param("\x7f", id="C.2.1 DEL"),
        pytest.param("\x85", id="C.2.2 NEL"),
        pytest.param("\u2028", id="C.2.2 line separator"),
        pytest.param("\ue000", id="C.3 private use"),
        pytest.param("\U0010fffd", id="C.3 private use, plane 16"),
        pytest.param("\ufdd0", id="C.4 no character"),
        pytest.param("\ud800", id="C.5 surrogate"),
        pytest.param("\udcff", id="C.5 surrogate of an octet"),
        pytest.param("\ufffd", id="C.6 replacement"),
        pytest.param("\u2ff0", id="C.7 ideographic description"),
        pytest.param("\u200e", id="C.8 left-to-right mark"),
        pytest.param("\U000e0041", id="C.9 tag"),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_what_is_prohibited(character, stored):
    with pytest.raises(MechanismError) as refusal:
        prepare(f"{SECRET}{character}", stored=stored)
    assert_without_secret(refusal.value, SECRET)


@pytest.mark.parametrize("text", ["\u0221", "\U0001f512", "a\u0221b"])
def test_what_unicode_did_not_have_may_be_asked_for_but_not_stored(text):
    assert prepare(text, stored=False) == text
    with pytest.raises(MechanismError) as refusal:
        prepare(f"{SECRET}{text}", stored=True)
    assert_without_secret(refusal.value, SECRET)


@pytest.mark.parametrize("text", ["\u0627", "\u0627\u0628", "\u06271\u0628", "אב ג", "\u05d0\u0301\u05d1"])
def test_from_right_to_left(text):
    assert prepare(text, stored=True) == text


@pytest.mark.parametrize("text", ["\u06271", "1\u0627", "\u0627a\u0628", "a\u0627", "\u0627a", "\u05d0\u0301"])
def test_directions_are_not_mixed(text):
    with pytest.raises(MechanismError):
        prepare(text, stored=False)


def test_every_blank_is_a_space():
    assert prepare("\u00a0\u1680\u2000\u200b\u202f\u205f\u3000", stored=True) == " " * 7


def test_what_shows_nothing_is_dropped():
    assert prepare("a\u00ad\u034f\u200d\u2060\ufe0f\ufeffb", stored=True) == "ab"


@pytest.mark.parametrize("text", ["q" + "\u0301\u0316" * 40, "\u0301\u0316\u0323e\u0301", "\u1ab0\u0316\u0f71\u0f74"])
def test_accents_are_sorted_before_unicodedata_has_to(text):
    # It sorts by insertion: a name of nothing but accents would take quadratic time.
    assert "".join(_decomposed(iter(text))) == ucd_3_2_0.normalize("NFKD", text) != text
