"""Encode messages: convert line ends to CRLF, add dot-stuffing and the terminator."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Sequence
from functools import partial

from typing_extensions import override

from pop3proto import BodyEncoder

from .corpora import CORPORA, cut
from .harness.report import Table
from .harness.rounds import Contender, Settings, compare, library
from .yardsticks import FIND, yardsticks

CHUNK = 65_536


def tables(settings: Settings) -> Iterator[Table]:
    for name, make in CORPORA.items():
        message = make(settings.size(1 << 20, 20_000))
        forms = {"CRLF": message, "LF": message.replace(b"\r\n", b"\n")}
        for line_end, form in forms.items():
            yield compare(
                f"encode: {name}, {line_end}, in chunks of {CHUNK}",
                contenders(form, line_end, CHUNK),
                settings,
                against=[FIND, "Twisted"],
            )


def contenders(message: bytes, line_end: str, chunk: int) -> list[Contender]:
    chunks = cut(message, chunk)
    text = message.decode("ascii")
    trusted = Contender("BodyEncoder(trusted_crlf)", partial(ours, chunks, trusted_crlf=True))
    twisted_faults = (
        "CRLF becomes CR CRLF"
        if line_end == "CRLF"
        else "a dot at the start of the message or of a chunk is not stuffed"
    )
    return [
        Contender("BodyEncoder", partial(ours, chunks)),
        *([trusted] if line_end == "CRLF" else []),
        *yardsticks(chunks),
        Contender("Twisted", partial(via_twisted, chunks), known_wrong=twisted_faults),
        Contender("smtplib, whole and as str", partial(via_smtplib, text)),
    ]


def ours(chunks: Sequence[bytes], *, trusted_crlf: bool = False) -> list[bytes]:
    encoder = BodyEncoder(trusted_crlf=trusted_crlf)
    octets = [encoder.feed(chunk) for chunk in chunks]
    octets.append(encoder.finish())
    return octets


def via_twisted(chunks: Sequence[bytes]) -> list[bytes]:
    server = library("twisted.mail.pop3").POP3()
    octets = [server.transformChunk(chunk) for chunk in chunks]
    octets.append(b".\r\n")  # as in finishedFileTransfer
    return octets


class Smtp(smtplib.SMTP):
    """smtplib without a socket: DATA uses the same dot-stuffing (RFC 5321 section 4.5.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    @override
    def putcmd(self, cmd: str, args: str = "") -> None:
        pass

    @override
    def getreply(self) -> tuple[int, bytes]:
        return 354, b""

    @override
    def send(self, s: object) -> None:
        assert isinstance(s, bytes)
        self.sent.append(s)


def via_smtplib(message: str) -> list[bytes]:
    smtp = Smtp()
    smtp.data(message)
    return smtp.sent
