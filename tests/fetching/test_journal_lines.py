"""The lines of a journal: what is written is read, and nothing else is."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.core.results import UniqueId
from pop3proto.fetching.events import Event, MessageIdentity, MessageState
from pop3proto.fetching.journal_lines import check_account, format_line, parse_line, parse_lines
from tests.fetching.events import events

ACCOUNT = "ann@pop.example.org:995"


def of(*words: str) -> list[Event] | None:
    """What a line tells."""
    parsed = parse_line(ACCOUNT, " ".join([ACCOUNT, *words]))
    return None if parsed is None else list(parsed)


@given(events)
def test_what_is_written_is_read(event):
    line = format_line(ACCOUNT, event)
    assert line.isascii()
    assert line.isprintable()
    assert parse_line(ACCOUNT, line) == (event,)


@given(st.lists(events), st.lists(events))
def test_accounts_share_a_file(ours, theirs):
    other = f"jo{ACCOUNT}"
    lines = [format_line(ACCOUNT, each) for each in ours] + [format_line(other, each) for each in theirs]
    data = "".join(f"{line}\n" for line in lines).encode()
    assert parse_lines(ACCOUNT, data) == (ours, [line.encode() for line in lines[len(ours) :]])
    assert parse_lines(other, data) == (theirs, [line.encode() for line in lines[: len(ours)]])


def test_a_line_is_as_it_is_documented():
    event = Event(
        MessageIdentity(UniqueId("QhdPYR:00WBw1Ph7x7"), 2),
        MessageState.SUSPECT,
        1795898996.7,
        1234,
        1236,
        "Zk3+/=",
        -1,
        "a b",
        3,
    )
    assert format_line(ACCOUNT, event) == (
        f"{ACCOUNT} QhdPYR:00WBw1Ph7x7 suspect 2026-11-28T20:49:56Z"
        " copy=2 listed=1234 octets=1236 header=Zk3+/= dated=-1 why=a%20b dots=3"
    )
    assert format_line(ACCOUNT, Event(MessageIdentity(UniqueId("1")), MessageState.GONE)) == f"{ACCOUNT} 1 gone -"
    odd = Event(MessageIdentity(UniqueId("a b\udcff")), MessageState.GONE)
    assert format_line(ACCOUNT, odd) == f"{ACCOUNT} a%20b%ED%B3%BF gone - escaped=id"


@pytest.mark.parametrize("when", [float("inf"), float("nan"), -1e18, 1e18])
def test_a_clock_out_of_order_is_no_date(when):
    line = format_line(ACCOUNT, Event(MessageIdentity(UniqueId("1")), MessageState.GONE, when))
    assert line == f"{ACCOUNT} 1 gone -"


def test_a_later_version_may_add_keys():
    event = Event(MessageIdentity(UniqueId("x")), MessageState.STORED, octets=3)
    assert of("x", "stored", "-", "octets=3", "colour=blue", "to=") == [event]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "x stored",
        "x stored 2026-11-28",
        "x stored 2026-13-28T20:49:56Z",
        "x stored 2026-11-28T20:49:56Z octets",
        "x stored - octets=",
        "x stored - octets=1_0",
        "x stored - octets=-1",
        "x stored - copy=1 copy=2",
        "x stored - octets=1 copy=2",  # it would be taken for another message
        "x stored - why=%ff",
        "x stored - escaped=copy",
        "x stored - copy=1 escaped=id",
        "x stored -\t",
        "x\t",
        "x stored -  octets=1",
        " stored -",
        "x stored - octets=1 ",
        "x lost -",
        "x\N{LATIN SMALL LETTER E WITH ACUTE} stored -",
        "x stored - why=\0",
        "x stored - octets=\N{ARABIC-INDIC DIGIT ONE}",
        "x stored - octets=" + "9" * 5000,
        "x 1234567 copies",
        "x ended",
        "x ended late",
        "x 1 2",
    ],
)
def test_what_cannot_be_read_is_nothing(words):
    assert parse_line(ACCOUNT, f"{ACCOUNT} {words}") is None


@given(st.binary())
def test_any_octets_can_be_in_the_file(octets):
    events, others = parse_lines(ACCOUNT, ACCOUNT.encode() + b" " + octets + b"\n")
    assert len(others) <= octets.count(b"\n") + 1
    assert events or others or octets.endswith(b"messages left")


def test_the_first_format():
    def stored(copy: int, octets: int | None) -> list[Event]:
        return [Event(MessageIdentity(UniqueId("x"), copy), MessageState.STORED, octets=octets)]

    assert of("x") == stored(0, None)
    assert of("x", "2") == stored(2, None)
    assert of("x", "1234 octets") == stored(0, 1234)
    assert of("x", "2", "1234 octets") == stored(2, 1234)
    assert of("x", "ended early") == [Event(MessageIdentity(UniqueId("x")), MessageState.SUSPECT)]
    assert of("x", "2", "ended early") == [Event(MessageIdentity(UniqueId("x"), 2), MessageState.SUSPECT)]
    assert of("x", "3 copies") == [Event(MessageIdentity(UniqueId("x"), copy), MessageState.SEEN) for copy in (1, 2, 3)]
    assert of("12 messages left") == []
    assert of("stored", "2") == [Event(MessageIdentity(UniqueId("stored"), 2), MessageState.STORED)]


def test_what_cannot_stand_in_a_line_is_refused():
    with pytest.raises(ValueError, match="unique id is empty"):
        format_line(ACCOUNT, Event(MessageIdentity(UniqueId("")), MessageState.STORED))
    for account in ("", "a b", "a\n", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
        with pytest.raises(ValueError, match="cannot name an account"):
            check_account(account)
