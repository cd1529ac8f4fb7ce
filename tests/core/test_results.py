"""What replies mean: drop listings, scan listings, unique ids, languages."""

from collections.abc import Mapping

import pytest
from hypothesis import example, given, strategies as st

from pop3proto.core.errors import LocalProtocolError, MalformedReply
from pop3proto.core.results import (
    Language,
    Listing,
    MaildropStatus,
    ScanListing,
    UniqueId,
    UniqueIdListing,
    check_unique_id,
)
from tests.helpers import strategies as some

ENTRIES = 1_000_000

listings = some.scan_listings | some.unique_id_listings
both_kinds = pytest.mark.parametrize("kind", [ScanListing, UniqueIdListing])


def read(kind: type[Listing[object]], body: bytes) -> Listing[object]:
    return kind.parse(body, entries=ENTRIES)


def contents(listing: Listing[object]) -> tuple[object, ...]:
    """All of a listing; `==` is that of mappings, to which order and leftovers are nothing."""
    return type(listing), list(listing.items()), listing.unreadable, listing.duplicates


# ----------------------------------------------------------------------------------------------- laws


@given(listings)
def test_what_is_listed_is_read(listing):
    body = listing.encode()
    assert contents(read(type(listing), body)) == contents(listing)
    assert b"".join(b"%d %b\r\n" % (number, str(value).encode()) for number, value in listing.items()) == body


# Rows of which the whole listing may follow the grammar, and the same with something that does not.
_numbers = st.sampled_from([b"1", b"2", b"3", b"10", b"9" * 20])
_strict_rows = st.tuples(_numbers, st.sampled_from([b"0", b"120", b"0120", b"9" * 20, b"5"])).map(b" ".join)
_odd_rows = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b"   ",
            b"1",
            b"1 ",
            b"x",
            b"1 x y",
            b" 4 5",
            b"4  5",
            b"4 5 ",
            b"4 5 six",
            b"04 5",
            b"0 5",
            b"-1 5",
        ),
        *(
            b"+OK 1 2",
            b"1 " + b"2" * 21,
            b"1" * 21 + b" 2",
            b"1 \xff",
            b"\xd9\xa1 5",
            b"1\t5",
            b"1 5\n2 6",
            b"1 5 \r2",
            b"1 5\0",
        ),
    ]
)


@both_kinds
@given(rows=st.lists(_strict_rows, max_size=6))
def test_the_fast_way_and_the_patient_way_agree(kind, rows):
    body = b"".join(row + b"\r\n" for row in rows)
    assert kind._strict.fullmatch(body)
    assert contents(read(kind, body)) == contents(kind._parse_each(body.split(b"\r\n")))


@both_kinds
@given(body=st.text("10 -.e\r\n", max_size=30).map(str.encode))
@example(body=b"1 2\r3\n4 5")
@example(body=b"1 2\r\n3 4\r5")
@example(body=b"1 2\r\n 3 4\r\n")
@example(body=b"12 \r\n")
@example(body=b" 12\r\n")
@example(body=b"0 1\r\n")
@example(body=b"01 1\r\n")
@example(body=b"1 %d\r\n" % 10**20)
@example(body=b"%d 1\r\n" % 10**20)
def test_the_fast_way_takes_nothing_but_the_grammar_of_the_rfc(kind, body):
    body += b"\r\n"
    if kind._rows_at_once(body, body.count(b"\n")) is not None:
        assert kind._strict.fullmatch(body)


@both_kinds
@given(rows=st.lists(_strict_rows | _odd_rows, max_size=6))
def test_a_row_means_the_same_whatever_stands_beside_it(kind, rows):
    listing = read(kind, b"".join(row + b"\r\n" for row in rows))
    assert contents(listing) == contents(kind._parse_each(rows))
    alone = [read(kind, row + b"\r\n") for row in rows]
    assert list(listing.unreadable) == [row for one in alone for row in one.unreadable]
    readable = [item for one in alone for item in one.items()]
    assert dict(listing) == dict(reversed(readable))
    assert len(listing) + len(listing.duplicates) == len(readable)
    assert sorted([*listing.items(), *listing.duplicates], key=repr) == sorted(readable, key=repr)


