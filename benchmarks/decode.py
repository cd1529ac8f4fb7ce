"""Decode bodies: remove dot-stuffing and find the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from pop3proto import BodyDecoder

from .corpora import CORPORA, cut, wire
from .harness.report import Table
from .harness.rounds import Contender, Settings, compare
from .messages import events
from .peers import Poplib, lines_joined, poplib_does, via_stream_reader, via_twisted
from .yardsticks import COPY, FIND, yardsticks

CHUNKS = (65_536, 1_460)


def tables(settings: Settings) -> Iterator[Table]:
    for name, make in CORPORA.items():
        stuffed = wire(make(settings.size(1 << 20, 20_000)))
        answer = b"+OK\r\n" + stuffed
        for chunk in CHUNKS if name == "typical text" else CHUNKS[:1]:
            chunks = cut(stuffed, chunk)
            yield compare(
                f"decode: {name} in chunks of {chunk}",
                [
                    Contender("BodyDecoder", partial(ours, chunks)),
                    Contender("ClientConnection", partial(events, cut(answer, chunk), 1)),
                    *yardsticks(chunks),
                    Contender("poplib", partial(poplib_does, via_poplib, answer), lines_joined),
                    Contender("Twisted", partial(via_twisted, cut(answer, chunk)), lines_joined),
                    Contender("StreamReader.readuntil", partial(via_stream_reader, cut(answer, chunk))),
                ],
                settings,
                against=[FIND, "poplib", COPY],
            )


def ours(chunks: Sequence[bytes]) -> list[bytes]:
    decoder = BodyDecoder()
    octets = [decoder.feed(chunk) for chunk in chunks]
    assert decoder.eof
    return octets


def via_poplib(client: Poplib) -> list[bytes]:
    return client.retr(1)[1]
