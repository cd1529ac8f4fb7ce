"""Quirks by name, profiles, and which quirks an answer needs."""

import pytest

from pop3proto.core.commands import List, Retr, Stat, Uidl, UidlOne
from pop3proto.core.errors import LocalProtocolError, MalformedReply
from pop3proto.core.limits import DEFAULT_LIMITS, Quirk
from pop3proto.core.quirks import PROFILES, SERVER_QUIRKS, parse_tolerantly, quirks_named
from pop3proto.core.replies import Ok
from pop3proto.core.results import MaildropStatus

EVERY = frozenset(Quirk)


def parse(command, reply, body=b"", quirks=EVERY):
    return parse_tolerantly(command, reply, body, limits=DEFAULT_LIMITS, quirks=quirks)


def test_profiles_are_sets():
    assert set(PROFILES) == {"strict", "lenient", "gmail", "microsoft365", "exchange", "courier"}
    assert PROFILES["strict"] == frozenset()
    assert PROFILES["lenient"] == EVERY
    assert all(isinstance(quirks, frozenset) and quirks <= EVERY for quirks in PROFILES.values())
    with pytest.raises(TypeError):
        PROFILES["mine"] = EVERY


@pytest.mark.parametrize(
    "names, quirks",
    [
        ("", set()),
        ("strict", set()),
        ("bare_lf", {Quirk.BARE_LF}),
        (" Bare_LF , stray_dot,", {Quirk.BARE_LF, Quirk.STRAY_DOT}),
        ("courier,bare_lf", {Quirk.BARE_LF, Quirk.UIDL_ANY_UNIQUE_ID}),
        ("lenient,strict", EVERY),
        *((quirk.name.lower(), {quirk}) for quirk in Quirk),
        *PROFILES.items(),
    ],
)
def test_names(names, quirks):
    assert quirks_named(names) == quirks


@pytest.mark.parametrize("names", ["bare", "gmail;bare_lf", "bare_lf,STRAY-DOT", "\xdf"])
def test_a_wrong_name_is_told_with_the_right_ones(names):
    wrong = names.lower().rpartition(",")[2]
    every = ", ".join([*(quirk.name.lower() for quirk in Quirk), *PROFILES])
    with pytest.raises(LocalProtocolError) as caught:
        quirks_named(names)
    assert str(caught.value) == f"there is no quirk {wrong!r}; the names are {every}"


def test_names_of_what_a_server_can_tolerate():
    assert quirks_named("lenient", known=SERVER_QUIRKS) == SERVER_QUIRKS
    assert quirks_named("strict", known=SERVER_QUIRKS) == set()
    for name in ("stray_dot", "gmail"):
        with pytest.raises(LocalProtocolError) as caught:
            quirks_named(name, known=SERVER_QUIRKS)
        assert str(caught.value) == f"'{name}' does not apply here; the names are bare_lf, strict, lenient"


@pytest.mark.parametrize(
    "command, reply, body, result, used",
    [
        (Stat(), Ok("2 320"), b"", MaildropStatus(2, 320), ()),
        (Stat(), Ok("2"), b"", MaildropStatus(2, 0), (Quirk.STAT_WITHOUT_OCTETS,)),
        (Uidl(), Ok(), b"1 a\r\n", {1: "a"}, ()),
        (Uidl(), Ok(), b"1 a b\r\n", {1: "a b"}, (Quirk.UIDL_ANY_UNIQUE_ID,)),
        (Uidl(), Ok(), b"1 a\r\n1 a b\r\n", {1: "a"}, (Quirk.UIDL_ANY_UNIQUE_ID,)),
        (Uidl(), Ok(), b"+OK 1 a\r\n", {1: "a"}, (Quirk.UIDL_PREFIXED_ROWS,)),
        (UidlOne(1), Ok("1 " + "a" * 71), b"", "a" * 71, (Quirk.UIDL_ANY_UNIQUE_ID,)),
        (UidlOne(1), Ok("1 a"), b"", "a", ()),
        (List(), Ok(), b"1 12 x\r\n", {1: 12}, ()),
        (Retr(1), Ok(), b"a\n", b"a\n", ()),
    ],
)
def test_a_quirk_is_used_where_the_result_would_be_another_without_it(command, reply, body, result, used):
    assert parse(command, reply, body) == (result, used)
    needed, _ = parse(command, reply, body, frozenset(used))
    assert needed == result


def test_what_no_quirk_makes_sense_of():
    with pytest.raises(MalformedReply):
        parse(Stat(), Ok("-1 2"))