@both_kinds
@given(body=st.binary(max_size=80) | st.text("1 2a.\r\n\0", max_size=40).map(str.encode))
@example(body=b"\r\n")
@example(body=b"1 1")
@example(body=b"1")
@example(body=b"1 1\r\n2")
def test_any_octets_are_a_listing_and_nothing_of_them_is_lost(kind, body):
    listing = read(kind, body)
    lines = [line for line in body.split(b"\r\n") if line.strip(b" ")]
    assert len(listing) + len(listing.duplicates) + len(listing.unreadable) == len(lines)
    assert set(listing.unreadable) <= set(lines)
    assert all(0 < number < 10**20 for number in listing)


@given(listings, st.data())
def test_blanks_mean_nothing(listing, data):
    # Real servers have several blanks between the fields, one before them, and blank lines.
    blanks = st.integers(0, 3).map(lambda count: b" " * count)
    body = b""
    for line in listing.encode().splitlines():
        number, value = line.split(b" ")
        before, between, after = data.draw(st.tuples(blanks, blanks, blanks))
        body += (
            before
            + number
            + b" "
            + between
            + value
            + after
            + b"\r\n"
            + data.draw(st.sampled_from([b"", b"\r\n", b" \r\n"]))
        )
    assert contents(read(type(listing), body)) == contents(listing)


# ------------------------------------------------------------------------------------------- listings


@pytest.mark.parametrize(
    "body, rows",
    [
        (b"", {}),
        (b"1 120\r\n2 200\r\n", {1: 120, 2: 200}),
        (b"2 200\r\n1 120\r\n", {2: 200, 1: 120}),
        (b"2 5\r\n99999999999 7\r\n", {2: 5, 99_999_999_999: 7}),  # nothing is sized by what a peer says
        (b"1 0\r\n2 5000000000\r\n3 99999999999999999999\r\n", {1: 0, 2: 5_000_000_000, 3: 10**20 - 1}),
        (b"1 120 octets, or so\r\n2 200 \xff\r\n", {1: 120, 2: 200}),
        (b"1 120 a\nb\rc\0\r\n", {1: 120}),
        (b"007 00120\r\n", {7: 120}),
    ],
)
def test_scan_listings(body, rows):
    # RFC 1939 section 5, LIST: numbers may have gaps, any order, and text behind them.
    listing = read(ScanListing, body)
    assert contents(listing) == (ScanListing, list(rows.items()), (), ())


@pytest.mark.parametrize(
    "row",
    [
        *(
            b"x",
            b"1",
            b"1 x",
            b"1 -5",
            b"-1 5",
            b"+1 5",
            b"1 5x",
            b"1 5,x",
            b"1_0 5",
            b"1 5_0",
            b"1\t5",
            b"\t1 5",
            b"0 5",
            b"00 5",
        ),
        *(b"+OK 1 5", b"1" * 21 + b" 5", b"1 " + b"5" * 21, b"\xd9\xa1 5", b"1 \xd9\xa1", b"1 5\n2 6", b".", b"1 5\0"),
    ],
)
def test_a_row_that_cannot_be_read_is_kept_and_hurts_no_other(row):
    listing = read(ScanListing, b"7 8\r\n" + row + b"\r\n9 10\r\n")
    assert contents(listing) == (ScanListing, [(7, 8), (9, 10)], (row,), ())


@pytest.mark.parametrize(
    "row",
    [
        *(
            b"1",
            b"1 ",
            b"abc",
            b"+OK 1 abc",
            b"1 abc def",
            b"1 " + b"a" * 71,
            b"1 \x7f",
            b"1 \x1f",
            b"1 \xc3\xa9",
            b"0 abc",
        ),
        *(b"1\tabc", b"1 abc\t", b"1 a\nb", b"1 a\0", b"-1 abc", b"1" * 21 + b" abc"),
    ],
)
def test_a_unique_id_that_cannot_be_read_is_kept_and_hurts_no_other(row):
    # Some servers do all of this; nothing of it is guessed at.
    listing = read(UniqueIdListing, b"7 x\r\n" + row + b"\r\n9 y\r\n")
    assert contents(listing) == (UniqueIdListing, [(7, "x"), (9, "y")], (row,), ())


