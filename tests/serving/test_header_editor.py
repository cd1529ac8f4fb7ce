"""What delivery puts in front of a message, and takes out of its header."""

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from pop3proto.serving.delivery.header import Envelope, HeaderEditor
from tests.helpers.strategies import chunkings

ADD = [("Return-Path", "<a@b>"), ("X", "y")]

lines = st.sampled_from(
    [b"Return-Path: <old>", b"return-PATH:x", b"Return-Pathology: y", b"Subject: x", b" more", b"\tmore", b"",
     b"From x", b">From y", b"no colon", b"x" * 600, b"Return-Path:" + b"z" * 700, b"a\rb"]
)  # fmt: skip
documents = st.builds(
    lambda parts, last: b"".join(line + end for line, end in parts) + last,
    st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r\n"])), max_size=8),
    st.sampled_from([b"", b"Return", b"Return-Path: q", b"From", b"From x", b"\r"]),
)


def edited(message: bytes, chunks: list[bytes], remove: tuple[str, ...] = ("Return-Path",)) -> bytes:
    editor = HeaderEditor(ADD, remove)
    return b"".join(editor.feed(chunk) for chunk in chunks) + editor.finish()


def expected(message: bytes) -> bytes:
    """The same by regular expressions over the whole message."""
    message = re.sub(rb"\AFrom [^\n]*\n", b"", message)  # not if that is all of it
    first = re.match(rb"[^\n]*\n", message)
    end = b"\r\n" if first and first[0].endswith(b"\r\n") else b"\n"
    blank = re.search(rb"^\r?\n", message, re.MULTILINE)
    split = blank.start() if blank else len(message)
    header, body = message[:split], message[split:]
    header = re.sub(rb"(?im)^return-path:[^\n]*(\n|\Z)([ \t][^\n]*(\n|\Z))*", b"", header)
    return b"Return-Path: <a@b>" + end + b"X: y" + end + header + body


@given(st.data())
def test_any_chunks_give_what_the_whole_message_gives(data: st.DataObject) -> None:
    message = data.draw(documents)
    assert edited(message, data.draw(chunkings(message))) == expected(message)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "message,result",
    [
        (b"From a@b Mon\nSubject: x\n\nFrom c\n", b"Subject: x\n\nFrom c\n"),
        (b"From: a@b\n\n", b"From: a@b\n\n"),
        (b"A: 1\nReturn-Path: <x>\n y\nB: 2\n\nReturn-Path: kept\n", b"A: 1\nB: 2\n\nReturn-Path: kept\n"),
        (b"\nReturn-Path: kept\n", b"\nReturn-Path: kept\n"),
    ],
)
def test_what_becomes_of_messages(size: int, message: bytes, result: bytes) -> None:
    chunks = [message[at : at + size] for at in range(0, len(message), size)]
    assert edited(message, chunks) == b"Return-Path: <a@b>\nX: y\n" + result


def test_nothing_grows_with_a_line_that_never_ends() -> None:
    editor = HeaderEditor([], ["Return-Path"])
    for _ in range(1000):
        editor.feed(b"x" * 1000)
        assert len(editor._held) < 5000


def test_the_fields_of_an_envelope() -> None:
    envelope = Envelope("<ann@a>", "bob@b", "list@c")
    assert envelope.fields() == [("Return-Path", "<ann@a>"), ("Delivered-To", "bob@b"), ("X-Original-To", "list@c")]
    assert Envelope("").fields() == Envelope("<>").fields() == [("Return-Path", "<>")]
    assert Envelope().fields() == []


@pytest.mark.parametrize("address", ["a\nb", "a\rBcc: x", "a\0", "<a", "a>b", "x" * 1000, "\x7f"])
@pytest.mark.parametrize("field", ["sender", "delivered_to", "original_to"])
def test_an_address_that_would_forge_a_header_is_refused(field: str, address: str) -> None:
    values: dict[str, Any] = {field: address}
    with pytest.raises(ValueError, match="no address"):
        Envelope(**values)
