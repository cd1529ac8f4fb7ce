"""The digest of a header and the date in it: the same however the octets come, and never an error."""

import base64
import calendar
import hashlib
import re

import pytest
from hypothesis import given, strategies as st

from pop3proto.fetching.header import HeaderDigest, header_digest, received_date
from tests.helpers.strategies import bodies, chunkings, messages


def digest_of(octets: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.blake2b(octets, digest_size=12).digest()).decode()


def expected(message: bytes) -> str:
    """The digest as the definition says it, line by line."""
    header = b""
    for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", message):
        ended = line.endswith(b"\n")
        content = line.removesuffix(b"\n").removesuffix(b"\r") if ended else line
        header += content + b"\r\n" * ended
        if ended and not content:
            break
    return digest_of(header)


@given(st.data())
def test_the_digest_is_that_of_the_header_wherever_the_chunks_end(data: st.DataObject) -> None:
    message = data.draw(messages)
    digest = HeaderDigest()
    for chunk in data.draw(chunkings(message)):
        digest.feed(chunk)
        digest.feed(b"")
    assert digest.digest == digest.digest == expected(message) == header_digest(message)


@given(bodies)
def test_line_ends_make_no_difference(message: bytes) -> None:
    assert header_digest(message.replace(b"\r\n", b"\n")) == header_digest(message)


@pytest.mark.parametrize(
    "message,header,ended",
    [
        (b"", b"", False),
        (b"a: b\r\n\r\ntext\r\n\r\n", b"a: b\r\n\r\n", True),
        (b"a: b\n\ntext", b"a: b\r\n\r\n", True),
        (b"\r\ntext", b"\r\n", True),
        (b"a: b\r\n\r\r\nc: d\r\n\r\n", b"a: b\r\n\r\r\nc: d\r\n\r\n", True),
        (b"a: b\r", b"a: b\r", False),
        (b"a: b\r\n", b"a: b\r\n", False),
    ],
)
def test_where_a_header_ends(message: bytes, header: bytes, ended: bool) -> None:
    digest = HeaderDigest()
    digest.feed(message)
    assert (digest.digest, digest.ended) == (digest_of(header), ended)
    assert len(digest.digest) == 16


NOVEMBER = calendar.timegm((2026, 11, 28, 20, 49, 56))


@pytest.mark.parametrize(
    "header,seconds",
    [
        (b"Received: from a; Sat, 28 Nov 2026 21:49:56 +0100\r\nReceived: b; Fri, 27 Nov 2026 1:2:3 +0000\r\n", 0),
        (b"Subject: x\nReceived: from a (b; c)\n\tby d;\n\tSat, 28 Nov 2026 20:49:56 +0000 (UTC)\nDate: x\n", 0),
        (b"RECEIVED : a;Sat, 28 Nov 2026 20:49:56 GMT\r\n", 0),
        (b"Received: without a date\r\nDate: Sat, 28 Nov 2026 20:49:56 GMT\r\n", 0),
        (b"Date: 28 Nov 26 20:49:56 GMT\r\n", 0),
        (b"Date:\r\n Sat, 28 Nov 2026\r\n 20:49:56 +0000\r\n", 0),
        (b"Subject: Received: x; Sat, 28 Nov 2026 20:49:56 GMT\r\n", None),
        (b"Subject: x\r\n\r\nDate: Sat, 28 Nov 2026 20:49:56 GMT\r\n", None),
        (b"Date: yesterday\r\n", None),
        (b"Date: Sat, 28 Nov 99999999999 20:49:56 +0000\r\n", None),
        (b"Date: " + b"9" * 100_000 + b"\r\n", None),
        (b"", None),
    ],
)
def test_the_date_of_a_message(header: bytes, seconds: int | None) -> None:
    assert received_date(header) == (None if seconds is None else NOVEMBER + seconds)


@given(st.one_of(st.binary(max_size=60), st.text("0123456789 :+-JanSMo,;()", max_size=60).map(str.encode)))
def test_no_date_is_an_error(date: bytes) -> None:
    for field in (b"Date: ", b"Received: a; "):
        seconds = received_date(field + date + b"\r\n")
        assert seconds is None or isinstance(seconds, int)