@pytest.mark.parametrize("text", ["a", "~" * 70, "whqtswO00WBw418f9t5JxYwZ", ".", "..", "1", "-1", "%d", "!"])
def test_unique_ids(text):
    # RFC 1939 section 7: 1 to 70 octets in 0x21-0x7E.
    listing = read(UniqueIdListing, f"1 {text}\r\n".encode())
    assert contents(listing) == (UniqueIdListing, [(1, text)], (), ())
    assert type(listing[1]) is str
    assert check_unique_id(text) == text
    assert listing.encode() == f"1 {text}\r\n".encode()


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a" * 71, "\x7f", "\x1f", "\xe9", "\udce9", "a\n", "a\r\n1 b", "\0", "\t"]
)
def test_what_is_no_unique_id(text):
    with pytest.raises(LocalProtocolError, match="is no unique id: 1 to 70 octets in 0x21-0x7E"):
        check_unique_id(text)
    with pytest.raises(LocalProtocolError, match="this UniqueIdListing does not follow the grammar of RFC 1939"):
        UniqueIdListing({1: UniqueId(text)}).encode()
    with pytest.raises(LocalProtocolError, match="this UniqueIdListing does not follow the grammar of RFC 1939"):
        UniqueIdListing({1: UniqueId("a"), 2: UniqueId(text), 3: UniqueId("b")}).encode()


@pytest.mark.parametrize("number", [0, -1, 10**20])
@both_kinds
def test_what_is_no_message_number_is_not_sent(kind, number):
    with pytest.raises(LocalProtocolError, match=f"this {kind.__name__} does not follow the grammar of RFC 1939"):
        kind({number: 5}).encode()


@pytest.mark.parametrize("octets", [-1, 10**20])
def test_what_is_no_count_of_octets_is_not_sent(octets):
    with pytest.raises(LocalProtocolError, match="this ScanListing does not follow the grammar of RFC 1939"):
        ScanListing({1: octets}).encode()


def test_what_was_not_understood_is_not_sent_on():
    for body in (b"1 5\r\nx\r\n", b"1 5\r\n1 6\r\n"):
        with pytest.raises(LocalProtocolError, match="this ScanListing does not follow the grammar of RFC 1939"):
            read(ScanListing, body).encode()


def test_of_a_number_that_comes_twice_the_first_row_stands():
    listing = read(ScanListing, b"1 5\r\n2 6\r\n1 7\r\n01 5\r\n")
    assert contents(listing) == (ScanListing, [(1, 5), (2, 6)], (), ((1, 7), (1, 5)))
    listing = read(UniqueIdListing, b"1 a\r\n1 a\r\n")
    assert contents(listing) == (UniqueIdListing, [(1, "a")], (), ((1, "a"),))


def test_unique_ids_that_messages_share_are_told():
    # RFC 1939 section 7: copies of a message may have one unique id. They are never merged.
    listing = read(UniqueIdListing, b"1 a\r\n2 b\r\n3 a\r\n4 A\r\n5 b\r\n7 a\r\n")
    assert listing.shared == {"a": (1, 3, 7), "b": (2, 5)}
    assert len(listing) == 6
    assert read(UniqueIdListing, b"1 a\r\n2 A\r\n").shared == {}
    assert UniqueIdListing({}).shared == {}


@given(st.dictionaries(some.numbers, st.sampled_from("abc").map(UniqueId)))
def test_shared_holds_all_that_is_shared(rows):
    expected = {}
    for unique_id in rows.values():
        numbers = tuple(number for number in rows if rows[number] == unique_id)
        if len(numbers) > 1:
            expected[unique_id] = numbers
    assert UniqueIdListing(rows).shared == expected


@both_kinds
@pytest.mark.parametrize(
    "body",
    [
        b"1 1\r\n2 2\r\n3 3\r\n",
        b"1 1\r\n2  2\r\n3 3\r\n",
        b"1 1\r\n1 1\r\n1 1\r\n",
        b"1 1\r\n\r\n3 3\r\n",
        b"x\r\ny\r\nz\r\n",
    ],
    ids=["strict", "lenient", "duplicates", "blank", "unreadable"],
)
def test_rows_have_a_limit(kind, body):
    for entries in (3, 4):
        assert contents(kind.parse(body, entries=entries)) == contents(read(kind, body))
    with pytest.raises(MalformedReply, match=r"^the listing has more than 2 rows$"):
        kind.parse(body, entries=2)


