"""The codec of bodies, against one that goes octet by octet."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Final, Literal

from fuzz.corpus import dialogues
from fuzz.target import Choices, Target, check, patched, seed
from pop3proto import BodyDecoder, BodyEncoder

from .cutting import cuttings

_MARKS: Final = b"\r\n."


def naive_lines(message: bytes, bare_cr: Literal["keep", "crlf"]) -> bytes:
    """Give each line end of a message its CRLF, and the last line one, too."""
    out = bytearray()
    at = 0
    while at < len(message):
        if message[at : at + 2] == b"\r\n":
            out += b"\r\n"
            at += 2
            continue
        if message[at] == 10 or (message[at] == 13 and bare_cr == "crlf"):
            out += b"\r\n"
        else:
            out.append(message[at])
        at += 1
    if out and not out.endswith(b"\r\n"):
        out += b"\r\n"
    return bytes(out)


def naive_stuffed(lines: bytes) -> bytes:
    """Double the dot at the start of each line, and end the body."""
    out = bytearray()
    for octet in lines:
        if octet == 46 and (not out or out.endswith(b"\r\n")):
            out.append(46)
        out.append(octet)
    return bytes(out + b".\r\n")


def naive_unstuffed(wire: bytes) -> tuple[bytes, bytes | None, bytes]:
    """Return the body without stuffing; what follows its end, None without one; and what is held back."""
    out = bytearray()
    at = 0
    at_start = True  # of a line
    while at < len(wire):
        if at_start and wire[at] == 46:
            if wire[at : at + 3] == b".\r\n":
                return bytes(out), wire[at + 3 :], b""
            if wire[at:] in {b".", b".\r"}:
                return bytes(out), None, wire[at:]
            at += 1
            at_start = False
            continue
        out.append(wire[at])
        at_start = wire[max(at - 1, 0) : at + 1] == b"\r\n"
        at += 1
    return bytes(out), None, b""


def _check_decoder(wire: bytes) -> bytes:
    expected, unused, held = naive_unstuffed(wire)
    for cutting in cuttings(wire):
        decoder = BodyDecoder()
        got = b"".join([decoder.feed(chunk) for chunk in cutting])
        check(got == expected, f"decoded {got!r:.200} for {expected!r:.200}")
        check(decoder.eof == (unused is not None), "the end was seen, or not, in another place")
        check(decoder.unused_data == (unused or b""), "other octets are left over")
        check(decoder.held == held, f"{decoder.held!r} is held back for {held!r}")
    return expected


def _check_encoder(message: bytes, bare_cr: Literal["keep", "crlf"]) -> None:
    lines = naive_lines(message, bare_cr)
    expected = naive_stuffed(lines)
    trusted = [False]
    if lines == message and b"\n" not in message.replace(b"\r\n", b"") and b"\r" not in message.replace(b"\r\n", b""):
        trusted.append(True)
    for trusted_crlf in trusted:
        for cutting in cuttings(message):
            encoder = BodyEncoder(bare_cr=bare_cr, trusted_crlf=trusted_crlf)
            got = b"".join([encoder.feed(chunk) for chunk in cutting]) + encoder.finish()
            check(got == expected, f"encoded {got!r:.200} for {expected!r:.200}")
            check(encoder.octets == len(lines), f"{encoder.octets} octets are counted for {len(lines)}")
    check(_check_decoder(expected + b"+OK") == lines, "a body does not survive")


def _run(octets: bytes) -> Hashable:
    choices = Choices(octets)
    bare_cr: Literal["keep", "crlf"] = "crlf" if choices.number(2) else "keep"
    times = (1, 1, 1, 40)[choices.number(4)]  # many dots take another way through the decoder
    rest = (choices.rest() * times)[:4_096]
    _check_decoder(rest)
    _check_encoder(rest, bare_cr)
    return (
        b"\r\n." in rest,
        b"\r\n.\r\n" in rest,
        bytes(octet if octet in _MARKS else 97 for octet in rest[:2] + rest[-4:]),
        times,
    )


def _seeds() -> Iterator[bytes]:
    for message in (
        b"a\r\n.b\r\n",
        b".\r\n",
        b"..\r\n.",
        b"a\n.\nb",
        b"\r\r\n.\r",
        b".\n" * 20,
        b"x" * 20 + b"\r\n.",
        b"",
    ):
        for choice in range(8):
            yield seed(message, choice % 2, choice // 2)
    for dialogue in dialogues():
        for _, octets in dialogue.steps:
            yield seed(octets, 0, 0)


def _plant() -> AbstractContextManager[None]:
    """An encoder that does not stuff a dot behind a chunk that ended with CR."""
    encode: Callable[[BodyEncoder, bytes], bytes] = vars(BodyEncoder)["_encode"]

    def careless(encoder: BodyEncoder, data: bytes) -> bytes:
        encoded = encode(encoder, data)
        return encoded.replace(b"\r\n..", b"\r\n.", 1) if data.startswith(b"\r\n.") else encoded

    return patched(BodyEncoder, "_encode", careless)


TARGET: Final = Target(
    "codec",
    "dot-stuffing, both ways, against a codec that goes octet by octet",
    _run,
    _seeds,
    _plant,
    seed(b"\r\n.\n", 0, 0),
)
