"""The bounds: their defaults, and what cannot be one."""

import attrs
import pytest

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.limits import DEFAULT_LIMITS, MAX_DIGITS, Limits

NAMES = [field.name for field in attrs.fields(Limits)]


def test_the_defaults():
    # RFC 2449 section 4; RFC 4954 section 4 for SASL.
    assert attrs.asdict(Limits()) == {
        "command_line": 255,
        "sasl_line": 12_288,
        "reply_line": 8_192,
        "reply_line_sent": 512,
        "listing_entries": 1_000_000,
        "text_lines": 1_000,
        "text_octets": 65_536,
        "body": 268_435_456,
        "scram_iterations": 600_000,
        "least_rate": 1,
        "bad_commands": 10,
        "bad_commands_after_login": 100,
        "buffered": 65_536,
    }
    assert Limits() == DEFAULT_LIMITS
    assert len(str(2**64)) == MAX_DIGITS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_is_positive(name, bound):
    with pytest.raises(LocalProtocolError, match=f"^limit {name} must be positive, not {bound}$"):
        Limits(**{name: bound})


@pytest.mark.parametrize("name", sorted({*NAMES} - {"buffered"}))
def test_a_bound_may_be_one(name):
    assert getattr(Limits(**{name: 1}), name) == 1


@pytest.mark.parametrize("name", ["command_line", "sasl_line", "reply_line"])
def test_what_may_wait_holds_the_longest_line(name):
    lines = {"command_line": 10, "sasl_line": 10, "reply_line": 10, name: 100}
    assert Limits(**lines, buffered=100).buffered == 100
    with pytest.raises(
        LocalProtocolError,
        match=r"^limit buffered must be at least as large as command_line, sasl_line and reply_line$",
    ):
        Limits(**lines, buffered=99)


def test_a_repr_shows_what_is_not_the_default():
    assert repr(Limits()) == "Limits()"
    assert repr(Limits(body=1_000, bad_commands=3)) == "Limits(body=1000, bad_commands=3)"
