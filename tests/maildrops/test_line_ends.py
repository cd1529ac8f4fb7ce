"""Laws of line ends: what is turned into LF can be turned back, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pop3proto.maildrops.line_ends import lines_with_lf

ANY = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"a", b"\0", b"\x0b", b"\x1c", b"\x85", b"\xff", b"\xc3\xa9"]))
LINES = st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")))


@given(LINES)
def test_lines_that_end_with_crlf_end_with_lf(lines: list[bytes]) -> None:
    assert lines_with_lf(b"\r\n".join(lines)) == b"\n".join(lines)


@given(ANY)
def test_only_octets_without_a_bare_cr_or_lf_are_changed(parts: list[bytes]) -> None:
    octets = b"".join(parts)
    pairs = octets.count(b"\r\n")
    exact = octets.count(b"\r") == pairs == octets.count(b"\n")
    assert lines_with_lf(octets) == (octets.replace(b"\r\n", b"\n") if exact else None)


@pytest.mark.parametrize("octets", [b"\r", b"a\r", b"a\r\n\r", b"\n", b"\r\r\n", b"a\n\r\n"])
def test_what_cannot_be_turned_back_is_told(octets: bytes) -> None:
    assert lines_with_lf(octets) is None
