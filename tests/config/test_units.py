"""Sizes and durations as people write them."""

import pytest
from hypothesis import given, strategies as st

from pop3proto._config.units import parse_octets, parse_seconds, show_octets, show_seconds


@pytest.mark.parametrize(
    "text, octets",
    [
        ("1", 1),
        (7, 7),
        ("20M", 20_000_000),
        ("20 MB", 20_000_000),
        ("1k", 1_000),
        ("1.5G", 1_500_000_000),
        ("1KiB", 1_024),
        ("2mib", 2_097_152),
        ("1GiB", 1_073_741_824),
    ],
)
def test_a_size_is_read(text, octets):
    assert parse_octets(text) == octets


@pytest.mark.parametrize("text", ["", "0", "-1", -1, "M", "1T", "1e3", "nan", "inf", "1 2", "0.2", "1,000"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="a size above 0 is expected"):
        parse_octets(text)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7_200),
        ("14d", 1_209_600),
        ("1w", 604_800),
        (1.5, 1.5),
        ("0", 0),
        ("1.5 h", 5_400),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1s", "1y", "1M", "inf", "nan", float("inf"), float("nan"), "40000d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="a duration is expected"):
        parse_seconds(text)


@given(st.integers(1, 1 << 50))
def test_what_is_shown_of_a_size_is_read_again(octets):
    assert parse_octets(show_octets(octets)) == octets


@given(st.integers(0, 10**9))
def test_what_is_shown_of_a_duration_is_read_again(seconds):
    assert parse_seconds(show_seconds(seconds)) == seconds