# -------------------------------------------------------------------------------------------- mapping


def test_a_listing_is_a_mapping_in_the_order_of_the_server():
    listing = ScanListing({2: 200, 1: 120})
    assert isinstance(listing, Mapping)
    assert list(listing) == [2, 1]
    assert list(listing.items()) == [(2, 200), (1, 120)]
    assert len(listing) == 2
    assert listing[1] == 120
    assert 1 in listing
    assert 3 not in listing
    assert listing.get(3) is None
    assert sum(listing.values()) == 320
    with pytest.raises(KeyError):
        listing[3]
    assert not ScanListing({})


def test_listings_are_equal_as_mappings_are():
    assert ScanListing({1: 5, 2: 6}) == ScanListing({2: 6, 1: 5})
    assert ScanListing({1: 5}) == {1: 5}
    assert ScanListing({1: 5}) != ScanListing({1: 6})
    assert ScanListing({1: 5}) != ScanListing({1: 5, 2: 5})
    assert ScanListing({1: 5}) == ScanListing({1: 5}, (b"x",), ((1, 7),))
    with pytest.raises(TypeError):
        hash(ScanListing({}))


def test_a_listing_cannot_be_changed():
    listing = ScanListing({1: 5})
    with pytest.raises(AttributeError):
        listing.rows = {}
    with pytest.raises(TypeError):
        listing[1] = 6
    with pytest.raises(AttributeError):
        listing.more = 1


def test_a_listing_is_of_something():
    with pytest.raises(TypeError, match="abstract"):
        Listing({})


# ---------------------------------------------------------------------------- drop listings, languages


def test_counts_at_their_bounds():
    assert MaildropStatus(0, 0) == MaildropStatus(count=0, octets=0)
    assert MaildropStatus(10**20 - 1, 10**20 - 1).octets == 10**20 - 1
    for number in (-1, 10**20):
        with pytest.raises(LocalProtocolError, match="a count of messages must be at least 0"):
            MaildropStatus(number, 0)
        with pytest.raises(LocalProtocolError, match="a count of octets must be at least 0"):
            MaildropStatus(0, number)


@pytest.mark.parametrize(
    "language, line",
    [
        (Language("en", "English"), b"en English\r\n"),
        (Language("en-boont", "English Boontling dialect"), b"en-boont English Boontling dialect\r\n"),
        (Language("de"), b"de\r\n"),
        (Language("es", "Espa\N{LATIN SMALL LETTER N WITH TILDE}ol"), b"es Espa\xc3\xb1ol\r\n"),
        (Language("x", ".\udcff"), b"x .\xff\r\n"),
        (Language("\udcc3", "\udca9"), b"\xc3 \xa9\r\n"),
    ],
)
def test_languages(language, line):
    # RFC 6856 section 3.2.
    assert language.encode() == line


@pytest.mark.parametrize(
    "tag, description",
    [
        *(
            ("", ""),
            ("", "English"),
            ("en us", ""),
            (" ", ""),
            ("en ", ""),
            ("en", " "),
            ("en", " English"),
            ("en", "English "),
        ),
        *(
            ("e\r", ""),
            ("e\n", ""),
            ("e\0", ""),
            ("en", "\r\n."),
            ("en", "\0"),
            ("\udcc3\udca9", ""),
            ("en", "\udcc3\udca9"),
        ),
        ("en", chr(0xD800)),
    ],
)
def test_what_is_no_language(tag, description):
    with pytest.raises(LocalProtocolError):
        Language(tag, description)


def test_a_listing_shows_what_is_not_in_its_mapping():
    whole = UniqueIdListing.parse(b"1 a\r\n2 b\r\n", entries=10)
    assert whole.complete
    assert repr(whole) == "UniqueIdListing({1: 'a', 2: 'b'})"
    lacking = UniqueIdListing.parse(b"1 a\r\n2 " + b"x" * 71 + b"\r\n1 c\r\n", entries=10)
    assert not lacking.complete
    assert f"unreadable=({b'2 ' + b'x' * 71!r},)" in repr(lacking)
    assert "duplicates=((1, 'c'),)" in repr(lacking)
